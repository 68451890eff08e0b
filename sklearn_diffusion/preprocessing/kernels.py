"""Kernel regression of one day's implied volatilities, and its bandwidths by cross-validation.

Both estimators are local polynomial fits with Gaussian weights times vegas: degree zero in
moneyness and tenor (Nadaraya-Watson), or degree one in log-moneyness, expiry by expiry, where it
is the logarithm of volatility that is fitted, so that no line falls below zero. Weights are
handled as logarithms too, so that a target far from all quotes leans on the nearest ones instead
of dividing zero by zero.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from sklearn_diffusion.grid import SurfaceGrid

__all__ = [
    "DayQuotes",
    "kernel_surface",
    "linear_surface",
    "select_moneyness_bandwidth",
    "select_tenor_bandwidth",
    "split_days",
    "traded_range",
]

Floats = NDArray[np.float64]

#: Bandwidths tried, as multiples of the typical distance between neighbouring quotes.
MULTIPLES = np.geomspace(0.25, 4, 17)

#: Steps between strikes for which a smile keeps its slope beyond the outermost one.
REACH = 2

#: Smiles a bandwidth is validated on, spread evenly over the days. More change it little.
MAX_SMILES = 400


class DayQuotes(NamedTuple):
    """Quotes of one day, or of one of its expiries, sorted by tenor and moneyness.

    Attributes
    ----------
    tenor : ndarray of shape (n_quotes,)
        Years to expiry.
    moneyness : ndarray of shape (n_quotes,)
        Strike over forward or spot.
    volatility : ndarray of shape (n_quotes,)
        Implied volatilities, as decimals.
    vega : ndarray of shape (n_quotes,)
        Weights of the quotes.
    """

    tenor: Floats
    moneyness: Floats
    volatility: Floats
    vega: Floats

    def where(self, keep: NDArray[np.bool_] | slice) -> DayQuotes:
        """Return the quotes selected by a boolean array or a slice.

        Parameters
        ----------
        keep : ndarray of bool of shape (n_quotes,), or slice
            Which quotes to keep.

        Returns
        -------
        DayQuotes
            In the same order.
        """
        return DayQuotes(*(values[keep] for values in self))

    def smiles(self) -> list[DayQuotes]:
        """Return the quotes of each expiry.

        Returns
        -------
        list of DayQuotes
            By increasing tenor.
        """
        starts = np.flatnonzero(np.diff(self.tenor)) + 1
        parts = (np.split(values, starts) for values in self)
        return [DayQuotes(*smile) for smile in zip(*parts, strict=True)]


def split_days(points: pd.DataFrame) -> Iterator[tuple[pd.Timestamp, DayQuotes]]:
    """Iterate over the days of `CleanQuotes.points`.

    Parameters
    ----------
    points : DataFrame
        One row a quote, sorted by date, tenor and moneyness.

    Yields
    ------
    date : Timestamp
        The day.
    quotes : DayQuotes
        Its quotes.
    """
    for date, day in points.groupby("date"):
        yield date, DayQuotes(*(day[name].to_numpy() for name in DayQuotes._fields))


def kernel_surface(day: DayQuotes, grid: SurfaceGrid, h1: float, h2: float) -> Floats:
    """Average by vega and distance (Nadaraya-Watson).

    Parameters
    ----------
    day : DayQuotes
        Quotes to smooth.
    grid : SurfaceGrid
        Where to estimate the surface.
    h1, h2 : float
        Kernel variances in moneyness and in tenor.

    Returns
    -------
    ndarray of shape (n_moneyness, n_tenors)
    """
    moneyness, tenor = np.meshgrid(grid.moneyness, grid.tenors, indexing="ij")
    moneyness, tenor = grid.flatten(moneyness), grid.flatten(tenor)
    return grid.unflatten(_kernel_average(day, moneyness, tenor, h1, h2))


def linear_surface(day: DayQuotes, grid: SurfaceGrid, h1: float) -> Floats:
    """Fit each expiry's smile locally linearly; interpolate total variance between expiries.

    Beyond its strikes a smile keeps its slope for as far as the last `REACH` of them span, and is
    flat from there on. Volatilities are flat beyond the expiries.

    Parameters
    ----------
    day : DayQuotes
        Quotes to smooth.
    grid : SurfaceGrid
        Where to estimate the surface.
    h1 : float
        Kernel variance in log-moneyness.

    Returns
    -------
    ndarray of shape (n_moneyness, n_tenors)
    """
    smiles = day.smiles()
    expiries = np.array([smile.tenor[0] for smile in smiles])
    volatility = np.array([_linear_smile(smile, grid.moneyness, h1) for smile in smiles])
    variance = expiries[:, None] * volatility**2
    inside = np.clip(grid.tenors, expiries[0], expiries[-1])
    interpolated = np.array([np.interp(inside, expiries, column) for column in variance.T])
    return np.sqrt(interpolated / inside)


def traded_range(day: DayQuotes, grid: SurfaceGrid) -> NDArray[np.bool_]:
    """Tell which cells lie between the day's quotes.

    Parameters
    ----------
    day : DayQuotes
        Its quotes.
    grid : SurfaceGrid
        Whose cells to look at.

    Returns
    -------
    ndarray of bool, shape (n_moneyness, n_tenors)
        True where both expiries around the tenor are quoted at a lower and at a higher moneyness
        (one expiry is enough on its own tenor).
    """
    smiles = day.smiles()
    expiries = np.array([smile.tenor[0] for smile in smiles])
    lowest = np.array([smile.moneyness[0] for smile in smiles])
    highest = np.array([smile.moneyness[-1] for smile in smiles])
    rounding = 1e-9
    before = np.searchsorted(expiries, grid.tenors + rounding, side="right") - 1
    after = np.searchsorted(expiries, grid.tenors - rounding, side="left")
    is_between = (before >= 0) & (after < len(expiries))
    before, after = np.maximum(before, 0), np.minimum(after, len(expiries) - 1)
    lowest = np.maximum(lowest[before], lowest[after])
    highest = np.minimum(highest[before], highest[after])
    moneyness = grid.moneyness[:, None]
    is_quoted = (moneyness >= lowest - rounding) & (moneyness <= highest + rounding)
    return is_between & is_quoted


def select_moneyness_bandwidth(days: Iterable[DayQuotes], *, linear: bool) -> float:
    """Choose h1: each quote between two others is predicted from the rest of its expiry.

    Parameters
    ----------
    days : iterable of DayQuotes
        Quotes of the training days.
    linear : bool
        Whether for `linear_surface` or for `kernel_surface`.

    Returns
    -------
    float
        The kernel variance with the smallest vega-weighted squared relative error.
    """
    smiles = [smile for day in days for smile in day.smiles() if len(smile.tenor) >= 4]
    if not smiles:
        raise ValueError(
            "bandwidth_moneyness='auto' needs an expiry with at least 4 quotes; "
            "give bandwidth_moneyness as a number."
        )
    places = [np.log(smile.moneyness) if linear else smile.moneyness for smile in smiles]
    step = _typical_step(places)

    def error(smile: DayQuotes, place: Floats, h1: float) -> float:
        offset = place[:, None] - place
        log_weight = np.log(smile.vega)[:, None] - offset**2 / (2 * h1)
        np.fill_diagonal(log_weight, -np.inf)
        if linear:
            predicted = np.exp(_local_line(np.log(smile.volatility), offset, log_weight)[0])
        else:
            predicted = _local_mean(smile.volatility, log_weight)
        between = slice(1, -1)
        return _weighted_error(smile.where(between), predicted[between])

    sample = _spread(list(zip(smiles, places, strict=True)))
    return _best(lambda h1: [error(smile, place, h1) for smile, place in sample], step)


def select_tenor_bandwidth(days: Iterable[DayQuotes], h1: float) -> float:
    """Choose h2: each expiry between two others is predicted from the rest.

    Leaving an expiry out doubles the distance to its neighbours, so the standard deviation that
    predicts it best is halved. Where no expiry lies between two others, it is half the typical
    distance of neighbours; it is infinite where no day has two expiries, for then it has no effect.

    Parameters
    ----------
    days : iterable of DayQuotes
        Quotes of the training days.
    h1 : float
        Kernel variance in moneyness.

    Returns
    -------
    float
        The kernel variance.
    """
    days = list(days)
    tenors = [np.unique(day.tenor) for day in days]
    if all(len(taus) == 1 for taus in tenors):
        return np.inf
    step = _typical_step(tenors)
    left_out = [(day, tau) for day, taus in zip(days, tenors, strict=True) for tau in taus[1:-1]]
    if not left_out:
        return (step / 2) ** 2

    def error(day: DayQuotes, tau: float, h2: float) -> float:
        is_left_out = day.tenor == tau
        smile, rest = day.where(is_left_out), day.where(~is_left_out)
        predicted = _kernel_average(rest, smile.moneyness, smile.tenor, h1, h2)
        return _weighted_error(smile, predicted)

    sample = _spread(left_out)
    return _best(lambda h2: [error(day, tau, h2) for day, tau in sample], step) / 4


def _kernel_average(
    day: DayQuotes, moneyness: Floats, tenor: Floats, h1: float, h2: float
) -> Floats:
    x = day.moneyness[:, None] - moneyness
    y = day.tenor[:, None] - tenor
    log_weight = np.log(day.vega)[:, None] - x**2 / (2 * h1) - y**2 / (2 * h2)
    return _local_mean(day.volatility, log_weight)


def _linear_smile(smile: DayQuotes, moneyness: Floats, h1: float) -> Floats:
    place, target = np.log(smile.moneyness), np.log(moneyness)
    inside = np.clip(target, place[0], place[-1])
    offset = place[:, None] - inside
    log_weight = np.log(smile.vega)[:, None] - offset**2 / (2 * h1)
    value, slope = _local_line(np.log(smile.volatility), offset, log_weight)
    steps = min(REACH, len(place) - 1)
    low, high = place[0] - place[steps], place[-1] - place[-1 - steps]
    return np.exp(value + slope * np.clip(target - inside, low, high))


def _local_mean(value: Floats, log_weight: Floats) -> Floats:
    """Average the values (n_quotes,) for each target; log_weight (n_quotes, n_targets)."""
    return value @ _normalised(log_weight)


def _local_line(value: Floats, offset: Floats, log_weight: Floats) -> tuple[Floats, Floats]:
    """Fit a line around each target; return its value there, where offset is zero, and slope."""
    weight = _normalised(log_weight)
    level = value @ weight
    centre = (weight * offset).sum(axis=0)
    deviation = offset - centre
    variance = (weight * deviation**2).sum(axis=0)
    covariance = ((value[:, None] - level) * weight * deviation).sum(axis=0)
    # A single strike in reach tells a level but no slope.
    has_slope = variance > 1e-12 * (offset**2).max(axis=0)
    slope = np.divide(covariance, variance, out=np.zeros_like(variance), where=has_slope)
    return level - slope * centre, slope


def _normalised(log_weight: Floats) -> Floats:
    weight = np.exp(log_weight - log_weight.max(axis=0))
    return weight / weight.sum(axis=0)


def _weighted_error(actual: DayQuotes, predicted: Floats) -> float:
    """Mean squared relative error, weighted by vega, so that no turbulent day decides alone."""
    weight = actual.vega / actual.vega.sum()
    return float(weight @ (predicted / actual.volatility - 1) ** 2)


def _best(errors: Callable[[float], list[float]], step: float) -> float:
    candidates = (MULTIPLES * step) ** 2
    return float(min(candidates, key=lambda h: np.mean(errors(h))))


def _typical_step(axes: list[Floats]) -> float:
    """Median distance between neighbours, those that coincide aside."""
    steps = np.concatenate([np.diff(axis) for axis in axes])
    return float(np.median(steps[steps > 0]))


def _spread(items: list) -> list:
    chosen = np.linspace(0, len(items) - 1, min(len(items), MAX_SMILES)).round().astype(int)
    return [items[i] for i in chosen]
