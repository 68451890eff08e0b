"""What the displays share: the lazy import of matplotlib, colours and fresh axes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["GREY", "PALETTE", "get_axes", "import_pyplot", "slant_dates"]

# Okabe and Ito's colours without yellow, which is too faint for lines: told apart by readers with
# any common colour blindness.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
GREY = "#777777"


def import_pyplot() -> Any:
    """Return `matplotlib.pyplot`, or say how to install it.

    Returns
    -------
    module

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    try:
        from matplotlib import pyplot
    except ImportError as error:
        raise ImportError(
            "The displays of sklearn_diffusion need matplotlib: "
            "pip install 'sklearn-diffusion[plot]'."
        ) from error
    return pyplot


def get_axes(ax: Axes | None) -> Axes:
    """Return the given axes, or those of a new figure with the package's colours.

    Parameters
    ----------
    ax : matplotlib Axes or None
        Where to plot. None makes a new figure.

    Returns
    -------
    matplotlib Axes
    """
    if ax is not None:
        return ax
    pyplot = import_pyplot()
    from cycler import cycler

    figure = pyplot.figure(layout="constrained")
    ax = figure.add_subplot()
    ax.set_prop_cycle(cycler(color=PALETTE))
    ax.spines[["top", "right"]].set_visible(False)
    return ax


def slant_dates(ax: Axes) -> None:
    """Slant the labels of the horizontal axis, so that dates do not run into one another.

    `Figure.autofmt_xdate` also moves the subplots, which a constrained layout forbids.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes whose horizontal axis shows dates.
    """
    for label in ax.get_xticklabels():
        label.set(rotation=30, horizontalalignment="right")
