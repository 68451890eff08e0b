"""Core of the package: schedules, denoisers, objectives and samplers, in torch."""

from sklearn_diffusion.diffusion.denoiser import (
    CorrectedDenoiser,
    Denoiser,
    GaussianDenoiser,
    GaussianMixtureDenoiser,
    NetworkDenoiser,
)
from sklearn_diffusion.diffusion.objective import (
    denoising_score_matching,
    divergence,
    explicit_score_matching,
    linear_score_loss,
    perturb,
    squared_errors,
)
from sklearn_diffusion.diffusion.parameterization import from_denoised, to_denoised
from sklearn_diffusion.diffusion.quadrature import (
    CosineUnits,
    HermiteUnits,
    gauss_hermite,
    gauss_legendre,
    output_layer,
    residual_loss,
)
from sklearn_diffusion.diffusion.sampler import (
    DDIM,
    DDPM,
    EulerMaruyama,
    Multistep,
    Sampler,
    posterior,
)
from sklearn_diffusion.diffusion.scale_mixture import ScaleMixtureDenoiser, fit_scale_mixture
from sklearn_diffusion.diffusion.schedule import (
    CosineSchedule,
    DiscreteSchedule,
    LinearSchedule,
    Schedule,
    SubVariancePreserving,
    VarianceExploding,
    VariancePreserving,
)

__all__ = [
    "DDIM",
    "DDPM",
    "CorrectedDenoiser",
    "CosineSchedule",
    "CosineUnits",
    "Denoiser",
    "DiscreteSchedule",
    "EulerMaruyama",
    "GaussianDenoiser",
    "GaussianMixtureDenoiser",
    "HermiteUnits",
    "LinearSchedule",
    "Multistep",
    "NetworkDenoiser",
    "Sampler",
    "ScaleMixtureDenoiser",
    "Schedule",
    "SubVariancePreserving",
    "VarianceExploding",
    "VariancePreserving",
    "denoising_score_matching",
    "divergence",
    "explicit_score_matching",
    "fit_scale_mixture",
    "from_denoised",
    "gauss_hermite",
    "gauss_legendre",
    "linear_score_loss",
    "output_layer",
    "perturb",
    "posterior",
    "residual_loss",
    "squared_errors",
    "to_denoised",
]
