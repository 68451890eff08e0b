r"""Causal features of each day: made from the whole history, or from the day before.

Every moving average is :math:`e_k = \alpha y_k + (1 - \alpha) e_{k-1}` with weights that sum to
one over the days there are (pandas' ``adjust=True``), where :math:`\alpha = 2 / (span + 1)`, or
one minus the decay. EWMAs of surfaces are taken of log volatility and exponentiated, so that they
commute with `LogSurfaceScaler`.

A change over a gap in the dates longer than `max_gap_days` is no one-day change, so averages of
changes skip it. They do not forget what they knew before it: a level of volatility outlives a
holiday, and an average of one day is no measure of it.
"""

from __future__ import annotations

from numbers import Real

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, TransformerMixin, _fit_context
from sklearn.utils import Tags
from sklearn.utils._param_validation import Interval
from sklearn.utils.validation import (
    _check_feature_names_in,
    check_is_fitted,
    validate_data,
)

from sklearn_diffusion.grid import SurfaceGrid
from sklearn_diffusion.preprocessing.features import (
    EWMA_SPANS,
    SCALAR_NAMES,
    feature_names,
    join_features,
    split_features,
)
from sklearn_diffusion.utils.arrays import as_float_table, as_floats
from sklearn_diffusion.utils.cells import check_labels, check_volatilities
from sklearn_diffusion.utils.dates import index_dates
from sklearn_diffusion.utils.refit import all_or_nothing

__all__ = ["EWMAConditioner", "advance_features", "segment_starts"]

# The scalars that are moving averages: their daily series and its smoothing factor.
_SCALAR_EWMAS = {
    "return_ewma_0.156": ("return", 0.156),
    "return_ewma_0.118": ("return", 0.118),
    "squared_return_ewma_0.3": ("squared_return", 0.3),
    "squared_return_ewma_0.15": ("squared_return", 0.15),
    "return_ewma_0.333": ("return", 1 / 3),
    "squared_increment_ewma_0.98": ("squared_increment", 1 - 0.98),
    "squared_increment_ewma_0.94": ("squared_increment", 1 - 0.94),
    "squared_increment_ewma_0.8": ("squared_increment", 1 - 0.8),
}


