r"""Score matching of a one-hidden-layer network without Monte Carlo.

Paper B models the score as :math:`s(t, x) = K(x) / C(t)` with :math:`K(x) = A \phi(B x + c) + a_0`
(eqs. (71)-(72)) and integrates the denoising score matching loss by quadrature. Given a clean row
:math:`x_0` the noisy one is Gaussian, :math:`x \sim N(\mu, C)` with :math:`\mu = \alpha x_0` and a
diagonal :math:`C`, so the hidden pre-activations are Gaussian too:

.. math:: u = B x + c \sim N(B \mu + c, \; B C B^\top).

The loss then needs only three moments of the hidden units, whatever the number of assets:

.. math::
    E\|K(x) + (x - \mu)\|^2 = \mathrm{tr}(A G A^\top) + 2 a_0^\top A\, g + \|a_0\|^2
        + 2 \sum_{ij} A_{ij} C_i B_{ji} h_j + \mathrm{tr}\, C,

with :math:`G = E[\phi \phi^\top]`, :math:`g = E[\phi]` and :math:`h = E[\phi'(u)]`, the last by
Stein's lemma. It is exactly quadratic in the output layer :math:`(A, a_0)`, which therefore has a
closed form; what remains is a deterministic function of :math:`(B, c)` for L-BFGS.

The Gram matrix :math:`G` holds two-dimensional Gaussian integrals. Expanding each unit in Hermite
polynomials of its own standardised pre-activation turns them into one-dimensional ones (Mehler's
formula): with :math:`u_j = m_j + s_j z`, :math:`\phi(u_j) = \sum_n a_{jn} He_n(z) / \sqrt{n!}`,

.. math:: E[\phi(u_j) \phi(u_k)] = \sum_n a_{jn} a_{kn} \rho_{jk}^n,

and since :math:`\rho` is the same for every row, the average over rows is one matrix product per
order instead of one double integral per row and pair. Cosine units need no quadrature at all.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sklearn_diffusion.diffusion.schedule import Schedule

__all__ = [
    "CosineUnits",
    "HermiteUnits",
    "HiddenMoments",
    "Units",
    "gauss_hermite",
    "gauss_legendre",
    "output_layer",
    "residual_loss",
]


# Rows whose Hermite coefficients are held at once: few enough for the processor's cache.
CHUNK = 256


def gauss_hermite(n_nodes: int) -> tuple[Tensor, Tensor]:
    """Nodes and weights for expectations over a standard normal variable.

    Parameters
    ----------
    n_nodes : int
        Number of nodes; polynomials of degree up to ``2 n_nodes - 1`` are integrated exactly.

    Returns
    -------
    nodes : Tensor of shape (n_nodes,)
        In double precision.
    weights : Tensor of shape (n_nodes,)
        They sum to one.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(n_nodes)
    return torch.from_numpy(nodes), torch.from_numpy(weights / weights.sum())


def gauss_legendre(n_nodes: int, low: float, high: float) -> tuple[Tensor, Tensor]:
    """Nodes and weights for averages over an interval.

    Parameters
    ----------
    n_nodes : int
        Number of nodes; polynomials of degree up to ``2 n_nodes - 1`` are integrated exactly.
    low, high : float
        Ends of the interval.

    Returns
    -------
    nodes : Tensor of shape (n_nodes,)
        Increasing, inside the interval, in double precision.
    weights : Tensor of shape (n_nodes,)
        They sum to one.
    """
    nodes, weights = np.polynomial.legendre.leggauss(n_nodes)
    nodes = low + (high - low) * (nodes + 1) / 2
    return torch.from_numpy(nodes), torch.from_numpy(weights / 2)


@dataclass(frozen=True)
class HiddenMoments:
    """Moments of the hidden units over rows and noise.

    Attributes
    ----------
    gram : Tensor of shape (n_units, n_units)
        E[phi phi'].
    mean : Tensor of shape (n, n_units)
        E[phi] of each row.
    slope : Tensor of shape (n_units,)
        E[phi'(u)].
    """

    gram: Tensor
    mean: Tensor
    slope: Tensor


class Units(ABC):
    """Hidden units: an activation and its Gaussian moments."""

    @abstractmethod
    def __call__(self, u: Tensor) -> Tensor:
        """Activation."""

    @abstractmethod
    def moments(self, means: Tensor, covariance: Tensor, weights: Tensor) -> HiddenMoments:
        """Moments for pre-activations ``u ~ N(means[i], covariance)``, averaged over rows i.

        Parameters
        ----------
        means : Tensor of shape (n, n_units)
            Mean pre-activations, one row per observation.
        covariance : Tensor of shape (n_units, n_units)
            Their common covariance.
        weights : Tensor of shape (n,)
            Weights of the rows; they sum to one.

        Returns
        -------
        HiddenMoments
            The Gram matrix and the slope averaged over the rows, the mean of each row.
        """


