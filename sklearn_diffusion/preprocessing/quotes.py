"""From a table of option quotes to the implied volatilities worth smoothing.

A *table of quotes* is a DataFrame with one row per option and day, and the columns

- ``date``, ``expiry``: days, as datetime64;
- ``is_call``: bool;
- ``strike``, ``price``: in the units of the underlying;
- optionally ``bid``, ``ask``, ``volume``, ``impl_volatility``, ``spot`` and ``forward``.

`sklearn_diffusion.datasets.load_option_quotes` reads such tables from files.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from pandas.api.types import is_bool_dtype, is_datetime64_dtype, is_numeric_dtype

from sklearn_diffusion.pricing import (
    VolatilityStatus,
    black_vega,
    implied_volatility,
    parity_forwards,
    parity_rates,
)

__all__ = ["CleanQuotes", "check_one_underlying", "check_option_quotes", "clean_option_quotes"]

REQUIRED_COLUMNS = ("date", "expiry", "is_call", "strike", "price")

#: Numeric columns: name, whether zero is allowed, whether a missing value is.
NUMBERS = (
    ("strike", False, False),
    ("price", True, False),
    ("bid", True, False),
    ("ask", True, False),
    ("volume", True, False),
    ("impl_volatility", False, True),
    ("spot", False, False),
    ("forward", False, True),
)

#: Why a quote is left out. The first reason that applies is the one that counts.
REASONS = (
    "near_expiry",
    "zero_volume",
    "zero_bid",
    "no_forward",
    "parity_violation",
    "in_the_money",
    "no_volatility",
    "implausible_volatility",
    "at_or_below_intrinsic",
    "at_or_above_maximum",
)


#: Columns that would tell several underlyings in one table.
UNDERLYING_COLUMNS = (
    "secid",
    "ticker",
    "symbol",
    "underlying",
    "underlying_symbol",
    "act_symbol",
    "root",
    "permno",
)

_CONTRACT = ("expiry", "is_call", "strike")

# An error of the discount factor of which quotes can tell.
_DISCOUNT_GAP = 0.01
# Half of all options of a market do not have volatilities of 300 %.
_PERCENT = 3.0


@dataclass(frozen=True)
class CleanQuotes:
    """What `clean_option_quotes` made of a table of quotes.

    Attributes
    ----------
    points : DataFrame
        The quotes kept, sorted by date, tenor and moneyness, with columns ``date``, ``tenor``
        (years), ``moneyness``, ``volatility`` and ``vega``.
    report : DataFrame of int, indexed by date
        For each day the number of ``quotes``, the number ``kept``, and the number left out for
        each of the reasons ``near_expiry``, ``zero_volume``, ``zero_bid``, ``no_forward``,
        ``parity_violation``, ``in_the_money``, ``no_volatility``, ``implausible_volatility``,
        ``at_or_below_intrinsic`` and ``at_or_above_maximum``. A row adds up: quotes = kept +
        reasons.
    forwards : DataFrame indexed by (date, expiry)
        The forward prices used, in column ``forward``; with ``forward="parity"`` also the columns
        of `sklearn_diffusion.pricing.parity_forwards` that tell how well parity holds.
    spot : Series, indexed by date
        The column ``spot`` of the quotes; without one, the forward of the nearest expiry that
        counts, discounted at ``rate``, which leaves out dividends until then.
    """

    points: pd.DataFrame
    report: pd.DataFrame
    forwards: pd.DataFrame
    spot: pd.Series


def check_option_quotes(quotes: pd.DataFrame) -> None:
    """Raise an error that names the offending rows unless this is a proper table of quotes.

    Parameters
    ----------
    quotes : DataFrame
        A table of quotes, as the module describes it. The order of its rows does not matter.

    Raises
    ------
    TypeError
        If it is not a DataFrame, or a column has the wrong type.
    ValueError
        If columns are missing or the table is empty; on missing or intraday dates, expiries
        before their date, numbers out of range, asks below bids, several spots on a day or forwards
        of an expiry, or several underlyings; on volatilities in percent; and on duplicated quotes.
    """
    if not isinstance(quotes, pd.DataFrame):
        raise TypeError(f"quotes must be a pandas DataFrame, got {type(quotes).__name__}.")
    missing = [name for name in REQUIRED_COLUMNS if name not in quotes.columns]
    if missing:
        raise ValueError(f"quotes lack the columns {missing}; they have {list(quotes.columns)}.")
    if quotes.empty:
        raise ValueError("quotes are empty.")
    _check_types(quotes)

    for name in ("date", "expiry"):
        days = quotes[name]
        _refuse(quotes, days.isna(), f"{name} is missing")
        _refuse(quotes, days != days.dt.normalize(), f"{name} is not a whole day")
    _refuse(quotes, quotes["expiry"] < quotes["date"], "expiry is before date")

    for name, allows_zero, allows_missing in NUMBERS:
        if name not in quotes.columns:
            continue
        values = quotes[name]
        valid = ((values >= 0) if allows_zero else (values > 0)) & np.isfinite(values)
        if allows_missing:
            valid |= values.isna()
        kind = "non-negative" if allows_zero else "positive"
        _refuse(quotes, ~valid, f"{name} is not a {kind} number", show=name)

    check_one_underlying(quotes)
    if "impl_volatility" in quotes.columns and quotes["impl_volatility"].median() > _PERCENT:
        raise ValueError(
            f"impl_volatility has the median {quotes['impl_volatility'].median():g}, which looks "
            "like percent: volatilities are decimals, .2 for 20 %."
        )
    if {"bid", "ask"} <= set(quotes.columns):
        _refuse(quotes, quotes["ask"] < quotes["bid"], "ask is below bid", show="bid")
    option = ["date", "expiry", "is_call", "strike"]
    _refuse(quotes, quotes.duplicated(option, keep=False), "an option is quoted twice on a day")
    for name, keys in (("spot", ["date"]), ("forward", ["date", "expiry"])):
        if name in quotes.columns:
            n_values = quotes.groupby(keys)[name].transform("nunique")
            _refuse(quotes, n_values > 1, f"{name} differs within one {' and '.join(keys)}", name)


def check_one_underlying(quotes: pd.DataFrame, contract: Sequence[str] = _CONTRACT) -> None:
    """Raise if a column names several underlyings.

    Parameters
    ----------
    quotes : DataFrame
        With a row for each option and day.
    contract : sequence of str
        Columns that tell one option from another. A symbol of its own for each of them is no
        underlying.

    Raises
    ------
    ValueError
        Naming the column and the first few underlyings.
    """
    n_contracts = len(quotes[[*contract]].drop_duplicates())
    for name in quotes.columns:
        if str(name).strip().lower() not in UNDERLYING_COLUMNS:
            continue
        found = quotes[name].unique()
        if len(found) > 1 and (len(found) < n_contracts or n_contracts == 1):
            raise ValueError(
                f"quotes hold {len(found)} underlyings (column {name!r}: "
                f"{', '.join(map(str, found[:5]))}); keep one of them."
            )


def clean_option_quotes(
    quotes: pd.DataFrame,
    *,
    moneyness: Literal["forward", "spot"] = "forward",
    forward: Literal["parity", "spot", "column"] = "parity",
    volatility: Literal["price", "column"] = "price",
    rate: float | Literal["parity"] = 0.0,
    volatility_range: tuple[float, float] = (0.005, 5.0),
    days_per_year: float = 365.0,
    min_days: int = 1,
    otm_only: bool = True,
    drop_zero_volume: bool = True,
    drop_zero_bid: bool = True,
    parity_tolerance: float | None = 0.02,
) -> CleanQuotes:
    """Keep the quotes that carry an implied volatility, and count the others by reason.

    Parameters
    ----------
    quotes : DataFrame
        A table of quotes (see `check_option_quotes`).
    moneyness : {"forward", "spot"}, default="forward"
        Whether moneyness is K/F, of each expiry's forward, or K/S.
    forward : {"parity", "spot", "column"}, default="parity"
        Forward prices from put-call parity (see `sklearn_diffusion.pricing.parity_forwards`), from
        the column ``spot`` as S exp(rate * tau), or from a column ``forward``.
    volatility : {"price", "column"}, default="price"
        Implied volatilities by inverting Black's formula, or from a column ``impl_volatility``.
    rate : float or "parity", default=0.0
        Continuously compounded interest rate per year; "parity" infers that of each day from
        put-call parity (see `sklearn_diffusion.pricing.parity_rates`).
    volatility_range : (float, float), default=(0.005, 5.0)
        Volatilities outside are left out as placeholders or errors, and counted.
    days_per_year : float, default=365.0
        Calendar days in a year, to turn expiries into tenors.
    min_days : int, default=1
        Smallest number of calendar days to expiry of a quote that counts.
    otm_only : bool, default=True
        Keep out-of-the-money quotes only: puts with moneyness <= 1 and calls with moneyness >= 1.
    drop_zero_volume : bool, default=True
        Leave out quotes without trades, if the quotes have a column ``volume``.
    drop_zero_bid : bool, default=True
        Leave out quotes that nobody bids for, if the quotes have a column ``bid``.
    parity_tolerance : float or None, default=0.02
        Leave out both sides of a strike whose own parity forward is further than this from its
        expiry's forward, relatively. None keeps them.

    Returns
    -------
    CleanQuotes
        The points to smooth, the report and the forwards.
    """
    check_option_quotes(quotes)
    _check_sources(quotes, moneyness=moneyness, forward=forward, volatility=volatility)
    table = quotes.reset_index(drop=True)
    days = (table["expiry"] - table["date"]).dt.days
    table["tenor"] = days / days_per_year
    table["volatility"] = np.nan
    fate = pd.Series("kept", index=table.index)

    def leave_out(which: pd.Series, reason: str) -> None:
        fate.loc[which & (fate == "kept")] = reason

    leave_out(days < max(min_days, 1), "near_expiry")
    if drop_zero_volume and "volume" in table.columns:
        leave_out(table["volume"] == 0, "zero_volume")
    if drop_zero_bid and "bid" in table.columns:
        leave_out(table["bid"] == 0, "zero_bid")
    # What the filters have dropped decides nothing any more, the forward least of all.
    trusted = table[(fate == "kept") & (table["price"] > 0)]
    rates = _rates(trusted, rate, forward, days_per_year)
    forwards = _forwards(trusted, source=forward, rate=rates, days_per_year=days_per_year)
    table = table.join(
        forwards["forward"].rename("_forward"), on=["date", "expiry"], validate="many_to_one"
    )
    discount = np.exp(-table["date"].map(rates) * table["tenor"])
    reference = table["_forward"] if moneyness == "forward" else table["spot"]
    table["moneyness"] = table["strike"] / reference
    leave_out(table["_forward"].isna(), "no_forward")
    if parity_tolerance is not None:
        kept = table[fate == "kept"]
        error = _parity_error(kept, kept["_forward"], discount[kept.index])
        error = error.reindex(table.index)
        leave_out(error > parity_tolerance, "parity_violation")
    if otm_only:
        is_itm = np.where(table["is_call"], table["moneyness"] < 1, table["moneyness"] > 1)
        leave_out(pd.Series(is_itm, index=table.index), "in_the_money")
    if volatility == "column":
        table["volatility"] = table["impl_volatility"]
        leave_out(table["volatility"].isna(), "no_volatility")
    else:
        kept = table[fate == "kept"]
        solution, status = implied_volatility(
            kept["price"],
            kept["_forward"],
            kept["strike"],
            kept["tenor"],
            discount=discount[kept.index],
            is_call=kept["is_call"],
            return_status=True,
        )
        table.loc[kept.index, "volatility"] = solution
        for code in VolatilityStatus:
            if code is not VolatilityStatus.OK:
                without = kept.index[status == code]
                leave_out(table.index.isin(without), code.name.lower())

    low, high = volatility_range
    leave_out(~table["volatility"].between(low, high), "implausible_volatility")
    points = table[fate == "kept"].copy()
    points["vega"] = black_vega(
        points["_forward"],
        points["strike"],
        points["tenor"],
        points["volatility"],
        discount=discount[points.index],
    )
    points = points.sort_values(["date", "tenor", "moneyness", "is_call"], ignore_index=True)
    return CleanQuotes(
        points=points[["date", "tenor", "moneyness", "volatility", "vega"]],
        report=_count(table["date"], fate),
        forwards=forwards,
        spot=_spot(table[fate != "near_expiry"], discount),
    )


def _check_types(quotes: pd.DataFrame) -> None:
    for name in ("date", "expiry"):
        if not is_datetime64_dtype(quotes[name]):
            raise TypeError(
                f"column {name!r} must hold datetime64 days without a time zone "
                f"(pandas.to_datetime makes them), got {quotes[name].dtype}."
            )
    if not is_bool_dtype(quotes["is_call"]):
        raise TypeError(f"column 'is_call' must be bool, got {quotes['is_call'].dtype}.")
    for name, *_ in NUMBERS:
        if name in quotes.columns and not is_numeric_dtype(quotes[name]):
            raise TypeError(f"column {name!r} must be numeric, got {quotes[name].dtype}.")


def _check_sources(quotes: pd.DataFrame, *, moneyness: str, forward: str, volatility: str) -> None:
    for parameter, value, wanted, column in (
        ("moneyness", moneyness, "spot", "spot"),
        ("forward", forward, "spot", "spot"),
        ("forward", forward, "column", "forward"),
        ("volatility", volatility, "column", "impl_volatility"),
    ):
        if value == wanted and column not in quotes.columns:
            raise ValueError(
                f"{parameter}={value!r} needs a column {column!r} in quotes, which have "
                f"{list(quotes.columns)}."
            )


def _rates(
    quotes: pd.DataFrame, rate: float | Literal["parity"], forward: str, days_per_year: float
) -> pd.Series:
    """Interest rate of every day, by date; a warning where parity says another than was given."""
    dates = pd.DatetimeIndex(quotes["date"].unique()).sort_values()
    if rate != "parity" and forward != "parity":
        return pd.Series(float(rate), index=dates)
    implied = parity_rates(quotes, days_per_year=days_per_year)
    if rate == "parity":
        # A day that does not tell its rate has that of the day before, never of one to come.
        known = implied.reindex(dates).ffill()
        return known.fillna(0.0)
    if len(implied):
        longest = ((quotes["expiry"] - quotes["date"]).dt.days / days_per_year).max()
        gap = float(implied.median()) - rate
        if abs(gap) * longest > _DISCOUNT_GAP:
            warnings.warn(
                f"put-call parity says that the interest rate is about {implied.median():.2%} a "
                f"year, not rate={rate:g}, which moves prices of the longest tenor by "
                f"{abs(gap) * longest:.1%}: pass rate={implied.median():.3f}, or rate='parity'.",
                UserWarning,
                stacklevel=4,
            )
    return pd.Series(float(rate), index=dates)


def _forwards(
    quotes: pd.DataFrame, *, source: str, rate: pd.Series, days_per_year: float
) -> pd.DataFrame:
    if source == "parity":
        return parity_forwards(quotes, rate=rate, days_per_year=days_per_year)
    by_expiry = quotes.groupby(["date", "expiry"])
    if source == "column":
        return by_expiry["forward"].first().to_frame()
    spot = by_expiry["spot"].first()
    dates = spot.index.get_level_values("date")
    days = (spot.index.get_level_values("expiry") - dates).days
    return (spot * np.exp(dates.map(rate) * days / days_per_year)).to_frame("forward")


def _spot(table: pd.DataFrame, discount: pd.Series) -> pd.Series:
    if "spot" in table.columns:
        spot = table["spot"]
    else:
        table = table.dropna(subset="_forward").sort_values("tenor", kind="stable")
        spot = table["_forward"] * discount[table.index]
    return spot.groupby(table["date"]).first().rename("spot")


def _parity_error(table: pd.DataFrame, forward: pd.Series, discount: pd.Series) -> pd.Series:
    """Distance of each strike's own parity forward from its expiry's; NaN without both sides."""
    sign = np.where(table["is_call"], 1.0, -1.0)
    strikes = [table["date"], table["expiry"], table["strike"]]
    difference = (sign * table["price"]).groupby(strikes).transform("sum")
    n_sides = table.groupby(["date", "expiry", "strike"])["price"].transform("size")
    own_forward = table["strike"] + difference / discount
    return (own_forward / forward - 1).abs().where(n_sides == 2)


def _count(dates: pd.Series, fate: pd.Series) -> pd.DataFrame:
    counts = pd.crosstab(dates, fate)
    report = counts.reindex(columns=["kept", *REASONS], fill_value=0)
    report.insert(0, "quotes", counts.sum(axis=1))
    report.columns.name = None
    return report


def _refuse(quotes: pd.DataFrame, bad: pd.Series, complaint: str, show: str | None = None) -> None:
    """Raise a ValueError that names the first few rows where ``bad`` is True."""
    if not bad.any():
        return
    rows = quotes[bad]
    shown = "; ".join(_describe(label, row, show) for label, row in rows.head(3).iterrows())
    more = ", ..." if len(rows) > 3 else ""
    raise ValueError(f"{complaint} in {len(rows)} of {len(quotes)} quotes: {shown}{more}.")


def _describe(label: object, row: pd.Series, show: str | None) -> str:
    def day(stamp: pd.Timestamp) -> str:
        return "missing" if pd.isna(stamp) else f"{stamp:%Y-%m-%d}"

    kind = "call" if row["is_call"] else "put"
    value = "" if show in (None, "strike") else f", {show} {row[show]}"
    return (
        f"row {label} (date {day(row['date'])}, expiry {day(row['expiry'])}, "
        f"{kind} of strike {row['strike']}{value})"
    )
