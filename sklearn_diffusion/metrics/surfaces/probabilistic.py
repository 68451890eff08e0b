"""Scores and calibration of forecast distributions, given as samples.

Shapes and masks are those of `sklearn_diffusion.metrics.surfaces.errors`.
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.spatial.distance import cdist, pdist
from scipy.stats import cramervonmises

from sklearn_diffusion.metrics.surfaces.errors import ci_breach, ci_width, sample_interval
from sklearn_diffusion.metrics.surfaces.validation import as_mask, as_truth_and_samples, daily_mean

__all__ = [
    "crps",
    "daily_crps",
    "energy_score",
    "pit_cramer_von_mises",
    "pit_values",
    "reliability_table",
]


def crps(
    y_true: ArrayLike, samples: ArrayLike, *, mask: ArrayLike | None = None, log: bool = False
) -> float:
    r"""Continuous ranked probability score, lower is better.

    Parameters
    ----------
    y_true : array-like of shape (n_days, n_cells)
        Real volatilities.
    samples : array-like of shape (n_samples, n_days, n_cells)
        Scenarios, at least two.
    mask : array-like of bool of shape (n_days, n_cells), default=None
        Cells to count; None is all.
    log : bool, default=False
        Whether to score log volatility, where calm and stressed days weigh alike.

    Returns
    -------
    float
        In volatility units, or without unit if `log`.

    Notes
    -----
    The fair estimate, unbiased for any number n of samples:

    .. math:: \frac1n \sum_i |x_i - y| - \frac{1}{2 n (n - 1)} \sum_{i,j} |x_i - x_j| .
    """
    return float(_crps(y_true, samples, mask, log)[as_mask(y_true, mask)].mean())


def daily_crps(
    y_true: ArrayLike, samples: ArrayLike, *, mask: ArrayLike | None = None, log: bool = False
) -> NDArray:
    """Continuous ranked probability score of each day, the mean over its cells.

    Parameters
    ----------
    y_true : array-like of shape (n_days, n_cells)
        Real volatilities.
    samples : array-like of shape (n_samples, n_days, n_cells)
        Scenarios, at least two.
    mask : array-like of bool of shape (n_days, n_cells), default=None
        Cells to count; None is all.
    log : bool, default=False
        Whether to score log volatility.

    Returns
    -------
    ndarray of shape (n_days,)
        NaN on a day without a cell to count.
    """
    return daily_mean(_crps(y_true, samples, mask, log), as_mask(y_true, mask))


def energy_score(
    y_true: ArrayLike, samples: ArrayLike, *, mask: ArrayLike | None = None, log: bool = False
) -> float:
    r"""Energy score of whole surfaces, lower is better.

    It is the CRPS in many dimensions, and unlike a mean of CRPS it sees whether cells move
    together as they should.

    Parameters
    ----------
    y_true : array-like of shape (n_days, n_cells)
        Real volatilities.
    samples : array-like of shape (n_samples, n_days, n_cells)
        Scenarios, at least two.
    mask : array-like of bool of shape (n_days, n_cells), default=None
        Cells to count; None is all.
    log : bool, default=False
        Whether to score log volatility.

    Returns
    -------
    float
        Mean over the days that have a cell to count.

    Notes
    -----
    The fair estimate, with the Euclidean norm over the cells of a day:

    .. math:: \frac1n \sum_i \|x_i - y\| - \frac{1}{n (n - 1)} \sum_{i < j} \|x_i - x_j\| .
    """
    truth, scenarios = as_truth_and_samples(y_true, samples, mask, log)
    traded = as_mask(truth, mask)
    scores = []
    for day in np.flatnonzero(traded.any(axis=1)):
        today = scenarios[:, day, traded[day]]
        error = cdist(today, truth[day : day + 1, traded[day]]).mean()
        scores.append(error - pdist(today).mean() / 2)
    return float(np.mean(scores))


def pit_values(y_true: ArrayLike, samples: ArrayLike, *, mask: ArrayLike | None = None) -> NDArray:
    """Probability integral transform: where truths stand among their samples.

    Parameters
    ----------
    y_true : array-like of shape (n_days, n_cells)
        Real volatilities.
    samples : array-like of shape (n_samples, n_days, n_cells)
        Scenarios.
    mask : array-like of bool of shape (n_days, n_cells), default=None
        Cells to look at; None is all. The others are NaN.

    Returns
    -------
    ndarray of shape (n_days, n_cells)
        Uniform on (0, 1) over days if the forecast is calibrated: the middle of the gap between
        samples in which the truth lies, on a scale where n samples leave n + 1 gaps. Samples
        equal to the truth count as one half.
    """
    truth, scenarios = as_truth_and_samples(y_true, samples, mask, log=False)
    below = (scenarios < truth).sum(axis=0) + 0.5 * (scenarios == truth).sum(axis=0)
    return np.where(as_mask(truth, mask), (below + 0.5) / (len(scenarios) + 1), np.nan)


def pit_cramer_von_mises(
    y_true: ArrayLike, samples: ArrayLike, *, mask: ArrayLike | None = None
) -> float:
    """Distance of a forecast from calibration, lower is better.

    Parameters
    ----------
    y_true : array-like of shape (n_days, n_cells)
        Real volatilities.
    samples : array-like of shape (n_samples, n_days, n_cells)
        Scenarios.
    mask : array-like of bool of shape (n_days, n_cells), default=None
        Cells to count; None is all.

    Returns
    -------
    float
        Mean over cells of the Cramer-von Mises statistic of `pit_values` against the uniform
        law. A calibrated forecast has an expectation of 1/6 whatever the number of days, plus
        n_days / (12 (n_samples + 1)^2), as that many samples resolve the law no better.
    """
    pit, traded = pit_values(y_true, samples, mask=mask), as_mask(y_true, mask)
    columns = [pit[traded[:, cell], cell] for cell in range(pit.shape[1])]
    return float(
        np.mean([cramervonmises(values, "uniform").statistic for values in columns if values.size])
    )


def reliability_table(
    y_true: ArrayLike,
    samples: ArrayLike,
    *,
    coverages: ArrayLike = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95),
    mask: ArrayLike | None = None,
) -> pd.DataFrame:
    """Tabulate how often central intervals hold the truth.

    Parameters
    ----------
    y_true : array-like of shape (n_days, n_cells)
        Real volatilities.
    samples : array-like of shape (n_samples, n_days, n_cells)
        Scenarios.
    coverages : array-like of float, default=0.1 to 0.9 in tenths, and 0.95
        Nominal coverages.
    mask : array-like of bool of shape (n_days, n_cells), default=None
        Cells to count; None is all.

    Returns
    -------
    DataFrame
        Index ``nominal``; columns ``observed`` (share of truths inside) and ``width`` (mean, in
        volatility units).
    """
    rows = {}
    for coverage in np.asarray(coverages, dtype=np.float64):
        interval = sample_interval(samples, coverage)
        inside = 1 - ci_breach(y_true, interval, mask=mask) / 100
        rows[coverage] = {"observed": inside, "width": ci_width(interval, mask=mask)}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("nominal")


def _crps(y_true: ArrayLike, samples: ArrayLike, mask: ArrayLike | None, log: bool) -> NDArray:
    truth, scenarios = as_truth_and_samples(y_true, samples, mask, log)
    n_samples = len(scenarios)
    scores = np.empty_like(truth)
    weights = (2 * np.arange(1, n_samples + 1) - n_samples - 1) / (n_samples * (n_samples - 1))
    for day in range(len(truth)):
        ordered = np.sort(scenarios[:, day], axis=0)
        scores[day] = np.abs(ordered - truth[day]).mean(axis=0) - weights @ ordered
    return scores
