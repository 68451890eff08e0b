"""Scorers for models of returns."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from .distribution import cramer_von_mises
from .portfolio import minimum_variance_weights
from .validation import as_frame


def neg_minimum_variance_volatility_scorer(
    estimator: Any, X: ArrayLike, y: ArrayLike | None = None
) -> float:
    """Minus the realised volatility of the minimum-variance portfolio.

    Parameters
    ----------
    estimator : estimator
        Fitted, with ``covariance_`` of shape (n_assets, n_assets).
    X : array-like of shape (n_days, n_assets)
        Held-out returns.
    y : None
        Ignored.

    Returns
    -------
    score : float
        Minus the standard deviation, per row of `X` (not annualised), of the portfolio that is of
        least variance under ``covariance_``.
    """
    returns = as_frame(X, "X")
    weights = minimum_variance_weights(estimator.covariance_)
    if len(weights) != returns.shape[1]:
        raise ValueError(
            f"X has {returns.shape[1]} features, but the estimator was fitted on {len(weights)}."
        )
    return -float(np.std(returns.to_numpy() @ weights))


def cramer_von_mises_scorer(estimator: Any, X: ArrayLike, y: ArrayLike | None = None) -> float:
    """Share of random long-short portfolios whose law the samples match.

    Parameters
    ----------
    estimator : estimator
        Fitted, with ``sample(n_samples, random_state=...)``.
    X : array-like of shape (n_days, n_assets)
        Held-out returns.
    y : None
        Ignored.

    Returns
    -------
    score : float
        Pass rate of `cramer_von_mises` for 200 long-short portfolios at 5 %, with as many samples
        as `X` has rows. Seeds are fixed: candidates are compared on the same portfolios.
    """
    returns = as_frame(X, "X")
    samples = estimator.sample(len(returns), random_state=0)
    return cramer_von_mises(
        returns.to_numpy(), samples, portfolios="long_short", random_state=0
    ).pass_rate
