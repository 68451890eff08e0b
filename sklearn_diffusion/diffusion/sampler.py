"""Samplers: from noise to data by walking a denoiser backwards in time.

Every sampler walks the decreasing times of a schedule with one method, `Sampler.step`, which turns
``x_t`` into ``x_s`` for ``s < t``. The denoiser is evaluated once per step, by the loop, and handed
to `step` together with the previous evaluation, so a multi-step scheme costs no more than DDPM.

All of them rest on the Gaussian posterior (paper A, promise 5, in general alpha and sigma)

    q(x_s | x_t, x_0) = N(c_t x_t + c_0 x_0, v I),
    c_t = a sigma_s^2 / sigma_t^2,  c_0 = alpha_s w / sigma_t^2,  v = w sigma_s^2 / sigma_t^2,
    a = alpha_t / alpha_s,  w = sigma_t^2 - a^2 sigma_s^2,

on the reverse stochastic differential equation, or on its probability flow.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor

from sklearn_diffusion.diffusion.denoiser import Denoiser
from sklearn_diffusion.diffusion.schedule import Schedule, Spacing

__all__ = [
    "DDIM",
    "DDPM",
    "Estimate",
    "EulerMaruyama",
    "Multistep",
    "Noise",
    "Sampler",
    "posterior",
]

Noise = Callable[[tuple[int, ...]], Tensor]
"""Source of standard normal draws: a shape in, a tensor out."""


@dataclass(frozen=True)
class Estimate:
    """A denoised estimate and the time at which it was made."""

    t: Tensor
    x_0: Tensor


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


class Sampler(ABC):
    """Walk from the prior to the data.

    Parameters
    ----------
    n_steps : int, default=100
        Number of steps, which is the number of evaluations of the denoiser.
    t_min : float, default=0.0
        Where to stop. A positive value leaves the noise of that time in the samples.
    spacing : {"clock", "log_snr"}, default=None
        Which grid of times to walk; see `Schedule.times`. None is the sampler's own, "log_snr" for
        those of the probability flow and "clock" for the others.
    """

    default_spacing: Spacing = "clock"

    def __init__(
        self, n_steps: int = 100, *, t_min: float = 0.0, spacing: Spacing | None = None
    ) -> None:
        self.n_steps = n_steps
        self.t_min = t_min
        self.spacing: Spacing = spacing or self.default_spacing

    @abstractmethod
    def step(
        self,
        schedule: Schedule,
        x_t: Tensor,
        t: Tensor,
        s: Tensor,
        x_0: Tensor,
        previous: Estimate | None,
        noise: Noise,
    ) -> Tensor:
        """Turn x_t into x_s.

        Parameters
        ----------
        schedule : Schedule
            Forward process.
        x_t : Tensor of shape (..., n_features)
            Current state.
        t, s : Tensor, scalars
            Current and next time, s < t.
        x_0 : Tensor of shape (..., n_features)
            Denoised estimate at (x_t, t).
        previous : Estimate or None
            Denoised estimate of the step before, for multi-step schemes.
        noise : callable
            Source of standard normal draws.

        Returns
        -------
        x_s : Tensor of shape (..., n_features)
        """

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
        """
        schedule = denoiser.schedule
        times = schedule.times(self.n_steps, t_min=self.t_min, spacing=self.spacing)
        x = noise(shape)
        times = times.to(x)
        x = schedule.prior_variance.to(x).sqrt() * x
        previous: Estimate | None = None
        for done, (t, s) in enumerate(pairwise(times), start=1):
            x_0 = denoiser(x, t, condition)
            x = self.step(schedule, x, t, s, x_0, previous, noise)
            previous = Estimate(t, x_0)
            if on_step is not None:
                on_step(done)
        return x


class EulerMaruyama(Sampler):
    """Euler-Maruyama on the reverse SDE, in the schedule's own clock (paper B, eq. (49)).

    ``dX = (f X - g^2 score) dt + g dW``, backwards. The power schedules are singular in t but run
    evenly in tau, so the steps are even there.
    """

    def step(self, schedule, x_t, t, s, x_0, previous, noise):
        length = schedule.clock(t) - schedule.clock(s)
        rate = schedule.clock_rate(t)
        drift = schedule.drift(t) / rate
        diffusion = schedule.diffusion(t) / rate.sqrt()
        score = (schedule.alpha(t) * x_0 - x_t) / schedule.sigma(t) ** 2
        x_s = x_t + (diffusion**2 * score - drift * x_t) * length
        return x_s + diffusion * length.sqrt() * noise(x_t.shape)


class DDPM(Sampler):
    """Ancestral sampling: the posterior step with x_0 replaced by its estimate."""

    def step(self, schedule, x_t, t, s, x_0, previous, noise):
        mean, std = posterior(schedule, x_t, x_0, t, s)
        return mean + std * noise(x_t.shape)


class DDIM(Sampler):
    """Denoising diffusion implicit model (Song, Meng & Ermon, 2021).

    Parameters
    ----------
    n_steps : int, default=50
        Number of steps.
    eta : float, default=0.0
        Share of the posterior's noise: 0 is deterministic, 1 is DDPM.
    t_min, spacing
        See `Sampler`.
    """

    default_spacing: Spacing = "log_snr"

    def __init__(
        self,
        n_steps: int = 50,
        *,
        eta: float = 0.0,
        t_min: float = 0.0,
        spacing: Spacing | None = None,
    ) -> None:
        super().__init__(n_steps, t_min=t_min, spacing=spacing)
        self.eta = eta

    def step(self, schedule, x_t, t, s, x_0, previous, noise):
        _, posterior_std = posterior(schedule, x_t, x_0, t, s)
        epsilon = (x_t - schedule.alpha(t) * x_0) / schedule.sigma(t)
        fresh = self.eta * posterior_std
        kept = (schedule.sigma(s) ** 2 - fresh**2).clamp(min=0).sqrt()
        x_s = schedule.alpha(s) * x_0 + kept * epsilon
        return x_s + fresh * noise(x_t.shape) if self.eta else x_s


class Multistep(Sampler):
    r"""Second-order multi-step solver of the probability flow: DPM-Solver++(2M).

    With half the log-SNR, :math:`\lambda = \log(\alpha / \sigma)`, the flow is integrated exactly
    for a denoised estimate that is linear in :math:`\lambda`, extrapolated from the last two
    evaluations (Lu et al., 2022):

    .. math::
        x_s = \frac{\sigma_s}{\sigma_t} x_t + \alpha_s (1 - e^{-h}) \left(D_t
            + \frac{h}{2 h_{prev}} (D_t - D_{prev}) \right), \quad h = \lambda_s - \lambda_t.

    The first step, and a last one to no noise at all, are of first order.
    """

    default_spacing: Spacing = "log_snr"

    def __init__(
        self, n_steps: int = 20, *, t_min: float = 0.0, spacing: Spacing | None = None
    ) -> None:
        super().__init__(n_steps, t_min=t_min, spacing=spacing)

    def step(self, schedule, x_t, t, s, x_0, previous, noise):
        if s == 0:
            # h is infinite: the limit of the formula without extrapolation.
            return schedule.alpha(s) * x_0
        h = (schedule.log_snr(s) - schedule.log_snr(t)) / 2
        if previous is not None:
            h_previous = (schedule.log_snr(t) - schedule.log_snr(previous.t)) / 2
            x_0 = x_0 + h / (2 * h_previous) * (x_0 - previous.x_0)
        x_s = schedule.sigma(s) / schedule.sigma(t) * x_t
        return x_s - schedule.alpha(s) * torch.expm1(-h) * x_0
