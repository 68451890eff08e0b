r"""Covariance of a stopped diffusion, with its stopping time and recency chosen from data.

Assets are divided by their volatility. The variance-preserving forward process at b = 1, a = 0
(paper B, eqs. (36)-(46)) has :math:`\alpha^2 = e^{-\tau} = 1 - t`, so the law of the days stopped
at time t has the covariance

.. math:: \Sigma_t = U \, \mathrm{diag}\left((1 - t) \ell_j + t\right) U^\top :

**the stopping time is a shrinkage intensity** towards the identity in z-scored units. The spectrum
:math:`\ell` is that of the recency-weighted correlation, freed of the spread that a finite number
of days puts on it (quadratic-inverse shrinkage at the effective number of days): noise of its own
size for every direction, the vector b of the paper in the eigenbasis.

Both the stopping time and the half-life of the weights are chosen on days that the fit has not
seen. The likelihood-weighted denoising score-matching loss of a linear score, integrated over all
noise levels, is the Gaussian log-likelihood up to a constant, so that is what a rolling origin
compares,

.. math:: L(h, t) = \mathrm{mean}_s \; y_s^\top \Sigma^{-1} y_s + \log \det \Sigma,

free of units and in closed form. Candidates whose loss is within its standard error of the best
one's are not told apart by the data: they are averaged instead of the luckiest one chosen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.linalg import eigh

from sklearn_diffusion.baselines.shrinkage import (
    EIGENVALUE_FLOOR,
    quadratic_inverse_eigenvalues,
)

__all__ = ["StoppedCovariance", "fit_stopped_covariance", "recency_weights"]

STOP_TIMES = (0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.8)
HALF_LIVES = (63.0, 125.0, 250.0, 500.0, None)
# A month ahead, as portfolios are held; a year of origins.
HORIZON, N_ORIGINS, MIN_DAYS = 21, 12, 60


def recency_weights(n_days: int, half_life: float | None) -> np.ndarray:
    """Weights of days in time order, halving every `half_life` days into the past; sum one."""
    if half_life is None:
        return np.full(n_days, 1 / n_days)
    weights = 0.5 ** (np.arange(n_days)[::-1] / half_life)
    return weights / weights.sum()


@dataclass(frozen=True)
class _Spectrum:
    """Cleaned spectrum of weighted days.

    With fewer days than assets the eigenvectors that no day has seen share one eigenvalue, so they
    are never formed: `vectors` is (d, r) with r = min(n, d), and `rest` is the eigenvalue of the
    d - r others.
    """

    scale: np.ndarray
    vectors: np.ndarray
    eigenvalues: np.ndarray
    rest: float

    @classmethod
    def fit(cls, x: np.ndarray, half_life: float | None) -> _Spectrum:
        n, d = x.shape
        weights = recency_weights(n, half_life)
        scale = np.sqrt(weights @ x**2)
        rows = x * (np.sqrt(weights)[:, None] / scale)
        if d <= n:
            eigenvalues, vectors = eigh(rows.T @ rows)
        else:
            seen, coordinates = eigh(rows @ rows.T)
            seen = np.maximum(seen, EIGENVALUE_FLOOR * seen[-1])
            vectors = rows.T @ coordinates / np.sqrt(seen)
            eigenvalues = np.concatenate([np.zeros(d - n), seen])
        clean = quadratic_inverse_eigenvalues(eigenvalues, 1 / (weights @ weights))
        return cls(scale, vectors, clean[-vectors.shape[1] :], clean[0])

    def stopped(self, stop_times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Eigenvalues (n_stops, r) and the rest's (n_stops, 1) at each stopping time."""
        t = stop_times[:, None]
        return (1 - t) * self.eigenvalues + t, (1 - t) * self.rest + t

    def held_out_losses(self, x: np.ndarray, stop_times: np.ndarray) -> np.ndarray:
        """Loss of each stopping time on other days, per feature, shape (n_stops,)."""
        stopped, rest = self.stopped(stop_times)
        d, r = self.vectors.shape
        z = x / self.scale
        variances = ((z @ self.vectors) ** 2).mean(0)
        loss = (variances / stopped + np.log(stopped)).sum(1) + 2 * np.log(self.scale).sum()
        if r < d:
            beyond = (z**2).sum(1).mean() - variances.sum()
            loss += (beyond / rest + (d - r) * np.log(rest))[:, 0]
        return loss / d

    def covariance(self, stop_times: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Weighted sum of the covariances at the stopping times, in asset units, (d, d)."""
        stopped, rest = (weights @ values for values in self.stopped(stop_times))
        correlation = (self.vectors * (stopped - rest)) @ self.vectors.T
        correlation[np.diag_indices_from(correlation)] += rest
        return correlation * np.outer(self.scale, self.scale)


@dataclass(frozen=True)
class StoppedCovariance:
    """What `fit_stopped_covariance` found.

    Attributes
    ----------
    covariance : ndarray of shape (d, d)
        Covariance of the stopped law.
    stop_time : float
        Stopping time in [0, 1), the weighted mean of the candidates.
    half_life : float or None
        Half-life of the recency weights in days, the best candidate's; None weighs all days alike.
    weights : ndarray of shape (n_half_lives, n_stop_times)
        Weights of the candidates in the average.
    losses : ndarray of shape (n_origins, n_half_lives, n_stop_times) or None
        Held-out losses; None where nothing was left to choose.
    """

    covariance: np.ndarray
    stop_time: float
    half_life: float | None
    weights: np.ndarray
    losses: np.ndarray | None


def fit_stopped_covariance(
    x: np.ndarray,
    stop_time: float | Literal["auto"] = "auto",
    half_life: float | Literal["auto"] | None = "auto",
) -> StoppedCovariance:
    """Covariance of the stopped diffusion of centred days.

    Parameters
    ----------
    x : ndarray of shape (n, d)
        Centred returns in time order, in any units.
    stop_time : float or "auto", default="auto"
        Stopping time in [0, 1).
    half_life : float, None or "auto", default="auto"
        Half-life of the recency weights, in days; None weighs all days alike.

    Returns
    -------
    result : StoppedCovariance
    """
    n = len(x)
    stops = np.array(STOP_TIMES if stop_time == "auto" else [stop_time], dtype=float)
    half_lives = HALF_LIVES if half_life == "auto" else (half_life,)
    origins = range(n - HORIZON, max(n // 2, MIN_DAYS) - 1, -HORIZON)[:N_ORIGINS]
    losses = None
    weights = np.ones((len(half_lives), len(stops)))
    if weights.size > 1 and len(origins) > 0:
        losses = np.array(
            [
                [
                    _Spectrum.fit(x[:o], h).held_out_losses(x[o : o + HORIZON], stops)
                    for h in half_lives
                ]
                for o in origins
            ]
        )
        weights = _average_weights(losses)
    weights = weights / weights.sum()
    covariance = np.zeros((x.shape[1], x.shape[1]))
    for h, row in zip(half_lives, weights, strict=True):
        if row.sum() > 1e-6:
            covariance += _Spectrum.fit(x, h).covariance(stops, row)
    best = int(weights.sum(1).argmax())
    return StoppedCovariance(
        (covariance + covariance.T) / 2,
        float(weights.sum(0) @ stops),
        half_lives[best],
        weights,
        losses,
    )


def _average_weights(losses: np.ndarray) -> np.ndarray:
    """Weights exp(-z^2 / 2), z the candidate's excess loss over the best in standard errors."""
    mean = losses.mean(0)
    best = np.unravel_index(mean.argmin(), mean.shape)
    excess = losses - losses[:, best[0], best[1]][:, None, None]
    error = excess.std(0) / np.sqrt(len(losses))
    return np.exp(-0.5 * (excess.mean(0) / np.maximum(error, 1e-12)) ** 2)
