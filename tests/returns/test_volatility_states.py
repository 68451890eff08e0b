"""Volatility states of simulated regimes, and the invariances of their fit."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from scipy.special import softmax

from sklearn_diffusion.returns.kernel_mixture import KernelMixture
from sklearn_diffusion.returns.volatility_states import fit_volatility_states

DEFAULT = KernelMixture()
SETTINGS = {
    "max_states": 6,
    "days_per_state": DEFAULT.days_per_state,
    "dof": 4.0,
    "shape_prior": DEFAULT.shape_prior,
    "spread_prior": DEFAULT.spread_prior,
    "centre_prior": DEFAULT.centre_prior,
    "max_iter": DEFAULT.max_iter,
}


def fit(leading, remainder=None, n_remaining=0, weights=None, **settings):
    n = len(leading)
    remainder = np.zeros(n) if remainder is None else remainder
    weights = np.ones(n) if weights is None else weights
    return fit_volatility_states(leading, remainder, n_remaining, weights, **SETTINGS | settings)


def regimes(rng, n=600, m=5, spread=4.0):
    """Calm and turbulent days, their volatilities `spread` apart, in whitened units."""
    turbulent = np.arange(n) % 3 == 0
    u = rng.standard_normal((n, m)) * np.where(turbulent, spread, 1.0)[:, None]
    return u / u.std(0), turbulent


@pytest.mark.parametrize("n", [2, 30, 99, 250, 2000])
@pytest.mark.parametrize("max_states", [1, 4])
def test_number_of_states(rng, n, max_states):
    states = fit(rng.standard_normal((n, 3)), max_states=max_states)
    n_states = len(states.level)
    assert 1 <= n_states <= max(1, min(max_states, n // 50))
    assert n < 2000 or n_states == max_states
    assert states.shape.shape == (n_states, 3, 3) and states.centre.shape == (n_states, 3)
    assert states.state.shape == states.scale.shape == (n,)
    assert states.state.min() >= 0 and states.state.max() < n_states


@pytest.mark.parametrize("shape", [(2, 1), (2, 25), (40, 25), (300, 1), (300, 10)])
def test_states_are_proper_distributions(rng, shape):
    states = fit(rng.standard_t(4, shape), rng.chisquare(3, shape[0]), 3)
    for matrix in states.shape:
        np.testing.assert_allclose(matrix, matrix.T)
        assert np.linalg.eigvalsh(matrix)[0] > 0
    assert (states.scale > 0).all() and (states.level > 0).all()
    assert np.isfinite(states.centre).all()


def test_two_regimes_are_told_apart(rng):
    u, turbulent = regimes(rng)
    states = fit(u, max_states=2)
    volatile = states.shape.trace(axis1=1, axis2=2).argmax()
    agreement = np.mean((states.state == volatile) == turbulent)
    assert agreement > 0.9


def test_states_have_correlations_of_their_own(rng):
    """Turbulent days move together, calm days do not."""
    n = 900
    turbulent = np.arange(n) % 3 == 0
    common = rng.standard_normal((n, 1))
    u = rng.standard_normal((n, 4))
    u[turbulent] = 4 * (0.9 * common + 0.4 * u)[turbulent]
    states = fit(u / u.std(0), max_states=2)
    scales = np.sqrt(np.diagonal(states.shape, axis1=1, axis2=2))
    correlation = (states.shape / scales[:, :, None] / scales[:, None, :])[:, 0, 1]
    volatile = scales.sum(1).argmax()
    assert correlation[volatile] > 0.6 > 0.3 > abs(correlation[1 - volatile])


def test_the_remaining_directions_set_a_level(rng):
    n, n_remaining = 600, 40
    turbulent = np.arange(n) % 3 == 0
    volatility = np.where(turbulent, 3.0, 1.0)
    remainder = volatility**2 * rng.chisquare(n_remaining, n)
    remainder *= n_remaining / remainder.mean()
    leading = rng.standard_normal((n, 2)) * volatility[:, None]
    states = fit(leading / leading.std(0), remainder, n_remaining, max_states=2)
    volatile = states.level.argmax()
    assert np.mean((states.state == volatile) == turbulent) > 0.98
    assert states.level.max() / states.level.min() == pytest.approx(9, rel=0.35)


def test_an_outlier_has_a_variance_of_its_own(rng):
    u = rng.standard_normal((200, 4))
    u[17] *= 15
    states = fit(u, max_states=1)
    others = np.delete(states.scale, 17)
    assert states.scale[17] > 10 * others.max()
    # and does not widen the state for the others.
    assert np.diagonal(states.shape[0]).max() < 3


def test_scales_follow_from_the_distances(rng):
    """g = (dof + q) / (dof + d) with q the squared distance of the day in its state."""
    u = rng.standard_t(5, (300, 3))
    states = fit(u, dof=7.0)
    deviation = u - states.centre[states.state]
    inverse = np.linalg.inv(states.shape)[states.state]
    distance = np.einsum("ni,nij,nj->n", deviation, inverse, deviation)
    np.testing.assert_allclose(states.scale, (7.0 + distance) / (7.0 + 3), rtol=1e-8)


def test_days_are_in_the_state_most_likely_by_scipys_densities(rng):
    u, _ = regimes(rng, n=400, m=3)
    states = fit(u, max_states=2, max_iter=100)
    log_density = np.column_stack(
        [
            stats.multivariate_t(centre, shape, df=4).logpdf(u)
            for centre, shape in zip(states.centre, states.shape, strict=True)
        ]
    )
    days = np.bincount(states.state)
    for _ in range(100):
        posterior = softmax(np.log(days + 1) + log_density, axis=1)
        days = posterior.sum(0)
    clear = np.abs(posterior[:, 0] - 0.5) > 0.01
    assert clear.mean() > 0.95 and np.unique(states.state).size == 2
    np.testing.assert_array_equal(posterior.argmax(1)[clear], states.state[clear])


def test_states_whose_days_have_no_weight_are_defined(rng):
    u, turbulent = regimes(rng)
    states = fit(u, weights=np.where(turbulent, 0.0, 1.5), max_iter=1)
    for value in vars(states).values():
        assert np.isfinite(value).all()
    assert (states.level > 0).all()


def test_order_of_days_does_not_matter(rng):
    u, order = rng.standard_t(4, (300, 4)), rng.permutation(300)
    weights = rng.uniform(0.5, 1.5, 300)
    weights /= weights.mean()
    plain, permuted = fit(u, weights=weights), fit(u[order], weights=weights[order])
    np.testing.assert_array_equal(permuted.state, plain.state[order])
    np.testing.assert_allclose(permuted.scale, plain.scale[order], rtol=1e-8)
    np.testing.assert_allclose(permuted.shape, plain.shape, rtol=1e-7, atol=1e-10)


def test_sign_of_a_direction_does_not_matter(rng):
    u = rng.standard_t(4, (300, 3)) + 0.1
    sign = np.array([1, -1, 1])
    plain, flipped = fit(u), fit(u * sign)
    np.testing.assert_array_equal(flipped.state, plain.state)
    np.testing.assert_allclose(flipped.centre, plain.centre * sign, atol=1e-10)
    np.testing.assert_allclose(flipped.shape, plain.shape * np.outer(sign, sign), atol=1e-10)


def test_weights_decide_the_shape(rng):
    """Days of little weight leave hardly a trace in a single state."""
    u = rng.standard_normal((400, 2))
    u[:200] *= 3
    weights = np.where(np.arange(400) < 200, 1e-6, 2.0)
    recent = fit(u, weights=weights, max_states=1).shape[0]
    equal = fit(u, max_states=1).shape[0]
    assert recent.trace() < 0.5 * equal.trace()


def test_directions_in_which_no_day_moves(rng):
    """A market that stood still but for a day, in days that are not centred."""
    leading = np.zeros((120, 3))
    leading[50, 0] = 10.0
    states = fit(leading, n_remaining=2)
    for value in vars(states).values():
        assert np.isfinite(value).all()
    assert all(np.linalg.eigvalsh(shape)[0] > 0 for shape in states.shape)