class EWMAConditioner(TransformerMixin, BaseEstimator):
    """Turn a history of surfaces, spot and VIX into causal features.

    Row k of the output depends on rows up to k of the input and on nothing that `fit` has seen.
    `sklearn_diffusion.preprocessing.features` describes the layout of the output.

    Parameters
    ----------
    grid : SurfaceGrid or None, default=None
        Where the surfaces live. If given, the number of cells is checked against it, and
        features and errors are named by its `cell_names`.
    max_gap_days : float, default=14
        Calendar days. No change is taken across a longer gap between consecutive dates. It has
        no effect on input without dates, whose days count as consecutive.

    Attributes
    ----------
    n_cells_ : int
        Number of cells of a surface.
    n_features_in_ : int
        ``n_cells_ + 2``.
    feature_names_in_ : ndarray of shape (n_features,)
        If `fit` saw a DataFrame.

    See Also
    --------
    make_forecast_frame : Features paired with the next day's surface.

    References
    ----------
    Jin & Agarwal, arXiv 2511.07571, section 5.2 and equation (35).

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_diffusion.preprocessing import EWMAConditioner
    >>> history = np.array([[0.2, 100.0, 20.0], [0.22, 98.0, 23.0], [0.21, 99.0, 22.0]])
    >>> conditioner = EWMAConditioner().fit(history)
    >>> conditioner.get_feature_names_out()[:4].tolist()
    ['iv_0', 'ewma5_0', 'ewma20_0', 'return_ewma_0.156']
    >>> conditioner.transform(history)[:, :4].round(3)
    array([[ 0.2  ,  0.2  ,  0.2  ,    nan],
           [ 0.22 ,  0.212,  0.21 , -0.02 ],
           [ 0.21 ,  0.211,  0.21 , -0.004]])
    """

    _parameter_constraints: dict = {
        "grid": [SurfaceGrid, None],
        "max_gap_days": [Interval(Real, 0, 36_500, closed="neither")],
    }

    def __init__(self, grid: SurfaceGrid | None = None, *, max_gap_days: float = 14) -> None:
        self.grid = grid
        self.max_gap_days = max_gap_days

    @all_or_nothing
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike | pd.DataFrame, y: object = None) -> EWMAConditioner:
        """Check the input; nothing is learnt.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_days, n_cells + 2)
            Surfaces in volatility units, then spot, then VIX; a day a row, in time order. The
            dates of a DataFrame with a DatetimeIndex are its index.
        y : None
            Ignored.

        Returns
        -------
        self : EWMAConditioner
        """
        self._validate(X, reset=True)
        return self

    def transform(self, X: ArrayLike | pd.DataFrame) -> NDArray:
        """Make the features of each day.

        Parameters
        ----------
        X : array-like or DataFrame of shape (n_days, n_cells + 2)
            As in `fit`.

        Returns
        -------
        ndarray of shape (n_days, 3 * n_cells + 12)
            The scalars of the first day, and of the first after a gap, are NaN: they are changes
            since a day before.

        Raises
        ------
        ValueError
            If a value is missing or not positive (named by day and cell), dates are unsorted or
            repeated, a column is labelled as another one, or the grid has another number of cells.
        """
        check_is_fitted(self)
        values, dates = self._validate(X, reset=False)
        surfaces, spot, vix = values[:, :-2], values[:, -2], values[:, -1]
        starts = segment_starts(len(values), dates, self.max_gap_days)
        log_surfaces = np.log(surfaces)
        spot_return = _since_yesterday(np.log(spot), starts)
        increments = _since_yesterday(log_surfaces, starts)
        daily = _daily_series(np.expm1(spot_return), increments)
        scalars = {
            name: _ewma(daily[series], alpha) for name, (series, alpha) in _SCALAR_EWMAS.items()
        }
        scalars |= {
            "vix_return": np.expm1(_since_yesterday(np.log(vix), starts)),
            "spot_return": daily["return"],
            "level_increment": increments.mean(axis=1),
            "weekday": np.zeros(len(values)) if dates is None else dates.day_of_week.to_numpy() + 1,
        }
        averages = [np.exp(_ewma(log_surfaces, _span_alpha(span))) for span in EWMA_SPANS]
        return join_features(surfaces, averages, scalars)

    def get_feature_names_out(self, input_features: ArrayLike | None = None) -> NDArray:
        """Name the columns of the output.

        Parameters
        ----------
        input_features : array-like of str of shape (n_features,), default=None
            Names of the input's columns. By default those seen in `fit`, else the names of the
            grid's cells, else their positions.

        Returns
        -------
        ndarray of str of shape (3 * n_cells + 12,)
        """
        check_is_fitted(self)
        if input_features is not None or hasattr(self, "feature_names_in_"):
            cells = _check_feature_names_in(self, input_features)[:-2]
        elif self.grid is not None:
            cells = self.grid.cell_names
        else:
            cells = np.arange(self.n_cells_)
        return feature_names(cells)

    def _validate(
        self, X: ArrayLike | pd.DataFrame, *, reset: bool
    ) -> tuple[NDArray, pd.DatetimeIndex | None]:
        days = X.index if isinstance(X, pd.DataFrame) else None
        columns = X.columns if isinstance(X, pd.DataFrame) else None
        values = validate_data(
            self,
            as_float_table(X, "X"),
            reset=reset,
            dtype=np.float64,
            ensure_all_finite=False,
            ensure_min_features=3,
        )
        n_cells = values.shape[1] - 2
        if self.grid is not None and n_cells != self.grid.n_cells:
            raise ValueError(
                f"X has {n_cells} cells beside spot and VIX, the grid has {self.grid.n_cells}."
            )
        cells = [""] * n_cells if self.grid is None else self.grid.cell_names
        expected = [*cells, "spot", "vix"]
        if columns is not None:
            check_labels(columns, expected, "X")
        elif self.grid is not None:
            columns = expected
        check_volatilities(values, days=days, cells=columns, what="volatilities, spot and VIX")
        dates = index_dates(X, "X")
        if reset:
            self.n_cells_ = n_cells
        return values, dates

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        return tags


