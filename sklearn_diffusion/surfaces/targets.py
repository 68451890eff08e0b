r"""What a surface forecaster learns: standardised targets, and the way back to volatilities.

A target turns tomorrow's surface into a vector w of about unit variance, given what is known today,
and back by an affine map in log volatility,

.. math:: \log \sigma_{k+1} = a_k + s_k \, w B,

with an offset a and a scale s that depend on today's features only and a basis B fixed in training.
A diffusion model learns the distribution of w; everything that today's features say about the level
and the size of tomorrow's move is in a and s, where it is estimated by a few robust numbers instead
of a network.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval

from sklearn_diffusion.preprocessing.features import SCALAR_NAMES, ForecastFeatures
from sklearn_diffusion.utils.weights import recency_weights

__all__ = ["AffineMap", "IncrementTarget", "LevelTarget", "SurfaceTarget"]

PAPER_SCALARS = SCALAR_NAMES[:5]

# Of a feature that does not vary, which then counts for nothing.
_ROUNDING = 1e-9
# Of a cell's logarithm, as a share of the usual one: far below that of any cell that is traded.
_LEAST_DEVIATION = 0.01


@dataclass(frozen=True)
class AffineMap:
    """Way from standardised targets to log volatilities, one row per day.

    Attributes
    ----------
    offset : ndarray of shape (n_days, n_cells)
        Log volatilities of the target zero.
    scale : ndarray of shape (n_days, 1)
        Factor of each day's targets, in log volatility.
    basis : ndarray of shape (n_cells, n_cells)
        Pattern of log volatilities of each coordinate of the targets, one per row.
    """

    offset: np.ndarray
    scale: np.ndarray
    basis: np.ndarray

    def to_volatility(self, w: np.ndarray) -> np.ndarray:
        """Turn targets into surfaces.

        Parameters
        ----------
        w : ndarray of shape (..., n_days, n_cells)
            Standardised targets.

        Returns
        -------
        ndarray of shape (..., n_days, n_cells)
            Volatilities as decimals, positive.

        Raises
        ------
        FloatingPointError
            If one is zero or infinite in double precision.
        """
        with np.errstate(over="ignore"):
            surfaces = np.exp(self.offset + self.scale * (w @ self.basis))
        if not (np.isfinite(surfaces) & (surfaces > 0)).all():
            raise FloatingPointError(
                "Samples overflow or vanish on their way back to volatilities: the model has "
                "diverged."
            )
        return surfaces


class SurfaceTarget(BaseEstimator, ABC):
    """Standardised targets of a forecaster, fitted on training days only.

    Attributes
    ----------
    axes_ : ndarray of shape (n_cells, n_cells)
        Orthogonal axes of the targets' coordinates, one per column.
    day_weights_ : ndarray of shape (n_days,)
        Weights of the training days in the distribution of the targets; they sum to one.
    """

    axes_: np.ndarray
    day_weights_: np.ndarray

    @abstractmethod
    def fit(self, features: ForecastFeatures, targets: np.ndarray) -> SurfaceTarget:
        """Learn from training days.

        Parameters
        ----------
        features : ForecastFeatures
            What is known on each of them.
        targets : ndarray of shape (n_days, n_cells)
            The next day's surfaces, in volatility units.

        Returns
        -------
        self : SurfaceTarget
        """

    @abstractmethod
    def affine(self, features: ForecastFeatures) -> AffineMap:
        """Way back to log volatilities.

        Parameters
        ----------
        features : ForecastFeatures
            What is known on each day.

        Returns
        -------
        AffineMap
            Of these days.
        """

    @abstractmethod
    def scalars(self, features: ForecastFeatures) -> np.ndarray:
        """Standardised scalar conditions for a network.

        Parameters
        ----------
        features : ForecastFeatures
            What is known on each day.

        Returns
        -------
        ndarray of shape (n_days, n_scalars)
        """

    def encode(self, features: ForecastFeatures, targets: np.ndarray) -> np.ndarray:
        """Turn surfaces into standardised targets: the inverse of `AffineMap.to_volatility`.

        Parameters
        ----------
        features : ForecastFeatures
            What is known on each day.
        targets : ndarray of shape (n_days, n_cells)
            The next day's surfaces, in volatility units.

        Returns
        -------
        ndarray of shape (n_days, n_cells)
        """
        way = self.affine(features)
        return np.linalg.solve(way.basis.T, ((np.log(targets) - way.offset) / way.scale).T).T

    def surfaces(self, features: ForecastFeatures) -> np.ndarray:
        """Standardised log surfaces for a network.

        Parameters
        ----------
        features : ForecastFeatures
            What is known on each day.

        Returns
        -------
        ndarray of shape (n_days, 3 * n_cells)
            Today's surface, then its moving averages of span 5 and 20.
        """
        blocks = (features.today, features.ewma_short, features.ewma_long)
        return np.hstack([(np.log(block) - self.log_mean_) / self.log_std_ for block in blocks])

    def _fit_log_moments(self, surfaces: np.ndarray) -> None:
        logs = np.log(surfaces)
        self.log_mean_ = logs.mean(0)
        deviation = logs.std(0)
        # A cell that never moves in training must not be blown up when it does.
        usual = float(np.median(deviation[deviation > 0])) if (deviation > 0).any() else 1.0
        self.log_std_ = np.maximum(deviation, _LEAST_DEVIATION * usual)


class LevelTarget(SurfaceTarget):
    """Log surface standardised cell by cell, as in paper C (section 5.2, eq. (34)).

    The scale of the training days is the scale of all days: where the market's level moves on, so
    does every forecast's error.
    """

    def fit(self, features: ForecastFeatures, targets: np.ndarray) -> LevelTarget:
        self._fit_log_moments(targets)
        self.day_weights_ = recency_weights(len(targets), None)
        self.axes_ = np.eye(targets.shape[1])
        scalars = self._raw_scalars(features)
        self._mean, self._std = scalars.mean(0), np.maximum(scalars.std(0), 1e-12)
        return self

    def affine(self, features: ForecastFeatures) -> AffineMap:
        n = len(features.today)
        return AffineMap(
            np.broadcast_to(self.log_mean_, (n, len(self.log_mean_))),
            np.ones((n, 1)),
            np.diag(self.log_std_),
        )

    def scalars(self, features: ForecastFeatures) -> np.ndarray:
        return (self._raw_scalars(features) - self._mean) / self._std

    @staticmethod
    def _raw_scalars(features: ForecastFeatures) -> np.ndarray:
        return np.column_stack([features.scalar(name) for name in PAPER_SCALARS])


class IncrementTarget(SurfaceTarget):
    r"""Increment of the log surface, scaled by its volatility, along its principal axes.

    - *Scale*: the geometric mean of three moving averages (decays .98, .94 and .8) of the mean
      squared change of the log surface.
    - *Axes*: principal axes of the scaled increments, not centred, with recency-weighted days.
    - *Mean*: along the first axis, the level, a ridge regression on the underlying's return, its
      average over a few days, today's own change of level, and the turn of the week (volatilities
      quoted on a Friday have a weekend before them); along every other axis one on its distance
      from its moving averages, because what a single cell does beyond the others is mostly
      measurement noise that reverts. There is no intercept, each feature is bounded to two of its
      training deviations, and the penalties are heavy: what conditions may do beyond their training
      range is limited, and zero, the random walk, is never far.
    - The offset subtracts half the conditional variance of each cell, so that with a zero mean
      today's volatility, not its logarithm, is a martingale.

    Parameters
    ----------
    half_life : float or None, default=189.0
        Days after which a training day counts half in the axes and in the distribution along them.
    level_penalty, axis_penalty : float, default=300.0 and 100.0
        Ridge penalties of the mean along the first axis and along the others, in days.
    bound : float, default=2.0
        Largest standardised value of a feature of the mean.
    decays : sequence of str, default=("0.98", "0.94", "0.8")
        Moving averages whose geometric mean is the scale, by the names of their features.
    clip : float, default=4.0
        Standard deviations at which a single day is cut off in the mean and in the spread.
    min_scale, max_scale : float, default=0.1 and 20.0
        Least and largest scale, as shares of its training median.
    min_spread : float, default=1e-4
        Least spread along an axis, as a share of the largest: duplicate cells have none.

    Notes
    -----
    `half_life`, `level_penalty`, `axis_penalty`, `bound` and `decays` were chosen by backtests of
    the SSE 50 and S&P 500 panels of the benchmarks; `clip`, the bounds of the scale and
    `min_spread` by judgement, to keep single days and cells from deciding.
    """

    _parameter_constraints: dict = {
        "half_life": [Interval(Real, 1, None, closed="left"), None],
        "level_penalty": [Interval(Real, 0, None, closed="neither")],
        "axis_penalty": [Interval(Real, 0, None, closed="neither")],
        "bound": [Interval(Real, 0, None, closed="neither")],
        "decays": [tuple, list],
        "clip": [Interval(Real, 0.1, None, closed="left")],
        "min_scale": [Interval(Real, 0, 1, closed="neither")],
        "max_scale": [Interval(Real, 1, None, closed="left")],
        "min_spread": [Interval(Real, 0, 1, closed="neither")],
    }

    def __init__(
        self,
        *,
        half_life: float | None = 189.0,
        level_penalty: float = 300.0,
        axis_penalty: float = 100.0,
        bound: float = 2.0,
        decays: Sequence[str] = ("0.98", "0.94", "0.8"),
        clip: float = 4.0,
        min_scale: float = 0.1,
        max_scale: float = 20.0,
        min_spread: float = 1e-4,
    ):
        self.half_life = half_life
        self.level_penalty = level_penalty
        self.axis_penalty = axis_penalty
        self.bound = bound
        self.decays = decays
        self.clip = clip
        self.min_scale = min_scale
        self.max_scale = max_scale
        self.min_spread = min_spread

    def fit(self, features: ForecastFeatures, targets: np.ndarray) -> IncrementTarget:
        self._fit_log_moments(features.today)
        self._scale_range, self._min_spot_scale = (0.0, np.inf), 0.0
        # The first days after a start have a history of one day, which may chance to be still.
        usual = float(np.median(self._scale(features)))
        self._scale_range = self.min_scale * usual, self.max_scale * usual
        usual_spot = float(np.median(self._spot_scale(features)))
        self._min_spot_scale = self.min_scale * usual_spot or 1.0
        if usual == 0:
            raise ValueError(
                "X says that surfaces do not change on most days (squared_increment_ewma is zero): "
                "increments cannot be scaled by their volatility."
            )
        scale = self._scale(features)
        self._log_scale = np.log(scale).mean(), max(np.log(scale).std(), 1e-12)
        standard = (np.log(targets) - np.log(features.today)) / scale
        if not standard.any():
            raise ValueError(
                "y equals today's surface, as it stands in X, on every day: nothing is left to "
                "forecast. Row k of y is the surface of the day after row k of X."
            )
        self.day_weights_ = recency_weights(len(targets), self.half_life)
        self.axes_ = np.linalg.svd((standard.T * self.day_weights_) @ standard)[0]
        u = standard @ self.axes_
        spread = np.sqrt((u**2).mean(0))
        target = np.clip(u, -self.clip * spread, self.clip * spread)
        level, reversion = self._level_features(features), self._reversion_features(features)
        self._level_moments = level.mean(0), level.std(0) + _ROUNDING
        self._reversion_moments = reversion.mean(0), reversion.std(0) + _ROUNDING
        level = (level - self._level_moments[0]) / self._level_moments[1]
        reversion = (reversion - self._reversion_moments[0]) / self._reversion_moments[1]
        self.level_coef_ = _ridge(level, target[:, 0], self.level_penalty)
        self.axis_coef_ = np.stack(
            [_ridge(reversion[:, k], target[:, k], self.axis_penalty) for k in range(u.shape[1])]
        )
        residual = u - self._mean(features)
        residual -= self.day_weights_ @ residual
        deviation = np.sqrt(self.day_weights_ @ residual**2)
        # A single day must not set the scale of all.
        residual = np.clip(residual, -self.clip * deviation, self.clip * deviation)
        deviation = np.sqrt(self.day_weights_ @ residual**2)
        # An axis without variance (duplicate cells) keeps a trace of it, to stay invertible.
        self.spread_ = np.maximum(deviation, self.min_spread * deviation.max())
        return self

    def affine(self, features: ForecastFeatures) -> AffineMap:
        scale = self._scale(features)
        basis = self.spread_[:, None] * self.axes_.T
        drift = self._mean(features) @ self.axes_.T * scale
        half_variance = 0.5 * scale**2 * (basis**2).sum(0)
        return AffineMap(np.log(features.today) + drift - half_variance, scale, basis)

    def encode(self, features: ForecastFeatures, targets: np.ndarray) -> np.ndarray:
        # The half variance belongs to the mean of volatility, not to that of its logarithm.
        standard = (np.log(targets) - np.log(features.today)) / self._scale(features)
        return (standard @ self.axes_ - self._mean(features)) / self.spread_

    def scalars(self, features: ForecastFeatures) -> np.ndarray:
        level = (self._level_features(features) - self._level_moments[0]) / self._level_moments[1]
        scale = (np.log(self._scale(features)) - self._log_scale[0]) / self._log_scale[1]
        return np.clip(np.column_stack([level, scale]), -self.bound, self.bound)

    def _scale(self, features: ForecastFeatures) -> np.ndarray:
        variances = [features.scalar(f"squared_increment_ewma_{d}") for d in self.decays]
        scale = np.prod(variances, axis=0) ** (0.5 / len(variances))
        return np.clip(scale, *self._scale_range)[:, None]

    def _spot_scale(self, features: ForecastFeatures) -> np.ndarray:
        scale = np.sqrt(features.scalar("squared_return_ewma_0.15"))
        return np.maximum(scale, self._min_spot_scale)

    def _level_features(self, features: ForecastFeatures) -> np.ndarray:
        spot_scale = self._spot_scale(features)
        weekday = features.scalar("weekday")
        return np.column_stack(
            [
                features.scalar("spot_return") / spot_scale,
                features.scalar("return_ewma_0.333") / spot_scale,
                features.scalar("level_increment") / self._scale(features)[:, 0],
                (weekday == 5) * 1.0 - (weekday == 1) * 1.0,
            ]
        )

    def _reversion_features(self, features: ForecastFeatures) -> np.ndarray:
        """Distance from the moving averages along the axes, (n_days, n_cells, 2)."""
        log_today, scale = np.log(features.today), self._scale(features)
        averages = (features.ewma_short, features.ewma_long)
        return np.stack(
            [(log_today - np.log(average)) / scale @ self.axes_ for average in averages], axis=2
        )

    def _mean(self, features: ForecastFeatures) -> np.ndarray:
        """Conditional mean along the axes, (n_days, n_cells)."""
        mean = (
            self._bounded(self._reversion_features(features), self._reversion_moments)
            * self.axis_coef_
        ).sum(2)
        mean[:, 0] = (
            self._bounded(self._level_features(features), self._level_moments) @ self.level_coef_
        )
        return mean

    def _bounded(self, values: np.ndarray, moments: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
        return np.clip((values - moments[0]) / moments[1], -self.bound, self.bound)


def _ridge(features: np.ndarray, target: np.ndarray, penalty: float) -> np.ndarray:
    gram = features.T @ features
    gram[np.diag_indices_from(gram)] += penalty
    return np.linalg.solve(gram, features.T @ target)
