"""Weights of days."""

from __future__ import annotations

import numpy as np

__all__ = ["recency_weights"]


def recency_weights(n_days: int, half_life: float | None) -> np.ndarray:
    """Weights of days in time order, halving every `half_life` days into the past; sum one."""
    if half_life is None:
        return np.full(n_days, 1 / n_days)
    weights = 0.5 ** (np.arange(n_days)[::-1] / half_life)
    return weights / weights.sum()
