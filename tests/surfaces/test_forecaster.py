"""The surface forecaster as an estimator: contract, invariances, statistics, bad input."""

from __future__ import annotations

import pickle
import subprocess
import sys

import joblib
import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit, cross_validate
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_diffusion import ConditionalIVSurfaceForecaster, make_forecast_frame
from sklearn_diffusion.baselines import BootstrapForecaster, RandomWalkForecaster
from sklearn_diffusion.datasets import make_iv_surfaces
from sklearn_diffusion.diffusion import CosineSchedule, Multistep, ScaleMixture
from sklearn_diffusion.grid import SurfaceGrid
from sklearn_diffusion.metrics import (
    ci_breach,
    daily_crps,
    diebold_mariano,
    energy_score,
    get_scorer,
    pit_values,
    sample_interval,
)
from sklearn_diffusion.preprocessing.features import SCALAR_NAMES
from sklearn_diffusion.surfaces import ArbitragePenalty, IncrementTarget, Perceptron, Training, UNet

pytestmark = pytest.mark.filterwarnings("ignore:n_steps=.* are too few")

GRID = SurfaceGrid([0.8, 0.9, 1.0, 1.1, 1.2], [1 / 12, 0.25, 0.5, 1.0])
TRAIN, TEST = slice(0, 450), slice(450, None)
# A network by itself, so that nothing falls back on the closed form; hardly trained.
NETWORK_ALONE = {
    "closed_form": False,
    "training": Training(max_epochs=1),
    "n_sampling_steps": 4,
}


def frame_of(market, **options):
    return make_forecast_frame(
        market.surfaces, market.spot, market.vix, dates=market.dates, grid=GRID, **options
    )


@pytest.fixture(scope="module")
def market():
    return make_iv_surfaces(602, grid=GRID, random_state=0)


@pytest.fixture(scope="module")
def frame(market):
    return frame_of(market)


@pytest.fixture(scope="module")
def closed_form(frame):
    X, y = frame
    return ConditionalIVSurfaceForecaster(GRID, network=None, random_state=0).fit(
        X[TRAIN], y[TRAIN]
    )


@pytest.fixture(scope="module")
def network_alone(frame):
    X, y = frame
    forecaster = ConditionalIVSurfaceForecaster(GRID, **NETWORK_ALONE, random_state=0)
    return forecaster.fit(X[TRAIN], y[TRAIN])


@pytest.fixture(scope="module")
def default(frame):
    X, y = frame
    return ConditionalIVSurfaceForecaster(GRID, random_state=0).fit(X[TRAIN], y[TRAIN])


# --- scikit-learn's contract ---------------------------------------------------------------------


class OnAnyData(ConditionalIVSurfaceForecaster):
    """The forecaster on the data of scikit-learn's checks, which know nothing of surfaces.

    Surfaces have one cell. Today's is the mean of a row, so it is positive where the row is, and
    the row's first and last values stand for everything else. All the rest, validation of X and y
    included, is the forecaster's own.
    """

    def __init__(self, *, network=None, closed_form=True, random_state=None):
        super().__init__(
            SurfaceGrid([1.0], [1.0]),
            network=network,
            closed_form=closed_form,
            random_state=random_state,
            n_sampling_steps=5,
            # The data of the checks have as few as twenty rows.
            training=Training(max_epochs=2, validation_fraction=0.2, min_days=2),
        )

    def _split(self, X):
        rows = np.asarray(X, dtype=np.float64)
        first, last = np.tanh(rows[:, 0] / 10), np.tanh(rows[:, -1] / 10)
        scalars = np.zeros((len(rows), len(SCALAR_NAMES)))
        for k, name in enumerate(SCALAR_NAMES):
            scalars[:, k] = 0.01 + 0.005 * (last if "squared" in name else first)
        today = rows.mean(axis=1)
        averages = today * np.exp(0.1 * first), today * np.exp(0.1 * last)
        return super()._split(np.column_stack([today, *averages, scalars]))


