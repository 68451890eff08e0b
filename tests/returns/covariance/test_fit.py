"""The covariance against the truth, and what is chosen by held-out loss."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.covariance import EmpiricalCovariance

from sklearn_diffusion import DiffusionCovarianceEstimator
from sklearn_diffusion.datasets import make_factor_returns
from sklearn_diffusion.returns import EarlyStopping


def test_stopping_late_gives_a_diagonal_covariance(panel, model):
    X = panel(200, 8)
    late = model(score_model=EarlyStopping(stop_time=0.999999), half_life=None).fit(X)
    np.testing.assert_allclose(late.covariance_, np.diag(X.var(0)), atol=1e-5 * X.var(0).max())
    early, middle = (
        model(score_model=EarlyStopping(stop_time=t), half_life=None).fit(X) for t in (0.0, 0.5)
    )
    off = ~np.eye(8, dtype=bool)
    np.testing.assert_allclose(middle.covariance_[off], early.covariance_[off] / 2)


def test_tends_to_the_truth_with_many_gaussian_days(model):
    bunch = make_factor_returns(
        20_000, 5, df=None, volatility_spread=0.0, random_state=0, as_frame=False
    )
    covariance = model(half_life=None).fit(bunch.returns).covariance_
    scale = np.sqrt(bunch.covariance.diagonal())
    error = (covariance - bunch.covariance) / np.outer(scale, scale)
    assert np.abs(error).max() < 0.04


@pytest.mark.parametrize("shape", [(120, 30), (60, 80)])
def test_closer_to_the_truth_than_the_sample_covariance(shape):
    """By the variance of the minimum-variance portfolio under the true covariance."""
    from sklearn_diffusion.metrics import minimum_variance_weights

    risk = {DiffusionCovarianceEstimator: [], EmpiricalCovariance: []}
    for seed in range(6):
        bunch = make_factor_returns(*shape, random_state=seed, volatility_spread=0.0)
        for kind, risks in risk.items():
            covariance = kind().fit(bunch.returns).covariance_
            if kind is EmpiricalCovariance:  # singular where there are more assets than days
                covariance = covariance + 1e-8 * np.eye(shape[1])
            w = minimum_variance_weights(covariance)
            risks.append(np.sqrt(w @ bunch.covariance @ w))
    assert np.mean(risk[DiffusionCovarianceEstimator]) < 0.95 * np.mean(risk[EmpiricalCovariance])


def test_half_life_reacts_to_a_break_of_volatility(rng, model):
    calm = rng.standard_normal((700, 6)) @ np.diag(np.linspace(0.01, 0.02, 6))
    broken = calm.copy()
    broken[550:] *= 3
    stationary, reacting = (model().fit(X) for X in (calm, broken))

    def days(half_life):
        return np.inf if half_life is None else half_life

    assert days(reacting.half_life_) < days(stationary.half_life_)
    ratio = reacting.covariance_.diagonal() / stationary.covariance_.diagonal()
    assert ratio.min() > broken.var(0).mean() / calm.var(0).mean()


def test_auto_settings_have_a_loss_by_stopping_time(panel, model):
    estimator = model(half_life=None).fit(panel(300, 10))
    curve = estimator.loss_curve_
    assert len(curve) > 3 and curve.argmin() < len(curve) - 1
    assert (
        model(half_life=None, score_model=EarlyStopping(stop_time=0.2))
        .fit(panel())
        .loss_curve_.size
        == 0
    )
    assert (
        model(half_life=None, score_model=EarlyStopping(stop_time=0.2)).fit(panel()).stop_time_
        == 0.2
    )
    assert model(half_life=77.0).fit(panel()).half_life_ == 77.0
