from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_diffusion.grid import SurfaceGrid
from sklearn_diffusion.preprocessing import (
    SCALAR_NAMES,
    EWMAConditioner,
    advance_features,
    make_forecast_frame,
    split_features,
)

GRID = SurfaceGrid([0.9, 1.0, 1.1], [0.1, 0.5])
N_DAYS = 60


@pytest.fixture
def market(rng):
    dates = pd.bdate_range("2019-01-02", periods=N_DAYS)
    surfaces = np.exp(rng.normal(0, 0.05, (N_DAYS, GRID.n_cells)).cumsum(axis=0) - 1.6)
    spot = 100 * np.exp(rng.normal(0, 0.01, N_DAYS).cumsum())
    vix = 20 * np.exp(rng.normal(0, 0.05, N_DAYS).cumsum())
    return {"surfaces": surfaces, "spot": spot, "vix": vix, "dates": dates}


def with_gap(market, position, days=30):
    dates = market["dates"].to_series().reset_index(drop=True)
    dates[position:] += pd.Timedelta(days=days)
    return {**market, "dates": pd.DatetimeIndex(dates)}


def without_weekday(X):
    """All features but the one that needs dates."""
    return np.delete(np.asarray(X), 3 * GRID.n_cells + SCALAR_NAMES.index("weekday"), axis=-1)


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


def test_frame_pairs_each_day_with_the_next(market):
    X, y, report = make_forecast_frame(**market, grid=GRID, return_report=True)
    today = split_features(X, GRID).today
    np.testing.assert_array_equal(today, market["surfaces"][1:-1])
    np.testing.assert_array_equal(y, market["surfaces"][2:])
    assert X.index.equals(market["dates"][1:-1]) and y.index.equals(X.index)
    assert list(y.columns) == list(GRID.cell_names)
    assert report["position"].tolist() == [0, N_DAYS - 1]
    assert report["reason"].tolist() == ["first day", "last day"]


def test_scalars_are_the_recursions_of_the_paper(market):
    """After a long history the weights of equation (35) do not depend on how it starts."""
    repeats = 5
    spot, vix = (np.tile(market[name], repeats) for name in ("spot", "vix"))
    surfaces = np.tile(market["surfaces"], (repeats, 1))
    features = split_features(make_forecast_frame(surfaces, spot, vix)[0], GRID)
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


def test_surface_averages_are_of_log_volatility(market):
    features = split_features(make_forecast_frame(**market)[0], GRID)
    logs = pd.DataFrame(np.log(market["surfaces"]))
    for span, average in ((5, features.ewma_short), (20, features.ewma_long)):
        np.testing.assert_allclose(np.log(average), logs.ewm(span=span).mean()[1:-1])


@pytest.mark.parametrize("day", [5, 30])
def test_the_future_does_not_change_the_past(market, day):
    altered = {name: np.array(market[name]) for name in ("surfaces", "spot", "vix")}
    for values in altered.values():
        values[day + 1 :] *= 3
    X, _ = make_forecast_frame(**market)
    X_altered, _ = make_forecast_frame(**altered, dates=market["dates"])
    until = market["dates"][day]
    pd.testing.assert_frame_equal(X.loc[:until], X_altered.loc[:until])
    assert not np.allclose(X.iloc[day], X_altered.iloc[day])


def test_nothing_crosses_a_gap(market):
    split = 25
    with pytest.warns(UserWarning, match=r"1 gaps of more than 14 .* 2 days") as warnings:
        X, y, report = make_forecast_frame(**with_gap(market, split), return_report=True)
    assert warnings[0].filename == __file__
    dates = with_gap(market, split)["dates"]
    assert report.index.tolist() == [dates[0], dates[split - 1], dates[split], dates[-1]]
    assert "before the day after" in report["reason"].iloc[1]
    assert "after the day before" in report["reason"].iloc[2]
    assert X.index.equals(dates.delete([0, split - 1, split, N_DAYS - 1]))
    # Whatever happened over the gap, no feature of changes has seen it.
    jump = np.where(np.arange(N_DAYS) < split, 1.0, 3.0)
    jumped = {
        **with_gap(market, split),
        "surfaces": market["surfaces"] * jump[:, None],
        "spot": market["spot"] * jump,
        "vix": market["vix"] * jump,
    }
    with pytest.warns(UserWarning, match="1 gaps"):
        X_jumped, y_jumped = make_forecast_frame(**jumped)
    scalars = list(SCALAR_NAMES)
    np.testing.assert_allclose(X_jumped[scalars], X[scalars], rtol=1e-9, atol=1e-12)
    after = X.index >= dates[split]
    np.testing.assert_allclose(y_jumped[after], 3 * y[after])


