"""The paper's model inside the estimator."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from sklearn_diffusion.diffusion import EulerMaruyama, VariancePreserving


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"activation": "cos"},
        {"schedule": "sub_vp"},
        {"schedule": "ve"},
        {"schedule": VariancePreserving(b=[0.8, 1.0, 1.2, 1.0])},
        {"schedule": VariancePreserving(a=0.5, t_max=0.97)},
        {"objective": "monte_carlo"},
        {"max_iter": 3},
    ],
    ids=str,
)
def test_variants_of_the_paper_model_recover_the_covariance(
    parameters, panel, model, correlation, small_paper
):
    X = panel(400, 4)
    score_model = small_paper(sampler=EulerMaruyama(150), n_synthetic=8000, **parameters)
    estimator = model(score_model=score_model).fit(X)
    assert len(estimator.loss_curve_) >= 1
    error = correlation(estimator.covariance_) - np.corrcoef(X.T)
    assert np.abs(error).max() < 0.15
    scales = np.sqrt(estimator.covariance_.diagonal()) / X.std(0)
    assert np.abs(scales - 1).max() < 0.15


def test_sampled_covariance_agrees_with_that_of_the_fit(
    panel, model, small_paper, covariance_errors
):
    """Both are of samples: the error is that of two."""
    n = 40_000
    estimator = model(score_model=small_paper(n_synthetic=n)).fit(panel(400, 3))
    samples = estimator.sample(n, random_state=1)
    error = np.sqrt(2) * covariance_errors(samples)
    assert (np.abs(np.cov(samples.T) - estimator.covariance_) < 6 * error).all()
    # The score is fitted; its mean is not constrained.
    drift = np.abs(samples.mean(0) - estimator.location_) / samples.std(0)
    assert drift.max() < 0.15


def test_paper_settings_of_recency(panel, model, small_paper):
    X = panel()
    assert model(score_model=small_paper()).fit(X).half_life_ is None
    recent = model(score_model=small_paper(), half_life=40.0).fit(X)
    assert recent.half_life_ == 40.0
    assert np.abs(recent.scale_ / X.std(0) - 1).max() > 0.02


def test_the_location_is_the_mean_of_the_samples_where_recent_days_weigh_more(
    panel, model, small_paper
):
    X = panel()
    X[-40:] += 2 * X.std()
    estimator = model(score_model=small_paper(), half_life=20.0).fit(X)
    drift = (estimator.sample(5000).mean(0) - estimator.location_) / X.std(0)
    assert np.abs(drift).max() < 0.2


def test_paper_model_rejects_the_exact_but_takes_intervals(frame, model, small_paper):
    estimator = model(score_model=small_paper()).fit(frame())
    samples = estimator.sample(500, conditioning={"KO": (-0.02, -0.005)})
    assert ((samples[:, 2] >= -0.02) & (samples[:, 2] <= -0.005)).all()
    # All four share a market factor, so a fall of one goes with falls of the others.
    assert (samples.mean(0) < estimator.sample(2000).mean(0)).all()
    with pytest.raises(ValueError, match="no conditional distribution in closed form"):
        estimator.sample(5, conditioning={"KO": -0.02})
    small_batches = model(score_model=small_paper(), batch_size=50).fit(frame())
    with pytest.raises(ValueError, match="too rare to sample by rejection"):
        small_batches.sample(5, conditioning={"KO": (5.0, 6.0)})


def test_a_score_that_does_not_depend_on_time_warns_or_diverges(panel, model, small_paper):
    """Eq. (71) as printed is wrong near t = 1, and says so."""
    X = panel(300, 4)
    with pytest.warns(ConvergenceWarning, match="time_conditioned=True"):
        model(score_model=small_paper(time_conditioned=False)).fit(X)
    calm = small_paper(time_conditioned=False, schedule=VariancePreserving(t_max=0.3), n_units=40)
    calm = model(score_model=calm).fit(X)
    assert np.isfinite(calm.covariance_).all()
