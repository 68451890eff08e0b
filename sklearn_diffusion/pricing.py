r"""European option prices, their sensitivities and their implied volatilities (Black, 1976).

With forward F, strike K, time to expiry tau, discount factor D and volatility sigma,

.. math::

    C = D \, [F N(d_1) - K N(d_2)], \qquad P = D \, [K N(-d_2) - F N(-d_1)],

    d_{1,2} = \frac{\log(F / K)}{\sigma \sqrt{\tau}} \pm \frac{\sigma \sqrt{\tau}}{2}.

Black-Scholes with rate r and dividend yield q is the case F = S exp((r - q) tau), D = exp(-r tau).
Every function broadcasts its arguments. Quoted prices need not admit a forward or a volatility:
`implied_volatility` and `parity_forwards` then say so instead of inventing one.
"""

from __future__ import annotations

from enum import IntEnum
from typing import Literal, overload

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import elementwise
from scipy.special import log_ndtr, ndtr

from sklearn_diffusion.utils.arrays import as_floats

__all__ = [
    "VolatilityStatus",
    "black_delta",
    "black_price",
    "black_vega",
    "implied_volatility",
    "parity_forwards",
    "parity_rates",
]

Floats = NDArray[np.float64]

# Fewer strikes quoted on both sides do not tell a slope from an error.
_LEAST_STRIKES = 3


class VolatilityStatus(IntEnum):
    """Why `implied_volatility` did or did not find a volatility."""

    OK = 0
    #: The price is not a finite number.
    NOT_FINITE = 1
    #: The price is at or below the discounted intrinsic value, up to rounding: no time value left.
    AT_OR_BELOW_INTRINSIC = 2
    #: The price is at or above D F (call) or D K (put), which no volatility reaches.
    AT_OR_ABOVE_MAXIMUM = 3


def black_price(
    forward: ArrayLike,
    strike: ArrayLike,
    tau: ArrayLike,
    volatility: ArrayLike,
    *,
    discount: ArrayLike = 1.0,
    is_call: ArrayLike = True,
) -> Floats:
    """Price European options.

    Parameters
    ----------
    forward, strike : array-like
        Forward price of the underlying for the option's expiry, and strike. Positive.
    tau : array-like
        Time to expiry in years, not negative.
    volatility : array-like
        Annualised volatility as a decimal, not negative.
    discount : array-like, default=1.0
        Discount factor to expiry. Positive.
    is_call : array-like of bool, default=True
        True for calls, False for puts; nothing but booleans is taken.

    Returns
    -------
    ndarray
        Present values, in the units of ``forward``.

    Examples
    --------
    >>> from sklearn_diffusion.pricing import black_price
    >>> black_price(100, [90, 100, 110], 0.25, 0.2, is_call=[False, True, True]).round(4)
    array([0.7124, 3.9878, 0.9539])
    """
    forward, strike, discount = _positive(forward=forward, strike=strike, discount=discount)
    d1, d2, _ = _d1_d2(forward, strike, tau, volatility)
    sign = np.where(_as_calls(is_call), 1.0, -1.0)
    return discount * sign * (forward * ndtr(sign * d1) - strike * ndtr(sign * d2))


def black_vega(
    forward: ArrayLike,
    strike: ArrayLike,
    tau: ArrayLike,
    volatility: ArrayLike,
    *,
    discount: ArrayLike = 1.0,
) -> Floats:
    """Differentiate the option price with respect to volatility: D F phi(d1) sqrt(tau).

    Parameters
    ----------
    forward, strike, tau, volatility, discount : array-like
        As in `black_price`.

    Returns
    -------
    ndarray
        Vega per unit of volatility (1.0 is 100 volatility points), the same for calls and puts.
    """
    forward, strike, discount = _positive(forward=forward, strike=strike, discount=discount)
    d1, _, root_tau = _d1_d2(forward, strike, tau, volatility)
    with np.errstate(over="ignore"):  # d1 of no volatility at all: the density is zero there
        density = np.exp(-0.5 * d1**2) / np.sqrt(2 * np.pi)
    return discount * forward * density * root_tau


