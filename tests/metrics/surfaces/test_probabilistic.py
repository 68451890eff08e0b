from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from sklearn_diffusion.metrics import (
    crps,
    daily_crps,
    diebold_mariano,
    energy_score,
    pit_cramer_von_mises,
    pit_values,
    reliability_table,
)


def gaussian_crps(y, mean, std):
    """Closed form of Gneiting and Raftery (2007), equation (21)."""
    z = (y - mean) / std
    return std * (z * (2 * norm.cdf(z) - 1) + 2 * norm.pdf(z) - 1 / np.sqrt(np.pi))


def lognormal_forecast(rng, n_samples=200, n_days=300, n_cells=4, spread=1.0):
    """Samples, and truths whose log deviates `spread` times as much as the samples'."""
    centre = rng.normal(-1.6, 0.3, (n_days, n_cells))
    samples = np.exp(centre + 0.1 * rng.normal(size=(n_samples, n_days, n_cells)))
    truth = np.exp(centre + 0.1 * spread * rng.normal(size=(n_days, n_cells)))
    return truth, samples, centre


def test_crps_of_a_gaussian(rng):
    truth, samples, centre = lognormal_forecast(rng, n_samples=1000)
    expected = gaussian_crps(np.log(truth), centre, 0.1).mean()
    assert crps(truth, samples, log=True) == pytest.approx(expected, rel=0.01)


def test_crps_is_fair_for_few_samples(rng):
    """Its expectation does not depend on the number of samples, not even for two."""
    truth, samples, _ = lognormal_forecast(rng, n_samples=200, n_days=500)
    few = np.mean([crps(truth, samples[i : i + 2]) for i in range(0, 200, 2)])
    assert few == pytest.approx(crps(truth, samples), rel=0.02)


def test_crps_is_the_double_sum(rng):
    truth, samples, _ = lognormal_forecast(rng, n_samples=7, n_days=5)
    pairs = np.abs(samples[:, None] - samples[None]).sum(axis=(0, 1)) / (2 * 7 * 6)
    expected = np.abs(samples - truth).mean(axis=0) - pairs
    assert crps(truth, samples) == pytest.approx(expected.mean())
    np.testing.assert_allclose(daily_crps(truth, samples), expected.mean(axis=1))


def test_scores_of_log_volatility_are_those_of_the_logarithms(rng):
    truth, samples, _ = lognormal_forecast(rng, n_samples=6, n_days=5)
    truth, samples = 2 + 0.2 * rng.uniform(size=truth.shape), 2 + 0.2 * samples
    for score in (crps, daily_crps, energy_score):
        expected = score(truth, samples)
        np.testing.assert_allclose(score(np.exp(truth), np.exp(samples), log=True), expected)


def test_daily_crps_is_nan_where_nothing_was_traded(rng):
    truth, samples, _ = lognormal_forecast(rng, n_samples=8, n_days=4)
    mask = np.array([[1, 0, 1, 0], [0, 0, 0, 0], [1, 1, 1, 1], [0, 0, 0, 1]], dtype=bool)
    cells = np.array([[crps(truth[[d]][:, [c]], samples[:, [d]][..., [c]]) for c in range(4)]
                      for d in range(4)])  # fmt: skip
    expected = [cells[0, [0, 2]].mean(), np.nan, cells[2].mean(), cells[3, 3]]
    daily = daily_crps(np.where(mask, truth, np.nan), samples, mask=mask)
    np.testing.assert_allclose(daily, expected)
    whole = crps(np.where(mask, truth, np.nan), samples, mask=mask)
    assert whole == pytest.approx(cells[mask].mean())


def test_energy_score_is_the_double_sum(rng):
    """Mean over days with a cell to count, each in the norm of its own cells."""
    truth, samples, _ = lognormal_forecast(rng, n_samples=6, n_days=3)
    mask = np.array([[1, 1, 0, 1], [0, 0, 0, 0], [0, 1, 1, 0]], dtype=bool)
    days = []
    for day in (0, 2):
        real, some = truth[day, mask[day]], samples[:, day, mask[day]]
        pairs = np.linalg.norm(some[:, None] - some[None], axis=2).sum() / (2 * 6 * 5)
        days.append(np.linalg.norm(some - real, axis=1).mean() - pairs)
    assert energy_score(truth, samples, mask=mask) == pytest.approx(np.mean(days))


def test_energy_score_of_one_cell_is_its_crps(rng):
    truth, samples, _ = lognormal_forecast(rng, n_cells=1, n_days=40)
    assert energy_score(truth, samples) == pytest.approx(crps(truth, samples))


