"""Objectives: what a denoiser is trained to minimise.

Score matching fits a model score to ``grad log p_t``; denoising score matching replaces that
unknown gradient by the known one of the perturbation kernel, which changes the loss by a constant
(Vincent, 2011; paper B, eqs. (68)-(69)). The weighting lambda(t) of those equations is the choice
of the quantity whose squared error is taken:

=============  =======================
squared error  lambda(t)
=============  =======================
``score``      1
``epsilon``    sigma^2
``residual``   sigma^4
``x0``         sigma^4 / alpha^2
=============  =======================

Three ways to take the expectation over the noise are offered: Monte Carlo (here), quadrature
(`sklearn_diffusion.diffusion.quadrature`) and, for a linear score, in closed form (here).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from sklearn_diffusion.diffusion.denoiser import Denoiser
from sklearn_diffusion.diffusion.parameterization import Parameterization, from_denoised
from sklearn_diffusion.diffusion.schedule import Schedule

__all__ = [
    "denoising_score_matching",
    "divergence",
    "explicit_score_matching",
    "linear_score_loss",
    "perturb",
    "snr_weighted",
    "squared_errors",
]


def perturb(schedule: Schedule, x_0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """Draw from the kernel: ``alpha_t x_0 + sigma_t noise``.

    Parameters
    ----------
    schedule : Schedule
        Forward process.
    x_0 : Tensor of shape (..., n_features)
        Clean data.
    t : Tensor of shape (...)
        Times.
    noise : Tensor of shape (..., n_features)
        Standard normal draws.

    Returns
    -------
    x_t : Tensor of shape (..., n_features)
    """
    return schedule.alpha(t) * x_0 + schedule.sigma(t) * noise


def squared_errors(
    schedule: Schedule,
    denoised: Tensor,
    x_0: Tensor,
    x_t: Tensor,
    t: Tensor,
    kind: Parameterization = "epsilon",
) -> Tensor:
    """Squared error of denoised estimates, in the units of a parameterization.

    Parameters
    ----------
    schedule : Schedule
        Forward process.
    denoised, x_0, x_t : Tensor of shape (n, n_features)
        Estimates of the clean data, the clean data, and the noisy data they were made from.
    t : Tensor of shape (n,)
        Positive times.
    kind : {"epsilon", "score", "residual", "x0", "v"}, default="epsilon"
        Quantity whose squared error is taken, i.e. the weighting lambda(t).

    Returns
    -------
    errors : Tensor of shape (n, n_features)
    """
    estimate, target = (from_denoised(x, kind, x_t, schedule, t) for x in (denoised, x_0))
    return (estimate - target).square()


def denoising_score_matching(
    denoiser: Denoiser,
    x_0: Tensor,
    t: Tensor,
    noise: Tensor,
    *,
    kind: Parameterization = "epsilon",
    condition: Tensor | None = None,
) -> Tensor:
    """Monte Carlo denoising score matching, one draw of noise per row (paper B, eq. (69)).

    Parameters
    ----------
    denoiser : Denoiser
        Model.
    x_0 : Tensor of shape (n, n_features)
        Clean data.
    t : Tensor of shape (n,)
        Positive times.
    noise : Tensor of shape (n, n_features)
        Standard normal draws.
    kind : {"epsilon", "score", "residual", "x0", "v"}, default="epsilon"
        Quantity whose squared error is taken, i.e. the weighting lambda(t).
    condition : Tensor of shape (n, ...), optional
        Passed to the denoiser.

    Returns
    -------
    loss : Tensor of shape (n,)
        Squared error of each row, summed over features.
    """
    x_t = perturb(denoiser.schedule, x_0, t, noise)
    denoised = denoiser(x_t, t, condition)
    return squared_errors(denoiser.schedule, denoised, x_0, x_t, t, kind).sum(-1)


def divergence(field: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Exact divergence of a vector field, row by row.

    Parameters
    ----------
    field : callable
        Maps a tensor of shape (n_features,) to one of the same shape.
    x : Tensor of shape (n, n_features)
        Points.

    Returns
    -------
    divergence : Tensor of shape (n,)
    """
    jacobian = torch.func.vmap(torch.func.jacrev(field))(x)
    return torch.einsum("nii->n", jacobian)


def explicit_score_matching(score: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    """Score matching without noise, by integration by parts (paper B, eq. (5)).

    ``div s(x) + |s(x)|^2 / 2`` has the expectation ``E|s - grad log p|^2 / 2`` up to a constant, so
    it needs neither the density of the data nor a kernel; the price is the divergence.

    Parameters
    ----------
    score : callable
        Maps a tensor of shape (n_features,) to one of the same shape.
    x : Tensor of shape (n, n_features)
        Data.

    Returns
    -------
    loss : Tensor of shape (n,)
    """
    return divergence(score, x) + 0.5 * torch.func.vmap(score)(x).square().sum(-1)


def linear_score_loss(
    eigenvalues: Tensor, variances: Tensor, alpha: Tensor, sigma: Tensor
) -> Tensor:
    r"""Expected denoising score matching loss of a Gaussian's score, in closed form.

    The score of :math:`N(0, \Sigma)` at noise (alpha, sigma) is linear, and along an eigenvector of
    eigenvalue :math:`\lambda` it is :math:`-M x_t` with :math:`M = 1 / (\alpha^2 \lambda +
    \sigma^2)`. Against data of variance :math:`s` in that direction, the expected squared error in
    noise units is

    .. math:: 1 - 2 \sigma^2 M + \sigma^2 M^2 (\alpha^2 s + \sigma^2),

    smallest at :math:`\lambda = s`. No noise is drawn.

    Parameters
    ----------
    eigenvalues : Tensor of shape (..., n_features)
        Variances of the model along its eigenvectors.
    variances : Tensor of shape (..., n_features)
        Variances of the data along the same directions.
    alpha, sigma : Tensor, broadcastable to the shape of `eigenvalues`
        Schedule at one or more times.

    Returns
    -------
    loss : Tensor of shape (...)
        Summed over directions.
    """
    gain = 1 / (alpha**2 * eigenvalues + sigma**2)
    noisy = alpha**2 * variances + sigma**2
    return (1 - 2 * sigma**2 * gain + sigma**2 * gain**2 * noisy).sum(-1)


def snr_weighted(
    penalty: Callable[[Tensor, Tensor | None], Tensor],
    denoised: Tensor,
    alpha: Tensor,
    sigma: Tensor,
    context: Tensor | None = None,
    bound: float = 10.0,
) -> Tensor:
    r"""Penalty on denoised estimates, times the signal-to-noise ratio.

    Parameters
    ----------
    penalty : callable
        Maps denoised data (n, n_features) and their context to penalties of shape (n,).
    denoised : Tensor of shape (n, n_features)
        Estimate of the clean data, standardised.
    alpha, sigma : Tensor of shape (n, 1)
        Schedule at the time of each row.
    context : Tensor of shape (n, ...), optional
        Passed to `penalty`: what it takes to map increments back to levels, for example.
    bound : float, default=10.0
        Number of standard deviations beyond which estimates are cut off. An untrained network is
        that far off where there is hardly any signal, and the exponential of a log volatility
        would overflow where the penalty counts for nothing.

    Returns
    -------
    penalty : Tensor of shape (n,)
        :math:`\bar\alpha / (1 - \bar\alpha + 10^{-8})` times the penalty.

    References
    ----------
    Jin & Agarwal, arXiv 2511.07571, equations (40) and (41).
    """
    snr = (alpha**2 / (sigma**2 + 1e-8)).mean(-1)
    return snr * penalty(denoised.clamp(-bound, bound), context)
