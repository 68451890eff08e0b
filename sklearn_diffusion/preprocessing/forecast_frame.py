"""Surfaces, spot and volatility index, paired into features and the next day's surface."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.utils._param_validation import validate_params
from sklearn.utils.validation import _num_samples

from sklearn_diffusion.grid import SurfaceGrid
from sklearn_diffusion.preprocessing.conditioner import EWMAConditioner, segment_starts
from sklearn_diffusion.utils.arrays import as_floats
from sklearn_diffusion.utils.cells import check_labels
from sklearn_diffusion.utils.dates import check_dates, check_time_order, index_dates, name_day

__all__ = ["make_forecast_features", "make_forecast_frame"]


@validate_params(
    {"grid": [SurfaceGrid, None], "return_report": ["boolean"]},
    prefer_skip_nested_validation=False,
)
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
    a surface nobody has seen, use `make_forecast_features`.

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
        Features, laid out as in `sklearn_diffusion.preprocessing.features`.
    y : ndarray or DataFrame of shape (n_pairs, n_cells)
        The next day's surface, in volatility units.
    report : DataFrame
        Only if `return_report`. One row a day that gives no pair, with its ``position`` and the
        ``reason``.

    X and y are DataFrames if there are dates; both are indexed by the day on which the forecast
    is made.

    Raises
    ------
    ValueError
        If lengths or dates differ, a value is missing or not positive, dates are unsorted or
        repeated, the columns of `surfaces` are not those of the grid, or no pair can be formed.

    Warns
    -----
    UserWarning
        If gaps cost pairs.

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
    """
    panel, index, features, names = _all_features(surfaces, spot, vix, dates, grid, max_gap_days)
    starts = segment_starts(len(panel), index, max_gap_days)
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
            stacklevel=3,
        )
    targets = panel.to_numpy()[kept + 1, :-2]
    if index is None:
        X, y = features[kept], targets
    else:
        X = pd.DataFrame(features[kept], index[kept], names)
        y = pd.DataFrame(targets, index[kept], panel.columns[:-2])
    return (X, y, report) if return_report else (X, y)


@validate_params({"grid": [SurfaceGrid, None]}, prefer_skip_nested_validation=False)
def make_forecast_features(
    surfaces: ArrayLike | pd.DataFrame,
    spot: ArrayLike | pd.Series,
    vix: ArrayLike | pd.Series,
    *,
    dates: ArrayLike | None = None,
    grid: SurfaceGrid | None = None,
    max_gap_days: float = 14,
) -> NDArray | pd.DataFrame:
    """Make the features of every day, the last one included, whose next surface nobody has seen.

    The last row is what a forecaster takes to say what tomorrow brings. The others are those of
    `make_forecast_frame`, and of days before a gap.

    Parameters
    ----------
    surfaces : array-like or DataFrame of shape (n_days, n_cells) or (n_days, n_moneyness, n_tenors)
        Implied volatilities as decimals, a day a row, in time order.
    spot : array-like of shape (n_days,)
        Price of the underlying, adjusted for splits.
    vix : array-like of shape (n_days,)
        Volatility index, in any unit.
    dates : array-like of shape (n_days,), default=None
        Dates of the days; by default as in `make_forecast_frame`.
    grid : SurfaceGrid or None, default=None
        Where the surfaces live.
    max_gap_days : float, default=14
        Calendar days. No lag crosses a longer gap.

    Returns
    -------
    X : ndarray or DataFrame of shape (n_days - 1, 3 * n_cells + 12)
        Features, laid out as in `sklearn_diffusion.preprocessing.features`; fewer rows where there
        are gaps, since a day without a day before has no changes. A DataFrame, indexed by day, if
        there are dates.

    Raises
    ------
    ValueError
        As `make_forecast_frame`, or if the last day has no day before it.

    Examples
    --------
    >>> from sklearn_diffusion import ConditionalIVSurfaceForecaster
    >>> from sklearn_diffusion.datasets import make_iv_surfaces
    >>> from sklearn_diffusion.preprocessing import make_forecast_features, make_forecast_frame
    >>> market = make_iv_surfaces(120, random_state=0)
    >>> history = market.surfaces, market.spot, market.vix
    >>> X, y = make_forecast_frame(*history, dates=market.dates, grid=market.grid)
    >>> forecaster = ConditionalIVSurfaceForecaster(market.grid, network=None, random_state=0)
    >>> today = make_forecast_features(*history, dates=market.dates, grid=market.grid)[-1:]
    >>> forecaster.fit(X, y).predict(today).shape
    (1, 81)
    """
    panel, index, features, names = _all_features(surfaces, spot, vix, dates, grid, max_gap_days)
    starts = segment_starts(len(panel), index, max_gap_days)
    if starts[-1]:
        # Without it, the last row would be of an older day, and pass for today's.
        raise ValueError(
            f"the last day, {name_day(panel.index, -1)}, has no day before it, at most "
            f"{max_gap_days} calendar days earlier: features hold changes since the day before."
        )
    kept = np.flatnonzero(~starts)
    return features[kept] if index is None else pd.DataFrame(features[kept], index[kept], names)


