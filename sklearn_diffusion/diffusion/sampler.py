"""Samplers: from noise to data by walking a denoiser backwards in time.

Every sampler walks decreasing times with one method, `Sampler.step`, which turns ``x_t`` into
``x_s`` for ``s < t``. It evaluates the denoiser as often as it likes and hands what it wants to
remember to its next step, so multi-step schemes, predictor-correctors and second-order schemes are
a few lines each. The times are those of the schedule unless a sampler overrides `Sampler.times`.

All of them rest on the Gaussian posterior (paper A, promise 5, in general alpha and sigma)

    q(x_s | x_t, x_0) = N(c_t x_t + c_0 x_0, v I),
    c_t = a sigma_s^2 / sigma_t^2,  c_0 = alpha_s w / sigma_t^2,  v = w sigma_s^2 / sigma_t^2,
    a = alpha_t / alpha_s,  w = sigma_t^2 - a^2 sigma_s^2,

on the reverse stochastic differential equation, or on its probability flow.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from numbers import Real
from typing import Any

import torch
from sklearn.base import BaseEstimator
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils._param_validation import Interval, StrOptions
from torch import Tensor

from sklearn_diffusion.diffusion.denoiser import Denoiser
from sklearn_diffusion.diffusion.schedule import Schedule, Spacing
from sklearn_diffusion.utils.parameters import Count

__all__ = [
    "DDIM",
    "DDPM",
    "Denoise",
    "EulerMaruyama",
    "Heun",
    "Multistep",
    "Noise",
    "Sampler",
    "posterior",
]

Noise = Callable[[tuple[int, ...]], Tensor]
"""Source of standard normal draws: a shape in, a tensor out."""


@dataclass(frozen=True)
class Denoise:
    """What a step is given: a denoiser, the condition and the bound of its estimates as one.

    Parameters
    ----------
    denoiser : Denoiser
        Model.
    condition : Tensor or None
        What it is conditioned on.
    bound : float or None
        Largest absolute value of an estimate.
    """

    denoiser: Denoiser
    condition: Tensor | None = None
    bound: float | None = None

    @property
    def schedule(self) -> Schedule:
        """Forward process.

        Returns
        -------
        Schedule
            That of the denoiser.
        """
        return self.denoiser.schedule

    def __call__(self, x_t: Tensor, t: Tensor) -> Tensor:
        """E[x_0 | x_t], shape (..., n_features)."""
        x_0 = self.denoiser(x_t, t, self.condition)
        return x_0 if self.bound is None else x_0.clamp(-self.bound, self.bound)

    def score(self, x_t: Tensor, t: Tensor) -> Tensor:
        """Gradient of the log density of `x_t`, by Tweedie's formula.

        Parameters
        ----------
        x_t : Tensor of shape (..., n_features)
            Noisy data.
        t : Tensor, scalar
            Its time, with noise to speak of.

        Returns
        -------
        score : Tensor of shape (..., n_features)
        """
        schedule = self.schedule
        return (schedule.alpha(t) * self(x_t, t) - x_t) / schedule.sigma(t) ** 2


def posterior(
    schedule: Schedule, x_t: Tensor, x_0: Tensor, t: Tensor, s: Tensor
) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of q(x_s | x_t, x_0), for s < t.

    Parameters
    ----------
    schedule : Schedule
        Forward process.
    x_t, x_0 : Tensor of shape (..., n_features)
        Noisy and clean data.
    t, s : Tensor, scalars
        Times, s < t.

    Returns
    -------
    mean : Tensor of shape (..., n_features)
    std : Tensor of shape (k,)
    """
    alpha_t, sigma_t = schedule.alpha(t), schedule.sigma(t)
    alpha_s, sigma_s = schedule.alpha(s), schedule.sigma(s)
    a = alpha_t / alpha_s
    gained = sigma_t**2 - a**2 * sigma_s**2
    mean = (a * sigma_s**2 * x_t + alpha_s * gained * x_0) / sigma_t**2
    return mean, gained.clamp(min=0).sqrt() * sigma_s / sigma_t


