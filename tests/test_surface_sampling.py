"""Draws of standardised targets: the noise that days share, and the bound on estimates."""

from __future__ import annotations

import numpy as np
import torch
from numpy.testing import assert_array_equal
from scipy import stats

from sklearn_diffusion.diffusion import CosineSchedule, GaussianDenoiser
from sklearn_diffusion.surface_sampling import BoundedDenoiser, SharedNoise


def test_noise_is_shared_antithetic_and_stratified():
    n = 200
    start = SharedNoise(0, torch.empty(0, dtype=torch.float64))((n, 3, 4)).numpy()
    assert_array_equal(start[:, 0], start[:, 2])
    day = start[:, 0]
    assert_array_equal(day[: n // 2], -day[n // 2 :])
    for column in day[: n // 2].T:
        # One draw from each hundredth of the normal law.
        assert_array_equal(
            np.sort((stats.norm.cdf(column) * n // 2).astype(int)), np.arange(n // 2)
        )


def test_later_noise_is_plain_and_fresh():
    noise = SharedNoise(0, torch.empty(0))
    start, *later = (noise((5000, 2, 3))[:, 0].numpy() for _ in range(3))
    assert start.dtype == np.float32
    for draws in later:
        assert stats.kstest(draws.ravel(), "norm").pvalue > 1e-3
        assert np.abs(np.corrcoef(start.T, draws.T)[:3, 3:]).max() < 0.06
    assert not np.allclose(*later)


def test_odd_numbers_of_samples():
    assert SharedNoise(0, torch.empty(0))((7, 1, 2)).shape == (7, 1, 2)


def test_bounded_denoiser_cuts_off_what_is_far():
    eye = torch.eye(2, dtype=torch.float64)
    exact = GaussianDenoiser(eye[0] * 0, eye, CosineSchedule(50))
    x, t = torch.tensor([[0.5, 9.0], [-9.0, 0.1]], dtype=torch.float64), torch.tensor(1.0)
    bounded = BoundedDenoiser(exact, 3.0)(x, t.double())
    torch.testing.assert_close(bounded, exact(x, t.double()).clamp(-3, 3))
    assert bounded.abs().max() == 3
