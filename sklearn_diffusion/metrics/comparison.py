"""Whether one forecast is better than another, or the difference noise."""

from __future__ import annotations

from numbers import Integral
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import norm

from sklearn_diffusion.utils.arrays import as_floats
from sklearn_diffusion.utils.dates import check_time_order, name_day

__all__ = ["DieboldMarianoResult", "diebold_mariano"]


class DieboldMarianoResult(NamedTuple):
    """Outcome of `diebold_mariano`.

    Attributes
    ----------
    statistic : float
        Negative if the first forecast is better.
    pvalue : float
        Two-sided, of equal expected losses.
    """

    statistic: float
    pvalue: float


def diebold_mariano(
    loss_a: ArrayLike, loss_b: ArrayLike, *, n_lags: int = 5
) -> DieboldMarianoResult:
    """Test whether two forecasts have the same expected loss.

    Parameters
    ----------
    loss_a, loss_b : array-like of shape (n_days,)
        Daily losses of the same days, such as `daily_crps`.
    n_lags : int, default=5
        Lags of the Newey-West variance (Bartlett weights).

    Returns
    -------
    DieboldMarianoResult

    Raises
    ------
    ValueError
        If the losses are not finite, of different days (where both have an index), or of days that
        are not in the order of time; or if they differ by a constant.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_diffusion.metrics import diebold_mariano
    >>> rng = np.random.RandomState(0)
    >>> loss = rng.uniform(size=200)
    >>> bool(diebold_mariano(loss, loss + 0.1 + 0.2 * rng.normal(size=200)).statistic < -2)
    True
    """
    first, second = as_floats(loss_a, "loss_a"), as_floats(loss_b, "loss_b")
    _check_days(loss_a, loss_b)
    if first.ndim != 1 or first.shape != second.shape:
        raise ValueError(
            f"loss_a and loss_b must be two series of the same days, got shapes {first.shape} and "
            f"{second.shape}."
        )
    difference = first - second
    if not np.isfinite(difference).all():
        day = int(np.flatnonzero(~np.isfinite(difference))[0])
        raise ValueError(f"losses must be finite, without NaN; not so on day {day}.")
    n_days = len(difference)
    if not isinstance(n_lags, Integral) or isinstance(n_lags, bool) or not 0 <= n_lags < n_days:
        raise ValueError(f"n_lags must be from 0 to n_days - 1 = {n_days - 1}, got {n_lags!r}.")
    centred = difference - difference.mean()
    variance = centred @ centred / n_days
    for lag in range(1, n_lags + 1):
        weight = 1 - lag / (n_lags + 1)
        variance += 2 * weight * (centred[lag:] @ centred[:-lag]) / n_days
    if variance <= 1e-18 * max(np.abs(first).max(), np.abs(second).max()) ** 2:
        raise ValueError(
            "loss_a and loss_b differ by a constant: there is no variance to test against."
        )
    statistic = float(difference.mean() / np.sqrt(variance / n_days))
    return DieboldMarianoResult(statistic, float(2 * norm.sf(abs(statistic))))


def _check_days(loss_a: ArrayLike, loss_b: ArrayLike) -> None:
    """Raise unless two series of losses are of the same days in the order of time."""
    indexes = {
        name: loss.index
        for name, loss in (("loss_a", loss_a), ("loss_b", loss_b))
        if isinstance(loss, pd.Series | pd.DataFrame)
    }
    for name, index in indexes.items():
        check_time_order(index, name)
    if len(indexes) == 2:
        own, other = indexes.values()
        different = np.flatnonzero(own != other) if len(own) == len(other) else np.empty(0)
        if len(different):
            row = int(different[0])
            raise ValueError(
                f"loss_a and loss_b differ in their index, first in row {row}: "
                f"{name_day(own, row)} and {name_day(other, row)}."
            )