class Sampler(BaseEstimator, ABC):
    """Walk from the prior to the data.

    Parameters
    ----------
    n_steps : int, default=100
        Number of steps.
    t_min : float, default=0.0
        Where to stop. A positive value leaves the noise of that time in the samples.
    spacing : {"clock", "log_snr"}, default=None
        Which grid of times to walk; see `Schedule.times`. None is the sampler's own, "log_snr" for
        those of the probability flow and "clock" for the others.
    clip_denoised : float, default=None
        Bound on the denoised estimates, in standard deviations of the data; None is off.
    """

    default_spacing: Spacing = "clock"
    # With fewer, data of unit variance come back with a standard deviation that is off by a tenth.
    fewest_steps: int = 1

    _parameter_constraints: dict = {
        "n_steps": [Count()],
        "t_min": [Interval(Real, 0, None, closed="left")],
        "spacing": [StrOptions({"clock", "log_snr"}), None],
        "clip_denoised": [Interval(Real, 0, None, closed="neither"), None],
    }

    def __init__(
        self,
        n_steps: int = 100,
        *,
        t_min: float = 0.0,
        spacing: Spacing | None = None,
        clip_denoised: float | None = None,
    ) -> None:
        self.n_steps = n_steps
        self.t_min = t_min
        self.spacing = spacing
        self.clip_denoised = clip_denoised

    @abstractmethod
    def step(
        self, denoise: Denoise, x_t: Tensor, t: Tensor, s: Tensor, noise: Noise, memory: Any
    ) -> tuple[Tensor, Any]:
        """Turn x_t into x_s.

        Parameters
        ----------
        denoise : Denoise
            ``denoise(x_t, t)`` is the denoised estimate, ``denoise.schedule`` the forward process.
        x_t : Tensor of shape (..., n_features)
            Current state.
        t, s : Tensor, scalars
            Current and next time, s < t.
        noise : callable
            Source of standard normal draws.
        memory : object
            What the step before has returned; None at first.

        Returns
        -------
        x_s : Tensor of shape (..., n_features)
        memory : object
            Handed to the next step.
        """

    def times(self, schedule: Schedule) -> Tensor:
        """Decreasing times to walk, from the first to the last.

        Parameters
        ----------
        schedule : Schedule
            Forward process.

        Returns
        -------
        times : Tensor of shape (n_steps + 1,)
            In double precision.
        """
        spacing = self.default_spacing if self.spacing is None else self.spacing
        return schedule.times(self.n_steps, t_min=self.t_min, spacing=spacing)

    @torch.no_grad()
    def sample(
        self,
        denoiser: Denoiser,
        shape: tuple[int, ...],
        noise: Noise,
        condition: Tensor | None = None,
        on_step: Callable[[int], None] | None = None,
    ) -> Tensor:
        """Draw samples.

        Parameters
        ----------
        denoiser : Denoiser
            Model to sample from.
        shape : tuple of int
            Shape of the result, ending in the number of features.
        noise : callable
            Source of standard normal draws. It decides the dtype and the device, and may share
            draws between rows.
        condition : Tensor, optional
            Passed to the denoiser.
        on_step : callable, optional
            Called with the number of steps done, for progress bars.

        Returns
        -------
        x : Tensor of shape `shape`

        Raises
        ------
        ValueError
            If a parameter is impossible, or the sampler cannot walk the schedule.

        Warns
        -----
        ConvergenceWarning
            If the steps are too few to give samples the spread of the data.
        """
        self._validate_params()  # may have been set since
        if self.n_steps < self.fewest_steps:
            warnings.warn(
                f"n_steps={self.n_steps} of {type(self).__name__} are too few: the spread of the "
                f"samples is off by a tenth or more below {self.fewest_steps}.",
                ConvergenceWarning,
                stacklevel=2,
            )
        schedule = denoiser.schedule
        times = self.times(schedule)
        variance = schedule.prior_variance
        if times[0] < schedule.t_max:  # what is left of the data at the first time counts
            variance = schedule.marginal_variance(times[0])
        x = noise(shape)
        times = times.to(x)
        x = variance.to(x).sqrt() * x
        denoise, memory = Denoise(denoiser, condition, self.clip_denoised), None
        for done, (t, s) in enumerate(pairwise(times), start=1):
            x, memory = self.step(denoise, x, t, s, noise, memory)
            if on_step is not None:
                on_step(done)
        return x


