"""Parts of the forecaster as objects: their parameters, and those of other people."""

from __future__ import annotations

import pickle
from itertools import pairwise

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit

from sklearn_diffusion import ConditionalIVSurfaceForecaster, make_forecast_frame
from sklearn_diffusion.datasets import make_iv_surfaces
from sklearn_diffusion.diffusion import (
    DDPM,
    CosineSchedule,
    GaussianDenoiser,
    Heun,
    LinearSchedule,
    Multistep,
    Sampler,
    ScaleMixture,
    StraightLine,
)
from sklearn_diffusion.grid import SurfaceGrid
from sklearn_diffusion.surfaces import (
    ArbitragePenalty,
    IncrementTarget,
    LevelTarget,
    Perceptron,
    Training,
    UNet,
)

pytestmark = pytest.mark.filterwarnings("ignore:n_steps=.* are too few")

GRID = SurfaceGrid([0.9, 1.0, 1.1], [1 / 12, 0.5])
BRIEF = Training(max_epochs=2)


@pytest.fixture(scope="module")
def frame():
    market = make_iv_surfaces(202, grid=GRID, random_state=0)
    return make_forecast_frame(market.surfaces, market.spot, market.vix, dates=market.dates)


def fit(frame, **parameters):
    X, y = frame
    return ConditionalIVSurfaceForecaster(GRID, random_state=0, **parameters).fit(X[:190], y[:190])


def samples(frame, **parameters):
    return fit(frame, **parameters).sample(frame[0][190:], 40)


# --- other people's ------------------------------------------------------------------------------


class StrangersGaussian:
    """Somebody else's score model."""

    def fit_denoiser(self, x_0, weights, schedule):
        mean = weights @ x_0
        covariance = (x_0 - mean).T @ (weights[:, None] * (x_0 - mean))
        return GaussianDenoiser(mean, covariance, schedule)


class StrangersHeun(Sampler):
    """Somebody else's sampler: Heun's method on the probability flow."""

    def step(self, denoise, x_t, t, s, noise, memory):
        alpha, alpha_s = denoise.schedule.alpha(t), denoise.schedule.alpha(s)
        sigma, sigma_s = denoise.schedule.sigma(t) / alpha, denoise.schedule.sigma(s) / alpha_s
        x = x_t / alpha
        slope = (x - denoise(x_t, t)) / sigma
        x_s = x + (sigma_s - sigma) * slope
        if sigma_s > 0:
            end = (x_s - denoise(alpha_s * x_s, s)) / sigma_s
            x_s = x + (sigma_s - sigma) * (slope + end) / 2
        return alpha_s * x_s, None


