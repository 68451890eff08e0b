"""Exact denoiser of independent coordinates with tails: a scale mixture on each.

A coordinate ``w ~ sum_j pi_j N(0, v_j)`` over a fixed grid of variances v_j is as calm or as
heavy-tailed as its data, has its denoiser in closed form, and is fitted by EM in its weights alone:
a convex problem without bad optima.
"""

from __future__ import annotations

import math
from numbers import Real

import torch
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval
from torch import Tensor

from sklearn_diffusion.diffusion.denoiser import Denoiser
from sklearn_diffusion.diffusion.schedule import Schedule
from sklearn_diffusion.utils.parameters import Count

__all__ = ["ScaleMixture", "ScaleMixtureDenoiser", "fit_scale_mixture"]


class ScaleMixture(BaseEstimator):
    """Score model of independent coordinates with tails: a scale mixture fitted to each.

    Chosen by judgement: variances from a twentieth to twelve times the average, densely enough for
    the weights to make any tail in between; pooling keeps a coordinate of few days near the others.

    Parameters
    ----------
    n_scales : int, default=8
        Number of components.
    low, high : float, default=0.05 and 12.0
        Least and largest variance of a component, for data of unit variance; those between are
        even in logarithm.
    n_iter : int, default=100
        EM iterations.
    pooled_rows : float, default=20.0
        Weight, in rows, of the average over all coordinates in each coordinate's own weights.
    """

    _parameter_constraints: dict = {
        "n_scales": [Count()],
        "low": [Interval(Real, 0, None, closed="neither")],
        "high": [Interval(Real, 0, None, closed="neither")],
        "n_iter": [Count()],
        "pooled_rows": [Interval(Real, 0, None, closed="left")],
    }

    def __init__(
        self,
        *,
        n_scales: int = 8,
        low: float = 0.05,
        high: float = 12.0,
        n_iter: int = 100,
        pooled_rows: float = 20.0,
    ):
        self.n_scales = n_scales
        self.low = low
        self.high = high
        self.n_iter = n_iter
        self.pooled_rows = pooled_rows

    def scales(self) -> Tensor:
        """Variances of the components.

        Returns
        -------
        Tensor of shape (n_scales,)
            From `low` to `high` in equal steps of the logarithm, in double precision.
        """
        ends = math.log(self.low), math.log(self.high)
        return torch.linspace(*ends, self.n_scales, dtype=torch.float64).exp()

    def fit_denoiser(
        self, x_0: Tensor, weights: Tensor, schedule: Schedule
    ) -> ScaleMixtureDenoiser:
        """Fit to rows of about unit variance, which are centred first.

        Parameters
        ----------
        x_0 : Tensor of shape (n, n_features)
            Standardised rows.
        weights : Tensor of shape (n,)
            Weights of the rows; they sum to one.
        schedule : Schedule
            Forward process.

        Returns
        -------
        denoiser : ScaleMixtureDenoiser
        """
        scales = self.scales().to(x_0)
        mixture = fit_scale_mixture(
            x_0 - weights @ x_0,
            scales,
            weights * len(x_0),
            n_iter=self.n_iter,
            pooled_rows=self.pooled_rows,
        )
        return ScaleMixtureDenoiser(mixture, scales, schedule)


class ScaleMixtureDenoiser(Denoiser):
    r"""Denoiser of independent scale mixtures.

    For each coordinate, with responsibilities :math:`r_j \propto \pi_j N(x_t; 0, \alpha^2 v_j +
    \sigma^2)`,

    .. math:: E[x_0 | x_t] = x_t \sum_j r_j \frac{\alpha v_j}{\alpha^2 v_j + \sigma^2}.

    Parameters
    ----------
    weights : Tensor of shape (n_features, n_scales)
        Positive weights of the components of each coordinate; rows sum to one.
    scales : Tensor of shape (n_scales,)
        Variances of the components.
    schedule : Schedule
        Forward process.
    """

    log_weights: Tensor
    scales: Tensor

    def __init__(self, weights: Tensor, scales: Tensor, schedule: Schedule):
        super().__init__(schedule)
        self.register_buffer("log_weights", weights.log())
        self.register_buffer("scales", scales)

    def forward(self, x_t: Tensor, t: Tensor, condition: Tensor | None = None) -> Tensor:
        alpha, sigma = self.schedule.alpha(t)[..., None], self.schedule.sigma(t)[..., None]
        variance = alpha**2 * self.scales + sigma**2
        log_density = -0.5 * (x_t[..., None] ** 2 / variance + variance.log())
        responsibility = (self.log_weights + log_density).softmax(-1)
        return x_t * (responsibility * (alpha * self.scales / variance)).sum(-1)


def fit_scale_mixture(
    x: Tensor,
    scales: Tensor,
    row_weights: Tensor,
    *,
    n_iter: int = 100,
    pooled_rows: float = 20.0,
) -> Tensor:
    """Weights of the components by EM, one set for each coordinate.

    Parameters
    ----------
    x : Tensor of shape (n, n_features)
        Data of mean zero and about unit variance.
    scales : Tensor of shape (n_scales,)
        Variances of the components.
    row_weights : Tensor of shape (n,)
        Weights of the rows, of mean one.
    n_iter : int, default=100
        Iterations.
    pooled_rows : float, default=20.0
        Weight, in rows, of the average over all coordinates in each coordinate's own weights.

    Returns
    -------
    weights : Tensor of shape (n_features, n_scales)
    """
    log_likelihood = -0.5 * (x[..., None] ** 2 / scales + scales.log())
    weights = x.new_full((x.shape[1], len(scales)), 1 / len(scales))
    for _ in range(n_iter):
        membership = (log_likelihood + weights.log()).softmax(-1)
        counts = torch.einsum("n,ndj->dj", row_weights, membership)
        weights = counts + pooled_rows * counts.sum(0) / counts.sum() + 1e-6
        weights = weights / weights.sum(-1, keepdim=True)
    return weights
