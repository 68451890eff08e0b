"""Scenarios against the law that they are drawn from."""

from __future__ import annotations

import numpy as np
import pytest

from sklearn_diffusion.returns import EarlyStopping


@pytest.mark.parametrize("conditioning", [None, {0: (None, 0.0)}])
def test_shape_and_ownership_of_samples(kind, conditioning, panel, model):
    parameters, shape = kind
    estimator = model(**parameters).fit(panel(*shape))
    before = estimator.covariance_.copy()
    for n_samples in (1, 7):
        samples = estimator.sample(n_samples, conditioning=conditioning)
        assert samples.shape == (n_samples, shape[1]) and samples.dtype == np.float64
        samples[:] = np.nan  # writable, and no part of the model
    np.testing.assert_array_equal(estimator.covariance_, before)
    assert np.isfinite(estimator.sample(3)).all()


@pytest.mark.parametrize("conditioning", [None, {1: -0.02}, {1: (-0.05, -0.01), 2: (None, 0.0)}])
def test_batches_follow_the_same_law(conditioning, panel, model):
    X = panel(300, 4)
    whole, batched = (model(batch_size=size).fit(X) for size in (10_000, 700))
    many = [e.sample(6000, conditioning=conditioning, random_state=2) for e in (whole, batched)]
    for a, b in zip(many[0].T, many[1].T, strict=True):
        error = np.sqrt((a.var() + b.var()) / 6000)
        assert abs(a.mean() - b.mean()) <= 5 * error


def test_values_per_scenario_stay_with_their_rows_across_batches(panel, model):
    values = np.linspace(-0.04, 0.04, 23)
    samples = model(batch_size=5).fit(panel()).sample(23, conditioning={1: values})
    np.testing.assert_array_equal(samples[:, 1], values)


@pytest.mark.parametrize(
    ("parameters", "shape"),
    [
        ({}, (400, 6)),
        ({"half_life": 40.0}, (400, 6)),
        ({"half_life": None, "score_model": EarlyStopping(stop_time=0.0)}, (400, 6)),
        ({"half_life": 15.0}, (25, 60)),
        ({"half_life": None}, (25, 60)),
        ({"assume_centered": True}, (400, 6)),
    ],
)
def test_sampled_covariance_agrees_with_the_closed_form(
    parameters, shape, panel, model, covariance_errors
):
    estimator = model(**parameters).fit(panel(*shape))
    n = 40_000
    samples = estimator.sample(n, random_state=1)
    scale = np.sqrt(estimator.covariance_.diagonal())
    z = np.abs(np.cov(samples.T) - estimator.covariance_) / covariance_errors(samples)
    assert z.max() < 6
    drift = np.abs(samples.mean(0) - estimator.location_) / (scale / np.sqrt(n))
    assert drift.max() < 5


def test_parameters_set_after_the_fit_do_not_change_the_distribution(panel, model):
    estimator = model().fit(panel())
    expected = estimator.sample(5)
    estimator.set_params(score_model="paper", half_life=3.0, assume_centered=True)
    np.testing.assert_array_equal(estimator.sample(5), expected)
    with pytest.raises(ValueError, match="'batch_size' parameter"):
        estimator.set_params(batch_size=0).sample(5)


def test_samples_keep_the_tails_of_portfolios(panel, model):
    """Student-t factor returns: kurtosis of portfolios, and a classifier cannot tell."""
    from sklearn_diffusion.metrics import classifier_two_sample_accuracy, random_portfolios

    X = panel(1500, 10, df=4.0)
    estimator = model(half_life=None).fit(X)
    samples = estimator.sample(len(X), random_state=1)
    many = estimator.sample(30_000, random_state=2)
    portfolios = random_portfolios(10, 50, random_state=0).T

    def kurtosis(x):
        x = x - x.mean(0)
        return np.median((x**4).mean(0) / (x**2).mean(0) ** 2)

    ratio = kurtosis(many @ portfolios) / kurtosis(X @ portfolios)
    assert kurtosis(X @ portfolios) > 5
    assert 0.6 < ratio < 1.6
    assert classifier_two_sample_accuracy(X, samples, random_state=0) < 0.56
