"""The network of paper C (Jin & Agarwal, arXiv 2511.07571, section 5.2): a conditional U-Net."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from sklearn_diffusion.nets.embedding import (
    FiLM,
    SinusoidalEmbedding,
    join_condition,
    perceptron,
    seeded_init,
)

__all__ = ["ConditionalUNet"]


class ConvBlock(nn.Module):
    """Two 3 x 3 convolutions that keep the size, then FiLM.

    Parameters
    ----------
    n_in, n_out : int
        Number of channels before and after.
    n_context : int
        Number of context features.
    """

    def __init__(self, n_in: int, n_out: int, n_context: int):
        super().__init__()
        self.convolutions = nn.Sequential(
            nn.Conv2d(n_in, n_out, kernel_size=3, padding=1),
            nn.SiLU(),
            nn.Conv2d(n_out, n_out, kernel_size=3, padding=1),
            nn.SiLU(),
        )
        self.film = FiLM(n_context, n_out)

    def forward(self, images: Tensor, context: Tensor) -> Tensor:
        return self.film(self.convolutions(images), context)


class ConditionalUNet(nn.Module):
    """U-Net on surfaces, conditioned on further surfaces and on scalars.

    The noisy surface and the condition surfaces are the input channels. The encoder halves the
    grid at each level, the decoder interpolates back to the very size it came from, so any grid
    will do. Every block of convolutions is modulated (`FiLM`) by the embedded time and scalars.

    Surfaces are passed as rows in the order of `SurfaceGrid`: flat, the tenors of one moneyness
    adjacent.

    Parameters
    ----------
    shape : tuple of (int, int)
        (n_moneyness, n_tenors).
    n_condition_surfaces : int, default=0
        Number of condition surfaces: today's and its two moving averages in the paper.
    n_scalars : int, default=0
        Number of condition scalars.
    channels : tuple of int, default=(16, 30)
        Channels of each level, the last being the bottleneck.
    time_features : int, default=10
        Size of the embedding of the time, even.
    scalar_features : int, default=10
        Size of the embedding of the scalars.
    zero_output : bool, default=False
        Whether the last layer starts at zero, as the correction of a closed-form denoiser should.
    seed : int, default=0
        Seed of the initial weights.

    Notes
    -----
    A row of the condition holds the surfaces one after the other, then the scalars.

    The paper gives a total embedding of 24 for its two embeddings of 10 each; this is their
    concatenation, of 20. It does not say what a block of convolutions contains: these are the two
    convolutions of the U-Net that it cites (Ronneberger, Fischer & Brox, 2015), without
    normalisation, since its inputs are standardised.

    References
    ----------
    Jin & Agarwal, arXiv 2511.07571, section 5.2 and equation (36).

    Examples
    --------
    >>> import torch
    >>> from sklearn_diffusion.nets import ConditionalUNet
    >>> network = ConditionalUNet((9, 9), n_condition_surfaces=3, n_scalars=5)
    >>> network(torch.ones(2, 81), torch.tensor(0.5), torch.ones(3 * 81 + 5)).shape
    torch.Size([2, 81])
    """

    def __init__(
        self,
        shape: tuple[int, int],
        n_condition_surfaces: int = 0,
        n_scalars: int = 0,
        channels: tuple[int, ...] = (16, 30),
        time_features: int = 10,
        scalar_features: int = 10,
        zero_output: bool = False,
        seed: int = 0,
    ):
        super().__init__()
        self.shape = tuple(shape)
        self.n_surface_values = n_condition_surfaces * shape[0] * shape[1]
        self.n_condition = self.n_surface_values + n_scalars
        n_context = time_features + (scalar_features if n_scalars else 0)
        with seeded_init(seed):
            self.embedding = SinusoidalEmbedding(time_features)
            self.scalars = (
                perceptron([n_scalars, scalar_features, scalar_features]) if n_scalars else None
            )
            inputs = [1 + n_condition_surfaces, *channels[:-1]]
            self.encoder = nn.ModuleList(
                ConvBlock(n_in, n_out, n_context)
                for n_in, n_out in zip(inputs, channels, strict=True)
            )
            self.decoder = nn.ModuleList(
                ConvBlock(below + level, level, n_context)
                for level, below in zip(channels[-2::-1], channels[:0:-1], strict=True)
            )
            self.output = nn.Conv2d(channels[0], 1, kernel_size=3, padding=1)
        self.pool = nn.AvgPool2d(2, ceil_mode=True)
        if zero_output:
            for parameter in self.output.parameters():
                nn.init.zeros_(parameter)

    def forward(self, x_t: Tensor, t: Tensor, condition: Tensor | None = None) -> Tensor:
        """Map noisy surfaces to the network's output.

        Parameters
        ----------
        x_t : Tensor of shape (..., n_cells)
            Noisy surfaces.
        t : Tensor, broadcastable to the shape ``(...)``
            Times, scaled to [0, 1].
        condition : Tensor, broadcastable to the shape ``(..., n_condition)``, optional
            Condition surfaces, then scalars.

        Returns
        -------
        output : Tensor of shape (..., n_cells)
        """
        rows, t, condition = join_condition(x_t, t, condition, self.n_condition)
        context = self.embedding(t)
        if self.scalars is not None:
            scalars = self.scalars(condition[:, self.n_surface_values :])
            context = torch.cat([context, scalars], dim=1)
        surfaces = torch.cat([rows, condition[:, : self.n_surface_values]], dim=1)
        hidden = surfaces.reshape(len(rows), -1, *self.shape)
        # The layout in which a CPU convolves few channels fastest, by a third without gradients.
        hidden = hidden.contiguous(memory_format=torch.channels_last)

        skipped = []
        for level, block in enumerate(self.encoder):
            if level > 0:
                skipped.append(hidden)
                hidden = self.pool(hidden)
            hidden = block(hidden, context)
        for block in self.decoder:
            skip = skipped.pop()
            hidden = nn.functional.interpolate(hidden, size=skip.shape[-2:], mode="nearest")
            hidden = block(torch.cat([skip, hidden], dim=1), context)
        return self.output(hidden).reshape(x_t.shape)