def black_delta(
    forward: ArrayLike,
    strike: ArrayLike,
    tau: ArrayLike,
    volatility: ArrayLike,
    *,
    discount: ArrayLike = 1.0,
    is_call: ArrayLike = True,
) -> Floats:
    """Differentiate the option price with respect to the forward: D N(d1), or -D N(-d1) for puts.

    Parameters
    ----------
    forward, strike, tau, volatility, discount, is_call : array-like
        As in `black_price`.

    Returns
    -------
    ndarray
        Delta with respect to the forward.
    """
    forward, strike, discount = _positive(forward=forward, strike=strike, discount=discount)
    d1, _, _ = _d1_d2(forward, strike, tau, volatility)
    sign = np.where(_as_calls(is_call), 1.0, -1.0)
    return discount * sign * ndtr(sign * d1)


@overload
def implied_volatility(
    price: ArrayLike,
    forward: ArrayLike,
    strike: ArrayLike,
    tau: ArrayLike,
    *,
    discount: ArrayLike = ...,
    is_call: ArrayLike = ...,
    tick: float = ...,
    return_status: Literal[False] = ...,
) -> Floats: ...


@overload
def implied_volatility(
    price: ArrayLike,
    forward: ArrayLike,
    strike: ArrayLike,
    tau: ArrayLike,
    *,
    discount: ArrayLike = ...,
    is_call: ArrayLike = ...,
    tick: float = ...,
    return_status: Literal[True],
) -> tuple[Floats, NDArray[np.int8]]: ...


def implied_volatility(
    price: ArrayLike,
    forward: ArrayLike,
    strike: ArrayLike,
    tau: ArrayLike,
    *,
    discount: ArrayLike = 1.0,
    is_call: ArrayLike = True,
    tick: float = 0.0,
    return_status: bool = False,
) -> Floats | tuple[Floats, NDArray[np.int8]]:
    r"""Find the volatility at which `black_price` returns the given price.

    Parameters
    ----------
    price : array-like
        Option prices (present values). A price without an implied volatility gives NaN.
    forward, strike, tau : array-like
        As in `black_price`; ``tau`` must be positive.
    discount : array-like, default=1.0
        Discount factor to expiry.
    is_call : array-like of bool, default=True
        True for calls, False for puts.
    tick : float, default=0.0
        Step in which prices are quoted, in their units. A time value of no more than half of it, or
        of rounding error, is no time value: there is no volatility in it.
    return_status : bool, default=False
        Whether to return the reason for each NaN as well.

    Returns
    -------
    volatility : ndarray
        Annualised implied volatilities, NaN where there is none.
    status : ndarray of int8
        `VolatilityStatus` codes. Only if ``return_status`` is True.

    Notes
    -----
    By parity an option's time value is the price of its out-of-the-money twin. With
    :math:`x = -|\log(F / K)|` and :math:`s = \sigma \sqrt{\tau}`, the equation solved is

    .. math::

        \log\left[e^{x/2} N(x/s + s/2) - e^{-x/2} N(x/s - s/2)\right]
        = \log \frac{\text{time value}}{D \sqrt{F K}},

    whose left side increases in s. Logarithms keep far wings, where prices underflow any absolute
    tolerance, as accurate as the centre. Every price has its own bracket, and all are solved at
    once by Chandrupatla's method (`scipy.optimize.elementwise.find_root`).

    Examples
    --------
    >>> from sklearn_diffusion.pricing import VolatilityStatus, implied_volatility
    >>> volatility, status = implied_volatility(
    ...     [3.9878, 12.0], 100, [100, 85], 0.25, return_status=True
    ... )
    >>> volatility.round(4)
    array([0.2, nan])
    >>> VolatilityStatus(status[1]).name
    'AT_OR_BELOW_INTRINSIC'
    """
    forward, strike, tau, discount = _positive(
        forward=forward, strike=strike, tau=tau, discount=discount
    )
    arguments = {
        "price": as_floats(price, "price"),
        "forward": forward,
        "strike": strike,
        "tau": tau,
        "discount": discount,
        "is_call": _as_calls(is_call),
    }
    try:
        price, forward, strike, tau, discount, is_call = np.broadcast_arrays(*arguments.values())
    except ValueError as error:
        shapes = ", ".join(f"{name} {array.shape}" for name, array in arguments.items())
        raise ValueError(f"arguments do not broadcast to one shape: {shapes}.") from error
    undiscounted = price / discount
    sign = np.where(is_call, 1.0, -1.0)
    time_value = undiscounted - np.maximum(sign * (forward - strike), 0)
    (half_tick,) = _not_negative(tick=tick)
    rounding = (
        8
        * np.finfo(np.float64).eps
        * np.where(sign * (forward - strike) > 0, np.maximum(forward, strike), 0)
    )
    rounding = np.maximum(rounding, half_tick / 2 / discount)

    status = np.full(price.shape, VolatilityStatus.OK, dtype=np.int8)
    status[undiscounted >= np.where(is_call, forward, strike)] = (
        VolatilityStatus.AT_OR_ABOVE_MAXIMUM
    )
    status[time_value <= rounding] = VolatilityStatus.AT_OR_BELOW_INTRINSIC
    status[~np.isfinite(price)] = VolatilityStatus.NOT_FINITE

    volatility = np.full(price.shape, np.nan)
    ok = status == VolatilityStatus.OK
    log_moneyness = -np.abs(np.log(forward[ok] / strike[ok]))
    target = np.log(time_value[ok]) - 0.5 * (np.log(forward[ok]) + np.log(strike[ok]))
    total = _implied_total_volatility(target, log_moneyness)
    volatility[ok] = total / np.sqrt(tau[ok])
    # Within rounding of the maximum, the price does not tell one huge volatility from another.
    status[ok & np.isnan(volatility)] = VolatilityStatus.AT_OR_ABOVE_MAXIMUM
    return (volatility, status) if return_status else volatility


