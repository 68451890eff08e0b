"""Draws of standardised targets: the noise that days share, and the bound on estimates."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from scipy import stats

from sklearn_diffusion.surfaces.sampling import SharedNoise


def start(n_samples, n_days, n_cells):
    return SharedNoise(0, torch.empty(0, dtype=torch.float64))((n_samples, n_days, n_cells)).numpy()


@pytest.mark.parametrize("n_samples", [1, 7, 40, 200])
def test_noise_is_shared_and_stratified(n_samples):
    noise = start(n_samples, 3, 40)
    assert_array_equal(noise[:, 0], noise[:, 2])
    for column in noise[:, 0].T:
        # One draw from each of as many slices of the normal law.
        assert_array_equal(
            np.sort((stats.norm.cdf(column) * n_samples).astype(int)), np.arange(n_samples)
        )


def test_noise_of_cells_is_all_but_uncorrelated():
    n_samples, n_cells = 500, 40
    noise = start(n_samples, 1, n_cells)[:, 0]
    pairs = np.triu_indices(n_cells, k=1)
    plain = np.random.default_rng(0).standard_normal(noise.shape)
    correlation, usual = (np.corrcoef(draws.T)[pairs] for draws in (noise, plain))
    assert correlation.std() < usual.std() / 5
    # Directions across the cells have about unit variance, which stratified cells alone lack.
    directions = np.random.default_rng(1).standard_normal((n_cells, 100))
    directions /= np.linalg.norm(directions, axis=0)
    assert (noise @ directions).var(axis=0) == pytest.approx(np.ones(100), abs=0.06)


def test_later_noise_is_plain_and_fresh():
    noise = SharedNoise(0, torch.empty(0))
    start, *later = (noise((5000, 2, 3))[:, 0].numpy() for _ in range(3))
    assert start.dtype == np.float32
    for draws in later:
        assert stats.kstest(draws.ravel(), "norm").pvalue > 1e-3
        assert np.abs(np.corrcoef(start.T, draws.T)[:3, 3:]).max() < 0.06
    assert not np.allclose(*later)
