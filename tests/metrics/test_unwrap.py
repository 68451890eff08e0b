"""Scores of models inside pipelines, searches and transformed targets, in the units of the data."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.compose import TransformedTargetRegressor
from sklearn.covariance import LedoitWolf
from sklearn.decomposition import PCA
from sklearn.dummy import DummyRegressor
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    MinMaxScaler,
    PowerTransformer,
    StandardScaler,
)

from sklearn_diffusion import (
    ConditionalIVSurfaceForecaster,
    DiffusionCovarianceEstimator,
    RandomWalkForecaster,
    SurfaceGrid,
    make_forecast_frame,
)
from sklearn_diffusion.datasets import make_factor_returns, make_iv_surfaces
from sklearn_diffusion.metrics import get_scorer, get_scorer_names, mape
from sklearn_diffusion.metrics.scorers import SCORERS
from sklearn_diffusion.metrics.unwrap import Unwrapped, affine_map
from sklearn_diffusion.returns import EarlyStopping

RETURNS = [name for name in SCORERS if "returns" in SCORERS[name].__module__]
SURFACES = [name for name in SCORERS if "surfaces" in SCORERS[name].__module__]
GRID = SurfaceGrid([0.9, 1.0, 1.1], [0.1, 0.5])


@pytest.fixture(scope="module")
def returns():
    return make_factor_returns(400, 5, random_state=0).returns


@pytest.fixture(scope="module")
def frame():
    market = make_iv_surfaces(150, grid=GRID, random_state=0)
    return make_forecast_frame(market.surfaces, market.spot, market.vix, dates=market.dates)


def test_there_are_scorers_of_both_kinds():
    assert RETURNS and SURFACES and set(RETURNS + SURFACES) <= set(get_scorer_names())


@pytest.mark.parametrize("name", RETURNS)
def test_a_scaler_before_the_model_does_not_change_its_units(name, returns):
    """The default does not depend on units, so scaling before it changes nothing at all."""
    model = DiffusionCovarianceEstimator(random_state=0)
    train, test = returns[:300], returns[300:]
    plain = SCORERS[name](clone(model).fit(train), test)
    piped = SCORERS[name](make_pipeline(StandardScaler(), clone(model)).fit(train), test)
    assert piped == pytest.approx(plain, rel=1e-4)


@pytest.mark.parametrize("name", RETURNS)
def test_searches_over_pipelines_are_scored(name, returns):
    search = GridSearchCV(
        make_pipeline(
            StandardScaler(),
            DiffusionCovarianceEstimator(score_model=EarlyStopping(), random_state=0),
        ),
        {"diffusioncovarianceestimator__score_model__stop_time": [0.01, 0.9]},
        scoring=get_scorer(name),
        cv=TimeSeriesSplit(2),
        error_score="raise",
    ).fit(returns)
    scores = search.cv_results_["mean_test_score"]
    assert np.isfinite(scores).all()
    outer = cross_val_score(
        search, returns, scoring=get_scorer(name), cv=TimeSeriesSplit(2), error_score="raise"
    )
    assert np.isfinite(outer).all()


def test_a_rotation_before_the_model_is_undone(returns):
    scorer = SCORERS["neg_minimum_variance_volatility"]
    train, test = returns[:300], returns[300:]
    piped = make_pipeline(PCA(), LedoitWolf()).fit(train)
    inner = PCA().fit(train)
    back = inner.components_
    weights = np.linalg.solve(back.T @ piped[-1].covariance_ @ back, np.ones(5))
    expected = -np.std(test @ (weights / weights.sum()))
    assert scorer(piped, test) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([PowerTransformer()], "transformations that are not linear"),
        ([FunctionTransformer(np.tanh), StandardScaler()], None),
    ],
)
def test_what_cannot_be_undone_is_refused(steps, message, returns):
    piped = make_pipeline(*steps, LedoitWolf()).fit(100 * returns)
    if message is None:  # a function without an inverse is scikit-learn's identity
        assert np.isfinite(SCORERS["neg_condition_number"](piped, returns))
    else:
        with pytest.raises(ValueError, match=message):
            SCORERS["neg_condition_number"](piped, returns)


def test_small_units_do_not_hide_what_is_not_linear():
    with pytest.raises(ValueError, match="not linear"):
        affine_map(lambda rows: 1e-10 * np.tanh(rows), 3)
    rotation = np.linalg.qr(np.random.RandomState(0).randn(3, 3))[0]
    matrix = affine_map(lambda rows: 1e-10 * (rows @ rotation + 5), 3)
    np.testing.assert_allclose(matrix, 1e-10 * rotation, atol=1e-24)


def test_rounding_beside_zeros_is_linear():
    """Where an output does not depend on an input, what is left is a matter of rounding."""
    rounding = 1e-17 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]])
    matrix = affine_map(lambda rows: 3 * rows + (rows.max() > 1) * rounding[: len(rows)], 3)
    np.testing.assert_allclose(matrix, 3 * np.eye(3), atol=1e-15)


def test_samples_are_turned_back_cell_by_cell(rng):
    """Samples (n_samples, n_days, n_cells) go through steps that treat every cell on its own."""
    steps = (
        MinMaxScaler().fit([[1.0, 5.0, 0.0], [3.0, 6.0, 8.0]]),
        StandardScaler(with_mean=False).fit([[0.0, 0.0, 0.0], [2.0, 4.0, 6.0]]),
    )
    samples = rng.uniform(size=(2, 4, 3))
    expected = samples * [1, 2, 3] * [2, 1, 8] + [1, 5, 0]
    np.testing.assert_allclose(Unwrapped(None).original(samples, steps), expected)


def test_a_step_without_a_way_back_is_named(returns):
    class OneWay(StandardScaler):
        inverse_transform = property()

    piped = make_pipeline(OneWay(), DiffusionCovarianceEstimator(random_state=0)).fit(returns)
    with pytest.raises(ValueError, match="OneWay before it has no inverse_transform"):
        SCORERS["cramer_von_mises"](piped, returns)


def test_models_without_samples_are_named(returns, frame):
    with pytest.raises(ValueError, match=r"Pipeline cannot be scored: LedoitWolf has no sample"):
        SCORERS["cramer_von_mises"](
            make_pipeline(StandardScaler(), LedoitWolf()).fit(returns), returns
        )
    X, y = frame
    with pytest.raises(ValueError, match="DummyRegressor has no sample"):
        SCORERS["neg_crps"](DummyRegressor().fit(X, y), X, y)


@pytest.mark.parametrize("name", SURFACES)
def test_transformed_targets_are_scored_as_volatilities(name, frame):
    """A scale of the target that is undone before scoring: the random walk in half volatilities."""
    X, y = frame
    forecaster = ConditionalIVSurfaceForecaster(GRID, network=None, random_state=0)
    plain = clone(forecaster).fit(X[:120], y[:120])
    same = TransformedTargetRegressor(
        clone(forecaster), transformer=FunctionTransformer(np.asarray, np.asarray)
    ).fit(X[:120], y[:120])
    nested = GridSearchCV(
        make_pipeline(FunctionTransformer(), same), {}, cv=TimeSeriesSplit(2), error_score="raise",
        scoring=get_scorer("neg_mape"),
    ).fit(X[:120], y[:120])  # fmt: skip
    expected = SCORERS[name](plain, X[120:], y[120:])
    for model in (same, nested):
        assert SCORERS[name](model, X[120:], y[120:]) == pytest.approx(expected, rel=1e-6)


def test_samples_of_a_transformed_target_are_turned_back(frame):
    X, y = frame
    halved = TransformedTargetRegressor(
        ConditionalIVSurfaceForecaster(GRID, network=None, random_state=0),
        func=lambda v: v / 2, inverse_func=lambda v: 2 * v, check_inverse=False,
    ).fit(X[:120], y[:120])  # fmt: skip
    right = TransformedTargetRegressor(
        RandomWalkForecaster(), func=lambda v: v / 2, inverse_func=lambda v: 2 * v,
        check_inverse=False,
    ).fit(X[:120], y[:120])  # fmt: skip
    truth = y[120:]
    assert SCORERS["neg_crps"](halved, X[120:], truth) < 0
    # Twice today's surface, as it has to be: samples are in the target's own units.
    doubled = SCORERS["neg_mape"](right, X[120:], truth)
    assert doubled == pytest.approx(-mape(truth, 2 * X[120:].to_numpy()[:, :6]), rel=1e-9)


# --- labels of pairs -----------------------------------------------------------------------------


@pytest.mark.parametrize("change", ["cells", "days"])
def test_tables_in_another_order_are_refused(change, frame):
    _, y = frame
    forecast = 1.01 * y
    if change == "cells":
        forecast = forecast[forecast.columns[::-1]]
        labels = f"{y.columns[-1]} beside {y.columns[0]}"
    else:
        forecast = forecast.set_axis(y.index.shift(1, freq="D"))
        labels = f"{forecast.index[0].date()} beside {y.index[0].date()}"
    message = f"y_pred differs from y_true .*first at {change[:-1]} 0: {labels}"
    with pytest.raises(ValueError, match=message):
        mape(y, forecast)
    with pytest.raises(ValueError, match="mask differs from y_true"):
        mape(y, 1.01 * y, mask=forecast > 0)
    assert mape(y, forecast.to_numpy()) > 0


def test_dates_in_a_halving_search_say_what_to_do(frame):
    X, y = frame
    shuffled = X.sample(frac=1, random_state=0)
    with pytest.raises(ValueError, match="dates must be sorted"):
        ConditionalIVSurfaceForecaster(GRID, network=None).fit(shuffled, y.loc[shuffled.index])


def test_no_seed_leaves_numpy_s_generator_alone(returns):
    """The guard of the tests fails this one if it moves."""
    from sklearn_diffusion.metrics import (
        classifier_two_sample_accuracy,
        cramer_von_mises,
        random_portfolios,
        sample_quality,
    )

    make_factor_returns(10, 3)
    random_portfolios(3)
    cramer_von_mises(returns, returns + 0.001, portfolios="long_only")
    classifier_two_sample_accuracy(returns[:60], returns[60:120])
    sample_quality(returns[:100], returns[100:200], returns[200:300])
