"""Transformers between quotes, surfaces and the features of a forecast."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sklearn_diffusion.utils.lazy import lazy_exports

if TYPE_CHECKING:
    from sklearn_diffusion.preprocessing.conditioner import *
    from sklearn_diffusion.preprocessing.features import *
    from sklearn_diffusion.preprocessing.forecast_frame import *
    from sklearn_diffusion.preprocessing.scaler import *
    from sklearn_diffusion.preprocessing.smoothing import *

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "conditioner": ["EWMAConditioner", "advance_features"],
        "features": ["ForecastFeatures", "SCALAR_NAMES", "split_features"],
        "forecast_frame": ["make_forecast_features", "make_forecast_frame"],
        "scaler": ["LogSurfaceScaler"],
        "smoothing": ["SurfaceSmoother"],
    },
)
