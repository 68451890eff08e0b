"""Penalty on static arbitrage, differentiable and weighted by the signal-to-noise ratio.

A denoising loss sees the data only through noise. While it trains, the denoised estimate can be
mapped back to volatilities and charged for the arbitrage it contains; the less noise there is, the
more that estimate is worth, and the more it is charged (paper C: Jin & Agarwal, arXiv 2511.07571).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from sklearn_diffusion.arbitrage import arbitrage_operators, surrogate_operators
from sklearn_diffusion.grid import SurfaceGrid

__all__ = ["ArbitragePenalty", "snr_weighted"]

Form = Literal["price", "iv"]


class ArbitragePenalty(nn.Module):
    r"""Static arbitrage of surfaces, as a differentiable function of their volatilities.

    The same measures as `sklearn_diffusion.arbitrage.arbitrage_penalty`, from the same matrices:
    :math:`\Phi = p_1 + p_2 + p_3` on relative call prices, or the surrogate in volatilities.

    Parameters
    ----------
    grid : SurfaceGrid
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
    >>> from sklearn_diffusion.diffusion.penalty import ArbitragePenalty
    >>> from sklearn_diffusion.grid import SurfaceGrid
    >>> penalty = ArbitragePenalty(SurfaceGrid([0.9, 1.0, 1.1], [0.25, 0.5]))
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


def _mean_square_excess(values: Tensor, operator: Tensor) -> Tensor:
    # Divides by at least one, so that an axis too short to violate anything counts as zero.
    violations = (values @ operator.double().T).relu()
    return violations.square().sum(-1) / max(violations.shape[-1], 1)


def snr_weighted(
    penalty: Callable[[Tensor, Tensor | None], Tensor],
    denoised: Tensor,
    alpha: Tensor,
    sigma: Tensor,
    context: Tensor | None = None,
    bound: float = 10.0,
) -> Tensor:
    r"""Penalty on denoised estimates, times the signal-to-noise ratio.

    Parameters
    ----------
    penalty : callable
        Maps denoised data (n, n_features) and their context to penalties of shape (n,).
    denoised : Tensor of shape (n, n_features)
        Estimate of the clean data, standardised.
    alpha, sigma : Tensor of shape (n, 1)
        Schedule at the time of each row.
    context : Tensor of shape (n, ...), optional
        Passed to `penalty`: what it takes to map increments back to levels, for example.
    bound : float, default=10.0
        Number of standard deviations beyond which estimates are cut off. An untrained network is
        that far off where there is hardly any signal, and the exponential of a log volatility
        would overflow where the penalty counts for nothing.

    Returns
    -------
    penalty : Tensor of shape (n,)
        :math:`\bar\alpha / (1 - \bar\alpha + 10^{-8})` times the penalty.

    References
    ----------
    Jin & Agarwal, arXiv 2511.07571, equations (40) and (41).
    """
    snr = (alpha**2 / (sigma**2 + 1e-8)).mean(-1)
    return snr * penalty(denoised.clamp(-bound, bound), context)
