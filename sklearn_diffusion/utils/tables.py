"""Input checks shared by the metrics: every error names the argument, rows and columns at fault."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from sklearn_diffusion.utils.arrays import LARGEST, as_float_table
from sklearn_diffusion.utils.dates import name_day

__all__ = [
    "MAX_NAMED",
    "as_frame",
    "as_pair",
    "check_covariance",
    "check_probabilities",
    "check_same_columns",
    "check_varying",
    "name_some",
]

MAX_NAMED = 5


def name_some(labels: list) -> str:
    """Join the first few labels and count the rest.

    Parameters
    ----------
    labels : list
        Names of columns or estimators.

    Returns
    -------
    str
        At most `MAX_NAMED` of them, as Python writes them.
    """
    named = ", ".join(repr(label) for label in labels[:MAX_NAMED])
    rest = len(labels) - MAX_NAMED
    return f"{named} and {rest} more" if rest > 0 else named


def as_frame(
    values: ArrayLike | pd.DataFrame | pd.Series, name: str, *, min_rows: int = 2
) -> pd.DataFrame:
    """Return a finite float frame, whatever table was passed.

    Parameters
    ----------
    values : array-like, Series or DataFrame of shape (n_rows,) or (n_rows, n_columns)
        The table. One-dimensional input is one column.
    name : str
        Name of the argument, for the errors.
    min_rows : int, default=2
        Least number of rows.

    Returns
    -------
    frame : DataFrame of shape (n_rows, n_columns)
        Float64, with the labels of the input where it had some.

    Raises
    ------
    ValueError
        For non-numeric, empty, too short, NaN or infinite input, and for columns of which no
        square fits double precision.
    """
    table = as_float_table(values, name)
    if isinstance(table, pd.DataFrame):
        frame = table
    elif isinstance(table, pd.Series):
        frame = table.to_frame()
    else:
        array = np.asarray(table, dtype=np.float64)
        if array.ndim not in (1, 2):
            raise ValueError(f"{name} must be 1-D or 2-D, got an array of shape {array.shape}.")
        frame = pd.DataFrame(array)
    if frame.shape[1] == 0 or len(frame) < min_rows:
        raise ValueError(
            f"{name} must have at least {min_rows} rows and one column, got shape {frame.shape}."
        )
    rows, columns = np.nonzero(~np.isfinite(frame.to_numpy()))
    if len(rows):
        cells = [
            (name_day(frame.index, i), frame.columns[j])
            for i, j in zip(rows[:MAX_NAMED], columns[:MAX_NAMED], strict=True)
        ]
        shown = ", ".join(f"(row {row}, column {column!r})" for row, column in cells)
        raise ValueError(f"{name} has {len(rows)} NaN or infinite value(s), first at {shown}.")
    largest = np.abs(frame.to_numpy()).max(axis=0)
    vanishing = (largest > 0) & (largest < 1 / LARGEST)
    if vanishing.any():
        raise ValueError(
            f"{name} has values all below 1e-100 in column(s) "
            f"{name_some(list(frame.columns[vanishing]))}: their squares do not fit double "
            "precision. Change their unit."
        )
    return frame


def check_same_columns(
    reference: pd.DataFrame, other: pd.DataFrame, name: str, other_name: str
) -> None:
    """Raise unless two frames from `as_frame` have the same columns in the same order.

    Labels are compared only where both sides carry some, so that an unnamed array of samples can
    be set against a labelled panel.

    Parameters
    ----------
    reference : DataFrame
        The frame that sets the order.
    other : DataFrame
        The frame to compare with it.
    name : str
        Name of the argument that `reference` was, for the errors.
    other_name : str
        Name of the argument that `other` was.

    Raises
    ------
    ValueError
        If the numbers of columns differ, or their labels.
    """
    if reference.shape[1] != other.shape[1]:
        raise ValueError(
            f"{name} and {other_name} must have the same columns, "
            f"got {reference.shape[1]} and {other.shape[1]}."
        )
    unlabelled = pd.RangeIndex(reference.shape[1])
    labelled = not (reference.columns.equals(unlabelled) or other.columns.equals(unlabelled))
    # A lone column is a series: comparing "SPX" with its model's "SPX simulated" is no mistake.
    if labelled and reference.shape[1] > 1 and not reference.columns.equals(other.columns):
        differing = [b for a, b in zip(reference.columns, other.columns, strict=True) if a != b]
        raise ValueError(
            f"the columns of {other_name} differ from those of {name} in name or order: "
            f"{name_some(differing)}."
        )


def as_pair(
    real: ArrayLike, synthetic: ArrayLike, *, min_rows: int = 2, real_name: str = "real"
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Check real and synthetic rows and return them as frames with the same columns.

    Parameters
    ----------
    real : array-like of shape (n_real,) or (n_real, n_columns)
        Observed rows.
    synthetic : array-like of shape (n_synthetic,) or (n_synthetic, n_columns)
        Rows drawn from a model.
    min_rows : int, default=2
        Least number of rows of each.
    real_name : str, default="real"
        Name of the argument that `real` was, for the errors.

    Returns
    -------
    real : DataFrame of shape (n_real, n_columns)
        Float64, as `as_frame` makes it.
    synthetic : DataFrame of shape (n_synthetic, n_columns)
        Likewise.

    Raises
    ------
    ValueError
        If `as_frame` refuses one of them, or their columns differ.
    """
    real_frame = as_frame(real, real_name, min_rows=min_rows)
    synthetic_frame = as_frame(synthetic, "synthetic", min_rows=min_rows)
    check_same_columns(real_frame, synthetic_frame, real_name, "synthetic")
    return real_frame, synthetic_frame


