"""Market data: panels that ship with other packages, and simulated markets with a known truth."""

from __future__ import annotations

from sklearn_diffusion.datasets.quotes import load_option_quotes
from sklearn_diffusion.datasets.returns import load_sp500_returns, make_factor_returns

__all__ = ["load_option_quotes", "load_sp500_returns", "make_factor_returns"]
