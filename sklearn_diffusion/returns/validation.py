"""What estimators of the covariance of returns share: the checks of panels and matrices."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator
from sklearn.covariance import EmpiricalCovariance
from sklearn.utils.validation import check_is_fitted, validate_data

from sklearn_diffusion.utils.arrays import as_float_table
from sklearn_diffusion.utils.dates import check_time_order
from sklearn_diffusion.utils.tables import (
    as_frame,
    check_covariance,
    check_same_columns,
    check_varying,
    name_some,
)

__all__ = ["ReturnsCovariance", "validate_returns"]

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
    if isinstance(X, pd.DataFrame) and in_time_order:
        check_time_order(X.index)
    frame = _validated_frame(estimator, X, "X", reset=True)
    check_varying(frame, "X")
    _warn_of_prices(frame)
    return frame.to_numpy()


def _validated_frame(
    estimator: BaseEstimator, X: ArrayLike | pd.DataFrame, name: str, *, reset: bool
) -> pd.DataFrame:
    """Finite returns under the names of the assets that the estimator is, or was, fitted to."""
    table = as_float_table(X, name)
    least = 2 if reset else 1
    x = validate_data(
        estimator,
        table,
        reset=reset,
        dtype=np.float64,
        ensure_min_samples=least,
        ensure_all_finite=False,
    )
    days = table.index if isinstance(table, pd.DataFrame) else None
    names = getattr(estimator, "feature_names_in_", None)
    return as_frame(pd.DataFrame(x, index=days, columns=names), name, min_rows=least)


class ReturnsCovariance(EmpiricalCovariance):
    """A covariance that judges returns and matrices, once their values and labels are checked."""

    def score(self, X_test: ArrayLike | pd.DataFrame, y: Any = None) -> float:
        """Mean log-likelihood of returns under a Gaussian of this covariance and location.

        Parameters
        ----------
        X_test : array-like of shape (n_samples, n_features)
            Returns of the assets of `fit`, in any order of days.
        y : None
            Ignored.

        Returns
        -------
        res : float
            Per day, natural logarithm, of the density per asset's unit.

        Raises
        ------
        ValueError
            If a value is not a finite number, naming its day and asset, or assets differ from
            those of `fit` in number, name or order.
        """
        check_is_fitted(self)
        return super().score(_validated_frame(self, X_test, "X_test", reset=False))

    def mahalanobis(self, X: ArrayLike | pd.DataFrame) -> np.ndarray:
        """Squared Mahalanobis distances of days from the location.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Returns of the assets of `fit`.

        Returns
        -------
        dist : ndarray of shape (n_samples,)
            Without unit.

        Raises
        ------
        ValueError
            As `score`.
        """
        check_is_fitted(self)
        return super().mahalanobis(_validated_frame(self, X, "X", reset=False))

    def error_norm(
        self,
        comp_cov: ArrayLike | pd.DataFrame,
        norm: str = "frobenius",
        scaling: bool = True,
        squared: bool = True,
    ) -> float:
        """Distance between this covariance and another.

        Parameters
        ----------
        comp_cov : array-like of shape (n_features, n_features)
            The other one; a frame is labelled by the assets of `fit`, in their order.
        norm : {"frobenius", "spectral"}, default="frobenius"
            Root of the sum of squares of the difference, or its largest singular value.
        scaling : bool, default=True
            Whether to divide the squared norm by the number of assets.
        squared : bool, default=True
            Whether to return the squared norm.

        Returns
        -------
        result : float

        Raises
        ------
        ValueError
            If `comp_cov` is no finite symmetric matrix of these assets.
        """
        check_is_fitted(self)
        matrix = check_covariance(comp_cov, "comp_cov")
        own = pd.DataFrame(self.covariance_, columns=getattr(self, "feature_names_in_", None))
        check_same_columns(own, as_frame(comp_cov, "comp_cov", min_rows=1), "fit", "comp_cov")
        return super().error_norm(matrix, norm, scaling, squared)


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
