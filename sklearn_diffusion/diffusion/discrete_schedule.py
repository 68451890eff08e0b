"""Discrete schedules: T steps, each of which adds noise at a rate of its own."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from sklearn_diffusion.diffusion.schedule import Schedule
from sklearn_diffusion.utils.parameters import check_number, check_positive_integer

__all__ = ["CosineSchedule", "DiscreteSchedule", "LinearSchedule"]


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

    def __init__(self, betas: Tensor):
        self.betas = betas
        self._validate_params()

    def _validate_params(self) -> None:
        betas = torch.as_tensor(self.betas, dtype=torch.float64)
        if betas.ndim != 1 or len(betas) == 0:
            raise ValueError(f"betas must be a non-empty vector, got shape {tuple(betas.shape)}.")
        if not bool(((betas > 0) & (betas < 1)).all()):
            raise ValueError("Every beta of a discrete schedule must be in (0, 1).")

    @property
    def t_max(self) -> float:  # type: ignore[override]
        """Last time: the number of steps.

        Returns
        -------
        float
        """
        return float(len(self.betas))

    @property
    def alphas(self) -> Tensor:
        """Signal retention 1 - beta of each step.

        Returns
        -------
        Tensor of shape (T,)
            In double precision, for steps 1 to T.
        """
        return 1 - torch.as_tensor(self.betas, dtype=torch.float64)

    @property
    def alpha_bars(self) -> Tensor:
        """Cumulative signal retention after each step.

        Returns
        -------
        Tensor of shape (T,)
            In double precision, for steps 1 to T.
        """
        return self._log_alpha_bars(torch.float64, torch.device("cpu"))[1:].exp()

    def _log_alpha_bars(self, dtype: torch.dtype, device: torch.device) -> Tensor:
        """Logarithms of the cumulative products from step 0 on, computed once for each use."""
        parameters = self._table_parameters()
        tables = vars(self).get("_tables")
        if tables is None or tables["parameters"] != parameters:
            betas = torch.as_tensor(self.betas, dtype=torch.float64)
            logs = torch.log1p(-betas)
            cumulative = torch.cat([logs.new_zeros(1), logs.cumsum(0)])
            tables = {"parameters": parameters, "exact": cumulative, "betas": self.betas}
            self._tables = tables
        if (dtype, device) not in tables:
            tables[dtype, device] = tables["exact"].to(device=device, dtype=dtype)
        return tables[dtype, device]

    def _table_parameters(self) -> tuple:
        """What the tables depend on, to notice that it was set anew."""
        return (id(self.betas),)  # no other object's while the tables hold on to it

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in super().__getstate__().items() if name != "_tables"}

    def _log_alpha_bar(self, t: Tensor) -> Tensor:
        table = self._log_alpha_bars(t.dtype, t.device)
        step = self._step(t)
        return torch.lerp(table[step], table[step + 1], t - step)[..., None]

    def _step(self, t: Tensor) -> Tensor:
        """Whole step s before t: the rate of step s + 1 acts on (s, s + 1]."""
        return (t.ceil() - 1).clamp(0, self.t_max - 1).long()

    def training_times(self, u: Tensor, t_min: float = 0.0) -> Tensor:
        """Whole steps from the one after `t_min` to the last; see `Schedule.training_times`.

        Parameters
        ----------
        u : Tensor of shape (...)
            Uniform draws in [0, 1).
        t_min : float, default=0.0
            Time that the least step comes after.

        Returns
        -------
        t : Tensor of shape (...)
            Step numbers, in the dtype of `u`.
        """
        first = math.floor(t_min)
        n_steps = self.t_max - first
        return (first + 1 + (u * n_steps).floor()).clamp(max=self.t_max)

    def alpha(self, t: Tensor) -> Tensor:
        return torch.exp(self._log_alpha_bar(t) / 2)

    def sigma(self, t: Tensor) -> Tensor:
        return torch.sqrt(-torch.expm1(self._log_alpha_bar(t)))

    def drift(self, t: Tensor) -> Tensor:
        betas = torch.as_tensor(self.betas, dtype=torch.float64)
        return (torch.log1p(-betas).to(t)[self._step(t)] / 2)[..., None]

    def diffusion(self, t: Tensor) -> Tensor:
        return torch.sqrt(-2 * self.drift(t))

    @property
    def prior_variance(self) -> Tensor:
        return torch.ones(1, dtype=torch.float64)


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
        self.n_steps = n_steps
        self.beta_min = beta_min
        self.beta_max = beta_max
        self._validate_params()

    @property
    def betas(self) -> Tensor:  # type: ignore[override]
        """Rates of the steps.

        Returns
        -------
        Tensor of shape (n_steps,)
            In double precision.
        """
        check_positive_integer(self.n_steps, "n_steps")
        for name in ("beta_min", "beta_max"):
            if getattr(self, name) is not None:
                check_number(getattr(self, name), name, 0, 1)
        first = 0.1 / self.n_steps if self.beta_min is None else self.beta_min
        last = min(20 / self.n_steps, 0.999) if self.beta_max is None else self.beta_max
        return torch.linspace(first, last, self.n_steps, dtype=torch.float64)

    @property
    def t_max(self) -> float:  # type: ignore[override]
        """Last time: the number of steps.

        Returns
        -------
        float
        """
        return float(self.n_steps)

    def _table_parameters(self) -> tuple:
        return self.n_steps, self.beta_min, self.beta_max


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
        self.n_steps = n_steps
        self.offset = offset
        self.beta_max = beta_max
        self._validate_params()

    @property
    def betas(self) -> Tensor:  # type: ignore[override]
        """Rates of the steps.

        Returns
        -------
        Tensor of shape (n_steps,)
            In double precision.
        """
        check_positive_integer(self.n_steps, "n_steps")
        check_number(self.offset, "offset", 0, 1, closed="left")
        check_number(self.beta_max, "beta_max", 0, 1)
        t = torch.linspace(0, 1, self.n_steps + 1, dtype=torch.float64)
        alpha_bars = torch.cos((t + self.offset) / (1 + self.offset) * math.pi / 2) ** 2
        return (1 - alpha_bars[1:] / alpha_bars[:-1]).clamp(max=self.beta_max)

    @property
    def t_max(self) -> float:  # type: ignore[override]
        """Last time: the number of steps.

        Returns
        -------
        float
        """
        return float(self.n_steps)

    def _table_parameters(self) -> tuple:
        return self.n_steps, self.offset, self.beta_max
