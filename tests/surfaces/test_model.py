"""Networks of the surface forecaster: every option runs, and a network stays only if it helps."""

from __future__ import annotations

from itertools import product

import numpy as np
import pandas as pd
import pytest
import torch
from numpy.testing import assert_allclose
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import TimeSeriesSplit, cross_val_score
from skorch.callbacks import Callback

from sklearn_diffusion import ConditionalIVSurfaceForecaster, make_forecast_frame
from sklearn_diffusion.arbitrage import arbitrage_penalty
from sklearn_diffusion.datasets import make_iv_surfaces
from sklearn_diffusion.diffusion import (
    DDPM,
    CorrectedDenoiser,
    CosineSchedule,
    LinearSchedule,
    Multistep,
    NetworkDenoiser,
    ScaleMixtureDenoiser,
)
from sklearn_diffusion.grid import SurfaceGrid
from sklearn_diffusion.metrics import crps
from sklearn_diffusion.surfaces import ArbitragePenalty, Training, UNet, network_fit
from sklearn_diffusion.surfaces.penalty import ArbitrageExcess, TargetPenalty
from sklearn_diffusion.surfaces.rotated_network import RotatedNetwork

pytestmark = pytest.mark.filterwarnings("ignore:n_steps=.* are too few")

GRIDS = {
    "9x9": SurfaceGrid.paper(),
    "7x4": SurfaceGrid([0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3], [1 / 12, 0.25, 0.5, 1.0]),
    "2x3": SurfaceGrid([0.9, 1.1], [1 / 12, 0.5, 1.0]),
}
SHORT = Training(max_epochs=2)


@pytest.fixture(scope="module")
def frames():
    made = {}
    for name, grid in GRIDS.items():
        market = make_iv_surfaces(122, grid=grid, random_state=0)
        made[name] = make_forecast_frame(
            market.surfaces, market.spot, market.vix, dates=market.dates
        )
    return made


def weekly_market(n_days=900, grid=GRIDS["2x3"]):
    """Volatilities move five times as much over a weekend, which the closed form cannot know."""
    rng = np.random.RandomState(0)
    dates = pd.bdate_range("2015-01-01", periods=n_days)
    size = np.where(dates.day_of_week == 0, 0.05, 0.01)
    moves = size[:, None] * rng.normal(size=(n_days, grid.n_cells))
    surfaces = 0.2 * np.exp((moves + rng.normal(size=(n_days, 1)) * 1e-3).cumsum(axis=0) / 4)
    spot = 100 * np.exp(0.01 * rng.normal(size=n_days).cumsum())
    return make_forecast_frame(surfaces, spot, np.full(n_days, 20.0), dates=dates, grid=grid)


# --- options -------------------------------------------------------------------------------------


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize(
    "options",
    [
        {"network": "mlp", "closed_form": False},
        {"network": "unet"},
        {"network": "unet", "closed_form": False, "parameterization": "x0", "sampler": "ddim"},
        {
            "network": "mlp",
            "target": "level",
            "closed_form": False,
            "schedule": LinearSchedule(20),
        },
        {
            "network": "mlp",
            "closed_form": False,
            "sampler": Multistep(5, clip_denoised=4.0),
            "training": Training(max_epochs=2, penalty=ArbitragePenalty()),
        },
        {
            "network": "mlp",
            "training": Training(max_epochs=2, penalty=ArbitragePenalty(form="iv"), ema_decay=None),
        },
        {"network": "mlp", "closed_form": False, "parameterization": "velocity"},
    ],
    ids=str,
)
def test_options(grid, options, frames):
    X, y = frames[grid]
    options = {"training": SHORT, "schedule": CosineSchedule(20), **options}
    forecaster = ConditionalIVSurfaceForecaster(GRIDS[grid], **options, random_state=0)
    samples = forecaster.fit(X[:110], y[:110]).sample(X[110:], 6)
    assert samples.shape == (6, 10, GRIDS[grid].n_cells)
    assert (np.isfinite(samples) & (samples > 0)).all()
    for curve in ("loss_curve_", "validation_loss_curve_", "learning_rate_curve_"):
        assert getattr(forecaster, curve).shape == (2,)
        assert np.isfinite(getattr(forecaster, curve)).all()
    assert (forecaster.network_gain_ is None) == (not forecaster.closed_form)


