from __future__ import annotations

import pickle

import numpy as np
import pytest
from scipy.stats import kstest

from sklearn_diffusion.arbitrage import arbitrage_penalty, relative_calls
from sklearn_diffusion.datasets import MarketState, SSVIMarket, make_iv_surfaces
from sklearn_diffusion.grid import SurfaceGrid
from sklearn_diffusion.preprocessing import make_forecast_frame

AT_THE_MONEY = SurfaceGrid([1.0], [1 / 12])
MARKET = SSVIMarket()


@pytest.fixture(scope="module")
def long_market():
    return make_iv_surfaces(3000, random_state=0)


@pytest.fixture(scope="module")
def money_month(long_market):
    return long_market.grid.unflatten(long_market.surfaces)[:, 4, 3]


def repeated(state, n):
    return MarketState(*(np.repeat(values, n) for values in state))


def test_no_day_has_static_arbitrage(long_market):
    assert arbitrage_penalty(long_market.surfaces, long_market.grid).max() < 1e-10


def test_no_day_has_static_arbitrage_on_a_fine_grid():
    grid = SurfaceGrid(np.geomspace(0.5, 2, 40), np.geomspace(2 / 252, 3, 15))
    market = make_iv_surfaces(300, grid=grid, random_state=1)
    assert arbitrage_penalty(market.surfaces, grid).max() < 1e-9


def test_noise_brings_arbitrage_in():
    noisy = make_iv_surfaces(50, quote_noise=0.05, random_state=0)
    assert arbitrage_penalty(noisy.surfaces, noisy.grid).mean() > 1e-3
    assert arbitrage_penalty(noisy.clean_surfaces, noisy.grid).max() < 1e-10
    log_noise = np.log(noisy.surfaces / noisy.clean_surfaces)
    assert log_noise.std() == pytest.approx(0.05, rel=0.05)


def test_stylised_facts(long_market, money_month):
    """Level, clustering, leverage, skew and tails of the size that index options show."""
    assert np.quantile(money_month, 0.01) > 0.08 and np.quantile(money_month, 0.99) < 0.7
    assert 1.5 < np.quantile(money_month, 0.95) / np.quantile(money_month, 0.05) < 5
    changes = np.diff(np.log(money_month))
    returns = np.diff(np.log(long_market.spot))
    assert np.corrcoef(returns, changes)[0, 1] == pytest.approx(-0.7, abs=0.08)
    size = np.abs(changes)
    assert np.corrcoef(size[5:], size[:-5])[0, 1] > 0.1
    smile = long_market.grid.unflatten(long_market.surfaces)[:, :, 3]
    assert (smile[:, 3] > smile[:, 4]).all() and (smile[:, 4] > smile[:, 5]).mean() > 0.95
    kurtosis = ((returns - returns.mean()) ** 4).mean() / returns.var() ** 2 - 3
    assert kurtosis > 1


def test_the_price_has_no_drift():
    state = repeated(MARKET.central_state(), 400_000)._replace(
        log_short=np.full(400_000, np.log(0.6))
    )
    _, log_return = SSVIMarket(jumps_per_year=60).step(state, np.random.RandomState(0))
    growth = np.exp(log_return)
    assert growth.mean() == pytest.approx(1, abs=4 * growth.std() / np.sqrt(400_000))


def test_level_reverts():
    high = MARKET.central_state(2000)._replace(log_short=np.full(2000, np.log(0.6)))
    rng = np.random.RandomState(0)
    state = high
    for _ in range(60):
        state, _ = MARKET.step(state, rng)
    assert np.median(np.exp(state.log_short)) < 0.35


def test_vix_of_a_flat_smile_is_its_volatility():
    market = SSVIMarket(base_volatility=1.0)
    flat = market.central_state()._replace(smile=np.array([-40.0]))
    month = SurfaceGrid([0.9, 1.0, 1.1], [30 / 365])
    volatility = market.surfaces(flat, month)[0]
    np.testing.assert_allclose(volatility, volatility[0])
    np.testing.assert_allclose(market.vix(flat), 100 * volatility[0], rtol=2e-4)


