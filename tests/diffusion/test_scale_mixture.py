"""The closed-form denoiser of scale mixtures, against mixtures and likelihoods."""

import numpy as np
import pytest
import torch

from sklearn_diffusion.diffusion import (
    CosineSchedule,
    GaussianMixtureDenoiser,
    ScaleMixture,
    ScaleMixtureDenoiser,
)
from sklearn_diffusion.diffusion.scale_mixture import fit_scale_mixture

SCHEDULE = CosineSchedule(100)
TIMES = torch.tensor([1.0, 20.0, 50.0, 90.0], dtype=torch.float64)
SCALES = torch.tensor([0.2, 1.0, 6.0], dtype=torch.float64)
WEIGHTS = torch.tensor([[0.5, 0.4, 0.1], [0.1, 0.1, 0.8]], dtype=torch.float64)


def log_likelihood(x, weights, scales):
    """Mean log likelihood, by torch's own mixtures."""
    mixture = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(weights),
        torch.distributions.Normal(0.0, scales.sqrt().expand_as(weights)),
    )
    return mixture.log_prob(x).mean()


def draws(n, rng, scales=SCALES):
    """Rows whose coordinates are mixtures with one row of WEIGHTS each."""
    variances = np.column_stack(
        [rng.choice(scales.numpy(), size=n, p=row.numpy()) for row in WEIGHTS]
    )
    return torch.from_numpy(np.sqrt(variances) * rng.normal(size=variances.shape))


def fit(x, scales, **options):
    """Weights of the components, with rows of equal weight."""
    return fit_scale_mixture(x, scales, torch.ones(len(x), dtype=x.dtype), **options)


@pytest.mark.parametrize("coordinate", [0, 1])
def test_each_coordinate_has_the_denoiser_of_its_mixture(coordinate):
    denoiser = ScaleMixtureDenoiser(WEIGHTS, SCALES, SCHEDULE)
    oracle = GaussianMixtureDenoiser(
        WEIGHTS[coordinate],
        torch.zeros(3, 1, dtype=torch.float64),
        SCALES[:, None, None],
        SCHEDULE,
    )
    x = torch.linspace(-6, 6, 41, dtype=torch.float64)
    for t in TIMES:
        estimate = denoiser(torch.stack([x, x], dim=1), t)[:, coordinate]
        torch.testing.assert_close(estimate, oracle(x[:, None], t)[:, 0])


def test_times_may_differ_by_row():
    denoiser = ScaleMixtureDenoiser(WEIGHTS, SCALES, SCHEDULE)
    x = torch.linspace(-3, 3, 8, dtype=torch.float64).reshape(4, 2)
    one_by_one = torch.stack([denoiser(row, t) for row, t in zip(x, TIMES, strict=True)])
    torch.testing.assert_close(denoiser(x, TIMES), one_by_one)


def test_the_score_is_the_gradient_of_the_noisy_density():
    denoiser = ScaleMixtureDenoiser(WEIGHTS[:1], SCALES, SCHEDULE)
    x = torch.linspace(-4, 4, 9, dtype=torch.float64).requires_grad_()
    for t in TIMES:
        variance = SCHEDULE.alpha(t) ** 2 * SCALES + SCHEDULE.sigma(t) ** 2
        density = len(x) * log_likelihood(x, WEIGHTS[0], variance)
        (gradient,) = torch.autograd.grad(density, x)
        torch.testing.assert_close(denoiser.score(x[:, None], t)[:, 0], gradient)


def test_em_never_lowers_the_likelihood(rng):
    x, scales = draws(300, rng), ScaleMixture().scales()
    course = [
        log_likelihood(x, fit(x, scales, n_iter=n, pooled_rows=0.0), scales)
        for n in (1, 2, 5, 20, 100)
    ]
    assert (np.diff(course) > 0).all()
    uniform = torch.full((2, len(scales)), 1 / len(scales), dtype=torch.float64)
    assert course[0] > log_likelihood(x, uniform, scales)


