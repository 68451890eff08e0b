"""Training loss by iteration, or held-out loss by stopping time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.utils.validation import check_is_fitted

from sklearn_diffusion.plotting.base import GREY, get_axes
from sklearn_diffusion.utils.arrays import as_floats

__all__ = ["LossCurveDisplay"]

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class LossCurveDisplay:
    """Training loss by iteration, with validation loss and learning rate where they are known.

    Build it with `from_estimator`, or from the numbers themselves::

        LossCurveDisplay(loss, validation_loss=held_out).plot()

    Parameters
    ----------
    loss : array-like of shape (n_iter,)
        Training loss of each iteration.
    validation_loss : array-like of shape (n_iter,), default=None
        Loss on held-out rows.
    learning_rate : array-like of shape (n_iter,), default=None
        Learning rate, drawn on a second axis.
    stop_times : array-like of shape (n_iter,), default=None
        Stopping times whose held-out losses `loss` holds, where it is no course of training.
    name : str, default=None
        Name of the model, put before the legend entries.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    line_ : matplotlib Line2D
        Training loss.
    validation_line_, learning_rate_line_ : matplotlib Line2D or None
    learning_rate_ax_ : matplotlib Axes or None
        The second axis.

    Examples
    --------
    >>> from sklearn_diffusion.plotting import LossCurveDisplay
    >>> display = LossCurveDisplay([1.0, 0.5, 0.4], validation_loss=[1.1, 0.7, 0.8]).plot()
    """

    def __init__(
        self,
        loss: ArrayLike,
        *,
        validation_loss: ArrayLike | None = None,
        learning_rate: ArrayLike | None = None,
        stop_times: ArrayLike | None = None,
        name: str | None = None,
    ) -> None:
        self.loss = check_curve(loss, "loss")
        n_iter = len(self.loss)
        self.validation_loss = (
            None
            if validation_loss is None
            else check_curve(validation_loss, "validation_loss", n_iter)
        )
        self.learning_rate = (
            None if learning_rate is None else check_curve(learning_rate, "learning_rate", n_iter)
        )
        self.stop_times = (
            None if stop_times is None else check_curve(stop_times, "stop_times", n_iter)
        )
        self.name = name

    @classmethod
    def from_estimator(
        cls, estimator: Any, *, name: str | None = None, ax: Axes | None = None, **kwargs: Any
    ) -> LossCurveDisplay:
        """Plot what a fitted estimator recorded.

        Parameters
        ----------
        estimator : estimator
            Fitted, with ``loss_curve_``. Its ``validation_loss_curve_`` and
            ``learning_rate_curve_`` are shown where it has them.
        name : str, default=None
            Name for the legend. None means the name of the class.
        ax : matplotlib Axes, default=None
            Where to plot. None makes a new figure.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        display : LossCurveDisplay

        Raises
        ------
        ValueError
            If the estimator recorded no loss, for nothing was trained or chosen.
        """
        check_is_fitted(estimator, "loss_curve_")
        if len(estimator.loss_curve_) == 0:
            raise ValueError(
                f"{type(estimator).__name__} has no loss to show: its parameters left nothing to "
                "train or to choose."
            )
        display = cls(
            estimator.loss_curve_,
            validation_loss=getattr(estimator, "validation_loss_curve_", None),
            learning_rate=getattr(estimator, "learning_rate_curve_", None),
            stop_times=getattr(estimator, "stop_times_", None),
            name=type(estimator).__name__ if name is None else name,
        )
        return display.plot(ax=ax, **kwargs)

    def plot(self, ax: Axes | None = None, **kwargs: Any) -> LossCurveDisplay:
        """Draw the curves; a dotted line marks the least validation loss.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to plot. None makes a new figure.
        **kwargs : dict
            Passed to `matplotlib.axes.Axes.plot` for the training loss.

        Returns
        -------
        display : LossCurveDisplay
        """
        ax = get_axes(ax)
        from matplotlib.ticker import MaxNLocator

        prefix = "" if self.name is None else f"{self.name}, "
        iteration = np.arange(1, len(self.loss) + 1) if self.stop_times is None else self.stop_times
        label = f"{prefix}{'training' if self.stop_times is None else 'held out'}"
        (self.line_,) = ax.plot(
            iteration, self.loss, **{"label": label, "linewidth": 1.5, **kwargs}
        )
        handles = [self.line_]
        self.validation_line_ = None
        self.learning_rate_line_ = None
        self.learning_rate_ax_ = None
        if self.validation_loss is not None:
            (self.validation_line_,) = ax.plot(
                iteration, self.validation_loss, label=f"{prefix}validation", linewidth=1.5
            )
            handles.append(self.validation_line_)
            if np.isfinite(self.validation_loss).any():
                best = iteration[np.nanargmin(self.validation_loss)]
                ax.axvline(best, color=GREY, linewidth=1, linestyle=":")
        if self.learning_rate is not None:
            self.learning_rate_ax_ = ax.twinx()
            (self.learning_rate_line_,) = self.learning_rate_ax_.plot(
                iteration,
                self.learning_rate,
                color=GREY,
                linewidth=1,
                linestyle="--",
                drawstyle="steps-post",
                label="learning rate",
            )
            self.learning_rate_ax_.set(ylabel="Learning rate", yscale="log")
            self.learning_rate_ax_.spines["top"].set_visible(False)
            handles.append(self.learning_rate_line_)
        if self.stop_times is None:
            ax.set(xlabel="Iteration", ylabel="Loss")
            ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        else:
            ax.set(xlabel="Stopping time", ylabel="Loss", xscale="log")
        ax.legend(handles=handles, frameon=False)
        self.ax_, self.figure_ = ax, ax.figure
        return self


def check_curve(values: ArrayLike, name: str, n_iter: int | None = None) -> np.ndarray:
    """Return a one-dimensional float array, of `n_iter` values where that is given.

    NaN passes: a diverged training is worth seeing.

    Parameters
    ----------
    values : array-like of shape (n_values,)
        The curve.
    name : str
        Name of the argument, for the errors.
    n_iter : int, optional
        Number of values that it must have; any but none by default.

    Returns
    -------
    ndarray of shape (n_values,)
        Float64.

    Raises
    ------
    ValueError
        If it is empty, not one-dimensional or of another length.
    """
    curve = as_floats(values, name)
    if curve.ndim != 1 or len(curve) == 0:
        raise ValueError(f"{name} must be a non-empty 1-D array, got shape {curve.shape}.")
    if n_iter is not None and len(curve) != n_iter:
        raise ValueError(f"{name} must have as many values as loss: got {len(curve)} and {n_iter}.")
    return curve
