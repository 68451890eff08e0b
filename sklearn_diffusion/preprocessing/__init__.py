"""Transformers between quotes, surfaces and the features of a forecast."""

from __future__ import annotations

from sklearn_diffusion.preprocessing.conditioner import EWMAConditioner, advance_features
from sklearn_diffusion.preprocessing.features import (
    SCALAR_NAMES,
    ForecastFeatures,
    split_features,
)
from sklearn_diffusion.preprocessing.forecast_frame import make_forecast_frame
from sklearn_diffusion.preprocessing.scaler import LogSurfaceScaler
from sklearn_diffusion.preprocessing.smoothing import SurfaceSmoother

__all__ = [
    "SCALAR_NAMES",
    "EWMAConditioner",
    "ForecastFeatures",
    "LogSurfaceScaler",
    "SurfaceSmoother",
    "advance_features",
    "make_forecast_frame",
    "split_features",
]
