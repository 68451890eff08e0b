r"""What is known today about tomorrow's surface: causal features, one row a day.

Feature layout
--------------
With ``n`` cells, a row of features holds, in this order,

============  =========================================  ======================================
columns       names                                      content
============  =========================================  ======================================
0 to n        ``iv_<cell>``                              today's surface
n to 2n       ``ewma5_<cell>``                           EWMA of surfaces, span 5
2n to 3n      ``ewma20_<cell>``                          EWMA of surfaces, span 20
3n, 3n + 1    ``return_ewma_0.156``, ``..._0.118``       EWMA of the returns of the underlying
3n + 2, + 3   ``squared_return_ewma_0.3``, ``..._0.15``  EWMA of its squared returns
3n + 4        ``vix_return``                             today's relative change of the VIX
3n + 5        ``spot_return``                            today's return of the underlying
3n + 6        ``return_ewma_0.333``                      EWMA of its returns, over a few days
3n + 7        ``level_increment``                        mean over cells of today's change of log
                                                         volatility
3n + 8        ``weekday``                                today's weekday, 1 (Monday) to 7;
                                                         0 where days have no dates
3n + 9 to     ``squared_increment_ewma_0.98``,           EWMA, by decay, of the mean over cells
3n + 11       ``..._0.94``, ``..._0.8``                  of squared one-day changes of log
                                                         volatility
============  =========================================  ======================================

The first five scalars are the paper's. The others let a forecaster scale by the current
volatility of volatility and follow the underlying, from one row alone: a forecast then needs no
memory of other rows. `split_features` takes a row apart and `advance_features` moves it on by a
simulated day.

Surfaces are in volatility units, and nothing is standardised. EWMAs of surfaces are taken of log
volatility and exponentiated, so that they commute with `LogSurfaceScaler`.

Every moving average is :math:`e_k = \alpha y_k + (1 - \alpha) e_{k-1}` with weights that sum to
one over the days there are (pandas' ``adjust=True``), where :math:`\alpha = 2 / (span + 1)`, or
one minus the decay. A change over a gap in the dates longer than `max_gap_days` is no one-day
change, so averages of changes skip it. They do not forget what they knew before it: a level of
volatility outlives a holiday, and an average of one day is no measure of it.
"""

from __future__ import annotations

import warnings
from numbers import Real
from typing import Any, NamedTuple

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
from sklearn_diffusion.preprocessing.validation import check_dates, check_volatilities

__all__ = [
    "SCALAR_NAMES",
    "EWMAConditioner",
    "ForecastFeatures",
    "advance_features",
    "check_features",
    "make_forecast_frame",
    "split_features",
]

_SPANS = (5, 20)
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
SCALAR_NAMES = (
    "return_ewma_0.156",
    "return_ewma_0.118",
    "squared_return_ewma_0.3",
    "squared_return_ewma_0.15",
    "vix_return",
    "spot_return",
    "return_ewma_0.333",
    "level_increment",
    "weekday",
    "squared_increment_ewma_0.98",
    "squared_increment_ewma_0.94",
    "squared_increment_ewma_0.8",
)
_N_BLOCKS = 1 + len(_SPANS)


class ForecastFeatures(NamedTuple):
    """A feature matrix taken apart, by `split_features`.

    Attributes
    ----------
    today : ndarray of shape (n_days, n_cells)
        Today's surface, in volatility units.
    ewma_short, ewma_long : ndarray of shape (n_days, n_cells)
        Moving averages of surfaces, span 5 and 20, in volatility units.
    scalars : ndarray of shape (n_days, 12)
        In the order of `SCALAR_NAMES`.
    """

    today: NDArray
    ewma_short: NDArray
    ewma_long: NDArray
    scalars: NDArray

    def scalar(self, name: str) -> NDArray:
        """Return the column of one scalar, of shape (n_days,).

        Parameters
        ----------
        name : str
            One of `SCALAR_NAMES`.
        """
        return self.scalars[:, SCALAR_NAMES.index(name)]


