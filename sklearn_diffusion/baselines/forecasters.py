r"""Forecasters of tomorrow's surface that any model has to beat.

All start from today's surface, the first block of the features (see
`sklearn_diffusion.preprocessing.features`).
"""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, _fit_context
from sklearn.utils import Tags, check_random_state
from sklearn.utils.validation import check_is_fitted, validate_data

from sklearn_diffusion.preprocessing.features import split_features
from sklearn_diffusion.surfaces.base import SamplingForecasterMixin
from sklearn_diffusion.utils.arrays import as_float_table
from sklearn_diffusion.utils.blocks import MAX_ELEMENTS, day_blocks
from sklearn_diffusion.utils.cells import check_labels, check_truth, check_volatilities
from sklearn_diffusion.utils.parameters import check_positive_integer
from sklearn_diffusion.utils.random_state import draw_seed
from sklearn_diffusion.utils.refit import all_or_nothing
from sklearn_diffusion.utils.tables import as_frame

__all__ = ["BootstrapForecaster", "RandomWalkForecaster"]


class _FromToday(SamplingForecasterMixin, BaseEstimator):
    """Validation shared by forecasters whose first columns are today's surface."""

    def _validate_fit(
        self, X: ArrayLike | pd.DataFrame, y: ArrayLike | pd.DataFrame
    ) -> tuple[NDArray, NDArray]:
        cells = y.columns if isinstance(y, pd.DataFrame) else None
        days = y.index if isinstance(y, pd.DataFrame) else None
        X_values, targets = self._validate_days(X, y)
        if X_values.shape[1] < targets.shape[1]:
            raise ValueError(
                f"X has {X_values.shape[1]} features, fewer than the {targets.shape[1]} cells of "
                "y: its first columns must be today's surface, as made by make_forecast_frame."
            )
        check_volatilities(targets, days=days, cells=cells, what="volatilities of y")
        self.n_cells_ = targets.shape[1]
        self._check_today(X, X_values)
        if isinstance(X, pd.DataFrame) and cells is not None:
            check_labels(X.columns, [f"iv_{cell}" for cell in cells], "X")
            check_truth(X, y, self.n_cells_)
        return X_values, targets

    def _validate_predict(self, X: ArrayLike | pd.DataFrame) -> NDArray:
        check_is_fitted(self)
        X = as_float_table(X, "X")
        values = validate_data(self, X, reset=False, dtype=np.float64, ensure_all_finite=False)
        self._check_today(X, values)
        return values

    def _check_today(self, X: ArrayLike | pd.DataFrame, values: NDArray) -> None:
        days, cells = None, None
        if isinstance(X, pd.DataFrame):
            days, cells = X.index, X.columns
        check_volatilities(
            values[:, : self.n_cells_], days=days, cells=cells, what="today's volatilities in X"
        )
        as_frame(pd.DataFrame(values, days, cells), "X", min_rows=1)  # names what is not finite

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        tags.target_tags.positive_only = True
        tags.target_tags.multi_output = True
        tags.target_tags.single_output = False
        tags.regressor_tags.poor_score = True
        return tags


class RandomWalkForecaster(_FromToday):
    """Forecast that tomorrow's surface is today's, with certainty.

    The mean is hard to beat; the distribution is a point.

    Attributes
    ----------
    n_cells_ : int
        Number of cells of a surface.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features,)
        If `fit` saw a DataFrame.

    Examples
    --------
    >>> from sklearn_diffusion.baselines import RandomWalkForecaster
    >>> X, y = [[0.20, 0.25], [0.22, 0.24]], [[0.22, 0.24], [0.21, 0.23]]
    >>> RandomWalkForecaster().fit(X, y).predict([[0.3, 0.3]])
    array([[0.3, 0.3]])
    """

    def fit(self, X: ArrayLike | pd.DataFrame, y: ArrayLike | pd.DataFrame) -> RandomWalkForecaster:
        """Check the data; nothing is learnt but the number of cells.

        Parameters
        ----------
        X : array-like of shape (n_days, n_features)
            Features; the first n_cells columns are today's surface.
        y : array-like of shape (n_days, n_cells)
            Tomorrow's surface.

        Returns
        -------
        self : RandomWalkForecaster
        """
        self._validate_fit(X, y)
        return self

    def predict(self, X: ArrayLike | pd.DataFrame) -> NDArray:
        """Forecast today's surface.

        Parameters
        ----------
        X : array-like of shape (n_days, n_features)
            Features.

        Returns
        -------
        ndarray of shape (n_days, n_cells)
        """
        return self._validate_predict(X)[:, : self.n_cells_].copy()

    def sample(
        self,
        X: ArrayLike | pd.DataFrame,
        n_samples: int = 100,
        random_state: int | np.random.RandomState | None = None,
    ) -> NDArray:
        """Repeat today's surface.

        Parameters
        ----------
        X : array-like of shape (n_days, n_features)
            Features.
        n_samples : int, default=100
            Number of copies.
        random_state : object
            Ignored: there is no noise.

        Returns
        -------
        ndarray of shape (n_samples, n_days, n_cells)
        """
        check_positive_integer(n_samples, "n_samples")
        return np.repeat(self.predict(X)[None], n_samples, axis=0)


