"""Figures of merit for synthetic returns, covariance matrices and volatility surfaces."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sklearn_diffusion.utils.lazy import lazy_exports

if TYPE_CHECKING:
    from sklearn_diffusion.arbitrage import *
    from sklearn_diffusion.metrics.comparison import *
    from sklearn_diffusion.metrics.moments import *
    from sklearn_diffusion.metrics.returns.distribution import *
    from sklearn_diffusion.metrics.returns.memorisation import *
    from sklearn_diffusion.metrics.returns.portfolio import *
    from sklearn_diffusion.metrics.returns.quality import *
    from sklearn_diffusion.metrics.returns.scorers import *
    from sklearn_diffusion.metrics.returns.tails import *
    from sklearn_diffusion.metrics.scorers import *
    from sklearn_diffusion.metrics.surfaces.errors import *
    from sklearn_diffusion.metrics.surfaces.probabilistic import *
    from sklearn_diffusion.metrics.surfaces.scorers import *
    from sklearn_diffusion.metrics.surfaces.tables import *

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "returns.distribution": [
            "CramerVonMisesResult",
            "classifier_two_sample_accuracy",
            "correlation_error",
            "cramer_von_mises",
            "energy_distance",
            "random_portfolios",
        ],
        "returns.memorisation": ["memorisation_ratio"],
        "returns.portfolio": [
            "MinimumVarianceBacktest",
            "condition_number",
            "minimum_variance_weights",
            "walk_forward_minimum_variance",
        ],
        "returns.quality": ["sample_quality"],
        "returns.scorers": [
            "cramer_von_mises_marginals_scorer",
            "cramer_von_mises_scorer",
            "neg_condition_number_scorer",
            "neg_minimum_variance_volatility_scorer",
            "neg_shortfall_error_scorer",
        ],
        "returns.tails": ["QQPoints", "qq_points", "tail_table"],
        "surfaces.errors": [
            "ape_std",
            "ci_breach",
            "ci_width",
            "ci_width_std",
            "daily_mape",
            "mape",
            "sample_interval",
        ],
        "surfaces.probabilistic": [
            "crps",
            "daily_crps",
            "energy_score",
            "pit_cramer_von_mises",
            "pit_values",
            "reliability_table",
        ],
        "surfaces.scorers": [
            "neg_arbitrage_penalty_scorer",
            "neg_ci_breach_error_scorer",
            "neg_ci_width_scorer",
            "neg_crps_scorer",
            "neg_energy_score_scorer",
            "neg_mape_scorer",
            "neg_pit_cramer_von_mises_scorer",
        ],
        "surfaces.tables": [
            "moneyness_thirds",
            "paper_buckets",
            "surface_moments",
            "surface_table",
        ],
        "comparison": ["DieboldMarianoResult", "diebold_mariano"],
        "moments": ["moments_table"],
        "scorers": ["SCORERS", "get_scorer", "get_scorer_names", "register_scorers"],
        ".arbitrage": ["arbitrage_penalty", "arbitrage_report"],
    },
)
