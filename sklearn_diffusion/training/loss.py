"""The denoising score-matching loss as a module."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor, nn

from sklearn_diffusion.diffusion.denoiser import Denoiser
from sklearn_diffusion.diffusion.objective import perturb, snr_weighted, squared_errors
from sklearn_diffusion.diffusion.parameterization import Parameterization

__all__ = ["DenoisingLoss"]


class DenoisingLoss(nn.Module):
    """Score-matching loss as a module: data in, loss of each row out.

    Training draws fresh times and noise; evaluation draws the same ones at every call, so that
    the losses of two epochs differ only by the model.

    Parameters
    ----------
    denoiser : Denoiser
        Model to train.
    draw_times : callable, optional
        Maps uniform draws of shape (n,) to times; by default the schedule's `training_times`.
    seed : int, default=0
        Seed of the times and the noise.
    kind : {"epsilon", "v", "velocity", "x0", "score", "residual"}, default="epsilon"
        Quantity whose squared error is taken.
    n_draws, n_evaluation_draws : int, default=1 and 8
        Draws of time and noise for each row, averaged. The uniform draws behind the times are
        stratified over the draws of a row.
    average : bool, default=False
        Whether the squared error is averaged over features, instead of summed.
    penalty : callable, optional
        Maps denoised estimates (n, n_features) and their context to penalties of shape (n,),
        which are weighted by the signal-to-noise ratio and added; see `snr_weighted`.
    penalty_weight : float, default=0.01
        Weight of the penalty (paper C's lambda).
    penalty_bound : float, default=10.0
        Standard deviations at which denoised estimates are cut off before they are charged.
    """

    def __init__(
        self,
        denoiser: Denoiser,
        draw_times: Callable[[Tensor], Tensor] | None = None,
        seed: int = 0,
        kind: Parameterization = "epsilon",
        *,
        n_draws: int = 1,
        n_evaluation_draws: int = 8,
        average: bool = False,
        penalty: Callable[[Tensor, Tensor | None], Tensor] | None = None,
        penalty_weight: float = 0.01,
        penalty_bound: float = 10.0,
    ):
        super().__init__()
        self.denoiser = denoiser
        self.draw_times = denoiser.schedule.training_times if draw_times is None else draw_times
        self.seed = seed
        self.kind = kind
        self.n_draws = n_draws
        self.n_evaluation_draws = n_evaluation_draws
        self.average = average
        self.penalty = penalty
        self.penalty_weight = penalty_weight
        self.penalty_bound = penalty_bound
        self._rng = np.random.default_rng(seed)

    def forward(
        self, x_0: Tensor, condition: Tensor | None = None, context: Tensor | None = None
    ) -> Tensor:
        """Loss of each row.

        Parameters
        ----------
        x_0 : Tensor of shape (n, n_features)
            Standardised data.
        condition : Tensor of shape (n, n_condition), optional
            Passed to the denoiser.
        context : Tensor of shape (n, ...), optional
            Passed to the penalty; by default the condition.

        Returns
        -------
        loss : Tensor of shape (n,)
        """
        rng = self._rng if self.training else np.random.default_rng([self.seed, 1])
        n, draws = len(x_0), self.n_draws if self.training else self.n_evaluation_draws
        strata = np.repeat(np.arange(draws), n)
        t = self.draw_times(torch.from_numpy((strata + rng.random(draws * n)) / draws).to(x_0))
        noise = torch.from_numpy(rng.standard_normal((draws * n, x_0.shape[1]))).to(x_0)
        schedule = self.denoiser.schedule
        x_0, condition = x_0.repeat(draws, 1), _repeat(condition, draws)
        context = condition if context is None else _repeat(context, draws)
        x_t = perturb(schedule, x_0, t, noise)
        denoised = self.denoiser(x_t, t, condition)
        errors = squared_errors(schedule, denoised, x_0, x_t, t, self.kind)
        losses = errors.mean(-1) if self.average else errors.sum(-1)
        if self.penalty is not None:
            alpha, sigma = schedule.alpha(t), schedule.sigma(t)
            charged = snr_weighted(
                self.penalty, denoised, alpha, sigma, context, self.penalty_bound
            )
            losses = losses + self.penalty_weight * charged
        return losses.reshape(draws, n).mean(0)


def _repeat(rows: Tensor | None, draws: int) -> Tensor | None:
    return None if rows is None else rows.repeat(draws, *[1] * (rows.ndim - 1))