@parametrize_with_checks(
    [
        OnAnyData(random_state=0),
        OnAnyData(network="mlp", closed_form=False, random_state=0),
    ],
    expected_failed_checks=lambda estimator: {
        "check_regressor_multioutput": "the targets of the check are negative, and not of the grid",
    },
)
@pytest.mark.usefixtures("strictly_positive_checks")
def test_scikit_learn_contract(estimator, check):
    check(estimator)


def test_parameters_survive_cloning():
    forecaster = ConditionalIVSurfaceForecaster.paper(GRID, training__max_epochs=3, random_state=1)
    copy = clone(forecaster)
    assert str(copy.get_params()) == str(forecaster.get_params())
    copy.set_params(target="increment", training__lr=0.1)
    assert copy.get_params()["training__lr"] == 0.1
    assert (forecaster.target, forecaster.training.lr) == ("level", 3e-4)


@pytest.mark.parametrize("kind", ["closed_form", "network_alone", "default"])
def test_pickles_draw_the_same_samples(kind, frame, request, tmp_path):
    forecaster, X = request.getfixturevalue(kind), frame[0][TEST]
    expected = forecaster.sample(X, 5)
    joblib.dump(forecaster, tmp_path / "forecaster.joblib")
    for copy in (
        pickle.loads(pickle.dumps(forecaster)),
        joblib.load(tmp_path / "forecaster.joblib"),
    ):
        assert_array_equal(copy.sample(X, 5), expected)
        assert_array_equal(copy.predict(X[:3]), forecaster.predict(X[:3]))
        assert copy.net_ is None


def test_unfitted_forecasters_pickle():
    forecaster = pickle.loads(pickle.dumps(ConditionalIVSurfaceForecaster(GRID)))
    assert not hasattr(forecaster, "net_")


def test_model_selection(frame):
    X, y = frame
    names = ["neg_mape", "neg_crps", "neg_energy_score", "neg_ci_breach_error"]
    names += ["neg_ci_width", "neg_pit_cramer_von_mises", "neg_arbitrage_penalty"]
    search = GridSearchCV(
        ConditionalIVSurfaceForecaster(GRID, network=None, random_state=0),
        {"target": ["level", "increment"]},
        scoring={name: get_scorer(name) for name in names},
        refit="neg_crps",
        cv=TimeSeriesSplit(2, test_size=60),
    ).fit(X, y)
    assert search.best_params_ == {"target": "increment"}
    assert search.predict(X[:2]).shape == (2, GRID.n_cells)
    for name in names:
        assert np.isfinite(search.cv_results_[f"mean_test_{name}"]).all()


def test_cross_validation_with_scikit_learn_s_own_score(frame):
    X, y = frame
    forecaster = ConditionalIVSurfaceForecaster(GRID, **NETWORK_ALONE, random_state=0)
    scores = cross_validate(forecaster, X, y, cv=TimeSeriesSplit(2), error_score="raise")
    assert (scores["test_score"] > 0.5).all()


def test_results_are_arrays_of_volatilities(default, frame):
    X = frame[0][TEST]
    n = len(X)
    shapes = {
        "predict": (default.predict(X), (n, GRID.n_cells)),
        "sample": (default.sample(X), (100, n, GRID.n_cells)),
        "quantile": (default.predict_quantiles(X, 0.5), (n, GRID.n_cells)),
        "quantiles": (default.predict_quantiles(X, [0.1, 0.9]), (2, n, GRID.n_cells)),
        "interval": (default.predict_interval(X, coverage=0.8), (n, GRID.n_cells, 2)),
    }
    for name, (values, shape) in shapes.items():
        assert values.shape == shape, name
        assert values.dtype == np.float64
        assert (np.isfinite(values) & (values > 0)).all()
    assert shapes["sample"][0].flags.writeable
    assert default.n_features_in_ == X.shape[1]
    assert_array_equal(default.feature_names_in_, X.columns)
    assert default.n_cells_ == GRID.n_cells


def test_arrays_and_frames_give_the_same(closed_form, frame):
    X, y = frame
    from_arrays = clone(closed_form).fit(X[TRAIN].to_numpy(), y[TRAIN].to_numpy())
    expected = closed_form.sample(X[TEST], 3)
    assert_array_equal(from_arrays.sample(X[TEST].to_numpy(), 3), expected)
    assert not hasattr(from_arrays, "feature_names_in_")


