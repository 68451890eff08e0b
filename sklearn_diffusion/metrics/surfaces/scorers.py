"""Scorers of surface forecasters, for `GridSearchCV` and `cross_val_score`.

Each is a callable ``scorer(estimator, X, y)`` on held-out days, higher is better. Those that need
samples draw 200 scenarios with a fixed seed, so that candidates face the same noise. The estimator
may be a pipeline that ends in a forecaster, the best of a search, or one with a transformed target.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sklearn_diffusion.arbitrage import arbitrage_penalty
from sklearn_diffusion.grid import SurfaceGrid
from sklearn_diffusion.metrics.surfaces.errors import ci_breach, ci_width, mape, sample_interval
from sklearn_diffusion.metrics.surfaces.probabilistic import (
    crps,
    energy_score,
    pit_cramer_von_mises,
)
from sklearn_diffusion.metrics.unwrap import unwrap
from sklearn_diffusion.utils.cells import check_truth

__all__ = [
    "neg_arbitrage_penalty_scorer",
    "neg_ci_breach_error_scorer",
    "neg_ci_width_scorer",
    "neg_crps_scorer",
    "neg_energy_score_scorer",
    "neg_mape_scorer",
    "neg_pit_cramer_von_mises_scorer",
]

_N_SAMPLES = 200


def neg_mape_scorer(estimator: Any, X: ArrayLike, y: ArrayLike) -> float:
    """Minus the mean absolute percentage error of ``predict``.

    Parameters
    ----------
    estimator : estimator
        Fitted, with ``predict``.
    X : array-like of shape (n_days, n_features)
        Features.
    y : array-like of shape (n_days, n_cells)
        Next day's surfaces.

    Returns
    -------
    float
        In percent.
    """
    forecast = estimator.predict(X)
    check_truth(X, y, np.shape(forecast)[-1])
    return -mape(y, forecast)


def neg_ci_breach_error_scorer(estimator: Any, X: ArrayLike, y: ArrayLike) -> float:
    """Minus how far the breach rate of 90 % intervals is from 10 %.

    Parameters
    ----------
    estimator : estimator
        Fitted, with ``sample``.
    X : array-like of shape (n_days, n_features)
        Features.
    y : array-like of shape (n_days, n_cells)
        Next day's surfaces.

    Returns
    -------
    float
        In percentage points.
    """
    samples = _checked_samples(estimator, X, y)
    return -abs(ci_breach(y, sample_interval(samples, coverage=0.9)) - 10)


def neg_ci_width_scorer(estimator: Any, X: ArrayLike, y: ArrayLike | None = None) -> float:
    """Minus the mean width of 90 % intervals. Only worth comparing at equal breach rates.

    Parameters
    ----------
    estimator : estimator
        Fitted, with ``sample``.
    X : array-like of shape (n_days, n_features)
        Features.
    y : array-like of shape (n_days, n_cells), default=None
        Ignored.

    Returns
    -------
    float
        In volatility units.
    """
    return -ci_width(sample_interval(_samples(estimator, X), coverage=0.9))


def neg_crps_scorer(estimator: Any, X: ArrayLike, y: ArrayLike) -> float:
    """Minus the continuous ranked probability score of log volatility.

    Parameters
    ----------
    estimator : estimator
        Fitted, with ``sample``.
    X : array-like of shape (n_days, n_features)
        Features.
    y : array-like of shape (n_days, n_cells)
        Next day's surfaces.

    Returns
    -------
    float
    """
    samples = _checked_samples(estimator, X, y)
    return -crps(y, samples, log=True)


def neg_energy_score_scorer(estimator: Any, X: ArrayLike, y: ArrayLike) -> float:
    """Minus the energy score of log surfaces.

    Parameters
    ----------
    estimator : estimator
        Fitted, with ``sample``.
    X : array-like of shape (n_days, n_features)
        Features.
    y : array-like of shape (n_days, n_cells)
        Next day's surfaces.

    Returns
    -------
    float
    """
    samples = _checked_samples(estimator, X, y)
    return -energy_score(y, samples, log=True)


def neg_pit_cramer_von_mises_scorer(estimator: Any, X: ArrayLike, y: ArrayLike) -> float:
    """Minus the Cramer-von Mises distance from calibration.

    Parameters
    ----------
    estimator : estimator
        Fitted, with ``sample``.
    X : array-like of shape (n_days, n_features)
        Features.
    y : array-like of shape (n_days, n_cells)
        Next day's surfaces.

    Returns
    -------
    float
        -1/6 is what to expect of a perfect forecast.
    """
    samples = _checked_samples(estimator, X, y)
    return -pit_cramer_von_mises(y, samples)


def neg_arbitrage_penalty_scorer(estimator: Any, X: ArrayLike, y: ArrayLike | None = None) -> float:
    """Minus the mean static-arbitrage penalty of sampled surfaces.

    Parameters
    ----------
    estimator : estimator
        Fitted, with ``sample`` and a parameter ``grid``.
    X : array-like of shape (n_days, n_features)
        Features.
    y : array-like of shape (n_days, n_cells), default=None
        Ignored.

    Returns
    -------
    float
        At zero rates.
    """
    grid = getattr(unwrap(estimator, "sample").model, "grid", None)
    if not isinstance(grid, SurfaceGrid):
        raise ValueError(
            f"the arbitrage of {type(estimator).__name__} cannot be scored: it has no SurfaceGrid "
            "as its parameter grid."
        )
    return -float(arbitrage_penalty(_samples(estimator, X), grid).mean())


def _checked_samples(estimator: Any, X: ArrayLike, y: ArrayLike) -> NDArray:
    samples = _samples(estimator, X)
    check_truth(X, y, samples.shape[-1])
    return samples


def _samples(estimator: Any, X: ArrayLike) -> NDArray:
    inner = unwrap(estimator, "sample")
    samples = inner.model.sample(inner.transform(X), n_samples=_N_SAMPLES, random_state=0)
    return inner.original(samples, inner.target)
