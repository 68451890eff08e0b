r"""A simulated market of implied-volatility surfaces, with its true one-day law.

Each day's surface is an SSVI: total variance at log strike k and tenor tau is

.. math:: w = \frac{\theta}{2} \left(1 + \rho \varphi k
              + \sqrt{(\varphi k + \rho)^2 + 1 - \rho^2}\right), \qquad
          \varphi = \frac{\eta}{\theta^{\gamma} (1 + \theta)^{1 - \gamma}},

where :math:`\theta(\tau)`, the total variance at the money, is the integral of a forward-variance
curve with a short, a long and a constant level. The curve is positive, and
:math:`\eta (1 + |\rho|) < 2` with :math:`\gamma \le 1/2`, so there is no static arbitrage on any
day (Gatheral & Jacquier 2014, theorem 4.1, 4.2 and equation 4.5).

The short and the long level, the skew and the smile are stochastic and mean-reverting. Shocks to
them come in clusters, follow the return of the underlying (leverage), and grow when it jumps.
"""

from __future__ import annotations

from dataclasses import dataclass
from numbers import Real
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.integrate import simpson
from scipy.special import expit
from sklearn.utils import Bunch
from sklearn.utils._param_validation import Interval, validate_params

from sklearn_diffusion.grid import SurfaceGrid
from sklearn_diffusion.pricing import black_price
from sklearn_diffusion.utils.parameters import Count, check_number
from sklearn_diffusion.utils.random_state import private_random_state

__all__ = ["MarketState", "SSVIMarket", "SurfaceOracle", "make_iv_surfaces"]

_DAY = 1 / 252
_VIX_TENOR = 30 / 365
_BURN_IN = 500
# No market has been here; the log of a volatility.
_EXPLODED = np.log(5.0)


class MarketState(NamedTuple):
    r"""Hidden state of an `SSVIMarket`, one entry a scenario or a day.

    Attributes
    ----------
    log_short, log_long : ndarray of shape (n,)
        Log of the instantaneous and of the medium-term volatility.
    skew : ndarray of shape (n,)
        The SSVI correlation is minus its hyperbolic tangent.
    smile : ndarray of shape (n,)
        Logit of :math:`\eta (1 + |\rho|) / 2`.
    log_activity : ndarray of shape (n,)
        Log of what multiplies every shock of the next day but the return's: its long-run mean is
        zero.
    """

    log_short: NDArray
    log_long: NDArray
    skew: NDArray
    smile: NDArray
    log_activity: NDArray