def test_inputs_are_left_alone(frame):
    X, y = frame[0][TRAIN].copy(), frame[1][TRAIN].copy()
    ConditionalIVSurfaceForecaster(GRID, **NETWORK_ALONE).fit(X, y).sample(X, 2)
    pd.testing.assert_frame_equal(X, frame[0][TRAIN])
    pd.testing.assert_frame_equal(y, frame[1][TRAIN])


# --- invariances ---------------------------------------------------------------------------------


@pytest.mark.parametrize("kind, rtol", [("closed_form", 1e-12), ("network_alone", 1e-4)])
def test_a_forecast_does_not_depend_on_its_neighbours(kind, rtol, frame, request):
    forecaster, X = request.getfixturevalue(kind), frame[0][TEST]
    order = np.random.RandomState(0).permutation(len(X))
    for forecast, axis in (
        (lambda rows: forecaster.sample(rows, 7), 1),
        (forecaster.predict, 0),
        (lambda rows: forecaster.predict_interval(rows, n_samples=50), 0),
    ):
        whole = forecast(X)
        assert_allclose(forecast(X[40:41]), whole.take([40], axis), rtol=rtol)
        assert_allclose(forecast(X.iloc[order]), whole.take(order, axis), rtol=rtol)


@pytest.mark.parametrize("kind, rtol", [("closed_form", 1e-12), ("network_alone", 1e-4)])
def test_blocks_of_days_do_not_show(kind, rtol, frame, request, monkeypatch):
    forecaster, X = request.getfixturevalue(kind), frame[0][TEST]
    whole, mean = forecaster.sample(X, 6), forecaster.predict(X)
    monkeypatch.setattr("sklearn_diffusion.surfaces.forecaster._MAX_BLOCK", 500 * GRID.n_cells * 17)
    assert_allclose(forecaster.sample(X, 6), whole, rtol=rtol)
    assert_allclose(forecaster.predict(X), mean, rtol=rtol)


@pytest.mark.parametrize("kind", ["closed_form", "network_alone"])
def test_workers_draw_the_same_samples(kind, frame, request):
    one, X = request.getfixturevalue(kind), frame[0][TEST]
    two = pickle.loads(pickle.dumps(one)).set_params(n_jobs=2)
    assert_allclose(two.sample(X, 4), one.sample(X, 4), rtol=1e-4)


def test_the_future_changes_nothing(market, frame):
    k = 500
    changed = {name: market[name].copy() for name in ("surfaces", "spot", "vix")}
    for series in changed.values():
        series[k + 1 :] *= np.random.RandomState(1).uniform(0.5, 2, series[k + 1 :].shape)
    altered = make_forecast_frame(**changed, dates=market.dates, grid=GRID)
    # The row of day k stands at k - 1, since day 0 has no day before; its target is unknown.
    today, past = slice(k - 1, k), slice(0, k - 1)
    forecasts = []
    for X, y in (frame, altered):
        forecaster = ConditionalIVSurfaceForecaster(GRID, **NETWORK_ALONE, random_state=0)
        forecaster.fit(X[past], y[past])
        forecasts.append(forecaster.sample(X[today], 10))
    assert X.index[k - 1] == market.dates[k]
    assert_array_equal(*forecasts)
    assert not np.allclose(forecaster.sample(altered[0][k:], 2), forecaster.sample(frame[0][k:], 2))


@pytest.mark.parametrize(
    "options, rtol",
    [
        ({"network": None}, 1e-9),
        (NETWORK_ALONE, 1e-3),
        ({"network": None, "target": "level"}, 1e-9),
    ],
)
def test_the_level_of_volatility_is_a_unit(options, rtol, frame):
    X, y = frame[0].copy(), frame[1]
    expected = (
        ConditionalIVSurfaceForecaster(GRID, **options, random_state=0)
        .fit(X[TRAIN], y[TRAIN])
        .sample(X[TEST], 5)
    )
    X.iloc[:, : 3 * GRID.n_cells] *= 1.3
    scaled = (
        ConditionalIVSurfaceForecaster(GRID, **options, random_state=0)
        .fit(X[TRAIN], 1.3 * y[TRAIN])
        .sample(X[TEST], 5)
    )
    assert_allclose(scaled, 1.3 * expected, rtol=rtol)


