"""Diffusion models for asset returns and implied-volatility surfaces, as scikit-learn estimators.

Public names are imported on first use, so that ``import sklearn_diffusion`` is immediate and
work that needs no neural network (metrics, transformers, data sets) never loads PyTorch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sklearn_diffusion.covariance import (
        DiffusionCovarianceEstimator as DiffusionCovarianceEstimator,
    )

__version__ = "0.1.0.dev0"

_MODULE_OF = {
    "DiffusionCovarianceEstimator": "covariance",
}

__all__ = ["__version__", *_MODULE_OF]


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_MODULE_OF[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
