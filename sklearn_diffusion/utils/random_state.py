"""Randomness that leaves the global generators alone."""

from __future__ import annotations

import numpy as np
from sklearn.utils import check_random_state

__all__ = ["draw_seed", "private_random_state"]


def private_random_state(
    random_state: int | np.random.RandomState | None,
) -> np.random.RandomState:
    """Generator from an argument, as `sklearn.utils.check_random_state` makes it but for None.

    Parameters
    ----------
    random_state : int, RandomState or None
        None is fresh entropy, where scikit-learn takes numpy's global generator.

    Returns
    -------
    random_state : RandomState
    """
    return np.random.RandomState() if random_state is None else check_random_state(random_state)


def draw_seed(random_state: int | np.random.RandomState | None) -> int:
    """Fix the seed of a fitted forecaster.

    Parameters
    ----------
    random_state : int, RandomState or None
        None is fresh entropy, not numpy's global generator, which stays as it is.

    Returns
    -------
    int
    """
    return int(private_random_state(random_state).randint(np.iinfo(np.int32).max))
