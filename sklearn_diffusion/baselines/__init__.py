"""Simple models behind the same interface, for comparison."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sklearn_diffusion.utils.lazy import lazy_exports

if TYPE_CHECKING:
    from sklearn_diffusion.baselines.forecasters import *
    from sklearn_diffusion.baselines.recency import *
    from sklearn_diffusion.baselines.shrinkage import *

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "forecasters": ["BootstrapForecaster", "RandomWalkForecaster"],
        "recency": ["RecencyWeightedShrinkage"],
        "shrinkage": ["QuadraticInverseShrinkage", "quadratic_inverse_shrinkage"],
    },
)
