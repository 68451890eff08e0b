"""Noise schedules: the pair (alpha, sigma) of the perturbation kernel at every time.

A schedule fixes the forward process through its kernel

    p(x_t | x_0) = N(alpha_t x_0, sigma_t^2 I),        SNR_t = alpha_t^2 / sigma_t^2,

which is the marginal of the linear stochastic differential equation

    dX = f(t) X dt + g(t) dW,    f = d log(alpha) / dt,    g^2 = d(sigma^2) / dt - 2 f sigma^2.

A new schedule is a class with `alpha`, `sigma` and `t_max`; everything else is derived from them
here. A closed form that overrides what is derived has to be exact where the derivative is not (at a
singular end) or cheaper.

A schedule only stores its parameters, as scikit-learn's estimators do, so that `clone` and searches
see them; what is computed from them follows when they are set.

Shapes: every method takes times of shape ``(...)`` and returns ``(..., k)``, where ``k`` is 1 for
an isotropic schedule and ``n_features`` for one with a rate of its own per coordinate. The result
broadcasts against data of shape ``(..., n_features)`` and has the times' dtype and device.

Paper B is Lesniewski & Trigila, *Beyond Monte Carlo*, arXiv:2412.00036; paper C is Jin & Agarwal,
arXiv:2511.07571.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any, Literal

import torch
from sklearn.base import BaseEstimator
from torch import Tensor

from sklearn_diffusion.utils.arrays import as_floats
from sklearn_diffusion.utils.parameters import check_number

__all__ = [
    "PowerSchedule",
    "Schedule",
    "Spacing",
    "StraightLine",
    "SubVariancePreserving",
    "VarianceExploding",
    "VariancePreserving",
]

_LEAST_POWER = 1e-12

Spacing = Literal["clock", "log_snr"]


def _derivative(function: Callable[[Tensor], Tensor], t: Tensor) -> Tensor:
    """Derivative of an elementwise function of time, (..., k), by forward differentiation."""
    return torch.func.jvp(function, (t,), (torch.ones_like(t),))[1]


class Schedule(BaseEstimator, ABC):
    """Forward process of a diffusion model, as the pair (alpha, sigma) at time t.

    Attributes
    ----------
    t_max : float
        Last time of the process, where the data are (nearly) pure noise.

    Notes
    -----
    A function of time takes a Tensor of shape ``(...)`` and says the shape of what it returns, in
    the times' dtype and on their device; k is 1, or n_features where coordinates have rates of
    their own.
    """

    t_max: float

    @abstractmethod
    def alpha(self, t: Tensor) -> Tensor:
        """Signal coefficient of the kernel, shape ``(..., k)``."""

    @abstractmethod
    def sigma(self, t: Tensor) -> Tensor:
        """Noise standard deviation of the kernel, shape ``(..., k)``."""

    def rates(self, t: Tensor) -> tuple[Tensor, Tensor]:
        """Derivatives of alpha and sigma in time, each of shape ``(..., k)``."""
        return _derivative(self.alpha, t), _derivative(self.sigma, t)

    def drift(self, t: Tensor) -> Tensor:
        """Coefficient f of ``dX = f X dt + g dW``, shape ``(..., k)``."""
        return _derivative(self.alpha, t) / self.alpha(t)

    def diffusion(self, t: Tensor) -> Tensor:
        """Coefficient g of ``dX = f X dt + g dW``, shape ``(..., k)``."""
        variance_rate = _derivative(lambda u: self.sigma(u) ** 2, t)
        return (variance_rate - 2 * self.drift(t) * self.sigma(t) ** 2).clamp(min=0).sqrt()

    @property
    def prior_variance(self) -> Tensor:
        """Variance of the distribution from which the reverse process starts.

        That of the noisy data at the last time, if the data have unit variance.

        Returns
        -------
        Tensor of shape (k,)
            In double precision.
        """
        return self.marginal_variance(torch.tensor(self.t_max, dtype=torch.float64))

    def marginal_variance(self, t: Tensor) -> Tensor:
        """Variance at time t of data that start with unit variance, shape ``(..., k)``."""
        return self.alpha(t) ** 2 + self.sigma(t) ** 2

    def training_times(self, u: Tensor, t_min: float = 0.0) -> Tensor:
        """Times to train at, even on the clock.

        Parameters
        ----------
        u : Tensor of shape (...)
            Uniform draws in [0, 1).
        t_min : float, default=0.0
            Least time.

        Returns
        -------
        t : Tensor of shape (...)
        """
        low, high = self.clock(u.new_tensor([t_min, self.t_max]))
        return self.time_at_clock(low + (high - low) * u)

    def clock(self, t: Tensor) -> Tensor:
        """Time in which the process runs at an even pace.

        Steps of equal length on the clock are what an Euler scheme wants: the singular power
        schedules override this with the time change tau of paper B, eq. (39).

        Parameters
        ----------
        t : Tensor of shape (...)
            Times.

        Returns
        -------
        u : Tensor of shape (...)
            Increasing in time.
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
        """Time at which the mean log-SNR over coordinates takes the given values.

        The log-SNR decreases in time, so bisection on the clock inverts any schedule.

        Parameters
        ----------
        log_snr : Tensor of shape (...)
            Natural logarithms of alpha^2 / sigma^2.

        Returns
        -------
        t : Tensor of shape (...)
            In [0, t_max]; values beyond those of the schedule give the nearer end.
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
        ends = torch.tensor([self.t_max, t_min], dtype=torch.float64)
        if spacing == "clock":
            start, stop = self.clock(ends)
            fractions = torch.linspace(0, 1, n_steps + 1, dtype=torch.float64)
            times = self.time_at_clock(start + fractions * (stop - start))
        elif spacing == "log_snr":
            start, stop = self.log_snr(ends).mean(-1)
            # With fewer than three steps there are none to spare for the ends.
            bound = 2 * math.log(100) if n_steps >= 3 else math.inf
            first, last = int(start < -bound), int(stop > bound)
            limits = torch.stack([start, stop]).clamp(-bound, bound)
            # Times without noise or without signal have an infinite log-SNR.
            limits = limits.clamp(-2 * math.log(1e4), 2 * math.log(1e4))
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
        t = torch.tensor(self.t_max, dtype=torch.float64)
        ratio = self.sigma(t) ** 2 / self.prior_variance
        signal = self.alpha(t) ** 2 * torch.as_tensor(second_moment, dtype=torch.float64)
        per_feature = 0.5 * (ratio - 1 - ratio.log() + signal / self.prior_variance)
        return float(per_feature.expand(n_features).sum())


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

    def __init__(
        self, b: float | Sequence[float] = 1.0, a: float = 0.0, t_max: float | None = None
    ):
        self.b = b
        self.a = a
        self._t_max = t_max
        self._validate_params()

    @property
    def t_max(self) -> float:
        """Last time: the parameter, or what None stands for.

        Returns
        -------
        float
            In (0, 1).
        """
        return self._default_t_max() if self._t_max is None else float(self._t_max)

    @t_max.setter
    def t_max(self, t_max: float | None) -> None:
        self._t_max = t_max

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Parameters as they were given, `t_max` None included.

        Parameters
        ----------
        deep : bool, default=True
            Without effect: no parameter is an estimator.

        Returns
        -------
        dict
            Values by name.
        """
        return {**super().get_params(deep=deep), "t_max": self._t_max}

    def _validate_params(self) -> None:
        _positive_rates(self.b)
        check_number(self.a, "a, the power of the schedule,", 0, 1e3, closed="left")
        if self._t_max is not None:
            check_number(self._t_max, "t_max, below the singularity at 1,", 0, 1)
        self.t_max  # noqa: B018  # raises where the default does not exist

    def _default_t_max(self) -> float:
        slowest = _positive_rates(self.b).min()
        t_max = float(self.time_at_clock(math.log(1e4) / slowest))
        if t_max == 1:
            raise ValueError(
                f"The rate b={float(slowest):g} with a={self.a:g} is too slow: the signal lasts "
                "until t = 1 in double precision. Raise b or a, or give t_max."
            )
        return t_max

    def clock(self, t: Tensor) -> Tensor:
        log_remaining = torch.log1p(-t)
        # The limit of a = 0: a power that single precision cannot hold would be 0 / 0.
        limit = self.a < _LEAST_POWER
        return -log_remaining if limit else torch.expm1(-self.a * log_remaining) / self.a

    def clock_rate(self, t: Tensor) -> Tensor:
        return (1 - t) ** -(1 + self.a)

    def time_at_clock(self, u: Tensor) -> Tensor:
        limit = self.a < _LEAST_POWER
        return -torch.expm1(-u if limit else -torch.log1p(self.a * u) / self.a)

    def beta(self, t: Tensor) -> Tensor:
        """Rate of the process in t, shape ``(..., k)``."""
        return self.clock_rate(t)[..., None] * _positive_rates(self.b).to(t)

    def tau(self, t: Tensor) -> Tensor:
        """Time change of paper B, eq. (39), shape ``(..., k)``."""
        return self.clock(t)[..., None] * _positive_rates(self.b).to(t)

    def alpha(self, t: Tensor) -> Tensor:
        return torch.exp(-self.tau(t) / 2)

    def drift(self, t: Tensor) -> Tensor:
        return -self.beta(t) / 2

    @property
    def prior_variance(self) -> Tensor:
        return torch.ones_like(_positive_rates(self.b))