# --- randomness ----------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"network": None}, NETWORK_ALONE])
def test_seeds(options, frame):
    X, y = frame[0][:150], frame[1][:150]
    first = ConditionalIVSurfaceForecaster(GRID, **options, random_state=3).fit(X, y)
    same = clone(first).fit(X, y)
    rows = X[:4]
    assert_array_equal(first.sample(rows, 5), same.sample(rows, 5))
    assert_array_equal(first.sample(rows, 5), first.sample(rows, 5))
    assert_array_equal(first.sample(rows, 5), first.sample(rows, 5, random_state=first.seed_))
    assert_array_equal(first.sample(rows, 5, random_state=7), same.sample(rows, 5, random_state=7))
    assert not np.allclose(first.sample(rows, 5), first.sample(rows, 5, random_state=7))
    generator = np.random.RandomState(7)
    one, two = (first.sample(rows, 5, random_state=generator) for _ in range(2))
    assert not np.allclose(one, two)
    unseeded = [clone(first).set_params(random_state=None).fit(X, y) for _ in range(2)]
    assert not np.allclose(*(forecaster.sample(rows, 5) for forecaster in unseeded))
    assert_array_equal(unseeded[0].predict(rows), unseeded[0].predict(rows))


IN_ANOTHER_PROCESS = """
import sys
import numpy as np
import torch
from sklearn_diffusion import ConditionalIVSurfaceForecaster
from sklearn_diffusion.grid import SurfaceGrid
from sklearn_diffusion.surfaces import Training

data = np.load(sys.argv[1])
np.random.seed(5)
torch.manual_seed(6)
grid = SurfaceGrid(data["moneyness"], data["tenors"])
for name, options in {options!r}.items():
    forecaster = ConditionalIVSurfaceForecaster(grid, **options, random_state=0)
    samples = forecaster.fit(data["X"], data["y"]).sample(data["X"][-3:], 5)
    np.save(f"{{sys.argv[2]}}/{{name}}.npy", samples)
"""


def test_samples_are_the_same_in_every_process(frame, tmp_path):
    options = {"closed_form": {"network": None}, "network_alone": NETWORK_ALONE}
    X, y = (part[:150] for part in frame)
    path = tmp_path / "data.npz"
    np.savez(path, X=X, y=y, moneyness=GRID.moneyness, tenors=GRID.tenors)
    code = IN_ANOTHER_PROCESS.format(options=options)
    arguments = [sys.executable, "-c", code, str(path), str(tmp_path)]
    subprocess.run(arguments, check=True, timeout=120)
    # The order in memory decides the order of sums: both processes read the same file.
    data = np.load(path)
    for name, choice in options.items():
        forecaster = ConditionalIVSurfaceForecaster(GRID, **choice, random_state=0)
        samples = forecaster.fit(data["X"], data["y"]).sample(data["X"][-3:], 5)
        assert_array_equal(np.load(tmp_path / f"{name}.npy"), samples)


def test_predict_is_the_mean_of_samples(closed_form, network_alone, frame):
    X = frame[0][-20:]
    for forecaster in (closed_form, network_alone):
        for options in ({}, {"n_samples": 50}):
            mean = forecaster.sample(X, options.get("n_samples", 500)).mean(axis=0)
            assert_allclose(forecaster.predict(X, **options), mean, rtol=1e-5)


# --- statistics ----------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=[1, 2])
def contest(request):
    """Held-out days and the samples of three forecasters, on markets of other seeds."""
    X, y = frame_of(make_iv_surfaces(602, grid=GRID, random_state=request.param))
    forecasters = {
        "diffusion": ConditionalIVSurfaceForecaster(GRID, random_state=0),
        "bootstrap": BootstrapForecaster(random_state=0),
        "random walk": RandomWalkForecaster(),
    }
    samples = {
        name: forecaster.fit(X[TRAIN], y[TRAIN]).sample(X[TEST], 400)
        for name, forecaster in forecasters.items()
    }
    return y[TEST].to_numpy(), samples


