"""Market data: panels that ship with other packages, and simulated markets with a known truth."""

from __future__ import annotations

from sklearn_diffusion.datasets.quotes import load_option_quotes, tidy_option_quotes
from sklearn_diffusion.datasets.returns import load_sp500_returns, make_factor_returns
from sklearn_diffusion.datasets.surfaces import (
    MarketState,
    SSVIMarket,
    SurfaceOracle,
    make_iv_surfaces,
)

__all__ = [
    "MarketState",
    "SSVIMarket",
    "SurfaceOracle",
    "load_option_quotes",
    "load_sp500_returns",
    "make_factor_returns",
    "make_iv_surfaces",
    "tidy_option_quotes",
]
