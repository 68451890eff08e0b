from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from sklearn_diffusion.grid import SurfaceGrid
from sklearn_diffusion.preprocessing import SCALAR_NAMES

N_DAYS = 60


@pytest.fixture
def grid() -> SurfaceGrid:
    return SurfaceGrid([0.9, 1.0, 1.1], [0.1, 0.5])


@pytest.fixture
def market(rng, grid) -> dict:
    """Arrays of a random market, as `make_forecast_frame` takes them."""
    dates = pd.bdate_range("2019-01-02", periods=N_DAYS)
    surfaces = np.exp(rng.normal(0, 0.05, (N_DAYS, grid.n_cells)).cumsum(axis=0) - 1.6)
    spot = 100 * np.exp(rng.normal(0, 0.01, N_DAYS).cumsum())
    vix = 20 * np.exp(rng.normal(0, 0.05, N_DAYS).cumsum())
    return {"surfaces": surfaces, "spot": spot, "vix": vix, "dates": dates}


@pytest.fixture
def tables(market, grid) -> dict:
    """The market as DataFrame and Series, indexed by date."""
    dates = market["dates"]
    return {
        "surfaces": pd.DataFrame(market["surfaces"], dates, grid.cell_names),
        "spot": pd.Series(market["spot"], dates),
        "vix": pd.Series(market["vix"], dates),
    }


@pytest.fixture
def without_weekday() -> Callable:
    """All features but the one that needs dates."""
    place = SCALAR_NAMES.index("weekday") - len(SCALAR_NAMES)
    return lambda X: np.delete(np.asarray(X), place, axis=-1)
