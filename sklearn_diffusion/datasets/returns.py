r"""Panels of daily asset returns: real ones, and simulated ones whose covariance is known."""

from __future__ import annotations

from datetime import datetime
from numbers import Real
from typing import Any

import numpy as np
import pandas as pd
from scipy.signal import lfilter
from sklearn.utils import Bunch
from sklearn.utils._param_validation import Interval, validate_params

from sklearn_diffusion.utils.parameters import Count
from sklearn_diffusion.utils.random_state import private_random_state

__all__ = ["load_sp500_returns", "make_factor_returns"]

_TRADING_DAYS = 252
_ANNUAL_VOLATILITY = (0.15, 0.45)
_ANNUAL_SHARPE_RATIO = 0.4


@validate_params(
    {
        "start": [str, datetime, np.datetime64, None],
        "end": [str, datetime, np.datetime64, None],
        "as_frame": ["boolean"],
    },
    prefer_skip_nested_validation=True,
)
def load_sp500_returns(
    start: str | datetime | np.datetime64 | None = None,
    end: str | datetime | np.datetime64 | None = None,
    *,
    as_frame: bool = True,
) -> pd.DataFrame | np.ndarray:
    """Load daily simple returns of 20 members of the S&P 500, from 1990 to 2022.

    They come from the adjusted closing prices that ship inside the skfolio package: nothing is
    downloaded. All 20 are companies that survived the whole period, so their average return
    flatters every strategy.

    Parameters
    ----------
    start, end : str, datetime, datetime64 or None, default=None
        First and last day, both included, in any form that pandas reads as a date; a partial
        one such as ``"2012"`` or ``"2012-06"`` stands for the whole year or month. None
        leaves that side open.
    as_frame : bool, default=True
        Whether to return a DataFrame (rows are dates, columns are tickers) or a plain array.

    Returns
    -------
    returns : DataFrame or ndarray of shape (n_days, 20)
        Simple returns from one close to the next, as fractions: .01 is 1 %.

    Raises
    ------
    ImportError
        If skfolio is not installed.
    ValueError
        If `start` or `end` is not a date, or no day lies between them.

    Examples
    --------
    >>> from sklearn_diffusion.datasets import load_sp500_returns
    >>> load_sp500_returns(start="2012", end="2021").shape
    (2517, 20)
    """
    try:
        from skfolio.datasets import load_sp500_dataset
    except ImportError as error:
        raise ImportError(
            "load_sp500_returns reads the panel that ships with skfolio: "
            "pip install 'sklearn-diffusion[skfolio]'"
        ) from error
    for name, date in {"start": start, "end": end}.items():
        try:
            pd.to_datetime(date)
        except ValueError as error:
            raise ValueError(f"{name}={date!r} is not a date.") from error

    # The return of the first day asked for needs the price of the day before it.
    every_return = load_sp500_dataset().pct_change(fill_method=None).iloc[1:]
    returns = every_return.loc[start:end]
    if returns.empty:
        first, last = every_return.index[[0, -1]].date
        raise ValueError(
            f"No day lies between start={start!r} and end={end!r}: the panel runs from {first} "
            f"to {last}."
        )
    return returns if as_frame else returns.to_numpy()


