"""The paper's conditional U-Net, on grids of any size."""

import pytest
import torch

from sklearn_diffusion.diffusion import CosineSchedule, NetworkDenoiser
from sklearn_diffusion.nets import ConditionalUNet
from sklearn_diffusion.training.loop import train_denoiser
from sklearn_diffusion.training.loss import DenoisingLoss

GRIDS = [(9, 9), (7, 4), (7, 6), (2, 3), (1, 1), (1, 5)]


def draws(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def awaken(network, seed=0):
    """Give every parameter a value, those that start at zero too."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=generator))
    return network


@pytest.mark.parametrize("shape", GRIDS, ids=str)
@pytest.mark.parametrize("channels", [(4,), (4, 6), (4, 6, 8)], ids=len)
def test_any_grid_and_any_depth(shape, channels):
    n_cells = shape[0] * shape[1]
    network = ConditionalUNet(shape, 2, 3, channels=channels)
    output = network(draws(5, n_cells), torch.tensor(0.5), draws(5, 2 * n_cells + 3))
    assert output.shape == (5, n_cells)
    output.sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_the_paper_s_network_is_small():
    """The paper's U-Net on 9 x 9 with three condition surfaces and five scalars: 26,991 weights."""
    network = ConditionalUNet((9, 9), n_condition_surfaces=3, n_scalars=5)
    convolutions = sum(
        9 * n_in * n_out + n_out
        for n_in, n_out in [(4, 16), (16, 16), (16, 30), (30, 30), (46, 16), (16, 16), (16, 1)]
    )
    films = sum((20 * 10 + 10) + (10 * 10 + 10) + (10 + 1) * 2 * n for n in (16, 30, 16))
    scalars = (5 * 10 + 10) + (10 * 10 + 10)
    n_parameters = sum(parameter.numel() for parameter in network.parameters())
    assert n_parameters == convolutions + films + scalars == 26_991


def test_before_training_time_and_scalars_change_nothing():
    network = ConditionalUNet((3, 4), 1, 2)
    x, surface = draws(5, 12), draws(5, 12, seed=1)
    outputs = [
        network(x, torch.tensor(t), torch.cat([surface, draws(5, 2, seed=seed)], dim=1))
        for t, seed in [(0.1, 2), (0.9, 3)]
    ]
    assert torch.equal(*outputs)
    assert outputs[0].abs().max() > 0


def test_a_zero_output_starts_at_zero():
    network = ConditionalUNet((3, 4), zero_output=True)
    assert torch.equal(network(draws(5, 12), torch.tensor(0.5)), torch.zeros(5, 12))


def test_samples_and_days_agree_with_rows_one_at_a_time():
    network = awaken(ConditionalUNet((3, 4), 1, 2))
    x, t, condition = draws(6, 3, 12), torch.tensor(0.4), draws(3, 14, seed=1)
    together = network(x, t, condition)
    for day in range(3):
        alone = torch.cat([network(row[None], t, condition[day]) for row in x[:, day]])
        torch.testing.assert_close(together[:, day], alone)


def test_every_input_matters():
    network = awaken(ConditionalUNet((3, 4), 2, 2))
    x, t, condition = draws(5, 12), torch.tensor(0.4), draws(5, 26, seed=1)
    base = network(x, t, condition)
    assert (network(x + 0.1, t, condition) - base).abs().max() > 1e-3
    assert (network(x, t + 0.1, condition) - base).abs().max() > 1e-3
    for feature in range(26):
        moved = condition.clone()
        moved[:, feature] += 0.5
        assert (network(x, t, moved) - base).abs().max() > 1e-3, feature


def test_cells_lie_in_the_order_of_the_grid():
    # One convolution reaches one cell in each direction: the two of a block, the output's and no
    # more reach three, so a change in one corner stays within three cells of it.
    network = awaken(ConditionalUNet((9, 7), channels=(4,)))
    x = draws(1, 63)
    moved = x.clone()
    moved[0, 0] += 1
    t = torch.tensor(0.4)
    reached = ((network(moved, t) - network(x, t)).abs() > 1e-6).reshape(9, 7)
    assert reached[:4, :4].all()
    assert reached.sum() == 16


def test_weights_come_from_the_seed():
    first, second, other = (ConditionalUNet((3, 4), 1, 1, seed=s).state_dict() for s in (0, 0, 1))
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["output.weight"], other["output.weight"])


def test_training_makes_surfaces_and_scalars_count():
    surface, scalar = draws(300, 6), draws(300, 1, seed=1)
    x_0 = 0.7 * surface + 0.7 * scalar + 0.1 * draws(300, 6, seed=2)
    condition = torch.cat([surface, scalar], dim=1)
    network = ConditionalUNet((2, 3), 1, 1, zero_output=True)
    denoiser = NetworkDenoiser(network, CosineSchedule(50), "v")
    loss = DenoisingLoss(
        denoiser, lambda u: 1 + (50 * u).floor().clamp(max=49), 0, "v", average=True
    )
    data = {"x_0": x_0[:250], "condition": condition[:250]}
    train_denoiser(loss, data, max_epochs=25, batch_size=50, lr=5e-3)
    with torch.no_grad():
        estimate = denoiser(draws(50, 6, seed=3), torch.tensor(50.0), condition[250:])
    residual = (estimate - x_0[250:]).square().mean() / x_0[250:].square().mean()
    assert residual < 0.3
