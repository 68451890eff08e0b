"""Figures of merit for synthetic returns, covariance matrices and volatility surfaces."""

from __future__ import annotations

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
from .quality import sample_quality
from .return_scorers import (
    cramer_von_mises_marginals_scorer,
    cramer_von_mises_scorer,
    neg_condition_number_scorer,
    neg_minimum_variance_volatility_scorer,
    neg_shortfall_error_scorer,
)
from .scorers import SCORERS, get_scorer, get_scorer_names, register_scorers
from .tails import QQPoints, moments_table, qq_points, tail_table

__all__ = [
    "SCORERS",
    "CramerVonMisesResult",
    "MinimumVarianceBacktest",
    "QQPoints",
    "classifier_two_sample_accuracy",
    "condition_number",
    "correlation_error",
    "cramer_von_mises",
    "cramer_von_mises_marginals_scorer",
    "cramer_von_mises_scorer",
    "energy_distance",
    "get_scorer",
    "get_scorer_names",
    "memorisation_ratio",
    "minimum_variance_weights",
    "moments_table",
    "neg_condition_number_scorer",
    "neg_minimum_variance_volatility_scorer",
    "neg_shortfall_error_scorer",
    "qq_points",
    "random_portfolios",
    "register_scorers",
    "sample_quality",
    "tail_table",
    "walk_forward_minimum_variance",
]
