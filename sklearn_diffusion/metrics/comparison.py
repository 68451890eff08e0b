"""Whether one forecast is better than another, or the difference noise."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.stats import norm

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

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_diffusion.metrics import diebold_mariano
    >>> rng = np.random.RandomState(0)
    >>> loss = rng.uniform(size=200)
    >>> bool(diebold_mariano(loss, loss + 0.1 + 0.2 * rng.normal(size=200)).statistic < -2)
    True
    """
    first, second = (np.asarray(loss, dtype=np.float64) for loss in (loss_a, loss_b))
    if first.ndim != 1 or first.shape != second.shape:
        raise ValueError(
            f"losses must be two series of the same days, got shapes {first.shape}, {second.shape}."
        )
    difference = first - second
    if not np.isfinite(difference).all():
        day = int(np.flatnonzero(~np.isfinite(difference))[0])
        raise ValueError(f"losses must be finite, without NaN; not so on day {day}.")
    n_days = len(difference)
    if not 0 <= n_lags < n_days:
        raise ValueError(f"n_lags must be from 0 to n_days - 1 = {n_days - 1}, got {n_lags!r}.")
    centred = difference - difference.mean()
    variance = centred @ centred / n_days
    for lag in range(1, n_lags + 1):
        weight = 1 - lag / (n_lags + 1)
        variance += 2 * weight * (centred[lag:] @ centred[:-lag]) / n_days
    if variance <= 0:
        raise ValueError("the losses differ by a constant: there is no variance to test against.")
    statistic = float(difference.mean() / np.sqrt(variance / n_days))
    return DieboldMarianoResult(statistic, float(2 * norm.sf(abs(statistic))))
