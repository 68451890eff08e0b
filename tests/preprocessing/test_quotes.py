"""Checking and cleaning tables of option quotes."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sklearn_diffusion.preprocessing.quotes import REASONS, check_option_quotes, clean_option_quotes
from sklearn_diffusion.pricing import black_price, black_vega

RATE = 0.03
FORWARD = 101.0


@pytest.fixture
def quotes():
    """Two days, two expiries, seven strikes, both sides: all at a volatility of 0.25."""
    table = pd.MultiIndex.from_product(
        [
            pd.to_datetime(["2024-01-02", "2024-01-03"]),
            pd.to_datetime(["2024-02-16", "2024-06-21"]),
            [True, False],
            np.arange(85.0, 116.0, 5.0),
        ],
        names=["date", "expiry", "is_call", "strike"],
    ).to_frame(index=False)
    tau = (table["expiry"] - table["date"]).dt.days / 365
    table["price"] = black_price(
        FORWARD,
        table["strike"],
        tau,
        0.25,
        discount=np.exp(-RATE * tau),
        is_call=table["is_call"],
    )
    return table


def find(quotes, strike, is_call, date="2024-01-02", expiry="2024-02-16"):
    return (
        (quotes["date"] == date)
        & (quotes["expiry"] == expiry)
        & (quotes["strike"] == strike)
        & (quotes["is_call"] == is_call)
    )


def assert_adds_up(report):
    np.testing.assert_array_equal(report[["kept", *REASONS]].sum(axis=1), report["quotes"])


def test_fair_prices_give_their_volatility_vega_and_forward(quotes):
    clean = clean_option_quotes(quotes, rate=RATE)
    points = clean.points
    np.testing.assert_allclose(points["volatility"], 0.25, rtol=1e-10)
    np.testing.assert_allclose(clean.forwards["forward"], FORWARD, rtol=1e-12)
    strike = points["moneyness"] * FORWARD
    vega = black_vega(
        FORWARD, strike, points["tenor"], 0.25, discount=np.exp(-RATE * points["tenor"])
    )
    np.testing.assert_allclose(points["vega"], vega, rtol=1e-9)


def test_out_of_the_money_filter(quotes):
    clean = clean_option_quotes(quotes, rate=RATE)
    # Puts at 85 to 100 and calls at 105 to 115, for each of two expiries.
    assert clean.report["kept"].tolist() == [14, 14]
    assert clean.report["in_the_money"].tolist() == [14, 14]
    assert_adds_up(clean.report)
    everything = clean_option_quotes(quotes, rate=RATE, otm_only=False)
    assert everything.report["kept"].tolist() == [28, 28]


def test_spot_moneyness_splits_at_the_spot(quotes):
    quotes["spot"] = 107.0
    clean = clean_option_quotes(quotes, rate=RATE, moneyness="spot")
    puts = {85.0, 90.0, 95.0, 100.0, 105.0}
    expected = sorted(puts | {110.0, 115.0})
    first = clean.points.groupby(["date", "tenor"])["moneyness"].first()
    assert len(clean.points) == 28
    np.testing.assert_allclose(clean.points["moneyness"][:7] * 107, expected)
    np.testing.assert_allclose(first, 85 / 107)
    np.testing.assert_allclose(clean.points["volatility"], 0.25, rtol=1e-10)
    assert clean.spot.tolist() == [107.0, 107.0]


def test_at_the_money_both_sides_count(quotes):
    quotes["spot"] = 100.0
    clean = clean_option_quotes(quotes, rate=RATE, moneyness="spot")
    at_the_money = clean.points["moneyness"] == 1
    assert at_the_money.sum() == 4 * 2


@pytest.mark.parametrize("column", ["volume", "bid"])
def test_zero_filters(quotes, column):
    quotes[column] = 0.9 * quotes["price"]
    quotes.loc[find(quotes, 110, True) | find(quotes, 85, True), column] = 0
    clean = clean_option_quotes(quotes, rate=RATE)
    assert clean.report[f"zero_{column}"].tolist() == [2, 0]
    assert clean.report["kept"].tolist() == [13, 14]
    assert_adds_up(clean.report)
    kept = clean_option_quotes(quotes, rate=RATE, **{f"drop_zero_{column}": False})
    assert kept.report["kept"].tolist() == [14, 14]


def test_near_expiries_are_left_out(quotes):
    clean = clean_option_quotes(quotes, rate=RATE, min_days=45)
    assert clean.report["near_expiry"].tolist() == [0, 14]
    on_expiry = quotes.assign(
        expiry=quotes["expiry"].mask(quotes["expiry"] < "2024-03", "2024-01-03")
    )
    clean = clean_option_quotes(on_expiry, rate=RATE, parity_tolerance=None)
    assert clean.report["near_expiry"].tolist() == [0, 14]


def test_parity_violations_are_left_out_on_both_sides(quotes):
    quotes.loc[find(quotes, 85, True), "price"] += 4.0
    clean = clean_option_quotes(quotes, rate=RATE)
    assert clean.report["parity_violation"].tolist() == [2, 0]
    assert clean.report["kept"].tolist() == [13, 14]
    assert_adds_up(clean.report)
    np.testing.assert_allclose(clean.forwards["forward"], FORWARD, rtol=1e-12)
    kept = clean_option_quotes(quotes, rate=RATE, parity_tolerance=None)
    assert kept.report["kept"].tolist() == [14, 14]


def test_expiries_without_a_forward_are_left_out(quotes):
    one_sided = quotes[(quotes["expiry"] == "2024-02-16") | quotes["is_call"]]
    clean = clean_option_quotes(one_sided, rate=RATE)
    assert clean.report["no_forward"].tolist() == [7, 7]
    assert_adds_up(clean.report)


def test_forwards_from_a_column_or_from_the_spot(quotes):
    calls = quotes[quotes["is_call"]].copy()
    calls["forward"] = FORWARD
    clean = clean_option_quotes(calls, rate=RATE, forward="column")
    np.testing.assert_allclose(clean.points["volatility"], 0.25, rtol=1e-10)

    tau = (quotes["expiry"] - quotes["date"]).dt.days / 365
    quotes["spot"] = 100.0
    quotes["price"] = black_price(
        100 * np.exp(RATE * tau),
        quotes["strike"],
        tau,
        0.25,
        discount=np.exp(-RATE * tau),
        is_call=quotes["is_call"],
    )
    clean = clean_option_quotes(quotes[quotes["is_call"]], rate=RATE, forward="spot")
    np.testing.assert_allclose(clean.points["volatility"], 0.25, rtol=1e-9)


def test_spot_is_the_nearest_forward_discounted(quotes):
    clean = clean_option_quotes(quotes, rate=RATE)
    days = (pd.Timestamp("2024-02-16") - clean.spot.index).days
    np.testing.assert_allclose(clean.spot, FORWARD * np.exp(-RATE * days / 365), rtol=1e-12)


def test_prices_without_a_volatility_are_counted_by_reason(quotes):
    quotes.loc[find(quotes, 110, True), "price"] = 0.0
    quotes.loc[find(quotes, 115, True), "price"] = 102.0
    clean = clean_option_quotes(quotes, rate=RATE, parity_tolerance=None)
    assert clean.report["at_or_below_intrinsic"].tolist() == [1, 0]
    assert clean.report["at_or_above_maximum"].tolist() == [1, 0]
    assert_adds_up(clean.report)


def test_volatilities_from_a_column(quotes):
    quotes["impl_volatility"] = 0.4
    quotes.loc[find(quotes, 110, True), "impl_volatility"] = np.nan
    clean = clean_option_quotes(quotes, rate=RATE, volatility="column")
    assert (clean.points["volatility"] == 0.4).all()
    assert clean.report["no_volatility"].tolist() == [1, 0]
    assert_adds_up(clean.report)


def test_order_and_labels_of_the_rows_do_not_matter(quotes):
    expected = clean_option_quotes(quotes, rate=RATE)
    shuffled = quotes.sample(frac=1, random_state=0)
    shuffled.index = [7] * len(shuffled)
    before = shuffled.copy()
    clean = clean_option_quotes(shuffled, rate=RATE)
    pd.testing.assert_frame_equal(clean.points, expected.points)
    pd.testing.assert_frame_equal(clean.report, expected.report)
    pd.testing.assert_frame_equal(shuffled, before)


@pytest.mark.parametrize(
    ("options", "column"),
    [
        ({"moneyness": "spot"}, "spot"),
        ({"forward": "spot"}, "spot"),
        ({"forward": "column"}, "forward"),
        ({"volatility": "column"}, "impl_volatility"),
    ],
)
def test_a_source_needs_its_column(quotes, options, column):
    with pytest.raises(ValueError, match=f"needs a column '{column}' in quotes"):
        clean_option_quotes(quotes, **options)


@pytest.mark.parametrize(
    ("column", "value", "message"),
    [
        ("date", pd.NaT, r"date is missing in 1 of 56 quotes: row 5 \(date missing"),
        ("date", pd.Timestamp("2024-01-02 16:00"), "date is not a whole day .*row 5"),
        ("expiry", pd.Timestamp("2023-01-02"), "expiry is before date .*row 5"),
        ("strike", np.inf, "strike is not a positive number .*row 5 .*strike inf"),
        ("price", -1.0, r"price is not a non-negative .*row 5 .*call of strike 110.0, price -1.0"),
        ("price", np.nan, "price is not a non-negative number"),
        ("strike", 105.0, r"quoted twice on a day in 2 of 56 quotes: row 4 .*row 5"),
    ],
)
def test_rows_at_fault_are_named(quotes, column, value, message):
    quotes.loc[5, column] = value
    with pytest.raises(ValueError, match=message):
        check_option_quotes(quotes)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ("spot", "spot differs within one date"),
        ("forward", "forward differs within one date and expiry"),
    ],
)
def test_one_value_per_group(quotes, column, message):
    quotes[column] = 100.0
    quotes.loc[5, column] = 101.0
    with pytest.raises(ValueError, match=message):
        check_option_quotes(quotes)


@pytest.mark.parametrize(
    ("column", "convert", "message"),
    [
        ("date", lambda days: days.astype(str), "column 'date' must hold datetime64 days"),
        ("expiry", lambda days: days.dt.tz_localize("UTC"), "'expiry' .* without a time zone"),
        ("is_call", lambda flags: flags.astype(int), "column 'is_call' must be bool"),
        ("price", lambda prices: prices.astype(str), "column 'price' must be numeric"),
    ],
)
def test_types(quotes, column, convert, message):
    with pytest.raises(TypeError, match=message):
        check_option_quotes(quotes.assign(**{column: convert(quotes[column])}))


def test_not_a_table_of_quotes(quotes):
    with pytest.raises(TypeError, match="must be a pandas DataFrame, got ndarray"):
        check_option_quotes(quotes.to_numpy())
    with pytest.raises(ValueError, match=r"lack the columns \['expiry', 'price'\]"):
        check_option_quotes(quotes.drop(columns=["expiry", "price"]))
    with pytest.raises(ValueError, match="quotes are empty"):
        check_option_quotes(quotes.iloc[:0])
