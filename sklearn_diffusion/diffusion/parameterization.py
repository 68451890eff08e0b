"""The interchangeable targets of a denoising network, converted in one place.

With ``x_t = alpha x_0 + sigma eps`` a network may predict any of

=============  =======================================  ============================
name           target                                   denoised estimate E[x_0|x_t]
=============  =======================================  ============================
``x0``         x_0                                      output
``epsilon``    eps                                      (x_t - sigma eps) / alpha
``score``      -eps / sigma                             (x_t + sigma^2 score) / alpha
``v``          alpha eps - sigma x_0                    (alpha x_t - sigma v) / (alpha^2 + sigma^2)
``residual``   alpha x_0 - x_t, i.e. sigma^2 score      (x_t + residual) / alpha
=============  =======================================  ============================

The first three are paper A's table, ``v`` is paper C's, and ``residual`` is the K of paper B,
eq. (71). The division in ``v`` makes it right for schedules that do not preserve variance.
"""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor

__all__ = ["PARAMETERIZATIONS", "Parameterization", "from_denoised", "to_denoised"]

Parameterization = Literal["x0", "epsilon", "score", "v", "residual"]
PARAMETERIZATIONS: tuple[str, ...] = get_args(Parameterization)


def to_denoised(
    output: Tensor, kind: Parameterization, x_t: Tensor, alpha: Tensor, sigma: Tensor
) -> Tensor:
    """Denoised estimate of x_0 from a network's output.

    Parameters
    ----------
    output, x_t : Tensor of shape (..., n_features)
        Network output and noisy data.
    kind : {"x0", "epsilon", "score", "v", "residual"}
        What the network predicts.
    alpha, sigma : Tensor of shape (..., k)
        Schedule at the time of `x_t`.

    Returns
    -------
    x_0 : Tensor of shape (..., n_features)
    """
    match kind:
        case "x0":
            return output
        case "epsilon":
            return (x_t - sigma * output) / alpha
        case "score":
            return (x_t + sigma**2 * output) / alpha
        case "v":
            return (alpha * x_t - sigma * output) / (alpha**2 + sigma**2)
        case "residual":
            return (x_t + output) / alpha
    raise ValueError(f"Unknown parameterization {kind!r}; choose one of {PARAMETERIZATIONS}.")


def from_denoised(
    x_0: Tensor, kind: Parameterization, x_t: Tensor, alpha: Tensor, sigma: Tensor
) -> Tensor:
    """Inverse of `to_denoised`: what a network of that kind should have predicted.

    Parameters
    ----------
    x_0, x_t : Tensor of shape (..., n_features)
        Clean (or denoised) and noisy data.
    kind : {"x0", "epsilon", "score", "v", "residual"}
        What the network predicts.
    alpha, sigma : Tensor of shape (..., k)
        Schedule at the time of `x_t`.

    Returns
    -------
    target : Tensor of shape (..., n_features)
    """
    residual = alpha * x_0 - x_t
    match kind:
        case "x0":
            return x_0
        case "epsilon":
            return -residual / sigma
        case "score":
            return residual / sigma**2
        case "v":
            return -alpha * residual / sigma - sigma * x_0
        case "residual":
            return residual
    raise ValueError(f"Unknown parameterization {kind!r}; choose one of {PARAMETERIZATIONS}.")
