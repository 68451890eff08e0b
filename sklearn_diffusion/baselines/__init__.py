"""Simple models behind the same interface, for comparison."""

from __future__ import annotations

from .forecasters import BootstrapForecaster, RandomWalkForecaster
from .recency import RecencyWeightedShrinkage
from .shrinkage import QuadraticInverseShrinkage, quadratic_inverse_shrinkage

__all__ = [
    "BootstrapForecaster",
    "QuadraticInverseShrinkage",
    "RandomWalkForecaster",
    "RecencyWeightedShrinkage",
    "quadratic_inverse_shrinkage",
]
