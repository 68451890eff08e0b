"""The grid on which an implied-volatility surface lives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sklearn_diffusion.utils.arrays import as_floats

__all__ = ["SurfaceGrid"]


@dataclass(frozen=True, eq=False, repr=False)
class SurfaceGrid:
    """Moneyness and tenor axes of an implied-volatility surface.

    A grid is immutable and compares by value, so it can be an estimator's parameter: it survives
    `sklearn.base.clone`, `copy.deepcopy` and pickling, and serves as a dictionary key.

    A surface is an array of shape (..., M, K), moneyness by tenor; one row of a feature matrix
    is the same surface flattened in C order, so that the tenors of one moneyness are adjacent.

    Parameters
    ----------
    moneyness : array-like of shape (n_moneyness,)
        Strike over spot (or over forward, as the user of the grid says). Positive and strictly
        increasing.
    tenors : array-like of shape (n_tenors,)
        Times to maturity in years. Positive and strictly increasing.

    Attributes
    ----------
    shape : tuple of (int, int)
        (n_moneyness, n_tenors).
    n_cells : int
        n_moneyness * n_tenors.
    cell_names : ndarray of shape (n_cells,), dtype object
        Names such as ``"m1.00_t0.083"``, in flattened order. They carry two (moneyness) and
        three (tenor) decimals, or as many more as a finer axis needs.

    Raises
    ------
    ValueError
        If an axis is empty, not one-dimensional, not finite, not positive or not strictly
        increasing.

    Examples
    --------
    >>> from sklearn_diffusion.grid import SurfaceGrid
    >>> grid = SurfaceGrid(moneyness=[0.9, 1.0, 1.1], tenors=[1 / 12, 0.25])
    >>> grid.shape, grid.n_cells
    ((3, 2), 6)
    >>> print(*grid.cell_names[:3])
    m0.90_t0.083 m0.90_t0.250 m1.00_t0.083
    >>> grid.unflatten([0.21, 0.22, 0.20, 0.21, 0.19, 0.20]).shape
    (3, 2)
    """

    moneyness: NDArray[np.float64]
    tenors: NDArray[np.float64]

    def __init__(
        self, moneyness: ArrayLike | Sequence[float], tenors: ArrayLike | Sequence[float]
    ) -> None:
        # A frozen dataclass refuses plain assignment, to its own __init__ too.
        object.__setattr__(self, "moneyness", _as_axis(moneyness, "moneyness"))
        object.__setattr__(self, "tenors", _as_axis(tenors, "tenors"))

    @classmethod
    def paper(cls) -> SurfaceGrid:
        """Return the 9 x 9 grid of Jin and Agarwal (arXiv 2511.07571, section 5.1).

        Moneyness K/S from 0.6 to 1.4 in steps of 0.1; tenors of one day, one and two weeks, one,
        two, three, six and nine months, and one year.

        Returns
        -------
        SurfaceGrid
            Of 81 cells.
        """
        moneyness = np.arange(6, 15) / 10
        tenors = [1 / 252, 1 / 52, 2 / 52, 1 / 12, 1 / 6, 1 / 4, 1 / 2, 3 / 4, 1.0]
        return cls(moneyness, tenors)

    @property
    def shape(self) -> tuple[int, int]:
        """Number of moneyness levels and number of tenors.

        Returns
        -------
        (int, int)
            ``(n_moneyness, n_tenors)``.
        """
        return len(self.moneyness), len(self.tenors)

    @property
    def n_cells(self) -> int:
        """Number of cells of a surface.

        Returns
        -------
        int
            ``n_moneyness * n_tenors``.
        """
        return len(self.moneyness) * len(self.tenors)

    @property
    def cell_names(self) -> NDArray[np.object_]:
        """Names of the cells, in flattened order.

        Returns
        -------
        ndarray of shape (n_cells,), dtype object
            Such as ``m0.90_t0.250``, with as many decimals as tell the levels apart.
        """
        rows = _axis_labels(self.moneyness, min_decimals=2)
        columns = _axis_labels(self.tenors, min_decimals=3)
        return np.array([f"m{m}_t{tau}" for m in rows for tau in columns], dtype=object)

    def flatten(self, surfaces: ArrayLike) -> NDArray[Any]:
        """Turn surfaces into rows.

        Parameters
        ----------
        surfaces : array-like of shape (..., n_moneyness, n_tenors)
            Values on the grid, moneyness by tenor.

        Returns
        -------
        ndarray of shape (..., n_cells)
            A view where the memory layout allows it.
        """
        surfaces = np.asarray(surfaces)
        if surfaces.shape[-2:] != self.shape:
            raise ValueError(
                f"surfaces of shape {surfaces.shape} do not end in the grid's "
                f"(n_moneyness, n_tenors) = {self.shape}."
            )
        return surfaces.reshape(*surfaces.shape[:-2], self.n_cells)

    def unflatten(self, rows: ArrayLike) -> NDArray[Any]:
        """Turn rows into surfaces: the inverse of `flatten`.

        Parameters
        ----------
        rows : array-like of shape (..., n_cells)
            Flattened surfaces, the tenors of one moneyness adjacent.

        Returns
        -------
        ndarray of shape (..., n_moneyness, n_tenors)
            A view where the memory layout allows it.
        """
        rows = np.asarray(rows)
        if rows.shape[-1:] != (self.n_cells,):
            raise ValueError(
                f"rows of shape {rows.shape} do not end in the grid's n_cells = {self.n_cells} "
                f"({self.shape[0]} moneyness levels by {self.shape[1]} tenors)."
            )
        return rows.reshape(*rows.shape[:-1], *self.shape)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SurfaceGrid):
            return NotImplemented
        return np.array_equal(self.moneyness, other.moneyness) and np.array_equal(
            self.tenors, other.tenors
        )

    def __hash__(self) -> int:
        return hash((self.moneyness.tobytes(), self.tenors.tobytes()))

    def __repr__(self) -> str:
        return f"SurfaceGrid(moneyness={self.moneyness.tolist()}, tenors={self.tenors.tolist()})"

    # Copies made by numpy would be writable again; an immutable object may stand for its own copy,
    # and is unpickled through its constructor.
    def __copy__(self) -> SurfaceGrid:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> SurfaceGrid:
        return self

    def __reduce__(self) -> tuple[type[SurfaceGrid], tuple[list[float], list[float]]]:
        return type(self), (self.moneyness.tolist(), self.tenors.tolist())


def _as_axis(values: ArrayLike | Sequence[float], name: str) -> NDArray[np.float64]:
    axis = as_floats(values, name).copy()
    if axis.ndim != 1 or axis.size == 0:
        raise ValueError(
            f"{name} must be a non-empty one-dimensional array, got shape {axis.shape}."
        )
    invalid = ~(np.isfinite(axis) & (axis > 0))
    if invalid.any():
        raise ValueError(f"{name} must be positive and finite, got {axis[invalid].tolist()}.")
    unordered = np.flatnonzero(np.diff(axis) <= 0)
    if unordered.size:
        first = unordered[0]
        raise ValueError(
            f"{name} must be strictly increasing, got {axis[first]} before {axis[first + 1]} "
            f"at position {first}."
        )
    axis.flags.writeable = False
    return axis


def _axis_labels(axis: NDArray[np.float64], min_decimals: int) -> list[str]:
    """Print an axis with rounding errors of at most a tenth of its smallest step."""
    step = np.diff(axis).min(initial=np.inf)
    decimals = min_decimals
    while np.abs(axis.round(decimals) - axis).max() > 0.1 * step:
        decimals += 1
    return [f"{value:.{decimals}f}" for value in axis]
