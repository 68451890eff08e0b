r"""Score models of returns: what the covariance estimator asks of its `score_model`.

The estimator itself only checks its input, keeps the results and draws scenarios in batches.
Everything else is the score model's, an object with one of two methods:

- ``fit_returns(x, settings) -> ReturnsModel``: the whole way from returns to a covariance and a
  distribution to draw from, for models with closed forms of their own (`EarlyStopping`).
- ``fit_denoiser(x_0, weights, schedule) -> Denoiser``: the score alone, of standardised returns.
  `SampledScoreModel` supplies the rest: standardisation, the reverse process from noise to
  scenarios, and the covariance of a large synthetic sample. `HiddenLayer`, the paper's model, is
  one of its subclasses; any other object with this method is wrapped by `FromDenoiser`.
"""

from __future__ import annotations

from abc import abstractmethod
from copy import copy
from dataclasses import dataclass, field
from numbers import Real
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions

from sklearn_diffusion.utils.device import resolve_device
from sklearn_diffusion.utils.parameters import Count, resolve_part
from sklearn_diffusion.utils.random_state import private_random_state
from sklearn_diffusion.utils.weights import recency_weights

if TYPE_CHECKING:
    from torch import Tensor

    from sklearn_diffusion.diffusion.denoiser import Denoiser
    from sklearn_diffusion.diffusion.sampler import Sampler
    from sklearn_diffusion.diffusion.schedule import Schedule
    from sklearn_diffusion.returns.observations import Conditioning

__all__ = [
    "FitSettings",
    "FromDenoiser",
    "ReturnsDistribution",
    "ReturnsModel",
    "SampledScoreModel",
]


@dataclass(frozen=True)
class FitSettings:
    """What an estimator of returns tells its score model.

    Attributes
    ----------
    half_life : float, None or "auto"
        Days after which a training day counts half; None takes rows as exchangeable.
    assume_centered : bool
        Whether the mean is taken to be zero.
    batch_size : int
        Largest number of scenarios held at a time.
    device : str
        Where networks compute.
    verbose : int
        Whether to print the progress of a training.
    random_state : int, RandomState or None
        Source of the randomness of the fit; None is fresh entropy.
    """

    half_life: float | Literal["auto"] | None = "auto"
    assume_centered: bool = False
    batch_size: int = 10_000
    device: str = "auto"
    verbose: int = 0
    random_state: int | np.random.RandomState | None = None


class ReturnsDistribution(Protocol):
    """Distribution of standardised returns."""

    def sample(
        self,
        n_samples: int,
        random_state: np.random.RandomState,
        conditioning: Conditioning | None = None,
    ) -> np.ndarray:
        """Draw standardised returns.

        Parameters
        ----------
        n_samples : int
            Number of draws.
        random_state : RandomState
            Source of the noise.
        conditioning : Conditioning, optional
            Observed coordinates, in standardised units.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
        """


@dataclass(frozen=True)
class ReturnsModel:
    """What a score model has learnt of returns.

    Attributes
    ----------
    location, scale : ndarray of shape (d,)
        By which returns are standardised.
    covariance : ndarray of shape (d, d)
        Of the returns, positive definite.
    distribution : ReturnsDistribution
        Of the standardised returns.
    stop_time : float
        Where the reverse process stops.
    half_life : float or None
        Half-life of the days' weights.
    loss_curve : ndarray
        Held-out or training losses; empty where nothing was chosen or trained.
    stop_times : ndarray or None
        Stopping times that the losses belong to.
    """

    location: np.ndarray
    scale: np.ndarray
    covariance: np.ndarray
    distribution: Any
    stop_time: float
    half_life: float | None
    loss_curve: np.ndarray = field(default_factory=lambda: np.array([]))
    stop_times: np.ndarray | None = None


