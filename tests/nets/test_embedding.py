"""What networks share: embedding of the time, FiLM, seeded weights and broadcasting."""

import math

import pytest
import torch
from torch import nn

from sklearn_diffusion.nets import FiLM, SinusoidalEmbedding, seeded_init
from sklearn_diffusion.nets.embedding import join_condition


def draws(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def film(n_context, n_channels, seed=0):
    with seeded_init(seed):
        return FiLM(n_context, n_channels)


def test_seeded_weights_depend_on_the_seed_alone():
    with seeded_init(3):
        first = nn.Linear(4, 4)
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(99)
        with seeded_init(3):
            second = nn.Linear(4, 4)
    with seeded_init(4):
        other = nn.Linear(4, 4)
    assert torch.equal(first.weight, second.weight)
    assert not torch.equal(first.weight, other.weight)


def test_seeded_weights_leave_the_global_state_even_after_an_error():
    before = torch.get_rng_state()
    with pytest.raises(RuntimeError, match="inside"), seeded_init(0):
        torch.rand(3)
        raise RuntimeError("inside")
    assert torch.equal(torch.get_rng_state(), before)


def test_embedding_spans_a_quarter_turn_to_the_fastest_frequency():
    embedding = SinusoidalEmbedding(6, max_frequency=50.0)
    frequencies = embedding.frequencies.double()
    ratio = frequencies[1:] / frequencies[:-1]
    torch.testing.assert_close(ratio[0], ratio[1], rtol=1e-5, atol=0)
    t = torch.tensor([0.0, 0.3, 1.0])
    expected = torch.cat([torch.sin(t * math.pi / 2)[:, None], torch.sin(50 * t)[:, None]], dim=1)
    torch.testing.assert_close(embedding(t)[:, [0, 2]], expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(embedding(t).square().sum(-1), torch.full((3,), 3.0))


def test_embedding_tells_all_times_of_a_schedule_apart():
    embedded = SinusoidalEmbedding(10)(torch.linspace(0, 1, 501))
    assert torch.pdist(embedded).min() > 1e-3


@pytest.mark.parametrize("n_features", [0, 5])
def test_embedding_refuses_an_odd_size(n_features):
    with pytest.raises(ValueError, match="even number of features"):
        SinusoidalEmbedding(n_features)


@pytest.mark.parametrize("trailing", [(), (4,), (3, 5)])
def test_film_is_the_identity_at_first(trailing):
    features = draws(7, 6, *trailing)
    assert torch.equal(film(3, 6)(features, draws(7, 3, seed=1)), features)


def test_film_scales_and_shifts_each_channel():
    block = film(2, 3)
    with torch.no_grad():
        block.project.bias.copy_(torch.tensor([1.0, 0.0, -1.0, 0.0, 5.0, 7.0]))
    features = draws(4, 3, 2, 2)
    modulated = block(features, draws(4, 2, seed=1))
    torch.testing.assert_close(modulated[:, 0], 2 * features[:, 0])
    torch.testing.assert_close(modulated[:, 1], features[:, 1] + 5)
    torch.testing.assert_close(modulated[:, 2], torch.full_like(features[:, 2], 7.0))


def test_film_learns_from_its_context():
    block = film(2, 3)
    block(draws(8, 3), draws(8, 2, seed=1)).square().sum().backward()
    assert block.project.weight.grad.abs().max() > 0


def test_times_and_conditions_are_spread_over_the_leading_axes():
    x, t, condition = draws(4, 3, 5), draws(3, seed=1), draws(3, 2, seed=2)
    rows, times, conditions = join_condition(x, t, condition, 2)
    for sample in range(4):
        for day in range(3):
            row = 3 * sample + day
            assert torch.equal(rows[row], x[sample, day])
            assert torch.equal(times[row], t[day])
            assert torch.equal(conditions[row], condition[day])


@pytest.mark.parametrize("condition", [None, torch.zeros(3, 4)])
def test_a_condition_of_the_wrong_size_is_refused(condition):
    with pytest.raises(ValueError, match="built for 2 condition features"):
        join_condition(torch.zeros(3, 5), torch.tensor(0.5), condition, 2)
