"""The same numbers on a GPU as on the CPU: noise is drawn on the CPU, sums are in another order."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose

from sklearn_diffusion import (
    ConditionalIVSurfaceForecaster,
    DiffusionCovarianceEstimator,
    make_forecast_frame,
)
from sklearn_diffusion.datasets import make_factor_returns, make_iv_surfaces
from sklearn_diffusion.diffusion import (
    DDIM,
    DDPM,
    CosineSchedule,
    EulerMaruyama,
    GaussianDenoiser,
    Heun,
    Multistep,
    StraightLine,
    SubVariancePreserving,
    VarianceExploding,
    VariancePreserving,
)
from sklearn_diffusion.grid import SurfaceGrid
from sklearn_diffusion.returns import HiddenLayer
from sklearn_diffusion.surfaces import Training, UNet

pytestmark = pytest.mark.gpu

SCHEDULES = [
    VariancePreserving(),
    SubVariancePreserving(a=0.3, t_max=0.9),
    VarianceExploding(),
    CosineSchedule(100),
    StraightLine(t_max=0.999),
]
SAMPLERS = [EulerMaruyama(50), DDPM(50), DDIM(20), Multistep(15), Heun(10)]


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
@pytest.mark.parametrize("sampler", SAMPLERS, ids=repr)
def test_samplers_walk_where_the_noise_is(sampler, schedule):
    covariance = torch.tensor([[1.0, 0.6], [0.6, 0.8]], dtype=torch.float64)

    def draw(device):
        generator = torch.Generator().manual_seed(0)
        denoiser = GaussianDenoiser(torch.zeros(2).double(), covariance, schedule).to(device)
        return sampler.sample(
            denoiser,
            (50, 2),
            lambda shape: torch.randn(shape, generator=generator, dtype=torch.float64).to(device),
        )

    on_gpu = draw("cuda")
    assert on_gpu.is_cuda
    torch.testing.assert_close(on_gpu.cpu(), draw("cpu"), rtol=1e-7, atol=1e-9)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")  # hardly trained
@pytest.mark.parametrize("objective", ["quadrature", "monte_carlo"])
def test_the_paper_model_of_returns_agrees(objective):
    X = make_factor_returns(200, 4, random_state=0).returns
    model = HiddenLayer(
        objective=objective, n_units=8, n_synthetic=500, sampler=EulerMaruyama(50), max_iter=3
    )
    cpu, gpu = (
        DiffusionCovarianceEstimator(score_model=model, device=device, random_state=0).fit(X)
        for device in ("cpu", "cuda")
    )
    assert_allclose(gpu.covariance_, cpu.covariance_, rtol=1e-4, atol=1e-4 * cpu.covariance_.max())
    assert_allclose(gpu.sample(9), cpu.sample(9), atol=1e-3 * np.sqrt(cpu.covariance_.max()))


@pytest.mark.parametrize("network", ["mlp", UNet(channels=(4, 6))], ids=repr)
def test_networks_of_surfaces_agree(network):
    grid = SurfaceGrid([0.9, 1.0, 1.1], [0.1, 0.5])
    market = make_iv_surfaces(150, grid=grid, random_state=0)
    X, y = make_forecast_frame(market.surfaces, market.spot, market.vix, dates=market.dates)
    cpu, gpu = (
        ConditionalIVSurfaceForecaster(
            grid,
            closed_form=False,
            network=network,
            training=Training(max_epochs=3),
            device=device,
            random_state=0,
        ).fit(X[:140], y[:140])
        for device in ("cpu", "cuda")
    )
    assert_allclose(gpu.validation_loss_curve_, cpu.validation_loss_curve_, rtol=1e-3)
    # The same weights draw the same surfaces on either.
    assert_allclose(
        gpu.set_params(device="cuda").sample(X[140:], 20),
        gpu.set_params(device="cpu").sample(X[140:], 20),
        rtol=1e-3,
    )
