"""Figures of merit for forecasts of volatility surfaces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sklearn_diffusion.utils.lazy import lazy_exports

if TYPE_CHECKING:
    from sklearn_diffusion.metrics.surfaces.errors import *
    from sklearn_diffusion.metrics.surfaces.probabilistic import *
    from sklearn_diffusion.metrics.surfaces.scorers import *
    from sklearn_diffusion.metrics.surfaces.tables import *

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "errors": [
            "ape_std",
            "ci_breach",
            "ci_width",
            "ci_width_std",
            "daily_mape",
            "mape",
            "sample_interval",
        ],
        "probabilistic": [
            "crps",
            "daily_crps",
            "energy_score",
            "pit_cramer_von_mises",
            "pit_values",
            "reliability_table",
        ],
        "scorers": [
            "neg_arbitrage_penalty_scorer",
            "neg_ci_breach_error_scorer",
            "neg_ci_width_scorer",
            "neg_crps_scorer",
            "neg_energy_score_scorer",
            "neg_mape_scorer",
            "neg_pit_cramer_von_mises_scorer",
        ],
        "tables": ["moneyness_thirds", "paper_buckets", "surface_moments", "surface_table"],
    },
)