class SampledScoreModel(BaseEstimator):
    """Score model whose scenarios and covariance come from running the reverse process.

    Subclasses define `fit_denoiser`, and may add parameters to these.

    Parameters
    ----------
    schedule : {"vp", "sub_vp", "ve"} or Schedule, default="vp"
        Forward process.
    sampler : {"multistep", "euler_maruyama"} or Sampler, default="multistep"
        Of the reverse process: the second-order solver of the probability flow in 20 steps, or the
        reverse stochastic equation in 200.
    stop_time : float, default=0.0
        Where the reverse process stops, in the time of the schedule.
    n_synthetic : int, default=20000
        Sample whose covariance is the model's. Its standard error is a share ``1 / sqrt(2 n)`` of a
        volatility: .5 % by default.
    min_acceptance : float, default=0.005
        Share of scenarios that has to meet given intervals, which are drawn by rejection; rarer
        ones are refused. Chosen by judgement: 10,000 scenarios then take 2,000,000 draws at most.
    """

    _parameter_constraints: dict = {
        "schedule": [StrOptions({"vp", "sub_vp", "ve"}), HasMethods(["alpha", "sigma"])],
        "sampler": [StrOptions({"multistep", "euler_maruyama"}), HasMethods("sample")],
        "stop_time": [Interval(Real, 0, None, closed="left")],
        "n_synthetic": [Count(2)],
        "min_acceptance": [Interval(Real, 0, 1, closed="neither")],
    }

    def __init__(
        self,
        *,
        schedule: Literal["vp", "sub_vp", "ve"] | Schedule = "vp",
        sampler: Literal["multistep", "euler_maruyama"] | Sampler = "multistep",
        stop_time: float = 0.0,
        n_synthetic: int = 20_000,
        min_acceptance: float = 0.005,
    ):
        self.schedule = schedule
        self.sampler = sampler
        self.stop_time = stop_time
        self.n_synthetic = n_synthetic
        self.min_acceptance = min_acceptance

    @abstractmethod
    def fit_denoiser(self, x_0: Tensor, weights: Tensor, schedule: Schedule) -> Denoiser:
        """Fit E[x_0 | x_t] to standardised returns.

        Parameters
        ----------
        x_0 : Tensor of shape (n, d)
            Standardised returns, in double precision.
        weights : Tensor of shape (n,)
            Weights of the rows; they sum to one.
        schedule : Schedule
            Forward process.

        Returns
        -------
        denoiser : Denoiser
        """

    def fit_returns(self, x: np.ndarray, settings: FitSettings) -> ReturnsModel:
        """Fit the distribution of returns, as `score_model` of the covariance estimator.

        Parameters
        ----------
        x : ndarray of shape (n, d)
            Returns in time order.
        settings : FitSettings
            What the estimator was told; ``half_life="auto"`` is None here.

        Returns
        -------
        model : ReturnsModel

        Raises
        ------
        ValueError
            If `stop_time` lies outside the schedule, or `n_synthetic` is too small for a positive
            definite covariance.
        """
        import torch

        from sklearn_diffusion.returns.sampled_distribution import SampledDistribution

        d = x.shape[1]
        schedule = self._make_schedule(d)
        if self.n_synthetic <= d:
            raise ValueError(
                f"n_synthetic={self.n_synthetic} samples cannot give a positive definite "
                f"covariance of {d} features."
            )
        rng = private_random_state(settings.random_state)
        half_life = None if settings.half_life == "auto" else settings.half_life
        weights = recency_weights(len(x), half_life)
        location = np.zeros(d) if settings.assume_centered else weights @ x
        scale = np.sqrt(weights @ (x - location) ** 2)
        device = resolve_device(settings.device)
        x_0 = torch.from_numpy((x - location) / scale).to(device)
        denoiser, losses = self._train(
            x_0, torch.from_numpy(weights).to(x_0), schedule, rng, settings
        )
        distribution = SampledDistribution(
            denoiser.to(device),
            self._make_sampler(),
            n_features=d,
            batch_size=settings.batch_size,
            min_acceptance=self.min_acceptance,
            device=device,
        )
        synthetic = distribution.sample(self.n_synthetic, rng)
        covariance = np.cov(synthetic, rowvar=False).reshape(d, d) * np.outer(scale, scale)
        return ReturnsModel(
            location=location,
            scale=scale,
            covariance=covariance,
            distribution=distribution,
            stop_time=float(self.stop_time),
            half_life=half_life,
            loss_curve=np.array(losses),
        )

    def _train(
        self,
        x_0: Tensor,
        weights: Tensor,
        schedule: Schedule,
        random_state: np.random.RandomState,
        settings: FitSettings,
    ) -> tuple[Denoiser, list[float]]:
        """Denoiser and training losses; for subclasses that need randomness or report losses."""
        return self.fit_denoiser(x_0, weights, schedule), []

    def _make_schedule(self, n_features: int) -> Schedule:
        """Forward process, checked before any work is done."""
        from sklearn_diffusion.diffusion.schedule import (
            SubVariancePreserving,
            VarianceExploding,
            VariancePreserving,
        )

        named = {
            "vp": VariancePreserving,
            "sub_vp": SubVariancePreserving,
            "ve": VarianceExploding,
        }
        schedule = resolve_part(self.schedule, "schedule", named)
        n_rates = len(schedule.prior_variance)
        if n_rates not in (1, n_features):
            raise ValueError(
                f"schedule has {n_rates} rates b; give a number or one rate for each of the "
                f"{n_features} features."
            )
        if not self.stop_time < schedule.t_max:
            raise ValueError(
                f"stop_time={self.stop_time} must be below t_max={schedule.t_max:g}, the last time "
                "of the schedule."
            )
        return schedule

    def _make_sampler(self) -> Sampler:
        """Sampler that stops where the model does."""
        from sklearn_diffusion.diffusion.sampler import EulerMaruyama, Multistep

        named = {
            "multistep": lambda: Multistep(20),
            "euler_maruyama": lambda: EulerMaruyama(200),
        }
        sampler = copy(resolve_part(self.sampler, "sampler", named))
        sampler.t_min = max(getattr(sampler, "t_min", 0.0), self.stop_time)
        return sampler


