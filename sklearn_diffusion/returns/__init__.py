"""Models of the joint distribution of asset returns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sklearn_diffusion.utils.lazy import lazy_exports

if TYPE_CHECKING:
    from sklearn_diffusion.returns.covariance import *

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "covariance": ["DiffusionCovarianceEstimator"],
    },
)
