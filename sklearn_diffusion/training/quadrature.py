"""Training of a one-hidden-layer score by quadrature: deterministic, without a draw of noise."""

from __future__ import annotations

import numpy as np
import torch
from scipy import optimize
from torch import Tensor
from torch.nn.utils import parameters_to_vector, vector_to_parameters

from sklearn_diffusion.diffusion.quadrature import output_layer, residual_loss
from sklearn_diffusion.diffusion.schedule import Schedule
from sklearn_diffusion.nets.hidden_layer import HiddenLayerNetwork

__all__ = ["QuadratureObjective"]


class QuadratureObjective:
    """Deterministic score-matching loss of a one-hidden-layer denoiser.

    The loss is the error in the network's own parameterization, ``epsilon`` or ``residual``,
    integrated over the noise exactly and over time by a fixed rule. A network with one output
    layer per time of the rule has each solved for itself; a network that does not depend on time
    has its one layer solved for all.

    Parameters
    ----------
    network : HiddenLayerNetwork
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
        network: HiddenLayerNetwork,
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
        """Loss of the network as it stands.

        Returns
        -------
        float
            Weighted sum over the times of the expected squared error, summed over features.
        """
        layers: Tensor = self.network.output
        if len(self.network.nodes) > 1:
            share = self.network.interpolation(self.times / self.schedule.t_max).to(layers)
            layers = torch.einsum("st,tdh->sdh", share, layers)
        if self.in_epsilon:
            layers = -self.schedule.sigma(self.times)[..., None] * layers
        return float(self._total(self._losses(), layers))

    @torch.no_grad()
    def solve_output(self) -> float:
        """Put the best output layer into the network, in closed form.

        Returns
        -------
        float
            Loss of the network with that layer, as `loss` measures it.
        """
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

        def loss_and_gradient(flat: np.ndarray) -> tuple[float, np.ndarray]:
            vector_to_parameters(torch.from_numpy(flat).to(hidden[0]), hidden)
            losses = self._losses()
            loss = self._total(losses, self._layers(losses).detach())
            gradient = torch.autograd.grad(loss, hidden)
            return float(loss.detach()), parameters_to_vector(gradient).double().cpu().numpy()

        result = optimize.minimize(
            loss_and_gradient,
            parameters_to_vector(hidden).detach().double().cpu().numpy(),
            jac=True,
            method="L-BFGS-B",
            callback=lambda intermediate_result: curve.append(intermediate_result.fun),
            options={"maxiter": max_iter, "ftol": tol, "gtol": 0.0},
        )
        vector_to_parameters(torch.from_numpy(result.x).to(hidden[0]), hidden)
        self.solve_output()
        return curve
