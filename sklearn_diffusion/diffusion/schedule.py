"""Noise schedules: the pair (alpha, sigma) of the perturbation kernel at every time.

A schedule fixes the forward process through its kernel

    p(x_t | x_0) = N(alpha_t x_0, sigma_t^2 I),        SNR_t = alpha_t^2 / sigma_t^2,

which is the marginal of the linear stochastic differential equation

    dX = f(t) X dt + g(t) dW,    f = d log(alpha) / dt,    g^2 = d(sigma^2) / dt - 2 f sigma^2.

Everything else in the package (denoisers, objectives, samplers, likelihoods) asks a schedule for
these functions and for nothing more, so a new schedule is one small class.

Shapes: every method takes times of shape ``(...)`` and returns ``(..., k)``, where ``k`` is 1 for
an isotropic schedule and ``n_features`` for one with a rate of its own per coordinate. The result
broadcasts against data of shape ``(..., n_features)`` and has the dtype of the times.

Paper B is Lesniewski & Trigila, *Beyond Monte Carlo*, arXiv:2412.00036; paper C is Jin & Agarwal,
arXiv:2511.07571.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

__all__ = [
    "CosineSchedule",
    "DiscreteSchedule",
    "LinearSchedule",
    "PowerSchedule",
    "Schedule",
    "SubVariancePreserving",
    "VarianceExploding",
    "VariancePreserving",
]

Spacing = Literal["clock", "log_snr"]


class Schedule(nn.Module, ABC):
    """Forward process of a diffusion model, as the pair (alpha, sigma) at time t.

    Attributes
    ----------
    t_max : float
        Last time of the process, where the data are (nearly) pure noise.
    prior_variance : Tensor of shape (k,)
        Variance of the Gaussian from which the reverse process starts.
    """

    t_max: float

    @abstractmethod
    def alpha(self, t: Tensor) -> Tensor:
        """Signal coefficient of the kernel, shape ``(..., k)``."""

    @abstractmethod
    def sigma(self, t: Tensor) -> Tensor:
        """Noise standard deviation of the kernel, shape ``(..., k)``."""

    @abstractmethod
    def drift(self, t: Tensor) -> Tensor:
        """Coefficient f of ``dX = f X dt + g dW``, shape ``(..., k)``."""

    @abstractmethod
    def diffusion(self, t: Tensor) -> Tensor:
        """Coefficient g of ``dX = f X dt + g dW``, shape ``(..., k)``."""

    @property
    @abstractmethod
    def prior_variance(self) -> Tensor:
        """Variance of the law from which the reverse process starts, shape ``(k,)``."""

    def clock(self, t: Tensor) -> Tensor:
        """Time in which the process runs at an even pace, shape ``(...)``.

        Steps of equal length on the clock are what an Euler scheme wants: the singular power
        schedules override this with the time change tau of paper B, eq. (39).
        """
        return t

    def clock_rate(self, t: Tensor) -> Tensor:
        """Derivative of `clock`, shape ``(...)``."""
        return torch.ones_like(t)

    def time_at_clock(self, u: Tensor) -> Tensor:
        """Inverse of `clock`, shape ``(...)``."""
        return u

    def log_snr(self, t: Tensor) -> Tensor:
        """Logarithm of the signal-to-noise ratio alpha^2 / sigma^2, shape ``(..., k)``."""
        return 2 * (self.alpha(t).log() - self.sigma(t).log())

    def time_at_log_snr(self, log_snr: Tensor) -> Tensor:
        """Time at which the mean log-SNR over coordinates takes the given values, shape ``(...)``.

        The log-SNR decreases in time, so bisection on the clock inverts any schedule.
        """
        ends = log_snr.new_tensor([0.0, self.t_max])
        low, high = (u.expand_as(log_snr) for u in self.clock(ends))
        for _ in range(60):
            middle = (low + high) / 2
            too_early = self.log_snr(self.time_at_clock(middle)).mean(-1) > log_snr
            low, high = torch.where(too_early, middle, low), torch.where(too_early, high, middle)
        return self.time_at_clock((low + high) / 2)

    def times(self, n_steps: int, *, t_min: float = 0.0, spacing: Spacing = "clock") -> Tensor:
        """Decreasing times ``t_max = t_0 > ... > t_n = t_min`` for a sampler.

        Parameters
        ----------
        n_steps : int
            Number of steps, at least 1.
        t_min : float, default=0.0
            Where the reverse process stops. A positive value leaves noise in the samples.
        spacing : {"clock", "log_snr"}, default="clock"
            Even steps on the schedule's clock, or in log-SNR where a denoiser has work to do:
            between noise of 100 times and of 0.01 times the signal. What lies beyond, such as
            the infinite log-SNR of time 0, is crossed in one step at either end.

        Returns
        -------
        times : Tensor of shape (n_steps + 1,)
            In double precision.

        Raises
        ------
        ValueError
            If `n_steps` is not positive or `t_min` is outside ``[0, t_max)``.
        """
        if n_steps < 1:
            raise ValueError(f"n_steps must be at least 1, got {n_steps}.")
        if not 0 <= t_min < self.t_max:
            raise ValueError(f"t_min must be in [0, t_max={self.t_max}), got {t_min}.")
        ends = torch.tensor([self.t_max, t_min], dtype=torch.float64, device=self._device)
        if spacing == "clock":
            start, stop = self.clock(ends)
            fractions = torch.linspace(0, 1, n_steps + 1, dtype=torch.float64, device=self._device)
            times = self.time_at_clock(start + fractions * (stop - start))
        elif spacing == "log_snr":
            start, stop = self.log_snr(ends).mean(-1)
            # With fewer than three steps there are none to spare for the ends.
            bound = 2 * math.log(100) if n_steps >= 3 else math.inf
            first, last = int(start < -bound), int(stop > bound)
            limits = torch.stack([start, stop]).clamp(-bound, bound)
            limits = limits.clamp(max=2 * math.log(1e4))  # time 0 has an infinite log-SNR
            body = torch.linspace(0, 1, n_steps + 1 - first - last).to(limits)
            times = self.time_at_log_snr(limits[0] + body * (limits[1] - limits[0]))
            times = torch.cat([ends[:first], times, ends[2 - last :]])
        else:
            raise ValueError(f"spacing must be 'clock' or 'log_snr', got {spacing!r}.")
        times[0], times[-1] = ends
        return times

    def terminal_kl(self, second_moment: float | Tensor, n_features: int) -> float:
        """Expected Kullback-Leibler divergence of the last kernel from the prior.

        It bounds what starting the reverse process from pure noise costs, and should be small
        against 1 nat. For a variance-preserving schedule it is paper C's
        ``d/2 (-log(1 - abar) - abar) + abar/2 E||x_0||^2``.

        Parameters
        ----------
        second_moment : float or Tensor of shape (n_features,)
            Mean of ``x_0 ** 2`` per feature.
        n_features : int
            Number of features d.

        Returns
        -------
        divergence : float
            In nats.
        """
        t = torch.tensor(self.t_max, dtype=torch.float64, device=self._device)
        ratio = self.sigma(t) ** 2 / self.prior_variance
        signal = self.alpha(t) ** 2 * torch.as_tensor(second_moment, dtype=torch.float64)
        per_feature = 0.5 * (ratio - 1 - ratio.log() + signal / self.prior_variance)
        return float(per_feature.expand(n_features).sum())

    @property
    def _device(self) -> torch.device:
        return self.prior_variance.device


class PowerSchedule(Schedule):
    r"""Power-law rate of paper B, eq. (36), with its time change tau.

    .. math::
        \beta_i(t) = b_i (1 - t)^{-(1 + a)}, \qquad
        \tau_i(t) = \int_0^t \beta_i = b_i u(t), \qquad
        u(t) = \begin{cases} -\log(1 - t) & a = 0 \\ ((1 - t)^{-a} - 1) / a & a > 0 \end{cases}

    The rate is singular at t = 1, so the process is stopped at ``t_max < 1``. In the clock u the
    coordinate i is an Ornstein-Uhlenbeck process of rate b_i.

    Parameters
    ----------
    b : float or sequence of float, default=1.0
        Positive rate, one for all coordinates or one per coordinate.
    a : float, default=0.0
        Non-negative power.
    t_max : float, default=None
        Last time, in (0, 1). None is the time at which the slowest coordinate of the
        variance-preserving process keeps a signal variance of 1e-4: 0.9999 for a = 0, b = 1.

    Raises
    ------
    ValueError
        If a rate is not positive or too slow for a `t_max` of its own, `a` is negative or `t_max`
        is outside (0, 1).
    """

    b: Tensor

    def __init__(
        self, b: float | Sequence[float] = 1.0, a: float = 0.0, t_max: float | None = None
    ):
        super().__init__()
        self.register_buffer("b", _positive_rates(b))
        if not (math.isfinite(a) and a >= 0):
            raise ValueError(f"The power a of the schedule must be non-negative, got {a}.")
        self.a = float(a)
        if t_max is None:
            t_max = float(self.time_at_clock(math.log(1e4) / self.b.min()))
            if t_max == 1:
                raise ValueError(
                    f"The rate b={float(self.b.min()):g} with a={self.a:g} is too slow: the signal "
                    "lasts until t = 1 in double precision. Raise b or a, or give t_max."
                )
        if not 0 < t_max < 1:
            raise ValueError(
                f"t_max must be in (0, 1): the power schedule is singular at 1; got {t_max}."
            )
        self.t_max = float(t_max)

    def clock(self, t: Tensor) -> Tensor:
        log_remaining = torch.log1p(-t)
        return -log_remaining if self.a == 0 else torch.expm1(-self.a * log_remaining) / self.a

    def clock_rate(self, t: Tensor) -> Tensor:
        return (1 - t) ** -(1 + self.a)

    def time_at_clock(self, u: Tensor) -> Tensor:
        return -torch.expm1(-u if self.a == 0 else -torch.log1p(self.a * u) / self.a)

    def beta(self, t: Tensor) -> Tensor:
        """Rate of the process in t, shape ``(..., k)``."""
        return self.clock_rate(t)[..., None] * self.b.to(t.dtype)

    def tau(self, t: Tensor) -> Tensor:
        """Time change of paper B, eq. (39), shape ``(..., k)``."""
        return self.clock(t)[..., None] * self.b.to(t.dtype)

    def alpha(self, t: Tensor) -> Tensor:
        return torch.exp(-self.tau(t) / 2)

    def drift(self, t: Tensor) -> Tensor:
        return -self.beta(t) / 2

    @property
    def prior_variance(self) -> Tensor:
        return torch.ones_like(self.b)


class VariancePreserving(PowerSchedule):
    r"""Variance-preserving process, paper B, section 4.1, eqs. (37)-(46).

    :math:`dX = -\beta X / 2 \, dt + \sqrt\beta \, dW`, so that
    :math:`\alpha = e^{-\tau/2}` and :math:`\sigma^2 = 1 - e^{-\tau}`.
    """

    def sigma(self, t: Tensor) -> Tensor:
        return torch.sqrt(-torch.expm1(-self.tau(t)))

    def diffusion(self, t: Tensor) -> Tensor:
        return self.beta(t).sqrt()


class SubVariancePreserving(PowerSchedule):
    r"""Sub-variance-preserving process, paper B, section 4.2, eqs. (50)-(54).

    :math:`dX = -\beta X / 2 \, dt + \sqrt{\beta (1 - e^{-2 \tau})} \, dW`, so that
    :math:`\alpha = e^{-\tau/2}` and :math:`\sigma = 1 - e^{-\tau}`. (Eq. (54) of the paper prints
    the mean as :math:`x_0 e^{-\tau}`; its own eq. (52) gives :math:`x_0 e^{-\tau/2}`.)
    """

    def sigma(self, t: Tensor) -> Tensor:
        return -torch.expm1(-self.tau(t))

    def diffusion(self, t: Tensor) -> Tensor:
        return torch.sqrt(self.beta(t) * -torch.expm1(-2 * self.tau(t)))


class VarianceExploding(Schedule):
    r"""Variance-exploding process, paper B, section 4.3, eqs. (57)-(67).

    :math:`dX = \sqrt{v'} dW` with :math:`v(t) = b a^t`, so that :math:`\alpha = 1` and
    :math:`\sigma^2 = v(t) - v(0)`. (Eqs. (61), (64) and (65) of the paper omit :math:`v(0)`.)

    Parameters
    ----------
    b : float or sequence of float, default=0.01
        Positive variance scale, one for all coordinates or one per coordinate.
    a : float, default=1e5
        Growth of the variance over unit time, greater than 1.
    t_max : float, default=1.0
        Last time, positive.

    Raises
    ------
    ValueError
        If a scale is not positive, `a` is not above 1 or `t_max` is not positive.
    """

    b: Tensor

    def __init__(self, b: float | Sequence[float] = 0.01, a: float = 1e5, t_max: float = 1.0):
        super().__init__()
        self.register_buffer("b", _positive_rates(b))
        if not (math.isfinite(a) and a > 1):
            raise ValueError(f"The growth a of the schedule must be above 1, got {a}.")
        if not (math.isfinite(t_max) and t_max > 0):
            raise ValueError(f"t_max must be positive, got {t_max}.")
        self.a, self.t_max = float(a), float(t_max)

    def tau(self, t: Tensor) -> Tensor:
        """Variance added by time t, the time change of paper B, eqs. (62)-(64)."""
        return torch.expm1(t * math.log(self.a))[..., None] * self.b.to(t.dtype)

    def alpha(self, t: Tensor) -> Tensor:
        return torch.ones_like(t)[..., None].expand(*t.shape, len(self.b))

    def sigma(self, t: Tensor) -> Tensor:
        return self.tau(t).sqrt()

    def drift(self, t: Tensor) -> Tensor:
        return torch.zeros_like(t)[..., None].expand(*t.shape, len(self.b))

    def diffusion(self, t: Tensor) -> Tensor:
        return torch.sqrt((self.tau(t) + self.b.to(t.dtype)) * math.log(self.a))

    @property
    def prior_variance(self) -> Tensor:
        return self.b * math.expm1(self.t_max * math.log(self.a))


class DiscreteSchedule(Schedule):
    r"""DDPM schedule of T steps, given by its rates beta_1, ..., beta_T.

    Times are the step numbers 0, ..., T, with :math:`\bar\alpha_t = \prod_{s \le t} (1 - \beta_s)`,
    :math:`\alpha = \sqrt{\bar\alpha_t}` and :math:`\sigma^2 = 1 - \bar\alpha_t`. Between the steps
    :math:`\log \bar\alpha` is interpolated linearly, which keeps the process variance preserving
    and lets continuous-time samplers use it.

    Parameters
    ----------
    betas : Tensor of shape (T,)
        Variance added at each step, each in (0, 1).

    Attributes
    ----------
    betas, alphas, alpha_bars : Tensor of shape (T,)
        Rates, signal retentions 1 - beta and their cumulative products, for steps 1 to T.

    Raises
    ------
    ValueError
        If there is no step or a rate is outside (0, 1).
    """

    betas: Tensor
    _log_alpha_bars: Tensor

    def __init__(self, betas: Tensor):
        super().__init__()
        betas = torch.as_tensor(betas, dtype=torch.float64)
        if betas.ndim != 1 or len(betas) == 0:
            raise ValueError(f"betas must be a non-empty vector, got shape {tuple(betas.shape)}.")
        if not bool(((betas > 0) & (betas < 1)).all()):
            raise ValueError("Every beta of a discrete schedule must be in (0, 1).")
        self.register_buffer("betas", betas)
        cumulative = torch.cat([betas.new_zeros(1), torch.log1p(-betas).cumsum(0)])
        self.register_buffer("_log_alpha_bars", cumulative)
        self.t_max = float(len(betas))

    @property
    def alphas(self) -> Tensor:
        """Signal retention 1 - beta of each step."""
        return 1 - self.betas

    @property
    def alpha_bars(self) -> Tensor:
        """Cumulative signal retention after each step."""
        return self._log_alpha_bars[1:].exp()

    def _log_alpha_bar(self, t: Tensor) -> Tensor:
        table = self._log_alpha_bars.to(t.dtype)
        step = t.floor().clamp(0, self.t_max - 1).long()
        return torch.lerp(table[step], table[step + 1], t - step)[..., None]

    def alpha(self, t: Tensor) -> Tensor:
        return torch.exp(self._log_alpha_bar(t) / 2)

    def sigma(self, t: Tensor) -> Tensor:
        return torch.sqrt(-torch.expm1(self._log_alpha_bar(t)))

    def drift(self, t: Tensor) -> Tensor:
        # The rate of step s acts on (s - 1, s].
        step = (t.ceil() - 1).clamp(0, self.t_max - 1).long()
        return (torch.log1p(-self.betas).to(t.dtype)[step] / 2)[..., None]

    def diffusion(self, t: Tensor) -> Tensor:
        return torch.sqrt(-2 * self.drift(t))

    @property
    def prior_variance(self) -> Tensor:
        return self.betas.new_ones(1)


class LinearSchedule(DiscreteSchedule):
    """DDPM's linear schedule (Ho, Jain & Abbeel, 2020): betas evenly spaced.

    Parameters
    ----------
    n_steps : int, default=500
        Number of steps T.
    beta_min, beta_max : float
        First and last rate. By default ``0.1 / n_steps`` and ``20 / n_steps``: the published
        1e-4 and 0.02 at 1000 steps, scaled so that the sum of the rates does not depend on
        `n_steps`, as long as none comes near 1: take 50 steps or more.
    """

    def __init__(
        self, n_steps: int = 500, beta_min: float | None = None, beta_max: float | None = None
    ):
        _check_steps(n_steps)
        first = 0.1 / n_steps if beta_min is None else beta_min
        last = min(20 / n_steps, 0.999) if beta_max is None else beta_max
        super().__init__(torch.linspace(first, last, n_steps, dtype=torch.float64))


class CosineSchedule(DiscreteSchedule):
    r"""Cosine schedule (Nichol & Dhariwal, 2021), used by paper C.

    :math:`\bar\alpha_t = h(t) / h(0)` with
    :math:`h(t) = \cos^2(\frac{\pi}{2} \frac{t/T + s}{1 + s})`, the rates clipped at `beta_max` to
    keep the last steps regular.

    Parameters
    ----------
    n_steps : int, default=500
        Number of steps T.
    offset : float, default=0.008
        The s of the formula.
    beta_max : float, default=0.999
        Largest rate.
    """

    def __init__(self, n_steps: int = 500, offset: float = 0.008, beta_max: float = 0.999):
        _check_steps(n_steps)
        t = torch.linspace(0, 1, n_steps + 1, dtype=torch.float64)
        alpha_bars = torch.cos((t + offset) / (1 + offset) * math.pi / 2) ** 2
        super().__init__((1 - alpha_bars[1:] / alpha_bars[:-1]).clamp(max=beta_max))


def _check_steps(n_steps: int) -> None:
    if n_steps < 1:
        raise ValueError(f"A discrete schedule needs at least one step, got n_steps={n_steps}.")


def _positive_rates(b: float | Sequence[float]) -> Tensor:
    rates = torch.atleast_1d(torch.as_tensor(b, dtype=torch.float64))
    if rates.ndim != 1 or not bool((torch.isfinite(rates) & (rates > 0)).all()):
        raise ValueError(f"The rates b must be positive and finite, got {b}.")
    return rates
