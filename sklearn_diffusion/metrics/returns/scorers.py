"""Scorers for models of returns.

The estimator may be the last step of a pipeline, or the best of a search: what it says is scored in
the units of the data.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from sklearn_diffusion.metrics.returns.distribution import cramer_von_mises, random_portfolios
from sklearn_diffusion.metrics.returns.portfolio import condition_number, minimum_variance_weights
from sklearn_diffusion.metrics.returns.tails import tail_table
from sklearn_diffusion.metrics.unwrap import affine_map, unwrap
from sklearn_diffusion.utils.tables import as_frame, check_same_columns, check_varying

__all__ = [
    "cramer_von_mises_marginals_scorer",
    "cramer_von_mises_scorer",
    "neg_condition_number_scorer",
    "neg_minimum_variance_volatility_scorer",
    "neg_shortfall_error_scorer",
]


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
    returns = _held_out(estimator, X)
    weights = minimum_variance_weights(_covariance(estimator))
    if len(weights) != returns.shape[1]:
        raise ValueError(
            f"X has {returns.shape[1]} features, but the estimator was fitted on {len(weights)}."
        )
    return -float(np.std(returns.to_numpy() @ weights))


def neg_condition_number_scorer(
    estimator: Any, X: ArrayLike | None = None, y: ArrayLike | None = None
) -> float:
    """Minus the condition number of the covariance.

    It does not look at the held-out data, and shrinking to the identity always improves it: a
    figure to watch beside others, not one to choose a model by.

    Parameters
    ----------
    estimator : estimator
        Fitted, with ``covariance_`` of shape (n_assets, n_assets).
    X, y : None
        Ignored.

    Returns
    -------
    score : float
    """
    return -condition_number(_covariance(estimator))


def cramer_von_mises_scorer(estimator: Any, X: ArrayLike, y: ArrayLike | None = None) -> float:
    """Share of random long-short portfolios whose distribution the samples match.

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
    return pass_rate(estimator, X, "long_short")


def cramer_von_mises_marginals_scorer(
    estimator: Any, X: ArrayLike, y: ArrayLike | None = None
) -> float:
    """Share of assets whose distribution the samples match.

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
        Pass rate of `cramer_von_mises` for the assets at 5 %, with as many samples as `X` has rows
        and a fixed seed.
    """
    return pass_rate(estimator, X, "marginals")


def _held_out(estimator: Any, X: ArrayLike) -> pd.DataFrame:
    """Held-out returns of the assets that the estimator was fitted to."""
    returns = as_frame(X, "X")
    names = getattr(estimator, "feature_names_in_", None)
    if names is not None:
        check_same_columns(pd.DataFrame(columns=names), returns, "fit", "X")
    return returns


def _covariance(estimator: Any) -> np.ndarray:
    """Covariance of a model in the units of the data, whatever linear steps stand before it."""
    inner = unwrap(estimator, "covariance_")
    covariance = np.asarray(inner.model.covariance_)
    if not inner.before:
        return covariance
    back = affine_map(lambda rows: inner.original(rows, inner.before), len(covariance))
    return back.T @ covariance @ back


def _samples(estimator: Any, n_samples: int) -> np.ndarray:
    """Samples of a model in the units of the data, with a fixed seed."""
    inner = unwrap(estimator, "sample")
    return inner.original(inner.model.sample(n_samples, random_state=0), inner.before)


def pass_rate(
    estimator: Any, X: ArrayLike, portfolios: Literal["marginals", "long_short"]
) -> float:
    """Cramer-von Mises pass rate of as many samples as `X` has rows.

    Parameters
    ----------
    estimator : estimator
        Fitted, with ``sample(n_samples, random_state=...)``.
    X : array-like of shape (n_days, n_assets)
        Held-out returns.
    portfolios : {"marginals", "long_short"}
        What `cramer_von_mises` tests: each asset alone, or 200 random portfolios.

    Returns
    -------
    float
        In [0, 1]; seeds are fixed.
    """
    returns = _held_out(estimator, X)
    samples = _samples(estimator, len(returns))
    return cramer_von_mises(
        returns.to_numpy(), samples, portfolios=portfolios, random_state=0
    ).pass_rate


def neg_shortfall_error_scorer(estimator: Any, X: ArrayLike, y: ArrayLike | None = None) -> float:
    """Minus the relative error of the expected shortfall of random long-short portfolios.

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
        Minus the median absolute relative error of the 5 % and 95 % expected shortfalls of 200
        portfolios, by 10,000 samples. Seeds are fixed.
    """
    returns = _held_out(estimator, X)
    check_varying(returns, "X")
    samples = as_frame(_samples(estimator, 10_000), "samples")
    check_same_columns(returns, samples, "X", "samples")
    real = returns.to_numpy()
    weights = random_portfolios(
        real.shape[1], 200, "long_short", scale=real.std(axis=0), random_state=0
    ).T
    table = tail_table(real @ weights, samples.to_numpy() @ weights, q=(0.05, 0.95))
    return -float(table["shortfall", "error"].abs().median())
