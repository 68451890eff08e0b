"""Truncated normal draws against scipy, conditional mixtures against brute force."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from scipy import stats
from scipy.integrate import quad
from scipy.special import logsumexp

from sklearn_diffusion.returns import conditional_mixture as conditional
from sklearn_diffusion.returns.conditional_mixture import (
    ConditionalMixture,
    _choose,
    draw_truncated_normal,
    log_interval_mass,
)
from sklearn_diffusion.returns.kernel_mixture import KernelMixture
from sklearn_diffusion.returns.observations import Conditioning

DEFAULT = KernelMixture()


def given(mixture, observed):
    """The mixture given observed coordinates, as accurate as by default."""
    return ConditionalMixture(
        mixture,
        observed,
        n_pilot=DEFAULT.n_pilot,
        n_candidates=DEFAULT.n_candidates,
        n_sweeps=DEFAULT.n_sweeps,
    )


INTERVALS = [
    (-np.inf, np.inf),
    (-1.0, 2.0),
    (0.0, 0.5),
    (-np.inf, -1.0),
    (1.5, np.inf),
    (-3.0, -2.999),
    (7.0, 9.0),
    (-9.0, -7.0),
    (12.0, np.inf),
    (-np.inf, -25.0),
    (30.0, 31.0),
    (-0.5, 40.0),
]


def oracle_log_mass(low, high):
    """Log of the integral of the density, scaled by its largest value in the interval."""
    peak = min(max(low, 0.0), high)
    low, high = max(low, peak - 12), min(high, peak + 12)
    area, _ = quad(lambda x: np.exp((peak**2 - x**2) / 2), low, high, epsabs=0, epsrel=1e-12)
    return np.log(area) - peak**2 / 2 - np.log(2 * np.pi) / 2


@pytest.mark.parametrize("interval", INTERVALS, ids=str)
def test_log_mass_of_an_interval(interval):
    low, high = (np.array([end]) for end in interval)
    assert log_interval_mass(low, high)[0] == pytest.approx(
        oracle_log_mass(*interval), rel=1e-9, abs=1e-9
    )


@pytest.mark.parametrize("interval", INTERVALS, ids=str)
def test_truncated_draws_follow_scipys_law(interval, rng):
    low, high = (np.full(4000, end) for end in interval)
    x = draw_truncated_normal(low, high, rng)
    assert x.min() >= interval[0] and x.max() <= interval[1]
    assert len(np.unique(x)) > 3900
    assert stats.kstest(x, stats.truncnorm(*interval).cdf).pvalue > 1e-3


def test_an_interval_for_every_draw(rng):
    low = np.linspace(-30, 30, 1000)
    x = draw_truncated_normal(low, low + 0.1, rng)
    assert ((x >= low) & (x <= low + 0.1)).all()
    mass = log_interval_mass(low, low + 0.1)
    np.testing.assert_allclose(mass, log_interval_mass(-low - 0.1, -low), rtol=1e-12)


# Conditional mixtures


@dataclass
class Mixture:
    """Three components of two shapes in four dimensions."""

    weights_: np.ndarray
    means_: np.ndarray
    state_: np.ndarray
    scale_: np.ndarray
    shapes_: np.ndarray

    def shapes(self):
        return self.shapes_

    def sample(self, n, rng):
        component = rng.choice(len(self.weights_), size=n, p=self.weights_)
        noise = rng.standard_normal((n, 4)) * np.sqrt(self.scale_[component])[:, None]
        roots = np.linalg.cholesky(self.shapes_)[self.state_[component]]
        return self.means_[component] + np.einsum("nij,nj->ni", roots, noise)

    def conditional_moments(self, fixed, values):
        """Mean and covariance given fixed coordinates, component by component."""
        free = np.setdiff1d(np.arange(4), fixed)
        log_p, means, covariances = [], [], []
        for w, mean, k, g in zip(self.weights_, self.means_, self.state_, self.scale_, strict=True):
            cov = g * self.shapes_[k]
            known, cross = cov[np.ix_(fixed, fixed)], cov[np.ix_(free, fixed)]
            gain = cross @ np.linalg.inv(known)
            log_p.append(np.log(w) + stats.multivariate_normal(mean[fixed], known).logpdf(values))
            means.append(mean[free] + gain @ (values - mean[fixed]))
            covariances.append(cov[np.ix_(free, free)] - gain @ cross.T)
        p = np.exp(np.array(log_p) - logsumexp(log_p))
        mean = p @ np.array(means)
        deviations = np.array(means) - mean
        second = np.array(covariances) + deviations[:, :, None] * deviations[:, None, :]
        return mean, np.einsum("k,kij->ij", p, second)


@pytest.fixture
def mixture(rng):
    factors = rng.standard_normal((2, 4, 6)) * np.array([0.5, 1.2])[:, None, None]
    return Mixture(
        np.array([0.5, 0.3, 0.2]),
        rng.standard_normal((3, 4)),
        np.array([0, 1, 0]),
        np.array([1.0, 0.7, 2.5]),
        factors @ factors.transpose(0, 2, 1) / 6,
    )


def observe(fixed=(), values=(), bounded=(), low=(), high=()):
    values = np.array(values, dtype=float)
    return Conditioning(
        np.array(fixed, dtype=int),
        values if values.ndim == 2 else values[None],
        np.array(bounded, dtype=int),
        np.array(low, dtype=float),
        np.array(high, dtype=float),
    )


def assert_same_law(samples, expected, simulated=False):
    """Marginals and correlations within their errors.

    Where the probabilities of several intervals are simulated, they add an error of their own,
    large for the few components here.
    """
    for a, b in zip(samples.T, expected.T, strict=True):
        error = 5 * np.sqrt(a.var() / len(a) + b.var() / len(b))
        assert abs(a.mean() - b.mean()) < error + (0.05 * b.std() if simulated else 0)
        distance = stats.ks_2samp(a[:20_000], b[:20_000])
        assert distance.statistic < 0.04 if simulated else distance.pvalue > 1e-4
    np.testing.assert_allclose(
        np.corrcoef(samples.T), np.corrcoef(expected.T), atol=0.08 if simulated else 0.04
    )


@pytest.mark.parametrize(
    ("fixed", "values"), [([1], [0.3]), ([0, 3], [1.0, -0.5]), ([3, 0, 2], [-2.0, 0.5, 4.0])]
)
def test_fixed_values_are_exact(mixture, rng, fixed, values):
    n = 60_000
    samples = given(mixture, observe(fixed, values)).sample(n, rng)
    np.testing.assert_allclose(samples[:, fixed], np.tile(values, (n, 1)))
    free = np.setdiff1d(np.arange(4), fixed)
    mean, covariance = mixture.conditional_moments(np.array(fixed), np.array(values))
    error = np.sqrt(covariance.diagonal() / n)
    assert (np.abs(samples[:, free].mean(0) - mean) < 5 * error).all()
    drawn = np.cov(samples[:, free].T).reshape(covariance.shape)
    np.testing.assert_allclose(drawn, covariance, atol=0.05 * covariance.max())


def test_values_per_sample_weigh_the_components_row_by_row(mixture, rng):
    n = 20_000
    values = np.repeat([[-2.0], [2.0]], n, axis=0)
    samples = given(mixture, observe([0], values)).sample(2 * n, rng)
    np.testing.assert_allclose(samples[:, [0]], values)
    for value, part in ((-2.0, samples[:n]), (2.0, samples[n:])):
        mean, covariance = mixture.conditional_moments(np.array([0]), np.array([value]))
        error = np.sqrt(covariance.diagonal() / n)
        assert (np.abs(part[:, 1:].mean(0) - mean) < 5 * error).all()


@pytest.mark.parametrize(
    ("bounded", "low", "high"),
    [
        ([2], [0.5], [1.5]),
        ([2], [-np.inf], [-0.5]),
        ([0, 2], [0.0, -1.0], [1.0, 1.0]),
        ([1, 0, 3], [-np.inf, 0.0, -1.0], [0.5, np.inf, 1.5]),
        ([0, 1, 2, 3], [-1.0, -1.0, -1.0, -1.0], [1.5, 1.5, 1.5, 1.5]),
    ],
)
def test_intervals_agree_with_rejection(mixture, rng, bounded, low, high):
    draws = mixture.sample(400_000, rng)
    observed = observe(bounded=bounded, low=low, high=high)
    expected = draws[observed.holds(draws)]
    assert len(expected) > 5000
    samples = given(mixture, observed).sample(30_000, rng)
    assert observed.holds(samples).all()
    assert_same_law(samples, expected, simulated=len(bounded) > 1)


def test_values_per_sample_need_little_memory(mixture, rng, monkeypatch):
    """Blocks of scenarios give what all at once would."""
    observed = observe([0], rng.standard_normal((50, 1)))
    whole = given(mixture, observed).sample(50, np.random.RandomState(0))
    monkeypatch.setattr(conditional, "BLOCK_SIZE", 8)
    sizes = []
    log_joint = ConditionalMixture._log_joint

    def measured(self, values):
        sizes.append(log_joint(self, values).size)
        return log_joint(self, values)

    monkeypatch.setattr(ConditionalMixture, "_log_joint", measured)
    blocks = given(mixture, observed).sample(50, np.random.RandomState(0))
    np.testing.assert_array_equal(blocks, whole)
    assert max(sizes) <= 8


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1]])
def test_the_rarest_interval_is_first(order):
    """Probabilities 0.69, 0.16 and 0.31, by the means, the scale and the shape."""
    gaussian = Mixture(
        np.ones(1),
        np.array([[3.0, 0.0, -3.0, 0.0]]),
        np.zeros(1, dtype=int),
        np.array([4.0]),
        np.diag([1.0, 4.0, 0.25, 1.0])[None],
    )
    low, high = np.array([2.0, 4.0, -2.5]), np.full(3, np.inf)
    observed = given(gaussian, observe(bounded=order, low=low[order], high=high)).observed
    np.testing.assert_array_equal(observed.bounded, [1, 2, 0])
    np.testing.assert_array_equal(observed.low, [4.0, -2.5, 2.0])


def test_rarity_counts_the_weights_of_the_components():
    two = Mixture(
        np.array([0.9, 0.1]),
        np.array([[0.0, 0.0, 0.0, 0.0], [9.0, -9.0, 0.0, 0.0]]),
        np.zeros(2, dtype=int),
        np.ones(2),
        np.eye(4)[None],
    )
    low, high = np.array([-1.0, 5.0]), np.array([1.0, 12.0])
    observed = given(two, observe(bounded=[1, 0], low=low, high=high)).observed
    np.testing.assert_array_equal(observed.bounded, [0, 1])


@pytest.mark.parametrize("level", [0.0, -2000.0, 2000.0])
def test_candidates_are_chosen_in_proportion_to_their_weight(level, rng):
    weights = np.array([0.1, 0.0, 0.6, 0.3])
    with np.errstate(divide="ignore"):
        log_weight = np.tile(level + np.log(weights), (20_000, 1))
    shares = np.bincount(_choose(log_weight, rng), minlength=4) / 20_000
    np.testing.assert_allclose(shares, weights, atol=4 * 0.5 / np.sqrt(20_000))
    assert shares[1] == 0


@pytest.mark.parametrize("order", [[0, 1], [1, 0]])
def test_intervals_that_correlation_all_but_excludes(rng, order):
    """Drawn first, the likely interval would leave hardly a draw with the unlikely one."""
    shape = np.eye(4) + np.diag([0.95, 0, 0], 1) + np.diag([0.95, 0, 0], -1)
    gaussian = Mixture(
        np.ones(1), np.zeros((1, 4)), np.zeros(1, dtype=int), np.ones(1), shape[np.newaxis]
    )
    low, high = np.array([-1.0, -np.inf]), np.array([np.inf, -1.0])
    observed = observe(bounded=order, low=low[order], high=high[order])
    draws = gaussian.sample(400_000, rng)
    expected = draws[observed.holds(draws)]
    assert len(expected) > 5000
    assert_same_law(given(gaussian, observed).sample(30_000, rng), expected)


@pytest.mark.parametrize("per_sample", [False, True])
def test_a_value_and_an_interval_agree_with_rejection(mixture, rng, per_sample):
    """The value moves both the component and the probability of the interval."""
    n = 30_000
    draws = given(mixture, observe([0], [1.0])).sample(1_000_000, rng)
    values = np.full((n, 1), 1.0) if per_sample else [1.0]
    observed = observe([0], values, [1], [-1.0], [0.0])
    expected = draws[observed.holds(draws)]
    assert len(expected) > 10_000
    samples = given(mixture, observed).sample(n, rng)
    assert observed.holds(samples).all()
    free = [1, 2, 3]
    assert_same_law(samples[:, free], expected[:, free])


def test_a_value_and_two_intervals_agree_with_rejection(mixture, rng):
    draws = given(mixture, observe([1], [0.4])).sample(200_000, rng)
    observed = observe([1], [0.4], [0, 3], [0.0, -1.0], [np.inf, 0.5])
    expected = draws[observed.holds(draws)]
    samples = given(mixture, observed).sample(30_000, rng)
    free = [0, 2, 3]
    assert observed.holds(samples).all()
    assert_same_law(samples[:, free], expected[:, free], simulated=True)


@pytest.mark.parametrize(
    "observed",
    [observe([1], [0.4]), observe(bounded=[1], low=[0.0], high=[1.0])],
    ids=["value", "interval"],
)
def test_components_without_weight_do_not_matter(mixture, observed):
    alone = replace(
        mixture,
        weights_=np.array([0.7, 0.3]),
        **{name: getattr(mixture, name)[:2] for name in ("means_", "state_", "scale_")},
    )
    padded = replace(mixture, weights_=np.array([0.7, 0.3, 0.0]))
    drawn = [given(m, observed).sample(50, np.random.RandomState(0)) for m in (alone, padded)]
    np.testing.assert_array_equal(*drawn)


def test_an_interval_around_everything_changes_nothing(mixture, rng):
    observed = observe(bounded=[2], low=[-np.inf], high=[np.inf])
    assert_same_law(given(mixture, observed).sample(30_000, rng), mixture.sample(60_000, rng))


def test_far_tails_keep_to_the_interval(mixture, rng):
    observed = observe(bounded=[0, 1], low=[40.0, -np.inf], high=[41.0, -30.0])
    samples = given(mixture, observed).sample(200, rng)
    assert np.isfinite(samples).all() and observed.holds(samples).all()


@pytest.mark.parametrize(
    "observed",
    [
        observe(bounded=[0], low=[1e200], high=[np.inf]),
        observe(bounded=[0, 1], low=[1e200, 0], high=[np.inf, 1]),
        observe([0], [1e200]),
    ],
    ids=["interval", "intervals", "value"],
)
def test_an_impossible_observation_is_an_error_without_warnings(mixture, rng, observed):
    with pytest.raises(ValueError, match="no probability under what was fitted"):
        given(mixture, observed).sample(5, rng)


def test_values_per_sample_do_not_mix_with_several_intervals(mixture, rng):
    observed = observe([3], np.zeros((5, 1)), [0, 1], [0, 0], [1, 1])
    with pytest.raises(ValueError, match="values per scenario with more than one interval"):
        given(mixture, observed).sample(5, rng)
