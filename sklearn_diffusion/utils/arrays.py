"""Numbers out of whatever a user passes, or an error that says what is in the way and where."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import issparse

__all__ = ["LARGEST", "as_float_table", "as_floats"]

# Beyond it, or below its inverse, sums of squares lose their meaning in double precision.
LARGEST = 1e100

# As other libraries' tables call the types of columns that hold no numbers.
_NO_NUMBERS = ("date", "time", "duration", "str", "utf8", "categorical", "enum", "object", "bool")


def as_floats(values: Any, name: str) -> NDArray:
    """Return values as an array of floats, or raise if something would be lost.

    Parameters
    ----------
    values : array-like
        As given by the user.
    name : str
        Name of the argument, for the errors.

    Returns
    -------
    ndarray
        Float64, of the shape of `values`; what is missing is NaN.

    Raises
    ------
    ValueError
        As `as_float_table`.
    TypeError
        Likewise.
    """
    table = as_float_table(values, name)
    return table if isinstance(table, np.ndarray) else np.asarray(table, dtype=np.float64)


def as_float_table(values: Any, name: str) -> Any:
    """Return values as floats under the labels they came with, or raise if something would be lost.

    NaN and infinity pass: which of them are errors, and under which names of days and assets, is
    for the caller to say. So do arrays of any shape.

    Parameters
    ----------
    values : array-like
        As given by the user.
    name : str
        Name of the argument, for the errors.

    Returns
    -------
    ndarray, Series or DataFrame
        Float64; tables of other libraries come back as they are. What is missing is NaN.

    Raises
    ------
    ValueError
        For what is no number, naming its place; for masked and complex values, sparse matrices,
        columns of one name, and numbers beyond 1e100, whose squares do not fit double precision.
    TypeError
        For objects that cannot be numbers, naming the place of the first.
    """
    if values is None:
        raise TypeError(f"{name} must be numbers, got None.")
    if issparse(values):
        raise ValueError(f"{name} is a sparse matrix; pass {name}.toarray().")
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        first = tuple(int(i) for i in np.argwhere(np.ma.getmaskarray(values))[0])
        raise ValueError(
            f"{name} has {np.ma.count_masked(values)} masked value(s), the first at {first}: fill "
            "or drop them first."
        )
    if isinstance(values, pd.DataFrame):
        table = _frame_of_floats(values, name)
    elif isinstance(values, pd.Series | pd.Index):
        table = pd.Series(_column_of_floats(values, name, "", values.index))
    elif hasattr(values, "columns") and hasattr(values, "dtypes"):
        _check_foreign_table(values, name)
        table = values
    else:
        table = _array_of_floats(values, name)
    _check_magnitude(np.asarray(table), table, name)
    return table


def _frame_of_floats(frame: pd.DataFrame, name: str) -> pd.DataFrame:
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise ValueError(f"{name} has more than one column {twice!r}: rename or drop them first.")
    if frame.shape[1] == 0:
        raise ValueError(f"{name} has no columns: 0 feature(s), got shape {frame.shape}.")
    if (frame.dtypes == np.float64).all():
        return frame
    columns = [
        _column_of_floats(column, name, f" in column {label!r}", frame.index)
        for label, column in frame.items()
    ]
    return pd.DataFrame(np.column_stack(columns), frame.index, frame.columns)


def _column_of_floats(column: pd.Series, name: str, where: str, rows: pd.Index) -> NDArray:
    real = f"{name} must be real numbers; not so{where}"
    if pd.api.types.is_complex_dtype(column.dtype):
        raise ValueError(f"Complex data not supported: {real}.")
    if column.dtype == object:
        return _from_objects(column.to_numpy(), name, lambda at: f"row {rows[at[0]]}{where}")
    if not pd.api.types.is_numeric_dtype(column.dtype):
        raise ValueError(f"{real}, of type {column.dtype}. Dates belong into the index.")
    return column.to_numpy(dtype=np.float64, na_value=np.nan)


def _check_foreign_table(table: Any, name: str) -> None:
    kinds = zip(table.columns, table.dtypes, strict=True)
    text = [str(column) for column, kind in kinds if str(kind).lower().startswith(_NO_NUMBERS)]
    if text:
        raise ValueError(
            f"{name} must be real numbers; not so in column(s) {', '.join(map(repr, text))}. "
            "Dates belong into the index of a pandas DataFrame."
        )


def _array_of_floats(values: Any, name: str) -> NDArray:
    try:
        array = np.asarray(values)
    except ValueError as error:  # rows of different lengths
        raise ValueError(f"{name} must be an array of numbers: {error}") from error
    if array.dtype.kind == "c":
        raise ValueError(f"Complex data not supported: {name} must be real numbers.")
    if array.dtype.kind in "OUST":
        return _from_objects(array, name, lambda at: f"position {at}" if at else "it")
    if array.dtype.kind not in "biuf":
        raise ValueError(f"{name} must be real numbers, got {array.dtype}.")
    return np.asarray(array, dtype=np.float64)


def _from_objects(array: NDArray, name: str, place: Any) -> NDArray:
    """Floats out of Python objects or text, naming the first that is none."""
    numbers = np.empty(array.shape)
    for at in np.ndindex(array.shape):
        value = array[at]
        try:
            numbers[at] = np.nan if value is None or value is pd.NA else float(value)
        except (TypeError, ValueError) as error:
            shown = str(value) if isinstance(value, str) else value
            raise type(error)(
                f"{name} must be real numbers, but {place(at)} is {shown!r}: {error}."
            ) from error
    return numbers


def _check_magnitude(array: NDArray, table: Any, name: str) -> None:
    if array.size == 0 or max(array.max(), -array.min()) <= LARGEST:
        return
    beyond = np.isfinite(array) & (np.abs(array) > LARGEST)
    if not beyond.any():
        return
    at = tuple(np.argwhere(beyond)[0].tolist())
    place = f"position {at}"
    if isinstance(table, pd.DataFrame):
        place = f"row {table.index[at[0]]}, column {table.columns[at[1]]!r}"
    raise ValueError(
        f"{name} has {int(beyond.sum())} value(s) beyond 1e100, whose squares do not fit double "
        f"precision, the first {array[at]:g} at {place}. Change their unit."
    )
