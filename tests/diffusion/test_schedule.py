"""Schedules: the kernel solves the SDE, and the clock is the paper's."""

import math

import pytest
import torch

from sklearn_diffusion.diffusion import (
    CosineSchedule,
    DiscreteSchedule,
    LinearSchedule,
    SubVariancePreserving,
    VarianceExploding,
    VariancePreserving,
)

RATES = [0.5, 1.0, 3.0]
CONTINUOUS = {
    "vp": VariancePreserving(RATES),
    "vp_power": VariancePreserving(RATES, a=0.7, t_max=0.9),
    "sub_vp": SubVariancePreserving(RATES, a=0.3, t_max=0.9),
    "ve": VarianceExploding(RATES, a=50.0),
}
DISCRETE = {"linear": LinearSchedule(200), "cosine": CosineSchedule(500)}
ALL = CONTINUOUS | DISCRETE


def interior(schedule, n=7):
    fractions = torch.linspace(0.05, 0.95, n, dtype=torch.float64)
    return fractions * schedule.t_max


@pytest.mark.parametrize("name", CONTINUOUS)
def test_kernel_solves_the_sde(name):
    schedule = CONTINUOUS[name]
    for t in interior(schedule):
        d_alpha = torch.func.jacrev(schedule.alpha)(t)
        d_variance = torch.func.jacrev(lambda t: schedule.sigma(t) ** 2)(t)
        drift, diffusion = schedule.drift(t), schedule.diffusion(t)
        torch.testing.assert_close(d_alpha, drift * schedule.alpha(t))
        torch.testing.assert_close(d_variance, 2 * drift * schedule.sigma(t) ** 2 + diffusion**2)


@pytest.mark.parametrize("name", DISCRETE)
def test_discrete_kernel_is_the_cumulative_product(name):
    schedule = DISCRETE[name]
    steps = torch.arange(1, schedule.t_max + 1, dtype=torch.float64)
    expected = torch.cumprod(1 - schedule.betas, 0)
    torch.testing.assert_close(schedule.alpha(steps)[:, 0] ** 2, expected)
    torch.testing.assert_close(schedule.sigma(steps)[:, 0] ** 2, 1 - expected)
    torch.testing.assert_close(schedule.alpha_bars, expected)
    # One unit of time removes exactly beta of the signal's variance.
    torch.testing.assert_close(schedule.drift(steps)[:, 0], torch.log(schedule.alphas) / 2)


def test_variances_of_the_time_changed_processes():
    """Paper B, eqs. (44)-(45) and (53): means and variances in tau."""
    t = torch.tensor([0.2, 0.6], dtype=torch.float64)
    vp, sub = VariancePreserving(2.0), SubVariancePreserving(2.0)
    tau = -2.0 * torch.log(1 - t)[:, None]
    torch.testing.assert_close(vp.alpha(t), torch.exp(-tau / 2))
    torch.testing.assert_close(vp.sigma(t) ** 2, 1 - torch.exp(-tau))
    torch.testing.assert_close(sub.sigma(t) ** 2, (1 - torch.exp(-tau)) ** 2)
    torch.testing.assert_close(sub.alpha(t), torch.exp(-tau / 2))


def test_exploding_variance_starts_at_zero():
    """Paper B, eqs. (61), (64), (65) corrected: v(0) is subtracted."""
    schedule = VarianceExploding(0.5, a=100.0)
    t = torch.tensor([0.0, 0.5, 1.0], dtype=torch.float64)
    torch.testing.assert_close(schedule.sigma(t)[:, 0] ** 2, 0.5 * (100.0**t - 1))


def test_euler_paths_reach_the_kernel():
    """A simulated forward process has the mean and the variance of the kernel."""
    schedule = VariancePreserving([0.5, 2.0], a=0.5, t_max=0.9)
    generator = torch.Generator().manual_seed(0)
    n_paths, n_steps = 20_000, 400
    clock = torch.linspace(0, float(schedule.clock(torch.tensor(0.9))), n_steps + 1).double()
    times = schedule.time_at_clock(clock)
    x = torch.full((n_paths, 2), 1.5, dtype=torch.float64)
    for t, length in zip(times[:-1], clock.diff(), strict=True):
        rate = schedule.clock_rate(t)
        noise = torch.randn(x.shape, generator=generator, dtype=torch.float64)
        x = x + schedule.drift(t) / rate * x * length
        x = x + schedule.diffusion(t) * (length / rate).sqrt() * noise
    end = torch.tensor(0.9, dtype=torch.float64)
    error = 4 / math.sqrt(n_paths)
    torch.testing.assert_close(x.mean(0), 1.5 * schedule.alpha(end), atol=error, rtol=0.01)
    torch.testing.assert_close(x.std(0), schedule.sigma(end), atol=error, rtol=0.01)


@pytest.mark.parametrize("name", ALL)
def test_clock_and_log_snr_invert(name):
    schedule = ALL[name]
    t = interior(schedule)
    torch.testing.assert_close(schedule.time_at_clock(schedule.clock(t)), t)
    torch.testing.assert_close(schedule.time_at_log_snr(schedule.log_snr(t).mean(-1)), t)


@pytest.mark.parametrize("spacing", ["clock", "log_snr"])
@pytest.mark.parametrize("name", ALL)
def test_times_decrease_from_end_to_start(name, spacing):
    schedule = ALL[name]
    for t_min in (0.0, 0.3 * schedule.t_max):
        times = schedule.times(9, t_min=t_min, spacing=spacing)
        assert len(times) == 10
        assert times[0] == schedule.t_max and times[-1] == t_min
        assert (times.diff() < 0).all()


@pytest.mark.parametrize("name", ALL)
def test_results_keep_the_dtype_of_the_times(name):
    schedule = ALL[name]
    t = interior(schedule).float()
    for method in (schedule.alpha, schedule.sigma, schedule.drift, schedule.diffusion):
        assert method(t).dtype == torch.float32


def test_terminal_kl_is_the_papers_formula():
    schedule = CosineSchedule(50, beta_max=0.5)
    abar = float(schedule.alpha_bars[-1])
    expected = 4 / 2 * (-math.log(1 - abar) - abar) + abar / 2 * (4 * 1.7)
    assert schedule.terminal_kl(1.7, n_features=4) == pytest.approx(expected)
    assert CosineSchedule(500).terminal_kl(1.0, 81) < 1e-3


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: VariancePreserving(-1.0), "rates b"),
        (lambda: VariancePreserving([1.0, float("nan")]), "rates b"),
        (lambda: VariancePreserving(1.0, a=-0.1), "power a"),
        (lambda: VariancePreserving(1.0, t_max=1.0), "t_max"),
        (lambda: VariancePreserving([1.0, 0.2]), "rate b=0.2 with a=0 is too slow"),
        (lambda: VarianceExploding(1.0, a=1.0), "growth a"),
        (lambda: VarianceExploding(1.0, t_max=0.0), "t_max"),
        (lambda: LinearSchedule(0), "n_steps=0"),
        (lambda: DiscreteSchedule(torch.tensor([0.1, 1.0])), "beta"),
        (lambda: VariancePreserving().times(0), "n_steps"),
        (lambda: VariancePreserving().times(5, t_min=2.0), "t_min"),
        (lambda: VariancePreserving().times(5, spacing="even"), "spacing"),
    ],
)
def test_impossible_parameters_are_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()