class VariancePreserving(PowerSchedule):
    r"""Variance-preserving process, paper B, section 4.1, eqs. (37)-(46).

    :math:`dX = -\beta X / 2 \, dt + \sqrt\beta \, dW`, so that
    :math:`\alpha = e^{-\tau/2}` and :math:`\sigma^2 = 1 - e^{-\tau}`. The parameters are those of
    `PowerSchedule`.
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
    The parameters are those of `PowerSchedule`.
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

    def __init__(self, b: float | Sequence[float] = 0.01, a: float = 1e5, t_max: float = 1.0):
        self.b = b
        self.a = a
        self.t_max = t_max
        self._validate_params()

    def _validate_params(self) -> None:
        _positive_rates(self.b)
        check_number(self.a, "a, the growth of the variance,", 1, 1e30)
        check_number(self.t_max, "t_max", 0, 10)

    def tau(self, t: Tensor) -> Tensor:
        """Variance added by time t, as in paper B, eqs. (62)-(64), shape ``(..., k)``."""
        return torch.expm1(t * math.log(self.a))[..., None] * _positive_rates(self.b).to(t)

    def alpha(self, t: Tensor) -> Tensor:
        return torch.ones_like(t)[..., None].expand(*t.shape, len(_positive_rates(self.b)))

    def sigma(self, t: Tensor) -> Tensor:
        return self.tau(t).sqrt()

    def drift(self, t: Tensor) -> Tensor:
        return torch.zeros_like(t)[..., None].expand(*t.shape, len(_positive_rates(self.b)))

    def diffusion(self, t: Tensor) -> Tensor:
        return torch.sqrt((self.tau(t) + _positive_rates(self.b).to(t)) * math.log(self.a))

    @property
    def prior_variance(self) -> Tensor:
        # The data's own variance, lost in the noise, is left out.
        return _positive_rates(self.b) * math.expm1(self.t_max * math.log(self.a))


class StraightLine(Schedule):
    r"""Straight line from data to noise, the path of flow matching and rectified flows.

    :math:`x_t = (1 - t) x_0 + t \epsilon`, whose velocity :math:`\epsilon - x_0` does not depend
    on time (Lipman et al., 2023; Liu, Gong & Liu, 2023). At t = 1 nothing is left of the signal,
    so a network cannot predict the noise there; it predicts "velocity", "v" or "x0".

    Parameters
    ----------
    t_max : float, default=1.0
        Last time, in (0, 1]. The reverse stochastic equation is singular at 1; the probability flow
        and ancestral sampling are not.

    Raises
    ------
    ValueError
        If `t_max` is outside (0, 1].
    """

    def __init__(self, t_max: float = 1.0):
        self.t_max = t_max
        self._validate_params()

    def _validate_params(self) -> None:
        check_number(self.t_max, "t_max", 0, 1, closed="right")

    def alpha(self, t: Tensor) -> Tensor:
        return (1 - t)[..., None]

    def sigma(self, t: Tensor) -> Tensor:
        return t[..., None]


def _positive_rates(b: float | Sequence[float]) -> Tensor:
    rates = torch.atleast_1d(torch.as_tensor(as_floats(b, "b, the rates of the schedule,")))
    if rates.ndim != 1 or not bool(((rates > 0) & (rates < 1e12)).all()):
        raise ValueError(f"b, the rates of the schedule, must be positive and finite, got {b}.")
    return rates
