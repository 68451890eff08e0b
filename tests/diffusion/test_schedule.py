"""Schedules: the kernel solves the SDE, and the clock is the paper's."""

import math
import pickle
from copy import deepcopy

import pytest
import torch
from sklearn.base import clone

from sklearn_diffusion.diffusion import (
    CosineSchedule,
    DiscreteSchedule,
    GaussianDenoiser,
    LinearSchedule,
    Multistep,
    Schedule,
    StraightLine,
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
ALL = CONTINUOUS | DISCRETE | {"straight": StraightLine()}


class StrangersCosine(Schedule):
    """Somebody else's: alpha and sigma are all there is."""

    t_max = 0.999

    def alpha(self, t):
        return torch.cos(math.pi / 2 * t)[..., None]

    def sigma(self, t):
        return torch.sin(math.pi / 2 * t)[..., None]


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


def test_linear_rates_are_ho_jain_and_abbeels():
    betas = LinearSchedule(1000).betas
    torch.testing.assert_close(betas, torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64))
    few = LinearSchedule(10).betas
    torch.testing.assert_close(few, torch.linspace(0.01, 0.999, 10, dtype=torch.float64))
    given = LinearSchedule(3, beta_min=0.1, beta_max=0.5).betas
    torch.testing.assert_close(given, torch.tensor([0.1, 0.3, 0.5], dtype=torch.float64))
    assert LinearSchedule(1).betas.tolist() == [0.1]


def test_cosine_rates_are_nichol_and_dhariwals():
    def h(t):
        return math.cos(math.pi / 2 * (t / 40 + 0.008) / 1.008) ** 2

    schedule = CosineSchedule(40)
    expected = torch.tensor([h(t) / h(0) for t in range(1, 40)], dtype=torch.float64)
    torch.testing.assert_close(schedule.alpha_bars[:-1], expected)
    assert schedule.betas[-1] == 0.999
    assert CosineSchedule(1).betas.tolist() == [0.999]


def test_between_steps_the_logarithm_is_interpolated():
    schedule = DiscreteSchedule(torch.tensor([0.1, 0.5, 0.2]))
    t = torch.tensor([0.0, 0.25, 1.0, 1.5, 2.75], dtype=torch.float64)
    expected = torch.tensor(
        [1, 0.9**0.25, 0.9, 0.9 * 0.5**0.5, 0.45 * 0.8**0.75], dtype=torch.float64
    )
    torch.testing.assert_close(schedule.alpha(t)[:, 0] ** 2, expected)
    torch.testing.assert_close(schedule.sigma(t)[:, 0] ** 2, 1 - expected)
    rates = torch.tensor([0.9, 0.9, 0.9, 0.5, 0.8], dtype=torch.float64).log()
    torch.testing.assert_close(schedule.drift(t)[:, 0], rates / 2)
    torch.testing.assert_close(schedule.diffusion(t)[:, 0] ** 2, -rates)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_what_is_derived_equals_the_closed_forms(name):
    schedule, t = CONTINUOUS[name], interior(CONTINUOUS[name])
    torch.testing.assert_close(
        Schedule.drift(schedule, t), schedule.drift(t), rtol=1e-12, atol=1e-12
    )
    torch.testing.assert_close(
        Schedule.diffusion(schedule, t), schedule.diffusion(t), rtol=1e-12, atol=1e-12
    )


def test_a_strangers_schedule_is_alpha_and_sigma():
    schedule = StrangersCosine()
    t = interior(schedule)
    rate = math.pi / 2
    torch.testing.assert_close(schedule.drift(t)[:, 0], -rate * torch.tan(rate * t))
    torch.testing.assert_close(schedule.diffusion(t)[:, 0] ** 2, 2 * rate * torch.tan(rate * t))
    torch.testing.assert_close(schedule.prior_variance, torch.ones(1, dtype=torch.float64))
    torch.testing.assert_close(schedule.time_at_log_snr(schedule.log_snr(t)[:, 0]), t)
    covariance = torch.tensor([[1.0, 0.6], [0.6, 0.8]], dtype=torch.float64)
    generator = torch.Generator().manual_seed(0)
    x = Multistep(80).sample(
        GaussianDenoiser(torch.zeros(2).double(), covariance, schedule),
        (20_000, 2),
        lambda shape: torch.randn(shape, generator=generator, dtype=torch.float64),
    )
    torch.testing.assert_close(x.T.cov(), covariance, atol=0.03, rtol=0)


