"""Black prices and sensitivities, implied volatility, parity forwards."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from sklearn_diffusion.pricing import (
    VolatilityStatus,
    black_delta,
    black_price,
    black_vega,
    implied_volatility,
    parity_forwards,
)


@pytest.fixture
def options():
    """Broadcast arguments of 2,000 varied options."""
    rng = np.random.default_rng(0)
    n = 2000
    forward = 100 * np.exp(rng.normal(0, 0.5, n))
    return {
        "forward": forward,
        "strike": forward * np.exp(rng.normal(0, 0.3, n)),
        "tau": rng.uniform(1 / 252, 2, n),
        "volatility": rng.uniform(0.05, 1.5, n),
        "discount": np.exp(-rng.uniform(-0.01, 0.1, n)),
    }


@pytest.mark.parametrize("is_call", [True, False])
def test_price_is_the_expected_discounted_payoff(is_call):
    forward, strike, tau, volatility, discount = 100.0, 108.0, 0.4, 0.3, 0.97
    sign = 1 if is_call else -1
    spread = volatility * np.sqrt(tau)

    def discounted_payoff(z):
        terminal = forward * np.exp(spread * z - spread**2 / 2)
        return discount * max(sign * (terminal - strike), 0) * norm.pdf(z)

    kink = (np.log(strike / forward) + spread**2 / 2) / spread
    expected, _ = quad(discounted_payoff, -12, 12, points=[kink])
    price = black_price(forward, strike, tau, volatility, discount=discount, is_call=is_call)
    assert price == pytest.approx(expected, rel=1e-9)


def test_put_call_parity(options):
    call = black_price(**options, is_call=True)
    put = black_price(**options, is_call=False)
    parity = options["discount"] * (options["forward"] - options["strike"])
    np.testing.assert_allclose(call - put, parity, atol=1e-11)


def test_vega_is_the_derivative_in_volatility(options):
    step = 1e-5
    up, down = (
        black_price(**(options | {"volatility": options["volatility"] + h})) for h in (step, -step)
    )
    np.testing.assert_allclose(black_vega(**options), (up - down) / (2 * step), atol=1e-6)


@pytest.mark.parametrize("is_call", [True, False])
def test_delta_is_the_derivative_in_the_forward(options, is_call):
    step = 1e-4
    up, down = (
        black_price(**(options | {"forward": options["forward"] + h}), is_call=is_call)
        for h in (step, -step)
    )
    delta = black_delta(**options, is_call=is_call)
    np.testing.assert_allclose(delta, (up - down) / (2 * step), atol=1e-6)


@pytest.mark.parametrize(("tau", "volatility"), [(0.0, 0.2), (0.5, 0.0)])
def test_without_variance_an_option_is_worth_its_intrinsic_value(tau, volatility):
    price = black_price(100, [90, 100, 110], tau, volatility)
    np.testing.assert_allclose(price, [10, 0, 0], atol=1e-12)


def test_implied_volatility_inverts_the_price(options):
    volatility = options.pop("volatility")
    is_call = options["strike"] >= options["forward"]
    price = black_price(**options, volatility=volatility, is_call=is_call)
    representable = price > 1e-300
    assert representable.mean() > 0.99
    implied, status = implied_volatility(price, **options, is_call=is_call, return_status=True)
    np.testing.assert_allclose(implied[representable], volatility[representable], rtol=1e-10)
    assert (status[representable] == VolatilityStatus.OK).all()


def test_implied_volatility_of_far_wings():
    strike = np.array([1e-2, 10.0, 1e3, 1e5])
    is_call = strike > 100
    price = black_price(100, strike, 0.1, 0.9, is_call=is_call)
    assert price.min() < 1e-100
    np.testing.assert_allclose(
        implied_volatility(price, 100, strike, 0.1, is_call=is_call), 0.9, rtol=1e-10
    )


def test_implied_volatility_in_the_money_is_as_accurate_as_the_time_value():
    price = black_price(100, [60, 80, 125], 0.5, 0.4, is_call=[True, True, False])
    implied = implied_volatility(price, 100, [60, 80, 125], 0.5, is_call=[True, True, False])
    np.testing.assert_allclose(implied, 0.4, rtol=1e-10)


@pytest.mark.parametrize("total", [1e-6, 1e-3, 1.0, 10.0])
def test_implied_volatility_at_the_money_from_tiny_to_huge(total):
    price = black_price(1.0, 1.0, 1.0, total)
    assert implied_volatility(price, 1.0, 1.0, 1.0) == pytest.approx(total, rel=1e-8)


def test_prices_without_a_volatility_say_why():
    price = [5.0, 15.0, 100.0, np.nan, np.inf, 16.0, -1.0]
    volatility, status = implied_volatility(price, 100, 85, 0.5, return_status=True)
    expected = [
        VolatilityStatus.AT_OR_BELOW_INTRINSIC,
        VolatilityStatus.AT_OR_BELOW_INTRINSIC,
        VolatilityStatus.AT_OR_ABOVE_MAXIMUM,
        VolatilityStatus.NOT_FINITE,
        VolatilityStatus.NOT_FINITE,
        VolatilityStatus.OK,
        VolatilityStatus.AT_OR_BELOW_INTRINSIC,
    ]
    assert status.tolist() == expected
    np.testing.assert_array_equal(np.isnan(volatility), status != VolatilityStatus.OK)


def test_a_put_is_bounded_by_its_discounted_strike():
    discount = 0.9
    _, status = implied_volatility(
        [71.9, 72.0], 100, 80, 1.0, discount=discount, is_call=False, return_status=True
    )
    assert status.tolist() == [VolatilityStatus.OK, VolatilityStatus.AT_OR_ABOVE_MAXIMUM]


def test_scalars_and_empty_arrays_keep_their_shape():
    assert implied_volatility(4.0, 100, 100, 0.25).shape == ()
    assert implied_volatility(np.empty((0, 3)), 100, 100, 0.25).shape == (0, 3)


@pytest.mark.parametrize(
    ("argument", "value", "message"),
    [
        ("forward", [100.0, 0.0], r"forward must be positive and finite, got 0.0 at position 1"),
        ("strike", -1.0, r"strike must be positive and finite, got -1.0 \(1 of 1 values are not\)"),
        ("discount", np.inf, "discount must be positive"),
        ("tau", [[0.1], [-0.1]], r"tau must be non-negative and finite, got -0.1 at position \[1"),
        ("volatility", np.nan, "volatility must be non-negative"),
    ],
)
def test_impossible_arguments(argument, value, message):
    arguments = {"forward": 100.0, "strike": 90.0, "tau": 0.5, "volatility": 0.2, "discount": 1.0}
    with pytest.raises(ValueError, match=message):
        black_price(**(arguments | {argument: value}))


def test_implied_volatility_needs_time():
    with pytest.raises(ValueError, match="tau must be positive"):
        implied_volatility(5.0, 100, 100, 0.0)


def make_chain(forward, rate=0.02, strikes=range(80, 125, 5)):
    """Both sides of one expiry, fairly priced."""
    calls = pd.DataFrame({"strike": np.array(strikes, dtype=float), "is_call": True})
    chain = pd.concat([calls, calls.assign(is_call=False)], ignore_index=True)
    chain.insert(0, "date", pd.Timestamp("2024-01-02"))
    chain.insert(1, "expiry", pd.Timestamp("2024-07-02"))
    tau = 182 / 365
    chain["price"] = black_price(
        forward, chain["strike"], tau, 0.25, discount=np.exp(-rate * tau), is_call=chain["is_call"]
    )
    return chain


def test_parity_forward_of_fair_prices():
    forwards = parity_forwards(make_chain(103.0), rate=0.02)
    assert list(forwards.index.names) == ["date", "expiry"]
    assert forwards["forward"].item() == pytest.approx(103.0, rel=1e-12)
    assert forwards["n_pairs"].item() == 9
    assert forwards["parity_gap"].item() < 1e-12


def test_parity_forward_withstands_a_stale_quote_and_reports_it():
    chain = make_chain(103.0)
    chain.loc[chain["is_call"] & (chain["strike"] == 100), "price"] += 4.0
    forwards = parity_forwards(chain, rate=0.02)
    assert forwards["forward"].item() == pytest.approx(103.0, rel=1e-12)
    assert forwards["parity_gap"].item() == pytest.approx(4 * np.exp(0.02 * 182 / 365) / 103)


def test_an_expiry_without_pairs_has_no_parity_forward():
    chain = make_chain(103.0)
    one_sided = chain[chain["is_call"] == (chain["strike"] > 103)]
    assert parity_forwards(one_sided).empty