@dataclass(frozen=True)
class SSVIMarket:
    """Dynamics of the simulated market. Rates are a day's unless said otherwise.

    Parameters
    ----------
    base_volatility : float, default=0.19
        Level to which volatilities revert.
    volatility_shock : float, default=0.05
        Standard deviation of a day's change of log short volatility on a day of mean activity.
    leverage : float, default=-0.75
        Correlation of that change with the return, jumps aside.
    jumps_per_year : float, default=3.0
        Frequency of jumps at the base volatility; it grows with short volatility.
    jump_mean : float, default=0.025
        Mean fall of the log price in a jump; gamma-distributed of shape two.
    curve_rates : tuple of (float, float), default=(8.0, 1.0)
        A year: how fast the forward-variance curve forgets the short and the long level. The
        first must be the larger.
    smile_power : float, default=0.4
        Gamma, at most 1/2.
    """

    base_volatility: float = 0.19
    volatility_shock: float = 0.05
    leverage: float = -0.75
    jumps_per_year: float = 3.0
    jump_mean: float = 0.025
    curve_rates: tuple[float, float] = (8.0, 1.0)
    smile_power: float = 0.4

    def __post_init__(self) -> None:
        """Refuse dynamics that have no meaning or that would let arbitrage in."""
        check_number(self.base_volatility, "base_volatility", 1e-3, 10, closed="both")
        check_number(self.volatility_shock, "volatility_shock", 0, 1, closed="left")
        check_number(self.leverage, "leverage", -1, 1, closed="both")
        check_number(self.jumps_per_year, "jumps_per_year", 0, 100, closed="left")
        check_number(self.jump_mean, "jump_mean", 0, 1, closed="left")
        check_number(self.smile_power, "smile_power", 0, 0.5, closed="right")
        fast, slow = (check_number(rate, "curve_rates", 0, 1e3) for rate in self.curve_rates)
        if fast <= slow:
            raise ValueError(f"curve_rates must be decreasing, got {self.curve_rates}.")

    def central_state(self, n: int = 1) -> MarketState:
        """Return the state to which the market reverts.

        Parameters
        ----------
        n : int, default=1
            Number of scenarios.

        Returns
        -------
        MarketState
        """
        level = np.full(n, np.log(self.base_volatility))
        return MarketState(level, level, np.full(n, 0.9), np.full(n, 0.8), np.zeros(n))

    def step(
        self, state: MarketState, rng: np.random.RandomState
    ) -> tuple[MarketState, NDArray[np.float64]]:
        """Draw the next day.

        Parameters
        ----------
        state : MarketState
            State of today, of n scenarios.
        rng : RandomState
            Source of the noise.

        Returns
        -------
        state : MarketState
            State of tomorrow.
        log_return : ndarray of shape (n,)
            Of the underlying, from today to tomorrow.
        """
        n = len(state.log_short)
        spot_shock, own, long_own, skew_own, smile_own, activity_shock = rng.normal(size=(6, n))
        volatility = np.exp(state.log_short)
        intensity = self.jumps_per_year * _DAY * volatility / self.base_volatility
        jump = (rng.uniform(size=n) < intensity) * rng.gamma(2, 0.5, size=n)

        # The martingale correction of diffusion and jumps keeps the price free of drift.
        mean_factor = (1 + self.jump_mean / 2) ** -2
        correction = volatility**2 * _DAY / 2 + np.log1p(intensity * (mean_factor - 1))
        log_return = volatility * np.sqrt(_DAY) * spot_shock - self.jump_mean * jump - correction

        activity = np.exp(state.log_activity)
        own_share = np.sqrt(1 - self.leverage**2)
        short_shock = self.leverage * spot_shock + own_share * own
        long_shock = 0.6 * short_shock + 0.8 * long_own
        # Skew steepens as the price falls, and a jump lifts the short end most.
        next_state = MarketState(
            log_short=state.log_short
            + 0.035 * (state.log_long - state.log_short)
            + self.volatility_shock * activity * short_shock
            + 0.12 * jump,
            log_long=state.log_long
            + 0.006 * (np.log(self.base_volatility) - state.log_long)
            + 0.35 * self.volatility_shock * activity * long_shock
            + 0.03 * jump,
            skew=state.skew
            + 0.04 * (0.9 - state.skew)
            + 0.03 * activity * (0.8 * skew_own - 0.6 * spot_shock)
            + 0.02 * jump,
            smile=state.smile + 0.03 * (0.8 - state.smile) + 0.06 * activity * smile_own,
            log_activity=0.96 * state.log_activity + 0.1 * activity_shock + 0.3 * jump,
        )
        return next_state, log_return

    def surfaces(self, state: MarketState, grid: SurfaceGrid) -> NDArray[np.float64]:
        """Return implied volatilities on a grid.

        Parameters
        ----------
        state : MarketState
            Of n days or scenarios.
        grid : SurfaceGrid
            Moneyness is strike over spot; rates and dividends are zero.

        Returns
        -------
        ndarray of shape (n, n_cells)
        """
        log_strike = np.log(grid.moneyness)[:, None]
        variance = self._total_variance(state, log_strike, grid.tenors)
        return grid.flatten(np.sqrt(variance / grid.tenors))

    def vix(self, state: MarketState) -> NDArray[np.float64]:
        """Return the 30-day variance-swap volatility, in percent.

        Twice the value of a strip of out-of-the-money options weighted by 1 / K^2, which is what
        the VIX approximates.

        Parameters
        ----------
        state : MarketState
            Of n days or scenarios.

        Returns
        -------
        ndarray of shape (n,)
        """
        deviation = np.sqrt(self._money_variance(state, np.array([_VIX_TENOR])))
        in_deviations = np.linspace(-25, 15, 401)
        log_strikes = deviation * in_deviations
        variance = self._total_variance(
            state, log_strikes[:, :, None], np.array([_VIX_TENOR])
        ).squeeze(-1)
        strikes = np.exp(log_strikes)
        strip = black_price(1.0, strikes, 1.0, np.sqrt(variance), is_call=strikes > 1)
        # The integrand has a kink at the money, so each side is a sum of its own.
        sides = (in_deviations <= 0, in_deviations >= 0)
        swap_variance = 2 * sum(
            simpson((strip / strikes)[:, side], x=log_strikes[:, side], axis=1) for side in sides
        )
        return 100 * np.sqrt(swap_variance / _VIX_TENOR)

    def _money_variance(self, state: MarketState, tenors: NDArray) -> NDArray:
        short, long = (np.exp(2 * log_level)[:, None] for log_level in state[:2])
        base = self.base_volatility**2
        fast, slow = (-np.expm1(-rate * tenors) / rate for rate in self.curve_rates)
        return base * tenors + (long - base) * slow + (short - long) * fast

    def _total_variance(self, state: MarketState, log_strike: NDArray, tenors: NDArray) -> NDArray:
        theta = self._money_variance(state, tenors)[:, None, :]
        rho = -np.tanh(state.skew)[:, None, None]
        eta = expit(state.smile)[:, None, None] * 2 / (1 + np.abs(rho))
        phi = eta / (theta**self.smile_power * (1 + theta) ** (1 - self.smile_power))
        x = phi * log_strike
        return theta / 2 * (1 + rho * x + np.sqrt((x + rho) ** 2 + 1 - rho**2))


