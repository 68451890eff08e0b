from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sklearn_diffusion.grid import SurfaceGrid
from sklearn_diffusion.preprocessing import SCALAR_NAMES, make_forecast_frame, split_features


def with_gap(market, position, days=30):
    dates = market["dates"].to_series().reset_index(drop=True)
    dates[position:] += pd.Timedelta(days=days)
    return {**market, "dates": pd.DatetimeIndex(dates)}


def test_frame_pairs_each_day_with_the_next(market, grid):
    X, y, report = make_forecast_frame(**market, grid=grid, return_report=True)
    today = split_features(X, grid).today
    np.testing.assert_array_equal(today, market["surfaces"][1:-1])
    np.testing.assert_array_equal(y, market["surfaces"][2:])
    assert X.index.equals(market["dates"][1:-1]) and y.index.equals(X.index)
    assert list(y.columns) == list(grid.cell_names)
    assert report["position"].tolist() == [0, len(market["dates"]) - 1]
    assert report["reason"].tolist() == ["first day", "last day"]


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
    assert X.index.equals(dates.delete([0, split - 1, split, len(market["dates"]) - 1]))
    # Whatever happened over the gap, no feature of changes has seen it.
    jump = np.where(np.arange(len(market["dates"])) < split, 1.0, 3.0)
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
    assert len(X) == len(market["dates"]) - 2


def test_dates_may_be_strings_or_carry_a_time_zone(market):
    X, _ = make_forecast_frame(**market)
    for dates in (market["dates"].strftime("%Y-%m-%d"), market["dates"].tz_localize("Asia/Tokyo")):
        X_other, _ = make_forecast_frame(**{**market, "dates": dates})
        np.testing.assert_array_equal(X, X_other)


def test_arrays_frames_and_cubes_agree(market, grid, without_weekday):
    X, y = make_forecast_frame(**market)
    frame = pd.DataFrame(market["surfaces"], market["dates"], grid.cell_names)
    X_frame, y_frame = make_forecast_frame(frame, market["spot"], market["vix"])
    cube = grid.unflatten(market["surfaces"])
    X_cube, y_cube = make_forecast_frame(cube, market["spot"], market["vix"], grid=grid)
    assert isinstance(X_cube, np.ndarray)
    np.testing.assert_array_equal(X, X_frame)
    np.testing.assert_array_equal(without_weekday(X), without_weekday(X_cube))
    assert (split_features(X_cube, grid).scalar("weekday") == 0).all()
    np.testing.assert_array_equal(X["weekday"], X.index.day_of_week + 1)
    np.testing.assert_array_equal(y, y_cube)
    assert list(y_frame.columns) == list(grid.cell_names)


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


def test_bad_values_are_named(market, grid):
    market["surfaces"][10, 3] = np.nan
    with pytest.raises(ValueError, match=r"NaN on day 2019-01-16, cell 'm1.00_t0.500'"):
        make_forecast_frame(**market, grid=grid)
    market["surfaces"][10, 3] = 0.2
    market["vix"][2] = 0
    with pytest.raises(ValueError, match=r"0 on day 2019-01-04, cell 'vix'"):
        make_forecast_frame(**market, grid=grid)


def test_bad_shapes(market):
    with pytest.raises(ValueError, match="grid has 81"):
        make_forecast_frame(**market, grid=SurfaceGrid.paper())
    with pytest.raises(ValueError, match="spot must hold one value for each of 60 days"):
        make_forecast_frame(**{**market, "spot": market["spot"][:-1]})
    with pytest.raises(ValueError, match="No pair"):
        make_forecast_frame(**{name: values[:2] for name, values in market.items()})
    with pytest.raises(ValueError, match="index of vix"):
        frame = pd.DataFrame(market["surfaces"], market["dates"])
        make_forecast_frame(frame, market["spot"], pd.Series(market["vix"]))


def test_columns_of_another_grid_or_in_another_order_are_refused(tables, grid):
    surfaces = tables.pop("surfaces")
    other = SurfaceGrid(grid.moneyness - 0.2, grid.tenors)
    for known, frame in ((other, surfaces), (grid, surfaces.iloc[:, ::-1])):
        with pytest.raises(ValueError, match=r"column 0 of surfaces is 'm.*belongs there"):
            make_forecast_frame(frame, **tables, grid=known)
    labelled = surfaces.set_axis(list("abcdef"), axis=1)
    X, _ = make_forecast_frame(labelled, **tables, grid=grid)
    assert X.columns[0] == "iv_m0.90_t0.100"


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


def test_an_index_of_text_is_no_index_of_dates(tables):
    text = {name: table.set_axis(table.index.astype(str)) for name, table in tables.items()}
    with pytest.raises(ValueError, match="index of surfaces starts with '2019-01-02'"):
        make_forecast_frame(**text)