def test_energy_score_sees_dependence_that_crps_does_not(rng):
    common = 0.1 * rng.normal(size=(300, 200, 1)) * np.ones(8)
    truth = np.exp(0.1 * rng.normal(size=(200, 1)) * np.ones(8))
    together = np.exp(common)
    apart = np.stack([np.roll(together[..., cell], 7 * cell, axis=0) for cell in range(8)], axis=-1)
    assert crps(truth, together) == pytest.approx(crps(truth, apart))
    assert energy_score(truth, together) < 0.97 * energy_score(truth, apart)


def test_only_traded_cells_count(rng):
    truth, samples, _ = lognormal_forecast(rng, n_days=30)
    mask = np.zeros(truth.shape, dtype=bool)
    mask[:, :2] = True
    truth[:, 2:], samples[..., 2:] = np.nan, -1
    for score in (crps, energy_score):
        for log in (True, False):
            whole = score(truth[:, :2], samples[..., :2], log=log)
            assert score(truth, samples, mask=mask, log=log) == pytest.approx(whole)


@pytest.mark.parametrize("n_samples", [9, 200])
def test_calibrated_forecasts_have_uniform_pit(rng, n_samples):
    truth, samples, _ = lognormal_forecast(rng, n_samples=n_samples, n_days=400, n_cells=100)
    assert pit_values(truth, samples).mean() == pytest.approx(0.5, abs=0.01)
    # Over 100 cells the statistic has a standard error of about 0.015.
    expected = 1 / 6 + 400 / (12 * (n_samples + 1) ** 2)
    assert pit_cramer_von_mises(truth, samples) == pytest.approx(expected, abs=0.06)


def test_pit_of_traded_cells_alone(rng):
    truth, samples, _ = lognormal_forecast(rng, n_samples=9, n_days=40)
    mask = rng.uniform(size=truth.shape) < 0.5
    mask[:, 3] = False
    garbage = np.where(mask, truth, np.nan)
    pit = pit_values(garbage, samples, mask=mask)
    np.testing.assert_array_equal(np.isnan(pit), ~mask)
    np.testing.assert_array_equal(pit[mask], pit_values(truth, samples)[mask])
    expected = []
    for cell in range(3):
        values = np.sort(pit[mask[:, cell], cell])
        n = len(values)
        steps = (2 * np.arange(n) + 1) / (2 * n)
        expected.append(1 / (12 * n) + ((steps - values) ** 2).sum())
    assert pit_cramer_von_mises(garbage, samples, mask=mask) == pytest.approx(np.mean(expected))


def test_reliability_by_hand():
    """Nine samples 1 to 9: intervals of 80 % and 50 % are [1, 9] and [2.5, 7.5]."""
    samples = np.broadcast_to(np.arange(1.0, 10)[:, None, None], (9, 1, 4))
    truth = np.array([[0.5, 2.0, 5.0, 9.5]])
    table = reliability_table(truth, samples, coverages=[0.5, 0.8])
    np.testing.assert_allclose(table["observed"], [0.25, 0.5])
    np.testing.assert_allclose(table["width"], [5, 8])
    mask = np.array([[False, True, True, False]])
    table = reliability_table(truth, samples * [1, 1, 2, 1], coverages=[0.5, 0.8], mask=mask)
    np.testing.assert_allclose(table["observed"], [0.5, 1])
    np.testing.assert_allclose(table["width"], [7.5, 12])
    default = reliability_table(truth, samples).index
    np.testing.assert_allclose(default, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95])


def test_miscalibration_is_seen(rng):
    for spread, direction in ((2.0, -1), (0.5, 1)):
        truth, samples, _ = lognormal_forecast(rng, spread=spread)
        table = reliability_table(truth, samples, coverages=[0.5, 0.9])
        assert (np.sign(table["observed"] - table.index) == direction).all()
        assert pit_cramer_von_mises(truth, samples) > 1


def test_reliability_of_a_calibrated_forecast(rng):
    truth, samples, _ = lognormal_forecast(rng, n_days=2000)
    table = reliability_table(truth, samples)
    np.testing.assert_allclose(table["observed"], table.index, atol=0.03)
    assert (np.diff(table["width"]) > 0).all()


def test_ties_stand_in_the_middle():
    samples = np.full((3, 1, 1), 0.2)
    assert pit_values([[0.2]], samples).item() == 0.5
    assert pit_values([[0.1]], samples).item() == 0.125
    assert pit_values([[0.3]], samples).item() == 0.875
    in_one_cell = pit_values([[0.2, 0.1]], np.full((3, 1, 2), 0.2))
    np.testing.assert_array_equal(in_one_cell, [[0.5, 0.125]])


