"""Training of a surface forecaster's network, and whether it has earned its place."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor, nn

from sklearn_diffusion.diffusion.denoiser import CorrectedDenoiser, Denoiser, NetworkDenoiser
from sklearn_diffusion.diffusion.parameterization import Parameterization
from sklearn_diffusion.diffusion.schedule import Schedule
from sklearn_diffusion.grid import SurfaceGrid
from sklearn_diffusion.surfaces.penalty import ArbitrageExcess, TargetPenalty
from sklearn_diffusion.surfaces.targets import AffineMap
from sklearn_diffusion.surfaces.training import Training
from sklearn_diffusion.training.callbacks import EpochTasks
from sklearn_diffusion.training.loop import ReportEpochs, TrainingHistory, train_denoiser
from sklearn_diffusion.training.loss import DenoisingLoss

__all__ = ["NetworkFit", "fit_network", "loss_reduction"]


@dataclass(frozen=True)
class NetworkFit:
    """What training has come to.

    Attributes
    ----------
    denoiser : Denoiser
        The trained one, or the closed form where the network has not earned its place.
    kept : bool
        Whether the network was kept.
    gain : (float, float) or None
        Mean reduction of the held-out loss against the closed form, and its standard error.
    history : TrainingHistory
        Course of the training.
    """

    denoiser: Denoiser
    kept: bool
    gain: tuple[float, float] | None
    history: TrainingHistory


def fit_network(
    network: nn.Module,
    base: Denoiser | None,
    schedule: Schedule,
    parameterization: Parameterization,
    training: Training,
    *,
    targets: np.ndarray,
    condition: np.ndarray,
    affine: AffineMap,
    grid: SurfaceGrid,
    seed: int,
    device: str,
    tasks: EpochTasks,
) -> NetworkFit:
    """Train a network on standardised targets.

    Parameters
    ----------
    network : Module
        As built by a network object; trained in place.
    base : Denoiser or None
        Closed form that the network corrects; None if it is a denoiser by itself.
    schedule : Schedule
        Forward process.
    parameterization : str
        Quantity whose squared error is trained on.
    training : Training
        How to train.
    targets : ndarray of shape (n_days, n_cells)
        Standardised targets, in time order.
    condition : ndarray of shape (n_days, n_condition)
        What the network is conditioned on.
    affine : AffineMap
        Way from the targets to log volatilities, for the penalty.
    grid : SurfaceGrid
        Where the surfaces live, for the penalty.
    seed : int
        Of times, noise and the order of rows.
    device : str
        Where to train. The result is on the CPU.
    tasks : EpochTasks
        Told of every epoch.

    Returns
    -------
    fit : NetworkFit

    Raises
    ------
    ValueError
        If too few days are left to train on.
    FloatingPointError
        If the training diverges.
    KeyboardInterrupt
        If Ctrl-C ends the training and `on_interrupt` is "raise", or before the first epoch ends.
    """
    n_validation = max(1, round(training.validation_fraction * len(targets)))
    if len(targets) - n_validation < training.min_days:
        raise ValueError(
            f"X has {len(targets)} days, of which {n_validation} validate the network: fewer than "
            f"min_days={training.min_days} are left to train on. Use more days, or network=None."
        )
    denoiser: Denoiser = (
        NetworkDenoiser(network, schedule, parameterization)
        if base is None
        else CorrectedDenoiser(base, network)
    )
    arrays = {"x_0": targets, "condition": condition}
    charge: dict[str, Any] = {}
    penalty = training.penalty
    if penalty is not None and penalty.weight > 0:
        arrays["context"] = np.hstack([affine.offset, affine.scale])
        excess = ArbitrageExcess(grid, rate=penalty.rate, form=penalty.form)
        charge = {
            "penalty": TargetPenalty(excess, torch.from_numpy(affine.basis)),
            "penalty_weight": penalty.weight,
            "penalty_bound": penalty.bound,
        }
    data = {name: torch.from_numpy(values).float() for name, values in arrays.items()}
    loss = DenoisingLoss(
        denoiser,
        seed=seed,
        kind=parameterization,
        n_evaluation_draws=training.n_evaluation_draws,
        average=True,
        **charge,
    ).float()
    history = train_denoiser(
        loss,
        data,
        n_validation=n_validation,
        max_epochs=training.max_epochs,
        batch_size=training.batch_size,
        lr=training.lr,
        weight_decay=training.weight_decay,
        clip_norm=training.clip_norm,
        ema_decay=training.ema_decay,
        plateau=(training.plateau_factor, training.plateau_patience, training.min_lr),
        patience=training.patience,
        device=device,
        verbose=training.verbose,
        callbacks=[("report", ReportEpochs(tasks, _attributes))],
    )
    if history.interrupted:
        if training.on_interrupt == "raise" or history.best_epoch < 0:
            raise KeyboardInterrupt
        warnings.warn(
            f"the training was interrupted after {len(history.loss_curve)} of at most "
            f"{training.max_epochs} epochs; the best weights so far are kept.",
            ConvergenceWarning,
            stacklevel=4,
        )
    loss = loss.cpu()
    if base is None:
        return NetworkFit(loss.denoiser, True, None, history)
    held_out = {name: values[-n_validation:] for name, values in data.items()}
    gain, error = loss_reduction(loss, base, held_out)
    kept = gain > training.min_gain * error
    return NetworkFit(loss.denoiser if kept else base, kept, (gain, error), history)


def _attributes(loss: DenoisingLoss) -> dict[str, Any]:
    """Fitted attributes of a forecaster that stops at this loss."""
    return {"denoiser_": loss.denoiser, "network_kept_": True}


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
