"""The conditional perceptron, and what it starts as around a closed form."""

import pytest
import torch

from sklearn_diffusion.diffusion import CorrectedDenoiser, GaussianDenoiser, VariancePreserving
from sklearn_diffusion.nets import FiLMMLP


def draws(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def awaken(network, seed=0):
    """Give every parameter a value, those that start at zero too."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return network


@pytest.mark.parametrize("depth", [1, 2, 3])
def test_it_starts_at_zero_and_its_output_layer_learns_first(depth):
    network = FiLMMLP(4, 2, depth=depth)
    output = network(draws(8, 4), torch.rand(8, generator=torch.Generator()), draws(8, 2))
    assert torch.equal(output, torch.zeros(8, 4))
    (output - 1).square().sum().backward()
    moved = {name for name, p in network.named_parameters() if p.grad.abs().max() > 0}
    assert moved == {"output.weight", "output.bias"}


def test_a_corrected_denoiser_starts_as_its_base():
    base = GaussianDenoiser(torch.zeros(4), torch.eye(4), VariancePreserving())
    denoiser = CorrectedDenoiser(base, FiLMMLP(4, 2))
    x_t, t = draws(5, 4), torch.tensor(0.5)
    torch.testing.assert_close(denoiser(x_t, t, draws(5, 2)), base(x_t, t))


def test_samples_and_days_agree_with_rows_one_at_a_time():
    network = awaken(FiLMMLP(4, 2))
    x, t, condition = draws(6, 3, 4), torch.tensor(0.4), draws(3, 2, seed=1)
    together = network(x, t, condition)
    for day in range(3):
        alone = torch.cat([network(row[None], t, condition[day]) for row in x[:, day]])
        torch.testing.assert_close(together[:, day], alone)


@pytest.mark.parametrize("changed", ["x", "t", "condition"])
def test_every_input_matters(changed):
    network = awaken(FiLMMLP(4, 2))
    inputs = {"x": draws(5, 4), "t": torch.full((5,), 0.4), "condition": draws(5, 2, seed=1)}
    other = inputs | {changed: inputs[changed] + 0.1}
    difference = network(*inputs.values()) - network(*other.values())
    assert difference.abs().amax(1).min() > 1e-4


def test_it_does_without_a_condition():
    assert FiLMMLP(4)(draws(5, 4), torch.tensor(0.5)).shape == (5, 4)


def test_weights_come_from_the_seed():
    first, second, other = (FiLMMLP(4, 2, seed=seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["layers.0.weight"], other["layers.0.weight"])
