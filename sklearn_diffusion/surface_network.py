"""Torch side of the surface forecaster: what stands between its coding and the diffusion core."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from sklearn_diffusion.diffusion.denoiser import Denoiser
from sklearn_diffusion.diffusion.penalty import ArbitragePenalty
from sklearn_diffusion.diffusion.sampler import DDIM, DDPM, Multistep, Sampler
from sklearn_diffusion.grid import SurfaceGrid
from sklearn_diffusion.nets import ConditionalUNet, FiLMMLP
from sklearn_diffusion.training import DenoisingLoss

__all__ = [
    "BoundedDenoiser",
    "CodedPenalty",
    "RotatedNetwork",
    "SharedNoise",
    "UniformSteps",
    "loss_reduction",
    "make_network",
    "make_sampler",
]


# Today's surface and its two averages.
N_CONDITION_SURFACES = 3


class RotatedNetwork(nn.Module):
    """Network on grid cells for data in the coordinates of orthogonal axes.

    Parameters
    ----------
    network : Module
        Called as ``network(x_t, t, condition)`` on cells.
    axes : Tensor of shape (n_cells, n_cells)
        Orthogonal, one axis per column.
    """

    axes: Tensor

    def __init__(self, network: nn.Module, axes: Tensor):
        super().__init__()
        self.network = network
        self.register_buffer("axes", axes)

    def forward(self, x_t: Tensor, t: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.network(x_t @ self.axes.T, t, condition) @ self.axes


class BoundedDenoiser(Denoiser):
    """Denoiser whose estimates are cut off at a number of standard deviations.

    Parameters
    ----------
    denoiser : Denoiser
        Of standardised data.
    bound : float
        Largest absolute value.
    """

    def __init__(self, denoiser: Denoiser, bound: float):
        super().__init__(denoiser.schedule)
        self.denoiser = denoiser
        self.bound = bound

    def forward(self, x_t: Tensor, t: Tensor, condition: Tensor | None = None) -> Tensor:
        return self.denoiser(x_t, t, condition).clamp(-self.bound, self.bound)


class CodedPenalty(nn.Module):
    """Arbitrage penalty of standardised targets, by way of their volatilities.

    Parameters
    ----------
    grid : SurfaceGrid
    form : {"price", "iv"}
        See `ArbitragePenalty`.
    basis : Tensor of shape (n_cells, n_cells)
        Basis of the coding's affine map. Its offset and scale, (n, n_cells + 1), are the context.
    """

    basis: Tensor

    def __init__(self, grid: SurfaceGrid, form: Literal["price", "iv"], basis: Tensor):
        super().__init__()
        self.penalty = ArbitragePenalty(grid, form=form)
        self.register_buffer("basis", basis)

    def forward(self, w: Tensor, context: Tensor) -> Tensor:
        offset, scale = context[:, :-1], context[:, -1:]
        return self.penalty(torch.exp(offset + scale * (w @ self.basis)))


class UniformSteps:
    """Whole steps 1, ..., T of a discrete schedule, from uniform draws."""

    def __init__(self, n_steps: int):
        self.n_steps = n_steps

    def __call__(self, u: Tensor) -> Tensor:
        return (1 + (u * self.n_steps).floor()).clamp(max=self.n_steps)


class SharedNoise:
    """Standard normal draws that all days share, on the CPU.

    The first block, from which the reverse process starts, is antithetic and stratified: its mean
    is zero, and each coordinate's quantiles are those of the normal law. Later ones, for ancestral
    sampling, are plain.

    Parameters
    ----------
    seed : int
        Seed.
    like : Tensor
        Gives the dtype and the device.
    """

    def __init__(self, seed: int, like: Tensor):
        self._rng = np.random.default_rng(seed)
        self._like = like
        self._started = False

    def __call__(self, shape: tuple[int, ...]) -> Tensor:
        n_samples, _, n_features = shape
        if self._started:
            draws = self._rng.standard_normal((n_samples, n_features))
        else:
            draws = self._start(n_samples, n_features)
            self._started = True
        return torch.from_numpy(draws).to(self._like)[:, None].expand(shape)

    def _start(self, n_samples: int, n_features: int) -> np.ndarray:
        from scipy.special import ndtri

        half = math.ceil(n_samples / 2)
        shape = (half, n_features)
        strata = self._rng.random(shape).argsort(axis=0)
        draws = ndtri((strata + self._rng.random(shape)) / half)
        return np.concatenate([draws, -draws])[:n_samples]


def make_network(
    kind: Literal["mlp", "unet"],
    grid: SurfaceGrid,
    n_condition: int,
    *,
    width: int,
    channels: tuple[int, ...],
    zero_output: bool,
    seed: int,
) -> nn.Module:
    """Network by name.

    Parameters
    ----------
    kind : {"mlp", "unet"}
        A perceptron on scalar conditions, or a U-Net on condition surfaces and scalars.
    grid : SurfaceGrid
    n_condition : int
        Number of conditions; for the U-Net those of the surfaces come first.
    width : int
        Width of the perceptron.
    channels : tuple of int
        Channels of the U-Net.
    zero_output : bool
        Whether the U-Net's last layer starts at zero, as the perceptron's always does.
    seed : int
        Seed of the initial weights.
    """
    if kind == "mlp":
        return FiLMMLP(grid.n_cells, n_condition, width=width, seed=seed)
    return ConditionalUNet(
        grid.shape,
        n_condition_surfaces=N_CONDITION_SURFACES,
        n_scalars=n_condition - N_CONDITION_SURFACES * grid.n_cells,
        channels=channels,
        zero_output=zero_output,
        seed=seed,
    )


def make_sampler(kind: Literal["multistep", "ddim", "ddpm"], n_steps: int) -> Sampler:
    """Sampler by name; ancestral sampling walks the schedule's own steps."""
    match kind:
        case "multistep":
            return Multistep(n_steps)
        case "ddim":
            return DDIM(n_steps)
        case "ddpm":
            return DDPM(n_steps)


@torch.no_grad()
def loss_reduction(
    loss: DenoisingLoss, base: Denoiser, data: dict[str, Tensor]
) -> tuple[float, float]:
    """Mean reduction of the loss against a base denoiser, on the same noise, and its error.

    Parameters
    ----------
    loss : DenoisingLoss
        Holds the trained denoiser.
    base : Denoiser
        What to compare with.
    data : dict of Tensor
        Held-out rows, as the arguments of the loss.

    Returns
    -------
    mean, standard_error : float
        Over rows.
    """
    trained, loss.denoiser = loss.denoiser, base
    before = loss.eval()(**data)
    loss.denoiser = trained
    gain = before - loss.eval()(**data)
    return float(gain.mean()), float(gain.std() / math.sqrt(len(gain)))
