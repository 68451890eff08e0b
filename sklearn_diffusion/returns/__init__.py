"""Models of the joint distribution of asset returns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sklearn_diffusion.utils.lazy import lazy_exports

if TYPE_CHECKING:
    from sklearn_diffusion.returns.covariance import *
    from sklearn_diffusion.returns.early_stopping import *
    from sklearn_diffusion.returns.hidden_layer import *
    from sklearn_diffusion.returns.kernel_mixture import *
    from sklearn_diffusion.returns.score_model import *

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "covariance": ["DiffusionCovarianceEstimator"],
        "early_stopping": ["EarlyStopping"],
        "hidden_layer": ["HiddenLayer"],
        "kernel_mixture": ["KernelMixture"],
        "score_model": ["FromDenoiser", "SampledScoreModel"],
    },
)
