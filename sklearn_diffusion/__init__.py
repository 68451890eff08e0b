"""Diffusion models for asset returns and implied-volatility surfaces, as scikit-learn estimators.

Public names are imported on first use, so that ``import sklearn_diffusion`` is immediate and
work that needs no neural network (metrics, transformers, data sets) never loads PyTorch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sklearn_diffusion.baselines import BootstrapForecaster as BootstrapForecaster
    from sklearn_diffusion.baselines import RandomWalkForecaster as RandomWalkForecaster
    from sklearn_diffusion.covariance import (
        DiffusionCovarianceEstimator as DiffusionCovarianceEstimator,
    )
    from sklearn_diffusion.grid import SurfaceGrid as SurfaceGrid
    from sklearn_diffusion.preprocessing import EWMAConditioner as EWMAConditioner
    from sklearn_diffusion.preprocessing import LogSurfaceScaler as LogSurfaceScaler
    from sklearn_diffusion.preprocessing import SurfaceSmoother as SurfaceSmoother
    from sklearn_diffusion.preprocessing import make_forecast_frame as make_forecast_frame
    from sklearn_diffusion.surface import (
        ConditionalIVSurfaceForecaster as ConditionalIVSurfaceForecaster,
    )

__version__ = "0.1.0.dev0"

_MODULE_OF = {
    "BootstrapForecaster": "baselines",
    "ConditionalIVSurfaceForecaster": "surface",
    "DiffusionCovarianceEstimator": "covariance",
    "EWMAConditioner": "preprocessing",
    "LogSurfaceScaler": "preprocessing",
    "RandomWalkForecaster": "baselines",
    "SurfaceGrid": "grid",
    "SurfaceSmoother": "preprocessing",
    "make_forecast_frame": "preprocessing",
}
# These need an extra, so `__all__` leaves them out: a star import has to work without.
_MODULE_OF_EXTRA = {"SkfolioDiffusionCovariance": "integrations.skfolio"}

__all__ = ["__version__", *_MODULE_OF]


def __getattr__(name: str) -> Any:
    module = _MODULE_OF.get(name) or _MODULE_OF_EXTRA.get(name)
    if module is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{module}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
