"""A network on cells of the grid, for data in the coordinates of orthogonal axes."""

from __future__ import annotations

from torch import Tensor, nn

__all__ = ["RotatedNetwork"]


class RotatedNetwork(nn.Module):
    """Network on grid cells for data in the coordinates of orthogonal axes.

    Parameters
    ----------
    network : Module
        Called as ``network(x_t, t, condition)`` on cells.
    axes : Tensor of shape (n_cells, n_cells)
        Orthogonal, one axis per column.
    """

    axes: Tensor

    def __init__(self, network: nn.Module, axes: Tensor):
        super().__init__()
        self.network = network
        self.register_buffer("axes", axes)

    def forward(self, x_t: Tensor, t: Tensor, condition: Tensor | None = None) -> Tensor:
        """Output of the network, in the coordinates of the axes.

        Parameters
        ----------
        x_t : Tensor of shape (..., n_cells)
            Noisy data, in the coordinates of the axes.
        t : Tensor, broadcastable to the shape ``(...)``
            Times, as the network takes them.
        condition : Tensor, optional
            Passed to the network as it is.

        Returns
        -------
        output : Tensor of shape (..., n_cells)
        """
        return self.network(x_t @ self.axes.T, t, condition) @ self.axes
