"""Training with validation: optimum, best weights, averages, interrupts and determinism."""

import copy
import itertools

import pytest
import torch
from skorch.callbacks import Callback

from sklearn_diffusion.diffusion import (
    CorrectedDenoiser,
    GaussianDenoiser,
    NetworkDenoiser,
    VariancePreserving,
)
from sklearn_diffusion.nets import FiLMMLP
from sklearn_diffusion.training.loop import train_denoiser
from sklearn_diffusion.training.loss import DenoisingLoss

SCHEDULE = VariancePreserving(t_max=0.98)
SPREAD = 0.5


def draws(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def uniform_times(u):
    return 0.05 + u * (SCHEDULE.t_max - 0.05)


def conditional_gaussian(n, seed=0):
    """x_0 is Gaussian of standard deviation SPREAD around a rotation of its condition."""
    condition = draws(n, 2, seed=seed)
    rotation = torch.tensor([[0.6, 0.8], [-0.8, 0.6]])
    return {
        "x_0": condition @ rotation + SPREAD * draws(n, 2, seed=seed + 1),
        "condition": condition,
    }


def optimal_loss():
    """Variance of the noise given the noisy data and the condition, over two features."""
    t = uniform_times((torch.arange(10_000) + 0.5) / 10_000)
    signal = (SPREAD * SCHEDULE.alpha(t)) ** 2
    return 2 * float((signal / (signal + SCHEDULE.sigma(t) ** 2)).mean())


def problem(seed=0, **options):
    base = GaussianDenoiser(torch.zeros(2), (1 + SPREAD**2) * torch.eye(2), SCHEDULE)
    denoiser = CorrectedDenoiser(base, FiLMMLP(2, 2, width=32, seed=seed))
    return DenoisingLoss(denoiser, uniform_times, seed, **options)


def evaluate(loss, data):
    loss.eval()
    with torch.no_grad():
        return float(loss(**data).mean())


def weights_of(loss):
    return torch.nn.utils.parameters_to_vector(loss.parameters()).detach().clone()


class At(Callback):
    """Do something at a batch, counted from one through all epochs."""

    def __init__(self, action, batch=None):
        self.action, self.batch, self.count = action, batch, 0

    def on_batch_end(self, net, training=False, **kwargs):
        if training:
            self.count += 1
            if self.batch in (None, self.count):
                self.action(net)


def interrupt(net):
    raise KeyboardInterrupt


def test_training_reaches_the_optimum_from_above():
    loss, test = problem(n_draws=4), conditional_gaussian(2000, seed=10)
    start, optimum = evaluate(loss, test), optimal_loss()
    history = train_denoiser(
        loss,
        conditional_gaussian(1200),
        n_validation=200,
        max_epochs=20,
        batch_size=100,
        lr=7e-3,
        clip_norm=1.0,
        ema_decay=0.9,
    )
    trained = evaluate(loss, test)
    assert start > 1.4 * optimum
    assert trained == pytest.approx(optimum, rel=0.08)
    assert trained > 0.97 * optimum
    assert history.loss_curve[-1] < history.loss_curve[0]


def test_early_stopping_puts_the_best_weights_back():
    data, n_validation = conditional_gaussian(260), 100
    loss = problem()
    history = train_denoiser(
        loss, data, n_validation=n_validation, max_epochs=200, batch_size=40, lr=0.02, patience=4
    )
    curve = history.validation_loss_curve
    assert history.best_epoch == min(range(len(curve)), key=curve.__getitem__)
    assert len(curve) == len(history.loss_curve) == history.best_epoch + 1 + 4 < 200
    held_out = {name: rows[-n_validation:] for name, rows in data.items()}
    assert evaluate(loss, held_out) == pytest.approx(curve[history.best_epoch], rel=1e-5)
    assert not loss.training


def test_validation_rows_are_never_trained_on():
    data = conditional_gaussian(120)
    altered = {name: torch.cat([rows[:80], 5 * rows[80:]]) for name, rows in data.items()}
    curves = [
        train_denoiser(problem(), rows, n_validation=40, max_epochs=3, batch_size=30)
        for rows in (data, altered)
    ]
    assert curves[0].loss_curve == curves[1].loss_curve
    assert curves[0].validation_loss_curve != curves[1].validation_loss_curve


def test_rows_without_weight_do_not_count():
    data = conditional_gaussian(120)
    weights = torch.ones(120)
    weights[::3] = 0
    altered = {name: rows.clone() for name, rows in data.items()}
    altered["x_0"][::3] = 100
    trained = []
    for rows in (data, altered):
        loss = problem()
        train_denoiser(loss, rows, weights=weights, n_validation=30, max_epochs=3, batch_size=30)
        trained.append(weights_of(loss))
    assert torch.equal(*trained)


def test_moving_average_equals_a_hand_computation():
    steps, decay = [], 0.7
    loss = problem()
    steps.append(weights_of(loss))
    train_denoiser(
        loss,
        conditional_gaussian(90),
        max_epochs=2,
        batch_size=30,
        lr=0.01,
        ema_decay=decay,
        callbacks=[("record", At(lambda net: steps.append(weights_of(net.module_.loss))))],
    )
    assert len(steps) == 1 + 2 * 3
    average = steps[0]
    for step in steps[1:]:
        average = decay * average + (1 - decay) * step
    torch.testing.assert_close(weights_of(loss), average)
    assert not torch.equal(steps[-1], average)


def test_validation_is_of_the_moving_average():
    data, n_validation = conditional_gaussian(150), 50
    loss = problem()
    history = train_denoiser(
        loss, data, n_validation=n_validation, max_epochs=1, batch_size=50, lr=0.02, ema_decay=0.5
    )
    held_out = {name: rows[-n_validation:] for name, rows in data.items()}
    kept = evaluate(loss, held_out)
    assert history.validation_loss_curve == [pytest.approx(kept, rel=1e-5)]
    assert evaluate(history.net.module_.loss, held_out) == kept


@pytest.mark.parametrize("ema_decay", [None, 0.5])
def test_an_interrupt_leaves_the_best_weights_so_far(ema_decay):
    data, n_validation = conditional_gaussian(160), 40
    loss = problem()
    history = train_denoiser(
        loss,
        data,
        n_validation=n_validation,
        max_epochs=50,
        batch_size=40,
        lr=0.05,
        ema_decay=ema_decay,
        callbacks=[("interrupt", At(interrupt, batch=3 * 8 + 2))],
    )
    curve = history.validation_loss_curve
    assert len(curve) == len(history.loss_curve) == len(history.learning_rate_curve) == 8
    held_out = {name: rows[-n_validation:] for name, rows in data.items()}
    assert evaluate(loss, held_out) == pytest.approx(min(curve), rel=1e-5)


@pytest.mark.parametrize("ema_decay", [None, 0.5])
def test_an_interrupt_in_the_first_epoch_leaves_what_was_learnt(ema_decay):
    loss = problem()
    start = weights_of(loss)
    history = train_denoiser(
        loss,
        conditional_gaussian(160),
        n_validation=40,
        batch_size=40,
        ema_decay=ema_decay,
        callbacks=[("interrupt", At(interrupt, batch=2))],
    )
    assert history.best_epoch == -1
    assert history.loss_curve == history.validation_loss_curve == []
    assert torch.isfinite(weights_of(loss)).all()
    assert not torch.equal(weights_of(loss), start)


def test_a_plateau_reduces_the_learning_rate_down_to_its_least():
    history = train_denoiser(
        problem(),
        conditional_gaussian(60),
        n_validation=20,
        max_epochs=25,
        batch_size=10,
        lr=0.1,
        plateau=(0.1, 1, 0.002),
    )
    rates = history.learning_rate_curve
    assert rates[0] == 0.1
    assert sorted(set(rates), reverse=True) == pytest.approx([0.1, 0.01, 0.002])
    best = float("inf")
    misses = 0
    for epoch, (loss, following) in enumerate(
        zip(history.validation_loss_curve, [*rates[1:], rates[-1]], strict=True)
    ):
        misses = 0 if loss < best * (1 - 1e-4) else misses + 1
        best = min(best, loss)
        if misses > 1 and rates[epoch] > 0.002:
            assert following < rates[epoch]
            break


def test_clipping_bounds_the_step_s_gradient():
    norms = []

    def record(net):
        gradients = [p.grad for p in net.module_.parameters() if p.grad is not None]
        norms.append(float(torch.nn.utils.parameters_to_vector(gradients).norm()))

    for clip_norm in (None, 0.01):
        train_denoiser(
            problem(),
            conditional_gaussian(60),
            max_epochs=1,
            batch_size=60,
            clip_norm=clip_norm,
            callbacks=[("record", At(record))],
        )
    free, clipped = norms
    assert free > 0.1
    assert clipped == pytest.approx(0.01, rel=1e-3)


def test_the_same_seed_gives_the_same_bits_and_another_seed_others():
    options = {"n_validation": 40, "max_epochs": 3, "batch_size": 32, "ema_decay": 0.9}
    outcomes = []
    for seed in (0, 0, 1):
        loss = problem(seed)
        history = train_denoiser(loss, conditional_gaussian(200), **options)
        outcomes.append((weights_of(loss), history.loss_curve, history.validation_loss_curve))
    first, second, other = outcomes
    assert torch.equal(first[0], second[0])
    assert first[1:] == second[1:]
    assert not torch.equal(first[0], other[0])


def test_data_and_frozen_parts_are_left_alone():
    data = conditional_gaussian(60)
    before = copy.deepcopy(data)
    loss = problem()
    base = copy.deepcopy(loss.denoiser.base.state_dict())
    train_denoiser(loss, data, n_validation=20, max_epochs=2, batch_size=20, ema_decay=0.9)
    assert all(torch.equal(data[name], before[name]) for name in data)
    after = loss.denoiser.base.state_dict()
    assert all(torch.equal(after[name], base[name]) for name in base)


@pytest.mark.parametrize(("verbose", "n_lines"), [(0, 0), (1, 3)])
def test_progress_takes_a_line_for_each_epoch(capsys, verbose, n_lines):
    train_denoiser(
        problem(), conditional_gaussian(60), n_validation=20, max_epochs=3, verbose=verbose
    )
    lines = [line for line in capsys.readouterr().out.splitlines() if line.strip()[:1].isdigit()]
    assert len(lines) == n_lines


@pytest.mark.parametrize("n_validation", [-1, 60, 61])
def test_validation_must_leave_rows_to_train_on(n_validation):
    with pytest.raises(ValueError, match="n_validation"):
        train_denoiser(problem(), conditional_gaussian(60), n_validation=n_validation)


def test_a_training_that_diverges_says_so():
    data = conditional_gaussian(60)
    data["x_0"][10] = torch.inf
    with pytest.raises(FloatingPointError, match="diverged"):
        train_denoiser(problem(), data, n_validation=20, max_epochs=2)


def test_weights_from_before_a_divergence_are_kept():
    def poison(net):
        for parameter in net.module_.parameters():
            parameter.data.fill_(torch.nan)

    history = train_denoiser(
        problem(),
        conditional_gaussian(60),
        n_validation=20,
        batch_size=40,
        max_epochs=50,
        patience=3,
        callbacks=[("poison", At(poison, batch=5))],
    )
    assert history.best_epoch < 4
    assert len(history.loss_curve) < 50


def test_several_draws_make_the_loss_less_noisy_and_no_different():
    data = conditional_gaussian(400)
    single, several = (problem(n_draws=n) for n in (1, 16))
    one = torch.stack([single(**data).detach() for _ in range(64)])
    many = torch.stack([several(**data).detach() for _ in range(8)])
    assert float(many.mean()) == pytest.approx(float(one.mean()), rel=0.02)
    # Strata of the time do better than sixteen independent draws would.
    assert many.var(0).mean() < one.var(0).mean() / 16


def test_averages_over_features_instead_of_sums():
    data = conditional_gaussian(50)
    summed, averaged = (problem(average=average) for average in (False, True))
    torch.testing.assert_close(summed(**data), 2 * averaged(**data))


def test_the_penalty_is_weighted_and_sees_its_context():
    data, context = conditional_gaussian(50), draws(50, 3, seed=4)
    contexts = []

    def penalty(denoised, context):
        contexts.append(context)
        return denoised.square().sum(-1) + context[:, 0] ** 2

    def charge(weight, **inputs):
        with torch.no_grad():
            plain = problem().eval()(**data)
            return problem(penalty=penalty, penalty_weight=weight).eval()(**data, **inputs) - plain

    single, double = charge(0.3, context=context), charge(0.6, context=context)
    assert (single > 0).all()
    torch.testing.assert_close(double, 2 * single, rtol=1e-4, atol=1e-4)
    assert torch.equal(contexts[0], context.repeat(8, 1))
    charge(0.3)
    assert torch.equal(contexts[-1], data["condition"].repeat(8, 1))


def test_the_penalty_steers_what_is_learnt():
    data = conditional_gaussian(400)

    def mean_estimate(**options):
        denoiser = NetworkDenoiser(FiLMMLP(2, 2, width=32), SCHEDULE, "x0")
        loss = DenoisingLoss(denoiser, uniform_times, 0, "x0", **options)
        train_denoiser(loss, data, max_epochs=20, batch_size=50, lr=5e-3)
        with torch.no_grad():
            t = torch.tensor(0.3)
            noisy = SCHEDULE.alpha(t) * data["x_0"] + SCHEDULE.sigma(t) * draws(400, 2, seed=7)
            return float(denoiser(noisy, t, data["condition"]).clamp(max=0).mean())

    free = mean_estimate()
    charged = mean_estimate(penalty=lambda x, _: (-x).relu().sum(-1), penalty_weight=1.0)
    assert free < -0.3
    assert charged > 0.5 * free


def test_batches_cover_every_row_once_in_a_new_order_each_epoch():
    data = {"x_0": torch.arange(70.0)[:, None].expand(-1, 2).clone()}
    epochs = [[], []]

    class Collect(Callback):
        def on_batch_begin(self, net, batch=None, training=False, **kwargs):
            epochs[len(net.history) - 1].append(batch[0]["x_0"][:, 0])

    loss = DenoisingLoss(NetworkDenoiser(FiLMMLP(2), SCHEDULE), uniform_times, 0)
    train_denoiser(loss, data, max_epochs=2, batch_size=32, callbacks=[("collect", Collect())])
    assert [[len(batch) for batch in epoch] for epoch in epochs] == [[32, 32, 6]] * 2
    orders = [torch.cat(epoch) for epoch in epochs]
    assert all(torch.equal(order.sort().values, torch.arange(70.0)) for order in orders)
    for first, second in itertools.combinations([*orders, torch.arange(70.0)], 2):
        assert not torch.equal(first, second)
