"""Models of tomorrow's implied-volatility surface."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sklearn_diffusion.utils.lazy import lazy_exports

if TYPE_CHECKING:
    from sklearn_diffusion.surfaces.base import *
    from sklearn_diffusion.surfaces.forecaster import *
    from sklearn_diffusion.surfaces.networks import *
    from sklearn_diffusion.surfaces.targets import *
    from sklearn_diffusion.surfaces.training import *

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "forecaster": ["ConditionalIVSurfaceForecaster"],
        "base": ["SamplingForecasterMixin"],
        "networks": ["Perceptron", "UNet"],
        "targets": ["IncrementTarget", "LevelTarget", "SurfaceTarget"],
        "training": ["ArbitragePenalty", "Training"],
    },
)