class FromDenoiser(SampledScoreModel):
    """Score model of returns around any object with `fit_denoiser`.

    Parameters
    ----------
    model : object
        With ``fit_denoiser(x_0, weights, schedule) -> Denoiser``; see `SampledScoreModel`.
    schedule : {"vp", "sub_vp", "ve"} or Schedule, default="vp"
        Forward process.
    sampler : {"multistep", "euler_maruyama"} or Sampler, default="multistep"
        Of the reverse process.
    stop_time : float, default=0.0
        Where the reverse process stops, in the time of the schedule.
    n_synthetic : int, default=20000
        Sample whose covariance is the model's.
    min_acceptance : float, default=0.005
        Share of scenarios that has to meet given intervals; rarer ones are refused.

    Examples
    --------
    >>> from sklearn_diffusion import DiffusionCovarianceEstimator
    >>> from sklearn_diffusion.datasets import make_factor_returns
    >>> from sklearn_diffusion.diffusion import ScaleMixture
    >>> from sklearn_diffusion.returns import FromDenoiser
    >>> returns = make_factor_returns(300, 3, random_state=0).returns
    >>> independent = FromDenoiser(ScaleMixture(), n_synthetic=2_000)
    >>> model = DiffusionCovarianceEstimator(score_model=independent, random_state=0).fit(returns)
    >>> model.covariance_.shape
    (3, 3)
    """

    _parameter_constraints: dict = {
        **SampledScoreModel._parameter_constraints,
        "model": [HasMethods("fit_denoiser")],
    }

    def __init__(
        self,
        model: Any,
        *,
        schedule: Literal["vp", "sub_vp", "ve"] | Schedule = "vp",
        sampler: Literal["multistep", "euler_maruyama"] | Sampler = "multistep",
        stop_time: float = 0.0,
        n_synthetic: int = 20_000,
        min_acceptance: float = 0.005,
    ):
        super().__init__(
            schedule=schedule,
            sampler=sampler,
            stop_time=stop_time,
            n_synthetic=n_synthetic,
            min_acceptance=min_acceptance,
        )
        self.model = model

    def fit_denoiser(self, x_0: Tensor, weights: Tensor, schedule: Schedule) -> Denoiser:
        """Fit the model's own denoiser.

        Parameters
        ----------
        x_0 : Tensor of shape (n, d)
            Standardised returns, in double precision.
        weights : Tensor of shape (n,)
            Weights of the rows; they sum to one.
        schedule : Schedule
            Forward process.

        Returns
        -------
        denoiser : Denoiser
        """
        return resolve_part(self.model, "model", {}).fit_denoiser(x_0, weights, schedule)