def test_beats_the_random_walk_and_the_bootstrap(contest):
    y, samples = contest
    score = {name: daily_crps(y, drawn, log=True) for name, drawn in samples.items()}
    assert diebold_mariano(score["diffusion"], score["random walk"]).statistic < -3
    assert diebold_mariano(score["diffusion"], score["bootstrap"]).statistic < 1
    assert score["diffusion"].mean() < 1.01 * score["bootstrap"].mean()
    energy = {name: energy_score(y, drawn, log=True) for name, drawn in samples.items()}
    assert energy["diffusion"] < 1.01 * energy["bootstrap"] < energy["random walk"]


def test_intervals_cover(contest):
    y, samples = contest
    assert 5 < ci_breach(y, sample_interval(samples["diffusion"], coverage=0.9)) < 15
    assert 40 < ci_breach(y, sample_interval(samples["diffusion"], coverage=0.5)) < 60


def test_ranks_of_what_happens_are_uniform(contest):
    y, samples = contest
    ranks = pit_values(y, samples["diffusion"])
    shares = np.histogram(ranks, bins=5, range=(0, 1))[0] / ranks.size
    # A day is hardly more than one draw: its cells move together. This is three standard errors.
    assert_allclose(shares, 0.2, atol=0.1)


def test_without_conditions_volatility_is_a_martingale(closed_form, frame):
    forecaster, X = pickle.loads(pickle.dumps(closed_form)), frame[0][TEST]
    forecaster.target_.level_coef_[:] = 0
    forecaster.target_.axis_coef_[:] = 0
    samples = forecaster.sample(X, 4000)
    today = X.iloc[:, : GRID.n_cells].to_numpy()
    growth = samples.mean(axis=0) / today - 1
    # Half a variance, which the offset takes off, is worth several of these bounds.
    variance = np.log(samples / today).var(axis=0)
    assert (np.abs(growth) < 0.2 * variance + 1e-4).all()


def test_normal_increments_are_recovered(rng):
    """Where log surfaces are a normal random walk, samples have its covariance."""
    n_days = 1500
    root = 0.02 * np.eye(6) + 0.01 * np.tri(6)
    surfaces = 0.2 * np.exp((rng.normal(size=(n_days, 6)) @ root.T).cumsum(axis=0) / 4)
    spot = 100 * np.exp(0.01 * rng.normal(size=n_days).cumsum())
    X, y = make_forecast_frame(surfaces, spot, np.full(n_days, 20.0))
    grid = SurfaceGrid([0.9, 1.0, 1.1], [0.25, 0.5])
    forecaster = ConditionalIVSurfaceForecaster(grid, network=None, random_state=0).fit(X, y)
    steps = np.log(forecaster.sample(X[-200:], 2000) / X[-200:, :6])
    covariance = np.mean([np.cov(day, rowvar=False) for day in steps.swapaxes(0, 1)], axis=0)
    truth = root @ root.T / 16
    assert np.linalg.norm(covariance - truth) < 0.15 * np.linalg.norm(truth)


def test_dispersion_follows_the_volatility_of_volatility(default, frame):
    X = frame[0][TEST].copy()
    calm = np.log(default.sample(X, 200)).std(axis=0)
    X.loc[:, [name for name in SCALAR_NAMES if name.startswith("squared_increment")]] *= 4
    assert_allclose(np.log(default.sample(X, 200)).std(axis=0), 2 * calm, rtol=0.05)


# --- bad input -----------------------------------------------------------------------------------


def fit_error(X, y, **options):
    with pytest.raises(ValueError) as error:
        ConditionalIVSurfaceForecaster(GRID, network=None, **options).fit(X, y)
    return str(error.value)


@pytest.fixture
def writable(frame):
    return frame[0][:100].copy(), frame[1][:100].copy()