def test_diebold_mariano_is_a_t_statistic_without_lags(rng):
    a, b = rng.normal(size=(2, 100))
    difference = a - b
    expected = difference.mean() / (difference.std() / 10)
    assert diebold_mariano(a, b, n_lags=0).statistic == pytest.approx(expected)
    assert diebold_mariano(b, a).statistic == pytest.approx(-diebold_mariano(a, b).statistic)


def test_diebold_mariano_by_hand():
    """Differences 1, 2, 0, 3, -1: autocovariances 2, -7/5 and 4/5, Bartlett weights 2/3 and 1/3."""
    difference = np.array([1.0, 2.0, 0.0, 3.0, -1.0])
    variance = 2 + 2 * (2 / 3 * -7 / 5 + 1 / 3 * 4 / 5)
    result = diebold_mariano(difference, np.zeros(5), n_lags=2)
    assert result.statistic == pytest.approx(1 / np.sqrt(variance / 5))
    assert result.pvalue == pytest.approx(2 * norm.sf(np.sqrt(5 / variance)))
    one_lag = diebold_mariano(difference, np.zeros(5), n_lags=1)
    assert one_lag.statistic == pytest.approx(1 / np.sqrt((2 - 7 / 5) / 5))


@pytest.mark.parametrize("n_lags", [0, 1, 3])
def test_diebold_mariano_variance_is_that_of_bartlett_sums(rng, n_lags):
    """Newey-West is the mean square of sums over windows of n_lags + 1 days, zeros around them."""
    loss = rng.normal(size=(2, 40)).cumsum(axis=1)
    difference = loss[0] - loss[1]
    sums = np.convolve(difference - difference.mean(), np.ones(n_lags + 1))
    variance = (sums**2).sum() / (n_lags + 1) / 40
    expected = difference.mean() / np.sqrt(variance / 40)
    assert diebold_mariano(*loss, n_lags=n_lags).statistic == pytest.approx(expected)


def test_diebold_mariano_takes_lags_up_to_the_number_of_days(rng):
    loss = rng.normal(size=(2, 9))
    assert diebold_mariano(*loss) == diebold_mariano(*loss, n_lags=5)
    assert np.isfinite(diebold_mariano(*loss, n_lags=8).statistic)
    for n_lags in (-1, 9):
        with pytest.raises(ValueError, match="from 0 to n_days - 1 = 8"):
            diebold_mariano(*loss, n_lags=n_lags)


def test_diebold_mariano_keeps_its_level_under_autocorrelation(rng):
    """An MA(3) difference of mean zero: the test without lags rejects far too often."""
    noise = rng.normal(size=(500, 403))
    difference = noise[:, 3:] + noise[:, 2:-1] + noise[:, 1:-2] + noise[:, :-3]
    zero = np.zeros(400)
    rejected = {
        n_lags: np.mean([diebold_mariano(d, zero, n_lags=n_lags).pvalue < 0.05 for d in difference])
        for n_lags in (0, 10)
    }
    assert rejected[10] < 0.12 and rejected[0] > 0.25


def test_unusable_input(rng):
    truth, samples, _ = lognormal_forecast(rng, n_days=10)
    with pytest.raises(ValueError, match="at least two samples"):
        crps(truth, samples[:1])
    with pytest.raises(ValueError, match=r"shape \(n_samples, \*\(10, 4\)\)"):
        energy_score(truth, samples[:, :-1])
    with pytest.raises(ValueError, match="same days"):
        diebold_mariano(np.ones(4), np.ones(5))
    with pytest.raises(ValueError, match="NaN; not so on day 1"):
        diebold_mariano([1, np.nan, 2], [1, 2, 3])
    with pytest.raises(ValueError, match="constant"):
        diebold_mariano(np.ones(10), np.zeros(10))
    samples[3, 2, 1] = np.nan
    with pytest.raises(ValueError, match=r"samples .* day 2, cell 1"):
        crps(truth, samples)
    dates = pd.date_range("2024-01-01", periods=10)
    table = pd.DataFrame(truth, dates, list("abcd"))
    with pytest.raises(ValueError, match=r"samples .* first nan at day 2024-01-03, cell 'b'"):
        crps(table, samples)
    with pytest.raises(ValueError, match=r"samples has 1 masked value"):
        crps(truth, np.ma.masked_invalid(samples))
