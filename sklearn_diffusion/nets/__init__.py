"""Networks that a denoiser can wrap."""

from sklearn_diffusion.nets.embedding import FiLM, SinusoidalEmbedding, seeded_init
from sklearn_diffusion.nets.hidden_layer import HiddenLayer
from sklearn_diffusion.nets.mlp import FiLMMLP
from sklearn_diffusion.nets.unet import ConditionalUNet

__all__ = [
    "ConditionalUNet",
    "FiLM",
    "FiLMMLP",
    "HiddenLayer",
    "SinusoidalEmbedding",
    "seeded_init",
]