def split_features(X: ArrayLike, grid: SurfaceGrid | int) -> ForecastFeatures:
    """Take a feature matrix apart by position.

    Parameters
    ----------
    X : array-like of shape (n_days, 3 * n_cells + 12)
        As made by `make_forecast_frame` or `EWMAConditioner`.
    grid : SurfaceGrid or int
        The grid of the surfaces, or its number of cells.

    Returns
    -------
    ForecastFeatures

    Raises
    ------
    ValueError
        If `X` has not the number of columns that the grid implies.
    """
    n_cells = grid.n_cells if isinstance(grid, SurfaceGrid) else grid
    values = np.asarray(X)
    expected = _N_BLOCKS * n_cells + len(SCALAR_NAMES)
    if values.ndim != 2 or values.shape[1] != expected:
        raise ValueError(
            f"X must have {expected} columns, {_N_BLOCKS} surfaces of {n_cells} cells and "
            f"{len(SCALAR_NAMES)} scalars, as made by make_forecast_frame; got shape "
            f"{values.shape}."
        )
    return ForecastFeatures(*np.split(values, n_cells * np.arange(1, _N_BLOCKS + 1), axis=1))


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
    """
    surfaces = np.asarray(surfaces, dtype=np.float64)
    now = split_features(X, surfaces.shape[1])
    spot_return = np.asarray(spot_return, dtype=np.float64)
    log_surfaces = np.log(surfaces)
    increments = log_surfaces - np.log(now.today)
    daily = _daily_series(spot_return, increments)
    weekday = now.scalar("weekday")
    scalars = {
        name: alpha * daily[series] + (1 - alpha) * now.scalar(name)
        for name, (series, alpha) in _SCALAR_EWMAS.items()
    }
    scalars |= {
        "vix_return": np.asarray(vix_return),
        "spot_return": spot_return,
        "level_increment": increments.mean(axis=1),
        # Simulated days are working days: Friday is followed by Monday.
        "weekday": np.where(weekday > 0, weekday % 5 + 1, 0),
    }
    averages = [
        np.exp(alpha * log_surfaces + (1 - alpha) * np.log(before))
        for alpha, before in zip(
            map(_span_alpha, _SPANS), (now.ewma_short, now.ewma_long), strict=True
        )
    ]
    return np.column_stack([surfaces, *averages, *(scalars[name] for name in SCALAR_NAMES)])


def check_features(X: ArrayLike | pd.DataFrame, grid: SurfaceGrid) -> ForecastFeatures:
    """Take a feature matrix apart after checking every value of it.

    Parameters
    ----------
    X : array-like of shape (n_days, 3 * n_cells + 12)
        As made by `make_forecast_frame`.
    grid : SurfaceGrid
        Where the surfaces live.

    Returns
    -------
    ForecastFeatures

    Raises
    ------
    ValueError
        Naming the day and the cell or scalar of a value that is missing or not positive.
    """
    days = X.index if isinstance(X, pd.DataFrame) else None
    features = split_features(np.asarray(X, dtype=np.float64), grid)
    surfaces = {
        "today's volatilities in X": features.today,
        "short averages in X": features.ewma_short,
        "long averages in X": features.ewma_long,
    }
    for what, block in surfaces.items():
        check_volatilities(block, days=days, cells=grid.cell_names, what=what)
    bad = np.argwhere(~np.isfinite(features.scalars))
    if len(bad):
        row, column = bad[0]
        day = row if days is None else days[row]
        raise ValueError(
            f"X has {len(bad)} scalars that are NaN or infinite, the first on day {day}: "
            f"{SCALAR_NAMES[column]}. make_forecast_frame leaves out days without a day before."
        )
    return features


class EWMAConditioner(TransformerMixin, BaseEstimator):
    """Turn a history of surfaces, spot and VIX into causal features.

    Row k of the output depends on rows up to k of the input and on nothing that `fit` has seen.
    The layout of the output is described in the module's documentation.

    Parameters
    ----------
    grid : SurfaceGrid or None, default=None
        Where the surfaces live. If given, the number of cells is checked against it, and
        features and errors are named by its `cell_names`.
    max_gap_days : float, default=14
        Calendar days. Nothing is carried across a longer gap between consecutive dates. It
        has no effect on input without dates, whose days count as consecutive.

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
        "max_gap_days": [Interval(Real, 0, None, closed="neither")],
    }

    def __init__(self, grid: SurfaceGrid | None = None, *, max_gap_days: float = 14) -> None:
        self.grid = grid
        self.max_gap_days = max_gap_days

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
            repeated, or the grid has another number of cells.
        """
        check_is_fitted(self)
        values, dates = self._validate(X, reset=False)
        surfaces, spot, vix = values[:, :-2], values[:, -2], values[:, -1]
        starts = _segment_starts(len(values), dates, self.max_gap_days)
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
        averages = [np.exp(_ewma(log_surfaces, _span_alpha(span))) for span in _SPANS]
        return np.column_stack([surfaces, *averages, *(scalars[name] for name in SCALAR_NAMES)])

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
        blocks = ("iv", *(f"ewma{span}" for span in _SPANS))
        names = [f"{block}_{cell}" for block in blocks for cell in cells]
        return np.array([*names, *SCALAR_NAMES], dtype=object)

    def _validate(
        self, X: ArrayLike | pd.DataFrame, *, reset: bool
    ) -> tuple[NDArray, pd.DatetimeIndex | None]:
        days = X.index if isinstance(X, pd.DataFrame) else None
        columns = X.columns if isinstance(X, pd.DataFrame) else None
        values = validate_data(
            self, X, reset=reset, dtype=np.float64, ensure_all_finite=False, ensure_min_features=3
        )
        n_cells = values.shape[1] - 2
        if self.grid is not None:
            if n_cells != self.grid.n_cells:
                raise ValueError(
                    f"X has {n_cells} cells beside spot and VIX, the grid has {self.grid.n_cells}."
                )
            columns = [*self.grid.cell_names, "spot", "vix"] if columns is None else columns
        check_volatilities(values, days=days, cells=columns, what="volatilities, spot and VIX")
        dates = check_dates(days, len(values)) if isinstance(days, pd.DatetimeIndex) else None
        if reset:
            self.n_cells_ = n_cells
        return values, dates

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.positive_only = True
        return tags


def make_forecast_frame(
    surfaces: ArrayLike | pd.DataFrame,
    spot: ArrayLike | pd.Series,
    vix: ArrayLike | pd.Series,
    *,
    dates: ArrayLike | None = None,
    grid: SurfaceGrid | None = None,
    max_gap_days: float = 14,
    return_report: bool = False,
) -> tuple[Any, ...]:
    """Pair what is known on each day with the next day's surface.

    A pair is formed where the day before and the day after are both at most `max_gap_days`
    away, so the first and the last day never give one. For features of the last day, to forecast
    a surface nobody has seen, use `EWMAConditioner`.

    Parameters
    ----------
    surfaces : array-like or DataFrame of shape (n_days, n_cells) or (n_days, n_moneyness, n_tenors)
        Implied volatilities as decimals, a day a row, in time order.
    spot : array-like of shape (n_days,)
        Price of the underlying. Returns are taken as they come: adjust for splits first.
    vix : array-like of shape (n_days,)
        Volatility index, in any unit.
    dates : array-like of shape (n_days,), default=None
        Dates of the days. By default the index of `surfaces` where that is a DataFrame with a
        DatetimeIndex; without dates, days count as consecutive.
    grid : SurfaceGrid or None, default=None
        Where the surfaces live.
    max_gap_days : float, default=14
        Calendar days. No lag crosses a longer gap.
    return_report : bool, default=False
        Whether to return which days give no pair, and why.

    Returns
    -------
    X : ndarray or DataFrame of shape (n_pairs, 3 * n_cells + 12)
        Features: see the module's documentation for the layout.
    y : ndarray or DataFrame of shape (n_pairs, n_cells)
        The next day's surface, in volatility units.
    report : DataFrame
        Only if `return_report`. One row a day that gives no pair, with its ``position`` and the
        ``reason``.

    X and y are DataFrames if there are dates; both are indexed by the day on which the forecast
    is made.

    Warns
    -----
    UserWarning
        If gaps cost pairs.

    Raises
    ------
    ValueError
        If lengths differ, a value is missing or not positive, dates are unsorted or repeated,
        the grid does not match, or no pair can be formed.

    Examples
    --------
    >>> from sklearn_diffusion.datasets import make_iv_surfaces
    >>> from sklearn_diffusion.preprocessing import make_forecast_frame
    >>> market = make_iv_surfaces(50, random_state=0)
    >>> X, y = make_forecast_frame(
    ...     market.surfaces, market.spot, market.vix, dates=market.dates, grid=market.grid
    ... )
    >>> X.shape, y.shape
    ((48, 255), (48, 81))

    Features of the last day, whose next surface is still to come:

    >>> import numpy as np
    >>> from sklearn_diffusion.preprocessing import EWMAConditioner
    >>> history = np.column_stack([market.surfaces, market.spot, market.vix])
    >>> EWMAConditioner().fit_transform(history)[-1:].shape
    (1, 255)
    """
    panel = _as_panel(surfaces, spot, vix, grid)
    index: pd.DatetimeIndex | None = None
    if dates is not None:
        index = check_dates(dates, len(panel))
    elif isinstance(surfaces, pd.DataFrame) and isinstance(surfaces.index, pd.DatetimeIndex):
        index = check_dates(surfaces.index, len(panel))
    panel.index = pd.RangeIndex(len(panel)) if index is None else index

    conditioner = EWMAConditioner(grid, max_gap_days=max_gap_days)
    features = conditioner.fit(panel).transform(panel)
    starts = _segment_starts(len(panel), index, max_gap_days)
    report = _unpaired_days(panel.index, starts, max_gap_days)
    kept = np.setdiff1d(np.arange(len(panel)), report["position"])
    if kept.size == 0:
        raise ValueError(
            f"No pair of features and next-day surface can be formed from {len(panel)} days: "
            f"three consecutive days at most {max_gap_days} calendar days apart are needed."
        )
    n_gaps = int(starts[1:].sum())
    if n_gaps:
        warnings.warn(
            f"{n_gaps} gaps of more than {max_gap_days} calendar days: {len(report) - 2} days "
            "beside the first and the last form no pair. Ask for return_report=True to see them.",
            stacklevel=2,
        )
    targets = panel.to_numpy()[kept + 1, :-2]
    if index is None:
        X, y = features[kept], targets
    else:
        X = pd.DataFrame(features[kept], index[kept], conditioner.get_feature_names_out())
        y = pd.DataFrame(targets, index[kept], panel.columns[:-2])
    return (X, y, report) if return_report else (X, y)


def _as_panel(
    surfaces: ArrayLike | pd.DataFrame,
    spot: ArrayLike | pd.Series,
    vix: ArrayLike | pd.Series,
    grid: SurfaceGrid | None,
) -> pd.DataFrame:
    values = np.asarray(surfaces, dtype=np.float64)
    if values.ndim == 3:
        values = values.reshape(len(values), -1) if grid is None else grid.flatten(values)
    if values.ndim != 2:
        raise ValueError(
            "surfaces must be of shape (n_days, n_cells) or (n_days, n_moneyness, n_tenors), "
            f"got {values.shape}."
        )
    columns = {}
    for name, series in (("spot", spot), ("vix", vix)):
        columns[name] = np.asarray(series, dtype=np.float64)
        if columns[name].shape != (len(values),):
            raise ValueError(
                f"{name} must hold one value for each of {len(values)} days, "
                f"got shape {columns[name].shape}."
            )
        if (
            isinstance(surfaces, pd.DataFrame)
            and isinstance(series, pd.Series)
            and not series.index.equals(surfaces.index)
        ):
            raise ValueError(f"the index of {name} differs from that of surfaces.")
    if grid is not None and grid.n_cells == values.shape[1]:
        cells = grid.cell_names
    elif isinstance(surfaces, pd.DataFrame):
        cells = surfaces.columns.astype(str)
    else:
        cells = np.arange(values.shape[1]).astype(str)
    return pd.DataFrame(values, columns=cells).assign(**columns)


def _unpaired_days(index: pd.Index, starts: NDArray, max_gap_days: float) -> pd.DataFrame:
    ends = np.append(starts[1:], True)
    after_gap, before_gap = (
        f"more than {max_gap_days:g} calendar days after the day before",
        f"more than {max_gap_days:g} calendar days before the day after",
    )
    reasons = {}
    for position in np.flatnonzero(starts | ends):
        why = []
        if starts[position]:
            why.append("first day" if position == 0 else after_gap)
        if ends[position]:
            why.append("last day" if position == len(index) - 1 else before_gap)
        reasons[position] = ", ".join(why)
    positions = np.fromiter(reasons, dtype=int)
    return pd.DataFrame(
        {"position": positions, "reason": list(reasons.values())}, index=index[positions]
    )


def _segment_starts(n_days: int, dates: pd.DatetimeIndex | None, max_gap_days: float) -> NDArray:
    """Mark the days that follow no other: the first, and each after a gap."""
    starts = np.zeros(n_days, dtype=bool)
    starts[0] = True
    if dates is not None:
        starts[1:] = dates[1:] - dates[:-1] > pd.Timedelta(days=max_gap_days)
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
