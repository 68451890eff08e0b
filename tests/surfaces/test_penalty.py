"""The differentiable penalty against the numpy report, Black-Scholes and its own gradient."""

import numpy as np
import pytest
import torch

from sklearn_diffusion.arbitrage import arbitrage_penalty
from sklearn_diffusion.diffusion.objective import snr_weighted
from sklearn_diffusion.grid import SurfaceGrid
from sklearn_diffusion.surfaces.penalty import ArbitrageExcess

GRIDS = {
    "paper": SurfaceGrid.paper(),
    "uneven": SurfaceGrid([0.8, 0.95, 1.0, 1.3], [0.1, 0.5, 0.7]),
    "one_tenor": SurfaceGrid([0.8, 0.95, 1.0, 1.3], [0.1]),
    "two_strikes": SurfaceGrid([0.9, 1.1], [0.1, 0.2]),
}


@pytest.mark.parametrize("rate", [0.0, 0.04])
@pytest.mark.parametrize("form", ["price", "iv"])
@pytest.mark.parametrize("name", GRIDS)
def test_it_equals_the_report(name, form, rate, rng):
    grid = GRIDS[name]
    surfaces = np.exp(rng.normal(-1.5, 0.4, (2, 7, grid.n_cells)))
    penalty = ArbitrageExcess(grid, rate=rate, form=form)
    expected = arbitrage_penalty(
        surfaces, grid, rate=rate, surrogate="iv" if form == "iv" else None
    )
    np.testing.assert_allclose(penalty(torch.from_numpy(surfaces)), expected, atol=1e-10, rtol=0)
    single = penalty(torch.from_numpy(surfaces).float())
    assert single.dtype == torch.float32
    np.testing.assert_allclose(single, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("form", ["price", "iv"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_black_scholes_surfaces_are_free_of_it(form, dtype):
    levels = torch.tensor([[0.05], [0.2], [0.8]], dtype=dtype).expand(-1, 81)
    penalty = ArbitrageExcess(SurfaceGrid.paper(), form=form)
    assert penalty(levels).max() < 1e-12


@pytest.mark.parametrize("form", ["price", "iv"])
def test_the_gradient_is_exact(form, rng):
    grid = GRIDS["uneven"]
    surfaces = torch.from_numpy(np.exp(rng.normal(-1.5, 0.4, (3, grid.n_cells))))
    penalty = ArbitrageExcess(grid, form=form)
    assert penalty(surfaces).min() > 0
    assert torch.autograd.gradcheck(penalty, surfaces.requires_grad_())


@pytest.mark.parametrize("form", ["price", "iv"])
def test_the_gradient_pushes_a_calendar_arbitrage_out(form):
    grid = SurfaceGrid([0.9, 1.0, 1.1], [0.25, 0.5])
    surface = torch.tensor([0.4, 0.2] * 3, dtype=torch.float64, requires_grad=True)
    penalty = ArbitrageExcess(grid, form=form)
    penalty(surface).backward()
    short, long = surface.grad.reshape(3, 2).T
    assert (short > 0).all()
    assert (long < 0).all()


def test_descent_ends_without_arbitrage(rng):
    grid = GRIDS["uneven"]
    log_surfaces = torch.from_numpy(rng.normal(-1.5, 0.2, (5, grid.n_cells))).requires_grad_()
    penalty = ArbitrageExcess(grid)
    before = penalty(log_surfaces.exp()).detach()
    optimizer = torch.optim.Adam([log_surfaces], lr=0.01)
    for _ in range(200):
        optimizer.zero_grad()
        penalty(log_surfaces.exp()).sum().backward()
        optimizer.step()
    assert (penalty(log_surfaces.exp()) < 0.05 * before).all()


def test_an_unknown_form_is_refused():
    with pytest.raises(ValueError, match="form must be 'price' or 'iv'"):
        ArbitrageExcess(SurfaceGrid.paper(), form="variance")


def test_weights_are_signal_to_noise_ratios():
    alpha_bar = torch.tensor([[0.9], [0.5], [0.1]], dtype=torch.float64)
    denoised = torch.tensor([[1.0, 2.0], [0.5, 0.5], [3.0, 1.0]], dtype=torch.float64)
    context = torch.tensor([[1.0], [2.0], [3.0]], dtype=torch.float64)
    weighted = snr_weighted(
        lambda x, c: (x + c).sum(-1), denoised, alpha_bar.sqrt(), (1 - alpha_bar).sqrt(), context
    )
    expected = torch.tensor([9.0 * 5.0, 1.0 * 5.0, 10.0 / 9.0], dtype=torch.float64)
    torch.testing.assert_close(weighted, expected)


def test_wild_estimates_leave_finite_gradients():
    grid = SurfaceGrid.paper()
    penalty = ArbitrageExcess(grid)
    denoised = torch.linspace(-1e4, 1e4, 81)[None].requires_grad_()
    alpha = torch.tensor([[1e-3]])
    charged = snr_weighted(
        lambda x, _: penalty((0.3 * x - 1.5).exp()), denoised, alpha, (1 - alpha**2).sqrt()
    )
    charged.sum().backward()
    assert torch.isfinite(charged).all()
    assert torch.isfinite(denoised.grad).all()
