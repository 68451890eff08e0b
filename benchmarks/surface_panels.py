"""Panels of surfaces to score forecasts on: a simulated market, and real ones where they are.

The real ones are read from the folder SKLEARN_DIFFUSION_DATA, or ../shared/data beside the
repository; they are not part of it.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from sklearn_diffusion import SurfaceGrid, make_forecast_frame
from sklearn_diffusion.datasets import make_iv_surfaces

BESIDE_THE_REPOSITORY = Path(__file__).resolve().parents[2] / "shared" / "data"
DATA = Path(os.environ.get("SKLEARN_DIFFUSION_DATA", BESIDE_THE_REPOSITORY))
# Cells that are traded on nearly all days, and the days on which nearly all of them are.
SSE50_MONEYNESS, SSE50_TENOR, SSE50_TRADED = (0.92, 1.08), 125 / 365, 0.9


@dataclass(frozen=True)
class SurfacePanel:
    """Features and next-day surfaces, divided in time.

    Attributes
    ----------
    name : str
    grid : SurfaceGrid
    X_train, y_train, X_test, y_test : DataFrame
        Indexed by the day on which the forecast is made.
    mask_test : ndarray of bool
        Cells of `y_test` inside the traded range, the ones to score.
    """

    name: str
    grid: SurfaceGrid
    X_train: pd.DataFrame
    y_train: pd.DataFrame
    X_test: pd.DataFrame
    y_test: pd.DataFrame
    mask_test: np.ndarray

    @classmethod
    def from_days(
        cls,
        name: str,
        grid: SurfaceGrid,
        surfaces: np.ndarray,
        spot: np.ndarray,
        vix: np.ndarray,
        dates: pd.DatetimeIndex,
        mask: np.ndarray | None = None,
    ) -> SurfacePanel:
        """Divide at 80 % of the days; no training pair reaches the first day of the test."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "[0-9]+ gaps of more than", UserWarning)
            X, y = make_forecast_frame(surfaces, spot, vix, dates=dates, grid=grid)
        today = dates.get_indexer(X.index)
        n_train = int(0.8 * len(dates))
        train, test = today + 1 < n_train, today >= n_train
        traded = np.ones(surfaces.shape, dtype=bool) if mask is None else mask
        return cls(name, grid, X[train], y[train], X[test], y[test], traded[today[test] + 1])

    def __str__(self) -> str:
        n_moneyness, n_tenors = self.grid.shape
        first, last = self.X_test.index[[0, -1]].date
        return (
            f"{self.name}: {n_moneyness} x {n_tenors} cells, {len(self.X_train)} training days, "
            f"{len(self.X_test)} test days from {first} to {last}"
        )


def load_simulated() -> SurfacePanel:
    """1,000 days of the simulated market on the paper's grid."""
    market = make_iv_surfaces(1000, random_state=0)
    return SurfacePanel.from_days(
        "simulated", market.grid, market.surfaces, market.spot, market.vix, market.dates
    )


def load_sse50() -> SurfacePanel:
    """SSE 50 ETF options, 2015-2021: K/F from .925 to 1.075, 30 to 120 days.

    Its own 30-day at-the-money volatility stands in for a volatility index.
    """
    with np.load(DATA / "surfaces_sse50_2015_2021.npz", allow_pickle=False) as archive:
        moneyness, tenors = archive["m"], archive["tau"]
        columns = (moneyness > SSE50_MONEYNESS[0]) & (moneyness < SSE50_MONEYNESS[1])
        rows = tenors < SSE50_TENOR
        surfaces, mask = (
            archive[key][:, rows][:, :, columns].swapaxes(1, 2) for key in ("iv", "mask")
        )
        dates, spot = pd.DatetimeIndex(archive["dates"].astype("datetime64[D]")), archive["spot"]
    grid = SurfaceGrid(moneyness[columns], tenors[rows])
    traded = mask.mean((1, 2)) >= SSE50_TRADED
    at_the_money = np.abs(grid.moneyness - 1).argmin()
    return SurfacePanel.from_days(
        "sse50",
        grid,
        grid.flatten(surfaces[traded]),
        spot[traded],
        100 * surfaces[traded, at_the_money, 0],
        dates[traded],
        grid.flatten(mask[traded]),
    )


def load_spx0609() -> SurfacePanel:
    """S&P 500, 2006-2009: K/S from .9 to 1.1, 61 days to 2 years; the test is the 2008 crisis."""
    with np.load(DATA / "surfaces_spx_2006_2009.npz", allow_pickle=False) as archive:
        grid = SurfaceGrid(archive["m"], archive["tau"])
        surfaces, mask = (grid.flatten(archive[key].swapaxes(1, 2)) for key in ("iv", "mask"))
        dates, spot = pd.DatetimeIndex(archive["dates"].astype("datetime64[D]")), archive["spot"]
    closes = pd.read_csv(DATA / "vix_2000_2021.csv", index_col=0, parse_dates=True).iloc[:, 0]
    vix = closes.reindex(dates, method="ffill").to_numpy()
    return SurfacePanel.from_days("spx0609", grid, surfaces, spot, vix, dates, mask)


REAL: dict[str, Callable[[], SurfacePanel]] = {"sse50": load_sse50, "spx0609": load_spx0609}


def panels() -> Iterator[SurfacePanel]:
    """Every panel that is there, the simulated one last; says which are missing."""
    for name, load in REAL.items():
        try:
            yield load()
        except FileNotFoundError as error:
            print(f"{name} is left out: {error.filename} is missing (set SKLEARN_DIFFUSION_DATA)")
    yield load_simulated()
