"""The check of a panel of returns that every estimator of their covariance makes."""

from __future__ import annotations

import warnings

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from sklearn_diffusion.utils.arrays import check_plain
from sklearn_diffusion.utils.dates import check_time_order
from sklearn_diffusion.utils.tables import (
    as_frame,
    check_magnitude,
    check_real,
    check_varying,
    name_some,
)

__all__ = ["validate_returns"]

# A return of a fifth on every one of so many days would be a first.
_LEAST_DAYS_OF_PRICES, _LEAST_PRICE, _LARGEST_MOVE = 20, 0.2, 0.1


def validate_returns(
    estimator: BaseEstimator, X: ArrayLike | pd.DataFrame, *, in_time_order: bool
) -> np.ndarray:
    """Return the training days of an estimator, whose number and names of features it sets.

    Parameters
    ----------
    estimator : estimator
        Gets ``n_features_in_`` and, from a frame, ``feature_names_in_``.
    X : array-like of shape (n_samples, n_features)
        Returns, one row per day.
    in_time_order : bool
        Whether the order of rows means something, so that the dates of a frame must increase.

    Returns
    -------
    x : ndarray of shape (n_samples, n_features)
        Double precision.

    Raises
    ------
    ValueError
        If a value is not a finite number, a column is constant up to rounding, there are fewer than
        two rows, or dates are repeated or out of order; the message names days and assets.
    """
    check_plain(X, "X")
    days = None
    if isinstance(X, pd.DataFrame):
        days = X.index
        check_real(X.loc[:, X.dtypes != np.dtype(object)], "X")  # objects may be numbers
        if in_time_order:
            check_time_order(days)
    x = validate_data(estimator, X, dtype=np.float64, ensure_min_samples=2, ensure_all_finite=False)
    names = getattr(estimator, "feature_names_in_", None)
    frame = as_frame(pd.DataFrame(x, index=days, columns=names), "X")
    check_magnitude(frame, "X")
    check_varying(frame, "X")
    _warn_of_prices(frame)
    return x


def _warn_of_prices(frame: pd.DataFrame) -> None:
    """Tell of columns that no returns look like: positive, far from zero, and moving little."""
    if len(frame) < _LEAST_DAYS_OF_PRICES:
        return
    values = frame.to_numpy()
    prices = (values > 0).all(axis=0) & (np.median(values, axis=0) > _LEAST_PRICE)
    with np.errstate(divide="ignore", invalid="ignore"):
        moves = np.median(np.abs(values[1:] / values[:-1] - 1), axis=0)
    prices &= moves < _LARGEST_MOVE
    if prices.any():
        named = name_some(list(frame.columns[prices]))
        warnings.warn(
            f"X has column(s) that look like prices, not returns: {named}. Pass returns, for "
            "example X.pct_change().dropna().",
            UserWarning,
            stacklevel=4,
        )
