"""Samplers: an exact Gaussian denoiser must give back its Gaussian."""

import math
import pickle
import warnings

import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from sklearn_diffusion.diffusion import (
    DDIM,
    DDPM,
    CosineSchedule,
    EulerMaruyama,
    GaussianDenoiser,
    Heun,
    LinearSchedule,
    Multistep,
    Sampler,
    Schedule,
    StraightLine,
    SubVariancePreserving,
    VarianceExploding,
    VariancePreserving,
    posterior,
)
from sklearn_diffusion.diffusion.sampler import Denoise

pytestmark = pytest.mark.filterwarnings("ignore:n_steps=.* are too few")

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
    "straight": StraightLine(),
}
SAMPLERS = {
    "euler": EulerMaruyama(600),
    "ddpm": DDPM(500, spacing="log_snr"),
    "ddim": DDIM(200),
    "ddim_half": DDIM(200, eta=0.5),
    "multistep": Multistep(25),
    "heun": Heun(40),
}
REFUSED = {("euler", "straight"), ("heun", "vp_per_asset")}


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_gaussian_comes_back(sampler, schedule):
    if (sampler, schedule) in REFUSED:
        pytest.skip("refused, as the tests below show")
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
    coarse, fine = error(Heun)
    assert 3 < coarse / fine < 5


def test_heun_walks_karras_grid():
    """Even in sigma^(1/rho) from sigma_max to sigma_min, and a last step to no noise."""
    schedule = VariancePreserving(t_max=0.99995)
    times = Heun(10, rho=7.0, sigma_min=0.002, sigma_max=50.0).times(schedule)
    sigma = (-schedule.log_snr(times[:-1])[:, 0] / 2).exp()
    expected = torch.linspace(50.0 ** (1 / 7), 0.002 ** (1 / 7), 10, dtype=torch.float64) ** 7
    torch.testing.assert_close(sigma, expected, rtol=1e-5, atol=0)
    assert times[-1] == 0 and len(times) == 11


@pytest.mark.parametrize("schedule", ["vp", "cosine", "straight"])
def test_heuns_grid_stops_where_it_is_told(schedule):
    t_min = 0.3 * SCHEDULES[schedule].t_max
    times = Heun(8, t_min=t_min).times(SCHEDULES[schedule])
    assert len(times) == 9 and times[-1] == t_min and (times.diff() < 0).all()


@pytest.mark.parametrize(
    ("sampler", "schedule", "message"),
    [
        (Heun(), "vp_per_asset", "Heun walks one noise level for all"),
        (Heun(t_min=2.0), "vp", "t_min must be below t_max"),
        (EulerMaruyama(), "straight", "singular at its first time, t=1"),
        (Multistep(0), "vp", "'n_steps' parameter of Multistep"),
        (DDPM(5, clip_denoised=-1.0), "vp", "'clip_denoised' parameter of DDPM"),
        (DDIM(5, eta=2.0), "vp", "'eta' parameter of DDIM"),
        (DDIM(5, spacing="even"), "vp", "'spacing' parameter of DDIM"),
    ],
    ids=str,
)
def test_what_cannot_be_walked_is_refused(sampler, schedule, message):
    with pytest.raises(ValueError, match=message):
        sampler.sample(denoiser(SCHEDULES[schedule]), (2, 3), source())


class OneCoordinateLost(Schedule):
    """The second of two coordinates has no signal left at the last time."""

    t_max = 1.0

    def alpha(self, t):
        return torch.stack([1 - t / 2, 1 - t], dim=-1)

    def sigma(self, t):
        return torch.stack([t, t], dim=-1)


def test_heun_refuses_two_rates():
    with pytest.raises(ValueError, match="Heun walks one noise level for all"):
        Heun().times(VariancePreserving([1.0, 2.0]))


def test_one_coordinate_without_signal_is_enough_to_refuse():
    with pytest.raises(ValueError, match="singular at its first time, t=1"):
        EulerMaruyama(20).times(OneCoordinateLost())


@pytest.mark.parametrize("name", SAMPLERS)
def test_estimates_are_clipped_on_request(name):
    """No estimate of the data leaves the bound, so neither do deterministic samples."""
    seen = []

    class Watched(GaussianDenoiser):
        def forward(self, x_t, t, condition=None):
            seen.append(t)
            return super().forward(x_t, t, condition)

    sampler = clone(SAMPLERS[name]).set_params(n_steps=20, clip_denoised=0.5)
    watched = Watched(MEAN, COVARIANCE, CosineSchedule(100))
    x = sampler.sample(watched, (500, 3), source())
    assert len(seen) >= 20
    loose = clone(sampler).set_params(clip_denoised=50.0)
    assert x.abs().max() < loose.sample(watched, (500, 3), source()).abs().max()
    if name in {"ddpm", "ddim", "multistep", "heun"}:
        assert x.abs().max() <= 0.5 * (1 + 1e-9)


def test_clipped_estimates_keep_their_sign():
    plain, t = denoiser(CosineSchedule(100)), torch.tensor(30.0, dtype=torch.float64)
    x_t = torch.linspace(-4, 4, 9, dtype=torch.float64)[:, None] * torch.ones(3)
    estimate = plain(x_t, t)
    inside = estimate.abs() < 0.5
    assert inside.any() and (estimate > 0.5).any() and (estimate < -0.5).any()
    expected = torch.where(inside, estimate, 0.5 * estimate.sign())
    torch.testing.assert_close(Denoise(plain, None, 0.5)(x_t, t), expected)


