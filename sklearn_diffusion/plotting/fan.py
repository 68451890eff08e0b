"""Forecast intervals of one cell through time."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.utils import check_scalar

from sklearn_diffusion.grid import SurfaceGrid
from sklearn_diffusion.metrics.surfaces.errors import sample_interval
from sklearn_diffusion.metrics.surfaces.validation import as_truth_and_samples
from sklearn_diffusion.plotting.base import PALETTE, get_axes, slant_dates
from sklearn_diffusion.plotting.surface import cell_label

__all__ = ["FanDisplay"]

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class FanDisplay:
    """Fan chart: real volatility of a cell within its one-day-ahead forecast intervals.

    Build it with `from_samples` or `from_estimator`.

    Parameters
    ----------
    truth : array-like of shape (n_days,)
        Real volatility.
    median : array-like of shape (n_days,)
        Median forecast.
    intervals : dict of float to array-like of shape (n_days, 2)
        Lower and upper ends by coverage.
    days : array-like of shape (n_days,), default=None
        Dates or positions.
    label : str, default=None
        What the cell is, for the title.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    bands_ : dict of float to matplotlib collection
        By coverage.
    truth_line_, median_line_ : matplotlib Line2D

    Examples
    --------
    >>> from sklearn_diffusion.baselines import BootstrapForecaster
    >>> from sklearn_diffusion.datasets import make_iv_surfaces
    >>> from sklearn_diffusion.plotting import FanDisplay
    >>> from sklearn_diffusion.preprocessing import make_forecast_frame
    >>> market = make_iv_surfaces(100, random_state=0)
    >>> X, y = make_forecast_frame(market.surfaces, market.spot, market.vix)
    >>> forecaster = BootstrapForecaster(random_state=0).fit(X[:60], y[:60])
    >>> display = FanDisplay.from_estimator(
    ...     forecaster, X[60:], y[60:], cell=39, grid=market.grid
    ... )
    """

    def __init__(
        self,
        truth: ArrayLike,
        median: ArrayLike,
        intervals: dict[float, ArrayLike],
        *,
        days: ArrayLike | pd.Index | None = None,
        label: str | None = None,
    ) -> None:
        self.truth = np.asarray(truth, dtype=np.float64)
        self.median = np.asarray(median, dtype=np.float64)
        self.intervals = {c: np.asarray(intervals[c]) for c in sorted(intervals, reverse=True)}
        self.days = np.arange(len(self.truth)) if days is None else days
        self.label = label

    @classmethod
    def from_samples(
        cls,
        y_true: ArrayLike | pd.DataFrame,
        samples: ArrayLike,
        *,
        cell: int,
        coverages: tuple[float, ...] = (0.5, 0.9),
        grid: SurfaceGrid | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> FanDisplay:
        """Plot the intervals that samples give.

        Parameters
        ----------
        y_true : array-like or DataFrame of shape (n_days, n_cells)
            Real surfaces. The index of a DataFrame is the time axis.
        samples : array-like of shape (n_samples, n_days, n_cells)
            Scenarios.
        cell : int
            Position of the cell in the flattened surface.
        coverages : tuple of float, default=(0.5, 0.9)
            Coverages of the bands.
        grid : SurfaceGrid, default=None
            Names the cell in the title.
        ax : matplotlib Axes, default=None
            Where to plot. None makes a new figure.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        display : FanDisplay
        """
        truth, scenarios = as_truth_and_samples(y_true, samples, None, log=False)
        check_scalar(cell, "cell", Integral, min_val=0, max_val=truth.shape[1] - 1)
        one_cell = scenarios[:, :, [cell]]
        display = cls(
            truth[:, cell],
            np.median(one_cell[..., 0], axis=0),
            {coverage: sample_interval(one_cell, coverage)[:, 0] for coverage in coverages},
            days=y_true.index if isinstance(y_true, pd.DataFrame) else None,
            label=None if grid is None else cell_label(grid, cell),
        )
        return display.plot(ax=ax, **kwargs)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike | pd.DataFrame,
        y: ArrayLike | pd.DataFrame,
        *,
        cell: int,
        coverages: tuple[float, ...] = (0.5, 0.9),
        n_samples: int = 500,
        random_state: int | np.random.RandomState | None = 0,
        grid: SurfaceGrid | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> FanDisplay:
        """Plot the intervals of a fitted forecaster beside what came true.

        Parameters
        ----------
        estimator : estimator
            Fitted, with ``sample(X, n_samples, random_state)``.
        X : array-like of shape (n_days, n_features)
            Features.
        y : array-like or DataFrame of shape (n_days, n_cells)
            Next day's surfaces.
        cell : int
            Position of the cell in the flattened surface.
        coverages : tuple of float, default=(0.5, 0.9)
            Coverages of the bands.
        n_samples : int, default=500
            Number of scenarios.
        random_state : int, RandomState or None, default=0
            Source of the noise.
        grid : SurfaceGrid, default=None
            Names the cell in the title.
        ax : matplotlib Axes, default=None
            Where to plot. None makes a new figure.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        display : FanDisplay
        """
        samples = estimator.sample(X, n_samples=n_samples, random_state=random_state)
        return cls.from_samples(
            y, samples, cell=cell, coverages=coverages, grid=grid, ax=ax, **kwargs
        )

    def plot(self, ax: Axes | None = None, **kwargs: Any) -> FanDisplay:
        """Draw the fan, in percent.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to plot. None makes a new figure.
        **kwargs : dict
            Passed to `matplotlib.axes.Axes.plot` for the real volatility.

        Returns
        -------
        display : FanDisplay
        """
        ax = get_axes(ax)
        self.bands_ = {}
        shades = np.linspace(0.2, 0.45, len(self.intervals))
        for (coverage, ends), shade in zip(self.intervals.items(), shades, strict=True):
            self.bands_[coverage] = ax.fill_between(
                self.days,
                *100 * ends.T,
                color=PALETTE[0],
                alpha=shade,
                linewidth=0,
                label=f"{100 * coverage:g} % interval",
            )
        (self.median_line_,) = ax.plot(
            self.days, 100 * self.median, color=PALETTE[0], linewidth=1, label="median"
        )
        style = {"color": "black", "linewidth": 1, "label": "real", **kwargs}
        (self.truth_line_,) = ax.plot(self.days, 100 * self.truth, **style)
        ax.set_ylabel("Implied volatility (%)")
        if isinstance(self.days, pd.DatetimeIndex):
            ax.set_xlabel("Day of the forecast")
            slant_dates(ax)
        else:
            ax.set_xlabel("Day")
        if self.label is not None:
            ax.set_title(self.label)
        ax.legend(frameon=False, fontsize="small")
        self.ax_, self.figure_ = ax, ax.figure
        return self