def parity_forwards(
    quotes: pd.DataFrame,
    *,
    rate: float | pd.Series = 0.0,
    days_per_year: float = 365.0,
    n_strikes: int = 5,
) -> pd.DataFrame:
    r"""Infer each expiry's forward price from put-call parity.

    Parity, :math:`C - P = D (F - K)`, gives one forward per strike quoted on both sides. The
    estimate is the median over the ``n_strikes`` strikes nearest the money, those where call and
    put prices differ least: there both legs trade, and one stale quote cannot move the median. A
    price of zero is no quote, and has no vote.

    Parameters
    ----------
    quotes : DataFrame
        Columns ``date``, ``expiry``, ``is_call``, ``strike``, ``price``, as returned by
        `sklearn_diffusion.datasets.load_option_quotes`.
    rate : float or Series, default=0.0
        Continuously compounded interest rate per year, one for all or one for each date; D =
        exp(-rate * tau). See `parity_rates`.
    days_per_year : float, default=365.0
        Calendar days in a year, to turn expiries into tau.
    n_strikes : int, default=5
        Number of strikes nearest the money that vote.

    Returns
    -------
    DataFrame
        One row per (date, expiry) with a strike quoted on both sides, and columns

        - ``forward``: the estimate;
        - ``n_pairs``: the number of strikes quoted on both sides;
        - ``parity_gap``: the largest distance of the voting strikes' forwards from the estimate,
          relative to it. A large gap betrays stale quotes or a wrong ``rate``.

    Examples
    --------
    >>> import pandas as pd
    >>> from sklearn_diffusion.pricing import black_price, parity_forwards
    >>> quotes = pd.DataFrame(
    ...     {"date": pd.Timestamp("2024-01-02"), "expiry": pd.Timestamp("2024-04-02"),
    ...      "is_call": [True, False, True, False], "strike": [95.0, 95.0, 105.0, 105.0]}
    ... )
    >>> quotes["price"] = black_price(
    ...     101.0, quotes["strike"], 91 / 365, 0.2, is_call=quotes["is_call"]
    ... )
    >>> parity_forwards(quotes)["forward"].round(6).tolist()
    [101.0]
    """
    pairs = _parity_pairs(quotes, days_per_year)
    rates = pairs["date"].map(rate) if isinstance(rate, pd.Series) else rate
    pairs["forward"] = pairs["strike"] + pairs["difference"] * np.exp(rates * pairs["tau"])
    pairs["distance"] = pairs["difference"].abs()

    pairs = pairs.sort_values(["date", "expiry", "distance", "strike"])
    expiries = ["date", "expiry"]
    voters = pairs.groupby(expiries, sort=False).head(n_strikes).set_index(expiries)["forward"]
    by_expiry = voters.groupby(expiries)
    forwards = by_expiry.median().to_frame()
    forwards["n_pairs"] = pairs.groupby(expiries).size()
    gap = np.maximum(by_expiry.max() - forwards["forward"], forwards["forward"] - by_expiry.min())
    forwards["parity_gap"] = gap / forwards["forward"]
    return forwards


