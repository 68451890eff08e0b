"""Core of the package: schedules, denoisers, objectives and samplers, in torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sklearn_diffusion.utils.lazy import lazy_exports

if TYPE_CHECKING:
    from sklearn_diffusion.diffusion.denoiser import *
    from sklearn_diffusion.diffusion.discrete_schedule import *
    from sklearn_diffusion.diffusion.objective import *
    from sklearn_diffusion.diffusion.parameterization import *
    from sklearn_diffusion.diffusion.quadrature import *
    from sklearn_diffusion.diffusion.sampler import *
    from sklearn_diffusion.diffusion.scale_mixture import *
    from sklearn_diffusion.diffusion.schedule import *

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "denoiser": [
            "CorrectedDenoiser",
            "Denoiser",
            "GaussianDenoiser",
            "GaussianMixtureDenoiser",
            "NetworkDenoiser",
        ],
        "discrete_schedule": ["CosineSchedule", "DiscreteSchedule", "LinearSchedule"],
        "objective": [
            "denoising_score_matching",
            "divergence",
            "explicit_score_matching",
            "linear_score_loss",
            "perturb",
            "snr_weighted",
            "squared_errors",
        ],
        "parameterization": ["from_denoised", "to_denoised"],
        "quadrature": [
            "CosineUnits",
            "HermiteUnits",
            "gauss_hermite",
            "gauss_legendre",
            "output_layer",
            "residual_loss",
        ],
        "sampler": ["DDIM", "DDPM", "EulerMaruyama", "Heun", "Multistep", "Sampler", "posterior"],
        "scale_mixture": ["ScaleMixture", "ScaleMixtureDenoiser", "fit_scale_mixture"],
        "schedule": [
            "PowerSchedule",
            "Schedule",
            "StraightLine",
            "SubVariancePreserving",
            "VarianceExploding",
            "VariancePreserving",
        ],
    },
)
