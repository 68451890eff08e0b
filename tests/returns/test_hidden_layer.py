"""The score model of paper B: its score on Gaussian data, its samples, its failures."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning

from sklearn_diffusion.diffusion import (
    EulerMaruyama,
    GaussianDenoiser,
    SubVariancePreserving,
    VarianceExploding,
    VariancePreserving,
)
from sklearn_diffusion.returns import HiddenLayer
from sklearn_diffusion.returns.sampled_distribution import SampledDistribution
from sklearn_diffusion.returns.score_model import FitSettings

SMALL = {
    "n_units": 12,
    "n_hermite": 8,
    "n_time_nodes": 10,
    "sampler": EulerMaruyama(120),
    "n_synthetic": 100,
}


def days(n=400, d=3, seed=0):
    rng = np.random.RandomState(seed)
    z = rng.standard_normal((n, d)) @ np.array([[1, 0.6, 0.3], [0, 0.8, 0.2], [0, 0, 0.9]])
    z -= z.mean(0)
    return z / z.std(0)


def fit(z=None, seed=0, weights=None, **settings):
    """Denoiser and training losses."""
    z = days() if z is None else z
    weights = np.full(len(z), 1 / len(z)) if weights is None else weights
    model = HiddenLayer(**SMALL | settings)
    return model._train(
        torch.from_numpy(z),
        torch.from_numpy(weights),
        model._make_schedule(z.shape[1]),
        np.random.RandomState(seed),
        FitSettings(),
    )


def distribution(*args, batch_size=10_000, **settings):
    """Distribution of standardised days, sampled by the model's reverse process."""
    denoiser, _ = fit(*args, **settings)
    settings = {name: value for name, value in settings.items() if name not in ("seed", "weights")}
    sampler = HiddenLayer(**SMALL | settings)._make_sampler()
    return SampledDistribution(denoiser, sampler, n_features=3, batch_size=batch_size)


@pytest.mark.parametrize("activation", ["tanh", "cos"])
def test_score_of_gaussian_days_is_nearly_linear(activation):
    z = days(3000)
    denoiser, _ = fit(z, activation=activation)
    exact = GaussianDenoiser(
        torch.zeros(3, dtype=torch.float64), torch.from_numpy(np.cov(z.T)), denoiser.schedule
    )
    x = torch.from_numpy(days(500, seed=1))
    with torch.no_grad():
        for t in (0.1, 0.4, 0.8):
            t = torch.tensor(t, dtype=torch.float64)
            score, expected = denoiser.score(x, t), exact.score(x, t)
            error = (score - expected).square().mean() / expected.square().mean()
            assert float(error) < 0.02


@pytest.mark.parametrize(
    "schedule",
    [
        VariancePreserving(t_max=0.9999),
        VariancePreserving([0.7, 1.0, 1.5], t_max=0.9999),
        SubVariancePreserving(t_max=0.9999),
        VarianceExploding(0.01, a=1e5),
    ],
    ids=["vp", "vp_per_asset", "sub_vp", "ve"],
)
def test_samples_have_the_moments_of_the_days(schedule):
    z = days()
    samples = distribution(z, schedule=schedule).sample(20_000, np.random.RandomState(1))
    assert samples.shape == (20_000, 3)
    np.testing.assert_allclose(samples.mean(0), 0, atol=0.08)
    np.testing.assert_allclose(np.cov(samples.T), np.cov(z.T), atol=0.12)


def test_weights_decide_which_days_are_learnt():
    calm, stormy = days(200), 3 * days(200, seed=5) * np.array([1, -1, 1])
    z = np.concatenate([calm, stormy])
    weights = np.concatenate([np.zeros(200), np.full(200, 1 / 200)])
    covariance = np.cov(
        distribution(z / 3, weights=weights).sample(8000, np.random.RandomState(0)).T
    )
    np.testing.assert_allclose(covariance, np.cov(stormy.T) / 9, atol=0.15)


def test_the_random_state_decides_everything():
    first, same, other = (
        distribution(seed=seed).sample(50, np.random.RandomState(seed)) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(first, same)
    assert (first != other).all()


def test_batches_are_of_bounded_size(monkeypatch):
    drawn = distribution(batch_size=10)
    sizes = []
    forward = drawn.denoiser.forward
    monkeypatch.setattr(
        drawn.denoiser, "forward", lambda x, *rest: sizes.append(len(x)) or forward(x, *rest)
    )
    samples = drawn.sample(25, np.random.RandomState(0))
    assert samples.shape == (25, 3)
    assert set(sizes) == {10, 5} and len(sizes) == 3 * 120


def test_iterations_lower_the_loss():
    curve = fit(max_iter=8, n_units=6)[1]
    assert len(curve) > 2 and curve[-1] < curve[0]
    assert (np.diff(curve) <= 1e-9 * abs(curve[0])).all()
    assert len(fit(max_iter=0)[1]) == 1


@pytest.mark.parametrize("time_conditioned", [True, False])
def test_stochastic_training_approaches_quadrature(time_conditioned):
    """Its curve falls towards the loss that the closed form reaches at once."""
    settings = {"n_units": 6, "n_time_nodes": 6, "time_conditioned": time_conditioned}
    schedule = VariancePreserving(t_max=0.9)
    best = fit(schedule=schedule, **settings)[1][-1]
    curve = fit(schedule=schedule, objective="monte_carlo", max_iter=150, **settings)[1]
    assert len(curve) == 150
    start, end = np.mean(curve[:3]), np.mean(curve[-30:])
    assert abs(end - best) < 0.4 * (start - best)


def test_eq_71_as_printed_explodes_near_the_singular_end():
    printed = distribution(time_conditioned=False)
    network = printed.denoiser.network
    assert len(network.nodes) == 1 and not network.skip
    with pytest.warns(ConvergenceWarning, match="does not restore large values"):
        printed.sample(2000, np.random.RandomState(0))


def test_eq_71_as_printed_is_sound_at_moderate_noise():
    """Stopped well before t = 1, its samples keep the sign and the order of the covariance."""
    z = days()
    schedule = VariancePreserving(t_max=0.5)
    printed = distribution(z, time_conditioned=False, schedule=schedule, n_units=40)
    samples = printed.sample(8000, np.random.RandomState(0))
    drawn, real = np.corrcoef(samples.T), np.corrcoef(z.T)
    above = np.triu_indices(3, 1)
    assert (drawn[above] * real[above] > 0).all()
    assert drawn[above].argmax() == real[above].argmax()


def test_divergence_is_an_error():
    diverging = distribution()
    with torch.no_grad():
        diverging.denoiser.network.output.mul_(-1e200)
    with pytest.raises(FloatingPointError, match="time_conditioned=True"):
        diverging.sample(10, np.random.RandomState(0))