class StrangersNetwork:
    """Somebody else's network: linear in the data and the condition."""

    uses_surfaces = True

    def build(self, grid, n_scalars, *, zero_output, seed, axes):
        class Linear(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = torch.nn.Linear(4 * grid.n_cells + n_scalars, grid.n_cells)

            def forward(self, x_t, t, condition=None):
                condition = condition.expand(*x_t.shape[:-1], -1)
                return self.layer(torch.cat([x_t, condition], dim=-1))

        torch.nn.init.zeros_((module := Linear()).layer.weight)
        return module


def test_a_strangers_score_model_goes_in(frame):
    """A Gaussian of the standardised targets: log volatilities are Gaussian about today's."""
    forecaster = fit(frame, network=None, closed_form=StrangersGaussian())
    X = frame[0][190:191]
    log_samples = np.log(forecaster.sample(X, 4000))[:, 0]
    way = forecaster.target_.affine(forecaster._split(X))
    deviation = way.scale[0] * np.sqrt((way.basis**2).sum(axis=0))
    assert_allclose(log_samples.std(axis=0), deviation, rtol=0.1)
    excess = ((log_samples - log_samples.mean(0)) ** 4).mean(0) / log_samples.var(0) ** 2 - 3
    assert np.abs(excess).max() < 0.4


@pytest.mark.parametrize("closed_form", [True, StrangersGaussian()], ids=["mixture", "stranger"])
def test_a_strangers_sampler_agrees_with_ours(closed_form, frame):
    parameters = {"network": None, "closed_form": closed_form}
    theirs = samples(frame, sampler=StrangersHeun(60, spacing="log_snr"), **parameters)
    ours = samples(frame, sampler=Multistep(60), **parameters)
    assert_allclose(theirs, ours, rtol=2e-3)
    assert_allclose(samples(frame, sampler=Heun(60), **parameters), ours, rtol=2e-3)


@pytest.mark.parametrize("closed_form", [True, False])
def test_a_strangers_network_goes_in(closed_form, frame):
    with torch.random.fork_rng():
        drawn = samples(frame, network=StrangersNetwork(), closed_form=closed_form, training=BRIEF)
    assert drawn.shape == (40, 10, 6) and np.isfinite(drawn).all()


def test_a_straight_line_and_its_velocity(frame):
    """Flow matching, end to end."""
    drawn = samples(
        frame, closed_form=False, schedule=StraightLine(), parameterization="velocity",
        training=Training(max_epochs=20),
    )  # fmt: skip
    assert np.isfinite(drawn).all() and drawn.std(axis=0).min() > 0
    with pytest.raises(ValueError, match="'epsilon' is undefined at t=1 of StraightLine"):
        samples(
            frame, closed_form=False, schedule=StraightLine(), parameterization="epsilon",
            training=BRIEF,
        )  # fmt: skip


def test_the_schedule_changes_nothing_of_a_closed_form(frame):
    """It is the denoiser that knows the distribution."""
    ours = samples(frame, network=None, sampler=Multistep(60))
    for schedule in (LinearSchedule(300), StraightLine(), CosineSchedule(50)):
        other = samples(frame, network=None, sampler=Multistep(60), schedule=schedule)
        assert_allclose(other, ours, rtol=5e-3)


# --- parameters ----------------------------------------------------------------------------------


def test_names_stand_for_objects_with_their_defaults(frame):
    named = samples(frame, training=BRIEF)
    spelled = samples(
        frame,
        target=IncrementTarget(),
        closed_form=ScaleMixture(),
        network=Perceptron(),
        schedule=CosineSchedule(500),
        sampler=Multistep(16),
        training=BRIEF,
    )
    assert_array_equal(named, spelled)
    unet, level = (
        samples(frame, network="unet", target="level", closed_form=False, training=BRIEF),
        (samples(frame, network=UNet(), target=LevelTarget(), closed_form=False, training=BRIEF)),
    )
    assert_array_equal(unet, level)


def test_ancestral_sampling_by_name_walks_all_steps(frame):
    parameters = {"network": None, "schedule": CosineSchedule(30)}
    assert_array_equal(
        samples(frame, sampler="ddpm", **parameters), samples(frame, sampler=DDPM(30), **parameters)
    )


def test_fit_leaves_the_parts_as_they_were(frame):
    parts = {"target": IncrementTarget(), "schedule": CosineSchedule(40), "training": BRIEF}
    before = {name: dict(vars(part)) for name, part in parts.items()}
    fit(frame, **parts)
    assert {name: vars(part) for name, part in parts.items()} == before


@pytest.mark.parametrize(
    "name", ["target__half_life", "network__width", "sampler__n_steps", "training__lr"]
)
def test_a_name_has_no_parameters_of_its_own(name):
    part, own = name.split("__")
    with pytest.raises(ValueError, match=f"give {part} as an object.* and set {own} on it"):
        ConditionalIVSurfaceForecaster(GRID).set_params(**{name: 1})


def test_steps_of_an_object_are_its_own(frame):
    with pytest.raises(ValueError, match="n_sampling_steps=8 is for a sampler given by name"):
        fit(frame, network=None, sampler=Multistep(5), n_sampling_steps=8)


def test_searches_reach_the_parts(frame):
    X, y = frame
    search = GridSearchCV(
        ConditionalIVSurfaceForecaster(
            GRID, target=IncrementTarget(), training=Training(max_epochs=1), random_state=0
        ),
        {"target__half_life": [30.0, 189.0], "training__lr": [1e-3, 1e-2]},
        cv=TimeSeriesSplit(2, test_size=20),
        error_score="raise",
    ).fit(X, y)
    assert set(search.best_params_) == {"target__half_life", "training__lr"}
    copy = pickle.loads(pickle.dumps(clone(search.best_estimator_)))
    assert copy.target.half_life == search.best_params_["target__half_life"]


TARGET_CHANGES = {
    "half_life": 20.0,
    "level_penalty": 1.0,
    "axis_penalty": 1.0,
    "bound": 0.1,
    "decays": ("0.98",),
    "clip": 0.5,
    "min_scale": 0.99,
    "max_scale": 1.0,
    "min_spread": 0.9,
}


@pytest.mark.parametrize("name", TARGET_CHANGES)
def test_every_parameter_of_the_target_does_something(name, frame):
    target = IncrementTarget(**{name: TARGET_CHANGES[name]})
    assert set(TARGET_CHANGES) == set(target.get_params())
    assert (samples(frame, network=None, target=target) != samples(frame, network=None)).any()


TRAINING_CHANGES = {
    "lr": 0.01,
    "weight_decay": 10.0,
    "batch_size": 16,
    "max_epochs": 3,
    "patience": 1,
    "plateau_factor": 0.1,
    "plateau_patience": 1,
    "min_lr": 0.04,
    "clip_norm": 0.01,
    "ema_decay": None,
    "validation_fraction": 0.4,
    "n_evaluation_draws": 1,
    "penalty": ArbitragePenalty(weight=5.0),
}


@pytest.mark.parametrize("name", TRAINING_CHANGES)
def test_every_parameter_of_the_training_does_something(name, frame):
    usual = {"max_epochs": 12, "plateau_patience": 0, "lr": 0.05, "patience": None}
    if name == "lr":
        usual.pop("lr")
    forecasters = [
        fit(frame, closed_form=False, target="level", training=Training(**settings))
        for settings in (usual, {**usual, name: TRAINING_CHANGES[name]})
    ]
    drawn = [forecaster.sample(frame[0][190:], 5) for forecaster in forecasters]
    curves = [forecaster.validation_loss_curve_ for forecaster in forecasters]
    assert len(curves[0]) != len(curves[1]) or (curves[0] != curves[1]).any(), name
    if name not in {"n_evaluation_draws", "patience"}:
        assert (drawn[0] != drawn[1]).any()


def test_weight_decay_shrinks_the_weights(frame):
    norms = []
    for decay in (0.0, 20.0):
        training = Training(max_epochs=10, weight_decay=decay, ema_decay=None, patience=None)
        fitted = fit(frame, closed_form=False, training=training)
        hidden = fitted.denoiser_.network.layers[0].weight
        norms.append(float(hidden.detach().norm()))
    assert norms[1] < 0.8 * norms[0]


def test_the_gain_that_keeps_a_network_is_a_parameter(frame):
    kept, dropped = (
        fit(frame, training=Training(max_epochs=2, min_gain=gain)) for gain in (-1e9, 1e9)
    )
    assert kept.network_kept_ and not dropped.network_kept_
    assert kept.network_gain_ == dropped.network_gain_
    assert_array_equal(dropped.sample(frame[0][190:], 9).shape, (9, 10, 6))


def test_days_that_a_training_needs_are_a_parameter(frame):
    with pytest.raises(ValueError, match="fewer than min_days=500 are left"):
        fit(frame, training=Training(min_days=500))


@pytest.mark.parametrize(
    ("plain", "changed"),
    [
        ({}, {"weight": 0.0}),
        ({"form": "price", "rate": 3.0}, {"form": "iv"}),
        ({"form": "price"}, {"form": "price", "rate": 3.0}),
        ({}, {"bound": 0.01}),
    ],
    ids=str,
)
def test_every_parameter_of_the_penalty_does_something(plain, changed, frame):
    curves = []
    for settings in (plain, changed):
        penalty = ArbitragePenalty(**{"weight": 50.0, "form": "iv", **settings})
        training = Training(lr=0.05, max_epochs=4, penalty=penalty)
        fitted = fit(frame, closed_form=False, target="level", training=training)
        curves.append(fitted.loss_curve_)
    assert (curves[0] != curves[1]).any()


@pytest.mark.parametrize(
    ("network", "changes"),
    [
        (Perceptron(), {"width": 8}),
        (Perceptron(), {"depth": 1}),
        (Perceptron(), {"time_features": 4}),
        (Perceptron(), {"max_frequency": 2.0}),
        (UNet(), {"channels": (4, 6)}),
        (UNet(), {"time_features": 4}),
        (UNet(), {"scalar_features": 4}),
    ],
    ids=str,
)
def test_every_parameter_of_a_network_does_something(network, changes, frame):
    parameters = {"closed_form": False, "training": Training(max_epochs=4)}
    plain = samples(frame, network=network, **parameters)
    changed = samples(frame, network=clone(network).set_params(**changes), **parameters)
    assert (plain != changed).any()


def test_work_is_shared_among_processes(frame, monkeypatch):
    """A network's sampling is split by days over `n_jobs` processes."""
    from sklearn_diffusion.surfaces import forecaster as module

    asked = []

    class Watched(module.Parallel):
        def __init__(self, n_jobs=None, **options):
            asked.append(n_jobs)
            super().__init__(n_jobs=1, **options)

    monkeypatch.setattr(module, "Parallel", Watched)
    monkeypatch.setattr(module, "effective_n_jobs", lambda n_jobs: n_jobs or 1)
    fitted = fit(frame, closed_form=False, training=BRIEF)
    sizes = []
    block = fitted._sample_block
    monkeypatch.setattr(
        fitted, "_sample_block", lambda f, *rest: sizes.append(len(f.today)) or block(f, *rest)
    )
    whole = fitted.sample(frame[0][190:], 5)
    shared = fitted.set_params(n_jobs=4).sample(frame[0][190:], 5)
    assert asked == [None, 4]
    assert sizes == [10, 3, 3, 3, 1]
    assert_allclose(shared, whole, rtol=1e-5)


def test_the_level_target_hears_of_the_vix(frame):
    X, _ = frame
    fitted = fit(
        frame, target="level", closed_form=False, training=Training(max_epochs=20, lr=0.01)
    )
    quiet, loud = X[190:191].copy(), X[190:191].copy()
    loud["vix_return"] += 0.2
    assert (fitted.sample(quiet, 5) != fitted.sample(loud, 5)).any()


class Nothing(BaseEstimator):
    """An object without a method."""


@pytest.mark.parametrize(
    "part", ["target", "closed_form", "network", "schedule", "sampler", "training"]
)
@pytest.mark.parametrize("value", [Nothing(), 3, Nothing], ids=str)
def test_what_is_no_part_is_refused(part, value, frame):
    with pytest.raises(ValueError, match=part):
        fit(frame, **{part: value})


def test_a_constant_cell_is_not_blown_up(frame):
    X, y = (part.copy() for part in frame)
    cells = [2 + k * GRID.n_cells for k in range(3)]
    X.iloc[:, cells], y.iloc[:, 2] = 0.2, 0.2
    forecaster = ConditionalIVSurfaceForecaster(
        GRID, closed_form=False, target="level", network="unet", training=BRIEF, random_state=0
    ).fit(X[:190], y[:190])
    today = X[190:191].copy()
    today.iloc[:, cells] = 0.2002
    assert forecaster.predict(today).max() < 2


def test_y_of_the_same_day_is_refused(frame):
    X, _ = frame
    today = X.iloc[:, : GRID.n_cells]
    with pytest.raises(ValueError, match="y equals today's surface"):
        ConditionalIVSurfaceForecaster(GRID).fit(X, today.set_axis(GRID.cell_names, axis=1))


def test_features_of_other_units_do_not_blow_up_the_scale(frame):
    X, _ = frame
    fitted = fit(frame, network=None)
    wild = X[190:].copy()
    squared = [c for c in wild.columns if "squared_increment" in str(c)]
    wild[squared] *= 1e8
    drawn = [np.log(fitted.sample(part, 200)).std(axis=0).max() for part in (X[190:], wild)]
    assert drawn[1] < 50 * drawn[0]
    assert all(a < b for a, b in pairwise([0, *drawn]))
