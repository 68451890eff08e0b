"""Where networks compute."""

from __future__ import annotations

__all__ = ["resolve_device"]


def resolve_device(device: str) -> str:
    """Turn "auto" into "cuda" where there is one, else "cpu"; check the others.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda", "mps"}
        What was asked for.

    Returns
    -------
    device : str

    Raises
    ------
    ValueError
        If the device is not there.
    """
    import torch

    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError("device='cuda' was asked for, but torch finds no CUDA device.")
    if device == "mps" and not torch.backends.mps.is_available():
        raise ValueError("device='mps' was asked for, but torch finds no MPS device.")
    return device