@pytest.mark.parametrize("name", ALL)
def test_schedules_carry_their_parameters(name):
    schedule = ALL[name]
    t = interior(schedule)
    for copy in (clone(schedule), pickle.loads(pickle.dumps(schedule)), deepcopy(schedule)):
        torch.testing.assert_close(copy.alpha(t), schedule.alpha(t), rtol=0, atol=0)
        assert repr(copy) == repr(schedule)


def test_what_is_computed_follows_the_parameters():
    t = torch.tensor([3.0, 20.0], dtype=torch.float64)
    cosine = CosineSchedule(50)
    cosine.alpha(t)
    torch.testing.assert_close(
        cosine.set_params(n_steps=80).alpha(t), CosineSchedule(80).alpha(t), rtol=0, atol=0
    )
    assert cosine.t_max == 80
    given = DiscreteSchedule(torch.full((10,), 0.1))
    given.alpha(t)
    torch.testing.assert_close(
        given.set_params(betas=torch.full((30,), 0.2)).alpha(t)[:, 0] ** 2, 0.8**t
    )
    power = VariancePreserving()
    assert power.get_params()["t_max"] is None
    assert power.set_params(b=0.5).t_max == VariancePreserving(0.5).t_max
    assert clone(power).set_params(t_max=0.9).t_max == 0.9


def test_training_times_are_whole_steps_or_even_on_the_clock():
    u = torch.linspace(0, 1, 1001, dtype=torch.float64)[:-1]
    steps = CosineSchedule(10).training_times(u)
    assert steps.unique().tolist() == list(range(1, 11))
    assert (steps.unique(return_counts=True)[1] == 100).all()
    assert CosineSchedule(10).training_times(u, t_min=4.0).unique().tolist() == list(range(5, 11))
    schedule = VariancePreserving(a=0.5, t_max=0.9)
    clock = schedule.clock(schedule.training_times(u, t_min=0.1))
    low, high = schedule.clock(torch.tensor([0.1, 0.9], dtype=torch.float64))
    torch.testing.assert_close(clock, low + (high - low) * u)
    clock = schedule.clock(schedule.training_times(u))
    torch.testing.assert_close(clock, high * u)


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


def test_log_snr_spacing_is_even_where_there_is_work_to_do():
    """Noise of 100 times to 0.01 times the signal; what lies beyond is one step at either end."""
    schedule, bound = VariancePreserving(t_max=0.99999), 2 * math.log(100)
    times = schedule.times(9, spacing="log_snr")
    even = torch.linspace(-bound, bound, 8, dtype=torch.float64)
    torch.testing.assert_close(schedule.log_snr(times[1:-1])[:, 0], even, atol=2e-6, rtol=0)
    # A grid that ends within those bounds has no steps to spare for the ends.
    schedule = VariancePreserving(t_max=0.9)
    times = schedule.times(6, t_min=0.1, spacing="log_snr")
    ends = schedule.log_snr(torch.tensor([0.9, 0.1], dtype=torch.float64))[:, 0]
    even = ends[0] + torch.linspace(0, 1, 7, dtype=torch.float64) * (ends[1] - ends[0])
    torch.testing.assert_close(schedule.log_snr(times)[:, 0], even, atol=2e-6, rtol=0)
    one_end = schedule.times(6, spacing="log_snr")
    even = ends[0] + torch.linspace(0, 1, 6, dtype=torch.float64) * (bound - ends[0])
    torch.testing.assert_close(schedule.log_snr(one_end[:-1])[:, 0], even, atol=2e-6, rtol=0)


@pytest.mark.parametrize("n_steps", [1, 2])
def test_few_steps_in_log_snr_spare_none_for_the_ends(n_steps):
    """Without noise the log-SNR counts as that of a signal 1e4 times as strong."""
    schedule = VariancePreserving(t_max=0.99999)
    times = schedule.times(n_steps, spacing="log_snr")
    assert times[0] == 0.99999 and times[-1] == 0 and len(times) == n_steps + 1
    if n_steps == 2:
        middle = (float(schedule.log_snr(times[0])) + 2 * math.log(1e4)) / 2
        assert float(schedule.log_snr(times[1])) == pytest.approx(middle)


