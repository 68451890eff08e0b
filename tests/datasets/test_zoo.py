"""The simulated markets have the traits that their documentation promises."""

from __future__ import annotations

import numpy as np
import pytest

from sklearn_diffusion.datasets import MARKET_FAMILIES, make_market, make_market_zoo
from sklearn_diffusion.datasets.zoo import _garch


def autocorrelation_of_squares(returns: np.ndarray, lag: int) -> float:
    z = returns / returns.std(0)
    squares = np.minimum(z**2, 9)
    squares = (squares - squares.mean(0)) / squares.std(0)
    return float((squares[lag:] * squares[:-lag]).mean())


@pytest.mark.parametrize("n_assets", [2, 3, 40])
@pytest.mark.parametrize("family", MARKET_FAMILIES)
def test_returns_are_those_of_a_market(family, n_assets):
    market = make_market(family, 300, n_assets, random_state=1)
    assert market.family == family
    assert market.returns.shape == (300, n_assets)
    assert np.isfinite(market.returns).all() and (market.returns > -1).all()
    assert (market.returns.std(0) > 1e-6).all()


@pytest.mark.parametrize("family", MARKET_FAMILIES)
def test_days_have_heavy_tails_and_clustered_volatility(family):
    kurtosis, clustering = [], []
    for seed in range(4):
        returns = make_market(family, 2000, 15, random_state=seed).returns
        z = (returns - returns.mean(0)) / returns.std(0)
        kurtosis.append(np.median((z**4).mean(0)))
        clustering.append(autocorrelation_of_squares(returns, 5))
    assert np.median(kurtosis) > 3.5
    assert np.median(clustering) > 0.05


def median_volatility(family: str) -> float:
    zoo = make_market_zoo(6, 500, [20], families=[family], random_state=0)
    return float(np.median([np.median(market.returns.std(0)) for market in zoo])) * np.sqrt(252)


def test_families_differ_in_volatility():
    volatility = {family: median_volatility(family) for family in MARKET_FAMILIES}
    assert 0.01 < volatility["bonds"] < 0.12
    assert 0.05 < volatility["currencies"] < 0.2
    assert 0.15 < volatility["equities"] < 0.5
    assert volatility["crypto"] > 1.5 * volatility["equities"]


def test_equities_move_together_and_classes_also_against_each_other():
    stocks = np.corrcoef(make_market("equities", 1000, 30, random_state=0).returns.T)
    assert 0.1 < stocks[np.triu_indices(30, 1)].mean() < 0.9
    zoo = make_market_zoo(6, 1000, [20], families=["multi_asset"], random_state=0)
    assert min(np.corrcoef(market.returns.T).min() for market in zoo) < -0.1


def test_leverage_makes_falls_raise_the_variance_more_than_rises(rng):
    shocks = _garch(rng, 4000, np.full(20, 0.97), np.full(20, 0.1), 8.0, leverage=0.8)
    asymmetry = (shocks[:-1] * np.minimum(shocks[1:] ** 2, 9)).mean(0)
    assert asymmetry.mean() < -3 * asymmetry.std() / np.sqrt(20)
    shocks = _garch(rng, 4000, np.full(20, 0.95), np.full(20, 0.05), 10.0)
    assert (shocks**2).mean() == pytest.approx(1, abs=0.1)
    asymmetry = (shocks[:-1] * np.minimum(shocks[1:] ** 2, 9)).mean(0)
    assert abs(asymmetry.mean()) < 4 * asymmetry.std() / np.sqrt(20)


def test_some_multi_asset_markets_have_near_duplicates_and_cash():
    zoo = make_market_zoo(30, 300, [10], families=["multi_asset"], random_state=0)
    duplicate = [np.corrcoef(m.returns[:, 0], m.returns[:, -1])[0, 1] > 0.98 for m in zoo]
    still = [m.returns[:, -2].std() < 0.05 * np.median(m.returns.std(0)) for m in zoo]
    assert 4 <= sum(duplicate) <= 16
    assert 2 <= sum(still) <= 12


def test_a_seed_gives_the_same_zoo_and_a_smaller_one_is_its_beginning():
    zoo = make_market_zoo(4, 60, random_state=3)
    again = make_market_zoo(2, 60, random_state=3)
    for first, second in zip(zoo, again, strict=False):
        assert first.family == second.family
        np.testing.assert_array_equal(first.returns, second.returns)
    other = make_market_zoo(1, 60, [zoo[0].returns.shape[1]], random_state=4)
    assert not np.array_equal(other[0].returns, zoo[0].returns)


def test_families_are_taken_in_turn():
    zoo = make_market_zoo(5, 50, [3], families=["bonds", "crypto"], random_state=0)
    assert [market.family for market in zoo] == ["bonds", "crypto", "bonds", "crypto", "bonds"]


def test_impossible_markets_are_named():
    with pytest.raises(ValueError, match=r"family must be one of equities, .* got 'stocks'"):
        make_market("stocks")
    with pytest.raises(ValueError, match="'n_assets'"):
        make_market("bonds", n_assets=1)
    for sizes in ([1, 5], [], [2.5], [[3]]):
        with pytest.raises(ValueError, match="n_assets must be whole numbers"):
            make_market_zoo(2, n_assets=sizes)
    with pytest.raises(ValueError, match="families must name"):
        make_market_zoo(2, families=[])
    with pytest.raises(ValueError, match="family must be one of"):
        make_market_zoo(2, families=["stocks"])
