"""The score model of paper B (Lesniewski & Trigila, arXiv:2412.00036): one hidden layer."""

from __future__ import annotations

from collections.abc import Callable
from numbers import Real
from typing import TYPE_CHECKING, Literal

import numpy as np
from sklearn.utils._param_validation import Interval, StrOptions

from sklearn_diffusion.returns.score_model import FitSettings, SampledScoreModel
from sklearn_diffusion.utils.parameters import Count
from sklearn_diffusion.utils.random_state import private_random_state

if TYPE_CHECKING:
    from torch import Tensor

    from sklearn_diffusion.diffusion.denoiser import NetworkDenoiser
    from sklearn_diffusion.diffusion.sampler import Sampler
    from sklearn_diffusion.diffusion.schedule import Schedule

__all__ = ["HiddenLayer"]


class HiddenLayer(SampledScoreModel):
    """Score model with one hidden layer, trained by quadrature (paper B, eq. (71)).

    The score is ``K / C``. As printed, K does not depend on time: one network is fitted to all
    noise levels at once, by the loss with weight lambda = C^2, the weakest that stays finite as t
    goes to 0. That score is wrong near t = 1, where large modes explode in the reverse equation,
    so by default the output layer depends on time and sees the input through a skip connection.

    The paper gives no numbers; these defaults are accuracy for time, chosen by judgement on
    simulated and real panels.

    Parameters
    ----------
    stop_time : float, default=0.005
        Where the reverse process stops, in the time of the schedule; positive, because the score
        is singular at 0.
    schedule : {"vp", "sub_vp", "ve"} or Schedule, default="vp"
        Forward process; with parameters of your own, for example
        ``VariancePreserving(b=[.7, 1., 1.5], a=.5, t_max=.9)``.
    objective : {"quadrature", "monte_carlo"}, default="quadrature"
        How the expectation over the noise is taken in the loss.
    activation : {"tanh", "cos"}, default="tanh"
        Of the hidden units.
    n_units : int, default=64
        Number of hidden units.
    n_hermite : int, default=12
        Nodes of the Gauss-Hermite rule, at least 2.
    n_time_nodes : int, default=24
        Nodes in time, at least 2.
    time_conditioned : bool, default=True
        Whether the output layer depends on time. False is eq. (71) as printed, whose reverse
        equation explodes unless `t_max` of the schedule is small.
    max_iter : int, default=None
        Iterations of L-BFGS on the hidden layer; 0 keeps it random and solves for the output layer
        in closed form. With Monte Carlo, passes over the data. None is 0 and 300.
    regularization : float, default=1e-8
        Ridge of the output layer, relative to the mean diagonal of its quadratic form.
    tol : float, default=1e-7
        Relative change of the loss at which L-BFGS stops.
    batch_size : int, default=256
        Rows of a step with Monte Carlo.
    lr : float, default=3e-3
        Learning rate with Monte Carlo.
    sampler : {"euler_maruyama", "multistep"} or Sampler, default="euler_maruyama"
        Of the reverse process; by name, in 200 and 20 steps.
    n_synthetic : int, default=20000
        Sample whose covariance is the model's.
    min_acceptance : float, default=0.005
        Share of scenarios that has to meet given intervals, which are drawn by rejection; rarer
        ones are refused. Chosen by judgement: 10,000 scenarios then take 2,000,000 draws at most.
    """

    _parameter_constraints: dict = {
        **SampledScoreModel._parameter_constraints,
        "stop_time": [Interval(Real, 0, None, closed="neither")],
        "objective": [StrOptions({"quadrature", "monte_carlo"})],
        "activation": [StrOptions({"tanh", "cos"})],
        "n_units": [Count()],
        "n_hermite": [Count(2)],
        "n_time_nodes": [Count(2)],
        "time_conditioned": ["boolean"],
        "max_iter": [Count(0), None],
        "regularization": [Interval(Real, 0, None, closed="left")],
        "tol": [Interval(Real, 0, None, closed="left")],
        "batch_size": [Count()],
        "lr": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(
        self,
        *,
        stop_time: float = 0.005,
        schedule: Literal["vp", "sub_vp", "ve"] | Schedule = "vp",
        objective: Literal["quadrature", "monte_carlo"] = "quadrature",
        activation: Literal["tanh", "cos"] = "tanh",
        n_units: int = 64,
        n_hermite: int = 12,
        n_time_nodes: int = 24,
        time_conditioned: bool = True,
        max_iter: int | None = None,
        regularization: float = 1e-8,
        tol: float = 1e-7,
        batch_size: int = 256,
        lr: float = 3e-3,
        sampler: Literal["euler_maruyama", "multistep"] | Sampler = "euler_maruyama",
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
        self.objective = objective
        self.activation = activation
        self.n_units = n_units
        self.n_hermite = n_hermite
        self.n_time_nodes = n_time_nodes
        self.time_conditioned = time_conditioned
        self.max_iter = max_iter
        self.regularization = regularization
        self.tol = tol
        self.batch_size = batch_size
        self.lr = lr

    def fit_denoiser(
        self,
        x_0: Tensor,
        weights: Tensor,
        schedule: Schedule,
        random_state: int | np.random.RandomState | None = None,
    ) -> NetworkDenoiser:
        """Fit the score of standardised rows.

        Parameters
        ----------
        x_0 : Tensor of shape (n, d)
            Standardised rows, in double precision.
        weights : Tensor of shape (n,)
            Weights of the rows; they sum to one.
        schedule : Schedule
            Forward process.
        random_state : int, RandomState or None, default=None
            Source of the hidden layer, and of the noise of Monte Carlo; None is fresh entropy.

        Returns
        -------
        denoiser : NetworkDenoiser

        Raises
        ------
        ValueError
            If ``objective="monte_carlo"`` is left without a pass over the data.
        """
        rng = private_random_state(random_state)
        return self._train(x_0, weights, schedule, rng, FitSettings())[0]

    def _train(
        self,
        x_0: Tensor,
        weights: Tensor,
        schedule: Schedule,
        random_state: np.random.RandomState,
        settings: FitSettings,
    ) -> tuple[NetworkDenoiser, list[float]]:
        import torch

        from sklearn_diffusion.diffusion.denoiser import NetworkDenoiser
        from sklearn_diffusion.diffusion.quadrature import (
            CosineUnits,
            HermiteUnits,
            Units,
            gauss_legendre,
        )
        from sklearn_diffusion.nets.hidden_layer import HiddenLayerNetwork
        from sklearn_diffusion.training.quadrature import QuadratureObjective

        n_iterations = self._n_iterations()
        seed = int(random_state.randint(2**31))
        units: Units = CosineUnits()
        if self.activation == "tanh":
            units = HermiteUnits(n_nodes=self.n_hermite)
        if self.time_conditioned:
            times = schedule.times(self.n_time_nodes - 1, t_min=self.stop_time, spacing="log_snr")
            times = times.flip(0)
            time_weights = torch.full_like(times, 1 / len(times))
            nodes = times / schedule.t_max
        else:
            times, time_weights = gauss_legendre(self.n_time_nodes, self.stop_time, schedule.t_max)
            nodes = times[:1] / schedule.t_max
        network = HiddenLayerNetwork(
            x_0.shape[1],
            self.n_units,
            units,
            nodes,
            skip=self.time_conditioned,
            generator=torch.Generator().manual_seed(seed),
        )
        parameterization: Literal["epsilon", "residual"] = (
            "epsilon" if self.time_conditioned else "residual"
        )
        denoiser = NetworkDenoiser(network, schedule, parameterization).to(x_0.device)
        if self.objective == "monte_carlo":
            return denoiser, self._fit_monte_carlo(
                denoiser, x_0, weights, seed, times.to(x_0), n_iterations, settings.verbose
            )
        objective = QuadratureObjective(
            network,
            self.time_conditioned,
            schedule,
            x_0,
            weights,
            times.to(x_0),
            time_weights.to(x_0),
            self.regularization,
        )
        return denoiser, objective.minimize(n_iterations, self.tol)

    def _n_iterations(self) -> int:
        if self.max_iter is None:
            return 300 if self.objective == "monte_carlo" else 0
        if self.max_iter == 0 and self.objective == "monte_carlo":
            raise ValueError("max_iter=0 leaves objective='monte_carlo' without any training.")
        return self.max_iter

    def _fit_monte_carlo(
        self,
        denoiser: NetworkDenoiser,
        x_0: Tensor,
        weights: Tensor,
        seed: int,
        times: Tensor,
        n_epochs: int,
        verbose: int,
    ) -> list[float]:
        from sklearn_diffusion.training.loop import fit_monte_carlo
        from sklearn_diffusion.training.loss import DenoisingLoss

        loss = DenoisingLoss(
            denoiser,
            _interpolator(times) if self.time_conditioned else _uniform(times[0], times[-1]),
            seed,
            denoiser.parameterization,
        )
        net = fit_monte_carlo(
            loss,
            x_0,
            weights,
            max_epochs=n_epochs,
            batch_size=self.batch_size,
            lr=self.lr,
            verbose=verbose,
        )
        return list(net.history[:, "train_loss"])


def _uniform(low: Tensor, high: Tensor) -> Callable[[Tensor], Tensor]:
    return lambda u: low + (high - low) * u


def _interpolator(times: Tensor) -> Callable[[Tensor], Tensor]:
    """Times spread as the nodes are: even in their index."""

    def draw(u: Tensor) -> Tensor:
        position = u * (len(times) - 1)
        left = position.floor().long().clamp(max=len(times) - 2)
        return times[left].lerp(times[left + 1], position - left)

    return draw
