"""Eigenvalue spectra of covariance matrices."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from sklearn_diffusion.plotting.base import GREY, get_axes
from sklearn_diffusion.utils.parameters import check_positive_integer
from sklearn_diffusion.utils.tables import as_frame, check_covariance, check_varying

__all__ = ["SpectrumDisplay"]

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Relative to the largest eigenvalue: below it lies rounding error, not variance.
NULL = 1e-12


class SpectrumDisplay:
    """Eigenvalues of covariance matrices, from the largest down, on a logarithmic scale.

    The shaded band is the Marchenko-Pastur bulk: where the sample eigenvalues of pure noise fall.
    Sample eigenvalues inside it carry little information, which is what shrinkage corrects.

    Build it with `from_covariances` or `from_estimator`.

    Parameters
    ----------
    eigenvalues : mapping of str to ndarray of shape (n_assets,)
        Eigenvalues by name of the matrix.
    bulk : tuple of float, default=None
        Lower and upper Marchenko-Pastur edge.
    is_correlation : bool, default=False
        Whether the matrices are correlation matrices, for the axis label.

    Attributes
    ----------
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    lines_ : list of matplotlib Line2D
        One for each matrix.
    bulk_ : matplotlib Artist or None
        The Marchenko-Pastur band.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.covariance import LedoitWolf
    >>> from sklearn_diffusion.plotting import SpectrumDisplay
    >>> X = 0.01 * np.random.RandomState(0).randn(60, 20)
    >>> display = SpectrumDisplay.from_estimator(LedoitWolf().fit(X), X)
    """

    def __init__(
        self,
        eigenvalues: Mapping[str, np.ndarray],
        *,
        bulk: tuple[float, float] | None = None,
        is_correlation: bool = False,
    ) -> None:
        self.eigenvalues = eigenvalues
        self.bulk = bulk
        self.is_correlation = is_correlation

    @classmethod
    def from_covariances(
        cls,
        covariances: Mapping[str, ArrayLike],
        *,
        n_samples: int | None = None,
        correlation: bool = False,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> SpectrumDisplay:
        r"""Plot the spectra of several matrices of one size.

        Parameters
        ----------
        covariances : mapping of str to array-like of shape (n_assets, n_assets)
            Covariance matrices by name.
        n_samples : int, default=None
            Rows that they were estimated from, for the Marchenko-Pastur bulk; None leaves it out.
        correlation : bool, default=False
            True plots the eigenvalues of the correlation matrices.
        ax : matplotlib Axes, default=None
            Where to plot. None makes a new figure.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        display : SpectrumDisplay

        Notes
        -----
        The bulk is :math:`\sigma^2 (1 \pm \sqrt{d / n})^2` with :math:`\sigma^2` the mean
        eigenvalue of the first matrix: the law of noise of equal variances. With assets of unequal
        variance, `correlation=True` makes the comparison fair.

        References
        ----------
        .. [1] V. A. Marchenko and L. A. Pastur, "Distribution of eigenvalues for some sets of
               random matrices", Mathematics of the USSR-Sbornik 1(4), 457-483, 1967.
        """
        if not covariances:
            raise ValueError("covariances must hold at least one matrix.")
        matrices = {k: check_covariance(v, f"covariances[{k!r}]") for k, v in covariances.items()}
        sizes = {name: len(matrix) for name, matrix in matrices.items()}
        if len(set(sizes.values())) > 1:
            raise ValueError(f"covariances must be of one size, got {sizes}.")
        if correlation:
            matrices = {name: to_correlation(matrix, name) for name, matrix in matrices.items()}
        eigenvalues = {k: np.linalg.eigvalsh(matrix)[::-1] for k, matrix in matrices.items()}
        bulk = None
        if n_samples is not None:
            first = next(iter(eigenvalues.values()))
            ratio = np.sqrt(len(first) / check_positive_integer(n_samples, "n_samples"))
            bulk = (first.mean() * (1 - ratio) ** 2, first.mean() * (1 + ratio) ** 2)
        display = cls(eigenvalues, bulk=bulk, is_correlation=correlation)
        return display.plot(ax=ax, **kwargs)

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: ArrayLike | None = None,
        *,
        name: str | None = None,
        correlation: bool = False,
        ax: Axes | None = None,
        **kwargs: Any,
    ) -> SpectrumDisplay:
        """Plot the spectrum of a fitted covariance estimator, beside that of its data.

        Parameters
        ----------
        estimator : estimator
            Fitted, with ``covariance_``.
        X : array-like of shape (n_samples, n_assets), default=None
            The rows that it was fitted on: adds their sample covariance and the Marchenko-Pastur
            bulk.
        name : str, default=None
            Name for the legend. None means the name of the class.
        correlation : bool, default=False
            True plots the eigenvalues of the correlation matrices.
        ax : matplotlib Axes, default=None
            Where to plot. None makes a new figure.
        **kwargs : dict
            Passed to `plot`.

        Returns
        -------
        display : SpectrumDisplay
        """
        covariances = {}
        n_samples = None
        if X is not None:
            rows = as_frame(X, "X")
            check_varying(rows, "X")
            n_samples = len(rows)
            covariances["sample covariance"] = np.atleast_2d(np.cov(rows.to_numpy(), rowvar=False))
        covariances[type(estimator).__name__ if name is None else name] = estimator.covariance_
        return cls.from_covariances(
            covariances, n_samples=n_samples, correlation=correlation, ax=ax, **kwargs
        )

    def plot(self, ax: Axes | None = None, **kwargs: Any) -> SpectrumDisplay:
        """Draw the spectra; the legend gives each matrix's condition number.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Where to plot. None makes a new figure.
        **kwargs : dict
            Passed to `matplotlib.axes.Axes.plot`.

        Returns
        -------
        display : SpectrumDisplay

        Notes
        -----
        Eigenvalues that are zero up to rounding have no place on a logarithmic scale; the curve
        ends before them and the condition number reads infinite.
        """
        ax = get_axes(ax)
        from matplotlib.ticker import MaxNLocator

        style = {"marker": ".", "markersize": 5, "linewidth": 1, **kwargs}
        self.lines_ = []
        for name, values in self.eigenvalues.items():
            is_null = values <= NULL * values[0]
            condition = "∞" if is_null.any() else f"{values[0] / values[-1]:,.0f}"
            rank = np.arange(1, len(values) + 1)
            (line,) = ax.plot(
                rank[~is_null],
                values[~is_null],
                **{"label": f"{name} (condition number {condition})", **style},
            )
            self.lines_.append(line)
        self.bulk_ = None
        if self.bulk is not None:
            self.bulk_ = ax.axhspan(
                *self.bulk,
                color=GREY,
                alpha=0.15,
                linewidth=0,
                label="pure noise (Marchenko-Pastur)",
            )
        kind = "correlation" if self.is_correlation else "covariance"
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set(xlabel="Rank", ylabel=f"Eigenvalue of the {kind} matrix", yscale="log")
        ax.legend(frameon=False)
        self.ax_, self.figure_ = ax, ax.figure
        return self


def to_correlation(covariance: np.ndarray, name: str) -> np.ndarray:
    """Scale a covariance matrix to unit diagonal.

    Parameters
    ----------
    covariance : ndarray of shape (n_assets, n_assets)
        Covariance matrix.
    name : str
        Key of the matrix in `covariances`, for the error.

    Returns
    -------
    ndarray of shape (n_assets, n_assets)

    Raises
    ------
    ValueError
        If a variance is not positive.
    """
    variance = np.diag(covariance)
    if (variance <= 0).any():
        raise ValueError(f"covariances[{name!r}] has a non-positive variance: no correlations.")
    scale = np.sqrt(variance)
    return covariance / np.outer(scale, scale)
