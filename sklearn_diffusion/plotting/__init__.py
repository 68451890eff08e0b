"""Displays in scikit-learn's style; they need the ``plot`` extra, importing this does not."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sklearn_diffusion.utils.lazy import lazy_exports

if TYPE_CHECKING:
    from sklearn_diffusion.plotting.arbitrage import *
    from sklearn_diffusion.plotting.fan import *
    from sklearn_diffusion.plotting.loss_curve import *
    from sklearn_diffusion.plotting.qq import *
    from sklearn_diffusion.plotting.reliability import *
    from sklearn_diffusion.plotting.spectrum import *
    from sklearn_diffusion.plotting.surface import *

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "arbitrage": ["ArbitrageDisplay"],
        "fan": ["FanDisplay"],
        "loss_curve": ["LossCurveDisplay"],
        "qq": ["QQDisplay"],
        "reliability": ["ReliabilityDisplay"],
        "spectrum": ["SpectrumDisplay"],
        "surface": ["SurfaceDisplay"],
    },
)