def advance_features(
    X: ArrayLike, surfaces: ArrayLike, spot_return: ArrayLike, vix_return: ArrayLike
) -> NDArray:
    """Move features on by one day, given what happened on it.

    It is the recursion of the moving averages, which is all that one row allows. It differs from
    features made from the whole history only in the weight of days before the first, which a
    moving average has forgotten after a few spans.

    Parameters
    ----------
    X : array-like of shape (n_days, 3 * n_cells + 12)
        Features of day k, a row for each scenario.
    surfaces : array-like of shape (n_days, n_cells)
        Surfaces of day k + 1.
    spot_return, vix_return : array-like of shape (n_days,)
        Relative changes of the underlying and of the VIX from day k to day k + 1.

    Returns
    -------
    ndarray of shape (n_days, 3 * n_cells + 12)
        Features of day k + 1.

    Raises
    ------
    ValueError
        If shapes differ, a volatility is missing or not positive, or a return is not finite or
        not above -1.
    """
    surfaces = as_floats(surfaces, "surfaces")
    if surfaces.ndim != 2:
        raise ValueError(f"surfaces must be of shape (n_days, n_cells), got {surfaces.shape}.")
    now = split_features(X, surfaces.shape[1])
    if len(now.today) != len(surfaces):
        raise ValueError(f"X has {len(now.today)} days, surfaces have {len(surfaces)}.")
    spot_return = _check_returns(spot_return, "spot_return", len(surfaces))
    vix_return = _check_returns(vix_return, "vix_return", len(surfaces))
    check_volatilities(surfaces, what="surfaces")
    check_volatilities(now.today, what="today's volatilities in X")
    check_volatilities(now.ewma_short, what="short averages in X")
    check_volatilities(now.ewma_long, what="long averages in X")
    if not np.isfinite(now.scalars).all():
        row, column = np.argwhere(~np.isfinite(now.scalars))[0]
        raise ValueError(f"X is not finite on day {row}: {SCALAR_NAMES[column]}.")
    log_surfaces = np.log(surfaces)
    increments = log_surfaces - np.log(now.today)
    daily = _daily_series(spot_return, increments)
    weekday = now.scalar("weekday")
    scalars = {
        name: alpha * daily[series] + (1 - alpha) * now.scalar(name)
        for name, (series, alpha) in _SCALAR_EWMAS.items()
    }
    scalars |= {
        "vix_return": vix_return,
        "spot_return": spot_return,
        "level_increment": increments.mean(axis=1),
        # Simulated days are working days: Friday is followed by Monday.
        "weekday": np.where(weekday > 0, weekday % 5 + 1, 0),
    }
    averages = [
        np.exp(alpha * log_surfaces + (1 - alpha) * np.log(before))
        for alpha, before in zip(
            map(_span_alpha, EWMA_SPANS), (now.ewma_short, now.ewma_long), strict=True
        )
    ]
    return join_features(surfaces, averages, scalars)


def _check_returns(values: ArrayLike, name: str, n_days: int) -> NDArray:
    returns = as_floats(values, name)
    if returns.shape != (n_days,) or not np.isfinite(returns).all() or (returns <= -1).any():
        raise ValueError(
            f"{name} must be {n_days} finite relative changes above -1, got shape {returns.shape}"
            f"{'' if returns.size == 0 else f' from {returns.min():g} to {returns.max():g}'}."
        )
    return returns


def segment_starts(n_days: int, dates: pd.DatetimeIndex | None, max_gap_days: float) -> NDArray:
    """Mark the days that follow no other: the first, and each after a gap.

    Parameters
    ----------
    n_days : int
        Number of days.
    dates : DatetimeIndex of length n_days or None
        Without dates, days count as consecutive.
    max_gap_days : float
        Calendar days that are no gap yet.

    Returns
    -------
    ndarray of bool, shape (n_days,)
    """
    starts = np.zeros(n_days, dtype=bool)
    starts[0] = True
    if dates is not None:
        starts[1:] = dates[1:] - dates[:-1] > pd.Timedelta(days=float(max_gap_days))
    return starts


def _since_yesterday(values: NDArray, starts: NDArray) -> NDArray:
    changes = np.full_like(values, np.nan)
    changes[1:] = np.diff(values, axis=0)
    changes[starts] = np.nan
    return changes


def _daily_series(spot_return: NDArray, log_increments: NDArray) -> dict[str, NDArray]:
    return {
        "return": spot_return,
        "squared_return": spot_return**2,
        "squared_increment": (log_increments**2).mean(axis=1),
    }


def _ewma(values: NDArray, alpha: float) -> NDArray:
    # A NaN, the change over a gap, is passed over without ageing what came before it.
    averages = pd.DataFrame(values).ewm(alpha=alpha, ignore_na=True).mean().to_numpy()
    return averages.reshape(values.shape)


def _span_alpha(span: float) -> float:
    return 2 / (span + 1)
