"""Denoisers: exact ones against brute force, parameterizations against their definitions."""

import pytest
import torch

from sklearn_diffusion.diffusion import (
    CorrectedDenoiser,
    CosineSchedule,
    GaussianDenoiser,
    GaussianMixtureDenoiser,
    Multistep,
    NetworkDenoiser,
    StraightLine,
    SubVariancePreserving,
    VarianceExploding,
    VariancePreserving,
    from_denoised,
    perturb,
    to_denoised,
)
from sklearn_diffusion.diffusion.parameterization import PARAMETERIZATIONS

pytestmark = pytest.mark.filterwarnings("ignore:n_steps=.* are too few")

D = 3
MEAN = torch.tensor([0.3, -1.0, 0.5], dtype=torch.float64)
FACTOR = torch.tensor([[1.0, 0, 0], [0.8, 0.5, 0], [-0.3, 0.2, 0.6]], dtype=torch.float64)
COVARIANCE = FACTOR @ FACTOR.T


def draws(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def mixture(schedule):
    weights = torch.tensor([0.7, 0.3], dtype=torch.float64)
    means = torch.stack([MEAN, -MEAN])
    covariances = torch.stack([COVARIANCE, 3 * torch.eye(D, dtype=torch.float64)])
    return GaussianMixtureDenoiser(weights, means, covariances, schedule)


@pytest.mark.parametrize("kind", PARAMETERIZATIONS)
@pytest.mark.parametrize(
    "schedule", [VariancePreserving(), VarianceExploding(1.0, a=10.0), StraightLine()], ids=str
)
def test_parameterizations_convert_both_ways(kind, schedule):
    t = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    x_0, noise = draws(3, D), draws(3, D, seed=1)
    x_t = perturb(schedule, x_0, t, noise)
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    target = from_denoised(x_0, kind, x_t, schedule, t)
    definitions = {
        "x0": x_0,
        "epsilon": noise,
        "score": -noise / sigma,
        "v": alpha * noise - sigma * x_0,
        "residual": -sigma * noise,
        "velocity": torch.func.jvp(
            lambda u: perturb(schedule, x_0, u, noise), (t,), (torch.ones_like(t),)
        )[1],
    }
    torch.testing.assert_close(target, definitions[kind])
    torch.testing.assert_close(to_denoised(target, kind, x_t, schedule, t), x_0)


def test_unknown_parameterization_is_named():
    x = draws(1, D)
    for convert in (to_denoised, from_denoised):
        with pytest.raises(ValueError, match="'noise'"):
            convert(x, "noise", x, VariancePreserving(), x)


@pytest.mark.parametrize("kind", ["epsilon", "score", "residual"])
def test_a_target_that_says_nothing_of_the_data_is_refused(kind):
    """Where no signal is left, the noise is all there is."""
    t = torch.tensor([0.5, 1.0], dtype=torch.float64)
    message = f"parameterization={kind!r} is undefined at t=1 of StraightLine"
    with pytest.raises(ValueError, match=message):
        to_denoised(draws(2, D), kind, draws(2, D), StraightLine(), t)
    denoiser = NetworkDenoiser(lambda x, t, condition: x, StraightLine(), kind)
    with pytest.raises(ValueError, match=message):
        Multistep(5).sample(denoiser, (4, D), lambda shape: draws(*shape))


@pytest.mark.parametrize("kind", ["x0", "v", "velocity"])
def test_targets_that_are_defined_in_pure_noise(kind):
    """The exact output for standard normal data gives back standard normal data."""
    schedule = StraightLine()

    def network(x, t, condition):
        alpha, sigma = schedule.alpha(t), schedule.sigma(t)
        x_0 = alpha * x / (alpha**2 + sigma**2)
        return from_denoised(x_0, kind, x, schedule, t)

    x = Multistep(30).sample(
        NetworkDenoiser(network, schedule, kind), (20_000, D), lambda shape: draws(*shape)
    )
    torch.testing.assert_close(x.std(0), torch.ones(D, dtype=torch.float64), atol=0.03, rtol=0)


def test_mixture_score_is_the_gradient_of_its_density():
    schedule = VariancePreserving()
    denoiser = mixture(schedule)
    t = torch.tensor(0.4, dtype=torch.float64)
    alpha, sigma = schedule.alpha(t), schedule.sigma(t)
    x = draws(5, D).requires_grad_()
    components = [
        torch.distributions.MultivariateNormal(
            alpha * m, alpha**2 * c + sigma**2 * torch.eye(D, dtype=torch.float64)
        ).log_prob(x)
        + w.log()
        for w, m, c in [
            (denoiser.weights[0], MEAN, COVARIANCE),
            (denoiser.weights[1], -MEAN, 3 * torch.eye(D, dtype=torch.float64)),
        ]
    ]
    (gradient,) = torch.autograd.grad(torch.logsumexp(torch.stack(components), 0).sum(), x)
    torch.testing.assert_close(denoiser.score(x.detach(), t), gradient)


def test_weights_need_not_sum_to_one():
    x, t = draws(4, D), torch.tensor(0.4, dtype=torch.float64)
    plain = mixture(VariancePreserving())
    scaled = GaussianMixtureDenoiser(
        10 * plain.weights,
        plain.means,
        torch.stack([COVARIANCE, 3 * torch.eye(D, dtype=torch.float64)]),
        plain.schedule,
    )
    torch.testing.assert_close(scaled(x, t), plain(x, t))
    torch.testing.assert_close(scaled.weights, plain.weights)


def test_rounding_below_zero_is_no_variance():
    """A singular covariance may have an eigenvalue of minus nearly nothing."""
    singular = torch.diag(torch.tensor([1.0, -1e-12], dtype=torch.float64))
    denoiser = GaussianMixtureDenoiser(
        torch.ones(1).double(), torch.zeros(1, 2).double(), singular[None], VariancePreserving()
    )
    x = torch.tensor([[0.5, 1e-7]], dtype=torch.float64)
    estimate = denoiser(x, torch.tensor(1e-13, dtype=torch.float64))
    torch.testing.assert_close(estimate, torch.tensor([[0.5, 0.0]], dtype=torch.float64))


def test_correction_has_the_weight_of_a_v_prediction():
    schedule = VarianceExploding(0.5, a=20.0)
    base = GaussianDenoiser(MEAN, COVARIANCE, schedule)
    x, t = draws(3, D), torch.tensor([0.2, 0.5, 0.9], dtype=torch.float64)
    sigma = schedule.sigma(t)
    correction = CorrectedDenoiser(base, Linear(2.0))(x, t) - base(x, t)
    torch.testing.assert_close(correction, sigma / (1 + sigma**2).sqrt() * 2 * x * t[:, None])
    later = VariancePreserving(t_max=0.5)
    base = GaussianDenoiser(MEAN, COVARIANCE, later)
    sigma, t = later.sigma(t / 2), t / 2
    correction = CorrectedDenoiser(base, Linear(2.0))(x, t) - base(x, t)
    torch.testing.assert_close(correction, sigma * 2 * x * t[:, None] / 0.5)


def test_one_component_is_the_gaussian_denoiser():
    schedule = VariancePreserving(1.3)
    t = torch.tensor([0.1, 0.5, 0.9], dtype=torch.float64)
    x = draws(3, D)
    one = GaussianMixtureDenoiser(torch.ones(1).double(), MEAN[None], COVARIANCE[None], schedule)
    torch.testing.assert_close(one(x, t), GaussianDenoiser(MEAN, COVARIANCE, schedule)(x, t))


@pytest.mark.parametrize(
    "schedule",
    [
        VariancePreserving([0.5, 1.0, 3.0]),
        SubVariancePreserving([0.5, 1.0, 3.0]),
        VarianceExploding([0.5, 1.0, 3.0], a=10.0),
        CosineSchedule(50),
    ],
    ids=lambda s: type(s).__name__,
)
def test_gaussian_denoiser_is_the_conditional_mean(schedule):
    """Least squares of x_0 on x_t recovers the closed form, with a rate per asset too."""
    n = 200_000
    x_0 = MEAN + draws(n, D) @ FACTOR.T
    t = torch.tensor(0.5 * schedule.t_max, dtype=torch.float64)
    x_t = perturb(schedule, x_0, t, draws(n, D, seed=1))
    design = torch.cat([x_t, torch.ones(n, 1, dtype=torch.float64)], 1)
    coefficients = torch.linalg.lstsq(design, x_0).solution
    exact = GaussianDenoiser(MEAN, COVARIANCE, schedule)(x_t[:50], t)
    torch.testing.assert_close(design[:50] @ coefficients, exact, atol=0.03, rtol=0.03)


def test_gaussian_denoiser_is_independent_of_the_schedule_at_equal_noise():
    """Only (alpha, sigma) matters: a VE time with the same SNR gives the same estimate."""
    vp, ve = VariancePreserving(), VarianceExploding(1.0, a=100.0)
    t = torch.tensor(0.4, dtype=torch.float64)
    s = ve.time_at_log_snr(vp.log_snr(t))[0]
    x = draws(4, D)
    at_vp = GaussianDenoiser(MEAN, COVARIANCE, vp)(vp.alpha(t) * x, t)
    at_ve = GaussianDenoiser(MEAN, COVARIANCE, ve)(x, s)
    torch.testing.assert_close(at_vp, at_ve)


class Linear(torch.nn.Module):
    def __init__(self, scale):
        super().__init__()
        self.scale = scale

    def forward(self, x_t, t, condition):
        return self.scale * x_t * t[..., None]


def test_network_denoiser_scales_time_and_converts():
    schedule = CosineSchedule(100)
    t = torch.tensor([10.0, 80.0])
    x = draws(2, D).float()
    denoiser = NetworkDenoiser(Linear(2.0), schedule, "v")
    output = 2 * x * (t / 100)[:, None]
    torch.testing.assert_close(denoiser.predict("v", x, t), output)


def test_correction_starts_at_the_base_and_vanishes_without_noise():
    schedule = VariancePreserving()
    base = GaussianDenoiser(MEAN, COVARIANCE, schedule)
    x, t = draws(4, D), torch.tensor(0.5, dtype=torch.float64)
    torch.testing.assert_close(CorrectedDenoiser(base, Linear(0.0))(x, t), base(x, t))
    corrected = CorrectedDenoiser(base, Linear(1.0))
    assert not torch.allclose(corrected(x, t), base(x, t))
    tiny = torch.tensor(1e-12, dtype=torch.float64)
    torch.testing.assert_close(corrected(x, tiny), base(x, tiny), atol=1e-5, rtol=0)


def test_mixture_refuses_rates_per_coordinate():
    with pytest.raises(ValueError, match="one rate"):
        mixture(VariancePreserving([1.0, 2.0, 3.0]))
