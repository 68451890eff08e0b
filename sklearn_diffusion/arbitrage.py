r"""Static arbitrage on a grid: one set of fixed matrices for the report and for the penalty.

Call prices over spot, :math:`c(m, \tau) = N(d_1) - m e^{-r \tau} N(d_2)`, are free of static
arbitrage on a grid when they do not fall with the tenor, do not rise with the strike and are
convex in it. Each of the three conditions is linear in :math:`c`, so a matrix :math:`A` that
depends on the grid alone turns a row of prices into signed violations :math:`A c`, and

.. math:: \Phi = p_1 + p_2 + p_3 = \sum (A_{cal} c)^+ + \sum (A_{spread} c)^+
                                   + \sum (A_{fly} c)^+ .

The matrices are plain arrays. Whoever needs a differentiable penalty multiplies by the same ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr

from sklearn_diffusion.grid import SurfaceGrid
from sklearn_diffusion.utils.arrays import as_floats
from sklearn_diffusion.utils.cells import LARGEST_VOLATILITY, LEAST_VOLATILITY, check_labels
from sklearn_diffusion.utils.parameters import check_number

__all__ = [
    "ArbitrageOperators",
    "SurrogateOperators",
    "arbitrage_operators",
    "arbitrage_penalty",
    "arbitrage_report",
    "relative_calls",
    "surrogate_operators",
]


@dataclass(frozen=True, eq=False)
class ArbitrageOperators:
    r"""Linear maps from flattened relative call prices to signed static-arbitrage violations.

    Each row is one inequality, written so that a positive value is a violation.

    Attributes
    ----------
    calendar : ndarray of shape (n_moneyness * (n_tenors - 1), n_cells)
        :math:`(c_{i,j} - c_{i,j+1}) / (\tau_{j+1} - \tau_j)`.
    spread : ndarray of shape ((n_moneyness - 1) * n_tenors, n_cells)
        :math:`(c_{i+1,j} - c_{i,j}) / (m_{i+1} - m_i)`.
    butterfly : ndarray of shape ((n_moneyness - 2) * n_tenors, n_cells)
        The slope below a strike minus the slope above it.

    References
    ----------
    Jin & Agarwal, arXiv 2511.07571, equations (31), (32) and (33).
    """

    calendar: NDArray
    spread: NDArray
    butterfly: NDArray


@dataclass(frozen=True, eq=False)
class SurrogateOperators:
    """Linear maps to the signed violations of a penalty in volatilities instead of prices.

    Attributes
    ----------
    butterfly : ndarray of shape ((n_moneyness - 2) * n_tenors, n_cells)
        Acts on implied volatilities: minus their second difference along moneyness.
    calendar : ndarray of shape (n_moneyness * (n_tenors - 1), n_cells)
        Acts on total variances: the one of a tenor minus the one of the next.
    """

    butterfly: NDArray
    calendar: NDArray


def arbitrage_operators(grid: SurfaceGrid) -> ArbitrageOperators:
    """Build the calendar, call-spread and butterfly operators of a grid.

    Parameters
    ----------
    grid : SurfaceGrid
        Where the surfaces live.

    Returns
    -------
    ArbitrageOperators
        Matrices that act on relative calls flattened in the order of the grid. An axis too short
        for a condition (one tenor, fewer than three strikes) gives a matrix without rows.

    Examples
    --------
    >>> from sklearn_diffusion.arbitrage import arbitrage_operators
    >>> from sklearn_diffusion.grid import SurfaceGrid
    >>> arbitrage_operators(SurfaceGrid([0.9, 1.0, 1.1], [0.25, 0.5])).butterfly.shape
    (2, 6)
    """
    n_moneyness, n_tenors = grid.shape
    slope_in_tenor = np.diff(np.eye(n_tenors), axis=0) / np.diff(grid.tenors)[:, None]
    slope_in_moneyness = np.diff(np.eye(n_moneyness), axis=0) / np.diff(grid.moneyness)[:, None]
    return ArbitrageOperators(
        calendar=np.kron(np.eye(n_moneyness), -slope_in_tenor),
        spread=np.kron(slope_in_moneyness, np.eye(n_tenors)),
        butterfly=np.kron(-np.diff(slope_in_moneyness, axis=0), np.eye(n_tenors)),
    )


def surrogate_operators(grid: SurfaceGrid) -> SurrogateOperators:
    """Build the operators of the penalty in volatilities.

    Parameters
    ----------
    grid : SurfaceGrid
        Where the surfaces live.

    Returns
    -------
    SurrogateOperators
        Plain differences, not divided by the spacing of the axes.
    """
    n_moneyness, n_tenors = grid.shape
    return SurrogateOperators(
        butterfly=np.kron(-np.diff(np.eye(n_moneyness), n=2, axis=0), np.eye(n_tenors)),
        calendar=np.kron(np.eye(n_moneyness), -np.diff(np.eye(n_tenors), axis=0)),
    )


def relative_calls(surfaces: ArrayLike, grid: SurfaceGrid, *, rate: float = 0.0) -> NDArray:
    r"""Price calls over spot, :math:`c = N(d_1) - m e^{-r \tau} N(d_2)`, without dividends.

    Parameters
    ----------
    surfaces : array-like of shape (..., n_cells)
        Flattened surfaces of implied volatility, as decimals.
    grid : SurfaceGrid
        Its moneyness is strike over spot; at ``rate=0`` it may as well be strike over forward,
        and the prices are then undiscounted and over forward.
    rate : float, default=0.0
        Continuously compounded interest rate, a year.

    Returns
    -------
    ndarray of shape (..., n_cells)

    References
    ----------
    Jin & Agarwal, arXiv 2511.07571, equation (29).
    """
    check_number(rate, "rate", -10, 10)
    moneyness, tenors = _cell_axes(grid)
    deviation = _check_surfaces(surfaces, grid) * np.sqrt(tenors)
    d1 = (rate * tenors - np.log(moneyness)) / deviation + deviation / 2
    return ndtr(d1) - moneyness * np.exp(-rate * tenors) * ndtr(d1 - deviation)


def arbitrage_penalty(
    surfaces: ArrayLike,
    grid: SurfaceGrid,
    *,
    rate: float = 0.0,
    surrogate: Literal["iv"] | None = None,
) -> NDArray:
    r"""Measure static arbitrage, surface by surface.

    Parameters
    ----------
    surfaces : array-like of shape (..., n_cells)
        Flattened surfaces of implied volatility, as decimals.
    grid : SurfaceGrid
        Where the surfaces live.
    rate : float, default=0.0
        Continuously compounded interest rate, a year. It does not enter the surrogate.
    surrogate : {"iv"} or None, default=None
        What to measure. None is :math:`\Phi`, on call prices. ``"iv"`` is the surrogate

        .. math:: \overline{((-\Delta_m^2 \sigma)^+)^2} + \overline{((w_j - w_{j+1})^+)^2},
                  \qquad w = \sigma^2 \tau,

        smooth and cheap but not the same: a surface without arbitrage may be concave in strike
        (most are, far from the money), and total variance at a fixed K/S need not rise when
        rates are not zero.

    Returns
    -------
    ndarray of shape (...)
        Zero for a surface without arbitrage, up to rounding (below 1e-12 for :math:`\Phi`).

    References
    ----------
    Jin & Agarwal, arXiv 2511.07571, equation (30).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_diffusion.arbitrage import arbitrage_penalty
    >>> from sklearn_diffusion.grid import SurfaceGrid
    >>> grid = SurfaceGrid([0.9, 1.0, 1.1], [0.25, 0.5])
    >>> flat, inverted = np.full(6, 0.2), np.tile([0.4, 0.2], 3)
    >>> arbitrage_penalty([flat, inverted], grid).round(3)
    array([0.   , 0.249])
    """
    return np.sum(list(_penalties(surfaces, grid, rate, surrogate).values()), axis=0)


def arbitrage_report(
    surfaces: ArrayLike,
    grid: SurfaceGrid,
    *,
    rate: float = 0.0,
    surrogate: Literal["iv"] | None = None,
) -> pd.DataFrame:
    r"""Tabulate static arbitrage by component, one row a surface.

    Parameters
    ----------
    surfaces : array-like or DataFrame of shape (n_surfaces, n_cells)
        Flattened surfaces of implied volatility, as decimals.
    grid : SurfaceGrid
        Where the surfaces live.
    rate : float, default=0.0
        Continuously compounded interest rate, a year.
    surrogate : {"iv"} or None, default=None
        See `arbitrage_penalty`.

    Returns
    -------
    DataFrame
        Columns ``calendar``, ``spread`` (not with the surrogate), ``butterfly`` and ``total``;
        the index is that of `surfaces` if it is a DataFrame.
    """
    if np.ndim(surfaces) < 2:
        surfaces = np.atleast_2d(as_floats(surfaces, "surfaces"))
    index = surfaces.index if isinstance(surfaces, pd.DataFrame) else None
    report = pd.DataFrame(_penalties(surfaces, grid, rate, surrogate), index=index)
    return report.assign(total=report.sum(axis=1))


def _penalties(
    surfaces: ArrayLike, grid: SurfaceGrid, rate: float, surrogate: str | None
) -> dict[str, NDArray]:
    if surrogate is None:
        operators = arbitrage_operators(grid)
        calls = relative_calls(surfaces, grid, rate=rate)
        return {
            name: np.maximum(calls @ getattr(operators, name).T, 0).sum(axis=-1)
            for name in ("calendar", "spread", "butterfly")
        }
    if surrogate == "iv":
        stand_in = surrogate_operators(grid)
        surfaces = _check_surfaces(surfaces, grid)
        variances = surfaces**2 * _cell_axes(grid)[1]
        return {
            "calendar": _mean_square_excess(variances @ stand_in.calendar.T),
            "butterfly": _mean_square_excess(surfaces @ stand_in.butterfly.T),
        }
    raise ValueError(f"surrogate must be None or 'iv', got {surrogate!r}.")


def _mean_square_excess(violations: NDArray) -> NDArray:
    # Divides by at least one, so that an axis too short to violate anything counts as zero.
    return (np.maximum(violations, 0) ** 2).sum(axis=-1) / max(violations.shape[-1], 1)


def _cell_axes(grid: SurfaceGrid) -> tuple[NDArray, NDArray]:
    moneyness, tenors = np.meshgrid(grid.moneyness, grid.tenors, indexing="ij")
    return moneyness.ravel(), tenors.ravel()


def _check_surfaces(surfaces: ArrayLike, grid: SurfaceGrid) -> NDArray:
    if isinstance(surfaces, pd.DataFrame):
        check_labels(surfaces.columns, grid.cell_names, "surfaces")
    surfaces = as_floats(surfaces, "surfaces")
    if len(surfaces) == 0:
        raise ValueError("surfaces are empty: there is no row.")
    if surfaces.shape[-1:] != (grid.n_cells,):
        raise ValueError(
            f"surfaces of shape {surfaces.shape} do not end in the grid's n_cells = {grid.n_cells}."
        )
    invalid = ~((surfaces >= LEAST_VOLATILITY) & (surfaces <= LARGEST_VOLATILITY))
    if invalid.any():
        first = np.argwhere(invalid)[0]
        raise ValueError(
            f"surfaces must be positive, finite volatilities: {int(invalid.sum())} values are "
            f"not, the first {surfaces[tuple(first)]} at position {tuple(first[:-1].tolist())}, "
            f"cell {grid.cell_names[first[-1]]!r}."
        )
    return surfaces
