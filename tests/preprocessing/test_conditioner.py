from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_diffusion.preprocessing import (
    SCALAR_NAMES,
    EWMAConditioner,
    advance_features,
    make_forecast_frame,
    split_features,
)

TIME_SERIES = "a feature depends on the days before it, so rows have an order"
TWO_COLUMNS = "the check's two columns leave no cell beside spot and VIX"
EXPECTED_FAILURES = {
    "check_methods_sample_order_invariance": TIME_SERIES,
    "check_methods_subset_invariance": TIME_SERIES,
    "check_estimators_overwrite_params": TWO_COLUMNS,
    "check_estimators_fit_returns_self": TWO_COLUMNS,
    "check_readonly_memmap_input": TWO_COLUMNS,
    "check_n_features_in_after_fitting": TWO_COLUMNS,
    "check_fit_idempotent": TWO_COLUMNS,
    "check_fit_check_is_fitted": TWO_COLUMNS,
    "check_n_features_in": TWO_COLUMNS,
}


@parametrize_with_checks(
    [EWMAConditioner()], expected_failed_checks=lambda estimator: EXPECTED_FAILURES
)
@pytest.mark.usefixtures("strictly_positive_checks")
def test_scikit_learn_contract(estimator, check):
    check(estimator)


def test_scalars_are_the_recursions_of_the_paper(market, grid):
    """After a long history the weights of equation (35) do not depend on how it starts."""
    repeats = 5
    spot, vix = (np.tile(market[name], repeats) for name in ("spot", "vix"))
    surfaces = np.tile(market["surfaces"], (repeats, 1))
    features = split_features(make_forecast_frame(surfaces, spot, vix)[0], grid)
    returns = spot[1:] / spot[:-1] - 1
    squared_increments = (np.diff(np.log(surfaces), axis=0) ** 2).mean(axis=1)
    series = {
        "return_ewma_0.156": (returns, 0.156),
        "return_ewma_0.118": (returns, 0.118),
        "squared_return_ewma_0.3": (returns**2, 0.3),
        "squared_return_ewma_0.15": (returns**2, 0.15),
        "squared_increment_ewma_0.94": (squared_increments, 0.06),
        "squared_increment_ewma_0.8": (squared_increments, 0.2),
    }
    for name, (values, alpha) in series.items():
        average = values[0]
        for value in values[1:-1]:
            average = alpha * value + (1 - alpha) * average
        assert features.scalar(name)[-1] == pytest.approx(average, rel=1e-5), name
    np.testing.assert_allclose(features.scalar("spot_return"), returns[:-1])
    np.testing.assert_allclose(features.scalar("vix_return"), vix[1:-1] / vix[:-2] - 1)


def test_surface_averages_are_of_log_volatility(market, grid):
    features = split_features(make_forecast_frame(**market)[0], grid)
    logs = pd.DataFrame(np.log(market["surfaces"]))
    for span, average in ((5, features.ewma_short), (20, features.ewma_long)):
        np.testing.assert_allclose(np.log(average), logs.ewm(span=span).mean()[1:-1])


def test_advancing_features_agrees_with_the_whole_history(market, grid):
    repeats = 8
    history = {
        name: np.concatenate([market[name]] * repeats) for name in ("surfaces", "spot", "vix")
    }
    X, y = make_forecast_frame(**history)
    known = split_features(X, grid)
    advanced = advance_features(
        X[:-1], y[:-1], known.scalar("spot_return")[1:], known.scalar("vix_return")[1:]
    )
    np.testing.assert_allclose(advanced[-50:], X[-50:], rtol=1e-4, atol=1e-12)


def test_conditioner_gives_the_features_of_the_last_day(market, without_weekday):
    panel = np.column_stack([market["surfaces"], market["spot"], market["vix"]])
    conditioner = EWMAConditioner().fit(panel)
    X, _ = make_forecast_frame(**market)
    last = conditioner.transform(panel[:-1])[-1]
    np.testing.assert_allclose(without_weekday(last), without_weekday(X.iloc[-1]))
    assert np.isfinite(conditioner.transform(panel)[-1]).all()


def test_feature_names_follow_the_layout(market, grid, without_weekday):
    X, _ = make_forecast_frame(**market, grid=grid)
    cells = list(grid.cell_names)
    expected = [f"{block}_{cell}" for block in ("iv", "ewma5", "ewma20") for cell in cells]
    assert list(X.columns) == [*expected, *SCALAR_NAMES]
    panel = pd.DataFrame(market["surfaces"], columns=grid.cell_names).assign(
        spot=market["spot"], vix=market["vix"]
    )
    conditioner = EWMAConditioner().set_output(transform="pandas")
    transformed = conditioner.fit_transform(panel)
    assert list(transformed.columns) == list(X.columns)
    np.testing.assert_allclose(without_weekday(transformed.iloc[1:-1]), without_weekday(X))
    changes = [name for name in SCALAR_NAMES if name != "weekday"]
    assert transformed[changes].iloc[0].isna().all()


def test_spot_and_vix_stand_last(tables, grid):
    panel = tables["surfaces"].assign(vix=tables["vix"], spot=tables["spot"])
    for known in (grid, None):
        with pytest.raises(ValueError, match=r"column 6 of X is 'vix', but 'spot' belongs there"):
            EWMAConditioner(known).fit(panel)


def test_an_index_of_text_is_no_index_of_dates(tables):
    panel = tables["surfaces"].assign(spot=tables["spot"], vix=tables["vix"])
    with pytest.raises(ValueError, match="index of X starts with '2019-01-02'"):
        EWMAConditioner().fit(panel.set_axis(panel.index.astype(str)))
