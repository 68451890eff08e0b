"""Checks of surface data that name the day and the cell at fault."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from pandas.api.types import is_numeric_dtype

__all__ = [
    "check_dates",
    "check_labels",
    "check_same_days",
    "check_volatilities",
    "index_dates",
    "name_day",
]

_N_NAMED = 3
# As `SurfaceGrid.cell_names` writes them, perhaps after the name of a block of features.
_CELL_NAME = re.compile(r"m\d+\.\d+_t\d+\.\d+$")


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
        f"{_show(values[row, column])} on day {name_day(days, row)}, "
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


def name_day(days: Sequence[Any] | pd.Index | None, row: int) -> str:
    """Name a row: by its date without an idle time of day, its label, or its position.

    Parameters
    ----------
    days : sequence or None
        Names of the rows.
    row : int
        Position.
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
    if not is_numeric_dtype(rows.index.dtype):
        raise ValueError(
            f"the index of {what} starts with {rows.index[0]!r}, which is no date: turn it into "
            "dates with pandas.to_datetime, or drop it if days are to count as consecutive."
        )
    return None


def check_labels(labels: Iterable[Any], expected: Iterable[str], what: str) -> None:
    """Raise where the label of a column belongs to another place.

    Labels of the caller's own, which say nothing of a place, pass.

    Parameters
    ----------
    labels : iterable
        Labels of the columns.
    expected : iterable of str
        Labels as this package writes them, in order.
    what : str
        Name of the table, for the message.

    Raises
    ------
    ValueError
        Naming the first column that is labelled as another one, or as a cell of another grid.
    """
    expected = list(expected)
    known = set(expected)
    for position, (label, own) in enumerate(zip(labels, expected, strict=False)):
        if not isinstance(label, str) or label == own:
            continue
        if label in known or (_CELL_NAME.search(label) and _CELL_NAME.search(own)):
            raise ValueError(
                f"column {position} of {what} is {label!r}, but {own!r} belongs there: the columns "
                "are in another order, or those of another grid."
            )


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
    if not isinstance(X, pd.DataFrame) or not isinstance(y, pd.DataFrame) or len(X) != len(y):
        return
    if not X.index.equals(y.index):
        row = int(np.flatnonzero(X.index != y.index)[0])
        raise ValueError(
            f"X and y differ in their index, first in row {row}: {name_day(X.index, row)} and "
            f"{name_day(y.index, row)}. Both are indexed by the day on which the forecast is made."
        )
