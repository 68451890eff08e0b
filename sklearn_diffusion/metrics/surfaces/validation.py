"""Input checks shared by the metrics of surfaces."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from sklearn_diffusion.utils.arrays import as_floats
from sklearn_diffusion.utils.cells import LARGEST_VOLATILITY, LEAST_VOLATILITY
from sklearn_diffusion.utils.dates import name_day

__all__ = [
    "as_ends",
    "as_mask",
    "as_truth",
    "as_truth_and_samples",
    "check_positive",
    "check_same_labels",
    "check_shape",
    "daily_mean",
]


def as_truth_and_samples(
    y_true: ArrayLike, samples: ArrayLike, mask: ArrayLike | None, log: bool
) -> tuple[NDArray, NDArray]:
    """Return truths and samples as float arrays, in logs on request where they are traded.

    Parameters
    ----------
    y_true : array-like of shape (n_days, n_cells)
        Real volatilities.
    samples : array-like of shape (n_samples, n_days, n_cells)
        Scenarios, at least two.
    mask : array-like of bool of shape (n_days, n_cells) or None
        Cells that are traded; None is all. The others need not be positive.
    log : bool
        Whether to return logarithms, which are 0 where nothing is traded.

    Returns
    -------
    truth : ndarray of shape (n_days, n_cells)
        Float64.
    scenarios : ndarray of shape (n_samples, n_days, n_cells)
        Float64.

    Raises
    ------
    ValueError
        If shapes or labels do not fit, or a traded volatility is not positive and finite.
    """
    truth, scenarios = as_truth(y_true), as_floats(samples, "samples")
    if scenarios.ndim != 3 or scenarios.shape[1:] != truth.shape or len(scenarios) < 2:
        raise ValueError(
            f"samples must be of shape (n_samples, *{truth.shape}) with at least two samples, "
            f"got {scenarios.shape}."
        )
    traded = as_mask(y_true, mask)
    check_positive(truth, traded, "y_true", y_true)
    check_positive(scenarios, np.broadcast_to(traded, scenarios.shape), "samples", y_true)
    if log:
        truth = np.log(truth, where=traded, out=np.zeros_like(truth))
        scenarios = np.log(scenarios, where=traded, out=np.zeros_like(scenarios))
    return truth, scenarios


def as_truth(y_true: ArrayLike) -> NDArray:
    """Return truths as a float matrix.

    Parameters
    ----------
    y_true : array-like of shape (n_days, n_cells)
        Real volatilities.

    Returns
    -------
    ndarray of shape (n_days, n_cells)
        Float64.

    Raises
    ------
    ValueError
        If they are not numbers or not a matrix.
    """
    truth = as_floats(y_true, "y_true")
    if truth.ndim != 2:
        raise ValueError(f"y_true must be of shape (n_days, n_cells), got {truth.shape}.")
    return truth


def check_same_labels(y_true: ArrayLike, other: ArrayLike, name: str) -> None:
    """Raise unless the labels of two tables agree, where both have some.

    Parameters
    ----------
    y_true : array-like of shape (n_days, n_cells)
        Real volatilities.
    other : array-like of shape (n_days, n_cells)
        A table of the same days and cells. Labels are compared where both are DataFrames.
    name : str
        Name of the argument that `other` was.

    Raises
    ------
    ValueError
        Naming the first day or cell that differs.
    """
    if not (isinstance(y_true, pd.DataFrame) and isinstance(other, pd.DataFrame)):
        return
    for what, own, its in (
        ("day", y_true.index, other.index),
        ("cell", y_true.columns, other.columns),
    ):
        if len(own) == len(its) and not own.equals(its):
            k = int(np.flatnonzero(own.to_numpy() != its.to_numpy())[0])
            raise ValueError(
                f"{name} differs from y_true in its labels, first at {what} {k}: "
                f"{name_day(its, k)} beside {name_day(own, k)}. Bring both into one order."
            )


def as_mask(like: ArrayLike, mask: ArrayLike | None) -> NDArray:
    """Return a mask, all True by default, or raise if it does not fit or leaves nothing.

    Parameters
    ----------
    like : array-like
        What the mask is for. Where both are DataFrames, their labels have to agree.
    mask : array-like of bool of the shape of `like` or None
        Cells to count; None is all.

    Returns
    -------
    ndarray of bool
        Of the shape of `like`.

    Raises
    ------
    ValueError
        If the mask is not boolean, has another shape or other labels, or is False throughout.
    """
    shape = np.shape(like)
    if 0 in shape:
        raise ValueError(f"there is no day or no cell to count: got shape {shape}.")
    if mask is None:
        return np.ones(shape, dtype=bool)
    check_same_labels(like, mask, "mask")
    traded = np.asarray(mask)
    if traded.dtype != bool or traded.shape != shape:
        raise ValueError(
            f"mask must be boolean and of shape {shape}, got {traded.dtype} of {traded.shape}."
        )
    if not traded.any():
        raise ValueError("mask leaves no cell to count.")
    return traded


def daily_mean(values: NDArray, traded: NDArray) -> NDArray:
    """Average each row over its traded cells; NaN where there are none.

    Parameters
    ----------
    values : ndarray of shape (n_days, n_cells)
        What to average. Cells that are not traded may hold anything.
    traded : ndarray of bool, shape (n_days, n_cells)
        Cells to count.

    Returns
    -------
    ndarray of shape (n_days,)
    """
    counts = traded.sum(axis=1)
    totals = np.where(traded, values, 0).sum(axis=1)
    return np.divide(totals, counts, where=counts > 0, out=np.full(len(totals), np.nan))


def check_shape(truth: NDArray, other: NDArray, name: str) -> None:
    """Raise unless a forecast has the shape of the truths.

    Parameters
    ----------
    truth : ndarray of shape (n_days, n_cells)
        Real volatilities.
    other : ndarray
        The forecast.
    name : str
        Name of the argument that it was.

    Raises
    ------
    ValueError
        If the shapes differ.
    """
    if other.shape != truth.shape:
        raise ValueError(f"{name} has shape {other.shape}, y_true has {truth.shape}.")


def check_positive(
    values: NDArray, traded: NDArray, name: str, labelled: ArrayLike | None = None
) -> None:
    """Raise unless every traded value is a positive, finite volatility, naming the first.

    Day and cell are named by position, or as `labelled` names them where that is a DataFrame.

    Parameters
    ----------
    values : ndarray of shape (..., n_days, n_cells)
        Volatilities.
    traded : ndarray of bool of the shape of `values`
        Which ones to check.
    name : str
        Name of the argument, for the error.
    labelled : array-like of shape (n_days, n_cells), optional
        A table of the same days and cells.

    Raises
    ------
    ValueError
        If a traded value is not positive or not finite.
    """
    invalid = traded & ~((values >= LEAST_VOLATILITY) & (values <= LARGEST_VOLATILITY))
    if not invalid.any():
        return
    first = tuple(np.argwhere(invalid)[0].tolist())
    day, cell = name_day(None, first[-2]), str(first[-1])
    if isinstance(labelled, pd.DataFrame):
        day, cell = name_day(labelled.index, first[-2]), repr(str(labelled.columns[first[-1]]))
    raise ValueError(
        f"{name} must be positive volatilities, from {LEAST_VOLATILITY:g} to "
        f"{LARGEST_VOLATILITY:g}; {int(invalid.sum())} are not, the first "
        f"{values[first]} at day {day}, cell {cell}."
    )


def as_ends(interval: ArrayLike, mask: ArrayLike | None) -> tuple[NDArray, NDArray, NDArray]:
    """Return lower ends, upper ends and the mask of intervals, or raise if they are none.

    Parameters
    ----------
    interval : array-like of shape (n_days, n_cells, 2)
        Lower and upper ends.
    mask : array-like of bool of shape (n_days, n_cells) or None
        Cells to count; None is all.

    Returns
    -------
    lower, upper : ndarray of shape (n_days, n_cells)
        Float64.
    traded : ndarray of bool, shape (n_days, n_cells)
        The mask.

    Raises
    ------
    ValueError
        If shapes do not fit, or an end that counts is not finite or on the wrong side of the other.
    """
    ends = as_floats(interval, "interval")
    if ends.ndim != 3 or ends.shape[-1] != 2:
        raise ValueError(f"interval must be of shape (n_days, n_cells, 2), got {ends.shape}.")
    lower, upper = ends[..., 0], ends[..., 1]
    traded = as_mask(lower, mask)
    invalid = traded & ~((lower <= upper) & np.isfinite(ends).all(axis=-1))
    if invalid.any():
        day, cell = np.argwhere(invalid)[0]
        raise ValueError(
            f"interval must hold finite lower ends, then upper ends; {int(invalid.sum())} are no "
            f"interval, the first {ends[day, cell].tolist()} at day {day}, cell {cell}."
        )
    return lower, upper, traded