def test_a_gap_as_long_as_allowed_is_no_gap(market):
    dates = with_gap(market, 25, days=14 - 1)["dates"]
    assert (dates[25] - dates[24]).days == 14
    X, _ = make_forecast_frame(market["surfaces"], market["spot"], market["vix"], dates=dates)
    assert len(X) == N_DAYS - 2


def test_dates_may_be_strings_or_carry_a_time_zone(market):
    X, _ = make_forecast_frame(**market)
    for dates in (market["dates"].strftime("%Y-%m-%d"), market["dates"].tz_localize("Asia/Tokyo")):
        X_other, _ = make_forecast_frame(**{**market, "dates": dates})
        np.testing.assert_array_equal(X, X_other)


def test_advancing_features_agrees_with_the_whole_history(market):
    repeats = 8
    history = {
        name: np.concatenate([market[name]] * repeats) for name in ("surfaces", "spot", "vix")
    }
    X, y = make_forecast_frame(**history)
    known = split_features(X, GRID)
    advanced = advance_features(
        X[:-1], y[:-1], known.scalar("spot_return")[1:], known.scalar("vix_return")[1:]
    )
    np.testing.assert_allclose(advanced[-50:], X[-50:], rtol=1e-4, atol=1e-12)


def test_arrays_frames_and_cubes_agree(market):
    X, y = make_forecast_frame(**market)
    frame = pd.DataFrame(market["surfaces"], market["dates"], GRID.cell_names)
    X_frame, y_frame = make_forecast_frame(frame, market["spot"], market["vix"])
    cube = GRID.unflatten(market["surfaces"])
    X_cube, y_cube = make_forecast_frame(cube, market["spot"], market["vix"], grid=GRID)
    assert isinstance(X_cube, np.ndarray)
    np.testing.assert_array_equal(X, X_frame)
    np.testing.assert_array_equal(without_weekday(X), without_weekday(X_cube))
    assert (split_features(X_cube, GRID).scalar("weekday") == 0).all()
    np.testing.assert_array_equal(X["weekday"], X.index.day_of_week + 1)
    np.testing.assert_array_equal(y, y_cube)
    assert list(y_frame.columns) == list(GRID.cell_names)


def test_conditioner_gives_the_features_of_the_last_day(market):
    panel = np.column_stack([market["surfaces"], market["spot"], market["vix"]])
    conditioner = EWMAConditioner().fit(panel)
    X, _ = make_forecast_frame(**market)
    last = conditioner.transform(panel[:-1])[-1]
    np.testing.assert_allclose(without_weekday(last), without_weekday(X.iloc[-1]))
    assert np.isfinite(conditioner.transform(panel)[-1]).all()


def test_feature_names_follow_the_layout(market):
    X, _ = make_forecast_frame(**market, grid=GRID)
    cells = list(GRID.cell_names)
    expected = [f"{block}_{cell}" for block in ("iv", "ewma5", "ewma20") for cell in cells]
    assert list(X.columns) == [*expected, *SCALAR_NAMES]
    panel = pd.DataFrame(market["surfaces"], columns=GRID.cell_names).assign(
        spot=market["spot"], vix=market["vix"]
    )
    conditioner = EWMAConditioner().set_output(transform="pandas")
    transformed = conditioner.fit_transform(panel)
    assert list(transformed.columns) == list(X.columns)
    np.testing.assert_allclose(without_weekday(transformed.iloc[1:-1]), without_weekday(X))
    changes = [name for name in SCALAR_NAMES if name != "weekday"]
    assert transformed[changes].iloc[0].isna().all()


def test_bad_dates_are_named(market):
    dates = market["dates"].to_numpy().copy()
    repeated = dates.copy()
    repeated[4] = repeated[3]
    unsorted = dates.copy()
    unsorted[[3, 4]] = unsorted[[4, 3]]
    missing = dates.copy()
    missing[7] = np.datetime64("NaT")
    for bad, message in (
        (repeated, "unique.*2019-01-07"),
        (unsorted, "sorted; 2019-01-08 stands before 2019-01-07"),
        (missing, "missing at position 7"),
        (dates[:-1], "59 entries for 60 days"),
        (np.arange(20190101, 20190161), "dates are numbers"),
    ):
        with pytest.raises(ValueError, match=message):
            make_forecast_frame(**{**market, "dates": bad})