def _all_features(
    surfaces: ArrayLike | pd.DataFrame,
    spot: ArrayLike | pd.Series,
    vix: ArrayLike | pd.Series,
    dates: ArrayLike | None,
    grid: SurfaceGrid | None,
    max_gap_days: float,
) -> tuple[pd.DataFrame, pd.DatetimeIndex | None, NDArray, NDArray]:
    """Checked panel of surfaces, spot and VIX, its dates, the features of its days, their names."""
    given = None if dates is None else check_dates(dates, _num_samples(surfaces))
    _check_same_index(given, surfaces=surfaces, spot=spot, vix=vix)  # names the day that is missing
    panel = _as_panel(surfaces, spot, vix, grid)
    index = index_dates(surfaces, "surfaces") if given is None else given
    panel.index = pd.RangeIndex(len(panel)) if index is None else index
    conditioner = EWMAConditioner(grid, max_gap_days=max_gap_days)
    features = conditioner.fit(panel).transform(panel)
    return panel, index, features, conditioner.get_feature_names_out()


def _as_panel(
    surfaces: ArrayLike | pd.DataFrame,
    spot: ArrayLike | pd.Series,
    vix: ArrayLike | pd.Series,
    grid: SurfaceGrid | None,
) -> pd.DataFrame:
    values = as_floats(surfaces, "surfaces")
    if values.ndim == 3:
        values = values.reshape(len(values), -1) if grid is None else grid.flatten(values)
    if values.ndim != 2:
        raise ValueError(
            "surfaces must be of shape (n_days, n_cells) or (n_days, n_moneyness, n_tenors), "
            f"got {values.shape}."
        )
    columns = {}
    for name, series in (("spot", spot), ("vix", vix)):
        columns[name] = as_floats(series, name)
        if columns[name].shape != (len(values),):
            raise ValueError(
                f"{name} must hold one value for each of {len(values)} days, "
                f"got shape {columns[name].shape}."
            )
    if grid is not None and grid.n_cells == values.shape[1]:
        cells = grid.cell_names
        if isinstance(surfaces, pd.DataFrame):
            check_labels(surfaces.columns, cells, "surfaces")
    elif isinstance(surfaces, pd.DataFrame):
        cells = surfaces.columns.astype(str)
    else:
        cells = np.arange(values.shape[1]).astype(str)
    return pd.DataFrame(values, columns=cells).assign(**columns)


def _check_same_index(dates: pd.DatetimeIndex | None, **tables: ArrayLike) -> None:
    """Raise unless tables agree on their days: with the dates given, or with one another."""
    indexes = {
        name: table.index
        for name, table in tables.items()
        if isinstance(table, pd.DataFrame | pd.Series)
    }
    if dates is not None:
        dated = {name: own for name, own in indexes.items() if isinstance(own, pd.DatetimeIndex)}
        indexes = {"dates": dates, **dated}
    names = list(indexes)
    for name in names[1:]:
        own, other = indexes[name], indexes[names[0]]
        if not own.equals(other):
            reference = "dates" if dates is not None else f"that of {names[0]}"
            raise ValueError(
                f"the index of {name} differs from {reference}: {_first_difference(own, other)}."
            )
    for name, own in indexes.items():
        check_time_order(own, name)


def _first_difference(own: pd.Index, other: pd.Index) -> str:
    """What an index has that the other has not, or where their order parts."""
    extra, missing = own.difference(other), other.difference(own)
    if len(extra) or len(missing):
        parts = [
            f"{len(days)} {what}, first {name_day(days, 0)}"
            for days, what in ((missing, "days are missing"), (extra, "days are too many"))
            if len(days)
        ]
        return "; ".join(parts)
    k = int(np.flatnonzero(own.to_numpy() != other.to_numpy())[0])
    return f"row {k} is {name_day(own, k)} instead of {name_day(other, k)}"


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
