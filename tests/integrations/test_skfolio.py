"""The estimator inside skfolio's optimisers and priors, on the S&P panel."""

from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from sklearn.utils.estimator_checks import parametrize_with_checks

pytest.importorskip("skfolio", reason="needs the skfolio extra")

from skfolio import RiskMeasure
from skfolio.model_selection import WalkForward, cross_val_predict
from skfolio.moments import BaseCovariance, DenoiseCovariance, ImpliedCovariance
from skfolio.optimization import HierarchicalRiskParity, MeanRisk
from skfolio.prior import EmpiricalPrior, SyntheticData

import sklearn_diffusion
from sklearn_diffusion import DiffusionCovarianceEstimator
from sklearn_diffusion.datasets import load_sp500_returns
from sklearn_diffusion.integrations.skfolio import SkfolioDiffusionCovariance
from sklearn_diffusion.returns import EarlyStopping


@pytest.fixture(scope="module")
def returns():
    return load_sp500_returns(start="2020-07", end="2021-06")


def minimum_variance(covariance_estimator):
    return MeanRisk(prior_estimator=EmpiricalPrior(covariance_estimator=covariance_estimator))


@parametrize_with_checks([SkfolioDiffusionCovariance()])
@pytest.mark.filterwarnings("ignore:X has column.* that look like prices")
def test_estimator_contract(estimator, check):
    check(estimator)


def test_is_the_estimator_and_one_of_skfolios(returns):
    adapted = SkfolioDiffusionCovariance(random_state=0).fit(returns)
    plain = DiffusionCovarianceEstimator(random_state=0).fit(returns)
    assert isinstance(adapted, BaseCovariance)
    assert adapted.get_params() == plain.get_params()
    for name in ("covariance_", "precision_", "location_", "feature_names_in_"):
        np.testing.assert_array_equal(getattr(adapted, name), getattr(plain, name))
    assert adapted.score(returns) == plain.score(returns)
    np.testing.assert_array_equal(adapted.mahalanobis(returns), plain.mahalanobis(returns))
    np.testing.assert_array_equal(
        adapted.sample(5, conditioning={"XOM": (-0.1, -0.05)}),
        plain.sample(5, conditioning={"XOM": (-0.1, -0.05)}),
    )


def test_parameters_clone_and_pickle(returns):
    adapted = clone(SkfolioDiffusionCovariance(score_model=EarlyStopping()))
    adapted.set_params(score_model__stop_time=0.3, half_life=None)
    assert (adapted.score_model.stop_time, adapted.half_life) == (0.3, None)
    restored = pickle.loads(pickle.dumps(adapted.fit(returns)))
    np.testing.assert_array_equal(restored.covariance_, adapted.covariance_)


def test_minimum_variance_portfolio_is_that_of_the_covariance(returns):
    optimiser = minimum_variance(SkfolioDiffusionCovariance()).fit(returns)
    covariance = DiffusionCovarianceEstimator().fit(returns).covariance_
    fitted = optimiser.prior_estimator_.return_distribution_.covariance
    np.testing.assert_array_equal(fitted, covariance)
    weights = optimiser.weights_
    assert weights.sum() == pytest.approx(1) and weights.min() > -1e-8
    # Long-only optimum: the marginal variance is the same for all assets held, no less for others.
    marginal = covariance @ weights / (weights @ covariance @ weights)
    assert marginal.min() > 1 - 1e-2
    np.testing.assert_allclose(marginal[weights > 1e-3], 1, atol=1e-2)


def test_more_assets_than_days(returns):
    weights = minimum_variance(SkfolioDiffusionCovariance()).fit(returns[-15:]).weights_
    assert weights.sum() == pytest.approx(1)