def test_dates_must_be_in_order(writable):
    X, y = writable
    order = [1, 0, *range(2, 100)]
    assert "must be sorted" in fit_error(X.iloc[order], y.iloc[order])
    assert str(X.index[1].date()) in fit_error(X.iloc[order], y.iloc[order])
    twice = [0, 1, 1, *range(2, 100)]
    message = fit_error(X.iloc[twice], y.iloc[twice])
    assert "must be unique" in message
    assert str(X.index[1].date()) in message


def test_days_of_X_and_y_must_agree(writable):
    X, y = writable
    y = y.set_axis(y.index.shift(1, freq="D"))
    assert "index" in fit_error(X, y)


def test_dates_of_y_must_be_in_order_too(writable):
    X, y = writable
    assert "must be sorted" in fit_error(X.to_numpy(), y[::-1])
    assert "no date" in fit_error(X, y.set_axis(y.index.astype(str)))


def test_columns_of_another_grid_or_in_another_order_are_refused(writable):
    X, y = writable
    other = SurfaceGrid(GRID.moneyness + 0.01, GRID.tenors)
    for labels in (y.columns[::-1], other.cell_names):
        assert "column 0 of y is" in fit_error(X, y.set_axis(labels, axis=1))
    assert "column 0 of X is" in fit_error(X.iloc[:, ::-1], y)
    own = y.set_axis([f"cell {i}" for i in range(GRID.n_cells)], axis=1)
    ConditionalIVSurfaceForecaster(GRID, network=None).fit(X, own)


def test_missing_scalars_are_named(writable, closed_form):
    X, y = writable
    X.loc[X.index[7], "vix_return"] = np.nan
    X.loc[X.index[9], "spot_return"] = np.inf
    for message in (fit_error(X, y), error_of(closed_form.predict, X)):
        assert "2 scalars" in message
        assert str(X.index[7].date()) in message
        assert "vix_return" in message
    assert "day 7: vix_return" in fit_error(X.to_numpy(), y.to_numpy())


def error_of(call, *arguments):
    with pytest.raises(ValueError) as error:
        call(*arguments)
    return str(error.value)


@pytest.mark.parametrize("value", [0.0, -0.2, np.nan, np.inf])
@pytest.mark.parametrize("block", ["iv", "ewma5", "ewma20"])
def test_impossible_volatilities_in_X_are_named(value, block, writable, closed_form):
    X, y = writable
    cell = GRID.cell_names[6]
    position = ["iv", "ewma5", "ewma20"].index(block) * GRID.n_cells + 6
    X.iloc[11, position] = value
    for message in (fit_error(X, y), error_of(closed_form.sample, X)):
        assert str(X.index[11].date()) in message
        assert repr(str(cell)) in message
        assert "in X must be positive" in message


@pytest.mark.parametrize("value", [0.0, -0.2, np.nan])
def test_impossible_volatilities_in_y_are_named(value, writable):
    X, y = writable
    y.iloc[11, 6] = value
    message = fit_error(X, y)
    assert "volatilities of y" in message
    assert str(y.index[11].date()) in message
    assert repr(str(GRID.cell_names[6])) in message
    assert "day 11" in fit_error(X.to_numpy(), y.to_numpy())


def test_shapes_must_match_the_grid(writable, closed_form):
    with pytest.raises(ValueError, match="feature names"):
        closed_form.predict(writable[0].add_prefix("x"))
    X, y = (part.to_numpy() for part in writable)
    assert "y must be 2-D" in fit_error(X, y[:, 0])
    assert "20 cells of the grid" in fit_error(X, y[:, :-1])
    assert "3 surfaces of 20 cells and 12 scalars" in fit_error(X[:, :-1], y)
    assert "inconsistent numbers of samples" in fit_error(X[:50], y)
    forecaster = ConditionalIVSurfaceForecaster(GRID, network=None).fit(X, y)
    with pytest.raises(ValueError, match="expecting 72 features"):
        forecaster.predict(X[:, :-1])