class EulerMaruyama(Sampler):
    """Euler-Maruyama on the reverse SDE, in the schedule's own clock (paper B, eq. (49)).

    ``dX = (f X - g^2 score) dt + g dW``, backwards. The power schedules are singular in t but run
    evenly in tau, so the steps are even there. Where no signal is left f is infinite, and `times`
    refuses to start. The parameters are those of `Sampler`.
    """

    fewest_steps = 16

    def times(self, schedule: Schedule) -> Tensor:
        times = super().times(schedule)
        if not bool(schedule.drift(times[0]).isfinite().all()):
            raise ValueError(
                f"The reverse stochastic equation of {schedule!r} is singular at its first time, "
                f"t={float(times[0]):g}: lower t_max, or walk the probability flow."
            )
        return times

    def step(self, denoise, x_t, t, s, noise, memory):
        schedule = denoise.schedule
        length = schedule.clock(t) - schedule.clock(s)
        rate = schedule.clock_rate(t)
        drift = schedule.drift(t) / rate
        diffusion = schedule.diffusion(t) / rate.sqrt()
        x_s = x_t + (diffusion**2 * denoise.score(x_t, t) - drift * x_t) * length
        return x_s + diffusion * length.sqrt() * noise(x_t.shape), None


class DDPM(Sampler):
    """Ancestral sampling: the posterior step with x_0 replaced by its estimate.

    The parameters are those of `Sampler`.
    """

    fewest_steps = 24

    def step(self, denoise, x_t, t, s, noise, memory):
        mean, std = posterior(denoise.schedule, x_t, denoise(x_t, t), t, s)
        return mean + std * noise(x_t.shape), None


class DDIM(Sampler):
    """Denoising diffusion implicit model (Song, Meng & Ermon, 2021).

    Parameters
    ----------
    n_steps : int, default=50
        Number of steps.
    eta : float, default=0.0
        Share of the posterior's noise: 0 is deterministic, 1 is DDPM.
    t_min : float, default=0.0
        Where to stop.
    spacing : {"clock", "log_snr"}, default=None
        Grid of times; None is "log_snr". See `Sampler`.
    clip_denoised : float, default=None
        Bound on the denoised estimates; None is off.
    """

    default_spacing: Spacing = "log_snr"
    fewest_steps = 24

    _parameter_constraints: dict = {
        **Sampler._parameter_constraints,
        "eta": [Interval(Real, 0, 1, closed="both")],
    }

    def __init__(
        self,
        n_steps: int = 50,
        *,
        eta: float = 0.0,
        t_min: float = 0.0,
        spacing: Spacing | None = None,
        clip_denoised: float | None = None,
    ) -> None:
        super().__init__(n_steps, t_min=t_min, spacing=spacing, clip_denoised=clip_denoised)
        self.eta = eta

    def step(self, denoise, x_t, t, s, noise, memory):
        schedule, x_0 = denoise.schedule, denoise(x_t, t)
        _, posterior_std = posterior(schedule, x_t, x_0, t, s)
        epsilon = (x_t - schedule.alpha(t) * x_0) / schedule.sigma(t)
        fresh = self.eta * posterior_std
        kept = (schedule.sigma(s) ** 2 - fresh**2).clamp(min=0).sqrt()
        x_s = schedule.alpha(s) * x_0 + kept * epsilon
        return (x_s + fresh * noise(x_t.shape) if self.eta else x_s), None


class Multistep(Sampler):
    r"""Second-order multi-step solver of the probability flow: DPM-Solver++(2M).

    With half the log-SNR, :math:`\lambda = \log(\alpha / \sigma)`, the flow is integrated exactly
    for a denoised estimate that is linear in :math:`\lambda`, extrapolated from the last two
    evaluations (Lu et al., 2022):

    .. math::
        x_s = \frac{\sigma_s}{\sigma_t} x_t + \alpha_s (1 - e^{-h}) \left(D_t
            + \frac{h}{2 h_{prev}} (D_t - D_{prev}) \right), \quad h = \lambda_s - \lambda_t.

    The first step, and a last one to no noise at all, are of first order.

    Parameters
    ----------
    n_steps : int, default=20
        Number of steps, each with one evaluation of the denoiser.
    t_min : float, default=0.0
        Where to stop.
    spacing : {"clock", "log_snr"}, default=None
        Grid of times; None is "log_snr". See `Sampler`.
    clip_denoised : float, default=None
        Bound on the denoised estimates; None is off.
    """

    default_spacing: Spacing = "log_snr"
    fewest_steps = 6

    def __init__(
        self,
        n_steps: int = 20,
        *,
        t_min: float = 0.0,
        spacing: Spacing | None = None,
        clip_denoised: float | None = None,
    ) -> None:
        super().__init__(n_steps, t_min=t_min, spacing=spacing, clip_denoised=clip_denoised)

    def step(self, denoise, x_t, t, s, noise, memory):
        schedule, estimate = denoise.schedule, denoise(x_t, t)
        if s == 0:
            # h is infinite: the limit of the formula without extrapolation.
            return schedule.alpha(s) * estimate, None
        x_0 = estimate
        h = (schedule.log_snr(s) - schedule.log_snr(t)) / 2
        if memory is not None:
            t_previous, previous = memory
            h_previous = (schedule.log_snr(t) - schedule.log_snr(t_previous)) / 2
            x_0 = x_0 + h / (2 * h_previous) * (x_0 - previous)
        x_s = schedule.sigma(s) / schedule.sigma(t) * x_t
        return x_s - schedule.alpha(s) * torch.expm1(-h) * x_0, (t, estimate)


