"""Input checks shared by the metrics of surfaces."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from sklearn_diffusion.utils.arrays import check_plain
from sklearn_diffusion.utils.dates import name_day

__all__ = [
    "as_ends",
    "as_floats",
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
    """Return truths and samples as float arrays, in logs on request where they are traded."""
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
    """Return truths as a float matrix."""
    truth = as_floats(y_true, "y_true")
    if truth.ndim != 2:
        raise ValueError(f"y_true must be of shape (n_days, n_cells), got {truth.shape}.")
    return truth


def as_floats(values: ArrayLike, name: str) -> NDArray:
    """Return values as floats, or raise if something would be lost."""
    check_plain(values, name)
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{name} must be numbers: {error}.") from error


def check_same_labels(y_true: ArrayLike, other: ArrayLike, name: str) -> None:
    """Raise unless the labels of two tables agree, where both have some.

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
    """Return a mask, all True by default, or raise if it does not fit or leaves nothing."""
    shape = np.shape(like)
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
    """Average each row over its traded cells; NaN where there are none."""
    counts = traded.sum(axis=1)
    totals = np.where(traded, values, 0).sum(axis=1)
    return np.divide(totals, counts, where=counts > 0, out=np.full(len(totals), np.nan))


def check_shape(truth: NDArray, other: NDArray, name: str) -> None:
    """Raise unless a forecast has the shape of the truths."""
    if other.shape != truth.shape:
        raise ValueError(f"{name} has shape {other.shape}, y_true has {truth.shape}.")


def check_positive(
    values: NDArray, traded: NDArray, name: str, labelled: ArrayLike | None = None
) -> None:
    """Raise unless every traded value is a positive, finite volatility, naming the first.

    Day and cell are named by position, or as `labelled` names them where that is a DataFrame.
    """
    invalid = traded & ~(np.isfinite(values) & (values > 0))
    if not invalid.any():
        return
    first = tuple(np.argwhere(invalid)[0].tolist())
    day, cell = name_day(None, first[-2]), str(first[-1])
    if isinstance(labelled, pd.DataFrame):
        day, cell = name_day(labelled.index, first[-2]), repr(str(labelled.columns[first[-1]]))
    raise ValueError(
        f"{name} must be positive volatilities; {int(invalid.sum())} are not, the first "
        f"{values[first]} at day {day}, cell {cell}."
    )


def as_ends(interval: ArrayLike, mask: ArrayLike | None) -> tuple[NDArray, NDArray, NDArray]:
    """Return lower ends, upper ends and the mask of intervals, or raise if they are none."""
    ends = as_floats(interval, "interval")
    if ends.ndim != 3 or ends.shape[-1] != 2:
        raise ValueError(f"interval must be of shape (n_days, n_cells, 2), got {ends.shape}.")
    lower, upper = ends[..., 0], ends[..., 1]
    traded = as_mask(lower, mask)
    invalid = traded & ~(lower <= upper)
    if invalid.any():
        day, cell = np.argwhere(invalid)[0]
        raise ValueError(
            f"interval must hold lower ends, then upper ends; {int(invalid.sum())} are no "
            f"interval, the first {ends[day, cell].tolist()} at day {day}, cell {cell}."
        )
    return lower, upper, traded