@pytest.mark.parametrize("wrapper", [DenoiseCovariance, ImpliedCovariance])
def test_skfolios_own_wrappers_take_it(returns, wrapper):
    if wrapper is ImpliedCovariance:
        outer = ImpliedCovariance(prior_covariance_estimator=SkfolioDiffusionCovariance())
        outer.fit(returns, implied_vol=0.2 + 0 * returns)
    else:
        outer = wrapper(covariance_estimator=SkfolioDiffusionCovariance()).fit(returns)
    assert np.linalg.eigvalsh(outer.covariance_)[0] > 0


def test_other_optimisers_and_walk_forward(returns):
    prior = EmpiricalPrior(covariance_estimator=SkfolioDiffusionCovariance())
    portfolio = cross_val_predict(
        HierarchicalRiskParity(prior_estimator=prior),
        returns,
        cv=WalkForward(train_size=126, test_size=40),
    )
    assert len(portfolio.returns) > 80 and np.isfinite(portfolio.returns).all()


def test_grid_search_in_two_processes(returns):
    name = "prior_estimator__covariance_estimator__score_model__stop_time"
    searches = [
        GridSearchCV(
            minimum_variance(SkfolioDiffusionCovariance(score_model=EarlyStopping())),
            {name: [0.1, 0.5, "auto"]},
            cv=TimeSeriesSplit(2),
            n_jobs=n_jobs,
            error_score="raise",
        ).fit(returns)
        for n_jobs in (1, 2)
    ]
    scores = [search.cv_results_["mean_test_score"] for search in searches]
    np.testing.assert_allclose(scores[0], scores[1], rtol=1e-10)
    assert len(set(scores[0].round(8))) > 1  # the parameter reaches the covariance


def test_scenarios_of_the_plain_estimator_are_synthetic_data(returns):
    law = DiffusionCovarianceEstimator(random_state=0)
    prior = SyntheticData(distribution_estimator=law, n_samples=1000).fit(returns)
    expected = law.fit(returns).sample(1000)
    np.testing.assert_array_equal(prior.return_distribution_.returns, expected)
    optimiser = MeanRisk(
        risk_measure=RiskMeasure.CVAR,
        prior_estimator=SyntheticData(distribution_estimator=law, n_samples=1000),
    ).fit(returns)
    assert optimiser.weights_.sum() == pytest.approx(1)


@pytest.mark.parametrize("condition", [-0.1, (-0.15, -0.1), np.linspace(-0.2, -0.1, 500)], ids=str)
def test_stressed_synthetic_data(returns, condition):
    prior = SyntheticData(
        distribution_estimator=DiffusionCovarianceEstimator(random_state=0),
        n_samples=500,
        sample_args={"conditioning": {"XOM": condition}},
    ).fit(returns)
    scenarios = prior.return_distribution_.returns
    oil = returns.columns.get_loc("XOM")
    # skfolio puts noise of 1e-6 on a constant column.
    assert scenarios[:, oil].max() < -0.1 + 1e-4
    chevron = returns.columns.get_loc("CVX")
    assert scenarios[:, chevron].mean() < -0.02


def run(program):
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)


def test_the_package_does_without_skfolio():
    outcome = run(
        "import sys; sys.modules['skfolio'] = None\n"
        "import sklearn_diffusion, sklearn_diffusion.integrations\n"
        "from sklearn_diffusion import *\n"
        "import sklearn_diffusion.integrations.skfolio"
    )
    assert "ImportError: sklearn_diffusion.integrations.skfolio needs skfolio" in outcome.stderr
    assert "pip install 'sklearn-diffusion[skfolio]'" in outcome.stderr


def test_the_name_at_the_top_is_resolved_on_first_use():
    assert sklearn_diffusion.SkfolioDiffusionCovariance is SkfolioDiffusionCovariance


def test_importing_the_package_does_not_load_skfolio():
    outcome = run(
        "import sys, sklearn_diffusion.integrations, sklearn_diffusion\n"
        "sklearn_diffusion.DiffusionCovarianceEstimator\n"
        "assert 'skfolio' not in sys.modules"
    )
    assert outcome.returncode == 0, outcome.stderr
