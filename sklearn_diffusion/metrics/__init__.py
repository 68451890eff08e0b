"""Figures of merit for synthetic returns, covariance matrices and volatility surfaces."""

from __future__ import annotations

from ..arbitrage import arbitrage_penalty, arbitrage_report
from .distribution import (
    CramerVonMisesResult,
    classifier_two_sample_accuracy,
    correlation_error,
    cramer_von_mises,
    energy_distance,
    random_portfolios,
)
from .memorisation import memorisation_ratio
from .portfolio import (
    MinimumVarianceBacktest,
    condition_number,
    minimum_variance_weights,
    walk_forward_minimum_variance,
)
from .probabilistic import (
    DieboldMarianoResult,
    crps,
    daily_crps,
    diebold_mariano,
    energy_score,
    pit_cramer_von_mises,
    pit_values,
    reliability_table,
)
from .quality import sample_quality
from .return_scorers import (
    cramer_von_mises_marginals_scorer,
    cramer_von_mises_scorer,
    neg_condition_number_scorer,
    neg_minimum_variance_volatility_scorer,
    neg_shortfall_error_scorer,
)
from .scorers import SCORERS, get_scorer, get_scorer_names, register_scorers
from .surface import (
    ape_std,
    ci_breach,
    ci_width,
    ci_width_std,
    daily_mape,
    mape,
    sample_interval,
)
from .surface_scorers import (
    neg_arbitrage_penalty_scorer,
    neg_ci_breach_error_scorer,
    neg_ci_width_scorer,
    neg_crps_scorer,
    neg_energy_score_scorer,
    neg_mape_scorer,
    neg_pit_cramer_von_mises_scorer,
)
from .surface_tables import (
    moneyness_thirds,
    paper_buckets,
    surface_moments,
    surface_table,
)
from .tails import QQPoints, moments_table, qq_points, tail_table

__all__ = [
    "SCORERS",
    "CramerVonMisesResult",
    "DieboldMarianoResult",
    "MinimumVarianceBacktest",
    "QQPoints",
    "ape_std",
    "arbitrage_penalty",
    "arbitrage_report",
    "ci_breach",
    "ci_width",
    "ci_width_std",
    "classifier_two_sample_accuracy",
    "condition_number",
    "correlation_error",
    "cramer_von_mises",
    "cramer_von_mises_marginals_scorer",
    "cramer_von_mises_scorer",
    "crps",
    "daily_crps",
    "daily_mape",
    "diebold_mariano",
    "energy_distance",
    "energy_score",
    "get_scorer",
    "get_scorer_names",
    "mape",
    "memorisation_ratio",
    "minimum_variance_weights",
    "moments_table",
    "moneyness_thirds",
    "neg_arbitrage_penalty_scorer",
    "neg_ci_breach_error_scorer",
    "neg_ci_width_scorer",
    "neg_condition_number_scorer",
    "neg_crps_scorer",
    "neg_energy_score_scorer",
    "neg_mape_scorer",
    "neg_minimum_variance_volatility_scorer",
    "neg_pit_cramer_von_mises_scorer",
    "neg_shortfall_error_scorer",
    "paper_buckets",
    "pit_cramer_von_mises",
    "pit_values",
    "qq_points",
    "random_portfolios",
    "register_scorers",
    "reliability_table",
    "sample_interval",
    "sample_quality",
    "surface_moments",
    "surface_table",
    "tail_table",
    "walk_forward_minimum_variance",
]