@pytest.mark.parametrize("name", ALL)
def test_clock_spacing_is_even_on_the_clock(name):
    schedule = ALL[name]
    clock = schedule.clock(schedule.times(7, t_min=0.1 * schedule.t_max))
    steps = clock.diff()
    torch.testing.assert_close(steps, steps.mean().expand(7))


@pytest.mark.parametrize("schedule", [VariancePreserving(1.0), CosineSchedule(50), StraightLine()])
def test_clock_rate_is_the_derivative_of_the_clock(schedule):
    t = interior(schedule)
    rate = torch.func.jvp(schedule.clock, (t,), (torch.ones_like(t),))[1]
    torch.testing.assert_close(schedule.clock_rate(t), rate)
    power = VariancePreserving([0.5, 2.0], a=0.7, t_max=0.9)
    t = interior(power)
    rate = torch.func.jvp(power.clock, (t,), (torch.ones_like(t),))[1]
    torch.testing.assert_close(power.clock_rate(t), rate)
    torch.testing.assert_close(power.beta(t), rate[:, None] * torch.tensor([0.5, 2.0]).double())


def test_variances_of_the_prior():
    """Nearly that of unit data at the last time; of the noise alone where it explodes."""
    for name in ("vp", "vp_power", "sub_vp", "linear", "cosine", "straight"):
        torch.testing.assert_close(
            ALL[name].prior_variance, torch.ones(len(ALL[name].prior_variance)).double()
        )
    exploding = VarianceExploding([0.5, 2.0], a=50.0, t_max=0.8)
    t = torch.tensor(0.8, dtype=torch.float64)
    torch.testing.assert_close(exploding.prior_variance, exploding.sigma(t) ** 2)
    torch.testing.assert_close(exploding.marginal_variance(t), 1 + exploding.sigma(t) ** 2)


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


def test_terminal_kl_is_torchs():
    """Averaged over rows, with rates and second moments per feature."""
    schedule = VarianceExploding([0.5, 2.0], a=10.0)
    x = torch.tensor([[1.0, -2.0], [0.5, 3.0]], dtype=torch.float64)
    t = torch.tensor(schedule.t_max, dtype=torch.float64)
    kernel = torch.distributions.Normal(schedule.alpha(t) * x, schedule.sigma(t).expand(2, 2))
    prior = torch.distributions.Normal(0.0, schedule.prior_variance.sqrt())
    expected = torch.distributions.kl_divergence(kernel, prior).sum(1).mean()
    second_moment = (x**2).mean(0)
    assert schedule.terminal_kl(second_moment, 2) == pytest.approx(float(expected))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: VariancePreserving(-1.0), "the rates of the schedule"),
        (lambda: VariancePreserving([1.0, float("nan")]), "the rates of the schedule"),
        (lambda: VarianceExploding([1.0, 0.0]), "the rates of the schedule"),
        (lambda: VariancePreserving(1.0, a=-0.1), "the power of the schedule"),
        (lambda: VariancePreserving(1.0, t_max=1.0), "t_max"),
        (lambda: VariancePreserving([1.0, 0.2]), "rate b=0.2 with a=0 is too slow"),
        (lambda: VarianceExploding(1.0, a=1.0), "the growth of the variance"),
        (lambda: VarianceExploding(1.0, t_max=0.0), "t_max"),
        (lambda: LinearSchedule(0), "n_steps must be a positive"),
        (lambda: StraightLine(1.1), "t_max"),
        (
            lambda: CosineSchedule(5).set_params(n_steps=0)._validate_params(),
            "n_steps must be a positive integer",
        ),
        (lambda: DiscreteSchedule(torch.tensor([0.1, 1.0])), "beta"),
        (lambda: VariancePreserving().times(0), "n_steps"),
        (lambda: VariancePreserving().times(5, t_min=2.0), "t_min"),
        (lambda: VariancePreserving().times(5, spacing="even"), "spacing"),
    ],
)
def test_impossible_parameters_are_named(build, message):
    with pytest.raises(ValueError, match=message):
        build()
