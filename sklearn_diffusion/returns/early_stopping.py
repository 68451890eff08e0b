r"""Covariance of a stopped diffusion, with its stopping time and recency chosen from data.

Assets are divided by their volatility. The variance-preserving forward process at b = 1, a = 0
(paper B, eqs. (36)-(46)) has :math:`\alpha^2 = e^{-\tau} = 1 - t`, so the law of the days stopped
at time t has the covariance

.. math:: \Sigma_t = U \, \mathrm{diag}\left((1 - t) \ell_j + t\right) U^\top :

**the stopping time is a shrinkage intensity** towards the identity in z-scored units. What is
stopped is the correlation of weighted, tempered days:

- *Weights.* A day counts by its recency and by the likeness of its market to today's: a Gaussian
  kernel in the log of a moving average of squared z-scores, known the day before. Returns are
  conditioned on the volatility state.
- *Tempering.* Within their state days still differ in scale. Dividing each by a power (.35)
  of its root mean square lets turbulent days inform the correlations without dominating them.
- *Spectrum.* The eigenvalues :math:`\ell` are freed of the spread that finitely many days put on
  them, by quadratic-inverse shrinkage at the effective number of days: noise of its own size for
  every direction, the vector b of the paper in the eigenbasis.
- *Last days.* What rises above the noise is brought up to date with the last days, and so are all
  volatilities together: variances and correlations of a few factors change within weeks, and can be
  seen to (`Spectrum.updated`).

The stopping time and the half-life of the recency weights are chosen on days that the fit has not
seen. The denoising score-matching loss of a linear score, integrated over all noise levels with
likelihood weighting, is the Gaussian log-likelihood up to a constant, so that is what is compared,

.. math:: L(h, t) = \log \det \Sigma + \mathrm{mean}_s \; y_s^\top \Sigma^{-1} y_s ,

free of units and in closed form. Candidates whose loss is within its standard error of the best
one's are not told apart by the data: the law is their mixture, and its covariance their average.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.signal import lfilter

from sklearn_diffusion.returns.spectrum import Spectrum
from sklearn_diffusion.utils.weights import recency_weights

__all__ = ["STOP_TIMES", "StoppedCovariance", "fit_stopped_covariance"]

STOP_TIMES = (0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.45, 0.7)
HALF_LIVES = (63.0, 189.0, None)
# A month ahead, as portfolios are held; the origins of the last 20 months, or as many folds.
HORIZON, N_ORIGINS = 21, 20
TEMPERING = 0.35
STATE_BANDWIDTH, STATE_DECAY, STATE_START = 1.25, 0.9, 20
STATE_RANGE = (0.1, 0.9)


def volatility_state(mean_squares: np.ndarray) -> np.ndarray:
    """Log of the moving average of the mean squared z-scores, as known before each day.

    Parameters
    ----------
    mean_squares : ndarray of shape (n,)
        Mean squared z-score of each day.

    Returns
    -------
    state : ndarray of shape (n + 1,)
        The last entry is the state after the last day.
    """
    start = mean_squares[:STATE_START].mean()
    average, _ = lfilter(
        [1 - STATE_DECAY], [1, -STATE_DECAY], mean_squares, zi=[STATE_DECAY * start]
    )
    return np.log(np.maximum(np.append(start, average), 1e-12))


@dataclass(frozen=True)
class _Days:
    """Tempered days in time order, and the volatility state before each and after the last.

    `exchangeable` days have no order, hence neither recency nor a state. Their law is that of the
    whole period, so they are not tempered either.
    """

    unit: np.ndarray
    tempered: np.ndarray
    state: np.ndarray
    exchangeable: bool

    @classmethod
    def of(cls, x: np.ndarray, exchangeable: bool) -> _Days:
        unit = x.std(0)
        state = volatility_state(_mean_squares(x, unit))
        return cls(unit, x if exchangeable else _temper(x, unit), state, exchangeable)

    def temper(self, x: np.ndarray) -> np.ndarray:
        """Temper other days, in the units of these."""
        return x if self.exchangeable else _temper(x, self.unit)

    def weights(self, half_life: float | None) -> np.ndarray:
        """Weights of the days for what follows them; sum one."""
        weights = recency_weights(len(self.tempered), half_life)
        if not self.exchangeable:
            # Taken at the deciles where it is more extreme: a state that hardly a day has known
            # must not leave hardly a day to learn from.
            state = np.clip(self.state, *np.quantile(self.state[:-1], STATE_RANGE))
            distance = (state[:-1] - state[-1]) / STATE_BANDWIDTH
            weights = weights * np.exp(-0.5 * distance**2)
            weights /= weights.sum()
        return weights

    def spectrum(self, weights: np.ndarray) -> Spectrum:
        """Spectrum of the weighted days; without an order no day is recent."""
        spectrum = Spectrum.fit(self.tempered, weights)
        return spectrum if self.exchangeable else spectrum.updated(self.tempered)


def _mean_squares(x: np.ndarray, unit: np.ndarray) -> np.ndarray:
    return np.maximum(((x / unit) ** 2).mean(1), 1e-12)


def _temper(x: np.ndarray, unit: np.ndarray) -> np.ndarray:
    return x / _mean_squares(x, unit)[:, None] ** (TEMPERING / 2)


def _splits(x: np.ndarray, exchangeable: bool) -> list[tuple[np.ndarray, np.ndarray]]:
    """Training and held-out days: a rolling origin, or folds of days without order."""
    n = len(x)
    if exchangeable:
        n_folds = min(N_ORIGINS, n // HORIZON)
        if n_folds < 2:
            return []
        # Days are dealt to folds by their size, so that the folds do not depend on the order.
        fold = np.linalg.norm(x / x.std(0), axis=1).argsort().argsort() % n_folds
        splits = [(x[fold != k], x[fold == k]) for k in range(n_folds)]
    else:
        origins = range(n - HORIZON, max(n // 2, 2) - 1, -HORIZON)[:N_ORIGINS]
        splits = [(x[:o], x[o : o + HORIZON]) for o in origins]
    # Days on which an asset has stood still, as before its listing, leave its volatility unknown:
    # its first moves would decide every comparison.
    return [split for split in splits if (np.ptp(split[0], axis=0) > 0).all()]


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
    day_weights : ndarray of shape (n,)
        Weights of the training days in the law; they sum to one.
    stop_times : ndarray of shape (n_stop_times,)
        Stopping times of the candidates.
    weights : ndarray of shape (n_half_lives, n_stop_times)
        Weights of the candidates in the average.
    losses : ndarray of shape (n_splits, n_half_lives, n_stop_times) or None
        Held-out losses; None where nothing was left to choose.
    """

    covariance: np.ndarray
    stop_time: float
    half_life: float | None
    day_weights: np.ndarray
    stop_times: np.ndarray
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
        Half-life of the recency weights, in days; None takes the days as exchangeable: without an
        order, weights or tempering.

    Returns
    -------
    result : StoppedCovariance
    """
    exchangeable = half_life is None
    n, d = x.shape
    stops = np.array(STOP_TIMES if stop_time == "auto" else [stop_time], dtype=float)
    half_lives = HALF_LIVES if half_life == "auto" else (half_life,)
    splits = _splits(x, exchangeable)
    losses = None
    weights = np.ones((len(half_lives), len(stops)))
    if weights.size > 1 and len(splits) > 1:
        losses = np.array(
            [
                _candidate_losses(_Days.of(seen, exchangeable), held_out, half_lives, stops)
                for seen, held_out in splits
            ]
        )
        weights = _average_weights(losses)
    weights = weights / weights.sum()
    days = _Days.of(x, exchangeable)
    covariance, day_weights = np.zeros((d, d)), np.zeros(n)
    for h, row in zip(half_lives, weights, strict=True):
        if row.sum() > 1e-6:
            day_weight = days.weights(h)
            spectrum = days.spectrum(day_weight)
            # Tempering has taken a factor from all assets alike, which is given back.
            lost = np.log(day_weight @ x**2 / (day_weight @ days.tempered**2)).mean()
            scale = np.exp(lost / 2) * spectrum.level * spectrum.scale
            covariance += spectrum.correlation(stops, row) * np.outer(scale, scale)
            day_weights += row.sum() * day_weight
    return StoppedCovariance(
        (covariance + covariance.T) / 2,
        float(weights.sum(0) @ stops),
        half_lives[int(weights.sum(1).argmax())],
        day_weights / day_weights.sum(),
        stops,
        weights,
        losses,
    )


def _candidate_losses(
    days: _Days,
    held_out: np.ndarray,
    half_lives: Sequence[float | None],
    stop_times: np.ndarray,
) -> np.ndarray:
    """Held-out loss of every candidate, (n_half_lives, n_stop_times)."""
    spectra = [days.spectrum(days.weights(h)) for h in half_lives]
    tempered = days.temper(held_out)
    return np.array([spectrum.held_out_losses(tempered, stop_times) for spectrum in spectra])


def _average_weights(losses: np.ndarray) -> np.ndarray:
    """Weights exp(-z^2 / 2), z the candidate's excess loss over the best in standard errors."""
    mean = losses.mean(0)
    best = np.unravel_index(mean.argmin(), mean.shape)
    excess = losses - losses[:, best[0], best[1]][:, None, None]
    error = excess.std(0) / np.sqrt(len(losses))
    return np.exp(-0.5 * (excess.mean(0) / np.maximum(error, 1e-12)) ** 2)
