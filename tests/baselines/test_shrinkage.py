from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.covariance import LedoitWolf
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_diffusion.baselines import QuadraticInverseShrinkage, quadratic_inverse_shrinkage
from sklearn_diffusion.metrics import minimum_variance_weights
from sklearn_diffusion.returns.shrinkage import quadratic_inverse_eigenvalues


@parametrize_with_checks(
    [QuadraticInverseShrinkage(), QuadraticInverseShrinkage(assume_centered=True)]
)
@pytest.mark.filterwarnings("ignore:X has column.* that look like prices")
def test_estimator_contract(estimator, check):
    check(estimator)


@pytest.fixture
def rng():
    return np.random.RandomState(0)


@pytest.mark.parametrize("shape", [(30, 80), (80, 30), (41, 40), (40, 40), (5, 1), (2, 3)])
def test_positive_definite_with_the_trace_of_the_sample(rng, shape):
    X = rng.randn(*shape) * np.linspace(1, 3, shape[1])
    covariance = quadratic_inverse_shrinkage(X)
    np.testing.assert_array_equal(covariance, covariance.T)
    assert np.linalg.eigvalsh(covariance).min() > 0
    assert np.trace(covariance) == pytest.approx(np.var(X, axis=0, ddof=1).sum())


def test_tends_to_the_sample_covariance_with_many_rows(rng):
    X = rng.randn(100_000, 4) @ rng.randn(4, 4)
    np.testing.assert_allclose(quadratic_inverse_shrinkage(X), np.cov(X.T), rtol=1e-3, atol=1e-2)


@pytest.mark.parametrize("n_samples", [6, 30])
def test_eigenvalues_by_the_formula_term_by_term(rng, n_samples):
    n_features, freedom = 9, n_samples - 1
    X = rng.randn(n_samples, n_features) * np.linspace(1, 4, n_features)
    c = n_features / freedom
    h = min(c**2, 1 / c**2) ** 0.35 / n_features**0.35
    sample = np.linalg.eigvalsh(np.cov(X.T))
    kept = [1 / value for value in sample[max(0, n_features - freedom) :]]
    shrunk = [1 / ((c - 1) * np.mean(kept))] * (n_features - len(kept))
    for mine in kept:
        theta = np.mean([v * (v - mine) / ((v - mine) ** 2 + (h * v) ** 2) for v in kept])
        eta = np.mean([h * v * v / ((v - mine) ** 2 + (h * v) ** 2) for v in kept])
        amplitude = theta**2 + eta**2
        if len(kept) == n_features:
            amplitude = (1 - c) ** 2 + 2 * c * (1 - c) * theta + c**2 * amplitude
        shrunk.append(1 / (mine * amplitude))
    expected = np.sort(np.array(shrunk) * sample.sum() / sum(shrunk))
    np.testing.assert_allclose(np.linalg.eigvalsh(quadratic_inverse_shrinkage(X)), expected)


@pytest.mark.parametrize("rounding", [-1e-13, 1e-13])
@pytest.mark.parametrize("freedom", [35, 39, 40, 41])
def test_rounding_of_the_number_of_samples_does_not_matter(rng, freedom, rounding):
    sample = np.linalg.eigvalsh(np.cov(rng.randn(freedom + 1, 40).T))
    np.testing.assert_array_equal(
        quadratic_inverse_eigenvalues(sample, freedom + rounding),
        quadratic_inverse_eigenvalues(sample, freedom),
    )


@pytest.mark.parametrize("missing", [1e-6, 1e-3, 0.5])
def test_a_fraction_of_a_missing_sample_leaves_no_direction_unseen(rng, missing):
    sample = np.linalg.eigvalsh(np.cov(rng.randn(60, 40).T))
    np.testing.assert_allclose(
        quadratic_inverse_eigenvalues(sample, 40 - missing),
        quadratic_inverse_eigenvalues(sample, 40),
    )


def test_keeps_the_sample_eigenvectors(rng):
    X = rng.randn(60, 10) @ rng.randn(10, 10)
    sample, shrunk = np.cov(X.T), quadratic_inverse_shrinkage(X)
    np.testing.assert_allclose(sample @ shrunk, shrunk @ sample, rtol=1e-9, atol=1e-9)


def test_does_not_depend_on_units_or_rotation(rng):
    X = rng.randn(50, 20) * np.linspace(1, 5, 20)
    rotation = np.linalg.qr(rng.randn(20, 20))[0]
    expected = quadratic_inverse_shrinkage(X)
    np.testing.assert_allclose(quadratic_inverse_shrinkage(1e-4 * X), 1e-8 * expected)
    np.testing.assert_allclose(
        quadratic_inverse_shrinkage(X @ rotation), rotation.T @ expected @ rotation, atol=1e-10
    )


@pytest.mark.parametrize("n_samples", [150, 400])
def test_portfolios_beat_those_of_linear_shrinkage_on_a_spread_spectrum(rng, n_samples):
    # Ledoit and Wolf's own setting: a fifth of the eigenvalues 1, two fifths 3 and 10 each.
    eigenvalues = np.repeat([1.0, 3.0, 10.0], [40, 80, 80])
    variance = {QuadraticInverseShrinkage: [], LedoitWolf: []}
    for _ in range(5):
        X = rng.randn(n_samples, 200) * np.sqrt(eigenvalues)
        for model, values in variance.items():
            weights = minimum_variance_weights(model().fit(X).covariance_)
            values.append(weights**2 @ eigenvalues)
    nonlinear, linear = variance.values()
    assert np.mean(nonlinear) < np.mean(linear)


def test_estimator_holds_the_function(rng):
    X = rng.randn(40, 6) + 5
    model = QuadraticInverseShrinkage().fit(X)
    np.testing.assert_array_equal(model.covariance_, quadratic_inverse_shrinkage(X))
    np.testing.assert_allclose(model.location_, X.mean(axis=0))
    np.testing.assert_allclose(model.precision_ @ model.covariance_, np.eye(6), atol=1e-9)
    centered = QuadraticInverseShrinkage(assume_centered=True).fit(X)
    assert np.trace(centered.covariance_) == pytest.approx((X**2).mean(axis=0).sum())
    assert (centered.location_ == 0).all()


def test_duplicated_columns_are_no_failure(rng):
    X = rng.randn(50, 3)
    assert np.isfinite(quadratic_inverse_shrinkage(X[:, [0, 1, 2, 2]])).all()


@pytest.mark.parametrize("estimate", [quadratic_inverse_shrinkage, QuadraticInverseShrinkage().fit])
def test_bad_input_is_named(rng, estimate):
    X = pd.DataFrame(rng.randn(10, 3), columns=["AAPL", "JPM", "KO"])
    with pytest.raises(ValueError, match=r"constant column.*'JPM'"):
        estimate(X.assign(JPM=4.0))
    with pytest.raises(ValueError, match=r"NaN or inf.*\(row 2, column 'KO'\)"):
        estimate(X.assign(KO=X["KO"].replace(X["KO"][2], np.nan)))
    with pytest.raises(ValueError, match=r"minimum of 2|at least 2"):
        estimate(X[:1])
