"""Parts of the surface forecaster's model: what stands between its coding and its training."""

from __future__ import annotations

import math
from typing import Literal

import numpy as np
import torch
from torch import Tensor, nn

from sklearn_diffusion.diffusion.denoiser import Denoiser
from sklearn_diffusion.diffusion.discrete_schedule import (
    CosineSchedule,
    DiscreteSchedule,
    LinearSchedule,
)
from sklearn_diffusion.diffusion.scale_mixture import ScaleMixture, ScaleMixtureDenoiser
from sklearn_diffusion.grid import SurfaceGrid
from sklearn_diffusion.nets.mlp import FiLMMLP
from sklearn_diffusion.nets.unet import ConditionalUNet
from sklearn_diffusion.surfaces.penalty import ArbitragePenalty
from sklearn_diffusion.training.loss import DenoisingLoss

__all__ = [
    "CodedPenalty",
    "RotatedNetwork",
    "UniformSteps",
    "fit_closed_form",
    "loss_reduction",
    "make_network",
    "make_schedule",
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


def make_schedule(kind: Literal["cosine", "linear"], n_steps: int) -> DiscreteSchedule:
    """Noise schedule by name."""
    return CosineSchedule(n_steps) if kind == "cosine" else LinearSchedule(n_steps)


def fit_closed_form(
    w: np.ndarray, day_weights: np.ndarray, schedule: DiscreteSchedule
) -> ScaleMixtureDenoiser:
    """Fit a scale mixture to each coordinate of standardised targets.

    Parameters
    ----------
    w : ndarray of shape (n_days, n_cells)
        Standardised targets, which are centred here.
    day_weights : ndarray of shape (n_days,)
        Weights of the days; they sum to one.
    schedule : DiscreteSchedule
        Forward process.
    """
    return ScaleMixture().fit_denoiser(torch.from_numpy(w), torch.from_numpy(day_weights), schedule)


def make_network(
    kind: Literal["mlp", "unet"],
    grid: SurfaceGrid,
    n_condition: int,
    *,
    width: int,
    channels: tuple[int, ...],
    zero_output: bool,
    seed: int,
    axes: np.ndarray | None = None,
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
    axes : ndarray of shape (n_cells, n_cells), optional
        Axes of the data's coordinates, one per column, which the U-Net's cells are rotated to.
    """
    if kind == "mlp":
        return FiLMMLP(grid.n_cells, n_condition, width=width, seed=seed)
    unet = ConditionalUNet(
        grid.shape,
        n_condition_surfaces=N_CONDITION_SURFACES,
        n_scalars=n_condition - N_CONDITION_SURFACES * grid.n_cells,
        channels=channels,
        zero_output=zero_output,
        seed=seed,
    )
    return unet if axes is None else RotatedNetwork(unet, torch.from_numpy(axes))


@torch.no_grad()
def loss_reduction(
    loss: DenoisingLoss, base: Denoiser, data: dict[str, Tensor]
) -> tuple[float, float]:
    """Mean reduction of the loss against a base denoiser, on the same noise, and its error.

    Rows are taken for independent; the error of a single one is infinite.

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
    n = len(gain)
    return float(gain.mean()), float(gain.std() / math.sqrt(n)) if n > 1 else math.inf
