"""Training of denoisers: the loss, the loop, quadrature and callbacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sklearn_diffusion.utils.lazy import lazy_exports

if TYPE_CHECKING:
    from sklearn_diffusion.training.callbacks import *
    from sklearn_diffusion.training.loop import *
    from sklearn_diffusion.training.loss import *
    from sklearn_diffusion.training.quadrature import *

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "callbacks": ["CallbackSupportMixin", "EpochTasks", "with_callbacks"],
        "loop": ["ReportEpochs", "TrainingHistory", "fit_monte_carlo", "train_denoiser"],
        "loss": ["DenoisingLoss"],
        "quadrature": ["QuadratureObjective"],
    },
)
