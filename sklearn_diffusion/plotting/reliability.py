"""Calibration of forecast distributions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from sklearn_diffusion.metrics.surfaces.probabilistic import pit_values, reliability_table
from sklearn_diffusion.metrics.surfaces.validation import as_mask
from sklearn_diffusion.plotting.base import GREY, PALETTE, get_axes

__all__ = ["ReliabilityDisplay"]

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class ReliabilityDisplay:
    """Observed against nominal coverage of central intervals, or the law of the PIT.

    A calibrated forecast lies on the diagonal and has a flat PIT. A curve below the diagonal, and
    a PIT with high ends, mean intervals that are too narrow.

    Build it with `from_samples` or `from_estimator`.

    Parameters
    ----------
    table : DataFrame
        As `sklearn_diffusion.metrics.reliability_table` gives it.
    pit : array-like of shape (n_values,)
        Pooled values of `sklearn_diffusion.metrics.pit_values`.
    name : str, default=None
        Name of the model for the legend.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    line_ : matplotlib Line2D or StepPatch
        Curve of the model.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_diffusion.plotting import ReliabilityDisplay
    >>> rng = np.random.RandomState(0)
    >>> y, samples = np.exp(rng.normal(size=(50, 3))), np.exp(rng.normal(size=(99, 50, 3)))
    >>> display = ReliabilityDisplay.from_samples(y, samples)
    """

    def __init__(self, table: pd.DataFrame, pit: ArrayLike, *, name: str | None = None) -> None:
        self.table = table
        self.pit = np.asarray(pit)
        self.name = name

    @classmethod
    def from_samples(
        cls,
        y_true: ArrayLike | pd.DataFrame,
        samples: ArrayLike,
        *,
        mask: ArrayLike | None = None,
        name: str | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> ReliabilityDisplay:
        """Plot the calibration of samples, all cells together.

        Parameters
        ----------
        y_true : array-like of shape (n_days, n_cells)
            Real volatilities.
        samples : array-like of shape (n_samples, n_days, n_cells)
            Scenarios.
        mask : array-like of bool of shape (n_days, n_cells), default=None
            Cells to count; None is all.
        name : str, default=None
            Name of the model for the legend.
        ax : matplotlib Axes, default=None
            Where to plot. None makes a new figure.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        display : ReliabilityDisplay
        """
        nominal = np.linspace(0.05, 0.95, 19)
        table = reliability_table(y_true, samples, coverages=nominal, mask=mask)
        pit = pit_values(y_true, samples, mask=mask)[as_mask(y_true, mask)]
        return cls(table, pit, name=name).plot(ax=ax, **kwargs)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike | pd.DataFrame,
        y: ArrayLike | pd.DataFrame,
        *,
        mask: ArrayLike | None = None,
        n_samples: int = 500,
        random_state: int | np.random.RandomState | None = 0,
        name: str | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> ReliabilityDisplay:
        """Plot the calibration of a fitted forecaster.

        Parameters
        ----------
        estimator : estimator
            Fitted, with ``sample(X, n_samples, random_state)``.
        X : array-like of shape (n_days, n_features)
            Features.
        y : array-like of shape (n_days, n_cells)
            Next day's surfaces.
        mask : array-like of bool of shape (n_days, n_cells), default=None
            Cells to count; None is all.
        n_samples : int, default=500
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
        display : ReliabilityDisplay
        """
        samples = estimator.sample(X, n_samples=n_samples, random_state=random_state)
        name = type(estimator).__name__ if name is None else name
        return cls.from_samples(y, samples, mask=mask, name=name, ax=ax, **kwargs)

    def plot(
        self,
        ax: Axes | None = None,
        *,
        kind: Literal["coverage", "pit"] = "coverage",
        reference: bool = True,
        **kwargs: Any,
    ) -> ReliabilityDisplay:
        """Draw the plot.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to plot. None makes a new figure.
        kind : {"coverage", "pit"}, default="coverage"
            Observed against nominal coverage, or the histogram of the PIT as a density.
        reference : bool, default=True
            Whether to draw what a calibrated forecast gives. False suits a second model on the
            same axes.
        **kwargs : dict
            Passed to `matplotlib.axes.Axes.plot` or `stairs`.

        Returns
        -------
        display : ReliabilityDisplay
        """
        if kind not in ("coverage", "pit"):
            raise ValueError(f"kind must be 'coverage' or 'pit', got {kind!r}.")
        ax = get_axes(ax)
        ideal: dict[str, Any] = {
            "color": GREY,
            "linewidth": 1,
            "linestyle": "--",
            "label": "calibrated",
        }
        style: dict[str, Any] = {
            "label": "_nolegend_" if self.name is None else self.name,
            **kwargs,
        }
        if kind == "coverage":
            if reference:
                ax.plot([0, 100], [0, 100], **ideal)
            nominal, observed = 100 * self.table.index, 100 * self.table["observed"]
            style = {"marker": "o", "markersize": 4, **style}
            self.line_: Any = ax.plot(nominal, observed, **style)[0]
            ax.set(xlabel="Nominal coverage (%)", ylabel="Observed coverage (%)", aspect="equal")
        else:
            density, edges = np.histogram(self.pit, bins=20, range=(0, 1), density=True)
            # Stairs, unlike lines, do not follow the cycle of colours.
            style = {"color": PALETTE[len(ax.patches) % len(PALETTE)], "linewidth": 1.5, **style}
            self.line_ = ax.stairs(density, edges, **style)
            if reference:
                ax.axhline(1, **ideal)
            ax.set(xlabel="Probability integral transform", ylabel="Density")
        if reference or self.name is not None:
            ax.legend(frameon=False, fontsize="small")
        self.ax_, self.figure_ = ax, ax.figure
        return self