def tanh(u: Tensor) -> Tensor:
    """Hyperbolic tangent by way of torch's sigmoid, which is several times as fast on a CPU.

    Parameters
    ----------
    u : Tensor
        Of any shape.

    Returns
    -------
    Tensor
        Of the shape of `u`.
    """
    return 2 * torch.sigmoid(2 * u) - 1


class HermiteUnits(Units):
    """Units of any smooth activation, by Gauss-Hermite quadrature in the pre-activations.

    Parameters
    ----------
    activation : callable, default=tanh
        Elementwise function.
    n_nodes : int, default=16
        Nodes of the rule, at least 2; the Hermite expansion is carried to the same order.
    """

    def __init__(self, activation: Callable[[Tensor], Tensor] = tanh, n_nodes: int = 16):
        if n_nodes < 2:
            raise ValueError(f"The Hermite rule needs at least 2 nodes, got {n_nodes}.")
        self.activation = activation
        self.n_nodes = n_nodes

    def __call__(self, u: Tensor) -> Tensor:
        return self.activation(u)

    def moments(self, means: Tensor, covariance: Tensor, weights: Tensor) -> HiddenMoments:
        nodes, rule = (v.to(means) for v in gauss_hermite(self.n_nodes))
        std = covariance.diagonal().sqrt()
        correlation = covariance / torch.outer(std, std)
        correlation = correlation - torch.diag_embed(correlation.diagonal() - 1)
        offsets = (nodes[:, None] * std)[:, None]
        # Normalised Hermite polynomials at the nodes, by their three-term recurrence.
        basis = [torch.ones_like(nodes), nodes]
        for n in range(1, self.n_nodes - 1):
            basis.append((nodes * basis[n] - math.sqrt(n) * basis[n - 1]) / math.sqrt(n + 1))
        transform = rule * torch.stack(basis)
        gram, mean, slope = torch.zeros_like(covariance), [], torch.zeros_like(std)
        for m, w in zip(means.split(CHUNK), weights.split(CHUNK), strict=True):
            # Nodes lead, so that every product runs over contiguous rows and units.
            values = self.activation(m + offsets)
            coefficients = torch.tensordot(transform, values, dims=1)
            coefficients = coefficients[: _relevant_orders(coefficients.detach())]
            products = coefficients.mT @ (w[:, None] * coefficients)
            part = products[-1]
            for product in products[:-1].flip(0):
                part = part * correlation + product
            gram = gram + part
            mean.append(coefficients[0])
            # E[phi'(u)] = E[phi(m + s z) z] / s, the first Hermite coefficient.
            slope = slope + w @ coefficients[1] / std
        return HiddenMoments(gram, torch.cat(mean), slope)


def _relevant_orders(coefficients: Tensor) -> int:
    """Leading orders, two at least, beyond which Hermite coefficients are lost in rounding.

    At low noise the activation is nearly linear over the spread of a pre-activation, and a few
    orders hold all of it. Coefficients enter the Gram matrix by products of two.
    """
    size = torch.linalg.vector_norm(coefficients, dim=(1, 2))
    relevant = (size > torch.finfo(size.dtype).eps ** 0.5 * size.max()).nonzero()
    return max(2, int(relevant.max()) + 1) if len(relevant) else 2


class CosineUnits(Units):
    """Units cos(u), whose Gaussian moments are elementary (random Fourier features)."""

    def __call__(self, u: Tensor) -> Tensor:
        return torch.cos(u)

    def moments(self, means: Tensor, covariance: Tensor, weights: Tensor) -> HiddenMoments:
        variance = covariance.diagonal()
        damping = torch.exp(-variance / 2)
        cos, sin = means.cos(), means.sin()
        cos_cos = cos.T @ (weights[:, None] * cos)
        sin_sin = sin.T @ (weights[:, None] * sin)
        # E cos(u_j -+ u_k), from which cos a cos b = (cos(a - b) + cos(a + b)) / 2.
        half_sum = (variance[:, None] + variance) / 2
        difference = torch.exp(covariance - half_sum) * (cos_cos + sin_sin)
        total = torch.exp(-covariance - half_sum) * (cos_cos - sin_sin)
        slope = -damping * (weights @ sin)
        return HiddenMoments((difference + total) / 2, damping * cos, slope)


