"""Estimators in the shape that other libraries ask for.

Each module needs the library it is named after and says how to install it; importing this package
needs none. `sklearn_diffusion.integrations.skfolio` holds `SkfolioDiffusionCovariance`.
"""

from __future__ import annotations

__all__: list[str] = []
