"""The check of a panel of returns that every estimator of their covariance makes."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from sklearn_diffusion.utils.dates import check_time_order
from sklearn_diffusion.utils.tables import as_frame, check_real, check_varying

__all__ = ["validate_returns"]


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
        If a value is not a finite number, a column is constant, there are fewer than two rows, or
        dates are repeated or out of order; the message names days and assets.
    """
    days = None
    if isinstance(X, pd.DataFrame):
        days = X.index
        check_real(X.loc[:, X.dtypes != np.dtype(object)], "X")  # objects may be numbers
        if in_time_order:
            check_time_order(days)
    x = validate_data(estimator, X, dtype=np.float64, ensure_min_samples=2, ensure_all_finite=False)
    names = getattr(estimator, "feature_names_in_", None)
    check_varying(as_frame(pd.DataFrame(x, index=days, columns=names), "X"), "X")
    return x
