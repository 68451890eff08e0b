"""Displays in scikit-learn's style; they need the ``plot`` extra, importing this does not."""

from __future__ import annotations

from .arbitrage import ArbitrageDisplay
from .fan import FanDisplay
from .loss_curve import LossCurveDisplay
from .qq import QQDisplay
from .reliability import ReliabilityDisplay
from .spectrum import SpectrumDisplay
from .surface import SurfaceDisplay

__all__ = [
    "ArbitrageDisplay",
    "FanDisplay",
    "LossCurveDisplay",
    "QQDisplay",
    "ReliabilityDisplay",
    "SpectrumDisplay",
    "SurfaceDisplay",
]
