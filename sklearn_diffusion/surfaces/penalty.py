"""Penalty on static arbitrage, differentiable and weighted by the signal-to-noise ratio.

A denoising loss sees the data only through noise. While it trains, the denoised estimate can be
mapped back to volatilities and charged for the arbitrage it contains; the less noise there is, the
more that estimate is worth, and the more it is charged (paper C: Jin & Agarwal, arXiv 2511.07571).
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from sklearn_diffusion.arbitrage import arbitrage_operators, surrogate_operators
from sklearn_diffusion.grid import SurfaceGrid

__all__ = ["ArbitrageExcess", "TargetPenalty"]

Form = Literal["price", "iv"]


class ArbitrageExcess(nn.Module):
    r"""Static arbitrage of surfaces, as a differentiable function of their volatilities.

    The same measures as `sklearn_diffusion.arbitrage.arbitrage_penalty`, from the same matrices:
    :math:`\Phi = p_1 + p_2 + p_3` on relative call prices, or the surrogate in volatilities.

    Parameters
    ----------
    grid : SurfaceGrid
        Where the surfaces live.
    rate : float, default=0.0
        Continuously compounded interest rate, a year. It does not enter the surrogate.
    form : {"price", "iv"}, default="price"
        ``"price"`` is :math:`\Phi`; ``"iv"`` the surrogate.

    References
    ----------
    Jin & Agarwal, arXiv 2511.07571, equations (29) to (33).

    Examples
    --------
    >>> import torch
    >>> from sklearn_diffusion.surfaces.penalty import ArbitrageExcess
    >>> from sklearn_diffusion.grid import SurfaceGrid
    >>> penalty = ArbitrageExcess(SurfaceGrid([0.9, 1.0, 1.1], [0.25, 0.5]))
    >>> penalty(torch.tensor([[0.2] * 6, [0.4, 0.2] * 3])).round(decimals=3)
    tensor([0.0000, 0.2490])
    """

    moneyness: Tensor
    tenors: Tensor
    calendar: Tensor
    spread: Tensor
    butterfly: Tensor

    def __init__(self, grid: SurfaceGrid, rate: float = 0.0, form: Form = "price"):
        super().__init__()
        if form not in get_args(Form):
            raise ValueError(f"form must be 'price' or 'iv', got {form!r}.")
        self.form = form
        self.rate = rate
        moneyness, tenors = np.meshgrid(grid.moneyness, grid.tenors, indexing="ij")
        operators = arbitrage_operators(grid) if form == "price" else surrogate_operators(grid)
        buffers = {"moneyness": moneyness.ravel(), "tenors": tenors.ravel(), **vars(operators)}
        for name, values in buffers.items():
            self.register_buffer(name, torch.from_numpy(values))

    def forward(self, volatility: Tensor) -> Tensor:
        """Measure each surface.

        Parameters
        ----------
        volatility : Tensor of shape (..., n_cells)
            Flattened surfaces of implied volatility, as positive decimals.

        Returns
        -------
        penalty : Tensor of shape (...)
        """
        # Single precision would leave rounding errors that count as arbitrage: differences of
        # prices are divided by as little as a day.
        surface = volatility.double()
        if self.form == "price":
            calls = self._relative_calls(surface)
            operators = (self.calendar, self.spread, self.butterfly)
            excess = [(calls @ matrix.double().T).relu().sum(-1) for matrix in operators]
        else:
            excess = [
                _mean_square_excess(surface**2 * self.tenors.double(), self.calendar),
                _mean_square_excess(surface, self.butterfly),
            ]
        return torch.stack(excess).sum(0).to(volatility)

    def _relative_calls(self, surface: Tensor) -> Tensor:
        moneyness, tenors = self.moneyness.double(), self.tenors.double()
        deviation = surface * tenors.sqrt()
        d1 = (self.rate * tenors - moneyness.log()) / deviation + deviation / 2
        discounted_strike = moneyness * torch.exp(-self.rate * tenors)
        ndtr = torch.special.ndtr
        return ndtr(d1) - discounted_strike * ndtr(d1 - deviation)


class TargetPenalty(nn.Module):
    """Arbitrage of standardised targets, by way of their volatilities.

    Parameters
    ----------
    excess : ArbitrageExcess
        What a surface is charged for.
    basis : Tensor of shape (n_cells, n_cells)
        Basis of the target's affine map. Its offset and scale, (n, n_cells + 1), are the context.
    """

    basis: Tensor

    def __init__(self, excess: ArbitrageExcess, basis: Tensor):
        super().__init__()
        self.excess = excess
        self.register_buffer("basis", basis)

    def forward(self, w: Tensor, context: Tensor) -> Tensor:
        """Measure the surface of each target.

        Parameters
        ----------
        w : Tensor of shape (n, n_cells)
            Standardised targets.
        context : Tensor of shape (n, n_cells + 1)
            Offset and scale of each row's affine map.

        Returns
        -------
        penalty : Tensor of shape (n,)
        """
        offset, scale = context[:, :-1], context[:, -1:]
        return self.excess(torch.exp(offset + scale * (w @ self.basis)))


def _mean_square_excess(values: Tensor, operator: Tensor) -> Tensor:
    # Divides by at least one, so that an axis too short to violate anything counts as zero.
    violations = (values @ operator.double().T).relu()
    return violations.square().sum(-1) / max(violations.shape[-1], 1)
