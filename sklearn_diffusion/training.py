"""Training of denoisers: score matching by quadrature, and by Monte Carlo through skorch.

Both return the loss curve. Nothing here touches a global random state: noise and times are drawn
from a generator of their own, on the CPU.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from skorch import NeuralNet
from torch import Tensor, nn

from sklearn_diffusion.diffusion.denoiser import Denoiser
from sklearn_diffusion.diffusion.objective import denoising_score_matching
from sklearn_diffusion.diffusion.parameterization import Parameterization
from sklearn_diffusion.diffusion.quadrature import output_layer, residual_loss
from sklearn_diffusion.diffusion.schedule import Schedule
from sklearn_diffusion.nets.hidden_layer import HiddenLayer

__all__ = ["DenoisingLoss", "QuadratureObjective", "fit_monte_carlo"]


class QuadratureObjective:
    """Deterministic score-matching loss of a one-hidden-layer denoiser.

    The loss is the error in the network's own parameterization, ``epsilon`` or ``residual``,
    integrated over the noise exactly and over time by a fixed rule. A network with one output
    layer per time of the rule has each solved for itself; a network that does not depend on time
    has its one layer solved for all.

    Parameters
    ----------
    network : HiddenLayer
        Model.
    in_epsilon : bool
        Whether the network predicts the noise, instead of the residual.
    schedule : Schedule
        Forward process.
    x_0 : Tensor of shape (n, n_features)
        Standardised data.
    weights : Tensor of shape (n,)
        Weights of the rows; they sum to one.
    times, time_weights : Tensor of shape (n_times,)
        Rule over the time.
    regularization : float, default=1e-8
        Ridge of the output layer; see `output_layer`.
    """

    def __init__(
        self,
        network: HiddenLayer,
        in_epsilon: bool,
        schedule: Schedule,
        x_0: Tensor,
        weights: Tensor,
        times: Tensor,
        time_weights: Tensor,
        regularization: float = 1e-8,
    ):
        self.network, self.schedule, self.in_epsilon = network, schedule, in_epsilon
        self.x_0, self.weights, self.times = x_0, weights, times
        self.regularization = regularization
        sigma = self.schedule.sigma(times)
        scale = time_weights[:, None] / sigma**2 if self.in_epsilon else time_weights[:, None]
        # One column serves all features unless each has noise of its own.
        self.scale = scale[:, 0] if scale.shape[1] == 1 else scale

    def _losses(self) -> list:
        net = self.network
        return [
            residual_loss(
                net.units,
                net.hidden_weight,
                net.hidden_bias,
                self.x_0,
                self.weights,
                self.schedule,
                t,
                skip=net.skip,
            )
            for t in self.times
        ]

    def _layers(self, losses: list) -> Tensor:
        """Best output layer in units of the residual: one, or one per time."""
        if len(self.network.nodes) == 1:
            return output_layer(losses, self.scale, self.regularization)[None]
        one = losses[0].constant.new_ones(1)
        return torch.stack([output_layer([loss], one, self.regularization) for loss in losses])

    def _total(self, losses: list, layers: Tensor) -> Tensor:
        layers = layers.expand(len(losses), -1, -1)
        errors = torch.stack([loss(layer) for loss, layer in zip(losses, layers, strict=True)])
        scale = self.scale if self.scale.ndim == 2 else self.scale[:, None]
        return (scale * errors).sum()

    @torch.no_grad()
    def loss(self) -> float:
        """Loss of the network as it stands."""
        layers: Tensor = self.network.output
        if len(self.network.nodes) > 1:
            share = self.network.interpolation(self.times / self.schedule.t_max).to(layers)
            layers = torch.einsum("st,tdh->sdh", share, layers)
        if self.in_epsilon:
            layers = -self.schedule.sigma(self.times)[..., None] * layers
        return float(self._total(self._losses(), layers))

    @torch.no_grad()
    def solve_output(self) -> float:
        """Put the best output layer into the network, in closed form; return the loss."""
        losses = self._losses()
        layers = self._layers(losses)
        loss = float(self._total(losses, layers))
        if self.in_epsilon:
            layers = -layers / self.schedule.sigma(self.times)[..., None]
        self.network.output.copy_(layers)
        return loss

    def minimize(self, max_iter: int, tol: float = 1e-7) -> list[float]:
        """Fit the hidden layer by L-BFGS, the output layer being solved for at every step.

        Variable projection: the gradient of the loss at the best output layer is the partial
        gradient in the hidden layer. Full batch, no noise: the result is deterministic.

        Parameters
        ----------
        max_iter : int
            Largest number of iterations; 0 keeps the random hidden layer.
        tol : float, default=1e-7
            Relative change of the loss at which to stop.

        Returns
        -------
        curve : list of float
            Loss before the first and after each iteration.
        """
        curve = [self.solve_output()]
        if max_iter == 0:
            return curve
        hidden = [self.network.hidden_weight, self.network.hidden_bias]
        optimizer = torch.optim.LBFGS(hidden, max_iter=1, line_search_fn="strong_wolfe")

        def closure() -> Tensor:
            optimizer.zero_grad()
            losses = self._losses()
            loss = self._total(losses, self._layers(losses).detach())
            loss.backward()
            return loss

        for _ in range(max_iter):
            optimizer.step(closure)
            curve.append(self.solve_output())
            if curve[-2] - curve[-1] <= tol * abs(curve[-2]):
                break
        optimizer.zero_grad()
        return curve


class DenoisingLoss(nn.Module):
    """Score-matching loss as a module: data in, loss of each row out.

    Training draws fresh times and noise; evaluation draws the same ones at every call, so that
    the losses of two epochs differ only by the model.

    Parameters
    ----------
    denoiser : Denoiser
        Model to train.
    draw_times : callable
        Maps uniform draws of shape (n,) to times.
    seed : int
        Seed of the times and the noise.
    kind : {"epsilon", "v", "x0", "score", "residual"}, default="epsilon"
        Quantity whose squared error is taken.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        draw_times: Callable[[Tensor], Tensor],
        seed: int,
        kind: Parameterization = "epsilon",
    ):
        super().__init__()
        self.denoiser = denoiser
        self.draw_times = draw_times
        self.seed = seed
        self.kind = kind
        self._rng = np.random.default_rng(seed)

    def forward(self, x_0: Tensor, condition: Tensor | None = None) -> Tensor:
        rng = self._rng if self.training else np.random.default_rng([self.seed, 1])
        t = self.draw_times(torch.from_numpy(rng.random(len(x_0))).to(x_0))
        noise = torch.from_numpy(rng.standard_normal(x_0.shape)).to(x_0)
        return denoising_score_matching(
            self.denoiser, x_0, t, noise, kind=self.kind, condition=condition
        )