@pytest.mark.parametrize("grid", GRIDS)
def test_the_model_of_the_paper(grid, frames):
    X, y = frames[grid]
    forecaster = ConditionalIVSurfaceForecaster.paper(
        GRIDS[grid],
        training__max_epochs=2,
        schedule__n_steps=20,
        n_sampling_steps=20,
        random_state=0,
    )
    samples = forecaster.fit(X[:110], y[:110]).sample(X[110:], 6)
    assert samples.shape == (6, 10, GRIDS[grid].n_cells)
    assert (np.isfinite(samples) & (samples > 0)).all()
    assert isinstance(forecaster.denoiser_, NetworkDenoiser)


def test_the_paper_s_configuration():
    forecaster = ConditionalIVSurfaceForecaster.paper()
    expected = {
        "grid": SurfaceGrid.paper(),
        "target": "level",
        "closed_form": False,
        "network__channels": (16, 30),
        "parameterization": "epsilon",
        "schedule__n_steps": 500,
        "sampler__n_steps": 500,
        "sampler__clip_denoised": 5.0,
        "training__penalty__weight": 0.01,
        "training__penalty__form": "price",
        "training__lr": 3e-4,
        "training__batch_size": 64,
        "training__max_epochs": 2000,
        "training__plateau_factor": 0.8,
        "training__plateau_patience": 300,
        "training__min_lr": 1e-6,
        "training__patience": 300,
        "training__clip_norm": 0.15,
        "training__ema_decay": 0.995,
        "training__validation_fraction": 1 / 9,
    }
    assert expected.items() <= forecaster.get_params().items()
    assert isinstance(forecaster.network, UNet)
    assert isinstance(forecaster.schedule, CosineSchedule)
    assert isinstance(forecaster.sampler, DDPM)
    # alpha_bar = cos^2(pi / 2 (t / T + s) / (1 + s)) / h(0), s = .008, rates of .999 at most.
    t = np.arange(501) / 500
    h = np.cos(np.pi / 2 * (t + 0.008) / 1.008) ** 2
    rates = np.minimum(1 - h[1:] / h[:-1], 0.999)
    assert_allclose(forecaster.schedule.betas, rates, rtol=1e-9)
    changed = ConditionalIVSurfaceForecaster.paper(training__lr=0.1)
    assert changed.training.lr == 0.1
    assert ConditionalIVSurfaceForecaster.paper().training.lr == 3e-4


def test_without_a_network_nothing_is_trained(frames):
    X, y = frames["7x4"]
    forecaster = ConditionalIVSurfaceForecaster(GRIDS["7x4"], network=None).fit(X, y)
    assert forecaster.net_ is None
    assert forecaster.network_gain_ is None
    assert len(forecaster.loss_curve_) == 0


# --- a network must earn its place ---------------------------------------------------------------


def test_a_network_that_learns_nothing_is_dropped(frames):
    X, y = frames["7x4"]
    with_network, without = (
        ConditionalIVSurfaceForecaster(GRIDS["7x4"], network=network, random_state=0).fit(X, y)
        for network in ("mlp", None)
    )
    gain, error = with_network.network_gain_
    assert gain <= 2 * error
    assert isinstance(with_network.denoiser_, ScaleMixtureDenoiser)
    assert_allclose(with_network.sample(X[-5:], 8), without.sample(X[-5:], 8), rtol=1e-5)


def test_a_network_that_learns_something_is_kept():
    X, y = weekly_market()
    forecaster = ConditionalIVSurfaceForecaster(
        GRIDS["2x3"], training=Training(lr=5e-3, max_epochs=30), random_state=0
    ).fit(X[:700], y[:700])
    gain, error = forecaster.network_gain_
    assert gain > 2 * error
    assert isinstance(forecaster.denoiser_, CorrectedDenoiser)
    assert forecaster.validation_loss_curve_[-1] < forecaster.validation_loss_curve_[0]
    held_out, truth = X[700:], y[700:].to_numpy()
    samples = forecaster.sample(held_out, 200)
    spread = np.log(samples).std(axis=0).mean(axis=1)
    before_weekend = held_out.index.day_of_week == 4
    assert spread[before_weekend].mean() > 1.2 * spread[~before_weekend].mean()
    closed_form = ConditionalIVSurfaceForecaster(GRIDS["2x3"], network=None, random_state=0)
    rival = closed_form.fit(X[:700], y[:700]).sample(held_out, 200)
    assert crps(truth, samples, log=True) < 0.97 * crps(truth, rival, log=True)


