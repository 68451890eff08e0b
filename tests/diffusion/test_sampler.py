"""Samplers: an exact Gaussian denoiser must give back its Gaussian."""

import pytest
import torch

from sklearn_diffusion.diffusion import (
    DDIM,
    DDPM,
    CosineSchedule,
    EulerMaruyama,
    GaussianDenoiser,
    LinearSchedule,
    Multistep,
    SubVariancePreserving,
    VarianceExploding,
    VariancePreserving,
    posterior,
)

MEAN = torch.tensor([0.5, -0.2, 0.0], dtype=torch.float64)
FACTOR = torch.tensor([[1.0, 0, 0], [0.8, 0.5, 0], [-0.3, 0.2, 0.6]], dtype=torch.float64)
COVARIANCE = FACTOR @ FACTOR.T


def source(seed=0):
    generator = torch.Generator().manual_seed(seed)
    return lambda shape: torch.randn(shape, generator=generator, dtype=torch.float64)


def denoiser(schedule):
    return GaussianDenoiser(MEAN, COVARIANCE, schedule)


SCHEDULES = {
    "vp": VariancePreserving(),
    "vp_per_asset": VariancePreserving([0.6, 1.0, 2.0], t_max=0.99999),
    "sub_vp": SubVariancePreserving(),
    "ve": VarianceExploding(0.01, a=1e5),
    "cosine": CosineSchedule(500),
    "linear": LinearSchedule(500),
}
SAMPLERS = {
    "euler": EulerMaruyama(600),
    "ddpm": DDPM(500, spacing="log_snr"),
    "ddim": DDIM(200),
    "ddim_half": DDIM(200, eta=0.5),
    "multistep": Multistep(25),
}


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_gaussian_comes_back(sampler, schedule):
    n = 20_000
    x = SAMPLERS[sampler].sample(denoiser(SCHEDULES[schedule]), (n, 3), source())
    assert x.shape == (n, 3) and x.dtype == torch.float64
    torch.testing.assert_close(x.mean(0), MEAN, atol=0.05, rtol=0)
    torch.testing.assert_close(x.T.cov(), COVARIANCE, atol=0.05, rtol=0)


@pytest.mark.parametrize("sampler", [DDPM(300), Multistep(30)], ids=["ddpm", "multistep"])
def test_stopping_early_leaves_the_noise_of_that_time(sampler):
    """Stopped at tau_0 the covariance is e^-tau_0 S + (1 - e^-tau_0) I (PAPERS, part B)."""
    schedule = VariancePreserving()
    sampler.t_min = 0.3
    x = sampler.sample(denoiser(schedule), (20_000, 3), source())
    sampler.t_min = 0.0
    expected = 0.7 * COVARIANCE + 0.3 * torch.eye(3, dtype=torch.float64)
    torch.testing.assert_close(x.T.cov(), expected, atol=0.05, rtol=0)


def test_multistep_is_of_second_order():
    """Halving the step divides the error by about four; DDIM's by about two."""
    schedule = VariancePreserving()

    def error(sampler):
        runs = [
            sampler(n, t_min=0.05).sample(denoiser(schedule), (200, 3), source())
            for n in (20, 40, 2000)
        ]
        return [float((x - runs[2]).abs().mean()) for x in runs[:2]]

    coarse, fine = error(Multistep)
    assert 3 < coarse / fine < 5
    coarse, fine = error(DDIM)
    assert 1.7 < coarse / fine < 2.4


def test_ddim_with_full_noise_is_ddpm():
    schedule = CosineSchedule(40)
    ddpm = DDPM(40, spacing="clock").sample(denoiser(schedule), (50, 3), source())
    ddim = DDIM(40, eta=1.0, spacing="clock").sample(denoiser(schedule), (50, 3), source())
    torch.testing.assert_close(ddpm, ddim)


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_posterior_is_bayes_rule(schedule):
    """Mean and variance of q(x_s | x_t, x_0), against regression on the two kernels."""
    schedule = SCHEDULES[schedule]
    t, s = (torch.tensor(f * schedule.t_max, dtype=torch.float64) for f in (0.6, 0.35))
    x_0, x_t = MEAN, MEAN + 0.7
    mean, std = posterior(schedule, x_t, x_0, t, s)
    a = schedule.alpha(t) / schedule.alpha(s)
    prior = schedule.sigma(s) ** 2
    gained = schedule.sigma(t) ** 2 - a**2 * prior
    precision = 1 / prior + a**2 / gained
    expected = (schedule.alpha(s) * x_0 / prior + a * x_t / gained) / precision
    torch.testing.assert_close(mean, expected)
    torch.testing.assert_close(std.expand(3), precision.rsqrt().expand(3))


def test_samples_are_reproducible_and_counted():
    done = []
    schedule = CosineSchedule(50)
    draw = [
        Multistep(7).sample(denoiser(schedule), (4, 3), source(3), on_step=done.append)
        for _ in range(2)
    ]
    assert torch.equal(*draw)
    assert done == [*range(1, 8)] * 2


def test_single_precision_stays_single():
    schedule = VariancePreserving()
    model = GaussianDenoiser(MEAN.float(), COVARIANCE.float(), schedule)
    for sampler in (EulerMaruyama(5), DDPM(5), DDIM(5), Multistep(5)):
        assert sampler.sample(model, (4, 3), lambda s: torch.zeros(s)).dtype == torch.float32
