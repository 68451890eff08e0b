"""The mixture of kernels: its closed forms against its samples and the core's samplers."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

from sklearn_diffusion.datasets import make_factor_returns
from sklearn_diffusion.diffusion import DDPM, Multistep, VariancePreserving
from sklearn_diffusion.returns.kernel_mixture import KernelMixture, _systematic
from sklearn_diffusion.utils.weights import recency_weights

SHAPES = [(2, 3), (25, 60), (120, 1), (150, 3), (150, 40)]


def fit(n=150, d=3, half_life=None, covariance=None, seed=0):
    returns = make_factor_returns(n, d, df=4.0, random_state=seed).returns
    z = returns - returns.mean(0)
    z /= z.std(0)
    if covariance is None:
        covariance = 0.8 * np.corrcoef(z.T).reshape(d, d) + 0.2 * np.eye(d)
    return KernelMixture().fit(z, recency_weights(n, half_life), covariance)


def moments(mixture):
    """Mean and covariance of the mixture, term by term."""
    mean = mixture.weights_ @ mixture.means_
    between = (mixture.means_ - mean).T @ (mixture.weights_[:, None] * (mixture.means_ - mean))
    mass = np.bincount(
        mixture.state_, mixture.weights_ * mixture.scale_, minlength=len(mixture.roots_)
    )
    return mean, between + np.einsum("k,kij->ij", mass, mixture.shapes())


def log_density(mixture, x, alpha=1.0, sigma=0.0):
    """Log density of ``alpha z + sigma noise``, component by component."""
    terms = [
        np.log(w)
        + multivariate_normal(
            alpha * mean, alpha**2 * g * mixture.shapes()[k] + sigma**2 * np.eye(len(mean))
        ).logpdf(x)
        for w, mean, g, k in zip(
            mixture.weights_, mixture.means_, mixture.scale_, mixture.state_, strict=True
        )
    ]
    return logsumexp(terms, axis=0)


@pytest.mark.parametrize("half_life", [None, 20.0])
@pytest.mark.parametrize("shape", SHAPES)
def test_has_exactly_the_given_covariance(shape, half_life, rng):
    d = shape[1]
    factor = rng.standard_normal((d, 2 * d))
    covariance = factor @ factor.T / (2 * d)
    mixture = fit(*shape, half_life=half_life, covariance=covariance)
    mean, drawn = moments(mixture)
    np.testing.assert_allclose(mean, 0, atol=1e-10)
    np.testing.assert_allclose(drawn, covariance, rtol=1e-8, atol=1e-10)
    assert mixture.covariance_ is covariance
    for shape_of_state in mixture.shapes():
        assert np.linalg.eigvalsh(shape_of_state)[0] > 0
    assert (mixture.scale_ > 0).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_samples_have_the_moments_of_the_mixture(shape, rng):
    n = 60_000
    mixture = fit(*shape, half_life=100.0)
    z = mixture.sample(n, rng)
    assert z.shape == (n, shape[1])
    mean, covariance = moments(mixture)
    scale = np.sqrt(covariance.diagonal())
    assert (np.abs(z.mean(0) - mean) < 5 * scale / np.sqrt(n)).all()
    fourth = (z**2).T @ z**2 / n
    error = np.sqrt((fourth - covariance**2) / n)
    assert (np.abs(np.cov(z.T).reshape(covariance.shape) - covariance) < 6 * error).all()


def test_samples_keep_heavy_tails(rng):
    mixture = fit(n=1000)
    z = mixture.sample(60_000, rng)
    kurtosis = (z**4).mean(0) / (z**2).mean(0) ** 2
    # By the formula of a Gaussian mixture, and far from 3.
    variance = (
        mixture.scale_[:, None] * np.diagonal(mixture.shapes(), axis1=1, axis2=2)[mixture.state_]
    )
    mean = mixture.means_
    fourth = mixture.weights_ @ (mean**4 + 6 * mean**2 * variance + 3 * variance**2)
    expected = fourth / mixture.covariance_.diagonal() ** 2
    error = (z**4).std(0) / np.sqrt(len(z)) / mixture.covariance_.diagonal() ** 2
    assert (np.abs(kurtosis - expected) < 5 * error).all()
    assert expected.min() > 4


SAMPLERS = {"multistep": Multistep(30, t_min=1e-4), "ddpm": DDPM(250, spacing="log_snr")}


@pytest.mark.parametrize("name", ["multistep", pytest.param("ddpm", marks=pytest.mark.slow)])
def test_the_reverse_process_gives_the_exact_distribution(name, rng):
    """Walked from noise by the denoiser, the samples are those of `sample`."""
    mixture, n = fit(n=30), 6000
    generator = torch.Generator().manual_seed(0)
    walked = (
        SAMPLERS[name]
        .sample(
            mixture.to_denoiser(VariancePreserving(t_max=0.9999)),
            (n, 3),
            lambda shape: torch.randn(shape, generator=generator, dtype=torch.float64),
        )
        .numpy()
    )
    exact = mixture.sample(10 * n, rng)
    assert (np.abs(walked.mean(0)) < 5 / np.sqrt(n)).all()
    np.testing.assert_allclose(np.cov(walked.T), mixture.covariance_, atol=0.1)
    levels = [0.002, 0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99, 0.998]
    for portfolio in (*np.eye(3), np.ones(3), np.array([1, -2, 1])):
        a, b = walked @ portfolio, exact @ portfolio
        kurtosis = [(x**4).mean() / (x**2).mean() ** 2 for x in (a, b)]
        assert kurtosis[0] == pytest.approx(kurtosis[1], rel=0.2)
        below = (a[:, None] < np.quantile(b, levels)).mean(0)
        error = np.sqrt(np.array(levels) * (1 - np.array(levels)) / n)
        assert (np.abs(below - levels) < 6 * error).all()


@pytest.mark.parametrize("t", [0.01, 0.3, 0.9])
def test_score_is_the_gradient_of_the_density(t, rng):
    mixture = fit(n=60, half_life=30.0)
    schedule = VariancePreserving()
    denoiser = mixture.to_denoiser(schedule)
    time = torch.tensor(t, dtype=torch.float64)
    alpha, sigma = float(schedule.alpha(time)), float(schedule.sigma(time))
    x = 1.5 * rng.standard_normal((8, 3))
    score = denoiser.score(torch.from_numpy(x), time).numpy()

    weights, means = torch.from_numpy(mixture.weights_), alpha * torch.from_numpy(mixture.means_)
    covariances = alpha**2 * mixture.scale_[:, None, None] * mixture.shapes()[mixture.state_]
    noisy = torch.distributions.MultivariateNormal(
        means, torch.from_numpy(covariances + sigma**2 * np.eye(3))
    )
    at = torch.from_numpy(x).requires_grad_()
    density = torch.logsumexp(weights.log() + noisy.log_prob(at[:, None]), dim=1)
    (gradient,) = torch.autograd.grad(density.sum(), at)
    np.testing.assert_allclose(score, gradient.numpy(), rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(density.detach(), log_density(mixture, x, alpha, sigma), rtol=1e-10)


def test_density_integrates_to_one(rng):
    mixture = fit(n=60)
    proposal = multivariate_normal(np.zeros(3), 2 * mixture.covariance_)
    x = proposal.rvs(40_000, random_state=rng)
    ratio = np.exp(log_density(mixture, x) - proposal.logpdf(x))
    assert ratio.mean() == pytest.approx(1, abs=5 * ratio.std() / np.sqrt(len(x)))


@pytest.mark.parametrize("variance", [0.3, 2.0])
@pytest.mark.parametrize(("noise", "spread"), [(1.3, 0.25), (0.2, 1.5), (5.0, 0.0)])
def test_noise_per_unit_of_signal(noise, spread, variance, rng):
    """It is noise / variance + spread: the state of the days, which it multiplies, cancels."""
    z, weights = rng.standard_t(5, (200, 1)), recency_weights(200, 90.0)

    def ratio(**settings):
        model = KernelMixture(max_states=1, centre_prior=1e12, **settings)
        mixture = model.fit(z, weights, np.array([[variance]]))
        return mixture.roots_[0, 0, 0] ** 2 / (weights @ mixture.means_[:, 0] ** 2)

    unit = ratio(noise=1.0, spread=0.0) * variance
    assert ratio(noise=noise, spread=spread) / unit == pytest.approx(noise / variance + spread)


@pytest.mark.parametrize("min_filling", [0.05, 0.9])
def test_noise_beyond_the_leading_directions(min_filling, rng):
    """It fills up to unit variance; scales are (dof + q) / (dof + d), q over all directions."""
    n, d, m = 300, 6, 2
    covariance = np.diag([4.0, 3.0, 0.5, 0.3, 0.2, 0.1])
    z, weights = rng.standard_t(6, (n, d)) * np.sqrt(covariance.diagonal()), np.full(n, 1 / n)
    z[:, 3] /= 2  # a direction that moves less than the covariance says
    mixture = KernelMixture(
        max_states=1, n_leading=m, centre_prior=1e12, min_filling=min_filling
    ).fit(z, weights, covariance)
    variances = covariance.diagonal()
    u = z / np.sqrt(variances)
    memory = variances / (variances + mixture.noise + mixture.spread * variances)
    moved = np.sqrt(memory) * u
    moved -= moved.mean(0)
    recolour = np.linalg.lstsq(moved, mixture.means_)[0].T
    np.testing.assert_allclose(moved @ recolour.T, mixture.means_, atol=1e-9)
    root = np.linalg.solve(recolour, mixture.roots_[0]) / np.sqrt(1 - memory)[:, None]
    shape = root @ root.T
    lacking = np.maximum(1 - memory * (u**2).mean(0), min_filling) / (1 - memory)
    rest = shape[m:, m:] / lacking[m:]
    np.testing.assert_allclose(rest, rest[0, 0] * np.eye(d - m), atol=1e-8)
    distance = np.einsum("ni,ij,nj->n", u, np.linalg.inv(shape), u)
    np.testing.assert_allclose(
        mixture.scale_, (mixture.dof + distance) / (mixture.dof + d), rtol=1e-5
    )


def test_samples_are_not_the_training_days(rng):
    """Every day moves by noise of the size of its state."""
    returns = make_factor_returns(300, 10, random_state=0).returns
    z = (returns - returns.mean(0)) / returns.std(0)
    mixture = KernelMixture().fit(z, recency_weights(300, None), np.corrcoef(z.T))
    samples = mixture.sample(300, rng)

    def nearest(x):
        distance = np.linalg.norm(x[:, None] - z, axis=2)
        distance[distance == 0] = np.inf
        return np.median(distance.min(1))

    assert nearest(samples) > 0.8 * nearest(z)


def test_days_without_weight_are_not_drawn(rng):
    weights = np.array([0.0, 0.25, 0.0, 0.75, 0.0])
    days = _systematic(weights, 1000, rng)
    np.testing.assert_array_equal(np.bincount(days, minlength=5), [0, 250, 0, 750, 0])


def test_rounding_of_the_weights_names_no_day_beyond_the_last():
    class LastMoment(np.random.RandomState):
        def random_sample(self, size=None):
            return np.nextafter(1.0, 0.0)

    # Added one after the other they come to less than their sum.
    weights = np.random.RandomState(3).dirichlet(np.ones(1000))
    assert weights.cumsum()[-1] < np.nextafter(1.0, 0.0) * weights.sum()
    assert _systematic(weights, 1, LastMoment(0)) == [999]


def test_days_appear_in_proportion_to_their_weight_to_within_one(rng):
    weights = rng.dirichlet(np.ones(50))
    for n in (7, 50, 1234):
        counts = np.bincount(_systematic(weights, n, rng), minlength=50)
        assert counts.sum() == n
        assert (np.abs(counts - n * weights) < 1 + 1e-9).all()


def test_days_are_drawn_in_random_order(rng):
    days = _systematic(np.full(100, 0.01), 1000, rng)
    assert abs(np.corrcoef(days, np.arange(1000))[0, 1]) < 0.15


def test_calm_and_turbulent_days_keep_their_noise(rng):
    """The noise of a day is that of its own volatility."""
    n = 600
    volatility = np.where(np.arange(n) % 3 == 0, 3.0, 1.0)
    z = rng.standard_normal((n, 6)) * volatility[:, None]
    z /= z.std(0)
    mixture = KernelMixture().fit(z, recency_weights(n, None), np.eye(6))
    noise = mixture.scale_ * mixture.shapes().trace(axis1=1, axis2=2)[mixture.state_]
    assert np.median(noise[volatility == 3]) > 3 * np.median(noise[volatility == 1])


def test_fit_and_sample_do_not_change_their_inputs(rng):
    z, weights, covariance = rng.standard_normal((80, 4)), recency_weights(80, 20.0), np.eye(4)
    copies = [x.copy() for x in (z, weights, covariance)]
    KernelMixture().fit(z, weights, covariance).sample(10, rng)
    for value, copy in zip((z, weights, covariance), copies, strict=True):
        np.testing.assert_array_equal(value, copy)
