r"""Simulated markets of many kinds, to train on what is to carry over to markets never seen.

Every family composes the same few parts, whose parameters are drawn anew for each market:

- *Shocks* of unit variance with GARCH(1, 1) variances, Student-t tails and, for equities, more
  variance after falls than after rises.
- *A market's volatility* common to all its assets: a slow autoregression of its logarithm, in half
  of the markets with a stormy regime, and with jumps that die away within weeks.
- *Exposures* to common factors, some of which wander.

Nothing is fitted to a real panel: the ranges are wide, so that real markets lie inside them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.signal import lfilter
from sklearn.utils._param_validation import validate_params

from sklearn_diffusion.utils.parameters import Count
from sklearn_diffusion.utils.random_state import private_random_state

__all__ = ["MARKET_FAMILIES", "SimulatedMarket", "make_market", "make_market_zoo"]

# Days simulated before the first one returned, so that no variance is at its start.
_BURN_IN = 250
# A squared shock in units of its variance counts for no more: a GARCH variance must come back.
_LARGEST_SQUARE = 60.0


@dataclass(frozen=True)
class SimulatedMarket:
    """A panel of simulated returns.

    Attributes
    ----------
    family : str
        One of `MARKET_FAMILIES`.
    returns : ndarray of shape (n_samples, n_assets)
        Simple daily returns, as fractions.
    """

    family: str
    returns: np.ndarray


@validate_params(
    {
        "family": [str],
        "n_samples": [Count()],
        "n_assets": [Count(2)],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_market(
    family: str,
    n_samples: int = 1260,
    n_assets: int = 20,
    *,
    random_state: int | np.random.RandomState | None = None,
) -> SimulatedMarket:
    """Simulate daily returns of one market.

    Parameters
    ----------
    family : {"equities", "bonds", "currencies", "commodities", "crypto", "multi_asset"}
        - "equities": a market factor, sectors and styles; exposures to the market wander; GARCH
          variances with leverage.
        - "bonds": level, slope and curvature along a curve of maturities, some with a credit
          factor.
        - "currencies": one common factor (the numeraire) and up to four more.
        - "commodities": a weak common factor and groups.
        - "crypto": one strong factor and heavy tails, at several times the volatility of stocks.
        - "multi_asset": parts of several of these on one clock, tied by macro factors whose signs
          change; a third of these markets have two nearly equal assets, and a fifth one that hardly
          moves.
    n_samples : int, default=1260
        Days.
    n_assets : int, default=20
        Assets, at least two.
    random_state : int, RandomState instance or None, default=None
        Draws the parameters of the market and its days.

    Returns
    -------
    market : SimulatedMarket

    Raises
    ------
    ValueError
        If the family is none of these.

    Examples
    --------
    >>> from sklearn_diffusion.datasets import make_market
    >>> make_market("bonds", 500, 8, random_state=0).returns.shape
    (500, 8)
    """
    if family not in _FAMILIES:
        raise ValueError(f"family must be one of {', '.join(MARKET_FAMILIES)}, got {family!r}.")
    rng = private_random_state(random_state)
    log_returns = _FAMILIES[family](rng, n_samples + _BURN_IN, n_assets)[_BURN_IN:]
    return SimulatedMarket(family, np.expm1(log_returns))


@validate_params(
    {
        "n_markets": [Count()],
        "n_samples": [Count()],
        "n_assets": ["array-like"],
        "families": ["array-like", None],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_market_zoo(
    n_markets: int = 60,
    n_samples: int = 1700,
    n_assets: Sequence[int] = (3, 5, 8, 12, 18, 28, 45, 80),
    *,
    families: Sequence[str] | None = None,
    random_state: int | np.random.RandomState | None = None,
) -> list[SimulatedMarket]:
    """Simulate many markets, the families in turn.

    Parameters
    ----------
    n_markets : int, default=60
        Markets.
    n_samples : int, default=1700
        Days of each.
    n_assets : sequence of int, default=(3, 5, 8, 12, 18, 28, 45, 80)
        Numbers of assets to choose from at random, each at least two.
    families : sequence of str, default=None
        Names of `MARKET_FAMILIES`, one of which may stand there several times; None is each once.
    random_state : int, RandomState instance or None, default=None
        Draws the markets. The first k of a larger zoo are the zoo of k markets.

    Returns
    -------
    markets : list of SimulatedMarket

    Raises
    ------
    ValueError
        If a family is unknown or a number of assets impossible.

    Examples
    --------
    >>> from sklearn_diffusion.datasets import make_market_zoo
    >>> [market.family for market in make_market_zoo(3, 100, random_state=0)]
    ['equities', 'bonds', 'currencies']
    """
    sizes = np.asarray(n_assets)
    if sizes.ndim != 1 or len(sizes) == 0 or sizes.dtype.kind not in "iu" or sizes.min() < 2:
        raise ValueError(f"n_assets must be whole numbers of at least two, got {n_assets!r}.")
    names = list(MARKET_FAMILIES if families is None else families)
    if not names:
        raise ValueError("families must name at least one family.")
    rng = private_random_state(random_state)
    return [
        make_market(names[k % len(names)], n_samples, int(rng.choice(sizes)), random_state=rng)
        for k in range(n_markets)
    ]


def _garch(
    rng: np.random.RandomState,
    n: int,
    persistence: np.ndarray,
    arch: np.ndarray,
    dof: float,
    leverage: float = 0.0,
) -> np.ndarray:
    """Shocks of unit variance, one column per entry of `persistence`."""
    k = len(persistence)
    noise = rng.standard_t(dof, (n, k)) * np.sqrt((dof - 2) / dof)
    variance = np.ones(k)
    shocks = np.empty((n, k))
    for t in range(n):
        shocks[t] = np.sqrt(variance) * noise[t]
        surprise = np.minimum(shocks[t] ** 2, _LARGEST_SQUARE)
        surprise *= 1 - leverage * np.sign(noise[t])
        variance = 1 - persistence + (persistence - arch) * variance + arch * surprise
    return shocks


def _autoregression(
    rng: np.random.RandomState, n: int, k: int, half_life: float, deviation: float
) -> np.ndarray:
    """Stationary first-order autoregressions, (n, k)."""
    memory = 0.5 ** (1 / half_life)
    noise = np.sqrt(1 - memory**2) * rng.randn(n, k)
    noise[0] = rng.randn(k)
    return deviation * lfilter([1.0], [1.0, -memory], noise, axis=0)


def _market_volatility(rng: np.random.RandomState, n: int) -> np.ndarray:
    """Volatility common to a market, (n, 1), around one."""
    half_life = rng.choice([10, 30, 90, 250])
    log = _autoregression(rng, n, 1, half_life, rng.uniform(0.1, 0.5))[:, 0]
    if rng.rand() < 0.5:
        log += rng.uniform(0.3, 1.1) * _stormy(rng, n)
    for _ in range(rng.poisson(n / 700)):
        jump = rng.randint(n)
        fading = 0.5 ** (np.arange(n - jump) / rng.uniform(5, 40))
        log[jump:] += rng.uniform(0.3, 1.2) * fading
    return np.exp(log - log.mean())[:, None]


def _stormy(rng: np.random.RandomState, n: int) -> np.ndarray:
    """Zeros and ones of a Markov chain: calm for a year on average, stormy for a quarter."""
    state = np.zeros(n)
    day, stormy = 0, False
    while day < n:
        spell = rng.geometric(1 / 63 if stormy else 1 / 252)
        state[day : day + spell] = stormy
        day, stormy = day + spell, not stormy
    return state


def _clocks(
    rng: np.random.RandomState,
    n: int,
    k: int,
    dof: float,
    arch: tuple[float, float] = (0.03, 0.1),
    leverage: float = 0.0,
) -> np.ndarray:
    """GARCH shocks whose parameters are drawn column by column."""
    return _garch(rng, n, rng.uniform(0.92, 0.995, k), rng.uniform(*arch, k), dof, leverage)


def _equities(rng: np.random.RandomState, n: int, d: int) -> np.ndarray:
    n_sectors = rng.randint(1, max(2, min(12, d // 3) + 1))
    n_styles = rng.randint(0, 4)
    k = 1 + n_sectors + n_styles
    market_volatility = _market_volatility(rng, n)
    sizes = np.r_[
        rng.uniform(0.4, 1.3), rng.uniform(0.2, 0.7, n_sectors), rng.uniform(0.1, 0.5, n_styles)
    ]
    factors = _clocks(rng, n, k, rng.uniform(4, 12), leverage=rng.uniform(0, 0.8)) * sizes
    factors *= market_volatility ** np.r_[1, rng.uniform(0.3, 1, k - 1)]
    exposures = np.zeros((d, k))
    exposures[:, 0] = rng.lognormal(0, 0.3, d)
    exposures[np.arange(d), 1 + rng.randint(n_sectors, size=d)] = rng.lognormal(0, 0.4, d)
    exposures[:, 1 + n_sectors :] = rng.randn(d, n_styles)
    wandering = _autoregression(rng, n, d, rng.choice([60, 250, 800]), rng.uniform(0, 0.4))
    own = _clocks(rng, n, d, rng.uniform(3, 8)) * rng.lognormal(0, 0.3, d)
    own *= market_volatility ** rng.uniform(0, 0.8)
    x = factors @ exposures.T + wandering * factors[:, :1] + own
    return x * rng.lognormal(np.log(0.012), 0.35, d)


def _bonds(rng: np.random.RandomState, n: int, d: int) -> np.ndarray:
    maturity = np.sort(rng.uniform(0.2, 30, d))
    # The loadings of Nelson and Siegel, at a decay of four years.
    hump = (maturity / 2) * np.exp(-maturity / 4)
    loadings = np.stack([np.ones(d), np.exp(-maturity / 5), hump], axis=1)
    sizes = [1, rng.uniform(0.3, 0.8), rng.uniform(0.1, 0.4)]
    factors = _clocks(rng, n, 3, 6.0) * sizes * _market_volatility(rng, n)
    x = factors @ loadings.T + rng.uniform(0.03, 0.4) * rng.standard_t(5, (n, d))
    if rng.rand() < 0.5:
        risky = rng.rand(d) < 0.4
        x += risky * _clocks(rng, n, 1, 5.0) * rng.uniform(0.2, 1)
    return x * 0.0006 * maturity ** rng.uniform(0.5, 1)


def _currencies(rng: np.random.RandomState, n: int, d: int) -> np.ndarray:
    k = rng.randint(1, 6)
    factors = _clocks(rng, n, k, 7.0) * np.r_[1, rng.uniform(0.2, 0.7, k - 1)]
    exposures = 0.5 * rng.randn(d, k)
    exposures[:, 0] = rng.uniform(-0.3, 1.3, d)
    own = _clocks(rng, n, d, 5.0) * rng.lognormal(-0.5, 0.5, d)
    x = (factors @ exposures.T + own) * _market_volatility(rng, n) ** rng.uniform(0.3, 1)
    return x * rng.lognormal(np.log(0.006), 0.35, d)


def _commodities(rng: np.random.RandomState, n: int, d: int) -> np.ndarray:
    n_groups = rng.randint(1, 6)
    factors = _clocks(rng, n, 1 + n_groups, 6.0)
    exposures = np.zeros((d, 1 + n_groups))
    exposures[:, 0] = rng.uniform(0, 0.8)
    exposures[np.arange(d), 1 + rng.randint(n_groups, size=d)] = rng.uniform(0.2, 1.2, d)
    own = _clocks(rng, n, d, 5.0, arch=(0.03, 0.12)) * rng.lognormal(-0.2, 0.3, d)
    x = (factors @ exposures.T + own) * _market_volatility(rng, n) ** rng.uniform(0, 1)
    return x * rng.lognormal(np.log(0.014), 0.3, d)


def _crypto(rng: np.random.RandomState, n: int, d: int) -> np.ndarray:
    factors = _clocks(rng, n, 2, 4.0, arch=(0.06, 0.12)) * [1, 0.4]
    exposures = np.c_[rng.lognormal(0, 0.2, d), rng.randn(d)]
    own = _clocks(rng, n, d, 3.5, arch=(0.05, 0.15)) * rng.lognormal(-0.3, 0.3, d)
    x = (factors @ exposures.T + own) * _market_volatility(rng, n)
    return x * rng.lognormal(np.log(0.035), 0.3, d)


def _multi_asset(rng: np.random.RandomState, n: int, d: int) -> np.ndarray:
    volatility = _market_volatility(rng, n)
    macro = _clocks(rng, n, 2, 6.0)
    classes = [_equities, _bonds, _currencies, _commodities]
    parts = []
    for members in np.array_split(np.arange(d), min(rng.randint(2, 5), d)):
        family = classes[rng.randint(len(classes))]
        part = family(rng, n, max(len(members), 2))[:, : len(members)]
        part = part / part.std(0) * volatility ** rng.uniform(0.2, 0.9)
        # A class moves with growth and with rates, and the sign of that changes over the years.
        exposure = _autoregression(rng, n, 2, rng.choice([60, 200, 600]), 0.6) + 0.5 * rng.randn(2)
        part += rng.uniform(0.3, 1) * (exposure * macro).sum(1)[:, None]
        parts.append(part * rng.lognormal(np.log(0.008), 0.5))
    x = np.concatenate(parts, axis=1)
    if d > 4 and rng.rand() < 1 / 3:
        x[:, -1] = x[:, 0] + 0.1 * x[:, 0].std() * rng.randn(n)
    if d > 4 and rng.rand() < 1 / 5:
        x[:, -2] *= 0.01
    return x


_FAMILIES: dict[str, Callable[[np.random.RandomState, int, int], np.ndarray]] = {
    "equities": _equities,
    "bonds": _bonds,
    "currencies": _currencies,
    "commodities": _commodities,
    "crypto": _crypto,
    "multi_asset": _multi_asset,
}
MARKET_FAMILIES = tuple(_FAMILIES)
