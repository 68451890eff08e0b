"""Standardised log volatility."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin, _fit_context
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted, validate_data

from sklearn_diffusion.grid import SurfaceGrid
from sklearn_diffusion.utils.arrays import LARGEST, as_float_table, as_floats
from sklearn_diffusion.utils.cells import check_labels, check_volatilities
from sklearn_diffusion.utils.refit import all_or_nothing

__all__ = ["LogSurfaceScaler"]


class LogSurfaceScaler(OneToOneFeatureMixin, TransformerMixin, BaseEstimator):
    r"""Take logarithms of volatilities, then standardise cell by cell.

    .. math:: \tilde z_{ij} = \frac{\log \sigma_{ij} - \mu_{ij}}{s_{ij}}

    with the mean and the (population) standard deviation of the days of `fit`.

    Parameters
    ----------
    grid : SurfaceGrid or None, default=None
        Where the surfaces live. If given, their number of cells is checked against it and
        errors name cells by its `cell_names`.

    Attributes
    ----------
    mean_ : ndarray of shape (n_cells,)
        Mean log volatility.
    scale_ : ndarray of shape (n_cells,)
        Standard deviation of log volatility.
    n_features_in_ : int
        Number of cells.
    feature_names_in_ : ndarray of shape (n_cells,)
        Names of the cells, if `fit` saw a DataFrame.

    References
    ----------
    Jin & Agarwal, arXiv 2511.07571, equation (34).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_diffusion.preprocessing import LogSurfaceScaler
    >>> surfaces = np.array([[0.1, 0.2], [0.2, 0.2], [0.4, 0.8]])
    >>> scaler = LogSurfaceScaler().fit(surfaces)
    >>> scaler.transform(surfaces).round(3)
    array([[-1.225, -0.707],
           [ 0.   , -0.707],
           [ 1.225,  1.414]])
    >>> bool(np.allclose(scaler.inverse_transform(scaler.transform(surfaces)), surfaces))
    True
    """

    _parameter_constraints: dict = {"grid": [SurfaceGrid, None]}

    def __init__(self, grid: SurfaceGrid | None = None) -> None:
        self.grid = grid

    @all_or_nothing
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike | pd.DataFrame, y: object = None) -> LogSurfaceScaler:
        """Learn the mean and standard deviation of log volatility in each cell.

        Parameters
        ----------
        X : array-like of shape (n_days, n_cells)
            Volatilities, positive.
        y : None
            Ignored.

        Returns
        -------
        self : LogSurfaceScaler

        Raises
        ------
        ValueError
            If a volatility is missing or not positive (named by day and cell), if a cell is
            constant, if there are fewer than two days, or if the grid has another number of
            cells or other ones.
        """
        logs = np.log(self._validate(X, reset=True))
        mean, scale = logs.mean(axis=0), logs.std(axis=0)
        # A constant column's standard deviation is its rounding error, not zero.
        constant = scale <= 1e-12 * np.maximum(np.abs(mean), 1)
        if constant.any():
            names = self._cells(X)
            positions = np.flatnonzero(constant)
            cells = [str(i if names is None else names[i]) for i in positions]
            raise ValueError(
                f"X has {len(cells)} constant cells, which cannot be standardised: "
                f"{', '.join(cells[:5])}{', ...' if len(cells) > 5 else ''}."
            )
        self.mean_, self.scale_ = mean, scale
        return self

    def transform(self, X: ArrayLike | pd.DataFrame) -> NDArray:
        """Standardise log volatilities.

        Parameters
        ----------
        X : array-like of shape (n_days, n_cells)
            Volatilities, positive.

        Returns
        -------
        ndarray of shape (n_days, n_cells)
        """
        check_is_fitted(self)
        return (np.log(self._validate(X, reset=False)) - self.mean_) / self.scale_

    def inverse_transform(self, X: ArrayLike | pd.DataFrame) -> NDArray:
        """Return to volatilities.

        Parameters
        ----------
        X : array-like of shape (..., n_cells)
            Standardised log volatilities. Leading axes are kept, so that scenarios of shape
            (n_samples, n_days, n_cells) need no reshaping.

        Returns
        -------
        ndarray of shape (..., n_cells)
            Positive, whatever `X` is.

        Raises
        ------
        ValueError
            If a value is not finite, or a column stands in another's place.
        """
        check_is_fitted(self)
        standardised = as_floats(X, "X")
        if standardised.shape[-1:] != (self.n_features_in_,):
            raise ValueError(
                f"X of shape {standardised.shape} does not end in the {self.n_features_in_} "
                "cells seen in fit."
            )
        if standardised.size == 0:
            raise ValueError(f"X has no days: got shape {standardised.shape}.")
        if not np.isfinite(standardised).all():
            first = tuple(np.argwhere(~np.isfinite(standardised))[0].tolist())
            raise ValueError(f"X holds {standardised[first]} at {first}: it must be finite.")
        if isinstance(X, pd.DataFrame):
            cells = getattr(self, "feature_names_in_", self._cells(None))
            if cells is not None:
                check_labels(X.columns, [str(cell) for cell in cells], "X")
        logs = standardised * self.scale_ + self.mean_
        if np.abs(logs).max() > np.log(LARGEST):
            first = tuple(np.argwhere(np.abs(logs) > np.log(LARGEST))[0].tolist())
            raise ValueError(
                f"X holds {standardised[first]:g} at {first}, whose volatility is out of the range "
                "of double precision: are these standardised log volatilities?"
            )
        return np.exp(logs)

    def _validate(self, X: ArrayLike | pd.DataFrame, *, reset: bool) -> NDArray:
        days = X.index if isinstance(X, pd.DataFrame) else None
        cells = self._cells(X)
        surfaces = validate_data(
            self,
            as_float_table(X, "X"),
            reset=reset,
            dtype=np.float64,
            ensure_all_finite=False,
            ensure_min_samples=2 if reset else 1,
        )
        if self.grid is not None and surfaces.shape[1] != self.grid.n_cells:
            raise ValueError(
                f"X has {surfaces.shape[1]} cells, the grid has {self.grid.n_cells} "
                f"({self.grid.shape[0]} moneyness levels by {self.grid.shape[1]} tenors)."
            )
        if self.grid is not None and isinstance(X, pd.DataFrame):
            check_labels(X.columns, self.grid.cell_names, "X")
        check_volatilities(surfaces, days=days, cells=cells)
        return surfaces

    def _cells(self, X: ArrayLike | pd.DataFrame | None) -> NDArray | pd.Index | None:
        if isinstance(X, pd.DataFrame):
            return X.columns
        return None if self.grid is None else self.grid.cell_names

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        return tags
