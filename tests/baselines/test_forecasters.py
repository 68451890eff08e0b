from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_diffusion.baselines import BootstrapForecaster, RandomWalkForecaster
from sklearn_diffusion.preprocessing import make_forecast_frame, split_features

N_CELLS = 3
EXPECTED_FAILURES = {
    "check_positive_only_tag_during_fit": (
        "today's surface has to be positive, other features such as returns do not"
    ),
    "check_regressor_multioutput": "the targets of the check are negative",
}


# The filtered bootstrap accepts features in the layout of make_forecast_frame only, which no
# check of scikit-learn produces; it differs from the plain one by a factor.
@parametrize_with_checks(
    [RandomWalkForecaster(), BootstrapForecaster(filtered=False, random_state=0)],
    expected_failed_checks=lambda estimator: EXPECTED_FAILURES,
)
@pytest.mark.usefixtures("strictly_positive_checks")
def test_scikit_learn_contract(estimator, check):
    check(estimator)


def volatile_market(rng, n_days=1500):
    """Log surfaces whose changes have a slowly moving, known standard deviation."""
    log_scale = np.zeros(n_days)
    for k in range(1, n_days):
        log_scale[k] = 0.97 * log_scale[k - 1] + 0.2 * rng.normal()
    scale = 0.02 * np.exp(log_scale)
    increments = scale[:, None] * rng.normal(size=(n_days, N_CELLS))
    surfaces = 0.2 * np.exp(increments.cumsum(axis=0) * 0.2)
    spot = 100 * np.exp(0.01 * rng.normal(size=n_days).cumsum())
    return make_forecast_frame(surfaces, spot, np.full(n_days, 20.0)), scale


@pytest.fixture(scope="module")
def frame():
    (X, y), _ = volatile_market(np.random.RandomState(0))
    return X, y


def test_random_walk_forecasts_today(frame):
    X, y = frame
    forecaster = RandomWalkForecaster().fit(X, y)
    today = X[:, :N_CELLS]
    np.testing.assert_array_equal(forecaster.predict(X), today)
    np.testing.assert_array_equal(forecaster.sample(X, 4), np.stack([today] * 4))
    np.testing.assert_allclose(forecaster.predict_interval(X), np.stack([today] * 2, axis=-1))


@pytest.mark.parametrize("filtered", [True, False])
def test_prediction_is_the_mean_of_samples(frame, filtered):
    X, y = frame
    forecaster = BootstrapForecaster(filtered, random_state=0).fit(X[:1000], y[:1000])
    samples = forecaster.sample(X[1000:1010], 20_000, random_state=1)
    standard_error = samples.std(axis=0) / np.sqrt(20_000)
    error = forecaster.predict(X[1000:1010]) - samples.mean(axis=0)
    assert (np.abs(error) < 5 * standard_error).all()


def test_plain_bootstrap_draws_past_changes(frame):
    X, y = frame
    forecaster = BootstrapForecaster(False).fit(X[:50], y[:50])
    changes = np.log(y[:50]) - np.log(X[:50, :N_CELLS])
    samples = forecaster.sample(X[60:62], 30, random_state=0)
    drawn = np.log(samples) - np.log(X[60:62, :N_CELLS])
    distance = np.abs(drawn[:, :, None] - changes).max(axis=-1)
    assert (distance.min(axis=-1) < 1e-12).all()
    assert len(np.unique(distance[:, 0].argmin(axis=-1))) > 10


def test_filtered_bootstrap_follows_the_volatility_of_volatility(rng):
    (X, y), scale = volatile_market(rng)
    X_train, y_train, X_test, y_test = X[:1000], y[:1000], X[1000:], y[1000:]
    covered, width = {}, {}
    calm = scale[1001:-1] < np.median(scale)
    for filtered in (True, False):
        forecaster = BootstrapForecaster(filtered, random_state=0).fit(X_train, y_train)
        interval = forecaster.predict_interval(X_test, coverage=0.8)
        low, high = interval[..., 0], interval[..., 1]
        covered[filtered] = ((low < y_test) & (y_test < high)).mean(axis=1)
        width[filtered] = np.log(high / low).mean(axis=1)
    assert covered[True].mean() == pytest.approx(0.8, abs=0.05)
    imbalance = {f: abs(c[calm].mean() - c[~calm].mean()) for f, c in covered.items()}
    assert imbalance[True] < 0.5 * imbalance[False]
    assert np.corrcoef(width[True], scale[1001:-1])[0, 1] > 0.6
    assert np.ptp(width[False]) < 1e-12


@pytest.mark.parametrize("filtered", [True, False])
def test_a_forecast_does_not_depend_on_its_neighbours(frame, filtered):
    X, y = frame
    forecaster = BootstrapForecaster(filtered, random_state=0).fit(X, y)
    for forecast in (
        forecaster.predict,
        lambda rows: forecaster.predict_interval(rows, n_samples=50),
        lambda rows: forecaster.sample(rows, 7).swapaxes(0, 1),
    ):
        np.testing.assert_allclose(forecast(X)[40:42], forecast(X[40:42]), rtol=1e-12)


