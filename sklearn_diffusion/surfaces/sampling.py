"""Draws of a surface forecaster's standardised targets, on noise that all days share."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import torch
from scipy.special import ndtri
from torch import Tensor

from sklearn_diffusion.diffusion.denoiser import Denoiser
from sklearn_diffusion.diffusion.sampler import DDIM, DDPM, Multistep, Sampler
from sklearn_diffusion.diffusion.schedule import Schedule
from sklearn_diffusion.utils.device import resolve_device
from sklearn_diffusion.utils.parameters import resolve_part

__all__ = ["SharedNoise", "draw_targets", "resolve_sampler"]


def resolve_sampler(sampler: str | Sampler, n_steps: int | None, schedule: Schedule) -> Sampler:
    """Return the sampler that two parameters of a forecaster stand for.

    Parameters
    ----------
    sampler : {"multistep", "ddim", "ddpm"} or Sampler
        By name, or as an object.
    n_steps : int or None
        Steps of a sampler given by name; None is its default.
    schedule : Schedule
        All of whose steps ancestral sampling takes by default.

    Returns
    -------
    Sampler

    Raises
    ------
    ValueError
        If `n_steps` is given beside an object, or a parameter of that is impossible.
    """
    if n_steps is not None and not isinstance(sampler, str):
        raise ValueError(
            f"n_sampling_steps={n_steps} is for a sampler given by name: set the steps of "
            f"sampler={sampler!r} on the object."
        )
    named = {
        "multistep": lambda: Multistep(n_steps or 16),
        "ddim": lambda: DDIM(n_steps or 50),
        "ddpm": lambda: DDPM(n_steps or int(schedule.t_max)),
    }
    return resolve_part(sampler, "sampler", named)


def draw_targets(
    denoiser: Denoiser,
    n_samples: int,
    n_cells: int,
    seed: int,
    condition: np.ndarray | None = None,
    *,
    sampler: Sampler,
    device: str = "auto",
) -> np.ndarray:
    """Draw standardised targets.

    Parameters
    ----------
    denoiser : Denoiser
        Of standardised targets; it stays where it is.
    n_samples, n_cells : int
        Number of draws for each day, and of cells of a surface.
    seed : int
        Seed of the noise.
    condition : ndarray of shape (n_days, n_condition), optional
        Conditions of a network. Without them the distribution is the same every day, and one day is
        drawn, in double precision.
    sampler : Sampler
        Of the reverse process.
    device : {"auto", "cpu", "cuda", "mps"}, default="auto"
        Where a network computes.

    Returns
    -------
    w : ndarray of shape (n_samples, n_days, n_cells)

    Raises
    ------
    FloatingPointError
        If the reverse process diverges.
    """
    if condition is None:
        n_days, like = 1, torch.empty(0, dtype=torch.float64)
    else:
        n_days = len(condition)
        like = torch.empty(0, dtype=torch.float32, device=resolve_device(device))
    # A copy moves: the fitted model stays on the CPU, so that its pickle opens everywhere.
    denoiser = deepcopy(denoiser).to(like)
    w = sampler.sample(
        denoiser,
        (n_samples, n_days, n_cells),
        SharedNoise(seed, like),
        None if condition is None else torch.from_numpy(condition).to(like),
    )
    drawn = w.double().cpu().numpy()
    if not np.isfinite(drawn).all():
        raise FloatingPointError(
            "The reverse process diverged: samples are not finite. Lower the learning rate, give "
            "the sampler clip_denoised, or predict 'v' instead of 'epsilon'."
        )
    return drawn


class SharedNoise:
    """Standard normal draws that all days share, on the CPU.

    The first block, from which the reverse process starts, is stratified: each coordinate's
    quantiles are those of the normal distribution. Its coordinates are ordered like draws without
    sample correlation (Iman & Conover 1982) and nearly uncorrelated as well, without which the
    spread of a cell, a sum over coordinates, would vary from seed to seed. Later blocks, for
    ancestral sampling, are plain.

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
        shape = (n_samples, n_features)
        draws = self._rng.standard_normal(shape)
        left, _, right = np.linalg.svd(draws - draws.mean(axis=0), full_matrices=False)
        # The nearest draws without correlation give the order; their values do not matter.
        strata = (left @ right).argsort(axis=0).argsort(axis=0)
        return ndtri((strata + self._rng.random(shape)) / n_samples)