class PredictorCorrector(Sampler):
    """Somebody else's: DDIM, then Langevin at the new noise; it counts its steps in memory."""

    def step(self, denoise, x_t, t, s, noise, memory):
        schedule, done = denoise.schedule, memory or 0
        x_0 = denoise(x_t, t)
        epsilon = (x_t - schedule.alpha(t) * x_0) / schedule.sigma(t)
        x_s = schedule.alpha(s) * x_0 + schedule.sigma(s) * epsilon
        if s > 0:
            length = 0.1 * schedule.sigma(s) ** 2
            x_s = x_s + length * denoise.score(x_s, s) + (2 * length).sqrt() * noise(x_s.shape)
        self.done_ = done + 1
        return x_s, done + 1


def test_a_strangers_sampler_may_evaluate_twice_and_remember():
    sampler = PredictorCorrector(300, spacing="log_snr")
    x = sampler.sample(denoiser(VariancePreserving()), (20_000, 3), source())
    assert sampler.done_ == 300
    torch.testing.assert_close(x.T.cov(), COVARIANCE, atol=0.06, rtol=0)


def test_a_strangers_sampler_may_take_one_step():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        x = PredictorCorrector(1).sample(denoiser(CosineSchedule(50)), (4, 3), source())
    assert x.isfinite().all()


class Start(Sampler):
    """Goes nowhere: its samples are what the walk starts from."""

    def __init__(self, n_steps=1, first=1.0):
        super().__init__(n_steps)
        self.first = first

    def times(self, schedule):
        return torch.tensor([self.first, 0.0], dtype=torch.float64)

    def step(self, denoise, x_t, t, s, noise, memory):
        return x_t, None


def test_walks_start_from_the_prior_or_from_data_and_noise():
    """The prior of an exploding variance is its noise; earlier starts add unit data to it."""
    schedule, draw = VarianceExploding(0.5, a=10.0), source(1)((4, 3))
    x = Start().sample(denoiser(schedule), (4, 3), source(1))
    torch.testing.assert_close(x, math.sqrt(0.5 * 9) * draw)
    x = Start(first=0.5).sample(denoiser(schedule), (4, 3), source(1))
    torch.testing.assert_close(x, math.sqrt(1 + 0.5 * (math.sqrt(10) - 1)) * draw)


@pytest.mark.parametrize("name", SAMPLERS)
def test_samplers_carry_their_parameters(name):
    sampler = SAMPLERS[name]
    copy = pickle.loads(pickle.dumps(clone(sampler)))
    assert copy.get_params() == sampler.get_params()
    assert type(sampler).__name__ in repr(sampler)
    assert clone(sampler).set_params(n_steps=3).times(CosineSchedule(50)).shape == (4,)


@pytest.mark.parametrize("name", SAMPLERS)
def test_samplers_take_every_parameter(name):
    given = {
        "n_steps": 7, "t_min": 0.2, "spacing": "clock", "clip_denoised": 3.0, "eta": 0.4,
        "rho": 5.0, "sigma_min": 0.1, "sigma_max": 9.0,
    }  # fmt: skip
    cls = type(SAMPLERS[name])
    given = {key: given[key] for key in cls().get_params()}
    assert cls(**given).get_params() == given
    assert cls(**given).times(VariancePreserving())[-1] == 0.2


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


@pytest.mark.parametrize("name", ["euler", "ddpm", "ddim", "multistep", "heun"])
def test_too_few_steps_are_told(name):
    """From the fewest on, unit variance comes back to a tenth of a standard deviation."""
    fewest = type(SAMPLERS[name]).fewest_steps
    model = GaussianDenoiser(torch.zeros(1).double(), torch.eye(1).double(), CosineSchedule(500))

    def spread(n_steps):
        return float(type(SAMPLERS[name])(n_steps).sample(model, (20_000, 1), source()).std())

    with pytest.warns(ConvergenceWarning, match=f"n_steps={fewest // 2} .* below {fewest}"):
        assert abs(spread(fewest // 2) - 1) > 0.1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert abs(spread(fewest) - 1) < 0.13


def test_multistep_tells_of_as_few_steps_as_lose_a_tenth_of_the_spread():
    model = GaussianDenoiser(torch.zeros(1).double(), torch.eye(1).double(), CosineSchedule(500))
    counts = range(2, 12)
    spread = [float(Multistep(n).sample(model, (5000, 1), source()).std()) for n in counts]
    lost = [n for n, value in zip(counts, spread, strict=True) if abs(value - 1) > 0.1]
    assert lost == [*range(2, Multistep.fewest_steps)]


def test_single_precision_stays_single():
    schedule = VariancePreserving()
    model = GaussianDenoiser(MEAN.float(), COVARIANCE.float(), schedule)
    for sampler in (EulerMaruyama(5), DDPM(5), DDIM(5), Multistep(5), Heun(5)):
        assert sampler.sample(model, (4, 3), lambda s: torch.zeros(s)).dtype == torch.float32
