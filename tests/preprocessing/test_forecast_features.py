"""Features of the day whose next surface nobody has seen, and of frames that are not in order."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sklearn_diffusion import (
    ConditionalIVSurfaceForecaster,
    EWMAConditioner,
    LogSurfaceScaler,
    SurfaceGrid,
    make_forecast_features,
    make_forecast_frame,
)
from sklearn_diffusion.datasets import make_iv_surfaces
from sklearn_diffusion.preprocessing import advance_features

GRID = SurfaceGrid([0.9, 1.0, 1.1], [0.1, 0.5])


@pytest.fixture(scope="module")
def market():
    return make_iv_surfaces(120, grid=GRID, random_state=0)


def history(market, n=None, **options):
    days = slice(n)
    parts = market.surfaces[days], market.spot[days], market.vix[days]
    return parts, {"dates": market.dates[days], "grid": GRID, **options}


def test_all_days_have_features_but_the_first(market):
    parts, options = history(market)
    features = make_forecast_features(*parts, **options)
    X, _ = make_forecast_frame(*parts, **options)
    assert features.index.tolist() == list(market.dates[1:])
    pd.testing.assert_frame_equal(features.iloc[:-1], X)
    assert np.isfinite(features.to_numpy()).all()


def test_yesterday_s_features_do_not_change_when_a_day_is_added(market):
    parts, options = history(market)
    later = make_forecast_features(*parts, **options)
    parts, options = history(market, 100)
    pd.testing.assert_frame_equal(make_forecast_features(*parts, **options), later.iloc[:99])


def test_tomorrow_is_forecast_without_a_warning(market):
    parts, options = history(market)
    X, y = make_forecast_frame(*parts, **options)
    forecaster = ConditionalIVSurfaceForecaster(GRID, network=None, random_state=0).fit(X, y)
    today = make_forecast_features(*parts, **options)[-1:]
    assert forecaster.predict(today).shape == (1, 6)
    assert today["weekday"].iloc[0] == market.dates[-1].day_of_week + 1


def test_without_dates_features_are_an_array(market):
    parts, _ = history(market)
    features = make_forecast_features(*parts)
    assert isinstance(features, np.ndarray) and features.shape == (119, 3 * 6 + 12)
    np.testing.assert_array_equal(features[:-1], make_forecast_frame(*parts)[0])


def test_days_after_a_gap_have_no_features(market):
    dates = market.dates.to_series().reset_index(drop=True)
    dates[60:] += pd.Timedelta(days=40)
    parts, options = history(market, dates=pd.DatetimeIndex(dates))
    features = make_forecast_features(*parts, **options)
    assert len(features) == 118 and dates[60] not in features.index
    # An older day must not pass for today.
    for n in (1, 61):
        with pytest.raises(ValueError, match=f"the last day, {dates[n - 1].date()}, has no day"):
            make_forecast_features(*(part[:n] for part in parts), dates=dates[:n], grid=GRID)


@pytest.mark.parametrize("spell", ["%d/%m/%Y", "%m/%d/%Y"])
def test_dates_are_not_guessed(spell, market):
    parts, options = history(market, dates=market.dates.strftime(spell))
    with pytest.raises(ValueError, match="day and month cannot be told"):
        make_forecast_frame(*parts, **options)
    parts, options = history(market, dates=market.dates.strftime("%Y-%m-%d"))
    make_forecast_frame(*parts, **options)


def test_series_that_are_newest_first_are_refused(market):
    spot = pd.Series(market.spot, market.dates)[::-1]
    with pytest.raises(ValueError, match="dates must be sorted"):
        make_forecast_frame(market.surfaces, spot, market.vix, grid=GRID)


# --- other order, other days ---------------------------------------------------------------------


def frame(market):
    return pd.DataFrame(np.reshape(market.surfaces, (120, 6)), market.dates, GRID.cell_names)


def test_a_frame_with_tenors_first_is_refused(market):
    """Columns with two levels say their moneyness and tenor themselves."""
    good = pd.MultiIndex.from_product([GRID.moneyness, GRID.tenors])
    swapped = pd.MultiIndex.from_tuples([(m, t) for t in GRID.tenors for m in GRID.moneyness])
    surfaces = frame(market)
    for take in (
        lambda labels: make_forecast_frame(
            surfaces.set_axis(labels, axis=1), market.spot, market.vix, grid=GRID
        ),
        lambda labels: LogSurfaceScaler(GRID).fit(surfaces.set_axis(labels, axis=1)),
    ):
        take(good)
        with pytest.raises(ValueError, match=r"column 1 of .* but moneyness 0.9 and tenor 0.5"):
            take(swapped)


def test_a_missing_day_is_named(market):
    surfaces = frame(market)
    spot = pd.Series(market.spot, market.dates)
    vix = pd.Series(market.vix, market.dates)
    with pytest.raises(ValueError, match=f"1 days are missing, first {market.dates[7].date()}"):
        make_forecast_frame(surfaces, spot.drop(market.dates[7]), vix, grid=GRID)
    late = vix.rename({market.dates[5]: pd.Timestamp("2050-01-01")})
    with pytest.raises(ValueError, match=r"index of vix .* too many, first 2050-01-01"):
        make_forecast_frame(surfaces, spot, late, grid=GRID)


@pytest.mark.parametrize("what", ["surfaces", "spot", "vix"])
def test_masked_history_is_refused(what, market):
    parts = {"surfaces": market.surfaces, "spot": market.spot, "vix": market.vix}
    parts[what] = np.ma.masked_where(np.asarray(parts[what]) > 0, parts[what])
    with pytest.raises(ValueError, match=f"{what} has .* masked value"):
        make_forecast_frame(*parts.values(), grid=GRID)


def test_newest_first_is_refused(market):
    surfaces = frame(market).reset_index(drop=True)[::-1]
    with pytest.raises(ValueError, match="must be in time order"):
        make_forecast_frame(surfaces, market.spot[::-1], market.vix[::-1], grid=GRID)
    table = surfaces.assign(spot=market.spot[::-1], vix=market.vix[::-1])
    with pytest.raises(ValueError, match="must be in time order"):
        EWMAConditioner(GRID).fit(table)


# --- helpers -------------------------------------------------------------------------------------


def test_the_way_back_from_logs_is_checked(market):
    surfaces = frame(market)
    scaler = LogSurfaceScaler(GRID).fit(surfaces)
    rows = pd.DataFrame(scaler.transform(surfaces), surfaces.index, surfaces.columns)
    np.testing.assert_allclose(scaler.inverse_transform(rows), surfaces)
    with pytest.raises(ValueError, match="column 0 of X is"):
        scaler.inverse_transform(rows[rows.columns[::-1]])
    with pytest.raises(ValueError, match=r"nan at \(3, 2\)"):
        scaler.inverse_transform(np.where(np.arange(720).reshape(120, 6) == 20, np.nan, rows))
    with pytest.raises(ValueError, match="Complex data not supported"):
        scaler.inverse_transform(rows.to_numpy() + 1j)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"surfaces": lambda s: s * -1}, "surfaces must be positive"),
        ({"surfaces": lambda s: s * np.nan}, "surfaces must be positive"),
        ({"surfaces": lambda s: s[0]}, "surfaces must be of shape"),
        ({"surfaces": lambda s: s[:1]}, "X has 2 days, surfaces have 1"),
        ({"spot_return": lambda r: r - 2}, "spot_return must be 2 finite relative changes"),
        ({"vix_return": lambda r: r * np.nan}, "vix_return must be 2 finite relative changes"),
        ({"X": lambda x: x * np.nan}, "today's volatilities in X must be positive"),
        ({"X": lambda x: np.where(np.arange(x.shape[1]) == 20, np.nan, x)}, "X is not finite"),
    ],
    ids=str,
)
def test_moving_features_on_is_checked(change, message, market):
    parts, _ = history(market)
    X = make_forecast_features(*parts)[:2]
    given = {
        "X": X,
        "surfaces": market.surfaces.reshape(120, 6)[2:4],
        "spot_return": np.array([0.01, -0.01]),
        "vix_return": np.array([0.05, -0.05]),
    }
    assert advance_features(**given).shape == X.shape
    ((name, spoil),) = change.items()
    with pytest.raises(ValueError, match=message):
        advance_features(**{**given, name: spoil(given[name])})


def test_negative_averages_of_squares_are_named(market):
    parts, options = history(market)
    X, y = make_forecast_frame(*parts, **options)
    X.iloc[9, X.columns.get_loc("squared_increment_ewma_0.94")] = -1e-4
    with pytest.raises(ValueError, match=r"1 negative averages of squares.*_0.94 is -0.0001"):
        ConditionalIVSurfaceForecaster(GRID, network=None).fit(X, y)
