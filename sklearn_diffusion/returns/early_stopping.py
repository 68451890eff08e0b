r"""Covariance of a stopped diffusion, with its stopping time and recency chosen from data.

Assets are divided by their volatility. The variance-preserving forward process at b = 1, a = 0
(paper B, eqs. (36)-(46)) has :math:`\alpha^2 = e^{-\tau} = 1 - t`, so the distribution of the days
stopped at time t has the covariance

.. math:: \Sigma_t = U \, \mathrm{diag}\left((1 - t) \ell_j + t\right) U^\top :

**the stopping time is a shrinkage intensity** towards the identity in z-scored units. What is
stopped is the correlation of weighted, tempered days:

- *Weights.* A day counts by its recency and by the likeness of its market to today's: a Gaussian
  kernel in the log of a moving average of squared z-scores, known the day before. Returns are
  conditioned on the volatility state.
- *Tempering.* Within their state days still differ in scale. Dividing each by a power of
  its root mean square lets turbulent days inform the correlations without dominating them.
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
one's are not told apart by the data: the distribution is their mixture, and its covariance their
average.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Literal

import numpy as np
from sklearn.base import BaseEstimator, clone
from sklearn.utils._param_validation import Interval, StrOptions

from sklearn_diffusion.returns.kernel_mixture import KernelMixture
from sklearn_diffusion.returns.score_model import FitSettings, ReturnsModel
from sklearn_diffusion.returns.spectrum import Spectrum
from sklearn_diffusion.utils.parameters import Count, resolve_part
from sklearn_diffusion.utils.weights import recency_weights

__all__ = ["EarlyStopping", "EarlyStoppingCovariance"]

# Candidates of less weight change the average by less than they cost.
_LEAST_WEIGHT = 1e-6


@dataclass(frozen=True)
class EarlyStoppingCovariance:
    """What `EarlyStopping.fit_covariance` found.

    Attributes
    ----------
    covariance : ndarray of shape (d, d)
        Covariance of the stopped diffusion.
    stop_time : float
        Stopping time in [0, 1), the weighted mean of the candidates.
    half_life : float or None
        Half-life of the recency weights in days, the best candidate's; None weighs all days alike.
    day_weights : ndarray of shape (n,)
        Weights of the training days; they sum to one.
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

    def loss_by_stop_time(self) -> np.ndarray:
        """Mean held-out loss of each stopping time, the half-lives weighted as in the average.

        Returns
        -------
        ndarray of shape (n_stop_times,)
            In the order of `stop_times`; empty where nothing was left to choose.
        """
        if self.losses is None:
            return np.array([])
        return np.average(self.losses.mean(0), axis=0, weights=self.weights.sum(1))


