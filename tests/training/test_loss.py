"""Training: quadrature against Monte Carlo, and both against closed forms."""

import math

import numpy as np
import pytest
import torch

from sklearn_diffusion.diffusion import (
    CosineUnits,
    GaussianDenoiser,
    HermiteUnits,
    NetworkDenoiser,
    VarianceExploding,
    VariancePreserving,
    denoising_score_matching,
    gauss_legendre,
)
from sklearn_diffusion.nets import HiddenLayerNetwork
from sklearn_diffusion.training.loop import fit_monte_carlo
from sklearn_diffusion.training.loss import DenoisingLoss
from sklearn_diffusion.training.quadrature import QuadratureObjective

D, UNITS, ROWS = 3, 8, 50
SCHEDULES = {
    "vp": VariancePreserving(t_max=0.99),
    "per_asset": VariancePreserving([0.5, 1.0, 2.0], t_max=0.95),
    "ve": VarianceExploding(0.01, a=1e4),
}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def data(n=ROWS, seed=0):
    x = torch.randn(n, D, generator=generator(seed), dtype=torch.float64)
    return x @ torch.tensor([[1, 0.5, 0.2], [0, 0.8, 0.1], [0, 0, 0.6]], dtype=torch.float64)


def weights(n=ROWS):
    w = torch.rand(n, generator=generator(5), dtype=torch.float64)
    return w / w.sum()


def problem(schedule, *, in_epsilon, conditioned, units=None, n_times=5):
    """An objective, and the denoiser it trains."""
    times, time_weights = gauss_legendre(n_times, 0.05, schedule.t_max)
    nodes = times / schedule.t_max if conditioned else times[:1] / schedule.t_max
    units = units or HermiteUnits(n_nodes=24)
    network = HiddenLayerNetwork(D, UNITS, units, nodes, conditioned, generator(1))
    denoiser = NetworkDenoiser(network, schedule, "epsilon" if in_epsilon else "residual")
    objective = QuadratureObjective(
        network, in_epsilon, schedule, data(), weights(), times, time_weights
    )
    return objective, denoiser, times, time_weights


CASES = {
    "conditioned": {"in_epsilon": True, "conditioned": True},
    "paper": {"in_epsilon": False, "conditioned": False},
    "cosine": {"in_epsilon": True, "conditioned": True, "units": CosineUnits()},
}


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("case", CASES)
def test_loss_equals_monte_carlo_within_its_error(name, case):
    objective, denoiser, times, time_weights = problem(SCHEDULES[name], **CASES[case])
    network = denoiser.network
    with torch.no_grad():
        network.output.copy_(0.3 * torch.randn(network.output.shape, generator=generator(2)))
    exact = objective.loss()
    repeats, noise = 400, generator(3)
    x_0 = data().repeat(repeats, 1)
    total = torch.zeros(repeats, dtype=torch.float64)
    kind = denoiser.parameterization
    with torch.no_grad():
        for t, share in zip(times, time_weights, strict=True):
            draws = torch.randn(x_0.shape, generator=noise, dtype=torch.float64)
            losses = denoising_score_matching(
                denoiser, x_0, t.expand(len(x_0)), draws, kind=kind
            ).reshape(repeats, ROWS)
            total += share * losses @ weights()
    assert abs(float(total.mean()) - exact) < 5 * float(total.std()) / math.sqrt(repeats)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("case", CASES)
def test_the_solved_output_layer_is_the_best(name, case):
    objective, denoiser, *_ = problem(SCHEDULES[name], **CASES[case])
    network = denoiser.network
    start = objective.loss()
    best = objective.solve_output()
    assert best < start
    assert objective.loss() == pytest.approx(best, rel=1e-9)
    layer = network.output.detach().clone()
    for seed in range(5):
        step = 0.01 * torch.randn(layer.shape, generator=generator(seed), dtype=torch.float64)
        with torch.no_grad():
            network.output.copy_(layer + step)
        assert objective.loss() > best


@pytest.mark.parametrize("case", CASES)
def test_lbfgs_decreases_the_loss(case):
    objective, *_ = problem(SCHEDULES["vp"], **CASES[case])
    curve = objective.minimize(12)
    assert 3 <= len(curve) <= 13
    assert (np.diff(curve) <= 1e-12 * curve[0]).all()
    assert curve[-1] < 0.999 * curve[0]
    assert objective.loss() == pytest.approx(curve[-1], rel=1e-6)
    assert not any(p.grad is not None and p.grad.any() for p in objective.network.parameters())


def test_minimising_is_deterministic():
    curves = [problem(SCHEDULES["vp"], **CASES["conditioned"])[0].minimize(5) for _ in range(2)]
    assert curves[0] == curves[1]


def test_no_iterations_solve_the_output_layer_only():
    objective, denoiser, *_ = problem(SCHEDULES["vp"], **CASES["conditioned"])
    before = denoiser.network.hidden_weight.detach().clone()
    curve = objective.minimize(0)
    assert curve == [pytest.approx(objective.loss())]
    torch.testing.assert_close(denoiser.network.hidden_weight.detach(), before, rtol=0, atol=0)


def test_skip_connection_attains_the_loss_of_the_best_linear_score():
    """Its network contains every linear score, so it is at least as good as a Gaussian's."""
    schedule = SCHEDULES["vp"]
    objective, _, times, time_weights = problem(schedule, **CASES["conditioned"])
    x, w = data(), weights()
    mean = w @ x
    covariance = (x - mean).T @ (w[:, None] * (x - mean))
    gaussian = 0.0
    for t, share in zip(times, time_weights, strict=True):
        alpha, sigma = schedule.alpha(t), schedule.sigma(t)
        noisy = alpha**2 * covariance + sigma**2 * torch.eye(D)
        # E|eps - eps_hat|^2 of the linear estimate with these moments.
        gaussian += float(share * (D - sigma**2 * torch.linalg.inv(noisy).trace()))
    best = objective.solve_output()
    assert best <= gaussian * (1 + 1e-6)
    assert best > 0.5 * gaussian


