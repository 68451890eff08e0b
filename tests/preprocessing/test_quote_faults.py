"""What quotes of real sources do to a smoother that is not on its guard."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sklearn_diffusion import SurfaceGrid, SurfaceSmoother
from sklearn_diffusion.datasets import load_option_quotes, tidy_option_quotes
from sklearn_diffusion.pricing import (
    VolatilityStatus,
    black_delta,
    black_price,
    implied_volatility,
    parity_forwards,
    parity_rates,
)

DATE = pd.Timestamp("2024-01-02")
NEAR = SurfaceGrid([0.95, 1.0, 1.05], [0.25])
EXTRAPOLATED = pytest.mark.filterwarnings("ignore:no cell of the grid lies inside")


def chain(strikes, *, forward=100.0, days=91, rate=0.0, volatility=0.2):
    """Quotes of one expiry; `forward` is that of a market without interest."""
    expiry = DATE + pd.Timedelta(days=days)
    quotes = pd.MultiIndex.from_product(
        [[DATE], [expiry], [True, False], strikes], names=["date", "expiry", "is_call", "strike"]
    ).to_frame(index=False)
    tau = days / 365
    quotes["price"] = black_price(
        forward * np.exp(rate * tau),
        quotes["strike"],
        tau,
        volatility,
        discount=np.exp(-rate * tau),
        is_call=quotes["is_call"],
    )
    return quotes.assign(bid=0.99 * quotes["price"], ask=1.01 * quotes["price"])


# --- quotes that are no quotes -------------------------------------------------------------------


@EXTRAPOLATED
@pytest.mark.parametrize("without", [[101, 102, 103], [95, 100, 101], [105, 110]])
def test_strikes_without_quotes_do_not_decide_the_forward(without):
    quotes = chain([90.0, 95, 100, 101, 102, 103, 105, 110])
    quotes.loc[quotes["strike"].isin(without), ["price", "bid", "ask"]] = 0
    smoother = SurfaceSmoother(NEAR, bandwidth_moneyness=5e-4, min_quotes=4)
    np.testing.assert_allclose(smoother.fit_transform(quotes), 0.2, rtol=1e-6)
    assert smoother.report_["parity_violation"].sum() == 0
    assert parity_forwards(quotes)["forward"].iloc[0] == pytest.approx(100)


@EXTRAPOLATED
@pytest.mark.parametrize("column", ["volume", "bid"])
def test_what_a_filter_drops_decides_nothing(column):
    quotes = chain(np.arange(80.0, 125, 5)).assign(volume=10)
    stale = quotes["strike"].isin([95.0, 100.0, 105.0]) & quotes["is_call"]
    quotes.loc[stale, column] = 0
    quotes.loc[stale, "price"] += 4.0
    smoother = SurfaceSmoother(NEAR, bandwidth_moneyness=5e-4).fit(quotes)
    surface = smoother.transform(quotes)
    np.testing.assert_allclose(surface, 0.2, rtol=1e-6)
    assert smoother.report_["parity_violation"].sum() == 0
    assert smoother.forwards_["n_pairs"].iloc[0] == 6


@EXTRAPOLATED
def test_placeholders_are_counted_and_left_out():
    quotes = chain(np.arange(80.0, 125, 5)).assign(impl_volatility=0.2)
    quotes.loc[quotes["strike"] == 95, "impl_volatility"] = 1e-5
    quotes.loc[quotes["strike"] == 105, "impl_volatility"] = 9.0
    smoother = SurfaceSmoother(NEAR, volatility="column", bandwidth_moneyness=5e-4)
    np.testing.assert_allclose(smoother.fit_transform(quotes), 0.2, rtol=1e-9)
    assert smoother.report_["implausible_volatility"].iloc[0] == 2
    narrow = SurfaceSmoother(NEAR, volatility_range=(0.3, 0.4), bandwidth_moneyness=5e-4)
    with pytest.raises(ValueError, match="implausible_volatility"):
        narrow.fit(quotes)


@pytest.mark.parametrize("volatility", ["price", "column"])
def test_volatilities_in_percent_are_refused(volatility):
    quotes = chain(np.arange(80.0, 125, 5)).assign(impl_volatility=20.0)
    with pytest.raises(ValueError, match="median 20, which looks like percent"):
        SurfaceSmoother(NEAR, volatility=volatility).fit(quotes)


@pytest.mark.parametrize(
    ("grid", "message"),
    [
        (SurfaceGrid([95.0, 100.0, 105.0], [0.25]), "moneyness, 95 to 105, are far from"),
        (SurfaceGrid([0.95, 1.0, 1.05], [30.0, 91.0]), "tenors, 30 to 91, are far from"),
    ],
)
def test_a_grid_in_other_units_is_refused(grid, message):
    quotes = chain(np.arange(80.0, 125, 5))
    with pytest.raises(ValueError, match=message):
        SurfaceSmoother(grid, bandwidth_moneyness=5e-4).fit_transform(quotes)


def test_pure_extrapolation_is_told():
    quotes = chain(np.arange(80.0, 125, 5))
    far = SurfaceGrid([0.6, 0.7], [0.25])
    with pytest.warns(UserWarning, match="no cell of the grid lies inside"):
        SurfaceSmoother(far, bandwidth_moneyness=5e-4).fit_transform(quotes)


@pytest.mark.parametrize("name", ["symbol", "Underlying", "act_symbol", "root", "ticker", "secid"])
def test_several_underlyings_are_refused_whatever_the_column_is_called(name):
    quotes = chain(np.arange(80.0, 125, 5))
    both = pd.concat([quotes.assign(**{name: "SPX"}), quotes.assign(**{name: "NDX"})])
    with pytest.raises(ValueError, match=f"2 underlyings .*{name!r}: SPX, NDX"):
        SurfaceSmoother(NEAR).fit(both.drop_duplicates(["strike", "is_call", name]))


@EXTRAPOLATED
def test_a_symbol_of_its_own_for_each_option_is_no_underlying():
    quotes = chain(np.arange(80.0, 125, 5))
    quotes["symbol"] = [f"SPX24{'CP'[k % 2]}{k:05d}" for k in range(len(quotes))]
    SurfaceSmoother(NEAR, bandwidth_moneyness=5e-4).fit_transform(quotes)


# --- the interest rate ---------------------------------------------------------------------------

TENORS = [91, 365, 730, 1095]
LONG = SurfaceGrid([0.9, 1.0, 1.1], [0.25, 1.0, 2.0, 3.0])


def long_chain(rate):
    strikes = np.arange(60.0, 165, 5)
    return pd.concat([chain(strikes, days=days, rate=rate) for days in TENORS], ignore_index=True)


@pytest.mark.parametrize("rate", [-0.01, 0.0, 0.05])
def test_parity_tells_the_rate(rate, rng):
    quotes = long_chain(rate)
    assert parity_rates(quotes).loc[DATE] == pytest.approx(rate, abs=1e-12)
    noisy = quotes.assign(price=quotes["price"] * (1 + 0.002 * rng.standard_normal(len(quotes))))
    assert parity_rates(noisy).loc[DATE] == pytest.approx(rate, abs=2e-3)
    surfaces = SurfaceSmoother(LONG, rate="parity", bandwidth_moneyness=5e-4).fit_transform(quotes)
    np.testing.assert_allclose(surfaces, 0.2, rtol=1e-6)


def test_a_rate_that_is_missing_is_told():
    with pytest.warns(UserWarning, match=r"about 5.00% a year, not rate=0.*pass rate=0.050"):
        SurfaceSmoother(LONG, bandwidth_moneyness=5e-4, parity_tolerance=None).fit(long_chain(0.05))
    SurfaceSmoother(LONG, rate=0.05, bandwidth_moneyness=5e-4).fit(long_chain(0.05))
    SurfaceSmoother(LONG, bandwidth_moneyness=5e-4).fit(long_chain(0.001))


def test_a_day_that_does_not_tell_its_rate_has_that_of_the_day_before():
    today = long_chain(0.05)
    sparse = today.assign(
        date=today["date"] + pd.Timedelta(days=1), expiry=today["expiry"] + pd.Timedelta(days=1)
    )
    sparse = sparse[sparse["strike"].isin([100.0, 110.0])]
    both = pd.concat([today, sparse], ignore_index=True)
    assert len(parity_rates(both)) == 1
    smoother = SurfaceSmoother(LONG, rate="parity", bandwidth_moneyness=5e-4).fit(both)
    np.testing.assert_allclose(smoother.transform(both).iloc[1], 0.2, rtol=1e-3)


# --- prices --------------------------------------------------------------------------------------

KINDS = ["p", "put", 0, 1, -1, np.nan, None, [True, "p"], np.array([1, 0]), pd.array([True, pd.NA])]


@pytest.mark.parametrize("is_call", KINDS, ids=str)
def test_calls_are_told_from_puts_by_booleans_alone(is_call):
    for function in (black_price, black_delta):
        with pytest.raises(ValueError, match="is_call must be boolean"):
            function(100, 110, 0.25, 0.2, is_call=is_call)
    with pytest.raises(ValueError, match="is_call must be boolean"):
        implied_volatility(10.9, 100, 110, 0.25, is_call=is_call)


@pytest.mark.parametrize("is_call", [False, np.bool_(False), [False], pd.Series([False])])
def test_booleans_however_they_come(is_call):
    assert float(np.ravel(black_price(100, 110, 0.25, 0.2, is_call=is_call))[0]) == pytest.approx(
        10.9539, abs=1e-4
    )


def test_prices_at_intrinsic_have_no_volatility(rng):
    volatility, status = implied_volatility(49.9, 100.1, 50.2, 0.01, return_status=True)
    assert np.isnan(volatility) and status == VolatilityStatus.AT_OR_BELOW_INTRINSIC
    forward = np.round(rng.uniform(50, 150, 2000), 2)
    strike = np.round(rng.uniform(20, 200, 2000), 2)
    is_call = rng.rand(2000) < 0.5
    intrinsic = np.round(np.maximum(np.where(is_call, 1, -1) * (forward - strike), 0), 2)
    for discount in (1.0, 0.97):
        status = implied_volatility(
            intrinsic * discount, forward, strike, 0.1, discount=discount, is_call=is_call,
            return_status=True,
        )[1]  # fmt: skip
        assert (status == VolatilityStatus.AT_OR_BELOW_INTRINSIC).all()


def test_time_value_within_half_a_tick_is_none():
    exact = float(black_price(100, 90, 0.1, 0.15))
    assert implied_volatility(exact, 100, 90, 0.1, tick=1e-6) == pytest.approx(0.15)
    assert np.isnan(implied_volatility(10.004, 100, 90, 0.1, tick=0.01))
    assert np.isfinite(implied_volatility(10.006, 100, 90, 0.1, tick=0.01))
    with pytest.raises(ValueError, match="tick must be non-negative"):
        implied_volatility(10.0, 100, 90, 0.1, tick=-1)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (100 + 1j, "Complex data not supported: forward"),
        (np.ma.masked_array([100.0, 101.0], [False, True]), "forward has 1 masked value"),
        ("hundred", "forward must be real numbers, but it is 'hundred'"),
        ([100.0, None], r"forward must be positive and finite, got nan at position 1"),
        ([], None),
    ],
    ids=str,
)
def test_inputs_of_prices_are_named(value, message):
    if message is None:
        assert black_price(value, 110, 0.25, 0.2).shape == (0,)
    else:
        with pytest.raises(ValueError, match=message):
            black_price(value, 110, 0.25, 0.2)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda q: q.drop(columns="strike"), r"lack the columns \['strike'\]"),
        (lambda q: q.assign(is_call=q["is_call"].astype(int)), "is_call must be boolean"),
        (lambda q: q.assign(date=q["date"].where(q.index != 3)), "date is missing in row 3"),
        (lambda q: q.assign(expiry=q["date"] - pd.Timedelta(days=1)), "expiry is before date"),
        (lambda q: pd.concat([q, q.iloc[:1]]), "an option is quoted twice on a day, in row 0"),
        (lambda q: q.assign(date="2024-01-02"), "'date' must hold datetime64 days"),
        (lambda q: q.to_numpy(), "must be a pandas DataFrame"),
    ],
)
def test_quotes_for_parity_are_checked(spoil, message):
    for function in (parity_forwards, parity_rates):
        with pytest.raises((ValueError, TypeError), match=message):
            function(spoil(chain([95.0, 100.0, 105.0])))


# --- files ---------------------------------------------------------------------------------------

HEADER = "date,expiry,type,strike,price\n"
GOOD = "2024-01-02,2024-03-15,C,100,4.2\n"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (HEADER + GOOD + "2024-01-02,2024-03-15,P,1,000,14.2\n", r"q.csv' .* line 3"),
        (HEADER + GOOD.replace("100", "1,000"), r"q.csv' have more fields than its header"),
        ("", r"q.csv' cannot be read as a table of quotes"),
        (b"\x00\x01\xff\xfe" * 50, "q.csv'"),
        ((HEADER + GOOD).encode("utf-16"), r"q.csv' cannot be read"),
        (HEADER, "quotes are empty"),
    ],
    ids=["ragged", "all_ragged", "empty", "binary", "encoding", "header_only"],
)
def test_files_that_are_no_tables_are_named(content, message, tmp_path):
    path = tmp_path / "q.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ValueError, match=message):
        load_option_quotes(path)


def test_truncated_archives_are_named(tmp_path):
    import gzip

    path = tmp_path / "q.csv.gz"
    path.write_bytes(gzip.compress((HEADER + GOOD * 2000).encode())[:60])
    with pytest.raises(ValueError, match=r"q.csv.gz' cannot be read"):
        load_option_quotes(path)


@pytest.mark.parametrize("path", ["https://example.org/q.csv", "s3://bucket/q.csv"])
def test_addresses_are_not_fetched(path):
    with pytest.raises(ValueError, match="path must be a file on this machine"):
        load_option_quotes(path)
    with pytest.raises(FileNotFoundError, match=r"no file 'nowhere.csv'"):
        load_option_quotes("nowhere.csv")


def test_dates_and_expiries_may_be_spelt_differently():
    table = pd.DataFrame(
        {"date": ["02/01/2024"], "expiry": ["2024-03-15"], "type": "C", "strike": 100, "price": 4.2}
    )
    quotes = tidy_option_quotes(table, date_format="%d/%m/%Y", expiry_format="%Y-%m-%d")
    assert quotes.loc[0, ["date", "expiry"]].tolist() == [DATE, pd.Timestamp("2024-03-15")]


@EXTRAPOLATED
@pytest.mark.filterwarnings("ignore:put-call parity says")
def test_given_bandwidths_let_no_future_in():
    strikes = np.arange(80.0, 125, 5)
    days = [
        chain(strikes, volatility=0.2 + 0.01 * k).assign(
            date=DATE + pd.Timedelta(days=k), expiry=DATE + pd.Timedelta(days=91 + k)
        )
        for k in range(6)
    ]
    history = pd.concat(days, ignore_index=True)
    distorted = pd.concat([*days[:3], *(day.assign(price=1.2 * day["price"]) for day in days[3:])])
    smoother = SurfaceSmoother(NEAR, parity_tolerance=None).fit(pd.concat(days[:3]))
    before, after = (
        smoother.transform(quotes).iloc[:3]
        for quotes in (history, distorted.reset_index(drop=True))
    )
    pd.testing.assert_frame_equal(before, after)
