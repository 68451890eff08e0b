"""Displays in scikit-learn's style; they need the ``plot`` extra, importing this does not."""

from __future__ import annotations

from .loss_curve import LossCurveDisplay
from .qq import QQDisplay
from .spectrum import SpectrumDisplay

__all__ = ["LossCurveDisplay", "QQDisplay", "SpectrumDisplay"]
