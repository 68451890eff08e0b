"""Simple models behind the same interface, for comparison."""

from __future__ import annotations

from .shrinkage import QuadraticInverseShrinkage, quadratic_inverse_shrinkage

__all__ = ["QuadraticInverseShrinkage", "quadratic_inverse_shrinkage"]