@dataclass(frozen=True, eq=False)
class SurfaceOracle:
    """The true law of tomorrow's surface, given today's hidden state.

    Attributes
    ----------
    market : SSVIMarket
    states : MarketState
        One entry a day.
    grid : SurfaceGrid
    quote_noise : float
    """

    market: SSVIMarket
    states: MarketState
    grid: SurfaceGrid
    quote_noise: float

    def sample_next(
        self,
        day: int,
        n_samples: int = 100,
        random_state: int | np.random.RandomState | None = None,
    ) -> NDArray[np.float64]:
        """Draw surfaces of the day after `day`.

        Parameters
        ----------
        day : int
            Position of the day on which the forecast is made.
        n_samples : int, default=100
            Number of scenarios.
        random_state : int, RandomState or None, default=None
            Source of the noise.

        Returns
        -------
        ndarray of shape (n_samples, n_cells)
        """
        rng = private_random_state(random_state)
        today = MarketState(*(np.full(n_samples, values[day]) for values in self.states))
        tomorrow, _ = self.market.step(today, rng)
        return _quote(self.market.surfaces(tomorrow, self.grid), self.quote_noise, rng)


@validate_params(
    {
        "n_days": [Count()],
        "grid": [SurfaceGrid, None],
        "market": [SSVIMarket, None],
        "quote_noise": [Interval(Real, 0, 1, closed="left")],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_iv_surfaces(
    n_days: int = 1000,
    *,
    grid: SurfaceGrid | None = None,
    market: SSVIMarket | None = None,
    quote_noise: float = 0.0,
    start: str = "2010-01-04",
    random_state: int | np.random.RandomState | None = None,
) -> Bunch:
    """Simulate surfaces without static arbitrage, with spot and VIX.

    Parameters
    ----------
    n_days : int, default=1000
        Number of days.
    grid : SurfaceGrid or None, default=None
        Where to show the surfaces; None is ``SurfaceGrid.paper()``. It has no effect on the
        path of the market.
    market : SSVIMarket or None, default=None
        Dynamics; None is ``SSVIMarket()``.
    quote_noise : float, default=0.0
        Standard deviation of independent noise in the log of each quoted volatility. Noise
        brings arbitrage in.
    start : str, default="2010-01-04"
        First date; days are business days.
    random_state : int, RandomState or None, default=None
        Source of the noise.

    Returns
    -------
    Bunch
        With attributes

        surfaces : ndarray of shape (n_days, n_cells)
            Quoted implied volatilities, as decimals.
        clean_surfaces : ndarray of shape (n_days, n_cells)
            The same without quote noise.
        spot : ndarray of shape (n_days,)
            Price of the underlying, 100 on the first day.
        vix : ndarray of shape (n_days,)
            30-day variance-swap volatility, in percent.
        dates : DatetimeIndex of length n_days
            Business days.
        grid : SurfaceGrid
            Grid of the surfaces.
        oracle : SurfaceOracle
            ``oracle.sample_next(day, n_samples, random_state)`` draws from the true law of the
            day after, which knows the hidden state: no forecast has a better CRPS in
            expectation.

    Raises
    ------
    ValueError
        If the dynamics explode, because volatility brings jumps faster than it reverts.

    References
    ----------
    Gatheral & Jacquier, Arbitrage-free SVI volatility surfaces, Quantitative Finance 14 (2014).

    Examples
    --------
    >>> from sklearn_diffusion.arbitrage import arbitrage_penalty
    >>> from sklearn_diffusion.datasets import make_iv_surfaces
    >>> simulated = make_iv_surfaces(100, random_state=0)
    >>> simulated.surfaces.shape
    (100, 81)
    >>> bool(arbitrage_penalty(simulated.surfaces, simulated.grid).max() < 1e-9)
    True
    """
    grid = SurfaceGrid.paper() if grid is None else grid
    market = SSVIMarket() if market is None else market
    rng = private_random_state(random_state)
    state = market.central_state()
    history, log_returns = [], []
    for _ in range(_BURN_IN + n_days):
        state, log_return = market.step(state, rng)
        if not state.log_short[0] < _EXPLODED:
            raise ValueError(
                f"market explodes: its short volatility passes {np.exp(_EXPLODED):.0%} a year, for "
                f"jumps raise volatility and volatility brings jumps. Ask for fewer or smaller "
                f"ones than {market}."
            )
        history.append(state)
        log_returns.append(log_return)
    days = zip(*history[_BURN_IN:], strict=True)
    states = MarketState(*(np.concatenate(values) for values in days))
    log_price = np.concatenate(log_returns[_BURN_IN:]).cumsum()
    clean = market.surfaces(states, grid)
    return Bunch(
        surfaces=_quote(clean, quote_noise, rng),
        clean_surfaces=clean,
        spot=100 * np.exp(log_price - log_price[0]),
        vix=market.vix(states),
        dates=pd.bdate_range(start, periods=n_days),
        grid=grid,
        oracle=SurfaceOracle(market, states, grid, quote_noise),
    )


def _quote(surfaces: NDArray, noise: float, rng: np.random.RandomState) -> NDArray:
    if noise == 0:
        return surfaces.copy()
    return surfaces * np.exp(noise * rng.normal(size=surfaces.shape))