class EarlyStopping(BaseEstimator):
    """Score model in closed form: the diffusion of weighted training days, stopped early.

    The mathematics stands at the head of this module. A *day* is a row, whatever its length: for
    weekly or hourly returns, `horizon`, the half-lives and the memory of the state are in weeks or
    hours, and their defaults, which are those of daily returns, should be changed.

    The defaults from `tempering` to `recent_weight` were chosen together, by backtests of minimum
    variance on 100 and 368 US stocks 2000 to 2014, random subsets of them, NYSE stocks 1962 to 2010
    and simulated markets; the optimum is flat.

    Parameters
    ----------
    stop_time : float in [0, 1) or "auto", default="auto"
        Where the reverse process stops, in the time of the variance-preserving schedule with b = 1,
        in which the noise has variance t: a shrinkage intensity towards the identity in z-scored
        units. "auto" averages over `stop_times` by the held-out loss.
    stop_times : sequence of float, default=(0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.45, 0.7)
        Candidates of ``stop_time="auto"``. A grid even in the logarithm where little noise is
        wanted: it is averaged over, and a denser one changes nothing that can be measured.
    half_lives : sequence of float or None, default=(63, 189, None)
        Candidates of the estimator's ``half_life="auto"``, in days: a quarter, three quarters, and
        no end. Chosen by judgement.
    horizon : int, default=21
        Days that follow an origin, on which the candidates are compared: the time for which a
        portfolio is held. A month of trading days.
    n_origins : int, default=20
        Origins at most, every `horizon` days back from the end, or as many folds of days without
        order. Chosen by judgement, as accuracy for time.
    tempering : float, default=0.35
        Power of its own root mean square by which each day is divided.
    state_bandwidth : float, default=1.25
        Width of the kernel in the logarithm of the volatility state.
    state_decay : float in (0, 1), default=0.9
        Decay a day of the moving average of squared z-scores that is the state.
    state_start : int, default=20
        First days whose mean the moving average starts from.
    state_range : (float, float), default=(0.1, 0.9)
        Quantiles of the training days' states at which more extreme ones are taken.
    recent_half_life : float, default=5.0
        Days after which one of the last days counts half in what is brought up to date.
    recent_weight : float in [0, 1], default=0.4
        Weight of the last days in the variances and correlations of factors; 0 leaves them out.
    recent_outlier : float, default=3.0
        Standard errors from the median beyond which an asset's last days do not count in the level
        of volatility that is common to all: the usual bound of an outlier.
    kernel : KernelMixture or None, default=None
        Distribution that scenarios are drawn from, recoloured to the covariance; None is
        `KernelMixture` with its defaults.
    """

    _parameter_constraints: dict = {
        "stop_time": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="left")],
        "stop_times": ["array-like"],
        "half_lives": ["array-like"],
        "horizon": [Count()],
        "n_origins": [Count()],
        "tempering": [Interval(Real, 0, 1, closed="both")],
        "state_bandwidth": [Interval(Real, 1e-3, None, closed="left")],
        "state_decay": [Interval(Real, 0, 1, closed="neither")],
        "state_start": [Count()],
        "state_range": [tuple, list],
        "recent_half_life": [Interval(Real, 0, None, closed="neither")],
        "recent_weight": [Interval(Real, 0, 1, closed="both")],
        "recent_outlier": [Interval(Real, 1, None, closed="left")],
        "kernel": [KernelMixture, None],
    }

    def __init__(
        self,
        *,
        stop_time: float | Literal["auto"] = "auto",
        stop_times: Sequence[float] = (0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.45, 0.7),
        half_lives: Sequence[float | None] = (63.0, 189.0, None),
        horizon: int = 21,
        n_origins: int = 20,
        tempering: float = 0.35,
        state_bandwidth: float = 1.25,
        state_decay: float = 0.9,
        state_start: int = 20,
        state_range: tuple[float, float] = (0.1, 0.9),
        recent_half_life: float = 5.0,
        recent_weight: float = 0.4,
        recent_outlier: float = 3.0,
        kernel: KernelMixture | None = None,
    ):
        self.stop_time = stop_time
        self.stop_times = stop_times
        self.half_lives = half_lives
        self.horizon = horizon
        self.n_origins = n_origins
        self.tempering = tempering
        self.state_bandwidth = state_bandwidth
        self.state_decay = state_decay
        self.state_start = state_start
        self.state_range = state_range
        self.recent_half_life = recent_half_life
        self.recent_weight = recent_weight
        self.recent_outlier = recent_outlier
        self.kernel = kernel

    def fit_returns(self, x: np.ndarray, settings: FitSettings) -> ReturnsModel:
        """Fit the distribution of returns, as `score_model` of the covariance estimator.

        Parameters
        ----------
        x : ndarray of shape (n, d)
            Returns in time order.
        settings : FitSettings
            What the estimator was told.

        Returns
        -------
        model : ReturnsModel
        """
        location = np.zeros(x.shape[1]) if settings.assume_centered else x.mean(axis=0)
        centred = x - location
        found = self.fit_covariance(centred, settings.half_life)
        scale = np.sqrt(found.covariance.diagonal())
        kernel = clone(resolve_part(self.kernel, "kernel", {None: KernelMixture}))
        losses = found.loss_by_stop_time()
        return ReturnsModel(
            location=location,
            scale=scale,
            covariance=found.covariance,
            distribution=kernel.fit(
                centred / scale, found.day_weights, found.covariance / np.outer(scale, scale)
            ),
            stop_time=found.stop_time,
            half_life=found.half_life,
            loss_curve=losses,
            stop_times=found.stop_times[: len(losses)],
        )

    def fit_covariance(
        self, x: np.ndarray, half_life: float | Literal["auto"] | None = "auto"
    ) -> EarlyStoppingCovariance:
        """Covariance of the stopped diffusion of centred days.

        Parameters
        ----------
        x : ndarray of shape (n, d)
            Centred returns in time order, in any units.
        half_life : float, None or "auto", default="auto"
            Half-life of the recency weights, in days; None takes the days as exchangeable: without
            an order, weights or tempering.

        Returns
        -------
        found : EarlyStoppingCovariance

        Raises
        ------
        ValueError
            If `stop_times`, `half_lives` or `state_range` are impossible.
        """
        self._check_state_range()
        exchangeable = half_life is None
        n, d = x.shape
        candidates = self._check_stop_times()
        stops = candidates if self.stop_time == "auto" else np.array([self.stop_time], dtype=float)
        half_lives = self._check_half_lives() if half_life == "auto" else [half_life]
        splits = self._splits(x, exchangeable)
        losses = None
        weights = np.ones((len(half_lives), len(stops)))
        if weights.size > 1 and len(splits) > 1:
            losses = np.array(
                [
                    _candidate_losses(
                        _Days.of(seen, exchangeable, self), held_out, half_lives, stops
                    )
                    for seen, held_out in splits
                ]
            )
            weights = _average_weights(losses)
        weights = weights / weights.sum()
        days = _Days.of(x, exchangeable, self)
        covariance, day_weights = np.zeros((d, d)), np.zeros(n)
        for h, row in zip(half_lives, weights, strict=True):
            if row.sum() > _LEAST_WEIGHT:
                day_weight = days.weights(h)
                spectrum = days.spectrum(day_weight)
                # Tempering has taken a factor from all assets alike, which is given back: the
                # median, because one asset's jump of its own is none of the others' business.
                lost = np.median(np.log(day_weight @ x**2 / (day_weight @ days.tempered**2)))
                scale = np.exp(lost / 2) * spectrum.level * spectrum.scale
                covariance += spectrum.correlation(stops, row) * np.outer(scale, scale)
                day_weights += row.sum() * day_weight
        return EarlyStoppingCovariance(
            (covariance + covariance.T) / 2,
            float(weights.sum(0) @ stops),
            half_lives[int(weights.sum(1).argmax())],
            day_weights / day_weights.sum(),
            stops,
            weights,
            losses,
        )

    def _check_stop_times(self) -> np.ndarray:
        stops = np.asarray(self.stop_times, dtype=float)
        if stops.ndim != 1 or len(stops) == 0 or not ((stops >= 0) & (stops < 1)).all():
            raise ValueError(f"stop_times must be numbers in [0, 1), got {self.stop_times!r}.")
        return stops

    def _check_half_lives(self) -> list[float | None]:
        half_lives = list(self.half_lives)
        if not half_lives or not all(h is None or h > 0 for h in half_lives):
            raise ValueError(
                f"half_lives must be positive numbers of days or None, got {self.half_lives!r}."
            )
        return half_lives

    def _check_state_range(self) -> None:
        ends = np.asarray(self.state_range, dtype=float)
        if ends.shape != (2,) or not 0 <= ends[0] < ends[1] <= 1:
            raise ValueError(
                f"state_range must be two increasing quantiles in [0, 1], got {self.state_range!r}."
            )

    def _splits(self, x: np.ndarray, exchangeable: bool) -> list[tuple[np.ndarray, np.ndarray]]:
        """Training and held-out days: a rolling origin, or folds of days without order."""
        n = len(x)
        if exchangeable:
            n_folds = min(self.n_origins, n // self.horizon)
            if n_folds < 2:
                return []
            # Days are dealt to folds by their size, so that the folds do not depend on the order.
            fold = np.linalg.norm(x / x.std(0), axis=1).argsort().argsort() % n_folds
            splits = [(x[fold != k], x[fold == k]) for k in range(n_folds)]
        else:
            first = max(n // 2, 2)
            origins = range(n - self.horizon, first - 1, -self.horizon)[: self.n_origins]
            splits = [(x[:o], x[o : o + self.horizon]) for o in origins]
        # An asset that stands still before an origin, as before its listing, or after it, as while
        # it is halted, would decide every comparison by its first move or by having none.
        moves = np.array([np.ptp(days, axis=0) > 0 for split in splits for days in split])
        if not moves.size or not (compared := moves.all(axis=0)).any():
            return []
        return [(seen[:, compared], held_out[:, compared]) for seen, held_out in splits]


def volatility_state(mean_squares: np.ndarray, decay: float, n_start: int) -> np.ndarray:
    """Log of the moving average of the mean squared z-scores, as known before each day.

    Parameters
    ----------
    mean_squares : ndarray of shape (n,)
        Mean squared z-score of each day.
    decay : float
        Of the average, a day.
    n_start : int
        First days whose mean the average starts from.

    Returns
    -------
    state : ndarray of shape (n + 1,)
        The last entry is the state after the last day.
    """
    from scipy.signal import lfilter  # half of what importing the estimator would take

    start = mean_squares[:n_start].mean()
    average, _ = lfilter([1 - decay], [1, -decay], mean_squares, zi=[decay * start])
    return np.log(np.maximum(np.append(start, average), 1e-12))


@dataclass(frozen=True)
class _Days:
    """Tempered days in time order, and the volatility state before each and after the last.

    `exchangeable` days have no order, hence neither recency nor a state. Their distribution is that
    of the whole period, so they are not tempered either.
    """

    unit: np.ndarray
    tempered: np.ndarray
    state: np.ndarray
    exchangeable: bool
    model: EarlyStopping

    @classmethod
    def of(cls, x: np.ndarray, exchangeable: bool, model: EarlyStopping) -> _Days:
        unit = x.std(0)
        state = volatility_state(_mean_squares(x, unit), model.state_decay, model.state_start)
        tempered = x if exchangeable else _temper(x, unit, model.tempering)
        return cls(unit, tempered, state, exchangeable, model)

    def temper(self, x: np.ndarray) -> np.ndarray:
        """Temper other days, in the units of these."""
        return x if self.exchangeable else _temper(x, self.unit, self.model.tempering)

    def weights(self, half_life: float | None) -> np.ndarray:
        """Weights of the days for what follows them; sum one."""
        weights = recency_weights(len(self.tempered), half_life)
        if not self.exchangeable:
            # Taken at the deciles where it is more extreme: a state that hardly a day has known
            # must not leave hardly a day to learn from.
            ends = np.quantile(self.state[:-1], self.model.state_range)
            state = np.clip(self.state, *ends)
            distance = (state[:-1] - state[-1]) / self.model.state_bandwidth
            weights = weights * np.exp(-0.5 * distance**2)
            weights /= weights.sum()
        return weights

    def spectrum(self, weights: np.ndarray) -> Spectrum:
        """Spectrum of the weighted days; without an order no day is recent."""
        spectrum = Spectrum.fit(self.tempered, weights)
        if self.exchangeable:
            return spectrum
        return spectrum.updated(
            self.tempered,
            self.model.recent_half_life,
            self.model.recent_weight,
            self.model.recent_outlier,
        )


def _mean_squares(x: np.ndarray, unit: np.ndarray) -> np.ndarray:
    return np.maximum(((x / unit) ** 2).mean(1), 1e-12)


def _temper(x: np.ndarray, unit: np.ndarray, power: float) -> np.ndarray:
    return x / _mean_squares(x, unit)[:, None] ** (power / 2)


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