def parity_rates(quotes: pd.DataFrame, *, days_per_year: float = 365.0) -> pd.Series:
    r"""Infer each day's interest rate from put-call parity.

    In :math:`C - P = D (F - K)` the difference falls by D for each unit of strike. Each expiry's
    slope, the median over pairs of strikes (Theil and Sen), gives a rate
    :math:`-\log(D) / \tau`; the day's is their median weighted by the square of tau times the span
    of strikes, since a slope is the more precise the longer its line.

    Parameters
    ----------
    quotes : DataFrame
        As in `parity_forwards`.
    days_per_year : float, default=365.0
        Calendar days in a year.

    Returns
    -------
    Series of float, indexed by date
        Continuously compounded rates per year. Days without an expiry of three strikes quoted on
        both sides are left out.
    """
    pairs = _parity_pairs(quotes, days_per_year)
    rows = []
    for (date, _), expiry in pairs[pairs["tau"] > 0].groupby(["date", "expiry"]):
        if len(expiry) < _LEAST_STRIKES:
            continue
        strike, difference = expiry["strike"].to_numpy(), expiry["difference"].to_numpy()
        i, j = np.triu_indices(len(strike), 1)
        discount = np.median(-(difference[j] - difference[i]) / (strike[j] - strike[i]))
        if discount > 0:
            tau = expiry["tau"].iloc[0]
            weight = (tau * np.ptp(strike) / np.median(strike)) ** 2
            rows.append((date, -np.log(discount) / tau, weight))
    table = pd.DataFrame(rows, columns=["date", "rate", "weight"]).sort_values(["date", "rate"])
    weights = table["weight"].astype(float).groupby(table["date"])
    # The median: the first rate below which lies half of the weight.
    half = weights.cumsum() >= 0.5 * weights.transform("sum")
    return table[half].groupby("date")["rate"].first().astype(float)


def _parity_pairs(quotes: pd.DataFrame, days_per_year: float) -> pd.DataFrame:
    """Strikes with a price on both sides: date, expiry, strike, tau and the difference C - P."""
    _check_parity_quotes(quotes)
    keys = ["date", "expiry", "strike"]
    quoted = quotes["price"] > 0
    is_call = quotes["is_call"].astype(bool)
    calls = quotes.loc[is_call & quoted, [*keys, "price"]]
    puts = quotes.loc[~is_call & quoted, [*keys, "price"]]
    pairs = calls.merge(puts, on=keys, suffixes=("_call", "_put"))
    pairs["tau"] = (pairs["expiry"] - pairs["date"]).dt.days / days_per_year
    pairs["difference"] = pairs["price_call"] - pairs["price_put"]
    return pairs.sort_values(["date", "expiry", "strike"], ignore_index=True)


