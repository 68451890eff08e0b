"""Training of denoisers by Monte Carlo score matching, through skorch.

Nothing here touches a global random state: noise and times are drawn from generators of their own,
on the CPU.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import torch
from skorch import NeuralNet
from skorch.callbacks import Callback, EarlyStopping, GradientNormClipping, LRScheduler
from skorch.dataset import Dataset
from skorch.helper import predefined_split
from torch import Tensor, nn
from torch.optim.lr_scheduler import ReduceLROnPlateau
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn
from torch.utils.data import BatchSampler, RandomSampler, SequentialSampler

from sklearn_diffusion.training.callbacks import EpochTasks
from sklearn_diffusion.training.loss import DenoisingLoss

__all__ = [
    "ReportEpochs",
    "TrainingHistory",
    "fit_monte_carlo",
    "train_denoiser",
]


@dataclass(frozen=True)
class TrainingHistory:
    """What happened in training, epoch by epoch.

    Attributes
    ----------
    loss_curve : list of float
        Mean loss over the batches of each epoch.
    validation_loss_curve : list of float
        Loss of the validation rows after each epoch; empty without such rows.
    learning_rate_curve : list of float
        Learning rate of each epoch.
    best_epoch : int
        Position in the curves of the epoch whose weights were kept: the best one by validation
        loss, or the last one without validation; -1 if no epoch was finished.
    interrupted : bool
        Whether Ctrl-C has ended the training.
    net : skorch.NeuralNet
        The net that did the work.
    """

    loss_curve: list[float]
    validation_loss_curve: list[float]
    learning_rate_curve: list[float]
    best_epoch: int
    interrupted: bool
    net: NeuralNet = field(repr=False, compare=False)


class _WeightedMean(nn.Module):
    """Criterion for a module that returns losses: their weighted mean."""

    def forward(self, losses: Tensor, weights: Tensor) -> Tensor:
        return (weights * losses).sum() / weights.sum()


class _AveragedLoss(nn.Module):
    """A loss to train, and its exponential moving average to evaluate."""

    def __init__(self, loss: DenoisingLoss, decay: float):
        super().__init__()
        self.loss = loss
        self.average = AveragedModel(loss, multi_avg_fn=get_ema_multi_avg_fn(decay))
        self.average.requires_grad_(False)
        # The average starts at the initial weights; torch's would start at the first update's.
        self.update()

    def update(self) -> None:
        self.average.update_parameters(self.loss)

    def forward(self, **data: Tensor) -> Tensor:
        return self.loss(**data) if self.training else self.average(**data)


class _UpdateAverage(Callback):
    """Move the average on after each training step."""

    def on_batch_end(self, net: NeuralNet, training: bool = False, **kwargs: Any) -> None:
        if training:
            net.module_.update()


class ReportEpochs(Callback):
    """Tell scikit-learn's callbacks of every epoch, and stop where one of them asks for it.

    Parameters
    ----------
    tasks : EpochTasks
        What the callbacks are reached through.
    attributes : callable
        Maps the loss as evaluated to the estimator's fitted attributes.
    """

    def __init__(self, tasks: EpochTasks, attributes: Callable[[DenoisingLoss], dict[str, Any]]):
        self.tasks = tasks
        self.attributes = attributes
        self.has_stopped = False

    def on_epoch_begin(self, net: NeuralNet, **kwargs: Any) -> None:
        self.tasks.begin_epoch()

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        evaluated: Any = net.module_
        if isinstance(evaluated, _AveragedLoss):
            evaluated = evaluated.average.module
        if self.tasks.end_epoch(lambda: self.attributes(deepcopy(evaluated).cpu())):
            self.has_stopped = True
            # As skorch's own EarlyStopping does; `NeuralNet.fit` ends quietly on it.
            raise KeyboardInterrupt


class _KeepBest(Callback):
    """Hold the evaluated weights of the epoch with the least validation loss, in memory."""

    def __init__(self, evaluated: nn.Module):
        self.evaluated = evaluated
        self.epoch = -1
        self.weights: dict[str, Any] | None = None

    def on_epoch_end(self, net: NeuralNet, **kwargs: Any) -> None:
        # Without validation the last epoch counts as the best, and its weights are in place.
        if net.history[-1].get("valid_loss_best", True):
            self.epoch = len(net.history) - 1
            if "valid_loss" in net.history[-1]:
                self.weights = deepcopy(self.evaluated.state_dict())


def train_denoiser(
    loss: DenoisingLoss,
    data: dict[str, Tensor],
    *,
    weights: Tensor | None = None,
    n_validation: int = 0,
    max_epochs: int = 100,
    batch_size: int = 64,
    lr: float = 1e-3,
    weight_decay: float = 0.01,
    clip_norm: float | None = None,
    ema_decay: float | None = None,
    plateau: tuple[float, int, float] | None = None,
    patience: int | None = None,
    device: str | torch.device = "cpu",
    verbose: int = 0,
    callbacks: list | None = None,
) -> TrainingHistory:
    """Train a denoiser by stochastic gradients (AdamW) on Monte Carlo draws.

    The weights left in the denoiser are those of the best epoch by validation loss, or the last
    ones without validation rows. An interrupt (Ctrl-C) ends the training and leaves the best
    weights so far; the history says so, and what that means is for the caller to decide.

    Parameters
    ----------
    loss : DenoisingLoss
        Holds the denoiser, which is trained in place. Its seed also shuffles the rows.
    data : dict of Tensor
        Arguments of the loss: ``x_0`` of shape (n, n_features) and optionally ``condition`` and
        ``context``, in chronological order.
    weights : Tensor of shape (n,), optional
        Weights of the rows; equal by default.
    n_validation : int, default=0
        Number of last rows to validate on instead of training on them.
    max_epochs : int, default=100
        Largest number of passes over the data.
    batch_size : int, default=64
        Rows per step.
    lr : float, default=1e-3
        Learning rate of AdamW.
    weight_decay : float, default=0.01
        Weight decay of AdamW.
    clip_norm : float, optional
        Largest norm of the gradient.
    ema_decay : float, optional
        Decay of an exponential moving average of the weights, updated at every step. The averaged
        weights are the ones validated and kept.
    plateau : (float, int, float), optional
        Factor by which to reduce the learning rate, epochs without improvement after which to do
        it, and least learning rate.
    patience : int, optional
        Epochs without improvement after which to stop.
    device : str or torch.device, default="cpu"
        Where to train; the loss stays there.
    verbose : int, default=0
        1 prints a line per epoch.
    callbacks : list, optional
        Further skorch callbacks.

    Returns
    -------
    history : TrainingHistory

    Raises
    ------
    ValueError
        If `n_validation` leaves no rows to train on.
    FloatingPointError
        If the training diverges: its weights are not finite, or the best validation loss is above
        twice that of the initial weights.

    Notes
    -----
    Improvement is of the validation loss, or of the training loss without validation rows.
    """
    n = len(data["x_0"])
    if not 0 <= n_validation < n:
        raise ValueError(
            f"n_validation={n_validation} of {n} rows: it must not be negative and must leave "
            "rows to train on."
        )
    data = {name: rows.to(device) for name, rows in data.items()}
    weights = torch.ones_like(data["x_0"][:, 0]) if weights is None else weights.to(device)
    n_train = n - n_validation
    train, valid = (
        Dataset({name: values[rows] for name, values in data.items()}, weights[rows])
        for rows in (slice(n_train), slice(n_train, None))
    )
    monitor = "valid_loss" if n_validation else "train_loss"
    loss.to(device)
    module: nn.Module = loss
    evaluated: nn.Module = loss
    if ema_decay is not None:
        module = averaged = _AveragedLoss(loss, ema_decay)
        evaluated = averaged.average.module
    best = _KeepBest(evaluated)
    chain = [("best", best), *(callbacks or [])]
    if clip_norm is not None:
        chain.append(("clip", GradientNormClipping(clip_norm)))
    if ema_decay is not None:
        chain.append(("average", _UpdateAverage()))
    if plateau is not None:
        factor, epochs, least = plateau
        chain.append(
            (
                "plateau",
                LRScheduler(
                    ReduceLROnPlateau, monitor, factor=factor, patience=epochs, min_lr=least
                ),
            )
        )
    early = EarlyStopping(monitor, patience=patience, threshold=0) if patience else None
    if early is not None:
        # The last of all: it ends the training from within its epoch.
        chain.append(("patience", early))
    generator = torch.Generator().manual_seed(loss.seed)
    # Samplers of whole batches: fetching rows one by one would take longer than a small network.
    net = NeuralNet(
        module,
        criterion=_WeightedMean,
        optimizer=torch.optim.AdamW,
        optimizer__weight_decay=weight_decay,
        optimizer__fused=True,
        lr=lr,
        max_epochs=max_epochs,
        train_split=predefined_split(valid) if n_validation else None,
        iterator_train__batch_size=None,
        iterator_train__sampler=BatchSampler(
            RandomSampler(train, generator=generator), batch_size, drop_last=False
        ),
        iterator_train__generator=generator,
        iterator_valid__batch_size=None,
        iterator_valid__sampler=BatchSampler(
            SequentialSampler(valid), max(n_validation, 1), drop_last=False
        ),
        iterator_valid__generator=generator,
        callbacks=chain,
        device=device,
        verbose=verbose,
    )
    untrained = _mean_loss(loss, valid) if n_validation else math.inf
    net.fit(train)
    if ema_decay is not None or best.weights is not None:
        loss.load_state_dict(evaluated.state_dict() if best.weights is None else best.weights)
    loss.eval()
    if not all(bool(torch.isfinite(parameter).all()) for parameter in loss.parameters()):
        raise FloatingPointError(
            f"The training diverged: its weights are not finite. Lower lr={lr} or "
            f"clip_norm={clip_norm}."
        )
    # An interrupt leaves an epoch without its losses.
    finished = [epoch for epoch in net.history if monitor in epoch]
    validated = [float(epoch["valid_loss"]) for epoch in finished if n_validation]
    if validated and not min(validated) <= 2 * untrained:
        raise FloatingPointError(
            f"The training diverged: its best validation loss is {min(validated):.3g}, that of the "
            f"initial weights {untrained:.3g}. Lower lr={lr} or clip_norm={clip_norm}."
        )
    stopped = (early is not None and early.misses_ >= early.patience) or any(
        getattr(callback, "has_stopped", False) for _, callback in callbacks or []
    )
    return TrainingHistory(
        loss_curve=[float(epoch["train_loss"]) for epoch in finished],
        validation_loss_curve=validated,
        learning_rate_curve=[float(epoch.get("event_lr", lr)) for epoch in finished],
        best_epoch=best.epoch,
        interrupted=len(finished) < max_epochs and not stopped,
        net=net,
    )


@torch.no_grad()
def _mean_loss(loss: DenoisingLoss, rows: Dataset) -> float:
    """Weighted mean of the loss as it stands."""
    losses = loss.eval()(**rows.X)
    loss.train()
    return float((rows.y * losses).sum() / rows.y.sum())


def fit_monte_carlo(
    loss: DenoisingLoss,
    x_0: Tensor,
    weights: Tensor,
    *,
    max_epochs: int,
    batch_size: int,
    lr: float,
    callbacks: list | None = None,
    verbose: int = 0,
) -> NeuralNet:
    """Train a denoiser on all rows to the last epoch, without regularisation.

    Parameters
    ----------
    loss : DenoisingLoss
        Holds the denoiser, which is trained in place.
    x_0 : Tensor of shape (n, n_features)
        Standardised data.
    weights : Tensor of shape (n,)
        Weights of the rows.
    max_epochs : int
        Number of passes over the data.
    batch_size : int
        Rows per step.
    lr : float
        Learning rate of AdamW, without weight decay.
    callbacks : list, optional
        Further skorch callbacks.
    verbose : int, default=0
        1 prints a line per epoch.

    Returns
    -------
    net : skorch.NeuralNet
        Its ``history[:, "train_loss"]`` is the loss curve.

    Raises
    ------
    KeyboardInterrupt
        If Ctrl-C has ended the training.
    """
    history = train_denoiser(
        loss,
        {"x_0": x_0},
        weights=weights,
        max_epochs=max_epochs,
        batch_size=batch_size,
        lr=lr,
        weight_decay=0.0,
        device=x_0.device,
        callbacks=callbacks,
        verbose=verbose,
    )
    if history.interrupted:
        raise KeyboardInterrupt
    return history.net
