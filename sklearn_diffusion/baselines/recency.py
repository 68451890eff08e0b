"""Recency-weighted shrinkage: a rule of thumb for covariances that is hard to beat."""

from __future__ import annotations

from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import _fit_context
from sklearn.utils._param_validation import Interval

from sklearn_diffusion.returns.validation import ReturnsCovariance, validate_returns
from sklearn_diffusion.utils.refit import all_or_nothing
from sklearn_diffusion.utils.weights import recency_weights

__all__ = [
    "RecencyWeightedShrinkage",
]


class RecencyWeightedShrinkage(ReturnsCovariance):
    r"""Covariance of exponentially weighted days, its correlations shrunk towards zero.

    Markets drift and few days say little about many correlations: this answers both with a
    constant, and leaves nothing to choose by data.

    Parameters
    ----------
    half_life : float or None, default=125
        Days after which a training day counts half. Rows must be in time order unless this is
        None, which weighs all days alike.
    shrinkage : float in [0, 1], default=0.3
        Weight of the identity in the correlation matrix.
    store_precision : bool, default=True
        Whether to keep the inverse.
    assume_centered : bool, default=False
        True takes the mean to be zero.

    Attributes
    ----------
    covariance_ : ndarray of shape (n_features, n_features)
        Shrunk covariance, positive definite where `shrinkage` is positive.
    location_ : ndarray of shape (n_features,)
        Weighted mean of the data, or zero.
    precision_ : ndarray of shape (n_features, n_features)
        Inverse of the covariance, where `store_precision`.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, where `X` had some.

    See Also
    --------
    sklearn.covariance.ShrunkCovariance : Days weighted alike, shrunk to a multiple of the identity.
    sklearn_diffusion.DiffusionCovarianceEstimator : Half-life and intensity chosen by the data.

    Notes
    -----
    With weights :math:`w_i \propto 2^{i / h}` of the days in time order, which sum to one, and the
    weighted mean :math:`\mu`, volatilities :math:`s` and correlations :math:`R`, that is
    :math:`D_s R D_s = \sum_i w_i (x_i - \mu)(x_i - \mu)^\top`, the estimate is

    .. math:: \Sigma = D_s \left[(1 - \rho) R + \rho I\right] D_s .

    Examples
    --------
    >>> from sklearn_diffusion.baselines import RecencyWeightedShrinkage
    >>> from sklearn_diffusion.datasets import make_factor_returns
    >>> returns = make_factor_returns(300, 10, random_state=0).returns
    >>> RecencyWeightedShrinkage(half_life=60).fit(returns).covariance_.shape
    (10, 10)
    """

    _parameter_constraints: dict = {
        **ReturnsCovariance._parameter_constraints,
        "half_life": [Interval(Real, 0, None, closed="neither"), None],
        "shrinkage": [Interval(Real, 0, 1, closed="both")],
    }

    def __init__(
        self,
        *,
        half_life: float | None = 125.0,
        shrinkage: float = 0.3,
        store_precision: bool = True,
        assume_centered: bool = False,
    ):
        super().__init__(store_precision=store_precision, assume_centered=assume_centered)
        self.half_life = half_life
        self.shrinkage = shrinkage

    @all_or_nothing
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y: Any = None) -> RecencyWeightedShrinkage:
        """Estimate the covariance.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Returns, one row per day in time order.
        y : None
            Ignored.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If a parameter is impossible, a value is NaN or infinite, a column is constant, there
            are fewer than two rows, or the dates of a frame are repeated or out of order and
            `half_life` is not None.
        """
        x = validate_returns(self, X, in_time_order=self.half_life is not None)
        weights = recency_weights(len(x), self.half_life)
        self.location_ = np.zeros(x.shape[1]) if self.assume_centered else weights @ x
        rows = (x - self.location_) * np.sqrt(weights)[:, np.newaxis]
        sample = rows.T @ rows
        covariance = (1 - self.shrinkage) * sample
        np.fill_diagonal(covariance, sample.diagonal())
        self._set_covariance(covariance)
        return self
