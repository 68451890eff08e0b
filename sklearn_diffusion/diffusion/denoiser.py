"""Denoisers: E[x_0 | x_t], whatever a model was trained to predict.

A denoiser joins a `Schedule` and a model of the data. By Tweedie's formula it carries the score,

    grad log p_t(x_t) = (alpha_t E[x_0 | x_t] - x_t) / sigma_t^2,

so samplers, objectives and likelihoods need nothing else. Two of them are exact: the denoisers of
a Gaussian and of a Gaussian mixture, which also serve as test oracles and as the base on which a
network learns a correction.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn

from sklearn_diffusion.diffusion.parameterization import (
    Parameterization,
    from_denoised,
    to_denoised,
)
from sklearn_diffusion.diffusion.schedule import Schedule

__all__ = [
    "CorrectedDenoiser",
    "Denoiser",
    "GaussianDenoiser",
    "GaussianMixtureDenoiser",
    "NetworkDenoiser",
]


class Denoiser(nn.Module, ABC):
    """Map from noisy data and time to the expected clean data.

    Parameters
    ----------
    schedule : Schedule
        Forward process.
    """

    def __init__(self, schedule: Schedule):
        super().__init__()
        self.schedule = schedule

    @abstractmethod
    def forward(self, x_t: Tensor, t: Tensor, condition: Tensor | None = None) -> Tensor:
        """E[x_0 | x_t].

        Parameters
        ----------
        x_t : Tensor of shape (..., n_features)
            Noisy data.
        t : Tensor, broadcastable to the shape ``(...)``
            Times, one per row or one for all, in the dtype of `x_t`.
        condition : Tensor, optional
            What the law is conditioned on; ignored by unconditional models.

        Returns
        -------
        x_0 : Tensor of shape (..., n_features)
        """

    def score(self, x_t: Tensor, t: Tensor, condition: Tensor | None = None) -> Tensor:
        """Gradient of the log density of `x_t`, by Tweedie's formula.

        Parameters
        ----------
        x_t : Tensor of shape (..., n_features)
            Noisy data.
        t : Tensor, broadcastable to the shape ``(...)``
            Times, after 0 where the noise of the schedule vanishes.
        condition : Tensor, optional
            What the law is conditioned on.

        Returns
        -------
        score : Tensor of shape (..., n_features)
        """
        return self.predict("score", x_t, t, condition)

    def predict(
        self, kind: Parameterization, x_t: Tensor, t: Tensor, condition: Tensor | None = None
    ) -> Tensor:
        """Denoised estimate expressed in any parameterization.

        Parameters
        ----------
        kind : {"x0", "epsilon", "score", "residual", "v", "velocity"}
            What to express the estimate as.
        x_t : Tensor of shape (..., n_features)
            Noisy data.
        t : Tensor, broadcastable to the shape ``(...)``
            Times of `x_t`.
        condition : Tensor, optional
            What the law is conditioned on.

        Returns
        -------
        target : Tensor of shape (..., n_features)
            See `from_denoised`.
        """
        return from_denoised(self(x_t, t, condition), kind, x_t, self.schedule, t)


class GaussianMixtureDenoiser(Denoiser):
    r"""Exact denoiser of a Gaussian mixture.

    For :math:`x_0 \sim \sum_k w_k N(m_k, \Sigma_k)` and isotropic noise,

    .. math::
        E[x_0 | x_t] = \sum_k r_k(x_t) \left( m_k
            + \alpha \Sigma_k (\alpha^2 \Sigma_k + \sigma^2 I)^{-1} (x_t - \alpha m_k) \right),

    where :math:`r_k` are the responsibilities of the noisy mixture. Each covariance is diagonalised
    once, so that all times share the work.

    Parameters
    ----------
    weights : Tensor of shape (n_components,)
        Positive weights; they are normalised.
    means : Tensor of shape (n_components, n_features)
        Component means.
    covariances : Tensor of shape (n_components, n_features, n_features)
        Symmetric positive semi-definite.
    schedule : Schedule
        Isotropic forward process (k = 1); rescale the data for rates per coordinate.
    """

    weights: Tensor
    means: Tensor
    eigenvalues: Tensor
    eigenvectors: Tensor

    def __init__(self, weights: Tensor, means: Tensor, covariances: Tensor, schedule: Schedule):
        super().__init__(schedule)
        if len(schedule.prior_variance) != 1:
            raise ValueError("The exact mixture denoiser needs a schedule with one rate for all.")
        eigenvalues, eigenvectors = torch.linalg.eigh(covariances)
        self.register_buffer("weights", weights / weights.sum())
        self.register_buffer("means", means)
        self.register_buffer("eigenvalues", eigenvalues.clamp(min=0))
        self.register_buffer("eigenvectors", eigenvectors)

    def forward(self, x_t: Tensor, t: Tensor, condition: Tensor | None = None) -> Tensor:
        alpha, sigma = self.schedule.alpha(t)[..., None, :], self.schedule.sigma(t)[..., None, :]
        centred = (x_t[..., None, :] - alpha * self.means).transpose(-2, -3)
        # (..., n, k, d) -> (..., k, n, d) so that each component multiplies a matrix of rows.
        rotated = (centred @ self.eigenvectors).transpose(-2, -3)
        variance = alpha**2 * self.eigenvalues + sigma**2
        log_density = -0.5 * (rotated**2 / variance + variance.log()).sum(-1)
        responsibility = torch.softmax(self.weights.log() + log_density, dim=-1)
        shrunk = alpha * self.eigenvalues / variance * rotated
        denoised = (shrunk.transpose(-2, -3) @ self.eigenvectors.mT).transpose(-2, -3) + self.means
        return (responsibility[..., None] * denoised).sum(-2)


class GaussianDenoiser(Denoiser):
    r"""Exact denoiser of a Gaussian, for any schedule.

    :math:`E[x_0 | x_t] = m + \Sigma A (A \Sigma A + S)^{-1} (x_t - A m)` with the diagonal
    :math:`A = \mathrm{diag}(\alpha)` and :math:`S = \mathrm{diag}(\sigma^2)`. It is linear in
    :math:`x_t`: the denoiser whose score-matching loss has a closed form.

    Parameters
    ----------
    mean : Tensor of shape (n_features,)
        Mean m of the clean data.
    covariance : Tensor of shape (n_features, n_features)
        Symmetric positive semi-definite.
    schedule : Schedule
        Forward process; rates per coordinate are allowed.
    """

    mean: Tensor
    covariance: Tensor

    def __init__(self, mean: Tensor, covariance: Tensor, schedule: Schedule):
        super().__init__(schedule)
        self.register_buffer("mean", mean)
        self.register_buffer("covariance", covariance)

    def forward(self, x_t: Tensor, t: Tensor, condition: Tensor | None = None) -> Tensor:
        alpha = self.schedule.alpha(t).expand(*t.shape, len(self.mean))
        sigma = self.schedule.sigma(t).expand(*t.shape, len(self.mean))
        noisy = alpha[..., :, None] * self.covariance * alpha[..., None, :]
        noisy = noisy + torch.diag_embed(sigma**2)
        gain = torch.linalg.solve(noisy, alpha[..., :, None] * self.covariance)
        centred = x_t - alpha * self.mean
        return self.mean + (centred[..., None, :] @ gain).squeeze(-2)


class NetworkDenoiser(Denoiser):
    """Denoiser around a network of any parameterization.

    Parameters
    ----------
    network : Module
        Called as ``network(x_t, t, condition)``, with `t` scaled to [0, 1].
    schedule : Schedule
        Forward process.
    parameterization : {"epsilon", "v", "velocity", "x0", "score", "residual"}, default="epsilon"
        What the network predicts.
    """

    def __init__(
        self,
        network: nn.Module,
        schedule: Schedule,
        parameterization: Parameterization = "epsilon",
    ):
        super().__init__(schedule)
        self.network = network
        self.parameterization = parameterization

    def forward(self, x_t: Tensor, t: Tensor, condition: Tensor | None = None) -> Tensor:
        output = self.network(x_t, t / self.schedule.t_max, condition)
        return to_denoised(output, self.parameterization, x_t, self.schedule, t)


class CorrectedDenoiser(Denoiser):
    r"""A base denoiser plus what a network learns on top of it.

    .. math::
        E[x_0 | x_t] = D_{base}(x_t) + \frac{\sigma_t}{\sqrt{\alpha_t^2 + \sigma_t^2}} F(x_t, t)

    The factor is the preconditioning of a v-prediction: the correction vanishes without noise and
    stays bounded in pure noise. With the network's last layer at zero, training starts from the
    quality of the base instead of having to reach it.

    Parameters
    ----------
    base : Denoiser
        Usually one of the exact denoisers.
    network : Module
        Called as ``network(x_t, t, condition)``, with `t` scaled to [0, 1].
    """

    def __init__(self, base: Denoiser, network: nn.Module):
        super().__init__(base.schedule)
        self.base = base
        self.network = network

    def forward(self, x_t: Tensor, t: Tensor, condition: Tensor | None = None) -> Tensor:
        alpha = self.schedule.alpha(t)
        sigma = self.schedule.sigma(t)
        correction = self.network(x_t, t / self.schedule.t_max, condition)
        return self.base(x_t, t, condition) + sigma / (alpha**2 + sigma**2).sqrt() * correction
