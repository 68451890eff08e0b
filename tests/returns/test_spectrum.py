"""The factors of a spectrum follow the last days; its noise does not."""

from __future__ import annotations

import numpy as np
import pytest

from sklearn_diffusion.returns import EarlyStopping
from sklearn_diffusion.returns.spectrum import Spectrum

STOPS, ALL = np.array([0.0]), np.ones(1)
DEFAULT = EarlyStopping()
RECENT = DEFAULT.recent_half_life, DEFAULT.recent_weight, DEFAULT.recent_outlier


def factor_days(rng, n=600, d=12, volatility=1.0):
    """Days with one common factor of the given volatility path."""
    common = rng.standard_normal((n, 1)) * np.broadcast_to(volatility, n)[:, None]
    return common + rng.standard_normal((n, d))


def fit(x):
    return Spectrum.fit(x, np.full(len(x), 1 / len(x)))


def largest_share(fitted):
    eigenvalues = np.linalg.eigvalsh(fitted.correlation(STOPS, ALL))
    return eigenvalues[-1] / eigenvalues.sum()


def test_a_factor_that_has_woken_up_counts_more(rng):
    volatility = np.where(np.arange(600) < 580, 1.0, 4.0)
    x = factor_days(rng, volatility=volatility)
    before = fit(x)
    assert largest_share(before.updated(x, *RECENT)) > 1.1 * largest_share(before)
    assert largest_share(before.updated(x[::-1], *RECENT)) < largest_share(before)


def test_factors_that_have_become_correlated_turn(rng):
    """Two blocks, independent until the last weeks, when they move together."""
    a, b = rng.standard_normal((2, 600, 1))
    b[-30:] = a[-30:]
    x = np.hstack(
        [a + 0.5 * rng.standard_normal((600, 5)), b + 0.5 * rng.standard_normal((600, 5))]
    )
    before = fit(x)
    after = before.updated(x, *RECENT).correlation(STOPS, ALL)[:3, 3:].mean()
    assert after > before.correlation(STOPS, ALL)[:3, 3:].mean() + 0.1


@pytest.mark.parametrize("shape", [(300, 8), (60, 100), (3, 2)])
def test_noise_stays_and_the_whole_is_positive_definite(rng, shape):
    x = factor_days(rng, *shape)
    before = fit(x)
    after = before.updated(x, *RECENT)
    noise = before.eigenvalues <= 1
    np.testing.assert_array_equal(after.eigenvalues[noise], before.eigenvalues[noise])
    np.testing.assert_array_equal(after.vectors[:, noise], before.vectors[:, noise])
    np.testing.assert_allclose(
        after.vectors.T @ after.vectors, np.eye(len(noise)), rtol=0, atol=1e-9
    )
    assert after.eigenvalues.min() > 0


def test_a_market_louder_as_a_whole_changes_volatilities_alone(rng):
    """Scores relative to one another stay; the volatilities follow in part."""
    x = factor_days(rng)
    louder = x.copy()
    louder[-200:] *= 3
    before = fit(x)
    quiet, loud = before.updated(x, *RECENT), before.updated(louder, *RECENT)
    np.testing.assert_allclose(loud.eigenvalues, quiet.eigenvalues, rtol=1e-6)
    assert loud.level / quiet.level == pytest.approx(3 ** RECENT[1])


@pytest.mark.parametrize("shape", [(60, 8), (20, 35)])
@pytest.mark.parametrize("inside", [True, False])
def test_held_out_losses_are_those_of_the_dense_law(rng, shape, inside):
    """Also where the days lie in the span of those of the fit, with nothing beyond it."""
    x = factor_days(rng, *shape)
    fitted, stops = fit(x), np.array([0.05, 0.4])
    later = rng.standard_normal((9, len(x))) @ x / 5 if inside else factor_days(rng, 9, shape[1])
    expected = []
    for stop in stops:
        correlation = fitted.correlation(np.array([stop]), ALL)
        covariance = correlation * np.outer(fitted.scale, fitted.scale)
        distance = np.einsum("ni,ij,nj->n", later, np.linalg.inv(covariance), later).mean()
        expected.append((distance + np.linalg.slogdet(covariance)[1]) / shape[1])
    np.testing.assert_allclose(fitted.held_out_losses(later, stops), expected, rtol=1e-8)


def test_white_days_have_no_factors(rng):
    flat = Spectrum(np.ones(5), np.eye(5), np.ones(5), 1.0, np.ones(5))
    updated = flat.updated(rng.standard_normal((400, 5)), *RECENT)
    np.testing.assert_array_equal(updated.eigenvalues, flat.eigenvalues)
    np.testing.assert_array_equal(updated.vectors, flat.vectors)


def test_duplicate_assets_do_not_disturb_the_common_scale(rng):
    x = factor_days(rng)
    x = np.hstack([x, x[:, :1]])
    updated = fit(x).updated(x, *RECENT)
    assert np.isfinite(updated.eigenvalues).all()
    correlation = updated.correlation(STOPS, ALL)
    np.testing.assert_allclose(correlation[0], correlation[-1], rtol=1e-6)


def test_weight_zero_changes_nothing(rng):
    x = factor_days(rng)
    before = fit(x)
    after = before.updated(x, RECENT[0], 0.0, RECENT[2])
    np.testing.assert_allclose(
        after.correlation(STOPS, ALL), before.correlation(STOPS, ALL), atol=1e-12
    )


@pytest.mark.parametrize("freedom", [0.6, 0.9, 0.97])
def test_cleaned_eigenvalues_of_few_days_keep_their_order_and_sum(rng, freedom):
    x = factor_days(rng, n=int(freedom * 80), d=80)
    fitted = fit(x)
    unseen = 80 - len(fitted.eigenvalues)
    everything = np.concatenate([np.full(unseen, fitted.rest), fitted.eigenvalues])
    assert (np.diff(everything) >= 0).all()
    assert everything.sum() == pytest.approx(80)


def test_the_level_of_days_without_news_is_one_on_average(rng):
    levels = [fit(x).updated(x, *RECENT).level for x in rng.standard_normal((200, 300, 10))]
    assert np.mean(levels) == pytest.approx(1, abs=0.015)
