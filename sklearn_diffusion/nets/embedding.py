"""What networks share: embedding of the time, modulation by a context, seeded weights."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import pairwise

import torch
from torch import Tensor, nn

__all__ = ["FiLM", "SinusoidalEmbedding", "join_condition", "perceptron", "seeded_init"]


@contextmanager
def seeded_init(seed: int) -> Iterator[None]:
    """Draw the weights of modules built inside from a seed, and leave the global state as it was.

    Parameters
    ----------
    seed : int
        Seed of torch's generator on the CPU, where modules are built.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        yield


class SinusoidalEmbedding(nn.Module):
    r"""Sines and cosines of the time at geometric frequencies.

    The slowest makes a quarter of a turn over [0, 1], so that no two times look alike; the fastest
    tells apart times close to zero, where the signal-to-noise ratio changes most.

    Parameters
    ----------
    n_features : int
        Number of outputs, even.
    max_frequency : float, default=100.0
        Fastest angular frequency; the slowest is :math:`\pi / 2`.
    """

    frequencies: Tensor

    def __init__(self, n_features: int, max_frequency: float = 100.0):
        super().__init__()
        if n_features < 2 or n_features % 2:
            raise ValueError(
                f"The embedding of the time needs an even number of features, got {n_features}."
            )
        exponents = torch.linspace(math.log(math.pi / 2), math.log(max_frequency), n_features // 2)
        self.register_buffer("frequencies", exponents.exp())

    def forward(self, t: Tensor) -> Tensor:
        """Embed scaled times.

        Parameters
        ----------
        t : Tensor of shape (...)
            Times, scaled to [0, 1].

        Returns
        -------
        Tensor of shape (..., n_features)
            Sines, then cosines.
        """
        angles = t[..., None] * self.frequencies.to(t)
        return torch.cat([angles.sin(), angles.cos()], dim=-1)


class FiLM(nn.Module):
    r"""Feature-wise linear modulation, :math:`\gamma(c) \odot F + \beta(c)`.

    A perceptron maps the context c to a scale and a shift for each channel. Its last layer starts
    at zero and the scale is counted from one, so that an untrained block changes nothing.

    Parameters
    ----------
    n_context : int
        Number of context features.
    n_channels : int
        Number of channels to modulate.
    hidden : sequence of int, default=(10, 10)
        Widths of the perceptron's hidden layers.

    References
    ----------
    Jin & Agarwal, arXiv 2511.07571, equation (36).
    """

    def __init__(self, n_context: int, n_channels: int, hidden: Sequence[int] = (10, 10)):
        super().__init__()
        self.context = perceptron([n_context, *hidden])
        self.project = nn.Linear(hidden[-1], 2 * n_channels)
        nn.init.zeros_(self.project.weight)
        nn.init.zeros_(self.project.bias)

    def forward(self, features: Tensor, context: Tensor) -> Tensor:
        """Modulate features.

        Parameters
        ----------
        features : Tensor of shape (n, n_channels, ...)
            What to modulate, channel by channel.
        context : Tensor of shape (n, n_context)
            What decides the scales and the shifts.

        Returns
        -------
        features : Tensor of the same shape
        """
        modulation = self.project(self.context(context))
        modulation = modulation.reshape(*modulation.shape, *[1] * (features.ndim - 2))
        scale, shift = modulation.chunk(2, dim=1)
        return features + scale * features + shift


def perceptron(widths: Sequence[int]) -> nn.Sequential:
    """Linear layers from each width to the next, every one followed by SiLU.

    Parameters
    ----------
    widths : sequence of int
        Number of inputs, then of each layer's outputs.

    Returns
    -------
    Sequential
    """
    layers: list[nn.Module] = []
    for n_in, n_out in pairwise(widths):
        layers += [nn.Linear(n_in, n_out), nn.SiLU()]
    return nn.Sequential(*layers)


def join_condition(
    x_t: Tensor, t: Tensor, condition: Tensor | None, n_condition: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Spread times and conditions over the rows of the data, and flatten all three to rows.

    Parameters
    ----------
    x_t : Tensor of shape (..., n_features)
        Noisy data.
    t : Tensor, broadcastable to the shape ``(...)``
        Scaled times.
    condition : Tensor, broadcastable to the shape ``(..., n_condition)``, or None
        May be None where `n_condition` is 0.
    n_condition : int
        Number of condition features that the network was built for.

    Returns
    -------
    x_t : Tensor of shape (n, n_features)
    t : Tensor of shape (n,)
    condition : Tensor of shape (n, n_condition)

    Raises
    ------
    ValueError
        If the condition does not have `n_condition` features.
    """
    if condition is None:
        condition = x_t.new_empty(0)
    if condition.shape[-1] != n_condition:
        raise ValueError(
            f"The network was built for {n_condition} condition features, "
            f"got {condition.shape[-1]}."
        )
    leading = x_t.shape[:-1]
    n = leading.numel()
    return (
        x_t.reshape(n, x_t.shape[-1]),
        t.expand(leading).reshape(n),
        condition.expand(*leading, n_condition).reshape(n, n_condition),
    )
