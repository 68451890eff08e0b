"""The one-hidden-layer network and its interpolation in time."""

import math

import numpy as np
import pytest
import torch

from sklearn_diffusion.diffusion import CosineUnits, HermiteUnits
from sklearn_diffusion.nets import HiddenLayerNetwork

D, UNITS = 3, 7
NODES = torch.tensor([0.05, 0.2, 0.5, 1.0], dtype=torch.float64)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def network(nodes=NODES, skip=True, units=None, fill=True):
    net = HiddenLayerNetwork(D, UNITS, units or HermiteUnits(), nodes, skip, generator())
    if fill:
        with torch.no_grad():
            net.output.copy_(torch.randn(net.output.shape, generator=generator(1)))
    return net


def rows(n=11):
    return torch.randn(n, D, generator=generator(2), dtype=torch.float64)


def test_interpolation_weights_sum_to_one():
    t = torch.linspace(0, 1.2, 50, dtype=torch.float64)
    weights = network().interpolation(t)
    assert weights.shape == (50, len(NODES))
    assert (weights >= 0).all()
    torch.testing.assert_close(weights.sum(-1), torch.ones_like(t))


def test_interpolation_is_exact_at_the_nodes_and_linear_between():
    net = network()
    torch.testing.assert_close(net.interpolation(NODES), torch.eye(4, dtype=torch.float64))
    middle = net.interpolation(torch.tensor([0.35], dtype=torch.float64))
    expected = torch.tensor([[0, 0.5, 0.5, 0]], dtype=torch.float64)
    torch.testing.assert_close(middle, expected)


def test_interpolation_is_constant_outside_the_nodes():
    net = network()
    outside = net.interpolation(torch.tensor([0.0, 3.0], dtype=torch.float64))
    torch.testing.assert_close(outside, torch.eye(4, dtype=torch.float64)[[0, 3]])


@pytest.mark.parametrize("skip", [False, True])
def test_output_is_the_layer_of_its_time(skip):
    net, x = network(skip=skip), rows()
    units = torch.tanh(x @ net.hidden_weight.T + net.hidden_bias)
    hidden = torch.cat([units, *([x] if skip else []), torch.ones(len(x), 1)], dim=1)
    for node, layer in zip(NODES, net.output, strict=True):
        torch.testing.assert_close(net(x, node), hidden @ layer.T)
    between = net(x, torch.tensor(0.35, dtype=torch.float64))
    torch.testing.assert_close(between, hidden @ (net.output[1] + net.output[2]).T / 2)


def test_a_time_per_row_equals_one_time_for_all():
    net, x = network(), rows()
    t = torch.rand(len(x), generator=generator(3), dtype=torch.float64)
    one_by_one = torch.cat([net(x[i : i + 1], t[i]) for i in range(len(x))])
    torch.testing.assert_close(net(x, t), one_by_one)


def test_a_single_node_makes_the_network_independent_of_time():
    net, x = network(nodes=NODES[:1]), rows()
    expected = net(x, torch.tensor(0.0, dtype=torch.float64))
    for t in (torch.tensor(0.9, dtype=torch.float64), torch.linspace(0, 1, len(x)).double()):
        torch.testing.assert_close(net(x, t), expected)


def test_training_starts_from_zero_output():
    net = network(fill=False)
    assert not net(rows(), torch.tensor(0.5, dtype=torch.float64)).any()


def test_standardised_data_give_pre_activations_of_unit_variance():
    net = HiddenLayerNetwork(50, 4000, HermiteUnits(), NODES, True, generator())
    spread = net.hidden_weight.detach().square().sum(1).mean()
    assert float(spread) == pytest.approx(1, rel=0.02)


def test_cosine_units_start_with_a_uniform_phase():
    net = HiddenLayerNetwork(2, 4000, CosineUnits(), NODES, True, generator())
    phase = net.hidden_bias.detach().numpy()
    assert phase.min() >= 0 and phase.max() <= 2 * math.pi
    counts, _ = np.histogram(phase, bins=8, range=(0, 2 * math.pi))
    assert (np.abs(counts - 500) < 100).all()


def test_the_generator_decides_the_hidden_layer():
    first, same = network(), network()
    other = HiddenLayerNetwork(D, UNITS, HermiteUnits(), NODES, True, generator(9))
    torch.testing.assert_close(first.hidden_weight, same.hidden_weight, rtol=0, atol=0)
    assert (first.hidden_weight != other.hidden_weight).all()


def test_dtype_follows_the_nodes():
    net = HiddenLayerNetwork(D, UNITS, HermiteUnits(), NODES.float(), True, generator())
    assert {p.dtype for p in net.parameters()} == {torch.float32}
    assert net(rows().float(), torch.tensor(0.3)).dtype == torch.float32