def test_seeds(frame):
    X, y = frame
    first = BootstrapForecaster(random_state=3).fit(X, y)
    second = clone(first).fit(X, y)
    np.testing.assert_array_equal(first.sample(X[:5], 9), second.sample(X[:5], 9))
    np.testing.assert_array_equal(first.sample(X[:5], 9), first.sample(X[:5], 9))
    different = first.sample(X[:5], 9, random_state=first.seed_ + 1)
    assert not np.array_equal(first.sample(X[:5], 9), different)
    unseeded = BootstrapForecaster().fit(X, y)
    np.testing.assert_array_equal(
        unseeded.predict_quantiles(X[:5], 0.3), unseeded.predict_quantiles(X[:5], 0.3)
    )


def test_quantiles_are_weibull(frame):
    X, y = frame
    forecaster = BootstrapForecaster(random_state=0).fit(X, y)
    samples = np.sort(forecaster.sample(X[:4], 99), axis=0)
    quantiles = forecaster.predict_quantiles(X[:4], [0.05, 0.5, 0.95], n_samples=99)
    np.testing.assert_allclose(quantiles, samples[[4, 49, 94]])
    single = forecaster.predict_quantiles(X[:4], 0.5, n_samples=99)
    np.testing.assert_array_equal(single, quantiles[1])
    interval = forecaster.predict_interval(X[:4], 0.9, n_samples=99)
    np.testing.assert_allclose(interval, np.moveaxis(quantiles[[0, 2]], 0, -1))


def test_quantiles_of_many_days_are_taken_in_blocks(frame, monkeypatch):
    X, y = frame
    forecaster = BootstrapForecaster(random_state=0).fit(X, y)
    whole = forecaster.predict_quantiles(X, [0.1, 0.9], n_samples=20, random_state=5)
    monkeypatch.setattr("sklearn_diffusion.utils.blocks.MAX_ELEMENTS", 20 * N_CELLS * 7)
    np.testing.assert_array_equal(
        forecaster.predict_quantiles(X, [0.1, 0.9], n_samples=20, random_state=5), whole
    )


def test_still_days_do_not_divide_by_zero(frame):
    X, y = np.array(frame[0]), np.array(frame[1])
    state = X.shape[1] - 2
    np.testing.assert_array_equal(
        X[:, state], split_features(X, N_CELLS).scalar("squared_increment_ewma_0.94")
    )
    X[10, state] = 0
    forecaster = BootstrapForecaster(random_state=0).fit(X, y)
    assert np.isfinite(forecaster.residuals_).all()
    assert np.isfinite(forecaster.predict(X[10:11])).all()
    X[:, state] = 0
    with pytest.raises(ValueError, match="do not change on most days"):
        BootstrapForecaster().fit(X, y)


def test_faults_are_named(frame):
    dates = pd.bdate_range("2020-01-01", periods=20)
    X = pd.DataFrame(frame[0][:20], dates).add_prefix("iv_")
    y = pd.DataFrame(frame[1][:20], dates).add_prefix("cell_")
    y.iloc[2, 1] = 0
    with pytest.raises(ValueError, match="0 on day 2020-01-03, cell 'cell_1'"):
        RandomWalkForecaster().fit(X, y)
    y.iloc[2, 1] = 0.2
    forecaster = BootstrapForecaster().fit(X, y)
    X.iloc[1, 2] = -1
    with pytest.raises(ValueError, match="-1 on day 2020-01-02, cell 'iv_2'"):
        forecaster.predict(X)


def test_unusable_input(frame):
    X, y = frame
    with pytest.raises(ValueError, match="3 surfaces of 3 cells and 12 scalars"):
        BootstrapForecaster().fit(X[:, :-1], y)
    with pytest.raises(ValueError, match="fewer than the 3 cells"):
        RandomWalkForecaster().fit(X[:, :2], y)
    forecaster = BootstrapForecaster().fit(X, y)
    with pytest.raises(ValueError, match="n_samples"):
        forecaster.sample(X, 0)
    for coverage in (0.0, 1.0, 90):
        with pytest.raises(ValueError, match="coverage"):
            forecaster.predict_interval(X, coverage)
    with pytest.raises(ValueError, match="q must be"):
        forecaster.predict_quantiles(X, [0.1, 1.2])


@pytest.mark.parametrize("forecaster", [RandomWalkForecaster(), BootstrapForecaster()])
def test_days_and_columns_must_be_in_their_places(frame, forecaster):
    dates = pd.bdate_range("2020-01-01", periods=20)
    cells = [f"m{0.8 + 0.1 * i:.2f}_t0.250" for i in range(N_CELLS)]
    y = pd.DataFrame(frame[1][:20].copy(), dates, cells)
    X = pd.DataFrame(frame[0][:20].copy(), dates).rename(
        columns={i: f"iv_{cell}" for i, cell in enumerate(cells)} | {N_CELLS: "next"}
    )
    X.columns = X.columns.astype(str)
    forecaster.fit(X, y)
    with pytest.raises(ValueError, match="sorted; 2020-01-28 stands before 2020-01-27"):
        forecaster.fit(X[::-1], y[::-1])
    with pytest.raises(ValueError, match="X and y differ in their index"):
        forecaster.fit(X, y.set_axis(dates.shift(1)))
    with pytest.raises(ValueError, match=r"column 0 of X is 'iv_m0.80_t0.250'"):
        forecaster.fit(X, y.iloc[:, ::-1])
    y.iloc[3, 1] = np.nan
    with pytest.raises(ValueError, match=r"NaN on day 2020-01-06, cell 'm0.90_t0.250'"):
        forecaster.fit(X, y)
