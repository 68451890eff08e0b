"""The law of paper B: a one-hidden-layer score, and the reverse SDE that samples it."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from sklearn_diffusion.diffusion.denoiser import NetworkDenoiser
from sklearn_diffusion.diffusion.quadrature import CosineUnits, HermiteUnits, Units, gauss_legendre
from sklearn_diffusion.diffusion.sampler import EulerMaruyama
from sklearn_diffusion.diffusion.schedule import (
    Schedule,
    SubVariancePreserving,
    VarianceExploding,
    VariancePreserving,
)
from sklearn_diffusion.nets.hidden_layer import HiddenLayer
from sklearn_diffusion.returns.observations import Conditioning
from sklearn_diffusion.training.loop import fit_monte_carlo
from sklearn_diffusion.training.loss import DenoisingLoss
from sklearn_diffusion.training.quadrature import QuadratureObjective

__all__ = ["SCHEDULES", "HiddenLayerLaw"]

SCHEDULES: dict[str, type[Schedule]] = {
    "vp": VariancePreserving,
    "sub_vp": SubVariancePreserving,
    "ve": VarianceExploding,
}

# Batches after which rejection gives up.
MAX_BATCHES = 100


@dataclass
class HiddenLayerLaw:
    """Law of standardised returns whose score is a one-hidden-layer network (paper B, eq. (71)).

    The score is ``K / C``. As printed, K does not depend on time: one network is fitted to all
    noise levels at once, by the loss with weight lambda = C^2, the weakest that stays finite as t
    goes to 0. That score is wrong near t = 1, where large modes explode in the reverse equation,
    so by default the output layer depends on time and sees the input through a skip connection.

    Parameters
    ----------
    schedule : Schedule
        Forward process.
    objective : {"quadrature", "monte_carlo"}
        How the expectation over the noise is taken.
    units : {"tanh", "cos"}
        Activation.
    n_units, n_hermite, n_time_nodes : int
        Hidden units, nodes of the Hermite rule, nodes in time.
    time_conditioned : bool
        Whether the output layer depends on time.
    max_iter : int
        L-BFGS iterations on the hidden layer (quadrature; 0 keeps it random and solves for the
        output layer only) or passes over the data (Monte Carlo).
    t_min : float
        Where the reverse process stops.
    n_steps : int
        Euler-Maruyama steps.
    batch_size : int
        Largest number of samples drawn at a time.
    device : str
        Where to compute. Noise is drawn on the CPU.
    verbose : int
        Whether to print the loss of Monte Carlo training.
    """

    schedule: Schedule
    objective: Literal["quadrature", "monte_carlo"] = "quadrature"
    units: Literal["tanh", "cos"] = "tanh"
    n_units: int = 64
    n_hermite: int = 12
    n_time_nodes: int = 24
    time_conditioned: bool = True
    max_iter: int = 0
    t_min: float = 0.005
    n_steps: int = 200
    batch_size: int = 10_000
    device: str = "cpu"
    verbose: int = 0
    loss_curve_: list[float] = field(default_factory=list, init=False)
    denoiser_: NetworkDenoiser = field(init=False)
    n_features_: int = field(init=False)

    def fit(
        self, z: np.ndarray, weights: np.ndarray, random_state: np.random.RandomState
    ) -> HiddenLayerLaw:
        """Fit the score to standardised returns `z` (n, d) with row `weights` (n,) of sum one."""
        self.n_features_ = z.shape[1]
        seed = int(random_state.randint(2**31))
        x_0 = torch.from_numpy(z).to(self.device)
        w = torch.from_numpy(weights).to(x_0)
        schedule = self.schedule.to(self.device)
        units: Units = CosineUnits()
        if self.units == "tanh":
            units = HermiteUnits(n_nodes=self.n_hermite)
        if self.time_conditioned:
            times = schedule.times(self.n_time_nodes - 1, t_min=self.t_min, spacing="log_snr").flip(
                0
            )
            time_weights = torch.full_like(times, 1 / len(times))
            nodes = times / schedule.t_max
        else:
            times, time_weights = gauss_legendre(self.n_time_nodes, self.t_min, schedule.t_max)
            nodes = times[:1] / schedule.t_max
        network = HiddenLayer(
            self.n_features_,
            self.n_units,
            units,
            nodes,
            skip=self.time_conditioned,
            generator=torch.Generator().manual_seed(seed),
        )
        self.denoiser_ = NetworkDenoiser(
            network, schedule, "epsilon" if self.time_conditioned else "residual"
        ).to(self.device)
        objective = QuadratureObjective(
            network, self.time_conditioned, schedule, x_0, w, times.to(x_0), time_weights.to(x_0)
        )
        if self.objective == "quadrature":
            self.loss_curve_ = objective.minimize(self.max_iter)
        else:
            self._fit_monte_carlo(x_0, w, seed, times.to(x_0))
        return self

    def _fit_monte_carlo(self, x_0: Tensor, weights: Tensor, seed: int, times: Tensor) -> None:
        loss = DenoisingLoss(
            self.denoiser_,
            _interpolator(times) if self.time_conditioned else _uniform(times[0], times[-1]),
            seed,
            self.denoiser_.parameterization,
        )
        net = fit_monte_carlo(
            loss,
            x_0,
            weights,
            max_epochs=self.max_iter,
            batch_size=256,
            lr=3e-3,
            verbose=self.verbose,
        )
        self.loss_curve_ = list(net.history[:, "train_loss"])

    def sample(
        self,
        n_samples: int,
        random_state: np.random.RandomState,
        conditioning: Conditioning | None = None,
    ) -> np.ndarray:
        """Draw standardised returns (n_samples, d), by rejection where intervals are given.

        Raises
        ------
        FloatingPointError
            If the reverse equation diverges.
        ValueError
            If exact values are given, or intervals too rare to be met.
        """
        if conditioning is None:
            return self._integrate(n_samples, random_state)
        if len(conditioning.fixed):
            raise ValueError(
                "score_model='paper' has no conditional law in closed form: it can be conditioned "
                "on intervals (low, high), but not on exact values."
            )
        kept: list[np.ndarray] = []
        n_kept, n_drawn = 0, 0
        while n_kept < n_samples:
            if n_drawn >= MAX_BATCHES * self.batch_size:
                raise ValueError(
                    f"Only {n_kept} of {n_drawn} scenarios satisfied the conditioning, which is "
                    "too rare to sample by rejection: widen the intervals, or use "
                    "score_model='stopped'."
                )
            z = self._integrate(self.batch_size, random_state)
            kept.append(z[conditioning.holds(z)])
            n_kept, n_drawn = n_kept + len(kept[-1]), n_drawn + self.batch_size
        return np.concatenate(kept)[:n_samples]

    def _integrate(self, n_samples: int, random_state: np.random.RandomState) -> np.ndarray:
        """Solve the reverse equation by Euler-Maruyama in the schedule's clock."""
        generator = torch.Generator().manual_seed(int(random_state.randint(2**31)))

        def noise(shape: tuple[int, ...]) -> Tensor:
            return torch.randn(shape, generator=generator, dtype=torch.float64).to(self.device)

        sampler = EulerMaruyama(self.n_steps, t_min=self.t_min)
        batches = [
            sampler.sample(
                self.denoiser_, (min(self.batch_size, n_samples - start), self.n_features_), noise
            )
            for start in range(0, n_samples, self.batch_size)
        ]
        z = torch.cat(batches).cpu().numpy()
        if not np.isfinite(z).all():
            raise FloatingPointError(
                "The reverse equation diverged. A score that does not depend on time explodes near "
                "t = 1: use time_conditioned=True, a smaller t_max, or more steps."
            )
        if z.var() > 4:
            warnings.warn(
                f"Samples of the standardised returns have variance {z.var():.3g} instead of 1: "
                "the fitted score does not restore large values. Use time_conditioned=True, a "
                "smaller t_max, or more steps.",
                ConvergenceWarning,
                stacklevel=3,
            )
        return z


def _uniform(low: Tensor, high: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda u: low + (high - low) * u


def _interpolator(times: Tensor) -> Callable[[Tensor], Tensor]:
    """Times spread as the nodes are: even in their index."""

    def draw(u: Tensor) -> Tensor:
        position = u * (len(times) - 1)
        left = position.floor().long().clamp(max=len(times) - 2)
        return torch.lerp(times[left], times[left + 1], position - left)

    return draw