def _check_parity_quotes(quotes: pd.DataFrame) -> None:
    wanted = ["date", "expiry", "is_call", "strike", "price"]
    if not isinstance(quotes, pd.DataFrame):
        raise TypeError(f"quotes must be a pandas DataFrame, got {type(quotes).__name__}.")
    missing = [name for name in wanted if name not in quotes.columns]
    if missing:
        raise ValueError(f"quotes lack the columns {missing}; they have {list(quotes.columns)}.")
    _as_calls(quotes["is_call"])
    for name in ("date", "expiry"):
        if not pd.api.types.is_datetime64_any_dtype(quotes[name]):
            raise TypeError(f"column {name!r} must hold datetime64 days, got {quotes[name].dtype}.")
        if quotes[name].isna().any():
            row = quotes.index[quotes[name].isna()][0]
            raise ValueError(f"{name} is missing in row {row} of quotes.")
    if (quotes["expiry"] < quotes["date"]).any():
        row = quotes.index[quotes["expiry"] < quotes["date"]][0]
        raise ValueError(f"expiry is before date in row {row} of quotes.")
    twice = quotes.duplicated(["date", "expiry", "is_call", "strike"])
    if twice.any():
        raise ValueError(f"an option is quoted twice on a day, in row {quotes.index[twice][0]}.")


def _implied_total_volatility(log_price: Floats, x: Floats) -> Floats:
    """Solve `_log_otm_price` (x, s) = log_price for s; NaN where rounding leaves no root."""
    # An at-the-money option, the dearest of all, costs less than s / sqrt(2 pi). Away from the
    # money, |x| / s = 40 is a price below the smallest double.
    lower = np.maximum(np.exp(log_price) * np.sqrt(2 * np.pi), -x / 40) * (1 - 1e-12)
    # d1 = 8.5 there: N(d1) is 1 to the last bit.
    upper = 8.5 + np.sqrt(8.5**2 - 2 * x)
    solution = elementwise.find_root(
        lambda s, x, target: _log_otm_price(x, s) - target, (lower, upper), args=(x, log_price)
    )
    return np.where(solution.success, solution.x, np.nan)


def _log_otm_price(x: Floats, s: Floats) -> Floats:
    """Log of an out-of-the-money option's undiscounted price over sqrt(F K), x = -|log(F / K)|."""
    d1, d2 = x / s + s / 2, x / s - s / 2
    log_asset = x / 2 + log_ndtr(d1)
    log_cash = -x / 2 + log_ndtr(d2)
    with np.errstate(divide="ignore"):  # cash and asset equal in double precision: no price left
        return log_asset + np.log(-np.expm1(log_cash - log_asset))


def _d1_d2(
    forward: Floats, strike: Floats, tau: ArrayLike, volatility: ArrayLike
) -> tuple[Floats, Floats, Floats]:
    tau, volatility = _not_negative(tau=tau, volatility=volatility)
    root_tau = np.sqrt(tau)
    s = volatility * root_tau
    log_moneyness = np.log(forward / strike)
    with np.errstate(divide="ignore", invalid="ignore"):
        centre = np.where(log_moneyness == 0, 0.0, log_moneyness / s)
    return centre + s / 2, centre - s / 2, root_tau


def _positive(**arguments: ArrayLike) -> list[Floats]:
    return [_checked(name, value, strict=True) for name, value in arguments.items()]


def _not_negative(**arguments: ArrayLike) -> list[Floats]:
    return [_checked(name, value, strict=False) for name, value in arguments.items()]


def _as_calls(is_call: ArrayLike) -> NDArray[np.bool_]:
    """Booleans as they are; everything else is refused, since "p" and -1 are true as well."""
    array = np.asarray(is_call)
    if array.dtype == np.bool_:
        return array
    if array.dtype == object and all(isinstance(v, bool | np.bool_) for v in array.ravel()):
        return array.astype(bool)
    first = array.ravel()[0] if array.size else is_call
    raise ValueError(
        f"is_call must be boolean, True for calls and False for puts, got {first!r} of type "
        f"{array.dtype}: compare first, for example kind == 'C'."
    )


def _checked(name: str, value: ArrayLike, *, strict: bool) -> Floats:
    array = as_floats(value, name)
    valid = np.isfinite(array) & ((array > 0) if strict else (array >= 0))
    if not valid.all():
        where = np.argwhere(~valid)[0].tolist()
        position = f" at position {where if len(where) > 1 else where[0]}" if where else ""
        kind = "positive" if strict else "non-negative"
        raise ValueError(
            f"{name} must be {kind} and finite, got {array[tuple(where)]}{position} "
            f"({np.count_nonzero(~valid)} of {array.size} values are not)."
        )
    return array
