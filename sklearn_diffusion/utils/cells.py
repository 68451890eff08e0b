"""Checks of surface data that name the day and the cell at fault."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import check_consistent_length

from sklearn_diffusion.utils.arrays import as_float_table
from sklearn_diffusion.utils.dates import check_equal_index, name_day

__all__ = [
    "LARGEST_VOLATILITY",
    "LEAST_VOLATILITY",
    "check_labels",
    "check_truth",
    "check_volatilities",
]

# Far beyond what any market quotes; ratios of what lies between have squares in double precision.
LEAST_VOLATILITY, LARGEST_VOLATILITY = 1e-12, 1e12

_N_NAMED = 3
# As `SurfaceGrid.cell_names` writes them, perhaps after the name of a block of features.
_CELL_NAME = re.compile(r"m\d+\.\d+_t\d+\.\d+$")


def check_volatilities(
    values: NDArray,
    *,
    days: Sequence[Any] | pd.Index | None = None,
    cells: Sequence[Any] | NDArray | pd.Index | None = None,
    what: str = "volatilities",
) -> None:
    """Raise unless every value is positive and finite, from 1e-12 to 1e12.

    Parameters
    ----------
    values : ndarray of shape (n_days, n_cells)
        Volatilities, as decimals.
    days : sequence of length n_days, optional
        Names of the rows. Their positions by default.
    cells : sequence of length n_cells, optional
        Names of the columns. Their positions by default.
    what : str, default="volatilities"
        Name of the quantity, for the message.

    Raises
    ------
    ValueError
        Naming the first few values at fault by day and cell.
    """
    invalid = ~((values >= LEAST_VOLATILITY) & (values <= LARGEST_VOLATILITY))
    if not invalid.any():
        return
    positions = np.argwhere(invalid)
    named = "; ".join(
        f"{_show(values[row, column])} on day {name_day(days, row)}, "
        f"cell {repr(str(cells[column])) if cells is not None else column}"
        for row, column in positions[:_N_NAMED]
    )
    more = f" and {len(positions) - _N_NAMED} more" if len(positions) > _N_NAMED else ""
    # The words that scikit-learn expects of an estimator which takes positive data only.
    prefix = "Negative values in data: " if (values < 0).any() else ""
    raise ValueError(
        f"{prefix}{what} must be positive and finite, without NaN or inf, from "
        f"{LEAST_VOLATILITY:g} to {LARGEST_VOLATILITY:g}; got {named}{more}. "
        "Nothing is filled or dropped here: drop those days or repair the surfaces first."
    )


def _show(value: float) -> str:
    return "NaN" if np.isnan(value) else f"{value:g}"


def _numbers(label: Any) -> tuple[float, float] | None:
    """A label that is a pair of numbers."""
    if isinstance(label, tuple) and len(label) == 2:
        try:
            return float(label[0]), float(label[1])
        except (TypeError, ValueError):
            return None
    return None


def _place(name: str) -> tuple[float, float] | None:
    """Moneyness and tenor that the name of a cell says."""
    found = _CELL_NAME.search(name)
    if found is None or found.start() > 0:
        return None
    moneyness, tenor = found.group()[1:].split("_t")
    return float(moneyness), float(tenor)


def check_labels(labels: Iterable[Any], expected: Iterable[str], what: str) -> None:
    """Raise where the label of a column belongs to another place.

    Labels of the caller's own, which say nothing of a place, pass.

    Parameters
    ----------
    labels : iterable
        Labels of the columns.
    expected : iterable of str
        Labels as this package writes them, in order.
    what : str
        Name of the table, for the message.

    Raises
    ------
    ValueError
        Naming the first column that is labelled as another one, or as a cell of another grid.
    """
    expected = list(expected)
    known = set(expected)
    labels = list(labels)
    for position, (label, name) in enumerate(zip(labels, expected, strict=False)):
        # Pairs of numbers, as of columns with two levels: moneyness, then tenor.
        given, place = _numbers(label), _place(name)
        if given is not None and place is not None and not np.allclose(given, place, atol=5e-3):
            raise ValueError(
                f"column {position} of {what} is {label!r}, but moneyness {place[0]:g} and tenor "
                f"{place[1]:g} belong there: the columns are in another order, or those of another "
                "grid."
            )
    for position, (label, own) in enumerate(zip(labels, expected, strict=False)):
        if not isinstance(label, str) or label == own:
            continue
        if label in known or (_CELL_NAME.search(label) and _CELL_NAME.search(own)):
            raise ValueError(
                f"column {position} of {what} is {label!r}, but {own!r} belongs there: the columns "
                "are in another order, or those of another grid."
            )


def check_truth(
    X: ArrayLike | pd.DataFrame,
    y: ArrayLike | pd.DataFrame,
    n_cells: int,
    cells: Sequence[str] | NDArray | None = None,
) -> None:
    """Raise unless the surfaces by which a forecast is judged are those that it is made for.

    Parameters
    ----------
    X : array-like of shape (n_days, n_features)
        Features of the forecast.
    y : array-like of shape (n_days, n_cells)
        The surfaces that followed, in volatility units.
    n_cells : int
        Number of cells of a forecast.
    cells : sequence of str, optional
        Names of the cells in order. By default those that the columns of `X` name, where it is a
        frame made by `make_forecast_frame`.

    Raises
    ------
    ValueError
        If a volatility is not positive, or days or cells of `y` are not those of `X`.
    """
    truth = as_float_table(y, "y")
    check_equal_index(X, truth)
    check_consistent_length(X, truth)
    columns = truth.columns if isinstance(truth, pd.DataFrame) else None
    days = truth.index if isinstance(truth, pd.DataFrame) else None
    values = np.asarray(truth)
    if values.ndim != 2 or values.shape[1] != n_cells:
        raise ValueError(f"y must be of shape (n_days, {n_cells}), got {values.shape}.")
    check_volatilities(values, days=days, cells=columns, what="volatilities of y")
    if cells is None:
        named = [str(label) for label in getattr(X, "columns", [])]
        cells = [n[3:] for n in named if n.startswith("iv_") and _CELL_NAME.fullmatch(n, 3)]
    if columns is not None and len(cells) == n_cells:
        check_labels(columns, cells, "y")
