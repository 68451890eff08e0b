"""Checks of the dates that name and order the rows of a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from pandas.api.types import is_numeric_dtype

__all__ = [
    "check_dates",
    "check_equal_index",
    "check_same_days",
    "check_time_order",
    "index_dates",
    "name_day",
]

# What pandas calls an index of text, or of text among other things.
_TEXT = {"string", "mixed", "mixed-integer", "mixed-integer-float", "categorical"}


def check_dates(dates: ArrayLike | pd.Index, n_days: int) -> pd.DatetimeIndex:
    """Return dates as an index after checking that they identify and order the days.

    Parameters
    ----------
    dates : array-like of shape (n_days,)
        Anything pandas reads as dates.
    n_days : int
        How many there have to be.

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
    index = _as_dates(dates)
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


def _as_dates(dates: ArrayLike | pd.Index) -> pd.DatetimeIndex:
    """Dates; text is read as ISO 8601 or not at all: 01/02/2020 is refused, not guessed."""
    index = pd.Index(dates)
    if index.inferred_type != "string":
        return pd.DatetimeIndex(index)
    try:
        return pd.DatetimeIndex(pd.to_datetime(index, format="ISO8601"))
    except ValueError as error:
        raise ValueError(
            f"dates start with {index[0]!r}, whose day and month cannot be told: turn them into "
            "dates with pandas.to_datetime and a format."
        ) from error


def _show_date(date: pd.Timestamp) -> str:
    return str(date.date()) if date == date.normalize() else str(date)


def name_day(days: Sequence[Any] | pd.Index | None, row: int) -> str:
    """Name a row: by its date without an idle time of day, its label, or its position.

    Parameters
    ----------
    days : sequence or None
        Names of the rows.
    row : int
        Position.

    Returns
    -------
    str
        For a message.
    """
    day = row if days is None else days[row]
    return _show_date(day) if isinstance(day, pd.Timestamp) else str(day)


def index_dates(rows: ArrayLike | pd.DataFrame, what: str) -> pd.DatetimeIndex | None:
    """Return the dates by which a DataFrame is indexed, checked.

    Parameters
    ----------
    rows : array-like or DataFrame
        A day a row.
    what : str
        Its name, for the message.

    Returns
    -------
    DatetimeIndex or None
        None for an array, or a DataFrame whose rows are numbered.

    Raises
    ------
    ValueError
        If the index is neither of dates nor of numbers, or its dates are not in order.
    """
    if not isinstance(rows, pd.DataFrame) or len(rows) == 0:
        return None
    if isinstance(rows.index, pd.DatetimeIndex):
        return check_dates(rows.index, len(rows))
    if is_numeric_dtype(rows.index.dtype):
        _check_increasing(rows.index, what)
    else:
        raise ValueError(
            f"the index of {what} starts with {rows.index[0]!r}, which is no date: turn it into "
            "dates with pandas.to_datetime, or drop it if days are to count as consecutive."
        )
    return None


def check_same_days(X: ArrayLike | pd.DataFrame, y: ArrayLike | pd.DataFrame) -> None:
    """Raise unless the dates of features and targets are in order and, where both have, equal.

    Parameters
    ----------
    X, y : array-like or DataFrame
        Features and targets, a day a row.

    Raises
    ------
    ValueError
        Naming the first date at fault, or if an index holds neither dates nor numbers.
    """
    index_dates(X, "X")
    index_dates(y, "y")
    check_equal_index(X, y)


def check_equal_index(X: ArrayLike | pd.DataFrame, y: ArrayLike | pd.DataFrame) -> None:
    """Raise unless features and targets are of the same days, in the same order, whatever it is.

    Parameters
    ----------
    X, y : array-like or DataFrame
        Features and targets, a day a row; compared where both have an index.

    Raises
    ------
    ValueError
        Naming the first row that differs.
    """
    if not isinstance(X, pd.DataFrame) or not isinstance(y, pd.DataFrame) or len(X) != len(y):
        return
    different = np.flatnonzero(X.index != y.index)  # text that says the same date is the same
    if len(different):
        row = int(different[0])
        raise ValueError(
            f"X and y differ in their index, first in row {row}: {name_day(X.index, row)} and "
            f"{name_day(y.index, row)}. Both are indexed by the day on which the forecast is made."
        )


def check_time_order(index: pd.Index, what: str = "X") -> None:
    """Raise unless an index is in the order of time.

    Parameters
    ----------
    index : Index
        Of rows whose order means something. Dates are datetimes, periods, and ISO 8601 text, as of
        a file that was read without parsing it; numbers (20201231, seconds, positions) have to
        increase.
    what : str, default="X"
        What has the index, for the message.

    Raises
    ------
    ValueError
        If dates are missing, repeated or out of order, numbers decrease, or text is in a format
        whose order cannot be told: whether 01/02/2020 is in January is better refused than guessed.
    """
    if isinstance(index, pd.PeriodIndex):
        index = index.to_timestamp()
    elif index.inferred_type in {"date", "datetime"}:
        index = pd.DatetimeIndex(index)
    elif isinstance(index, pd.MultiIndex) or index.inferred_type in _TEXT:
        try:
            index = pd.DatetimeIndex(pd.to_datetime(index, format="ISO8601"))
        except (ValueError, TypeError) as error:
            raise ValueError(
                f"the index of {what} starts with {index[0]!r}, whose order in time cannot be "
                "told: turn it into dates with pandas.to_datetime, or drop it if rows are in time "
                "order."
            ) from error
    elif is_numeric_dtype(index.dtype):
        _check_increasing(index, what)
    if isinstance(index, pd.DatetimeIndex):
        check_dates(index, len(index))


def _check_increasing(index: pd.Index, what: str) -> None:
    late = np.flatnonzero(np.diff(index.to_numpy(dtype=np.float64)) < 0)
    if len(late):
        k = int(late[0])
        raise ValueError(
            f"rows of {what} must be in time order, the newest last, but its index falls from "
            f"{index[k]} to {index[k + 1]} at row {k + 1}: sort it, or drop the index if rows are "
            "in time order."
        )
