from __future__ import annotations

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from sklearn_diffusion.baselines import BootstrapForecaster, RandomWalkForecaster
from sklearn_diffusion.datasets import make_iv_surfaces
from sklearn_diffusion.grid import SurfaceGrid
from sklearn_diffusion.metrics import (
    arbitrage_penalty,
    ci_breach,
    crps,
    energy_score,
    get_scorer,
    mape,
    pit_cramer_von_mises,
    sample_interval,
)
from sklearn_diffusion.preprocessing import make_forecast_frame

NAMES = (
    "neg_mape",
    "neg_ci_breach_error",
    "neg_crps",
    "neg_energy_score",
    "neg_pit_cramer_von_mises",
)


@pytest.fixture(scope="module")
def frame():
    grid = SurfaceGrid([0.9, 1.0, 1.1], [1 / 12, 0.5])
    market = make_iv_surfaces(700, grid=grid, random_state=0)
    return make_forecast_frame(market.surfaces, market.spot, market.vix)


def test_scores_are_the_metrics_with_their_sign(frame):
    X, y = frame
    forecaster = BootstrapForecaster(random_state=0).fit(X[:500], y[:500])
    held_out = X[500:], y[500:]
    samples = forecaster.sample(X[500:], 200, random_state=0)
    assert get_scorer("neg_mape")(forecaster, *held_out) == pytest.approx(
        -mape(y[500:], forecaster.predict(X[500:]))
    )
    assert get_scorer("neg_crps")(forecaster, *held_out) == pytest.approx(
        -crps(y[500:], samples, log=True)
    )
    assert get_scorer("neg_energy_score")(forecaster, *held_out) == pytest.approx(
        -energy_score(y[500:], samples, log=True)
    )
    assert get_scorer("neg_pit_cramer_von_mises")(forecaster, *held_out) == pytest.approx(
        -pit_cramer_von_mises(y[500:], samples)
    )
    breach = ci_breach(y[500:], sample_interval(samples, 0.9))
    assert breach != pytest.approx(10)
    assert get_scorer("neg_ci_breach_error")(forecaster, *held_out) == pytest.approx(
        -abs(breach - 10)
    )
    grid = SurfaceGrid([0.9, 1.0, 1.1], [0.5 - 1e-3, 0.5])
    forecaster.grid = grid
    assert get_scorer("neg_arbitrage_penalty")(forecaster, *held_out) == pytest.approx(
        -arbitrage_penalty(samples, grid).mean()
    )


def test_arbitrage_is_scored_on_the_grid_of_the_estimator(frame):
    X, y = frame
    forecaster = BootstrapForecaster(random_state=0).fit(X[:500], y[:500])
    scorer = get_scorer("neg_arbitrage_penalty")
    with pytest.raises(ValueError, match=r"BootstrapForecaster .* no SurfaceGrid"):
        scorer(forecaster, X[500:])
    forecaster.grid = SurfaceGrid([0.9, 1.0, 1.1], [1 / 12, 0.5])
    assert -1e-9 < scorer(forecaster, X[500:]) <= 0
    # The same volatilities a thousandth of a year apart: total variance falls with the tenor.
    forecaster.grid = SurfaceGrid([0.9, 1.0, 1.1], [0.5 - 1e-3, 0.5])
    assert scorer(forecaster, X[500:]) < -1e-3


def test_a_pipeline_scores_as_the_forecaster_at_its_end(frame):
    X, y = frame
    forecaster = BootstrapForecaster(random_state=0)
    forecaster.grid = SurfaceGrid([0.9, 1.0, 1.1], [1 / 12, 0.5])
    fitted = forecaster.fit(X[:500], y[:500])
    doubled = FunctionTransformer(lambda rows: 2 * rows)
    for steps, rows in (([], X[500:]), ([doubled.fit(X)], 0.5 * X[500:])):
        pipeline = make_pipeline(*steps, fitted)
        for name in (*NAMES, "neg_ci_width", "neg_arbitrage_penalty"):
            score = get_scorer(name)
            expected = pytest.approx(score(fitted, X[500:], y[500:]))
            assert score(pipeline, rows, y[500:]) == expected, name


def test_width_is_scored_negatively(frame):
    X, y = frame
    forecaster = BootstrapForecaster(random_state=0).fit(X[:500], y[:500])
    interval = forecaster.predict_interval(X[500:], n_samples=200, random_state=0)
    expected = -(interval[..., 1] - interval[..., 0]).mean()
    assert get_scorer("neg_ci_width")(forecaster, X[500:]) == pytest.approx(expected)


def test_a_distribution_beats_a_point(frame):
    scoring = {name: get_scorer(name) for name in NAMES}
    results = {
        model: cross_validate(model, *frame, scoring=scoring, cv=TimeSeriesSplit(3))
        for model in (BootstrapForecaster(random_state=0), RandomWalkForecaster())
    }
    bootstrap, walk = results.values()
    for name in NAMES[1:]:
        assert (bootstrap[f"test_{name}"] > walk[f"test_{name}"]).all(), name
    assert np.isfinite(
        [scores[f"test_{name}"] for scores in results.values() for name in NAMES]
    ).all()


def test_grid_search_finds_the_filter(frame):
    search = GridSearchCV(
        BootstrapForecaster(random_state=0),
        {"filtered": [False, True]},
        scoring=get_scorer("neg_crps"),
        cv=TimeSeriesSplit(3),
    ).fit(*frame)
    assert search.best_params_ == {"filtered": True}
