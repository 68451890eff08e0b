"""Weights of days."""

from __future__ import annotations

import numpy as np

__all__ = ["recency_weights"]


def recency_weights(n_days: int, half_life: float | None) -> np.ndarray:
    """Weights of days in time order, halving every `half_life` days into the past.

    Parameters
    ----------
    n_days : int
        Number of days, the last one the most recent.
    half_life : float or None
        Days after which a day counts half; None weighs all days alike.

    Returns
    -------
    ndarray of shape (n_days,)
        They sum to one.
    """
    if half_life is None:
        return np.full(n_days, 1 / n_days)
    weights = 0.5 ** (np.arange(n_days)[::-1] / half_life)
    return weights / weights.sum()
