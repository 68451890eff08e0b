from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import mean_absolute_percentage_error

from sklearn_diffusion.metrics import (
    ape_std,
    ci_breach,
    ci_width,
    ci_width_std,
    daily_mape,
    mape,
    sample_interval,
)


@pytest.fixture
def truth(rng):
    return np.exp(rng.normal(-1.6, 0.3, (60, 5)))


@pytest.fixture
def forecast(truth, rng):
    return truth * np.exp(rng.normal(0, 0.05, truth.shape))


@pytest.fixture
def mask(truth, rng):
    return rng.uniform(size=truth.shape) < 0.7


def test_mape_is_that_of_scikit_learn_in_percent(truth, forecast):
    expected = 100 * mean_absolute_percentage_error(truth.ravel(), forecast.ravel())
    assert mape(truth, forecast) == pytest.approx(expected)


def test_errors_of_known_size():
    truth = np.array([[0.2, 0.4], [0.1, 0.5]])
    forecast = truth * [[1.01, 0.98], [1.0, 1.03]]
    assert mape(truth, forecast) == pytest.approx((1 + 2 + 0 + 3) / 4)
    assert ape_std(truth, forecast) == pytest.approx(np.std([1, 2, 0, 3]))
    np.testing.assert_allclose(daily_mape(truth, forecast), [1.5, 1.5])


def test_breaches_by_hand():
    """A truth at an end is inside; of five, one is below and one above."""
    truth = np.array([[1.0, 2.0, 3.0, 0.5, 3.5]])
    interval = np.broadcast_to([1.0, 3.0], (1, 5, 2))
    assert ci_breach(truth, interval) == pytest.approx(40)
    assert ci_breach(truth, interval, mask=np.array([[True] * 4 + [False]])) == pytest.approx(25)


def test_width_and_its_deviation_by_hand():
    interval = np.array([[[0.1, 0.2], [0.2, 0.5]], [[0.3, 0.5], [0.1, 0.7]]])
    assert ci_width(interval) == pytest.approx(0.3)
    assert ci_width_std(interval) == pytest.approx(np.sqrt(0.14 / 4))


def test_intervals_are_weibulls_quantiles():
    """Nine samples leave ten gaps: the k-th of them is the quantile at k / 10."""
    samples = np.random.RandomState(0).permutation(np.arange(1.0, 10))[:, None, None] * [1, 10]
    np.testing.assert_allclose(sample_interval(samples, 0.8), [[[1, 9], [10, 90]]])
    np.testing.assert_allclose(sample_interval(samples, 0.5), [[[2.5, 7.5], [25, 75]]])
    np.testing.assert_allclose(sample_interval(samples), sample_interval(samples, 0.9))


def test_masks_reach_the_deviation_and_the_daily_error(truth, forecast, mask):
    garbage, blank = np.where(mask, truth, np.nan), np.where(mask, forecast, -1)
    errors = 100 * np.abs(forecast / truth - 1)
    assert ape_std(garbage, blank, mask=mask) == pytest.approx(errors[mask].std())
    some = mask.any(axis=1)
    expected = [row[counted].mean() for row, counted in zip(errors[some], mask[some], strict=True)]
    np.testing.assert_allclose(daily_mape(garbage, blank, mask=mask)[some], expected)


def test_only_traded_cells_count(truth, forecast, mask):
    interval = np.stack([0.95 * forecast, 1.02 * forecast], axis=-1)
    garbage = np.where(mask, truth, np.nan)
    blank = np.where(mask, forecast, -1)
    assert mape(garbage, blank, mask=mask) == pytest.approx(
        mape(truth[mask][:, None], forecast[mask][:, None])
    )
    assert ci_breach(garbage, interval, mask=mask) == pytest.approx(
        ci_breach(truth[mask][:, None], interval[mask][:, None])
    )
    assert ci_width(interval, mask=mask) == pytest.approx(0.07 * forecast[mask].mean())
    assert ci_width_std(interval, mask=mask) == pytest.approx(0.07 * forecast[mask].std())


def test_a_day_without_trades_has_no_error(truth, forecast):
    mask = np.ones(truth.shape, dtype=bool)
    mask[3] = False
    errors = daily_mape(truth, forecast, mask=mask)
    assert np.isnan(errors[3]) and np.isfinite(np.delete(errors, 3)).all()


@pytest.mark.parametrize("n_samples", [19, 100, 500])
def test_a_perfect_forecast_breaches_as_it_should(rng, n_samples):
    """Whatever the number of samples: 10 % outside intervals of 90 %."""
    samples = np.exp(rng.normal(size=(n_samples, 400, 50)))
    truth = np.exp(rng.normal(size=(400, 50)))
    breach = ci_breach(truth, sample_interval(samples, 0.9))
    assert breach == pytest.approx(10, abs=4 * 100 * np.sqrt(0.09 / truth.size) + 0.3)


def test_unusable_input(truth, forecast):
    with pytest.raises(ValueError, match="y_pred has shape"):
        mape(truth, forecast[:, :-1])
    with pytest.raises(ValueError, match=r"must be of shape \(n_days, n_cells\)"):
        mape(truth[0], forecast[0])
    with pytest.raises(ValueError, match="no cell"):
        mape(truth, forecast, mask=np.zeros(truth.shape, dtype=bool))
    with pytest.raises(ValueError, match="boolean"):
        mape(truth, forecast, mask=np.ones(truth.shape))
    with pytest.raises(ValueError, match="coverage"):
        sample_interval(forecast[None], 90)
    scenarios = np.stack([forecast, forecast])
    scenarios[1, 4, 2] = np.inf
    with pytest.raises(ValueError, match="samples must be finite"):
        sample_interval(scenarios, 0.9)
    with pytest.raises(ValueError, match=r"\(n_days, n_cells, 2\)"):
        ci_width(forecast)
    truth[4, 2] = 0
    with pytest.raises(ValueError, match=r"y_true .* first 0.0 at day 4, cell 2"):
        mape(truth, forecast)


def test_what_is_missing_is_not_counted_as_covered(truth, forecast):
    interval = np.stack([0.9 * forecast, 1.1 * forecast], axis=-1)
    dates = pd.date_range("2024-01-01", periods=len(truth))
    table = pd.DataFrame(truth, dates).add_prefix("cell ")
    table.iloc[4, 2] = np.nan
    for score in (lambda y: ci_breach(y, interval), lambda y: mape(y, forecast)):
        with pytest.raises(ValueError, match=r"first nan at day 2024-01-05, cell 'cell 2'"):
            score(table)
    traded = table.notna().to_numpy()
    assert ci_breach(table, interval, mask=traded) == ci_breach(truth, interval, mask=traded)


def test_intervals_must_be_intervals(truth, forecast):
    interval = np.stack([0.9 * forecast, 1.1 * forecast], axis=-1)
    for wrong in (interval[..., ::-1], interval * [np.nan, 1]):
        for score in (ci_width, ci_width_std, lambda i: ci_breach(truth, i)):
            with pytest.raises(ValueError, match=r"are no interval, the first .* at day 0, cell 0"):
                score(wrong)
    interval[4, 2] = interval[4, 2, ::-1]
    with pytest.raises(ValueError, match=r"1 are no interval, the first .* at day 4, cell 2"):
        ci_width(interval)
