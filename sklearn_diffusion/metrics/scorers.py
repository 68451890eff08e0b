"""Scorers for model selection over return models: callables ``scorer(estimator, X, y=None)``.

Pass the object, or look it up by name::

    GridSearchCV(model, grid, scoring=get_scorer("neg_minimum_variance_volatility"))

scikit-learn's own registry of scorer names is closed to other packages, and its model selection
tools fix the strings they accept when they are imported, so that a bare
``scoring="neg_minimum_variance_volatility"`` cannot work there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator

from .distribution import cramer_von_mises
from .portfolio import minimum_variance_weights
from .validation import as_frame


class Scorer(Protocol):
    """What scikit-learn takes as `scoring`: a higher score is better."""

    def __call__(self, estimator: Any, X: ArrayLike, y: ArrayLike | None = None) -> float:
        """Score a fitted estimator on held-out data."""


def neg_minimum_variance_volatility_scorer(
    estimator: BaseEstimator, X: ArrayLike, y: ArrayLike | None = None
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


def cramer_von_mises_scorer(
    estimator: BaseEstimator, X: ArrayLike, y: ArrayLike | None = None
) -> float:
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


SCORERS: dict[str, Callable[..., float]] = {
    "neg_minimum_variance_volatility": neg_minimum_variance_volatility_scorer,
    "cramer_von_mises": cramer_von_mises_scorer,
}


def get_scorer_names() -> list[str]:
    """Names that `get_scorer` knows, sorted."""
    return sorted(SCORERS)


def get_scorer(name: str) -> Callable[..., float]:
    """Return the scorer of this name.

    Parameters
    ----------
    name : str
        One of `get_scorer_names`.

    Returns
    -------
    scorer : callable
        ``scorer(estimator, X, y=None) -> float``, higher is better.

    Examples
    --------
    >>> from sklearn.covariance import ShrunkCovariance
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklearn_diffusion.metrics import get_scorer
    >>> search = GridSearchCV(
    ...     ShrunkCovariance(),
    ...     {"shrinkage": [0.1, 0.5]},
    ...     scoring=get_scorer("neg_minimum_variance_volatility"),
    ... )
    """
    try:
        return SCORERS[name]
    except KeyError:
        raise ValueError(
            f"{name!r} is not a scorer of sklearn_diffusion; there are {get_scorer_names()}."
        ) from None
