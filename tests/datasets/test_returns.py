from __future__ import annotations

import sys

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy import stats

from sklearn_diffusion.datasets import load_sp500_returns, make_factor_returns


def test_sp500_returns_compound_to_the_prices():
    prices = pytest.importorskip("skfolio.datasets").load_sp500_dataset()
    returns = load_sp500_returns()
    assert returns.columns.tolist() == prices.columns.tolist()
    assert np.isfinite(returns.to_numpy()).all()
    assert_allclose(prices.iloc[0] * (1 + returns).cumprod(), prices.iloc[1:])


def test_sp500_window_includes_both_ends():
    returns = load_sp500_returns(start="2012-03", end=pd.Timestamp("2012-04-02"))
    assert returns.index[0] == pd.Timestamp("2012-03-01")
    assert returns.index[-1] == pd.Timestamp("2012-04-02")
    assert_array_equal(returns, load_sp500_returns().loc[returns.index])


def test_sp500_as_array():
    array = load_sp500_returns("2020", "2020", as_frame=False)
    assert isinstance(array, np.ndarray)
    assert_array_equal(array, load_sp500_returns("2020", "2020"))


@pytest.mark.parametrize("side", ["start", "end"])
def test_sp500_rejects_what_is_not_a_date(side):
    with pytest.raises(ValueError, match=f"{side}='someday' is not a date"):
        load_sp500_returns(**{side: "someday"})


def test_sp500_rejects_an_empty_window():
    with pytest.raises(ValueError, match="the panel runs from 1990-01-03 to 2022-12-28"):
        load_sp500_returns(start="2030")


def test_sp500_names_the_extra_when_skfolio_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "skfolio.datasets", None)
    with pytest.raises(ImportError, match=r"sklearn-diffusion\[skfolio\]"):
        load_sp500_returns()


@pytest.mark.parametrize(
    "parameters",
    [
        {"df": None, "volatility_spread": 0.0},
        {"df": 8.0, "volatility_spread": 0.0},
        {"df": None, "volatility_spread": 0.3, "volatility_persistence": 0.8},
        {"n_factors": 1, "volatility_persistence": 0.0},
    ],
)
def test_sample_moments_converge_to_the_truth(parameters):
    market = make_factor_returns(200_000, 5, random_state=0, **parameters)
    volatility = np.sqrt(np.diag(market.covariance))
    scaled_error = (np.cov(market.returns.T) - market.covariance) / np.outer(volatility, volatility)
    assert_allclose(scaled_error, 0, atol=0.03)
    assert_allclose((market.returns.mean(axis=0) - market.location) / volatility, 0, atol=0.01)


def test_covariance_is_the_factor_structure():
    market = make_factor_returns(10, 30, n_factors=4, random_state=0)
    assert_allclose(
        market.covariance,
        market.loadings @ market.loadings.T + np.diag(market.idiosyncratic_variance),
    )
    assert market.loadings.shape == (30, 4)
    assert (market.loadings[:, 0] > 0).all()
    annual_volatility = np.sqrt(252 * np.diag(market.covariance))
    assert ((annual_volatility >= 0.15) & (annual_volatility <= 0.45)).all()


def test_gaussian_constant_volatility_returns_are_gaussian():
    market = make_factor_returns(20_000, 2, df=None, volatility_spread=0.0, random_state=0)
    assert_array_equal(market.volatility, 1.0)
    standardised = (market.returns - market.location) / np.sqrt(np.diag(market.covariance))
    assert stats.kstest(standardised[:, 0], "norm").pvalue > 0.01


def test_shocks_are_student_t_in_every_direction(rng):
    df = 5.0
    market = make_factor_returns(20_000, 4, df=df, volatility_spread=0.0, random_state=0)
    weights = rng.standard_normal(4)
    portfolio = (market.returns - market.location) @ weights
    unit_variance = portfolio / np.sqrt(weights @ market.covariance @ weights)
    assert stats.kstest(unit_variance * np.sqrt(df / (df - 2)), "t", args=(df,)).pvalue > 0.01


def test_returns_given_the_volatility_state_have_the_scaled_covariance():
    market = make_factor_returns(
        50_000, 3, df=None, volatility_spread=0.8, volatility_persistence=0.5, random_state=0
    )
    residual = (market.returns - market.location) / market.volatility[:, None]
    volatility = np.sqrt(np.diag(market.covariance))
    scaled_error = (np.cov(residual.T) - market.covariance) / np.outer(volatility, volatility)
    assert_allclose(scaled_error, 0, atol=0.02)


def test_log_volatility_is_stationary_with_the_given_persistence_and_spread():
    persistence, spread = 0.9, 0.4
    market = make_factor_returns(
        200_000,
        1,
        volatility_persistence=persistence,
        volatility_spread=spread,
        random_state=0,
    )
    log_volatility = np.log(market.volatility)
    assert_allclose(log_volatility.std(), spread, rtol=0.03)
    assert_allclose(
        np.corrcoef(log_volatility[:-1], log_volatility[1:])[0, 1], persistence, atol=0.01
    )
    assert_allclose(np.mean(market.volatility**2), 1.0, rtol=0.03)

    first_days = [
        make_factor_returns(
            1, 1, volatility_persistence=0.99, volatility_spread=spread, random_state=seed
        ).volatility[0]
        for seed in range(500)
    ]
    assert_allclose(np.log(first_days).std(), spread, rtol=0.15)


def test_one_seed_is_one_market():
    short, long = (make_factor_returns(n, 4, random_state=3) for n in (50, 500))
    assert_array_equal(short.covariance, long.covariance)
    assert_array_equal(short.location, long.location)
    assert_array_equal(short.returns, make_factor_returns(50, 4, random_state=3).returns)
    assert not np.array_equal(
        short.covariance, make_factor_returns(50, 4, random_state=4).covariance
    )


def test_factor_returns_as_frame():
    frame = make_factor_returns(30, 3, as_frame=True, random_state=0).returns
    assert frame.columns.tolist() == ["asset0", "asset1", "asset2"]
    assert frame.index.is_monotonic_increasing
    assert_array_equal(frame, make_factor_returns(30, 3, random_state=0).returns)


@pytest.mark.parametrize(
    "parameters",
    [
        {"n_samples": 0},
        {"n_assets": 0},
        {"n_factors": 0},
        {"df": 2.0},
        {"volatility_persistence": 1.0},
        {"volatility_spread": -0.1},
    ],
)
def test_impossible_parameters_are_named(parameters):
    (name,) = parameters
    with pytest.raises(ValueError, match=f"'{name}' parameter of make_factor_returns"):
        make_factor_returns(**parameters)
