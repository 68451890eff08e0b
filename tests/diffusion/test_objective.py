"""Objectives: closed forms and quadrature against Monte Carlo, and against each other."""

import math

import numpy as np
import pytest
import torch

from sklearn_diffusion.diffusion import (
    CosineUnits,
    GaussianDenoiser,
    HermiteUnits,
    SubVariancePreserving,
    VarianceExploding,
    VariancePreserving,
    denoising_score_matching,
    divergence,
    explicit_score_matching,
    gauss_hermite,
    gauss_legendre,
    linear_score_loss,
    output_layer,
    perturb,
    residual_loss,
    snr_weighted,
)

D, UNITS, ROWS = 6, 5, 40


def draws(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def problem(seed=0):
    b, c = draws(UNITS, D, seed=seed) * 0.7, draws(UNITS, seed=seed + 1)
    layer = draws(D, UNITS + 1, seed=seed + 2)
    x_0 = draws(ROWS, D, seed=seed + 3)
    weights = torch.rand(ROWS, generator=torch.Generator().manual_seed(seed)).double()
    return b, c, layer, x_0, weights / weights.sum()


SCHEDULES = [
    VariancePreserving(),
    VariancePreserving([0.3, 0.5, 1.0, 1.5, 2.0, 4.0], a=0.5),
    SubVariancePreserving(2.0),
    VarianceExploding(0.1, a=30.0),
]


@pytest.mark.parametrize(
    "schedule", SCHEDULES, ids=lambda s: f"{type(s).__name__}{len(s.prior_variance)}"
)
@pytest.mark.parametrize("units", [HermiteUnits(n_nodes=24), CosineUnits()], ids=["tanh", "cos"])
@pytest.mark.parametrize("skip", [False, True], ids=["paper", "skip"])
def test_quadrature_equals_monte_carlo_within_its_error(schedule, units, skip):
    b, c, layer, x_0, weights = problem()
    if skip:
        layer = torch.cat([layer[:, :-1], draws(D, D, seed=7) - torch.eye(D), layer[:, -1:]], dim=1)
    t = torch.tensor(0.5, dtype=torch.float64)
    loss = residual_loss(units, b, c, x_0, weights, schedule, t, skip=skip)
    exact = float(loss(layer).sum())
    n = 4000
    x = x_0.repeat(n, 1)
    x_t = perturb(schedule, x, t, draws(*x.shape, seed=9))
    hidden = torch.cat([units(x_t @ b.T + c), *([x_t] if skip else [])], dim=1)
    output = hidden @ layer[:, :-1].T + layer[:, -1]
    squared = (output + x_t - schedule.alpha(t) * x).square().sum(1).reshape(n, ROWS)
    per_draw = squared @ weights
    error = float(per_draw.std() / math.sqrt(n))
    assert abs(float(per_draw.mean()) - exact) < 4 * error


def test_hermite_expansion_equals_the_double_integral():
    """Mehler's formula against a two-dimensional Gauss-Hermite rule, pair by pair."""
    b, c, _, x_0, weights = problem()
    covariance = 0.6 * b @ b.T
    means = x_0 @ b.T + c
    moments = HermiteUnits(n_nodes=40).moments(means, covariance, weights)
    nodes, rule = gauss_hermite(40)
    for j, k in [(0, 1), (2, 4), (3, 3)]:
        root = torch.linalg.cholesky(
            covariance[[j, k]][:, [j, k]] + 1e-12 * torch.eye(2, dtype=torch.float64)
        )
        first, second = root @ torch.stack([nodes.repeat_interleave(40), nodes.repeat(40)])
        values = torch.tanh(means[:, j, None] + first) * torch.tanh(means[:, k, None] + second)
        product_rule = rule.repeat_interleave(40) * rule.repeat(40)
        expected = weights @ (values @ product_rule)
        torch.testing.assert_close(moments.gram[j, k], expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("n_nodes", [2, 5])
def test_two_nodes_are_exact_for_linear_units(n_nodes):
    b, c, _, x_0, weights = problem()
    means, covariance = x_0 @ b.T + c, 0.6 * b @ b.T
    moments = HermiteUnits(lambda u: 3 * u + 1, n_nodes=n_nodes).moments(means, covariance, weights)
    units = 3 * means + 1
    torch.testing.assert_close(moments.mean, units)
    torch.testing.assert_close(moments.gram, 9 * covariance + units.T @ (weights[:, None] * units))
    torch.testing.assert_close(moments.slope, torch.full((UNITS,), 3.0).double())


@pytest.mark.parametrize("unit", [1e-6, 1e6])
def test_moments_scale_with_the_activation(unit):
    b, c, _, x_0, weights = problem()
    means, covariance = x_0 @ b.T + c, 0.6 * b @ b.T
    plain = HermiteUnits(n_nodes=24).moments(means, covariance, weights)
    scaled = HermiteUnits(lambda u: unit * torch.tanh(u), n_nodes=24).moments(
        means, covariance, weights
    )
    torch.testing.assert_close(scaled.gram / unit**2, plain.gram)
    torch.testing.assert_close(scaled.mean / unit, plain.mean)
    torch.testing.assert_close(scaled.slope / unit, plain.slope)


def test_quadrature_converges_with_the_nodes():
    b, c, layer, x_0, weights = problem()
    t = torch.tensor(0.5, dtype=torch.float64)
    loss = [
        float(
            residual_loss(HermiteUnits(n_nodes=q), b, c, x_0, weights, VariancePreserving(), t)(
                layer
            ).sum()
        )
        for q in (3, 8, 16, 64)
    ]
    errors = np.abs(np.array(loss[:3]) - loss[3])
    assert errors[0] > errors[1] > errors[2]
    assert errors[2] < 1e-3 * loss[3]


@pytest.mark.parametrize("per_asset", [False, True])
def test_output_layer_is_the_minimiser(per_asset):
    b, c, _, x_0, weights = problem()
    schedule = VariancePreserving([0.3, 0.5, 1.0, 1.5, 2.0, 4.0] if per_asset else 1.0)
    nodes, rule = gauss_legendre(4, 0.05, 0.9)
    losses = [residual_loss(CosineUnits(), b, c, x_0, weights, schedule, t) for t in nodes]
    time_weights = rule[:, None] / schedule.sigma(nodes) ** 2 if per_asset else rule
    layer = output_layer(losses, time_weights, regularization=0.0).requires_grad_()
    weighted = sum((w * loss(layer)).sum() for w, loss in zip(time_weights, losses, strict=True))
    (gradient,) = torch.autograd.grad(weighted, layer)
    torch.testing.assert_close(gradient, torch.zeros_like(gradient), atol=1e-9, rtol=0)


@pytest.mark.parametrize("per_asset", [False, True])
def test_the_ridge_is_relative_to_the_mean_diagonal(per_asset):
    b, c, _, x_0, weights = problem()
    times = torch.tensor([0.2, 0.6], dtype=torch.float64)
    losses = [
        residual_loss(HermiteUnits(), b, c, x_0, weights, VariancePreserving(), t) for t in times
    ]
    time_weights = torch.tensor([[0.7], [0.3]]).double() * torch.linspace(1, 3, D).double()
    layer = output_layer(losses, time_weights if per_asset else time_weights[:, 0], 0.1)
    for i, w in enumerate(time_weights.T if per_asset else [time_weights[:, 0]] * D):
        system = w[0] * losses[0].quadratic + w[1] * losses[1].quadratic
        system = system + 0.1 * system.diagonal().mean() * torch.eye(UNITS + 1).double()
        target = w[0] * losses[0].linear[i] + w[1] * losses[1].linear[i]
        torch.testing.assert_close(layer[i], -torch.linalg.solve(system, target))


@pytest.mark.parametrize("sign", [1, -1])
def test_snr_weighted_penalty_by_hand(sign):
    """The ratio of variances, averaged over rates, times the penalty of bounded estimates."""
    alpha, sigma = torch.tensor([[0.6], [0.8]]).double(), torch.tensor([[0.8], [0.6]]).double()
    denoised = sign * torch.tensor([[1.0, 25.0], [3.0, -2.0]]).double()
    context = torch.tensor([2.0, 5.0]).double()
    found = snr_weighted(lambda x, c: c + x.sum(1), denoised, alpha, sigma, context)
    expected = torch.tensor([9 / 16 * (2 + sign * 11.0), 16 / 9 * (5 + sign * 1.0)]).double()
    torch.testing.assert_close(found, expected)
    tighter = snr_weighted(lambda x, c: x.sum(1), denoised, alpha, sigma, bound=1.5)
    expected = sign * torch.tensor([9 / 16 * 2.5, 0.0]).double()
    torch.testing.assert_close(tighter, expected)
    none = torch.zeros(2, 1).double()
    assert float(snr_weighted(lambda x, c: x[:, 0], denoised, none + 1, none)[0]) == sign * 1e8


def test_legendre_rule_averages_polynomials_exactly():
    nodes, weights = gauss_legendre(4, 0.2, 0.8)
    assert float(weights @ nodes**5) == pytest.approx((0.8**6 - 0.2**6) / 6 / 0.6)


def test_linear_score_loss_equals_monte_carlo():
    """The closed form is the loss of the Gaussian denoiser, on data of another covariance."""
    schedule = VariancePreserving()
    model, data = torch.tensor([0.2, 1.0, 3.0]).double(), torch.tensor([0.5, 1.5, 1.0]).double()
    n = 400_000
    x_0 = data.sqrt() * draws(n, 3)
    t = torch.full((n,), 0.4, dtype=torch.float64)
    eigen = GaussianDenoiser(torch.zeros(3).double(), torch.diag(model), schedule)
    estimate = torch.zeros(())
    with torch.no_grad():
        parts = [
            denoising_score_matching(eigen, x_0[i : i + 50_000], t[i : i + 50_000], e)
            for i in range(0, n, 50_000)
            for e in [draws(50_000, 3, seed=i + 1)]
        ]
        estimate = torch.cat(parts)
    exact = linear_score_loss(model, data, schedule.alpha(t[0]), schedule.sigma(t[0]))
    assert abs(float(estimate.mean() - exact)) < 4 * float(estimate.std()) / math.sqrt(n)


def test_linear_score_loss_is_smallest_at_the_truth():
    data = torch.tensor([0.5, 1.5, 1.0]).double()
    alpha, sigma = torch.tensor([0.8]).double(), torch.tensor([0.6]).double()
    model = data.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(linear_score_loss(model, data, alpha, sigma), model)
    torch.testing.assert_close(gradient, torch.zeros(3).double(), atol=1e-12, rtol=0)


def test_weightings_differ_by_powers_of_sigma():
    schedule = VariancePreserving()
    denoiser = GaussianDenoiser(torch.zeros(3).double(), torch.eye(3).double(), schedule)
    x_0, noise = draws(4, 3), draws(4, 3, seed=1)
    t = torch.tensor([0.1, 0.3, 0.5, 0.7]).double()
    variance = schedule.sigma(t)[:, 0] ** 2
    loss = {
        kind: denoising_score_matching(denoiser, x_0, t, noise, kind=kind)
        for kind in ("score", "epsilon", "residual", "x0")
    }
    torch.testing.assert_close(loss["epsilon"], variance * loss["score"])
    torch.testing.assert_close(loss["residual"], variance**2 * loss["score"])
    torch.testing.assert_close(loss["x0"] * (1 - variance), loss["residual"])


def test_explicit_score_matching_recovers_a_gaussian():
    """E[div s + |s|^2 / 2] is smallest at the true precision, where it is -tr(precision) / 2."""
    covariance = torch.tensor([[1.0, 0.4], [0.4, 0.5]], dtype=torch.float64)
    precision = torch.linalg.inv(covariance)
    x = draws(200_000, 2) @ torch.linalg.cholesky(covariance).T
    sample_precision = torch.linalg.inv(x.T @ x / len(x))

    def loss(p):
        return float(explicit_score_matching(lambda x: -p @ x, x).mean())

    best = loss(sample_precision)
    assert best == pytest.approx(-float(precision.trace()) / 2, rel=0.02)
    for change in (0.9, 1.1):
        assert loss(change * sample_precision) > best


def test_divergence_is_exact():
    x = draws(5, 3)
    torch.testing.assert_close(divergence(lambda v: v**3, x), (3 * x**2).sum(1))


def test_hermite_rule_needs_two_nodes():
    with pytest.raises(ValueError, match="at least 2 nodes"):
        HermiteUnits(n_nodes=1)
