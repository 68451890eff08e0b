r"""What a surface forecaster learns: standardised targets, and the way back to volatilities.

A coding turns tomorrow's surface into a vector w of about unit variance, given what is known today,
and back by an affine map in log volatility,

.. math:: \log \sigma_{k+1} = a_k + s_k \, w B,

with an offset a and a scale s that depend on today's features only and a basis B fixed in training.
A diffusion model learns the law of w; everything that today's features say about the level and the
size of tomorrow's move is in a and s, where it is estimated by a few robust numbers instead of a
network.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from sklearn_diffusion.preprocessing.features import SCALAR_NAMES, ForecastFeatures
from sklearn_diffusion.utils.weights import recency_weights

__all__ = ["AffineMap", "IncrementCoding", "LevelCoding", "SurfaceCoding"]

PAPER_SCALARS = SCALAR_NAMES[:5]


@dataclass(frozen=True)
class AffineMap:
    """Way from standardised targets to log volatilities, one row per day.

    Attributes
    ----------
    offset : ndarray of shape (n_days, n_cells)
    scale : ndarray of shape (n_days, 1)
    basis : ndarray of shape (n_cells, n_cells)
    """

    offset: np.ndarray
    scale: np.ndarray
    basis: np.ndarray

    def to_volatility(self, w: np.ndarray) -> np.ndarray:
        """Surfaces (..., n_days, n_cells) of targets of the same shape, in volatility units."""
        return np.exp(self.offset + self.scale * (w @ self.basis))


class SurfaceCoding(ABC):
    """Standardised targets of a forecaster. Fitted on training days only.

    Attributes
    ----------
    axes_ : ndarray of shape (n_cells, n_cells)
        Orthogonal axes of the targets' coordinates, one per column.
    day_weights_ : ndarray of shape (n_days,)
        Weights of the training days in the law of the targets; they sum to one.
    """

    axes_: np.ndarray
    day_weights_: np.ndarray

    @abstractmethod
    def fit(self, features: ForecastFeatures, targets: np.ndarray) -> SurfaceCoding:
        """Learn from training days; `targets` (n_days, n_cells) are tomorrow's volatilities."""

    @abstractmethod
    def affine(self, features: ForecastFeatures) -> AffineMap:
        """Way back to log volatilities."""

    @abstractmethod
    def scalars(self, features: ForecastFeatures) -> np.ndarray:
        """Standardised scalar conditions for a network, (n_days, n_scalars)."""

    def encode(self, features: ForecastFeatures, targets: np.ndarray) -> np.ndarray:
        """Standardised targets (n_days, n_cells)."""
        way = self.affine(features)
        return np.linalg.solve(way.basis.T, ((np.log(targets) - way.offset) / way.scale).T).T

    def surfaces(self, features: ForecastFeatures) -> np.ndarray:
        """Standardised log surfaces for a network: today, EWMA 5, EWMA 20, (n_days, 3 n_cells)."""
        blocks = (features.today, features.ewma_short, features.ewma_long)
        return np.hstack([(np.log(block) - self.log_mean_) / self.log_std_ for block in blocks])

    def _fit_log_moments(self, surfaces: np.ndarray) -> None:
        logs = np.log(surfaces)
        self.log_mean_ = logs.mean(0)
        self.log_std_ = np.maximum(logs.std(0), 1e-12)


class LevelCoding(SurfaceCoding):
    """Log surface standardised cell by cell, as in paper C (section 5.2, eq. (34)).

    The scale of the training days is the scale of all days: where the market's level moves on, so
    does every forecast's error.
    """

    def fit(self, features: ForecastFeatures, targets: np.ndarray) -> LevelCoding:
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


class IncrementCoding(SurfaceCoding):
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
    half_life : float, default=189
        Days after which a training day counts half in the axes and in the law along them.
    level_penalty, axis_penalty : float, default=300 and 100
        Ridge penalties, in days.
    bound : float, default=2
        Largest standardised value of a feature of the mean.
    """

    decays = ("0.98", "0.94", "0.8")

    def __init__(
        self,
        half_life: float = 189.0,
        level_penalty: float = 300.0,
        axis_penalty: float = 100.0,
        bound: float = 2.0,
    ):
        self.half_life = half_life
        self.level_penalty = level_penalty
        self.axis_penalty = axis_penalty
        self.bound = bound

    def fit(self, features: ForecastFeatures, targets: np.ndarray) -> IncrementCoding:
        self._fit_log_moments(features.today)
        self._min_scale = self._min_spot_scale = 0.0
        # The first days after a start have a history of one day, which may chance to be still.
        self._min_scale = 0.1 * float(np.median(self._scale(features)))
        self._min_spot_scale = 0.1 * float(np.median(self._spot_scale(features))) or 1.0
        if self._min_scale == 0:
            raise ValueError(
                "X says that surfaces do not change on most days (squared_increment_ewma is zero): "
                "increments cannot be scaled by their volatility."
            )
        scale = self._scale(features)
        self._log_scale = np.log(scale).mean(), max(np.log(scale).std(), 1e-12)
        standard = (np.log(targets) - np.log(features.today)) / scale
        self.day_weights_ = recency_weights(len(targets), self.half_life)
        self.axes_ = np.linalg.svd((standard.T * self.day_weights_) @ standard)[0]
        u = standard @ self.axes_
        spread = np.sqrt((u**2).mean(0))
        target = np.clip(u, -4 * spread, 4 * spread)
        level, reversion = self._level_features(features), self._reversion_features(features)
        self._level_moments = level.mean(0), level.std(0) + 1e-9
        self._reversion_moments = reversion.mean(0), reversion.std(0) + 1e-9
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
        residual = np.clip(residual, -4 * deviation, 4 * deviation)
        deviation = np.sqrt(self.day_weights_ @ residual**2)
        # An axis without variance (duplicate cells) keeps a trace of it, to stay invertible.
        self.spread_ = np.maximum(deviation, 1e-4 * deviation.max())
        return self

    def affine(self, features: ForecastFeatures) -> AffineMap:
        scale = self._scale(features)
        basis = self.spread_[:, None] * self.axes_.T
        drift = self._mean(features) @ self.axes_.T * scale
        half_variance = 0.5 * scale**2 * (basis**2).sum(0)
        return AffineMap(np.log(features.today) + drift - half_variance, scale, basis)

    def encode(self, features: ForecastFeatures, targets: np.ndarray) -> np.ndarray:
        # The half variance belongs to the law of volatility, not to that of its logarithm.
        standard = (np.log(targets) - np.log(features.today)) / self._scale(features)
        return (standard @ self.axes_ - self._mean(features)) / self.spread_

    def scalars(self, features: ForecastFeatures) -> np.ndarray:
        level = (self._level_features(features) - self._level_moments[0]) / self._level_moments[1]
        scale = (np.log(self._scale(features)) - self._log_scale[0]) / self._log_scale[1]
        return np.clip(np.column_stack([level, scale]), -self.bound, self.bound)

    def _scale(self, features: ForecastFeatures) -> np.ndarray:
        variances = [features.scalar(f"squared_increment_ewma_{d}") for d in self.decays]
        scale = np.prod(variances, axis=0) ** (0.5 / len(variances))
        return np.maximum(scale, self._min_scale)[:, None]

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
