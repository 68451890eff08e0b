"""The network of paper B: one hidden layer, with the time in its output layer if wanted."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from sklearn_diffusion.diffusion.quadrature import CosineUnits, Units

__all__ = ["HiddenLayerNetwork"]


class HiddenLayerNetwork(nn.Module):
    r"""One hidden layer, :math:`A(t) \phi(B x + c) + a_0(t)` (paper B, eq. (71)).

    The output layer is tabulated at `nodes` and interpolated linearly in between (constant
    outside). A single node makes the network independent of time, as the paper prints it. With a
    skip connection the output layer sees the input too, so that the network contains every linear
    score and bounded units cannot let large inputs run away.

    Parameters
    ----------
    n_features : int
        Number of inputs and outputs d.
    n_units : int
        Number of hidden units.
    units : Units
        Activation.
    nodes : Tensor of shape (n_nodes,)
        Increasing scaled times in [0, 1] of the output layers.
    skip : bool
        Whether the output layer sees the input as well.
    generator : torch.Generator
        Source of the initial hidden layer. The output layer starts at zero.

    Attributes
    ----------
    hidden_weight : Parameter of shape (n_units, n_features)
        B. Its rows start as Gaussian of length about 1, so that standardised data give
        pre-activations of unit variance.
    hidden_bias : Parameter of shape (n_units,)
        c.
    output : Parameter of shape (n_nodes, n_features, n_hidden)
        Output layer at each node, acting on the units, the input if skipped, and a constant.
    """

    nodes: Tensor

    def __init__(
        self,
        n_features: int,
        n_units: int,
        units: Units,
        nodes: Tensor,
        skip: bool,
        generator: torch.Generator,
    ):
        super().__init__()
        dtype = nodes.dtype
        weight = torch.randn(n_units, n_features, generator=generator, dtype=torch.float64)
        bias = torch.randn(n_units, generator=generator, dtype=torch.float64)
        if isinstance(units, CosineUnits):
            bias = 2 * math.pi * torch.special.ndtr(bias)  # a uniform phase
        self.units = units
        self.skip = skip
        self.register_buffer("nodes", nodes)
        self.hidden_weight = nn.Parameter((weight / math.sqrt(n_features)).to(dtype))
        self.hidden_bias = nn.Parameter(bias.to(dtype))
        n_hidden = n_units + skip * n_features + 1
        self.output = nn.Parameter(torch.zeros(len(nodes), n_features, n_hidden, dtype=dtype))

    def interpolation(self, t: Tensor) -> Tensor:
        """Weights of the nodes at scaled times, by linear interpolation.

        Parameters
        ----------
        t : Tensor of shape (...)
            Times, scaled to [0, 1]. Beyond the outermost nodes the outermost counts.

        Returns
        -------
        Tensor of shape (..., n_nodes)
            They sum to one over the nodes.
        """
        if len(self.nodes) == 1:
            return torch.ones_like(t)[..., None]
        t = t.clamp(self.nodes[0], self.nodes[-1])
        right = torch.searchsorted(self.nodes, t.contiguous()).clamp(1, len(self.nodes) - 1)
        low, high = self.nodes[right - 1], self.nodes[right]
        share = ((t - low) / (high - low))[..., None]
        one_hot = nn.functional.one_hot
        n = len(self.nodes)
        return (1 - share) * one_hot(right - 1, n) + share * one_hot(right, n)

    def forward(self, x: Tensor, t: Tensor, condition: Tensor | None = None) -> Tensor:
        parts = [self.units(x @ self.hidden_weight.T + self.hidden_bias), torch.ones_like(x[:, :1])]
        hidden = torch.cat([parts[0], x, parts[1]] if self.skip else parts, dim=1)
        weights = self.interpolation(t).to(x.dtype)
        if t.ndim == 0:
            return hidden @ torch.einsum("t,tdh->hd", weights, self.output)
        return torch.einsum("nt,ntd->nd", weights, torch.einsum("nh,tdh->ntd", hidden, self.output))
