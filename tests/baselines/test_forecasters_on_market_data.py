"""The bootstraps on real panels, against a plain loop that scores the same forecast."""

from __future__ import annotations

import numpy as np
import pytest

from sklearn_diffusion.baselines import BootstrapForecaster, RandomWalkForecaster
from sklearn_diffusion.metrics import crps, daily_crps, diebold_mariano, mape
from sklearn_diffusion.preprocessing import make_forecast_frame


def spx_panel(shared_data):
    """S&P 500 surfaces through the crisis; the VIX plays no part in these forecasts."""
    with np.load(shared_data("surfaces_spx_2006_2009.npz"), allow_pickle=False) as panel:
        surfaces = panel["iv"].swapaxes(1, 2)
        dates = panel["dates"].astype("datetime64[D]")
        return surfaces.reshape(len(surfaces), -1), panel["spot"], dates


def filtered_bootstrap_by_hand(surfaces, n_train, n_samples, rng):
    """Scale increments by the RiskMetrics volatility of their mean square, then resample."""
    increments = np.diff(np.log(surfaces), axis=0)
    mean_square = (increments**2).mean(axis=1)
    variance = np.empty(len(increments))
    average = weight = 0.0
    for k, value in enumerate(mean_square):
        average, weight = 0.94 * average + 0.06 * value, 0.94 * weight + 0.06
        variance[k] = average / weight
    scale = np.sqrt(variance)[:-1, None]
    residuals = increments[1:] / scale
    today = surfaces[1:-1]
    train = slice(0, n_train - 2)
    drawn = residuals[train][rng.randint(n_train - 2, size=n_samples)]
    test = slice(n_train - 1, None)
    return today[test] * np.exp(drawn[:, None] * scale[test])


@pytest.fixture(scope="module")
def held_out(shared_data):
    surfaces, spot, dates = spx_panel(shared_data)
    n_train = int(0.8 * len(surfaces))
    X, y = make_forecast_frame(surfaces, spot, np.full(len(spot), 20.0), dates=dates)
    train, test = slice(0, n_train - 2), slice(n_train - 1, None)
    return surfaces, n_train, X.iloc[train], y.iloc[train], X.iloc[test], y.iloc[test]


def test_filtered_bootstrap_is_the_textbook_one(held_out):
    surfaces, n_train, X_train, y_train, X_test, y_test = held_out
    forecaster = BootstrapForecaster(random_state=0).fit(X_train, y_train)
    by_hand = filtered_bootstrap_by_hand(surfaces, n_train, 2000, np.random.RandomState(1))
    expected = crps(y_test, by_hand, log=True)
    assert crps(y_test, forecaster.sample(X_test, 2000), log=True) == pytest.approx(
        expected, rel=0.01
    )


def test_order_of_the_baselines_in_the_crisis(held_out):
    _, _, X_train, y_train, X_test, y_test = held_out
    walk, plain, filtered = (
        forecaster.fit(X_train, y_train)
        for forecaster in (
            RandomWalkForecaster(),
            BootstrapForecaster(False, random_state=0),
            BootstrapForecaster(random_state=0),
        )
    )
    losses = [
        daily_crps(y_test, forecaster.sample(X_test, 1000), log=True)
        for forecaster in (walk, plain, filtered)
    ]
    assert mape(y_test, walk.predict(X_test)) == pytest.approx(2.396, abs=0.001)
    assert diebold_mariano(losses[1], losses[0]).statistic < -2
    assert losses[2].mean() < 1.01 * losses[1].mean()
