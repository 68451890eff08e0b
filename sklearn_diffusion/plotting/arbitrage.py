"""Static arbitrage through time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from sklearn_diffusion.arbitrage import arbitrage_penalty
from sklearn_diffusion.grid import SurfaceGrid
from sklearn_diffusion.metrics.surfaces.validation import as_truth_and_samples
from sklearn_diffusion.plotting.base import PALETTE, get_axes, slant_dates
from sklearn_diffusion.utils.cells import check_labels

__all__ = ["ArbitrageDisplay"]

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class ArbitrageDisplay:
    """Daily static-arbitrage penalty of sampled surfaces beside that of the real ones.

    Build it with `from_samples` or `from_estimator`.

    Parameters
    ----------
    real : array-like of shape (n_days,)
        Penalty of each day's real surface.
    sampled : array-like of shape (n_samples, n_days)
        Penalty of each scenario.
    days : array-like of shape (n_days,), default=None
        Dates or positions.
    name : str, default=None
        Name of the model for the legend.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    real_line_, mean_line_ : matplotlib Line2D
    band_ : matplotlib collection
        From no penalty to the one that 95 % of the scenarios stay below.

    References
    ----------
    Jin & Agarwal, arXiv 2511.07571, figure 13.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_diffusion.datasets import make_iv_surfaces
    >>> from sklearn_diffusion.plotting import ArbitrageDisplay
    >>> market = make_iv_surfaces(20, random_state=0)
    >>> noise = np.random.RandomState(0).normal(size=(30, 20, 81))
    >>> samples = market.surfaces * np.exp(0.02 * noise)
    >>> display = ArbitrageDisplay.from_samples(market.surfaces, samples, market.grid)
    """

    def __init__(
        self,
        real: ArrayLike,
        sampled: ArrayLike,
        *,
        days: ArrayLike | pd.Index | None = None,
        name: str | None = None,
    ) -> None:
        self.real = np.asarray(real, dtype=np.float64)
        self.sampled = np.asarray(sampled, dtype=np.float64)
        self.days = np.arange(len(self.real)) if days is None else days
        self.name = name

    @classmethod
    def from_samples(
        cls,
        y_true: ArrayLike | pd.DataFrame,
        samples: ArrayLike,
        grid: SurfaceGrid,
        *,
        rate: float = 0.0,
        name: str | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> ArbitrageDisplay:
        """Plot the penalties of samples.

        Parameters
        ----------
        y_true : array-like or DataFrame of shape (n_days, n_cells)
            Real surfaces. The index of a DataFrame is the time axis.
        samples : array-like of shape (n_samples, n_days, n_cells)
            Scenarios.
        grid : SurfaceGrid
            Where the surfaces live.
        rate : float, default=0.0
            Continuously compounded interest rate, a year.
        name : str, default=None
            Name of the model for the legend.
        ax : matplotlib Axes, default=None
            Where to plot. None makes a new figure.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        display : ArbitrageDisplay
        """
        if isinstance(y_true, pd.DataFrame):
            check_labels(y_true.columns, grid.cell_names, "y_true")
        truth, scenarios = as_truth_and_samples(y_true, samples, None, log=False)
        display = cls(
            arbitrage_penalty(truth, grid, rate=rate),
            arbitrage_penalty(scenarios, grid, rate=rate),
            days=y_true.index if isinstance(y_true, pd.DataFrame) else None,
            name=name,
        )
        return display.plot(ax=ax, **kwargs)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike | pd.DataFrame,
        y: ArrayLike | pd.DataFrame,
        grid: SurfaceGrid,
        *,
        rate: float = 0.0,
        n_samples: int = 100,
        random_state: int | np.random.RandomState | None = 0,
        name: str | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> ArbitrageDisplay:
        """Plot the penalties of a fitted forecaster.

        Parameters
        ----------
        estimator : estimator
            Fitted, with ``sample(X, n_samples, random_state)``.
        X : array-like of shape (n_days, n_features)
            Features.
        y : array-like or DataFrame of shape (n_days, n_cells)
            Next day's surfaces.
        grid : SurfaceGrid
            Where the surfaces live.
        rate : float, default=0.0
            Continuously compounded interest rate, a year.
        n_samples : int, default=100
            Number of scenarios.
        random_state : int, RandomState or None, default=0
            Source of the noise.
        name : str, default=None
            Name for the legend. None means the name of the class.
        ax : matplotlib Axes, default=None
            Where to plot. None makes a new figure.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        display : ArbitrageDisplay
        """
        samples = estimator.sample(X, n_samples=n_samples, random_state=random_state)
        name = type(estimator).__name__ if name is None else name
        return cls.from_samples(y, samples, grid, rate=rate, name=name, ax=ax, **kwargs)

    def plot(self, ax: Axes | None = None, **kwargs: Any) -> ArbitrageDisplay:
        """Draw the penalties.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to plot. None makes a new figure.
        **kwargs : dict
            Passed to `matplotlib.axes.Axes.plot` for the mean of the samples.

        Returns
        -------
        display : ArbitrageDisplay
        """
        ax = get_axes(ax)
        prefix = "samples" if self.name is None else self.name
        upper = np.quantile(self.sampled, 0.95, axis=0)
        self.band_ = ax.fill_between(
            self.days, 0, upper, color=PALETTE[0], alpha=0.2, linewidth=0, label="95 % of samples"
        )
        style = {"color": PALETTE[0], "linewidth": 1, "label": f"{prefix}, mean", **kwargs}
        (self.mean_line_,) = ax.plot(self.days, self.sampled.mean(axis=0), **style)
        (self.real_line_,) = ax.plot(self.days, self.real, color="black", linewidth=1, label="real")
        # Rounding errors, of the order of 1e-15, are not to fill the plot.
        ax.set(ylabel=r"Arbitrage penalty $\Phi$", ylim=(0, max(ax.get_ylim()[1], 1e-6)))
        if isinstance(self.days, pd.DatetimeIndex):
            ax.set_xlabel("Day of the forecast")
            slant_dates(ax)
        else:
            ax.set_xlabel("Day")
        ax.legend(frameon=False, fontsize="small")
        self.ax_, self.figure_ = ax, ax.figure
        return self
