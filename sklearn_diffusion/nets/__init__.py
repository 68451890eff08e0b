"""Networks that a denoiser can wrap."""

from sklearn_diffusion.nets.hidden_layer import HiddenLayer

__all__ = ["HiddenLayer"]
