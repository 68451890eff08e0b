"""What units, and the order of assets and of days, change, and what they do not."""

from __future__ import annotations

import numpy as np
import pytest

from sklearn_diffusion.returns import EarlyStopping


@pytest.mark.parametrize("shape", [(300, 6), (25, 60)])
def test_rescaling_assets_rescales_samples_and_covariances(shape, panel, model):
    """By powers of two, which round nothing: the bits agree."""
    X = panel(*shape)
    scale = np.ones(shape[1])
    scale[[1, 3]] = 2.0**-13, 2.0**9
    plain, scaled = (
        model(half_life=60.0, score_model=EarlyStopping(stop_time=0.2)).fit(x)
        for x in (X, X * scale)
    )
    np.testing.assert_array_equal(scaled.covariance_, plain.covariance_ * np.outer(scale, scale))
    np.testing.assert_array_equal(scaled.sample(50), plain.sample(50) * scale)
    np.testing.assert_array_equal(
        scaled.sample(50, conditioning={0: -0.02}),
        plain.sample(50, conditioning={0: -0.02}) * scale,
    )


def test_an_asset_in_units_of_its_own(panel, model):
    X = panel(300, 6)
    scale = np.array([1, 1e-4, 1, 1, 1, 1])
    plain, scaled = model().fit(X), model().fit(X * scale)
    np.testing.assert_allclose(
        scaled.covariance_, plain.covariance_ * np.outer(scale, scale), rtol=1e-9
    )
    np.testing.assert_allclose(scaled.sample(50), plain.sample(50) * scale, rtol=1e-6, atol=1e-12)
    assert scaled.score(X * scale) + np.log(scale).sum() == pytest.approx(plain.score(X), rel=1e-6)


def test_rescaling_an_asset_rescales_the_paper_model(panel, model, small_paper):
    X = panel()
    scale = np.array([1, 1e-4, 1, 50])
    plain, scaled = (model(score_model=small_paper()).fit(x) for x in (X, X * scale))
    np.testing.assert_allclose(
        scaled.covariance_, plain.covariance_ * np.outer(scale, scale), rtol=1e-4
    )
    np.testing.assert_allclose(scaled.sample(50), plain.sample(50) * scale, rtol=1e-3, atol=1e-9)


@pytest.mark.parametrize("shape", [(300, 6), (25, 60)])
def test_order_of_assets_does_not_matter(shape, rng, panel, model):
    X = panel(*shape)
    order = rng.permutation(shape[1])
    plain, permuted = model().fit(X), model().fit(X[:, order])
    np.testing.assert_allclose(
        permuted.covariance_, plain.covariance_[np.ix_(order, order)], rtol=1e-8, atol=1e-16
    )


def test_order_of_days_matters_to_recency_only(rng, panel, model):
    X = panel()
    order = rng.permutation(len(X))

    def change(half_life):
        fits = [
            model(half_life=half_life, score_model=EarlyStopping(stop_time=0.1)).fit(x)
            for x in (X, X[order])
        ]
        return np.abs(fits[0].covariance_ / fits[1].covariance_ - 1).max()

    assert change(None) < 1e-8
    assert change(50.0) > 0.02


def test_recency_decides_the_law_of_the_samples_too(rng, model):
    """Heavy tails of long ago are forgotten, though the volatility is the same."""
    X = rng.standard_normal((600, 3))
    X[:300:30] *= 7
    X[:300] /= X[:300].std()

    def kurtosis(half_life):
        x = model(half_life=half_life, assume_centered=True).fit(X).sample(20_000)
        return ((x**4).mean(0) / (x**2).mean(0) ** 2).mean()

    assert kurtosis(25.0) < 4.5 < 7 < kurtosis(None)


def test_recency_weights_halve_by_the_half_life(model):
    """Two regimes a half-life apart: the recent one has twice the weight of the other."""
    X = np.zeros((40, 2))
    X[0], X[20], X[1], X[21] = [1, 1], [1, -1], [-1, -1], [-1, 1]
    covariance = (
        model(half_life=20.0, score_model=EarlyStopping(stop_time=0.0), assume_centered=True)
        .fit(X)
        .covariance_
    )
    # Quadratic-inverse shrinkage keeps eigenvectors, so the sign tells which day weighs more.
    assert covariance[0, 1] < 0
    equal = (
        model(half_life=None, score_model=EarlyStopping(stop_time=0.0), assume_centered=True)
        .fit(X)
        .covariance_
    )
    assert equal[0, 1] == pytest.approx(0, abs=1e-12)
