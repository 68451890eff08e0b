"""The interchangeable targets of a denoising network, converted in one place.

With ``x_t = alpha x_0 + sigma eps`` a network may predict any combination ``y = p x_0 + q eps``.
Two linear equations give the denoised estimate,

    E[x_0 | x_t] = (sigma y - q x_t) / (p sigma - q alpha),

so a target is its two coefficients:

=============  =======================================  ========  =======
name           target                                   p         q
=============  =======================================  ========  =======
``x0``         x_0                                      1         0
``epsilon``    eps                                      0         1
``score``      -eps / sigma                             0         -1/sigma
``residual``   alpha x_0 - x_t, i.e. sigma^2 score      0         -sigma
``v``          alpha eps - sigma x_0                    -sigma    alpha
``velocity``   d x_t / dt                               alpha'    sigma'
=============  =======================================  ========  =======

The first three are paper A's table, ``residual`` is the K of paper B, eq. (71), ``v`` is paper C's,
and ``velocity`` is that of flow matching (Lipman et al., 2023). Where ``p sigma = q alpha`` the
target says nothing of x_0, as the noise does not where no signal is left: it is undefined there.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal, get_args

import torch
from torch import Tensor

if TYPE_CHECKING:
    from sklearn_diffusion.diffusion.schedule import Schedule

__all__ = ["PARAMETERIZATIONS", "Parameterization", "from_denoised", "to_denoised"]

Parameterization = Literal["x0", "epsilon", "score", "residual", "v", "velocity"]
PARAMETERIZATIONS: tuple[str, ...] = get_args(Parameterization)

# Coefficients (p, q) at alpha and sigma; those of the velocity are the schedule's own derivatives.
_COEFFICIENTS: dict[str, Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]] = {
    "x0": lambda alpha, sigma: (torch.ones_like(alpha), torch.zeros_like(sigma)),
    "epsilon": lambda alpha, sigma: (torch.zeros_like(alpha), torch.ones_like(sigma)),
    "score": lambda alpha, sigma: (torch.zeros_like(alpha), -1 / sigma),
    "residual": lambda alpha, sigma: (torch.zeros_like(alpha), -sigma),
    "v": lambda alpha, sigma: (-sigma, alpha),
}


def _coefficients(
    kind: Parameterization, schedule: Schedule, t: Tensor, alpha: Tensor, sigma: Tensor
) -> tuple[Tensor, Tensor]:
    if kind == "velocity":
        return schedule.rates(t)
    if kind not in _COEFFICIENTS:
        raise ValueError(f"Unknown parameterization {kind!r}; choose one of {PARAMETERIZATIONS}.")
    return _COEFFICIENTS[kind](alpha, sigma)


def to_denoised(
    output: Tensor, kind: Parameterization, x_t: Tensor, schedule: Schedule, t: Tensor
) -> Tensor:
    """Denoised estimate of x_0 from a network's output.

    Parameters
    ----------
    output : Tensor of shape (..., n_features)
        Network output.
    kind : {"x0", "epsilon", "score", "residual", "v", "velocity"}
        What the network predicts.
    x_t : Tensor of shape (..., n_features)
        Noisy data.
    schedule : Schedule
        Forward process.
    t : Tensor, broadcastable to the shape ``(...)``
        Times of `x_t`.

    Returns
    -------
    x_0 : Tensor of shape (..., n_features)

    Raises
    ------
    ValueError
        If the kind is unknown, or undefined at one of the times.
    """
    if kind == "x0":
        return output
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    p, q = _coefficients(kind, schedule, t, alpha, sigma)
    determinant = p * sigma - q * alpha
    defined = determinant.isfinite() & (determinant != 0)
    if not bool(defined.all()):
        at = float(t.expand(defined.shape[:-1])[~defined.all(-1)].reshape(-1)[0])
        raise ValueError(
            f"parameterization={kind!r} is undefined at t={at:g} of {schedule!r}: it says nothing "
            "of x_0 there. Predict 'v', 'velocity' or 'x0', or stay away from that time."
        )
    return (sigma * output - q * x_t) / determinant


def from_denoised(
    x_0: Tensor, kind: Parameterization, x_t: Tensor, schedule: Schedule, t: Tensor
) -> Tensor:
    """Inverse of `to_denoised`: what a network of that kind should have predicted.

    Parameters
    ----------
    x_0 : Tensor of shape (..., n_features)
        Clean (or denoised) data.
    kind : {"x0", "epsilon", "score", "residual", "v", "velocity"}
        What the network predicts.
    x_t : Tensor of shape (..., n_features)
        Noisy data.
    schedule : Schedule
        Forward process.
    t : Tensor, broadcastable to the shape ``(...)``
        Times of `x_t`; there is no noise to speak of at sigma = 0.

    Returns
    -------
    target : Tensor of shape (..., n_features)

    Raises
    ------
    ValueError
        If the kind is unknown.
    """
    if kind == "x0":
        return x_0
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    p, q = _coefficients(kind, schedule, t, alpha, sigma)
    return q * (x_t - alpha * x_0) / sigma + p * x_0