def check_varying(frame: pd.DataFrame, name: str) -> None:
    """Raise if a column is constant up to rounding, naming it.

    A rate of one basis point a day, computed from prices, differs from itself in the last digits.

    Parameters
    ----------
    frame : DataFrame of shape (n_rows, n_columns)
        Numbers, as from `as_frame`.
    name : str
        Name of the argument, for the error.

    Raises
    ------
    ValueError
        If the range of a column is within 1e-9 of its largest absolute value.
    """
    values = frame.to_numpy()
    spread = values.max(axis=0) - values.min(axis=0)
    rounding = 1e-9 * np.abs(values).max(axis=0)
    constant = [frame.columns[j] for j in np.flatnonzero(spread <= rounding)]
    if constant:
        raise ValueError(
            f"{name} has constant column(s), up to rounding: {name_some(constant)}. What never "
            "moves, such as cash, has no distribution to learn: leave it out, and add it to the "
            "portfolio afterwards."
        )


def check_covariance(covariance: ArrayLike, name: str = "covariance") -> np.ndarray:
    """Return a finite, symmetric float matrix or raise.

    Parameters
    ----------
    covariance : array-like of shape (n_features, n_features)
        The matrix; positive definite or not.
    name : str, default="covariance"
        Name of the argument, for the errors.

    Returns
    -------
    ndarray of shape (n_features, n_features)
        Float64, as it was given: symmetric up to 1e-8 of its largest entry.

    Raises
    ------
    ValueError
        If it is not square, finite and symmetric.
    """
    frame = as_frame(covariance, name, min_rows=1)
    matrix = frame.to_numpy()
    if matrix.shape[0] != matrix.shape[1]:
        raise ValueError(f"{name} must be square, got shape {matrix.shape}.")
    unlabelled = pd.RangeIndex(len(matrix))
    named = not (frame.index.equals(unlabelled) or frame.columns.equals(unlabelled))
    if named and not frame.index.equals(frame.columns):
        k = int(np.flatnonzero(frame.index != frame.columns)[0])
        raise ValueError(
            f"{name} must have the same labels in rows and columns; row {k} is "
            f"{frame.index[k]!r}, column {k} is {frame.columns[k]!r}."
        )
    gap = np.abs(matrix - matrix.T)
    if gap.max() > 1e-8 * np.abs(matrix).max():
        i, j = np.unravel_index(gap.argmax(), gap.shape)
        raise ValueError(
            f"{name} must be symmetric; the entries for {frame.columns[i]!r} and "
            f"{frame.columns[j]!r} are {matrix[i, j]:g} and {matrix[j, i]:g}."
        )
    return matrix


def check_probabilities(q: ArrayLike, name: str = "q") -> np.ndarray:
    """Return strictly increasing probabilities inside (0, 1) or raise.

    Parameters
    ----------
    q : float or array-like of shape (n_levels,)
        Probabilities.
    name : str, default="q"
        Name of the argument, for the error.

    Returns
    -------
    ndarray of shape (n_levels,)
        Float64; a number becomes an array of one.

    Raises
    ------
    ValueError
        If there are none, one is outside (0, 1) or they do not increase.
    """
    q = np.atleast_1d(np.asarray(q, dtype=float))
    if q.ndim != 1 or q.size == 0 or not ((q > 0) & (q < 1)).all() or (np.diff(q) <= 0).any():
        raise ValueError(f"{name} must increase strictly inside (0, 1), got {q.tolist()}.")
    return q