@dataclass(frozen=True)
class ResidualLoss:
    r"""Denoising score matching at one time, as a quadratic form in the output layer.

    With the layer :math:`W` acting on the hidden vector :math:`\psi` (see `residual_loss`), the
    loss of feature i is :math:`W_i Q W_i^\top + 2 W_i r_i + C_i`.

    Attributes
    ----------
    quadratic : Tensor of shape (n_hidden, n_hidden)
        Q, the mean of psi psi'.
    linear : Tensor of shape (n_features, n_hidden)
        r, the mean of (x - mu) psi'.
    constant : Tensor of shape (n_features,)
        C, the variance of the noise.
    """

    quadratic: Tensor
    linear: Tensor
    constant: Tensor

    def __call__(self, layer: Tensor) -> Tensor:
        """Loss of each feature, shape (n_features,)."""
        return ((layer @ self.quadratic + 2 * self.linear) * layer).sum(-1) + self.constant


def residual_loss(
    units: Units,
    hidden_weight: Tensor,
    hidden_bias: Tensor,
    x_0: Tensor,
    weights: Tensor,
    schedule: Schedule,
    t: Tensor,
    *,
    skip: bool = False,
) -> ResidualLoss:
    r"""E|K(x_t) + (x_t - alpha x_0)|^2 at one time, over the noise (exactly) and the rows.

    The output layer acts on :math:`\psi = (\phi(B x + c), 1)`, as in the paper, or with a skip
    connection on :math:`\psi = (\phi(B x + c), x, 1)`, whose further moments follow from Stein's
    lemma: :math:`E[\phi_j x_k] = \mu_k E[\phi_j] + (B C)_{jk} E[\phi'_j]`.

    Parameters
    ----------
    units : Units
        Activation and its moments.
    hidden_weight : Tensor of shape (n_units, n_features)
        B of paper B.
    hidden_bias : Tensor of shape (n_units,)
        c of paper B.
    x_0 : Tensor of shape (n, n_features)
        Clean data.
    weights : Tensor of shape (n,)
        Weights of the rows, summing to one.
    schedule : Schedule
        Forward process; rates per feature are allowed.
    t : Tensor, scalar
        Positive time.
    skip : bool, default=False
        Whether the output layer sees the input as well.

    Returns
    -------
    loss : ResidualLoss
    """
    n_features = x_0.shape[1]
    variance = (schedule.sigma(t) ** 2).expand(n_features)
    mu = schedule.alpha(t) * x_0
    scaled = hidden_weight * variance
    moments = units.moments(mu @ hidden_weight.T + hidden_bias, scaled @ hidden_weight.T, weights)
    mean = [weights @ moments.mean]
    quadratic = moments.gram
    linear = [scaled.T * moments.slope]
    if skip:
        noise = torch.diag(variance)
        weighted = weights[:, None] * mu
        cross = moments.mean.T @ weighted + moments.slope[:, None] * scaled
        quadratic = _bordered(quadratic, cross, mu.T @ weighted + noise)
        mean.append(weights @ mu)
        linear.append(noise)
    linear.append(variance.new_zeros(n_features, 1))
    one = variance.new_ones(1, 1)
    quadratic = _bordered(quadratic, torch.cat(mean)[:, None], one)
    return ResidualLoss(quadratic, torch.cat(linear, dim=1), variance)


def _bordered(corner: Tensor, border: Tensor, last: Tensor) -> Tensor:
    """Symmetric matrix [[corner, border], [border', last]]."""
    return torch.cat([torch.cat([corner, border], dim=1), torch.cat([border.T, last], dim=1)])


def output_layer(losses: list[ResidualLoss], time_weights: Tensor, regularization: float) -> Tensor:
    """Output layer that minimises a weighted sum of losses, in closed form.

    Parameters
    ----------
    losses : list of ResidualLoss
        One per time.
    time_weights : Tensor of shape (n_times,) or (n_times, n_features)
        Weight of each time (and feature).
    regularization : float
        Ridge penalty relative to the mean diagonal of the quadratic form. It bounds the layer
        where hidden units are nearly collinear.

    Returns
    -------
    layer : Tensor of shape (n_features, n_hidden)
    """
    quadratic = torch.stack([loss.quadratic for loss in losses])
    linear = torch.stack([loss.linear for loss in losses])
    if time_weights.ndim == 1:
        system = torch.einsum("t,tjk->jk", time_weights, quadratic)
        target = torch.einsum("t,tij->ij", time_weights, linear)
    else:
        system = torch.einsum("ti,tjk->ijk", time_weights, quadratic)
        target = torch.einsum("ti,tij->ij", time_weights, linear)
    ridge = regularization * system.diagonal(dim1=-2, dim2=-1).mean(-1)
    system = system + torch.diag_embed(ridge[..., None].expand(system.shape[:-1]))
    if time_weights.ndim == 1:
        return -torch.linalg.solve(system, target.T).T
    return -torch.linalg.solve(system, target[..., None]).squeeze(-1)
