"""A small conditional network: what a closed-form denoiser is corrected by."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from sklearn_diffusion.nets.embedding import FiLM, SinusoidalEmbedding, join_condition, seeded_init

__all__ = ["FiLMMLP"]


class FiLMMLP(nn.Module):
    """Perceptron on data and condition, modulated by time and condition.

    The output layer starts at zero. Around it a `CorrectedDenoiser` starts as good as its base; a
    `NetworkDenoiser` that predicts the noise starts by predicting none.

    Parameters
    ----------
    n_features : int
        Number of inputs and outputs.
    n_condition : int, default=0
        Number of condition features.
    width : int, default=64
        Width of the hidden layers.
    depth : int, default=2
        Number of hidden layers.
    time_features : int, default=8
        Size of the embedding of the time.
    max_frequency : float, default=4 pi
        Largest frequency of that embedding.
    seed : int, default=0
        Seed of the initial weights.

    Examples
    --------
    >>> import torch
    >>> from sklearn_diffusion.nets import FiLMMLP
    >>> network = FiLMMLP(n_features=3, n_condition=2)
    >>> network(torch.ones(5, 3), torch.tensor(0.5), torch.ones(2)).shape
    torch.Size([5, 3])
    """

    def __init__(
        self,
        n_features: int,
        n_condition: int = 0,
        width: int = 64,
        depth: int = 2,
        time_features: int = 8,
        max_frequency: float = 4 * math.pi,
        seed: int = 0,
    ):
        super().__init__()
        self.n_condition = n_condition
        inputs = [n_features + n_condition, *[width] * (depth - 1)]
        with seeded_init(seed):
            self.embedding = SinusoidalEmbedding(time_features, max_frequency=max_frequency)
            self.layers = nn.ModuleList(nn.Linear(n, width) for n in inputs)
            self.films = nn.ModuleList(
                FiLM(time_features + n_condition, width, hidden=(width,)) for _ in inputs
            )
            self.output = nn.Linear(width, n_features)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, x_t: Tensor, t: Tensor, condition: Tensor | None = None) -> Tensor:
        """Map noisy data to the network's output.

        Parameters
        ----------
        x_t : Tensor of shape (..., n_features)
            Noisy data.
        t : Tensor, broadcastable to the shape ``(...)``
            Times, scaled to [0, 1].
        condition : Tensor, broadcastable to the shape ``(..., n_condition)``, optional
            Condition features; may be left out where `n_condition` is 0.

        Returns
        -------
        output : Tensor of shape (..., n_features)
        """
        rows, t, condition = join_condition(x_t, t, condition, self.n_condition)
        context = torch.cat([self.embedding(t), condition], dim=1)
        hidden = torch.cat([rows, condition], dim=1)
        for layer, film in zip(self.layers, self.films, strict=True):
            hidden = nn.functional.silu(film(layer(hidden), context))
        return self.output(hidden).reshape(x_t.shape)
