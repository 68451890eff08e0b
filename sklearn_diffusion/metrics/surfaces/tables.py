"""Tables of forecast quality by bucket of the surface."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from sklearn_diffusion.grid import SurfaceGrid
from sklearn_diffusion.metrics.moments import moments_table
from sklearn_diffusion.metrics.surfaces.errors import (
    ape_std,
    ci_breach,
    ci_width,
    ci_width_std,
    mape,
    sample_interval,
)
from sklearn_diffusion.metrics.surfaces.probabilistic import crps
from sklearn_diffusion.metrics.surfaces.validation import (
    as_mask,
    as_truth_and_samples,
    check_same_labels,
    check_shape,
)
from sklearn_diffusion.utils.arrays import as_floats

__all__ = ["moneyness_thirds", "paper_buckets", "surface_moments", "surface_table"]

_PAPER_MONEYNESS = {"ATM": 1.0, "OTM": 1.3, "ITM": 0.7}
_PAPER_TENORS = {"1-Day": 1 / 252, "1-Week": 1 / 52, "1-Month": 1 / 12, "3-Month": 1 / 4}


def paper_buckets(grid: SurfaceGrid) -> dict[str, NDArray]:
    """Single cells at three levels of moneyness and four tenors.

    Parameters
    ----------
    grid : SurfaceGrid
        Has moneyness 1, 1.3 and 0.7 ("ATM", "OTM" and "ITM", as for a call on K/S) and tenors of
        one day, one week, one month and three months.

    Returns
    -------
    dict of str to ndarray of shape (n_cells,)
        Boolean masks under names such as ``"ATM 1-Day"``.

    Raises
    ------
    ValueError
        If the grid lacks one of them.

    References
    ----------
    Jin & Agarwal, arXiv 2511.07571, table 1.

    Examples
    --------
    >>> from sklearn_diffusion.grid import SurfaceGrid
    >>> from sklearn_diffusion.metrics import paper_buckets
    >>> buckets = paper_buckets(SurfaceGrid.paper())
    >>> len(buckets), [int(i) for i in buckets["ATM 1-Day"].nonzero()[0]]
    (12, [36])
    """
    buckets = {}
    for row_name, level in _PAPER_MONEYNESS.items():
        for column_name, tenor in _PAPER_TENORS.items():
            cell = np.outer(np.isclose(grid.moneyness, level), np.isclose(grid.tenors, tenor))
            if not cell.any():
                raise ValueError(
                    f"The grid has no cell at moneyness {level} and tenor {tenor:.4g}, bucket "
                    f"'{row_name} {column_name}' of the paper: name buckets of its own, or use "
                    "moneyness_thirds."
                )
            buckets[f"{row_name} {column_name}"] = grid.flatten(cell)
    return buckets


def moneyness_thirds(grid: SurfaceGrid) -> dict[str, NDArray]:
    """Low, middle and high third of the moneyness axis, all tenors.

    Parameters
    ----------
    grid : SurfaceGrid
        At least three levels of moneyness.

    Returns
    -------
    dict of str to ndarray of shape (n_cells,)
        Boolean masks under ``"low"``, ``"mid"`` and ``"high"``.
    """
    n_moneyness = grid.shape[0]
    if n_moneyness < 3:
        raise ValueError(f"The grid has {n_moneyness} levels of moneyness, too few for thirds.")
    levels = np.repeat(np.arange(n_moneyness), grid.shape[1])
    thirds = np.array_split(np.arange(n_moneyness), 3)
    return {
        name: np.isin(levels, third)
        for name, third in zip(("low", "mid", "high"), thirds, strict=True)
    }


def surface_table(
    y_true: ArrayLike,
    samples: ArrayLike,
    *,
    buckets: Mapping[str, ArrayLike],
    y_pred: ArrayLike | None = None,
    coverage: float = 0.9,
    mask: ArrayLike | None = None,
) -> pd.DataFrame:
    """Tabulate accuracy and calibration by bucket, and over the whole surface.

    Parameters
    ----------
    y_true : array-like of shape (n_days, n_cells)
        Real volatilities.
    samples : array-like of shape (n_samples, n_days, n_cells)
        Scenarios.
    buckets : mapping of str to array-like
        Cells of each bucket: a boolean mask of shape (n_cells,) or positions. See
        `paper_buckets` and `moneyness_thirds`.
    y_pred : array-like of shape (n_days, n_cells), default=None
        Point forecast; None is the mean of the samples.
    coverage : float, default=0.9
        Of the intervals.
    mask : array-like of bool of shape (n_days, n_cells), default=None
        Cells to count; None is all.

    Returns
    -------
    DataFrame
        One row a bucket and a last row ``"overall"``. Columns ``mape``, ``ape_std`` and
        ``ci_breach`` in percent; ``ci_width`` and ``ci_width_std`` in volatility units; ``crps``
        of log volatility, without unit. A bucket that the mask leaves empty is NaN.

    References
    ----------
    Jin & Agarwal, arXiv 2511.07571, table 1.

    Examples
    --------
    >>> from sklearn_diffusion.baselines import BootstrapForecaster
    >>> from sklearn_diffusion.datasets import make_iv_surfaces
    >>> from sklearn_diffusion.metrics import paper_buckets, surface_table
    >>> from sklearn_diffusion.preprocessing import make_forecast_frame
    >>> market = make_iv_surfaces(300, random_state=0)
    >>> X, y = make_forecast_frame(market.surfaces, market.spot, market.vix)
    >>> forecaster = BootstrapForecaster(random_state=0).fit(X[:200], y[:200])
    >>> table = surface_table(
    ...     y[200:], forecaster.sample(X[200:], 100), buckets=paper_buckets(market.grid)
    ... )
    >>> table.shape
    (13, 6)
    """
    truth, scenarios = as_truth_and_samples(y_true, samples, mask, log=False)
    traded = as_mask(truth, mask)
    forecast = scenarios.mean(axis=0)
    if y_pred is not None:
        forecast = as_floats(y_pred, "y_pred")
        check_shape(truth, forecast, "y_pred")
        check_same_labels(y_true, y_pred, "y_pred")
    interval = sample_interval(scenarios, coverage)
    rows: dict[str, dict[str, float]] = {}
    for name, cells in {**buckets, "overall": np.ones(truth.shape[1], dtype=bool)}.items():
        chosen = _cells(name, cells, truth.shape[1])
        some = traded[:, chosen]
        if not some.any():
            rows[name] = {}
            continue
        real, ends = truth[:, chosen], interval[:, chosen]
        rows[name] = {
            "mape": mape(real, forecast[:, chosen], mask=some),
            "ape_std": ape_std(real, forecast[:, chosen], mask=some),
            "ci_width": ci_width(ends, mask=some),
            "ci_width_std": ci_width_std(ends, mask=some),
            "ci_breach": ci_breach(real, ends, mask=some),
            "crps": crps(real, scenarios[:, :, chosen], mask=some, log=True),
        }
    columns = list(rows["overall"])
    return pd.DataFrame(list(rows.values()), index=list(rows), columns=columns, dtype=float)


def surface_moments(
    y_true: ArrayLike, samples: ArrayLike, *, buckets: Mapping[str, ArrayLike]
) -> pd.DataFrame:
    """Compare the pooled laws of real and sampled volatilities by their first four moments.

    Parameters
    ----------
    y_true : array-like of shape (n_days, n_cells)
        Real volatilities.
    samples : array-like of shape (n_samples, n_days, n_cells)
        Scenarios, pooled over samples and days.
    buckets : mapping of str to array-like
        As for `surface_table`. A day's value of a bucket of several cells is their mean.

    Returns
    -------
    DataFrame
        One row a bucket, columns as of `moments_table`.

    References
    ----------
    Jin & Agarwal, arXiv 2511.07571, table 2.
    """
    truth, scenarios = as_truth_and_samples(y_true, samples, None, log=False)
    n_cells = truth.shape[1]
    chosen = {name: _cells(name, cells, n_cells) for name, cells in buckets.items()}
    real = pd.DataFrame({n: truth[:, cells].mean(axis=1) for n, cells in chosen.items()})
    pooled = {n: scenarios[:, :, cells].mean(axis=2).ravel() for n, cells in chosen.items()}
    return moments_table(real, pd.DataFrame(pooled))


def _cells(name: str, cells: ArrayLike, n_cells: int) -> NDArray:
    chosen = np.asarray(cells)
    if chosen.dtype == bool and chosen.shape == (n_cells,):
        chosen = np.flatnonzero(chosen)
    elif not (
        chosen.ndim == 1
        and np.issubdtype(chosen.dtype, np.integer)
        and ((chosen >= 0) & (chosen < n_cells)).all()
    ):
        raise ValueError(
            f"bucket {name!r} must be a boolean mask of shape ({n_cells},) or positions from 0 "
            f"to {n_cells - 1}."
        )
    if chosen.size == 0:
        raise ValueError(f"bucket {name!r} has no cells.")
    return chosen