def test_more_weight_on_a_row_is_that_row_twice():
    schedule = SCHEDULES["vp"]
    _, denoiser, times, time_weights = problem(schedule, **CASES["conditioned"])
    x = data()
    doubled = torch.cat([x, x[:10]])
    counted = torch.ones(ROWS, dtype=torch.float64)
    counted[:10] = 2
    losses = [
        QuadratureObjective(
            denoiser.network, True, schedule, rows, w / w.sum(), times, time_weights
        ).solve_output()
        for rows, w in ((x, counted), (doubled, torch.ones(ROWS + 10, dtype=torch.float64)))
    ]
    assert losses[0] == pytest.approx(losses[1], rel=1e-9)


# Monte Carlo


def monte_carlo_loss(denoiser, times, seed=0, kind="epsilon"):
    index = len(times)
    return DenoisingLoss(
        denoiser, lambda u: times[(u * index).long().clamp(max=index - 1)], seed, kind
    )


def evaluate(loss, rows, repeats=200):
    loss.eval()
    with torch.no_grad():
        return float(loss(rows.repeat(repeats, 1)).mean())


def test_evaluation_repeats_and_training_does_not():
    _, denoiser, times, _ = problem(SCHEDULES["vp"], **CASES["conditioned"])
    with torch.no_grad():
        denoiser.network.output.copy_(
            torch.randn(denoiser.network.output.shape, generator=generator(2))
        )
    loss = monte_carlo_loss(denoiser, times)
    loss.eval()
    torch.testing.assert_close(loss(data()), loss(data()), rtol=0, atol=0)
    loss.train()
    assert (loss(data()) != loss(data())).any()
    assert loss(data()).shape == (ROWS,)


def test_an_exact_denoiser_has_the_smallest_loss():
    schedule = SCHEDULES["vp"]
    covariance = data(4000).T.cov()
    zero = torch.zeros(D, dtype=torch.float64)
    times = torch.linspace(0.1, 0.9, 9, dtype=torch.float64)
    rows = data(4000, seed=8)
    exact, wrong = (
        evaluate(monte_carlo_loss(GaussianDenoiser(zero, c, schedule), times), rows, 5)
        for c in (covariance, 2 * covariance)
    )
    assert exact < wrong


@pytest.mark.parametrize("case", ["conditioned", "paper"])
def test_stochastic_training_approaches_the_closed_form(case):
    """Only the output layer is trained, so both have the same best loss."""
    schedule = SCHEDULES["vp"]
    objective, denoiser, times, time_weights = problem(schedule, **CASES[case], n_times=4)
    network = denoiser.network
    network.hidden_weight.requires_grad_(False)
    network.hidden_bias.requires_grad_(False)
    loss = DenoisingLoss(
        denoiser,
        # The times of the rule, each as often as its weight.
        lambda u: times[torch.searchsorted(time_weights.cumsum(0), u).clamp(max=3)],
        0,
        denoiser.parameterization,
    )
    start = objective.loss()
    net = fit_monte_carlo(loss, data(), weights(), max_epochs=400, batch_size=25, lr=0.02)
    curve = net.history[:, "train_loss"]
    assert len(curve) == 400 and np.mean(curve[-50:]) < np.mean(curve[:50])
    reached = objective.loss()
    best = objective.solve_output()
    assert best < reached < best + 0.1 * (start - best)


def test_stochastic_training_is_decided_by_its_seed():
    layers = []
    for seed, noise_before in ((0, 0), (0, 3), (1, 0)):
        _, denoiser, times, _ = problem(SCHEDULES["vp"], **CASES["conditioned"])
        with torch.random.fork_rng():  # the global state must not matter
            torch.manual_seed(noise_before)
            loss = monte_carlo_loss(denoiser, times, seed)
            fit_monte_carlo(loss, data(), weights(), max_epochs=3, batch_size=20, lr=0.01)
        layers.append(denoiser.network.output.detach())
    torch.testing.assert_close(layers[0], layers[1], rtol=0, atol=0)
    assert (layers[0] != layers[2]).any()


def test_rows_without_weight_are_not_learnt():
    schedule = SCHEDULES["vp"]
    outputs = []
    for outlier in (0.0, 50.0):
        _, denoiser, times, _ = problem(schedule, **CASES["conditioned"])
        rows, w = data().clone(), torch.ones(ROWS, dtype=torch.float64)
        rows[7], w[7] = outlier, 0
        loss = monte_carlo_loss(denoiser, times)
        fit_monte_carlo(loss, rows, w, max_epochs=2, batch_size=10, lr=0.01)
        outputs.append(denoiser.network.output.detach())
    torch.testing.assert_close(outputs[0], outputs[1])


def test_verbose_prints_a_line_per_epoch(capsys):
    _, denoiser, times, _ = problem(SCHEDULES["vp"], **CASES["conditioned"])
    loss = monte_carlo_loss(denoiser, times)
    fit_monte_carlo(loss, data(), weights(), max_epochs=2, batch_size=50, lr=0.01, verbose=1)
    assert "train_loss" in capsys.readouterr().out
    fit_monte_carlo(loss, data(), weights(), max_epochs=2, batch_size=50, lr=0.01)
    assert capsys.readouterr().out == ""