def test_vix_is_the_strip_of_options_over_squared_strikes():
    skewed = MARKET.central_state()._replace(log_short=np.log([0.6]), skew=np.array([1.5]))
    strikes = np.linspace(0.05, 4, 8000)
    month = SurfaceGrid(strikes, [30 / 365])
    calls = relative_calls(MARKET.surfaces(skewed, month)[0], month)
    out_of_the_money = np.where(strikes > 1, calls, calls - 1 + strikes)
    variance = 2 * np.trapezoid(out_of_the_money / strikes**2, strikes) / (30 / 365)
    np.testing.assert_allclose(MARKET.vix(skewed), 100 * np.sqrt(variance), rtol=2e-4)


def test_vix_is_above_the_money_volatility_where_there_is_a_smile(long_market, money_month):
    ratio = long_market.vix / (100 * money_month)
    assert ratio.min() > 1 and ratio.max() < 1.25


def test_oracle_is_calibrated(long_market):
    """The day that came is one more draw from the oracle's law."""
    cell = 4 * 9 + 3
    days = np.arange(0, 2990, 6)
    rank = [
        (long_market.oracle.sample_next(day, 200, day)[:, cell] < truth).mean()
        for day, truth in zip(days, long_market.surfaces[days + 1, cell], strict=True)
    ]
    assert kstest(rank, "uniform").pvalue > 0.01


def test_conditions_matter():
    rng = np.random.RandomState(0)
    calm = MARKET.central_state(5000)
    nervous = calm._replace(log_activity=np.ones(5000))
    spread = {}
    for name, state in (("calm", calm), ("nervous", nervous)):
        after, _ = MARKET.step(state, rng)
        spread[name] = np.log(MARKET.surfaces(after, AT_THE_MONEY)).std()
    assert spread["nervous"] > 2 * spread["calm"]


def test_the_grid_does_not_change_the_market():
    coarse = make_iv_surfaces(40, grid=AT_THE_MONEY, random_state=7)
    fine = make_iv_surfaces(40, random_state=7)
    np.testing.assert_array_equal(coarse.spot, fine.spot)
    np.testing.assert_array_equal(coarse.vix, fine.vix)
    np.testing.assert_allclose(coarse.surfaces[:, 0], fine.grid.unflatten(fine.surfaces)[:, 4, 3])


def test_seeds_and_pickling():
    first, second = (make_iv_surfaces(10, quote_noise=0.01, random_state=3) for _ in range(2))
    np.testing.assert_array_equal(first.surfaces, second.surfaces)
    oracle = pickle.loads(pickle.dumps(first.oracle))
    np.testing.assert_array_equal(oracle.sample_next(4, 3, 0), first.oracle.sample_next(4, 3, 0))
    unseeded = make_iv_surfaces(10), make_iv_surfaces(10)
    assert not np.array_equal(unseeded[0].surfaces, unseeded[1].surfaces)


def test_a_forecast_frame_is_made_of_it_directly(long_market):
    X, y = make_forecast_frame(
        long_market.surfaces,
        long_market.spot,
        long_market.vix,
        dates=long_market.dates,
        grid=long_market.grid,
    )
    assert len(X) == len(y) == 2998
    assert np.isfinite(X).all(axis=None)


def test_unusable_parameters():
    for bad in ({"n_days": 0}, {"quote_noise": -0.1}, {"grid": (9, 9)}):
        with pytest.raises(ValueError, match=next(iter(bad))):
            make_iv_surfaces(**bad)
    for name, value in (
        ("base_volatility", 0),
        ("leverage", -1.2),
        ("jumps_per_year", -1),
        ("curve_rates", (1.0, 8.0)),
        ("smile_power", 0.6),
    ):
        with pytest.raises(ValueError, match=name):
            SSVIMarket(**{name: value})


def test_a_market_that_explodes_is_refused():
    market = SSVIMarket(jumps_per_year=12, jump_mean=0.03)
    with pytest.raises(ValueError, match=r"market explodes: .* passes 500%.*jumps_per_year=12"):
        make_iv_surfaces(1000, market=market, random_state=1)
