"""Work cut into blocks that fit into memory."""

from __future__ import annotations

__all__ = ["MAX_ELEMENTS", "day_blocks"]

# Largest array built at a time on the way to a forecast: 128 MiB of doubles.
MAX_ELEMENTS = 2**24


def day_blocks(n_days: int, elements_per_day: int, max_elements: int) -> list[slice]:
    """Cut days into consecutive blocks whose arrays fit into memory.

    Parameters
    ----------
    n_days : int
        Number of days to cut.
    elements_per_day : int
        Of the largest array that a day takes.
    max_elements : int
        Of the largest array to build; a block has one day at least.

    Returns
    -------
    list of slice
        In order; the last one may reach beyond the days.
    """
    size = max(1, max_elements // elements_per_day)
    return [slice(start, start + size) for start in range(0, n_days, size)]