def test_one_day_is_no_evidence_for_a_network(frames):
    X, y = frames["2x3"]
    forecaster = ConditionalIVSurfaceForecaster(
        GRIDS["2x3"],
        training=Training(validation_fraction=1e-3, max_epochs=2),
        random_state=0,
    ).fit(X, y)
    assert forecaster.network_gain_[1] == np.inf
    assert isinstance(forecaster.denoiser_, ScaleMixtureDenoiser)


# --- interrupts ----------------------------------------------------------------------------------


class Interrupt(Callback):
    """Press Ctrl-C in the middle of an epoch."""

    def __init__(self, epoch):
        self.epoch = epoch

    def on_batch_end(self, net, **kwargs):
        if len(net.history) > self.epoch:
            raise KeyboardInterrupt


def press_ctrl_c(monkeypatch, epoch):
    train = network_fit.train_denoiser

    def interrupted(*arguments, callbacks=(), **options):
        callbacks = [*callbacks, ("interrupt", Interrupt(epoch))]
        return train(*arguments, callbacks=callbacks, **options)

    monkeypatch.setattr(network_fit, "train_denoiser", interrupted)


@pytest.mark.parametrize("n_epochs", [0, 2])
@pytest.mark.parametrize("closed_form", [True, False])
def test_an_interrupt_leaves_the_forecaster_as_it_was(n_epochs, closed_form, frames, monkeypatch):
    X, y = frames["2x3"]
    forecaster = ConditionalIVSurfaceForecaster(
        GRIDS["2x3"], closed_form=closed_form, random_state=0
    )
    forecaster.set_params(training=Training(max_epochs=3)).fit(X, y)
    before = dict(vars(forecaster))
    press_ctrl_c(monkeypatch, n_epochs)
    with pytest.raises(KeyboardInterrupt):
        forecaster.fit(X[:100], y[:100])
    assert all(vars(forecaster)[name] is value for name, value in before.items())
    with pytest.raises(KeyboardInterrupt):  # a fold is not scored as if nothing had happened
        cross_val_score(forecaster, X, y, cv=TimeSeriesSplit(2, test_size=20))


@pytest.mark.parametrize("closed_form", [True, False])
def test_an_interrupt_may_end_the_training(closed_form, frames, monkeypatch):
    X, y = frames["2x3"]
    forecaster = ConditionalIVSurfaceForecaster(
        GRIDS["2x3"],
        closed_form=closed_form,
        training=Training(max_epochs=50, on_interrupt="keep"),
        random_state=0,
    )
    press_ctrl_c(monkeypatch, 2)
    with pytest.warns(ConvergenceWarning, match="interrupted after 2 of at most 50 epochs"):
        forecaster.fit(X, y)
    for curve in ("loss_curve_", "validation_loss_curve_", "learning_rate_curve_"):
        assert len(getattr(forecaster, curve)) == 2
    samples = forecaster.sample(X[-5:], 6)
    assert (np.isfinite(samples) & (samples > 0)).all()


def test_an_interrupt_in_the_first_epoch_leaves_nothing_to_keep(frames, monkeypatch):
    X, y = frames["2x3"]
    press_ctrl_c(monkeypatch, 0)
    forecaster = ConditionalIVSurfaceForecaster(
        GRIDS["2x3"], closed_form=False, training=Training(on_interrupt="keep"), random_state=0
    )
    with pytest.raises(KeyboardInterrupt):
        forecaster.fit(X, y)
    assert not hasattr(forecaster, "denoiser_")


# --- divergence ----------------------------------------------------------------------------------


def test_training_that_diverges_is_an_error(frames):
    X, y = frames["2x3"]
    wild = Training(lr=30.0, max_epochs=5, patience=None)
    with pytest.raises(FloatingPointError, match=r"diverged.*Lower lr=30.0"):
        ConditionalIVSurfaceForecaster(
            GRIDS["2x3"], closed_form=False, training=wild, random_state=0
        ).fit(X, y)


def test_samples_that_are_not_finite_are_an_error(frames):
    X, y = frames["2x3"]
    forecaster = ConditionalIVSurfaceForecaster(
        GRIDS["2x3"], closed_form=False, training=Training(max_epochs=2), random_state=0
    ).fit(X, y)
    with torch.no_grad():
        forecaster.denoiser_.network.output.weight.fill_(1e30)
    with pytest.raises(FloatingPointError, match=r"not finite|overflow"):
        forecaster.sample(X[-3:], 5)
    way = forecaster.target_.affine(forecaster._split(X[-3:]))
    with pytest.raises(FloatingPointError, match="overflow or vanish on their way back"):
        way.to_volatility(np.full((2, 3, 6), 1e6))