def test_too_few_days(writable):
    X, y = writable
    with pytest.raises(ValueError, match=r"52 days, of which 8 validate.*fewer than min_days=50"):
        ConditionalIVSurfaceForecaster(GRID).fit(X[:52], y[:52])
    assert "minimum of 2" in fit_error(X[:1], y[:1])
    ConditionalIVSurfaceForecaster(GRID, network=None).fit(X[:52], y[:52])


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("grid", None),
        ("target", "levels"),
        ("closed_form", "yes"),
        ("network", "transformer"),
        ("network", UNet(channels=())),
        ("network", UNet(channels=(16, 0))),
        ("network", UNet(channels=("a",))),
        ("network", UNet(scalar_features=0)),
        ("network", Perceptron(width=0)),
        ("network", Perceptron(depth=0)),
        ("network", Perceptron(max_frequency=0.0)),
        ("network", Perceptron),
        ("target", IncrementTarget(half_life=0.0)),
        ("target", IncrementTarget(level_penalty=0.0)),
        ("target", IncrementTarget(axis_penalty=-1.0)),
        ("target", IncrementTarget(bound=0.0)),
        ("target", IncrementTarget(clip=0.0)),
        ("target", IncrementTarget(min_scale=0.0)),
        ("target", IncrementTarget(max_scale=0.5)),
        ("target", IncrementTarget(min_spread=0.0)),
        ("closed_form", ScaleMixture(n_scales=0)),
        ("parameterization", "score"),
        ("schedule", "quadratic"),
        ("schedule", CosineSchedule),
        ("sampler", "euler"),
        ("n_sampling_steps", 2.5),
        ("n_sampling_steps", 0),
        ("sampler", Multistep(8, clip_denoised=0.0)),
        ("sampler", Multistep(0)),
        ("training", "fast"),
        ("training", Training(lr=0.0)),
        ("training", Training(weight_decay=-0.1)),
        ("training", Training(batch_size=0)),
        ("training", Training(max_epochs=0)),
        ("training", Training(patience=0)),
        ("training", Training(plateau_factor=1.0)),
        ("training", Training(plateau_patience=-1)),
        ("training", Training(min_lr=-1e-6)),
        ("training", Training(clip_norm=0.0)),
        ("training", Training(ema_decay=1.0)),
        ("training", Training(validation_fraction=0.0)),
        ("training", Training(n_evaluation_draws=0)),
        ("training", Training(min_days=0)),
        ("training", Training(min_gain="two")),
        ("training", Training(penalty="price")),
        ("training", Training(verbose=-1)),
        ("training", Training(penalty=ArbitragePenalty(weight=-1.0))),
        ("training", Training(penalty=ArbitragePenalty(form="calls"))),
        ("training", Training(penalty=ArbitragePenalty(bound=0.0))),
        ("n_jobs", "two"),
        ("device", "tpu"),
        ("random_state", "seed"),
    ],
)
def test_parameters_are_checked_before_any_work(parameter, value):
    forecaster = ConditionalIVSurfaceForecaster(GRID).set_params(**{parameter: value})
    named = parameter
    if isinstance(value, BaseEstimator):
        # One of the part's parameters that are not the usual ones.
        usual = type(value)().get_params()
        changed = {k: v for k, v in value.get_params().items() if v != usual.get(k, v)}
        named = "|".join(changed) if "penalty" not in changed else "weight|form|bound|penalty'"
    with pytest.raises(ValueError, match=named):
        # Data that no check would let pass: the parameter is named first.
        forecaster.fit([["not"]], "data")


def test_without_closed_form_there_must_be_a_network(writable):
    assert "needs a network" in fit_error(*writable, closed_form=False)


def test_number_of_samples_is_checked(closed_form, frame):
    with pytest.raises(ValueError, match="n_samples"):
        closed_form.sample(frame[0], 0)
    with pytest.raises(ValueError, match="n_samples"):
        closed_form.sample(frame[0], 2.5)


def test_quantiles_of_nothing_are_refused(closed_form, frame):
    with pytest.raises(ValueError, match="q must be one or more probabilities"):
        closed_form.predict_quantiles(frame[0], [])
    with pytest.raises(ValueError, match="0 sample"):
        closed_form.predict_interval(frame[0][:0])
