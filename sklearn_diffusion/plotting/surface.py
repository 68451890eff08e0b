"""One implied-volatility surface, as smiles, as a map or in perspective."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.utils import _safe_indexing

from sklearn_diffusion.grid import SurfaceGrid
from sklearn_diffusion.plotting.base import GREY, get_axes, import_pyplot
from sklearn_diffusion.utils.arrays import as_floats

__all__ = ["SurfaceDisplay"]

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLORMAP = "viridis"


class SurfaceDisplay:
    """Implied-volatility surface.

    Build it with `from_estimator`, or from a surface::

        SurfaceDisplay(surface, grid).plot()

    Parameters
    ----------
    surface : array-like of shape (n_cells,) or (n_moneyness, n_tenors)
        Volatilities as decimals. NaN leaves a gap.
    grid : SurfaceGrid
        Where the surface lives.
    reference : array-like of the same shape, default=None
        Another surface to set against it, such as the one that came true. Only smiles show it.
    title : str, default=None
        Title of the plot, such as the date.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : list of matplotlib Line2D
        Smiles of the surface, by tenor; empty for the other kinds.
    colorbar_ : matplotlib Colorbar or None

    Examples
    --------
    >>> from sklearn_diffusion.datasets import make_iv_surfaces
    >>> from sklearn_diffusion.plotting import SurfaceDisplay
    >>> market = make_iv_surfaces(5, random_state=0)
    >>> display = SurfaceDisplay(market.surfaces[-1], market.grid).plot()
    """

    def __init__(
        self,
        surface: ArrayLike,
        grid: SurfaceGrid,
        *,
        reference: ArrayLike | None = None,
        title: str | None = None,
    ) -> None:
        self.grid = grid
        self.surface = as_surface(surface, grid, "surface")
        self.reference = None if reference is None else as_surface(reference, grid, "reference")
        self.title = title

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike | pd.DataFrame,
        grid: SurfaceGrid,
        *,
        y: ArrayLike | pd.DataFrame | None = None,
        day: int = -1,
        title: str | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> SurfaceDisplay:
        """Plot the mean surface that a forecaster predicts for one day.

        Parameters
        ----------
        estimator : estimator
            Fitted, with ``predict``.
        X : array-like of shape (n_days, n_features)
            Features.
        grid : SurfaceGrid
            Where the surfaces live.
        y : array-like of shape (n_days, n_cells), default=None
            Surfaces that came true, shown for reference.
        day : int, default=-1
            Position of the day in `X`.
        title : str, default=None
            Title. None is the date on which the forecast is made, where `X` has dates.
        ax : matplotlib Axes, default=None
            Where to plot. None makes a new figure.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        display : SurfaceDisplay
        """
        if title is None and isinstance(X, pd.DataFrame):
            title = f"Forecast made on {str(X.index[day]).removesuffix(' 00:00:00')}"
        (forecast,) = estimator.predict(_safe_indexing(X, [day]))
        truth = None if y is None else np.asarray(y)[day]
        return cls(forecast, grid, reference=truth, title=title).plot(ax=ax, **kwargs)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        kind: Literal["smiles", "map", "3d"] = "smiles",
        **kwargs: Any,
    ) -> SurfaceDisplay:
        """Draw the surface, in percent.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to plot; with three dimensions for ``kind="3d"``. None makes a new figure.
        kind : {"smiles", "map", "3d"}, default="smiles"
            A line over moneyness for each tenor, with the reference as points; colours over
            moneyness and tenor; or a surface in perspective.
        **kwargs : dict
            Passed to `matplotlib.axes.Axes.plot`, `pcolormesh` or `plot_surface`.

        Returns
        -------
        display : SurfaceDisplay
        """
        if kind not in ("smiles", "map", "3d"):
            raise ValueError(f"kind must be 'smiles', 'map' or '3d', got {kind!r}.")
        self.lines_: list[Any] = []
        self.colorbar_: Any = None
        if kind == "smiles":
            ax = get_axes(ax)
            self._plot_smiles(ax, kwargs)
        elif kind == "map":
            ax = get_axes(ax)
            self._plot_map(ax, kwargs)
        else:
            if ax is None:
                # Older matplotlib cannot place axes of three dimensions by a constrained layout.
                ax = import_pyplot().figure().add_axes((0, 0, 1, 0.9), projection="3d")
            self._plot_3d(ax, kwargs)
        ax.set_xlabel("Moneyness")
        if self.title is not None:
            ax.set_title(self.title)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _plot_smiles(self, ax: Axes, options: dict[str, Any]) -> None:
        from matplotlib import colormaps

        # The colormap's last tenth is too pale for a line.
        colors = colormaps[_COLORMAP](np.linspace(0, 0.9, len(self.grid.tenors)))
        for j, tenor in enumerate(self.grid.tenors):
            style = {"color": colors[j], "label": tenor_label(tenor), **options}
            self.lines_ += ax.plot(self.grid.moneyness, 100 * self.surface[:, j], **style)
            if self.reference is not None:
                ax.plot(
                    self.grid.moneyness,
                    100 * self.reference[:, j],
                    color=colors[j],
                    linestyle="none",
                    marker="o",
                    markersize=3,
                )
        ax.set_ylabel("Implied volatility (%)")
        handles = list(self.lines_)
        if self.reference is not None:
            handles += ax.plot([], [], color=GREY, linestyle="none", marker="o", label="real")
        ax.legend(handles=handles, title="Tenor", frameon=False, fontsize="small")

    def _plot_map(self, ax: Axes, options: dict[str, Any]) -> None:
        mesh = ax.pcolormesh(
            self.grid.moneyness,
            np.arange(len(self.grid.tenors)),
            100 * self.surface.T,
            **{"cmap": _COLORMAP, "shading": "nearest", **options},
        )
        ax.set_yticks(np.arange(len(self.grid.tenors)), labels=self._tenor_labels())
        ax.set_ylabel("Tenor")
        self.colorbar_ = ax.figure.colorbar(mesh, ax=ax, label="Implied volatility (%)")

    def _plot_3d(self, ax: Any, options: dict[str, Any]) -> None:
        moneyness, tenor_rank = np.meshgrid(
            self.grid.moneyness, np.arange(len(self.grid.tenors)), indexing="ij"
        )
        style = {"cmap": _COLORMAP, "edgecolor": "white", "linewidth": 0.3, **options}
        ax.plot_surface(moneyness, tenor_rank, 100 * self.surface, **style)
        ax.set_yticks(np.arange(len(self.grid.tenors)), labels=self._tenor_labels())
        ax.tick_params(labelsize="small")
        ax.set_ylabel("Tenor", labelpad=10)
        ax.set_zlabel("Implied volatility (%)")
        ax.view_init(elev=25, azim=-50)
        # The z label lies outside the axes' own box.
        ax.set_box_aspect(None, zoom=0.85)

    def _tenor_labels(self) -> list[str]:
        return [tenor_label(tenor) for tenor in self.grid.tenors]


def as_surface(surface: ArrayLike, grid: SurfaceGrid, name: str) -> NDArray:
    """Return a surface as a matrix, moneyness by tenor.

    Parameters
    ----------
    surface : array-like of shape (n_cells,) or (n_moneyness, n_tenors)
        Implied volatilities.
    grid : SurfaceGrid
        Where the surface lives.
    name : str
        Name of the argument, for the error.

    Returns
    -------
    ndarray of shape (n_moneyness, n_tenors)
        Float64.

    Raises
    ------
    ValueError
        If it has another shape, or an infinite value.
    """
    values = as_floats(surface, name)
    if np.isinf(values).any():
        raise ValueError(f"{name} has an infinite volatility; NaN leaves a gap.")
    if values.shape == (grid.n_cells,):
        return grid.unflatten(values)
    if values.shape != grid.shape:
        raise ValueError(
            f"{name} must be of shape {(grid.n_cells,)} or {grid.shape}, got {values.shape}."
        )
    return values


def tenor_label(tenor: float) -> str:
    """Write a tenor in the largest unit of which it is at least one.

    Parameters
    ----------
    tenor : float
        In years.

    Returns
    -------
    str
        Such as ``"3m"``, in years (y), months (m), weeks (w) or trading days (d).
    """
    per_year = {"y": 1, "m": 12, "w": 52, "d": 252}
    # A twelfth of a year given as 30 / 365 is still a month.
    slack = 0.03
    unit = next((unit for unit, number in per_year.items() if tenor * number > 1 - slack), "d")
    amount = tenor * per_year[unit]
    is_whole = abs(amount - round(amount)) < slack * amount
    return f"{round(amount) if is_whole else amount:.2g}{unit}"


def cell_label(grid: SurfaceGrid, cell: int) -> str:
    """Write the moneyness and the tenor of a cell.

    Parameters
    ----------
    grid : SurfaceGrid
        Where the surface lives.
    cell : int
        Position of the cell in the flattened surface.

    Returns
    -------
    str
        Such as ``"moneyness 0.9, tenor 3m"``.
    """
    row, column = divmod(cell, len(grid.tenors))
    return f"moneyness {grid.moneyness[row]:g}, tenor {tenor_label(grid.tenors[column])}"
