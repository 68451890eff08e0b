"""Market data: panels that ship with other packages, and simulated markets with a known truth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sklearn_diffusion.utils.lazy import lazy_exports

if TYPE_CHECKING:
    from sklearn_diffusion.datasets.quotes import *
    from sklearn_diffusion.datasets.returns import *
    from sklearn_diffusion.datasets.surfaces import *
    from sklearn_diffusion.datasets.zoo import *

__getattr__, __dir__, __all__ = lazy_exports(
    __name__,
    {
        "quotes": ["load_option_quotes", "tidy_option_quotes"],
        "returns": ["load_sp500_returns", "make_factor_returns"],
        "surfaces": ["MarketState", "SSVIMarket", "SurfaceOracle", "make_iv_surfaces"],
        "zoo": ["MARKET_FAMILIES", "SimulatedMarket", "make_market", "make_market_zoo"],
    },
)
