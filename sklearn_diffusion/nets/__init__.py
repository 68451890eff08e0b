"""Networks that a denoiser can wrap."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sklearn_diffusion.utils.lazy import lazy_exports

if TYPE_CHECKING:
    from sklearn_diffusion.nets.embedding import *
    from sklearn_diffusion.nets.hidden_layer import *
    from sklearn_diffusion.nets.mlp import *
    from sklearn_diffusion.nets.unet import *

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "embedding": ["FiLM", "SinusoidalEmbedding", "seeded_init"],
        "hidden_layer": ["HiddenLayerNetwork"],
        "mlp": ["FiLMMLP"],
        "unet": ["ConditionalUNet"],
    },
)