class BootstrapForecaster(_FromToday):
    r"""Move today's log surface by the change of a past day drawn at random.

    .. math:: \log \sigma_{k+1} = \log \sigma_k + s_k \frac{\Delta_j}{s_j}

    with :math:`\Delta_j` the change from day j to the next, j uniform over the training days,
    and :math:`s_k` the volatility of volatility known on day k.

    Parameters
    ----------
    filtered : bool, default=True
        Whether to scale changes by the current volatility of volatility (filtered historical
        simulation): the root of the feature ``squared_increment_ewma_0.94``. If False,
        :math:`s = 1` and any X will do whose first n_cells columns are today's surface.
    random_state : int, RandomState or None, default=None
        Where draws come from that are given no `random_state` of their own.

    Attributes
    ----------
    residuals_ : ndarray of shape (n_days, n_cells)
        The :math:`\Delta_j / s_j`.
    min_scale_ : float
        A tenth of the median :math:`s_j` in training, below which no :math:`s` is let fall: the
        day after a gap has a history of one day, which may chance to be still.
    seed_ : int
        Seed of draws that are given no `random_state`.
    n_cells_ : int
        Number of cells of a surface.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (n_features,)
        If `fit` saw a DataFrame.

    Notes
    -----
    Barone-Adesi, Giannopoulos and Vosper (1999) introduced filtered historical simulation.

    Examples
    --------
    >>> from sklearn_diffusion.baselines import BootstrapForecaster
    >>> from sklearn_diffusion.datasets import make_iv_surfaces
    >>> from sklearn_diffusion.preprocessing import make_forecast_frame
    >>> market = make_iv_surfaces(200, random_state=0)
    >>> X, y = make_forecast_frame(market.surfaces, market.spot, market.vix)
    >>> forecaster = BootstrapForecaster(random_state=0).fit(X[:150], y[:150])
    >>> forecaster.sample(X[150:], n_samples=10).shape
    (10, 48, 81)
    >>> forecaster.predict_interval(X[150:], coverage=0.9).shape
    (48, 81, 2)
    """

    _parameter_constraints: dict = {"filtered": ["boolean"], "random_state": ["random_state"]}

    def __init__(
        self,
        filtered: bool = True,
        *,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.filtered = filtered
        self.random_state = random_state

    @all_or_nothing
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike | pd.DataFrame, y: ArrayLike | pd.DataFrame) -> BootstrapForecaster:
        """Collect the changes of the training days.

        Parameters
        ----------
        X : array-like of shape (n_days, n_features)
            Features, as made by `make_forecast_frame`.
        y : array-like of shape (n_days, n_cells)
            Tomorrow's surface.

        Returns
        -------
        self : BootstrapForecaster
        """
        features, targets = self._validate_fit(X, y)
        self.min_scale_ = 0.1 * float(np.median(self._raw_scale(features)))
        if self.min_scale_ == 0:
            raise ValueError(
                "X says that surfaces do not change on most days (squared_increment_ewma_0.94 is "
                "zero): changes cannot be scaled by their volatility; use filtered=False."
            )
        increments = np.log(targets) - np.log(features[:, : self.n_cells_])
        self.residuals_ = increments / self._scale(features)
        self.seed_ = draw_seed(self.random_state)
        return self

    def predict(self, X: ArrayLike | pd.DataFrame) -> NDArray:
        """Forecast the mean surface, exactly: over all training days.

        Parameters
        ----------
        X : array-like of shape (n_days, n_features)
            Features.

        Returns
        -------
        ndarray of shape (n_days, n_cells)
        """
        features = self._validate_predict(X)
        scales = self._scale(features)
        growth = np.empty((len(features), self.n_cells_))
        for days in day_blocks(len(features), self.residuals_.size, MAX_ELEMENTS):
            growth[days] = np.exp(scales[days, None] * self.residuals_).mean(axis=1)
        return features[:, : self.n_cells_] * growth

    def sample(
        self,
        X: ArrayLike | pd.DataFrame,
        n_samples: int = 100,
        random_state: int | np.random.RandomState | None = None,
    ) -> NDArray:
        """Draw surfaces of tomorrow; all rows use the changes of the same days.

        Parameters
        ----------
        X : array-like of shape (n_days, n_features)
            Features.
        n_samples : int, default=100
            Number of scenarios.
        random_state : int, RandomState or None, default=None
            Where the days are drawn from; None is `seed_`.

        Returns
        -------
        ndarray of shape (n_samples, n_days, n_cells)
        """
        features = self._validate_predict(X)
        check_positive_integer(n_samples, "n_samples")
        rng = check_random_state(self.seed_ if random_state is None else random_state)
        drawn = self.residuals_[rng.randint(len(self.residuals_), size=n_samples)]
        samples = self._scale(features) * drawn[:, None]
        np.exp(samples, out=samples)
        samples *= features[:, : self.n_cells_]
        return samples

    def _scale(self, features: NDArray) -> NDArray:
        return np.maximum(self._raw_scale(features), self.min_scale_)[:, None]

    def _raw_scale(self, features: NDArray) -> NDArray:
        if not self.filtered:
            return np.ones(len(features))
        state = split_features(features, self.n_cells_).scalar("squared_increment_ewma_0.94")
        return np.sqrt(state)