# --- samplers ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained():
    """A forecaster whose samples come from a network, and days to judge them by."""
    X, y = weekly_market()
    forecaster = ConditionalIVSurfaceForecaster(
        GRIDS["2x3"],
        closed_form=False,
        training=Training(lr=5e-3, max_epochs=30),
        random_state=0,
    ).fit(X[:700], y[:700])
    return forecaster, X[700::4], y[700::4].to_numpy()


@pytest.fixture(scope="module")
def closed_form():
    X, y = weekly_market()
    forecaster = ConditionalIVSurfaceForecaster(GRIDS["2x3"], network=None, random_state=0)
    return forecaster.fit(X[:700], y[:700]), X[700:], y[700:].to_numpy()


@pytest.mark.parametrize("model", ["closed_form", pytest.param("trained", marks=pytest.mark.slow)])
def test_few_steps_are_as_good_as_five_hundred(model, request):
    forecaster, X, y = request.getfixturevalue(model)
    scores = {}
    for sampler, n_steps in {"multistep": 16, "ddpm": 500}.items():
        forecaster.set_params(sampler=sampler, n_sampling_steps=n_steps)
        scores[sampler] = crps(y, forecaster.sample(X, 300), log=True)
    forecaster.set_params(sampler="multistep", n_sampling_steps=None)
    assert scores["multistep"] < 1.01 * scores["ddpm"]


def test_bounded_estimates_bound_the_samples(closed_form):
    forecaster, X, _ = closed_form
    features = forecaster._split(X)
    w = {}
    for bound in (None, 2.0):
        forecaster.set_params(sampler=Multistep(16, clip_denoised=bound))
        drawn = forecaster.sample(X, 300)
        w[bound] = np.stack([forecaster.target_.encode(features, day) for day in drawn])
    forecaster.set_params(sampler="multistep")
    assert np.abs(w[2.0]).max() < np.abs(w[None]).max()
    assert np.abs(w[2.0]).max() < 2.5


# --- arbitrage -----------------------------------------------------------------------------------


@pytest.mark.slow
def test_the_penalty_lowers_arbitrage():
    grid = GRIDS["7x4"]
    market = make_iv_surfaces(402, grid=grid, random_state=0)
    X, y = make_forecast_frame(market.surfaces, market.spot, market.vix, dates=market.dates)
    phi = {0.0: 0.0, 5.0: 0.0}
    for weight, seed in product(phi, (0, 2)):
        forecaster = ConditionalIVSurfaceForecaster(
            grid,
            target="level",
            closed_form=False,
            training=Training(
                lr=3e-3,
                max_epochs=60,
                patience=None,
                ema_decay=0.98,
                penalty=ArbitragePenalty(weight=weight),
            ),
            random_state=seed,
        ).fit(X[:350], y[:350])
        phi[weight] += arbitrage_penalty(forecaster.sample(X[350:], 100), grid).mean()
    assert phi[0.0] > 1e-4
    assert phi[5.0] < 0.7 * phi[0.0]


def test_the_penalty_of_targets_is_the_penalty_of_the_volatilities(rng):
    grid = GRIDS["7x4"]
    n = grid.n_cells
    basis, w = (
        torch.from_numpy(rng.normal(size=(n, n)) / n),
        torch.from_numpy(rng.normal(size=(5, n))),
    )
    offset = np.log(0.2) + 0.3 * rng.normal(size=(5, n))
    scale = rng.uniform(0.1, 1, size=(5, 1))
    context = torch.from_numpy(np.hstack([offset, scale]))
    volatility = np.exp(offset + scale * (w.numpy() @ basis.numpy()))
    for form in ("price", "iv"):
        penalty = TargetPenalty(ArbitrageExcess(grid, form=form), basis)(w, context)
        expected = ArbitrageExcess(grid, form=form)(torch.from_numpy(volatility))
        assert (penalty > 0).all()
        torch.testing.assert_close(penalty, expected)


# --- parts ---------------------------------------------------------------------------------------


def test_rotated_networks_see_cells():
    axes = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(0)))[0]
    seen = []

    class Halve(torch.nn.Module):
        def forward(self, x_t, t, condition):
            seen.append(x_t)
            return x_t / 2

    cells = torch.arange(8.0).reshape(2, 4)
    output = RotatedNetwork(Halve(), axes)(cells @ axes, torch.tensor(0.5))
    torch.testing.assert_close(seen[0], cells)
    torch.testing.assert_close(output, cells @ axes / 2)
