"""Score models as objects: their parameters, and those of other people."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone

from sklearn_diffusion.returns import EarlyStopping, FromDenoiser, HiddenLayer, KernelMixture


class StrangersGaussian:
    """Somebody else's score model: shrinks correlations by a half."""

    def fit_denoiser(self, x_0, weights, schedule):
        import torch

        from sklearn_diffusion.diffusion import GaussianDenoiser

        mean = weights @ x_0
        covariance = (x_0 - mean).T @ (weights[:, None] * (x_0 - mean))
        return GaussianDenoiser(mean, covariance / 2 + torch.eye(len(mean)) / 2, schedule)


def test_names_stand_for_objects_with_their_defaults(panel, model):
    X = panel()
    expected = model().fit(X)
    for score_model in ("early_stopping", "stopped", EarlyStopping(), EarlyStopping(kernel=None)):
        fitted = model(score_model=score_model).fit(X)
        np.testing.assert_array_equal(fitted.covariance_, expected.covariance_)
        np.testing.assert_array_equal(fitted.sample(9), expected.sample(9))


def test_a_strangers_score_model_goes_in(panel, model, correlation):
    X = panel()
    fitted = model(score_model=StrangersGaussian()).fit(X)
    half = np.corrcoef(X.T) / 2 + np.eye(4) / 2
    np.testing.assert_allclose(correlation(fitted.covariance_), half, atol=0.03)
    np.testing.assert_allclose(np.sqrt(fitted.covariance_.diagonal()), X.std(0), rtol=0.03)
    samples = fitted.sample(20_000, random_state=1)
    np.testing.assert_allclose(correlation(np.cov(samples.T)), half, atol=0.04)
    np.testing.assert_array_equal(clone(fitted).fit(X).covariance_, fitted.covariance_)


def test_a_wrapped_denoiser_has_parameters(panel, model):
    estimator = model(score_model=FromDenoiser(StrangersGaussian(), n_synthetic=500))
    estimator.set_params(score_model__stop_time=0.5)
    fitted = estimator.fit(panel())
    assert fitted.stop_time_ == 0.5
    # Half of the variance is still noise, which is not correlated.
    correlations = np.corrcoef(fitted.sample(20_000).T)[np.triu_indices(4, 1)]
    full = np.corrcoef(panel().T)[np.triu_indices(4, 1)]
    assert np.abs(correlations).mean() < 0.4 * np.abs(full).mean()


def test_fit_leaves_the_score_model_as_it_was(panel, model):
    for score_model in (EarlyStopping(kernel=KernelMixture()), HiddenLayer(n_synthetic=100)):
        before = str(score_model.get_params())
        model(score_model=score_model).fit(panel(100))
        assert str(score_model.get_params()) == before
        assert not [name for name in vars(score_model) if name.endswith("_")]


CHANGES = {
    "stop_time": 0.4,
    "stop_times": (0.3, 0.6),
    "horizon": 5,
    "n_origins": 3,
    "tempering": 0.0,
    "state_bandwidth": 0.4,
    "state_decay": 0.5,
    "state_start": 2,
    "state_range": (0.4, 0.6),
    "recent_half_life": 40.0,
    "recent_weight": 0.0,
    "half_lives": (30.0,),
    "kernel__noise": 5.0,
    "kernel__spread": 3.0,
    "kernel__max_states": 2,
    "kernel__days_per_state": 140,
    "kernel__dof": 40.0,
    "kernel__n_leading": 1,
    "kernel__shape_prior": 1.0,
    "kernel__spread_prior": 300.0,
    "kernel__centre_prior": 200.0,
    "kernel__max_iter": 1,
}


@pytest.mark.parametrize("name", CHANGES)
def test_every_parameter_of_early_stopping_does_something(name, panel, model):
    X = panel(300, 4)
    score_model = EarlyStopping(kernel=KernelMixture())
    plain, changed = (model(score_model=clone(score_model)) for _ in range(2))
    changed.set_params(**{f"score_model__{name}": CHANGES[name]})
    plain.fit(X), changed.fit(X)
    assert (plain.sample(20) != changed.sample(20)).any()
    same = (plain.covariance_ == changed.covariance_).all()
    assert same == name.startswith("kernel__")


@pytest.mark.parametrize("name", ["n_pilot", "n_candidates", "n_sweeps"])
def test_accuracy_given_several_intervals_is_a_parameter(name, panel, model):
    given = {0: (None, -0.01), 1: (None, -0.01)}
    samples = [
        model(score_model=EarlyStopping(kernel=KernelMixture(**{name: n})))
        .fit(panel())
        .sample(20, conditioning=given)
        for n in (3, 8)
    ]
    assert (samples[0] != samples[1]).any()


@pytest.mark.parametrize(
    "changes",
    [
        {"regularization": 1e-2},
        {"max_iter": 8, "tol": 0.5},
        {"objective": "monte_carlo", "max_iter": 2, "lr": 0.1},
        {"objective": "monte_carlo", "max_iter": 2, "batch_size": 20},
    ],
    ids=str,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_numbers_of_the_paper_model_are_parameters(changes, panel, model, small_paper):
    *shared, last = changes
    plain = {name: changes[name] for name in shared}
    fits = [
        model(score_model=small_paper(**settings)).fit(panel()) for settings in (plain, changes)
    ]
    assert (fits[0].covariance_ != fits[1].covariance_).any(), last


def test_rejection_gives_up_as_soon_as_intervals_are_too_rare(frame, model, small_paper):
    fitted = model(score_model=small_paper(min_acceptance=0.01)).fit(frame())
    with pytest.raises(ValueError, match="Only 0 of 1000 scenarios"):
        fitted.sample(5, conditioning={"KO": (0.5, None)})
    rare = {"KO": (None, -2.5 * fitted.scale_[2])}
    patient = model(score_model=small_paper(min_acceptance=1e-4)).fit(frame())
    assert (patient.sample(20, conditioning=rare)[:, 2] <= rare["KO"][1]).all()


class Nothing(BaseEstimator):
    """An object without a method."""


@pytest.mark.parametrize("score_model", [Nothing(), EarlyStopping, 3, None], ids=str)
def test_what_is_no_score_model_is_refused(score_model, panel, model):
    with pytest.raises(ValueError, match="score_model"):
        model(score_model=score_model).fit(panel())
