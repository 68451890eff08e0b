"""Distribution of returns that is drawn from by running a reverse process."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from torch import Tensor

from sklearn_diffusion.diffusion.denoiser import Denoiser
from sklearn_diffusion.diffusion.sampler import Sampler
from sklearn_diffusion.returns.observations import Conditioning

__all__ = ["SampledDistribution"]

# Standardised returns have variance one. More than this is told; it changes nothing.
_SUSPICIOUS_VARIANCE = 4.0
# Draws that tell how rare given intervals are.
_PILOT = 1000


@dataclass
class SampledDistribution:
    """Standardised returns by the reverse process of a denoiser.

    Parameters
    ----------
    denoiser : Denoiser
        Of standardised returns.
    sampler : Sampler
        Of the reverse process.
    n_features : int
        Number of assets.
    batch_size : int
        Largest number of samples drawn at a time.
    min_acceptance : float
        Share of draws that has to meet given intervals, or rejection gives up.
    device : str
        Where to compute, in double precision. Noise is drawn on the CPU.
    """

    denoiser: Denoiser
    sampler: Sampler
    n_features: int
    batch_size: int = 10_000
    min_acceptance: float = 0.005
    device: str = "cpu"

    def sample(
        self,
        n_samples: int,
        random_state: np.random.RandomState,
        conditioning: Conditioning | None = None,
    ) -> np.ndarray:
        """Draw standardised returns, by rejection given intervals.

        Parameters
        ----------
        n_samples : int
            Number of draws.
        random_state : RandomState
            Source of the noise.
        conditioning : Conditioning, optional
            Intervals in standardised units.

        Returns
        -------
        ndarray of shape (n_samples, n_features)

        Raises
        ------
        FloatingPointError
            If the reverse process diverges.
        ValueError
            If exact values are given, or intervals too rare to be met.
        """
        if conditioning is None:
            return self._integrate(n_samples, random_state)
        if len(conditioning.fixed):
            raise ValueError(
                "This score model has no conditional distribution in closed form: it can be "
                "conditioned on intervals (low, high), but not on exact values. "
                "score_model='early_stopping' can."
            )
        kept: list[np.ndarray] = []
        n_kept = n_drawn = 0
        n_next = min(self.batch_size, _PILOT)
        while n_kept < n_samples:
            z = self._integrate(n_next, random_state)
            kept.append(z[conditioning.holds(z)])
            n_kept, n_drawn = n_kept + len(kept[-1]), n_drawn + n_next
            # Within two standard errors of a count this small.
            likely = (n_kept + 2 * np.sqrt(n_kept + 1) + 1) / n_drawn
            if n_kept < n_samples and likely < self.min_acceptance:
                raise ValueError(
                    f"Only {n_kept} of {n_drawn} scenarios satisfied the conditioning, which is "
                    f"too rare to sample by rejection (min_acceptance={self.min_acceptance:g}): "
                    "widen the intervals, or use score_model='early_stopping'."
                )
            missing = (n_samples - n_kept) / max(n_kept / n_drawn, self.min_acceptance)
            n_next = int(min(self.batch_size, max(1.2 * missing, _PILOT)))
        return np.concatenate(kept)[:n_samples]

    def _integrate(self, n_samples: int, random_state: np.random.RandomState) -> np.ndarray:
        generator = torch.Generator().manual_seed(int(random_state.randint(2**31)))

        def noise(shape: tuple[int, ...]) -> Tensor:
            return torch.randn(shape, generator=generator, dtype=torch.float64).to(self.device)

        batches = [
            self.sampler.sample(
                self.denoiser, (min(self.batch_size, n_samples - start), self.n_features), noise
            )
            for start in range(0, n_samples, self.batch_size)
        ]
        z = torch.cat(batches).cpu().numpy()
        if not np.isfinite(z).all():
            raise FloatingPointError(
                "The reverse process diverged. A score that does not depend on time explodes near "
                "t = 1: use time_conditioned=True, a smaller t_max, or more steps."
            )
        if z.var() > _SUSPICIOUS_VARIANCE:
            warnings.warn(
                f"Samples of the standardised returns have variance {z.var():.3g} instead of 1: "
                "the fitted score does not restore large values. Use time_conditioned=True, a "
                "smaller t_max, or more steps.",
                ConvergenceWarning,
                stacklevel=3,
            )
        return z