class _MeanLoss(nn.Module):
    """Criterion for a module that returns losses: their weighted mean."""

    def forward(self, losses: Tensor, weights: Tensor) -> Tensor:
        return (weights * losses).sum() / weights.sum()


def fit_monte_carlo(
    loss: DenoisingLoss,
    x_0: Tensor,
    weights: Tensor,
    *,
    max_epochs: int,
    batch_size: int,
    lr: float,
    callbacks: list | None = None,
    verbose: int = 0,
) -> NeuralNet:
    """Train a denoiser by stochastic gradients on Monte Carlo draws.

    Parameters
    ----------
    loss : DenoisingLoss
        Holds the denoiser, which is trained in place.
    x_0 : Tensor of shape (n, n_features)
        Standardised data.
    weights : Tensor of shape (n,)
        Weights of the rows.
    max_epochs, batch_size, lr
        Passes over the data, rows per step, and Adam's learning rate.
    callbacks : list, optional
        skorch callbacks.
    verbose : int, default=0
        1 prints a line per epoch.

    Returns
    -------
    net : skorch.NeuralNet
        Its ``history[:, "train_loss"]`` is the loss curve.
    """
    net = NeuralNet(
        loss,
        criterion=_MeanLoss,
        optimizer=torch.optim.Adam,
        lr=lr,
        max_epochs=max_epochs,
        batch_size=batch_size,
        train_split=None,
        iterator_train__shuffle=True,
        iterator_train__generator=torch.Generator().manual_seed(loss.seed),
        callbacks=callbacks,
        verbose=verbose,
    )
    return net.fit({"x_0": x_0}, weights)