def test_em_recovers_the_weights(rng):
    far_apart = torch.tensor([0.02, 1.0, 50.0], dtype=torch.float64)
    x = draws(20_000, rng, far_apart)
    weights = fit(x, far_apart, pooled_rows=0.0)
    torch.testing.assert_close(weights, WEIGHTS, atol=0.02, rtol=0)
    torch.testing.assert_close(weights.sum(1), torch.ones(2, dtype=torch.float64))


def test_a_row_of_weight_two_is_a_row_twice(rng):
    x = draws(60, rng)
    row_weights = torch.cat([torch.full((20,), 2.0), torch.ones(40)]).double()
    weighted = fit_scale_mixture(x, SCALES, row_weights)
    torch.testing.assert_close(weighted, fit(torch.cat([x[:20], x]), SCALES))


def test_pooling_lies_between_each_coordinate_and_all(rng):
    x = draws(200, rng)
    alone, some, full = (fit(x, SCALES, pooled_rows=rows) for rows in (0.0, 100.0, 1e9))
    torch.testing.assert_close(full[0], full[1])
    distance = (alone[0] - alone[1]).abs().sum()
    assert 0 < (some[0] - some[1]).abs().sum() < distance


def test_the_first_iteration_counts_the_average_as_the_pooled_rows(rng):
    x = draws(50, rng)
    density = torch.distributions.Normal(0.0, SCALES.sqrt()).log_prob(x[..., None]).exp()
    share = (density / density.sum(-1, keepdim=True)).mean(0)
    expected = (50 * share + 30 * share.mean(0)) / 80
    weights = fit(x, SCALES, n_iter=1, pooled_rows=30.0)
    torch.testing.assert_close(weights, expected, atol=1e-6, rtol=0)


def test_normal_data_have_a_nearly_linear_denoiser(rng):
    x = torch.from_numpy(rng.normal(size=(4000, 3)))
    scales = ScaleMixture().scales()
    denoiser = ScaleMixtureDenoiser(fit(x, scales), scales, SCHEDULE)
    noisy = torch.linspace(-2, 2, 21, dtype=torch.float64)[:, None].expand(-1, 3)
    for t in TIMES:
        # E[x_0 | x_t] = alpha x_t for unit variance.
        error = (denoiser(noisy, t) - SCHEDULE.alpha(t) * noisy).abs().max()
        assert error < 0.1


def test_heavy_tails_are_kept_and_centres_shrunk():
    denoiser = ScaleMixtureDenoiser(WEIGHTS[:1], SCALES, SCHEDULE)
    t = torch.tensor(40.0, dtype=torch.float64)
    centre, tail = denoiser(torch.tensor([[0.1], [6.0]], dtype=torch.float64), t)[:, 0]
    assert tail / 6.0 > 1.3 * centre / 0.1


def test_scales_surround_unit_variance():
    scales = ScaleMixture(n_scales=5, low=0.1, high=10.0).scales()
    torch.testing.assert_close(scales[2], torch.tensor(1.0, dtype=torch.float64))
    ratios = scales[1:] / scales[:-1]
    torch.testing.assert_close(ratios, ratios[0].expand(4))


def test_the_score_model_centres_weighs_and_fits(rng):
    x = draws(300, rng) + 2.0
    weights = torch.from_numpy(rng.dirichlet(np.ones(300)))
    fitted = ScaleMixture().fit_denoiser(x, weights, SCHEDULE)
    scales = ScaleMixture().scales()
    expected = fit_scale_mixture(x - weights @ x, scales, 300 * weights)
    torch.testing.assert_close(fitted.log_weights.exp(), expected)
    assert fitted.schedule is SCHEDULE


@pytest.mark.parametrize(
    "changes", [{"n_scales": 3}, {"low": 0.5}, {"high": 2.0}, {"n_iter": 2}, {"pooled_rows": 500.0}]
)
def test_every_parameter_of_the_score_model_does_something(changes, rng):
    x, weights, t = draws(300, rng), torch.full((300,), 1 / 300).double(), TIMES[1]
    plain = ScaleMixture().fit_denoiser(x, weights, SCHEDULE)
    changed = ScaleMixture(**changes).fit_denoiser(x, weights, SCHEDULE)
    assert (plain(x, t) != changed(x, t)).any()
