"""Quantile-quantile plot of real against synthetic returns."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from sklearn_diffusion.metrics.returns.tails import QQPoints, qq_points
from sklearn_diffusion.plotting.base import GREY, PALETTE, get_axes
from sklearn_diffusion.utils.tables import as_frame, as_pair

__all__ = ["QQDisplay"]

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKED_LEVELS = (0.001, 0.01, 0.1, 0.9, 0.99, 0.999)


class QQDisplay:
    """Quantile-quantile plot from the 0.1 % to the 99.9 % quantile.

    Real quantiles stand over the synthetic ones: a curve steeper than the diagonal at its ends
    means that the real tails are the longer ones. The band around the diagonal is where the real
    quantiles lie, 19 times in 20 at each level, if the synthetic law is the true one and the days
    are independent; clustered volatility makes real quantiles stray further.

    Build it with `from_samples` or `from_estimator`.

    Parameters
    ----------
    points : QQPoints
        Quantiles and band, as `sklearn_diffusion.metrics.qq_points` gives them.
    name : str, default=None
        Name of the model, put before the column labels in the legend.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : list of matplotlib Line2D
        One for each column.
    diagonal_ : matplotlib Line2D

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_diffusion.plotting import QQDisplay
    >>> rng = np.random.RandomState(0)
    >>> real, synthetic = 0.01 * rng.standard_t(4, 2000), 0.014 * rng.randn(20_000)
    >>> display = QQDisplay.from_samples(real, synthetic, name="Gaussian")
    """

    def __init__(self, points: QQPoints, *, name: str | None = None) -> None:
        self.points = points
        self.name = name

    @classmethod
    def from_samples(
        cls,
        real: ArrayLike,
        synthetic: ArrayLike,
        *,
        columns: list | None = None,
        weights: ArrayLike | pd.DataFrame | None = None,
        name: str | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> QQDisplay:
        """Plot real against synthetic returns.

        Parameters
        ----------
        real : array-like of shape (n_real,) or (n_real, n_assets)
            Real returns, as fractions.
        synthetic : array-like of shape (n_synthetic,) or (n_synthetic, n_assets)
            Draws from the model. Many more rows than `real` has make a smooth curve.
        columns : list of labels or ints, default=None
            Assets to show: labels of the DataFrame `real`, or positions. None means all, of
            which there may be seven.
        weights : array-like of shape (n_assets,) or (n_portfolios, n_assets), default=None
            Show these portfolios instead of assets. The index of a DataFrame names them.
        name : str, default=None
            Name of the model for the legend.
        ax : matplotlib Axes, default=None
            Where to plot. None makes a new figure.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        display : QQDisplay
        """
        real_frame, synthetic_frame = as_pair(real, synthetic)
        synthetic_frame = synthetic_frame.set_axis(real_frame.columns, axis=1)
        if weights is not None:
            if columns is not None:
                raise ValueError("give either columns or weights, not both.")
            real_frame, synthetic_frame = project(weights, real_frame, synthetic_frame)
        elif columns is not None:
            positions = column_positions(real_frame, columns)
            real_frame = real_frame.iloc[:, positions]
            synthetic_frame = synthetic_frame.iloc[:, positions]
        if real_frame.shape[1] > len(PALETTE):
            raise ValueError(
                f"{real_frame.shape[1]} curves are too many for one plot (at most "
                f"{len(PALETTE)}): choose some by columns or weights."
            )
        points = qq_points(real_frame, synthetic_frame)
        return cls(points, name=name).plot(ax=ax, **kwargs)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike,
        *,
        n_samples: int = 20_000,
        random_state: int | np.random.RandomState | None = None,
        columns: list | None = None,
        weights: ArrayLike | pd.DataFrame | None = None,
        name: str | None = None,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> QQDisplay:
        """Plot real returns against draws from a fitted model.

        Parameters
        ----------
        estimator : estimator
            Fitted, with ``sample(n_samples, random_state=...)``.
        X : array-like of shape (n_days, n_assets)
            Real returns, best held out.
        n_samples : int, default=20_000
            Number of draws.
        random_state : int, RandomState or None, default=None
            Seed of the draws.
        columns : list of labels or ints, default=None
            Assets to show: labels of the DataFrame `X`, or positions. None means all, of which
            there may be seven.
        weights : array-like of shape (n_assets,) or (n_portfolios, n_assets), default=None
            Show these portfolios instead of assets. The index of a DataFrame names them.
        name : str, default=None
            Name of the model for the legend. None means the name of its class.
        ax : matplotlib Axes, default=None
            Where to plot. None makes a new figure.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        display : QQDisplay
        """
        real = as_frame(X, "X")
        synthetic = np.asarray(estimator.sample(n_samples, random_state=random_state))
        return cls.from_samples(
            real,
            synthetic,
            columns=columns,
            weights=weights,
            name=type(estimator).__name__ if name is None else name,
            ax=ax,
            **kwargs,
        )

    def plot(
        self,
        ax: Axes | None = None,
        *,
        name: str | None = None,
        band: bool = True,
        diagonal: bool = True,
        **kwargs: Any,
    ) -> QQDisplay:
        """Draw the plot, in percent.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to plot. None makes a new figure; with a single curve, its right edge then
            carries the probability levels of the real quantiles.
        name : str, default=None
            Name of the model for the legend. None means that of the display.
        band : bool, default=True
            Whether to shade the sampling band. False suits a second model on the same axes.
        diagonal : bool, default=True
            Whether to draw the diagonal.
        **kwargs : dict
            Passed to `matplotlib.axes.Axes.plot` for the curves.

        Returns
        -------
        display : QQDisplay
        """
        has_own_axes = ax is None
        ax = get_axes(ax)
        name = self.name if name is None else name
        synthetic, real = 100 * self.points.synthetic, 100 * self.points.real
        style = {"marker": "o", "markersize": 3, "linewidth": 1, **kwargs}
        if diagonal:
            self.diagonal_ = ax.axline((0, 0), slope=1, color=GREY, linewidth=1, linestyle="--")
        self.lines_ = []
        for j, column in enumerate(self.points.columns):
            label = curve_label(name, column, len(self.points.columns))
            (line,) = ax.plot(synthetic[:, j], real[:, j], **{"label": label, **style})
            self.lines_.append(line)
            if band:
                lower, upper = 100 * self.points.lower[:, j], 100 * self.points.upper[:, j]
                ax.fill_between(
                    synthetic[:, j], lower, upper, color=line.get_color(), alpha=0.15, linewidth=0
                )
        ax.set(xlabel="Synthetic quantile (%)", ylabel="Real quantile (%)")
        if has_own_axes and len(self.lines_) == 1:
            mark_levels(ax, self.points.probability, real[:, 0])
        if any(not str(line.get_label()).startswith("_") for line in self.lines_):
            ax.legend(loc="upper left", frameon=False)
        self.ax_, self.figure_ = ax, ax.figure
        return self


def column_positions(frame: pd.DataFrame, columns: list) -> list[int]:
    """Positions of columns given by label or, where there is no such label, by position.

    Parameters
    ----------
    frame : DataFrame of shape (n_rows, n_columns)
        The table.
    columns : list
        Labels, or integers from 0 on.

    Returns
    -------
    list of int
        In the order of `columns`.

    Raises
    ------
    ValueError
        If a column is neither a label nor a position.
    """
    labels = list(frame.columns)
    positions = []
    for column in columns:
        if column in labels:
            positions.append(labels.index(column))
        elif isinstance(column, int | np.integer) and 0 <= column < len(labels):
            positions.append(int(column))
        else:
            raise ValueError(f"columns has {column!r}, which is not a column of real.")
    return positions


def project(weights: ArrayLike | pd.DataFrame, *frames: pd.DataFrame) -> tuple[pd.DataFrame, ...]:
    """Turn frames of asset returns into frames of portfolio returns.

    Parameters
    ----------
    weights : array-like of shape (n_assets,) or (n_portfolios, n_assets)
        Portfolio weights. The index of a DataFrame names the portfolios.
    *frames : DataFrame of shape (n_rows, n_assets)
        Asset returns, of any numbers of rows.

    Returns
    -------
    tuple of DataFrame of shape (n_rows, n_portfolios)
        One for each of `frames`.

    Raises
    ------
    ValueError
        If the weights are not finite, or not of as many assets.
    """
    table = np.atleast_2d(np.asarray(weights, dtype=float))
    n_assets = frames[0].shape[1]
    if table.ndim != 2 or table.shape[1] != n_assets or not np.isfinite(table).all():
        raise ValueError(
            f"weights must be finite and of shape (n_portfolios, {n_assets}), got {table.shape}."
        )
    if isinstance(weights, pd.DataFrame):
        names = list(weights.index)
    else:
        names = [f"portfolio {i}" for i in range(len(table))] if len(table) > 1 else ["portfolio"]
    return tuple(pd.DataFrame(f.to_numpy() @ table.T, columns=names) for f in frames)


def curve_label(name: str | None, column: object, n_curves: int) -> str:
    """Legend entry of a curve: the model, and the column where there are several.

    Parameters
    ----------
    name : str or None
        Name of the model.
    column : object
        Label of the asset or portfolio.
    n_curves : int
        Number of curves of the plot.

    Returns
    -------
    str
        ``"_nolegend_"``, which matplotlib leaves out, where there is nothing to tell apart.
    """
    if name is None:
        return str(column) if n_curves > 1 or isinstance(column, str) else "_nolegend_"
    return f"{name}, {column}" if n_curves > 1 else name


def mark_levels(ax: Axes, probability: np.ndarray, real: np.ndarray) -> None:
    """Put probability levels on the right edge, beside the real quantiles that they belong to.

    Parameters
    ----------
    ax : matplotlib Axes
        Where the curve is.
    probability : ndarray of shape (n_levels,)
        Increasing levels of the quantiles; those outside their range are not marked.
    real : ndarray of shape (n_levels,)
        Real quantiles, in the unit of the axis.
    """
    levels = np.array(MARKED_LEVELS)
    lowest, highest = probability[0] - 1e-12, probability[-1] + 1e-12
    levels = levels[(levels >= lowest) & (levels <= highest)]
    right = ax.secondary_yaxis("right")
    right.set_yticks(
        np.interp(levels, probability, real), labels=[f"{100 * p:g} %" for p in levels]
    )
    right.tick_params(labelsize="small", colors=GREY)
    right.spines["right"].set_visible(False)
