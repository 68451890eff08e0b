"""The features of a forecast: what stands where in a row, and how to take a row apart.

With ``n`` cells, a row of features holds, in this order,

============  =========================================  ======================================
columns       names                                      content
============  =========================================  ======================================
0 to n        ``iv_<cell>``                              today's surface
n to 2n       ``ewma5_<cell>``                           EWMA of surfaces, span 5
2n to 3n      ``ewma20_<cell>``                          EWMA of surfaces, span 20
3n, 3n + 1    ``return_ewma_0.156``, ``..._0.118``       EWMA of the returns of the underlying
3n + 2, + 3   ``squared_return_ewma_0.3``, ``..._0.15``  EWMA of its squared returns
3n + 4        ``vix_return``                             today's relative change of the VIX
3n + 5        ``spot_return``                            today's return of the underlying
3n + 6        ``return_ewma_0.333``                      EWMA of its returns, over a few days
3n + 7        ``level_increment``                        mean over cells of today's change of log
                                                         volatility
3n + 8        ``weekday``                                today's weekday, 1 (Monday) to 7;
                                                         0 where days have no dates
3n + 9 to     ``squared_increment_ewma_0.98``,           EWMA, by decay, of the mean over cells
3n + 11       ``..._0.94``, ``..._0.8``                  of squared one-day changes of log
                                                         volatility
============  =========================================  ======================================

The first five scalars are the paper's. The others let a forecaster scale by the current
volatility of volatility and follow the underlying, from one row alone: a forecast then needs no
memory of other rows.

Surfaces are in volatility units, and nothing is standardised.
`sklearn_diffusion.preprocessing.conditioner` says how the moving averages are taken.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from sklearn_diffusion.grid import SurfaceGrid
from sklearn_diffusion.utils.arrays import as_floats
from sklearn_diffusion.utils.cells import check_labels, check_volatilities
from sklearn_diffusion.utils.dates import name_day

__all__ = [
    "EWMA_SPANS",
    "SCALAR_NAMES",
    "ForecastFeatures",
    "check_features",
    "feature_names",
    "join_features",
    "split_features",
]

EWMA_SPANS = (5, 20)
SCALAR_NAMES = (
    "return_ewma_0.156",
    "return_ewma_0.118",
    "squared_return_ewma_0.3",
    "squared_return_ewma_0.15",
    "vix_return",
    "spot_return",
    "return_ewma_0.333",
    "level_increment",
    "weekday",
    "squared_increment_ewma_0.98",
    "squared_increment_ewma_0.94",
    "squared_increment_ewma_0.8",
)
_N_SURFACES = 1 + len(EWMA_SPANS)


class ForecastFeatures(NamedTuple):
    """A feature matrix taken apart, by `split_features`.

    Attributes
    ----------
    today : ndarray of shape (n_days, n_cells)
        Today's surface, in volatility units.
    ewma_short, ewma_long : ndarray of shape (n_days, n_cells)
        Moving averages of surfaces, span 5 and 20, in volatility units.
    scalars : ndarray of shape (n_days, 12)
        In the order of `SCALAR_NAMES`.
    """

    today: NDArray
    ewma_short: NDArray
    ewma_long: NDArray
    scalars: NDArray

    def scalar(self, name: str) -> NDArray:
        """Return the column of one scalar.

        Parameters
        ----------
        name : str
            One of `SCALAR_NAMES`.

        Returns
        -------
        ndarray of shape (n_days,)
        """
        return self.scalars[:, SCALAR_NAMES.index(name)]


def split_features(X: ArrayLike, grid: SurfaceGrid | int) -> ForecastFeatures:
    """Take a feature matrix apart by position.

    Parameters
    ----------
    X : array-like of shape (n_days, 3 * n_cells + 12)
        As made by `make_forecast_frame` or `EWMAConditioner`.
    grid : SurfaceGrid or int
        The grid of the surfaces, or its number of cells.

    Returns
    -------
    ForecastFeatures

    Raises
    ------
    ValueError
        If `X` has not the number of columns that the grid implies, a value is no number, or a
        column of a frame stands in another's place.
    """
    if isinstance(grid, SurfaceGrid) and isinstance(X, pd.DataFrame):
        check_labels(X.columns, feature_names(grid.cell_names), "X")
    n_cells = grid.n_cells if isinstance(grid, SurfaceGrid) else grid
    values = as_floats(X, "X")
    expected = _N_SURFACES * n_cells + len(SCALAR_NAMES)
    if values.ndim != 2 or values.shape[1] != expected:
        raise ValueError(
            f"X must have {expected} columns, {_N_SURFACES} surfaces of {n_cells} cells and "
            f"{len(SCALAR_NAMES)} scalars, as made by make_forecast_frame; got shape "
            f"{values.shape}."
        )
    if len(values) == 0:
        raise ValueError("X has no days.")
    return ForecastFeatures(*np.split(values, n_cells * np.arange(1, _N_SURFACES + 1), axis=1))


def join_features(
    today: NDArray, averages: Iterable[NDArray], scalars: Mapping[str, NDArray]
) -> NDArray:
    """Put a feature matrix together, as `split_features` takes it apart.

    Parameters
    ----------
    today : ndarray of shape (n_days, n_cells)
        Today's surface.
    averages : iterable of ndarray of shape (n_days, n_cells)
        Moving averages of surfaces, in the order of `EWMA_SPANS`.
    scalars : mapping of str to ndarray of shape (n_days,)
        A column for each of `SCALAR_NAMES`.

    Returns
    -------
    ndarray of shape (n_days, 3 * n_cells + 12)
    """
    return np.column_stack([today, *averages, *(scalars[name] for name in SCALAR_NAMES)])


def feature_names(cells: Iterable[object]) -> NDArray:
    """Name the columns of a feature matrix.

    Parameters
    ----------
    cells : iterable of length n_cells
        Names of the cells of a surface.

    Returns
    -------
    ndarray of str of shape (3 * n_cells + 12,)
    """
    cells = list(cells)
    surfaces = ("iv", *(f"ewma{span}" for span in EWMA_SPANS))
    names = [f"{surface}_{cell}" for surface in surfaces for cell in cells]
    return np.array([*names, *SCALAR_NAMES], dtype=object)


def check_features(X: ArrayLike | pd.DataFrame, grid: SurfaceGrid) -> ForecastFeatures:
    """Take a feature matrix apart after checking every value of it.

    Parameters
    ----------
    X : array-like of shape (n_days, 3 * n_cells + 12)
        As made by `make_forecast_frame`.
    grid : SurfaceGrid
        Where the surfaces live.

    Returns
    -------
    ForecastFeatures

    Raises
    ------
    ValueError
        Naming the day and the cell or scalar of a value that is missing or not positive, or a
        column that stands in another's place.
    """
    days = X.index if isinstance(X, pd.DataFrame) else None
    features = split_features(X, grid)
    surfaces = {
        "today's volatilities in X": features.today,
        "short averages in X": features.ewma_short,
        "long averages in X": features.ewma_long,
    }
    for what, block in surfaces.items():
        check_volatilities(block, days=days, cells=grid.cell_names, what=what)
    for name in (name for name in SCALAR_NAMES if name.startswith("squared")):
        negative = np.flatnonzero(features.scalar(name) < 0)
        if len(negative):
            raise ValueError(
                f"X has {len(negative)} negative averages of squares, the first on day "
                f"{name_day(days, negative[0])}: {name} is "
                f"{features.scalar(name)[negative[0]]:g}."
            )
    bad = np.argwhere(~np.isfinite(features.scalars))
    if len(bad):
        row, column = bad[0]
        raise ValueError(
            f"X has {len(bad)} scalars that are NaN or infinite, the first on day "
            f"{name_day(days, row)}: {SCALAR_NAMES[column]}. make_forecast_frame leaves out days "
            "without a day before."
        )
    return features