@validate_params(
    {
        "n_samples": [Count()],
        "n_assets": [Count()],
        "n_factors": [Count()],
        "df": [Interval(Real, 2, None, closed="neither"), None],
        "volatility_persistence": [Interval(Real, 0, 1, closed="left")],
        "volatility_spread": [Interval(Real, 0, 10, closed="left")],
        "as_frame": ["boolean"],
        "random_state": ["random_state"],
    },
    prefer_skip_nested_validation=True,
)
def make_factor_returns(
    n_samples: int = 1260,
    n_assets: int = 20,
    *,
    n_factors: int = 3,
    df: float | None = 5.0,
    volatility_persistence: float = 0.97,
    volatility_spread: float = 0.35,
    as_frame: bool = False,
    random_state: int | np.random.RandomState | None = None,
) -> Bunch:
    r"""Simulate daily returns from a factor model whose covariance is known exactly.

    The return of day t is

    .. math:: r_t = \mu + v_t \, w_t \, (B f_t + D^{1/2} e_t),

    with standard normal factors :math:`f_t` and residuals :math:`e_t`. The two scalars are
    shared by all assets and have :math:`E[v_t^2] = E[w_t^2] = 1`:

    - the volatility state :math:`v_t` makes calm and stormy days cluster. Its logarithm is a
      stationary first-order autoregression, as in [1]_;
    - the shock :math:`w_t`, independent from day to day, has
      :math:`w_t^2 = (\nu - 2) / \chi^2_\nu`, which makes a day's returns multivariate
      Student t.

    So :math:`\mathrm{Cov}[r_t] = B B' + D` holds exactly, on every day and whatever the
    parameters, and :math:`\mathrm{Cov}[r_t | v_t] = v_t^2 (B B' + D)`.

    Parameters
    ----------
    n_samples : int, default=1260
        Number of days.
    n_assets : int, default=20
        Number of assets. Annual volatilities lie between 15 % and 45 %.
    n_factors : int, default=3
        Number of common factors. The first is the market, on which every asset has a positive
        loading.
    df : float or None, default=5.0
        Degrees of freedom :math:`\nu > 2` of the Student t law; None for Gaussian shocks.
    volatility_persistence : float, default=0.97
        Correlation of the log-volatility with that of the day before, in [0, 1).
    volatility_spread : float, default=0.35
        Standard deviation of the log-volatility; 0 for constant volatility.
    as_frame : bool, default=False
        Whether `returns` is a DataFrame with business days as rows and assets as columns.
    random_state : int, RandomState instance or None, default=None
        Determines the market and its history. The market (`covariance`, `location`) of one
        integer is the same for every `n_samples`.

    Returns
    -------
    market : Bunch
        Dictionary-like object, with attributes:

        returns : ndarray or DataFrame of shape (n_samples, n_assets)
            Simple daily returns, as fractions.
        covariance : ndarray of shape (n_assets, n_assets)
            Population covariance of a day's returns.
        location : ndarray of shape (n_assets,)
            Population mean of a day's returns.
        loadings : ndarray of shape (n_assets, n_factors)
            Factor loadings B.
        idiosyncratic_variance : ndarray of shape (n_assets,)
            Diagonal of D.
        volatility : ndarray of shape (n_samples,)
            Volatility state :math:`v_t` of each day.

    References
    ----------
    .. [1] Taylor, S. J. (1986). Modelling Financial Time Series. Wiley.

    Examples
    --------
    >>> from sklearn_diffusion.datasets import make_factor_returns
    >>> market = make_factor_returns(n_samples=500, n_assets=10, random_state=0)
    >>> market.returns.shape, market.covariance.shape
    ((500, 10), (10, 10))
    """
    rng = private_random_state(random_state)
    daily_volatility = rng.uniform(*_ANNUAL_VOLATILITY, n_assets) / np.sqrt(_TRADING_DAYS)
    loadings, idiosyncratic_variance = _factor_structure(daily_volatility, n_factors, rng)
    location = _ANNUAL_SHARPE_RATIO * daily_volatility / np.sqrt(_TRADING_DAYS)

    volatility = _log_autoregression(n_samples, volatility_persistence, volatility_spread, rng)
    shock = 1.0 if df is None else np.sqrt((df - 2) / rng.chisquare(df, n_samples))
    common = rng.standard_normal((n_samples, n_factors)) @ loadings.T
    residual = rng.standard_normal((n_samples, n_assets)) * np.sqrt(idiosyncratic_variance)
    returns: Any = location + (volatility * shock)[:, None] * (common + residual)

    if as_frame:
        returns = pd.DataFrame(
            returns,
            index=pd.bdate_range("2000-01-03", periods=n_samples, name="Date"),
            columns=[f"asset{i}" for i in range(n_assets)],
        )
    return Bunch(
        returns=returns,
        covariance=loadings @ loadings.T + np.diag(idiosyncratic_variance),
        location=location,
        loadings=loadings,
        idiosyncratic_variance=idiosyncratic_variance,
        volatility=volatility,
    )


def _factor_structure(
    daily_volatility: np.ndarray, n_factors: int, rng: np.random.RandomState
) -> tuple[np.ndarray, np.ndarray]:
    """Loadings and residual variances that add up to the given volatilities."""
    n_assets = len(daily_volatility)
    loadings = 0.4 * rng.standard_normal((n_assets, n_factors))
    loadings[:, 0] = rng.uniform(0.5, 1.5, n_assets)
    idiosyncratic_variance = rng.uniform(0.8, 2.0, n_assets)
    scale = daily_volatility / np.sqrt((loadings**2).sum(axis=1) + idiosyncratic_variance)
    return loadings * scale[:, None], idiosyncratic_variance * scale**2


def _log_autoregression(
    n_samples: int, persistence: float, spread: float, rng: np.random.RandomState
) -> np.ndarray:
    """Positive stationary process with mean square 1, whose logarithm is an AR(1)."""
    innovations = np.sqrt(1 - persistence**2) * rng.standard_normal(n_samples)
    # The first value is drawn from the stationary law, so that no day is a warm-up.
    innovations[0] /= np.sqrt(1 - persistence**2)
    log_volatility = spread * lfilter([1.0], [1.0, -persistence], innovations)
    return np.exp(log_volatility - spread**2)
