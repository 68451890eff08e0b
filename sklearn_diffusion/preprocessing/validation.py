"""Checks of surface data that name the day and the cell at fault."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

__all__ = ["check_dates", "check_same_days", "check_volatilities"]

_N_NAMED = 3


def check_volatilities(
    values: NDArray,
    *,
    days: Sequence[Any] | pd.Index | None = None,
    cells: Sequence[Any] | NDArray | pd.Index | None = None,
    what: str = "volatilities",
) -> None:
    """Raise unless every value is positive and finite.

    Parameters
    ----------
    values : ndarray of shape (n_days, n_cells)
    days : sequence of length n_days, optional
        Names of the rows. Their positions by default.
    cells : sequence of length n_cells, optional
        Names of the columns. Their positions by default.
    what : str, default="volatilities"
        Name of the quantity, for the message.

    Raises
    ------
    ValueError
        Naming the first few values at fault by day and cell.
    """
    invalid = ~(np.isfinite(values) & (values > 0))
    if not invalid.any():
        return
    positions = np.argwhere(invalid)
    named = "; ".join(
        f"{_show(values[row, column])} on {_name_day(days, row)}, "
        f"cell {repr(str(cells[column])) if cells is not None else column}"
        for row, column in positions[:_N_NAMED]
    )
    more = f" and {len(positions) - _N_NAMED} more" if len(positions) > _N_NAMED else ""
    # The words that scikit-learn expects of an estimator which takes positive data only.
    prefix = "Negative values in data: " if (values < 0).any() else ""
    raise ValueError(
        f"{prefix}{what} must be positive and finite, without NaN or inf; got {named}{more}. "
        "Nothing is filled or dropped here: drop those days or repair the surfaces first."
    )


def check_dates(dates: ArrayLike | pd.Index, n_days: int) -> pd.DatetimeIndex:
    """Return dates as an index after checking that they identify and order the days.

    Parameters
    ----------
    dates : array-like of shape (n_days,)
        Anything pandas reads as dates.
    n_days : int

    Returns
    -------
    DatetimeIndex of length n_days

    Raises
    ------
    ValueError
        If they are numbers, their number is wrong, or one is missing, repeated or out of order.
    """
    if np.asarray(dates).dtype.kind in "iuf":
        raise ValueError("dates are numbers; pass datetimes, or strings such as '2020-01-31'.")
    index = pd.DatetimeIndex(dates)
    if len(index) != n_days:
        raise ValueError(f"dates has {len(index)} entries for {n_days} days.")
    if index.hasnans:
        raise ValueError(f"dates are missing at position {np.flatnonzero(index.isna())[0]}.")
    if not index.is_unique:
        repeated = index[index.duplicated()].unique()
        raise ValueError(
            f"dates must be unique; {len(repeated)} are repeated, "
            f"the first {_show_date(repeated[0])}."
        )
    if not index.is_monotonic_increasing:
        late = int(np.flatnonzero(index[1:] < index[:-1])[0])
        raise ValueError(
            f"dates must be sorted; {_show_date(index[late])} stands before "
            f"{_show_date(index[late + 1])} at position {late}."
        )
    return index


def _show(value: float) -> str:
    return "NaN" if np.isnan(value) else f"{value:g}"


def _show_date(date: pd.Timestamp) -> str:
    return str(date.date()) if date == date.normalize() else str(date)


def _name_day(days: Sequence[Any] | pd.Index | None, row: int) -> str:
    if days is None:
        return f"day {row}"
    day = days[row]
    return f"day {_show_date(day) if isinstance(day, pd.Timestamp) else day}"


def check_same_days(X: ArrayLike | pd.DataFrame, y: ArrayLike | pd.DataFrame) -> None:
    """Raise unless the dates of features and targets are in order and, where both have, equal.

    Parameters
    ----------
    X, y : array-like or DataFrame
        Features and targets, a day a row.

    Raises
    ------
    ValueError
        Naming the first date at fault.
    """
    if not isinstance(X, pd.DataFrame):
        return
    if isinstance(X.index, pd.DatetimeIndex):
        check_dates(X.index, len(X))
    if isinstance(y, pd.DataFrame) and len(X) == len(y) and not X.index.equals(y.index):
        row = np.flatnonzero(X.index != y.index)[0]
        raise ValueError(
            f"X and y differ in their index, first in row {row}: {X.index[row]} and "
            f"{y.index[row]}. Both are indexed by the day on which the forecast is made."
        )
