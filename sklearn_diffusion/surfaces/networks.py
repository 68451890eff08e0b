"""Networks of a surface forecaster, as objects that carry their own parameters.

A network is given by an object with

- `uses_surfaces`: whether the condition of a day is its standardised surfaces (today's and its two
  averages, 3 n_cells numbers) and then its scalars, or the scalars alone;
- ``build(grid, n_scalars, *, zero_output, seed, axes) -> Module``, whose module is called as
  ``module(x_t, t, condition)`` with noisy targets (..., n_cells), times in [0, 1] and the
  condition, and returns a tensor of the shape of `x_t`. With `zero_output` it has to start at zero,
  as the correction of a closed form should. `axes` (n_cells, n_cells) turn the coordinates of the
  targets, one axis per column, into cells of the grid.
"""

from __future__ import annotations

import math
from numbers import Integral, Real
from typing import TYPE_CHECKING

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval

from sklearn_diffusion.grid import SurfaceGrid
from sklearn_diffusion.utils.parameters import Count

if TYPE_CHECKING:
    from torch import nn

__all__ = ["Perceptron", "UNet"]

# Today's surface and its two averages.
N_CONDITION_SURFACES = 3


class Perceptron(BaseEstimator):
    """A small perceptron on the scalar conditions, modulated by time and condition.

    Its size was chosen by judgement: on a few hundred training days a larger one learns no more.

    Parameters
    ----------
    width : int, default=64
        Width of the hidden layers.
    depth : int, default=2
        Number of hidden layers.
    time_features : int, default=8
        Size of the embedding of the time, even.
    max_frequency : float, default=4 pi
        Largest frequency of that embedding, over times in [0, 1].
    """

    uses_surfaces = False

    _parameter_constraints: dict = {
        "width": [Count()],
        "depth": [Count()],
        "time_features": [Count(2)],
        "max_frequency": [Interval(Real, 0, 1e6, closed="neither")],
    }

    def __init__(
        self,
        *,
        width: int = 64,
        depth: int = 2,
        time_features: int = 8,
        max_frequency: float = 4 * math.pi,
    ):
        self.width = width
        self.depth = depth
        self.time_features = time_features
        self.max_frequency = max_frequency

    def build(
        self,
        grid: SurfaceGrid,
        n_scalars: int,
        *,
        zero_output: bool,
        seed: int,
        axes: np.ndarray,
    ) -> nn.Module:
        """Make the module; its last layer starts at zero in any case.

        Parameters
        ----------
        grid : SurfaceGrid
            Where the surfaces live.
        n_scalars : int
            Number of scalar conditions.
        zero_output : bool
            Without effect.
        seed : int
            Seed of the initial weights.
        axes : ndarray of shape (n_cells, n_cells)
            Without effect: the targets are taken in their own coordinates.

        Returns
        -------
        Module
            Called as ``module(x_t, t, condition)``.
        """
        from sklearn_diffusion.nets.mlp import FiLMMLP

        return FiLMMLP(
            grid.n_cells,
            n_scalars,
            width=self.width,
            depth=self.depth,
            time_features=self.time_features,
            max_frequency=self.max_frequency,
            seed=seed,
        )


class UNet(BaseEstimator):
    """The U-Net of Jin & Agarwal (section 5.2), on surfaces and scalars; its values are theirs.

    Parameters
    ----------
    channels : tuple of int, default=(16, 30)
        Channels of each level, the last being the bottleneck.
    time_features : int, default=10
        Size of the embedding of the time, even.
    scalar_features : int, default=10
        Size of the embedding of the scalars.
    """

    uses_surfaces = True

    _parameter_constraints: dict = {
        "channels": [tuple, list],
        "time_features": [Count(2)],
        "scalar_features": [Count()],
    }

    def __init__(
        self,
        *,
        channels: tuple[int, ...] = (16, 30),
        time_features: int = 10,
        scalar_features: int = 10,
    ):
        self.channels = channels
        self.time_features = time_features
        self.scalar_features = scalar_features

    def _validate_params(self) -> None:
        super()._validate_params()
        if not self.channels or not all(isinstance(n, Integral) and n > 0 for n in self.channels):
            raise ValueError(f"channels must be positive integers, got {self.channels!r}.")

    def build(
        self,
        grid: SurfaceGrid,
        n_scalars: int,
        *,
        zero_output: bool,
        seed: int,
        axes: np.ndarray,
    ) -> nn.Module:
        """Make the module, which works on cells of the grid whatever the coordinates.

        Parameters
        ----------
        grid : SurfaceGrid
            Where the surfaces live.
        n_scalars : int
            Number of scalar conditions, which follow the three condition surfaces.
        zero_output : bool
            Whether the last layer starts at zero.
        seed : int
            Seed of the initial weights.
        axes : ndarray of shape (n_cells, n_cells)
            Orthogonal axes of the targets' coordinates, one per column.

        Returns
        -------
        Module
            Called as ``module(x_t, t, condition)``.
        """
        import torch

        from sklearn_diffusion.nets.unet import ConditionalUNet
        from sklearn_diffusion.surfaces.rotated_network import RotatedNetwork

        unet = ConditionalUNet(
            grid.shape,
            n_condition_surfaces=N_CONDITION_SURFACES,
            n_scalars=n_scalars,
            channels=tuple(self.channels),
            time_features=self.time_features,
            scalar_features=self.scalar_features,
            zero_output=zero_output,
            seed=seed,
        )
        on_cells = np.array_equal(axes, np.eye(grid.n_cells))
        return unet if on_cells else RotatedNetwork(unet, torch.from_numpy(axes))
