"""Figures of merit for covariance matrices and samples of returns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sklearn_diffusion.utils.lazy import lazy_exports

if TYPE_CHECKING:
    from sklearn_diffusion.metrics.returns.distribution import *
    from sklearn_diffusion.metrics.returns.memorisation import *
    from sklearn_diffusion.metrics.returns.portfolio import *
    from sklearn_diffusion.metrics.returns.quality import *
    from sklearn_diffusion.metrics.returns.scorers import *
    from sklearn_diffusion.metrics.returns.tails import *

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "distribution": [
            "CramerVonMisesResult",
            "classifier_two_sample_accuracy",
            "correlation_error",
            "cramer_von_mises",
            "energy_distance",
            "random_portfolios",
        ],
        "memorisation": ["memorisation_ratio"],
        "portfolio": [
            "MinimumVarianceBacktest",
            "condition_number",
            "minimum_variance_weights",
            "walk_forward_minimum_variance",
        ],
        "quality": ["sample_quality"],
        "scorers": [
            "cramer_von_mises_marginals_scorer",
            "cramer_von_mises_scorer",
            "neg_condition_number_scorer",
            "neg_minimum_variance_volatility_scorer",
            "neg_shortfall_error_scorer",
        ],
        "tails": ["QQPoints", "qq_points", "tail_table"],
    },
)
