"""Diffusion models for asset returns and implied-volatility surfaces, as scikit-learn estimators.

Public names are imported on first use, so that ``import sklearn_diffusion`` is immediate and
work that needs no neural network (metrics, transformers, data sets) never loads PyTorch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sklearn_diffusion.utils.lazy import lazy_exports

if TYPE_CHECKING:
    from sklearn_diffusion.baselines.forecasters import BootstrapForecaster as BootstrapForecaster
    from sklearn_diffusion.baselines.forecasters import RandomWalkForecaster as RandomWalkForecaster
    from sklearn_diffusion.grid import SurfaceGrid as SurfaceGrid
    from sklearn_diffusion.preprocessing.conditioner import EWMAConditioner as EWMAConditioner
    from sklearn_diffusion.preprocessing.forecast_frame import (
        make_forecast_features as make_forecast_features,
    )
    from sklearn_diffusion.preprocessing.forecast_frame import (
        make_forecast_frame as make_forecast_frame,
    )
    from sklearn_diffusion.preprocessing.scaler import LogSurfaceScaler as LogSurfaceScaler
    from sklearn_diffusion.preprocessing.smoothing import SurfaceSmoother as SurfaceSmoother
    from sklearn_diffusion.returns.covariance import (
        DiffusionCovarianceEstimator as DiffusionCovarianceEstimator,
    )
    from sklearn_diffusion.surfaces.forecaster import (
        ConditionalIVSurfaceForecaster as ConditionalIVSurfaceForecaster,
    )

__version__ = "0.1.0.dev0"

_load, __dir__, _names = lazy_exports(
    __name__,
    {
        "baselines.forecasters": ["BootstrapForecaster", "RandomWalkForecaster"],
        "grid": ["SurfaceGrid"],
        "preprocessing.conditioner": ["EWMAConditioner"],
        "preprocessing.forecast_frame": ["make_forecast_features", "make_forecast_frame"],
        "preprocessing.scaler": ["LogSurfaceScaler"],
        "preprocessing.smoothing": ["SurfaceSmoother"],
        "returns.covariance": ["DiffusionCovarianceEstimator"],
        "surfaces.forecaster": ["ConditionalIVSurfaceForecaster"],
    },
)
__all__ = ["__version__", *_names]


def __getattr__(name: str) -> Any:
    # It needs an extra, so `__all__` leaves it out: a star import has to work without.
    if name == "SkfolioDiffusionCovariance":
        from sklearn_diffusion.integrations.skfolio import SkfolioDiffusionCovariance

        return SkfolioDiffusionCovariance
    return _load(name)