class Heun(Sampler):
    r"""Heun's method on the probability flow (Karras et al., 2022, Algorithm 1 without churn).

    In :math:`\hat x = x / \alpha` and :math:`\hat\sigma = \sigma / \alpha` every schedule has the
    same flow, :math:`d\hat x / d\hat\sigma = (\hat x - D) / \hat\sigma`. A step to no noise at all
    is Euler's; the others evaluate the denoiser twice and are of second order.

    Parameters
    ----------
    n_steps : int, default=18
        Number of steps.
    rho : float, default=7.0
        The grid is even in :math:`\hat\sigma^{1/\rho}`: large values spend steps on little noise.
    sigma_min, sigma_max : float, default=0.002 and 80.0
        Ends of the grid before the last step, as far as the schedule goes.
    t_min : float, default=0.0
        Where to stop.
    clip_denoised : float, default=None
        Bound on the denoised estimates; None is off.

    Raises
    ------
    ValueError
        When sampling by a schedule that has rates of its own for every coordinate.
    """

    fewest_steps = 14

    _parameter_constraints: dict = {
        **Sampler._parameter_constraints,
        "rho": [Interval(Real, 0, None, closed="neither")],
        "sigma_min": [Interval(Real, 0, None, closed="neither")],
        "sigma_max": [Interval(Real, 0, None, closed="neither")],
    }
    _parameter_constraints.pop("spacing")

    def __init__(
        self,
        n_steps: int = 18,
        *,
        rho: float = 7.0,
        sigma_min: float = 0.002,
        sigma_max: float = 80.0,
        t_min: float = 0.0,
        clip_denoised: float | None = None,
    ) -> None:
        self.n_steps = n_steps
        self.rho = rho
        self.sigma_min = sigma_min
        self.sigma_max = sigma_max
        self.t_min = t_min
        self.clip_denoised = clip_denoised

    def times(self, schedule: Schedule) -> Tensor:
        if len(schedule.prior_variance) > 1:
            raise ValueError("Heun walks one noise level for all: give a schedule of one rate.")
        if not self.t_min < schedule.t_max:
            raise ValueError(f"t_min must be below t_max={schedule.t_max:g}, got {self.t_min}.")
        ends = torch.tensor([schedule.t_max, self.t_min], dtype=torch.float64)
        last, first = (-schedule.log_snr(ends)[:, 0] / 2).exp().tolist()
        high = min(self.sigma_max, last)
        low = min(max(self.sigma_min, first), high)
        # The last step goes on from the grid's end to t_min, unless the grid has reached it.
        n_grid = self.n_steps + (first >= self.sigma_min)
        even = torch.linspace(high ** (1 / self.rho), low ** (1 / self.rho), n_grid).double()
        times = schedule.time_at_log_snr(-2 * self.rho * even.log())
        return torch.cat([times[: self.n_steps], ends[1:]])

    def step(self, denoise, x_t, t, s, noise, memory):
        schedule = denoise.schedule
        alpha, alpha_s = schedule.alpha(t), schedule.alpha(s)
        noisy, noisy_s = schedule.sigma(t) / alpha, schedule.sigma(s) / alpha_s
        x = x_t / alpha
        slope = (x - denoise(x_t, t)) / noisy
        x_s = x + (noisy_s - noisy) * slope
        if noisy_s > 0:
            slope_s = (x_s - denoise(alpha_s * x_s, s)) / noisy_s
            x_s = x + (noisy_s - noisy) * (slope + slope_s) / 2
        return alpha_s * x_s, None