def test_bad_values_are_named(market):
    market["surfaces"][10, 3] = np.nan
    with pytest.raises(ValueError, match=r"NaN on day 2019-01-16, cell 'm1.00_t0.500'"):
        make_forecast_frame(**market, grid=GRID)
    market["surfaces"][10, 3] = 0.2
    market["vix"][2] = 0
    with pytest.raises(ValueError, match=r"0 on day 2019-01-04, cell 'vix'"):
        make_forecast_frame(**market, grid=GRID)


def test_bad_shapes(market):
    with pytest.raises(ValueError, match="grid has 81"):
        make_forecast_frame(**market, grid=SurfaceGrid.paper())
    with pytest.raises(ValueError, match="spot must hold one value for each of 60 days"):
        make_forecast_frame(**{**market, "spot": market["spot"][:-1]})
    with pytest.raises(ValueError, match="No pair"):
        make_forecast_frame(**{name: values[:2] for name, values in market.items()})
    with pytest.raises(ValueError, match=r"30 columns, 3 surfaces of 6 cells"):
        split_features(np.ones((3, 25)), GRID)
    with pytest.raises(ValueError, match="index of vix"):
        frame = pd.DataFrame(market["surfaces"], market["dates"])
        make_forecast_frame(frame, market["spot"], pd.Series(market["vix"]))


@pytest.fixture
def tables(market):
    """The market as DataFrame and Series, indexed by date."""
    dates = market["dates"]
    return {
        "surfaces": pd.DataFrame(market["surfaces"], dates, GRID.cell_names),
        "spot": pd.Series(market["spot"], dates),
        "vix": pd.Series(market["vix"], dates),
    }


def test_columns_of_another_grid_or_in_another_order_are_refused(tables):
    surfaces = tables.pop("surfaces")
    other = SurfaceGrid(GRID.moneyness - 0.2, GRID.tenors)
    for grid, frame in ((other, surfaces), (GRID, surfaces.iloc[:, ::-1])):
        with pytest.raises(ValueError, match=r"column 0 of surfaces is 'm.*belongs there"):
            make_forecast_frame(frame, **tables, grid=grid)
    labelled = surfaces.set_axis(list("abcdef"), axis=1)
    X, _ = make_forecast_frame(labelled, **tables, grid=GRID)
    assert X.columns[0] == "iv_m0.90_t0.100"


def test_spot_and_vix_stand_last(tables):
    panel = tables["surfaces"].assign(vix=tables["vix"], spot=tables["spot"])
    for grid in (GRID, None):
        with pytest.raises(ValueError, match=r"column 6 of X is 'vix', but 'spot' belongs there"):
            EWMAConditioner(grid).fit(panel)


def test_an_index_of_text_is_no_index_of_dates(tables):
    text = {name: table.set_axis(table.index.astype(str)) for name, table in tables.items()}
    with pytest.raises(ValueError, match="index of surfaces starts with '2019-01-02'"):
        make_forecast_frame(**text)
    panel = text["surfaces"].assign(spot=text["spot"], vix=text["vix"])
    with pytest.raises(ValueError, match="index of X starts with '2019-01-02'"):
        EWMAConditioner().fit(panel)


def test_tables_must_agree_on_their_days(tables):
    dates = tables["surfaces"].index
    X, _ = make_forecast_frame(**tables, dates=dates.strftime("%Y-%m-%d"))
    assert X.index.equals(dates[1:-1])
    with pytest.raises(ValueError, match="index of surfaces differs from dates"):
        make_forecast_frame(**tables, dates=dates + pd.Timedelta(days=1))
    late = {**tables, "vix": tables["vix"].shift(freq="D")}
    with pytest.raises(ValueError, match="index of vix differs from that of surfaces"):
        make_forecast_frame(**late)
    with pytest.raises(ValueError, match="index of vix differs from that of spot"):
        make_forecast_frame(**{**late, "surfaces": tables["surfaces"].to_numpy()})


def test_grid_must_be_a_grid(market):
    with pytest.raises(ValueError, match="'grid' parameter of make_forecast_frame"):
        make_forecast_frame(**market, grid="paper")
