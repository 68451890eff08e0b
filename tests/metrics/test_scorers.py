from __future__ import annotations

import pickle
import subprocess
import sys

import numpy as np
import pytest
from sklearn.covariance import EmpiricalCovariance, ShrunkCovariance
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit, cross_val_score

from sklearn_diffusion.metrics import (
    SCORERS,
    cramer_von_mises,
    cramer_von_mises_scorer,
    get_scorer,
    get_scorer_names,
    minimum_variance_weights,
    neg_minimum_variance_volatility_scorer,
    random_portfolios,
    tail_table,
)


class GaussianModel(EmpiricalCovariance):
    """A return model with the interface of the package's own, and a fault to tune away."""

    def __init__(self, inflation=1.0, store_precision=True, assume_centered=False):
        super().__init__(store_precision=store_precision, assume_centered=assume_centered)
        self.inflation = inflation

    def sample(self, n_samples=1, *, random_state=None):
        rng = np.random.RandomState(random_state)
        return self.inflation * rng.multivariate_normal(self.location_, self.covariance_, n_samples)


@pytest.fixture
def returns():
    rng = np.random.RandomState(0)
    return 0.01 * rng.randn(300, 12) @ rng.randn(12, 12)


def test_volatility_is_that_of_the_held_out_portfolio(returns):
    model = EmpiricalCovariance().fit(returns[:200])
    weights = minimum_variance_weights(model.covariance_)
    score = neg_minimum_variance_volatility_scorer(model, returns[200:])
    assert score == pytest.approx(-np.std(returns[200:] @ weights))


def test_volatility_scorer_prefers_the_better_covariance(returns):
    true = np.cov(returns.T)
    good, bad = EmpiricalCovariance(), EmpiricalCovariance()
    good.covariance_, bad.covariance_ = true, np.linalg.inv(true)
    score = neg_minimum_variance_volatility_scorer
    assert score(good, returns) > score(bad, returns)


def test_cramer_von_mises_scorer_prefers_the_right_law(returns):
    good, bad = (GaussianModel(inflation=k).fit(returns[:200]) for k in (1.0, 3.0))
    assert cramer_von_mises_scorer(good, returns[200:]) > 0.5
    assert cramer_von_mises_scorer(bad, returns[200:]) == 0
    assert cramer_von_mises_scorer(good, returns) == cramer_von_mises_scorer(good, returns)


@pytest.mark.parametrize("kind", ["long_short", "marginals"])
def test_cramer_von_mises_scorers_are_the_pass_rate_of_as_many_samples(returns, kind):
    """Portfolios are scaled by the deviations of the held-out days, not by those of the samples."""
    model = GaussianModel().fit(returns[:200] * np.linspace(0.5, 2, 12))
    held_out = returns[200:]
    name = "cramer_von_mises" if kind == "long_short" else "cramer_von_mises_marginals"
    samples = model.sample(100, random_state=0)
    expected = cramer_von_mises(held_out, samples, portfolios=kind, random_state=0).pass_rate
    assert 0 < expected < 1
    assert get_scorer(name)(model, held_out) == expected


def test_shortfall_scorer_is_the_median_error_of_both_tails(returns):
    model = GaussianModel(inflation=1.1).fit(returns[:200])
    held_out = returns[200:]
    weights = random_portfolios(12, 200, "long_short", scale=held_out.std(axis=0), random_state=0)
    table = tail_table(
        held_out @ weights.T, model.sample(10_000, random_state=0) @ weights.T, q=(0.05, 0.95)
    )
    expected = -np.median(np.abs(table["shortfall", "error"]))
    assert get_scorer("neg_shortfall_error")(model, held_out) == pytest.approx(expected)


def test_marginals_scorer_counts_the_assets_that_match(returns):
    model = GaussianModel().fit(returns)
    units = np.ones(12)
    assert get_scorer("cramer_von_mises_marginals")(model, returns * units) > 0.7
    units[:3] = 20
    assert get_scorer("cramer_von_mises_marginals")(model, returns * units) <= 9 / 12


def test_condition_number_scorer(returns):
    model = GaussianModel().fit(returns)
    expected = -np.linalg.cond(model.covariance_)
    assert get_scorer("neg_condition_number")(model, returns) == pytest.approx(expected)


@pytest.mark.parametrize("inflation", [0.5, 1.5])
def test_shortfall_error_is_the_error_of_the_scale(returns, inflation):
    model = GaussianModel(inflation=inflation).fit(returns)
    assert get_scorer("neg_shortfall_error")(model, returns) == pytest.approx(-0.5, abs=0.12)


def test_grid_search_by_object(returns):
    # So few training rows that the unshrunk covariance is a bad guide.
    search = GridSearchCV(
        ShrunkCovariance(),
        {"shrinkage": [0.0, 0.1]},
        scoring=neg_minimum_variance_volatility_scorer,
        cv=TimeSeriesSplit(n_splits=3, max_train_size=13),
        error_score="raise",
    ).fit(returns)
    assert search.best_params_ == {"shrinkage": 0.1}


def test_grid_search_by_looked_up_name_and_several_at_once(returns):
    search = GridSearchCV(
        GaussianModel(),
        {"inflation": [0.3, 1.0, 3.0]},
        scoring={name: get_scorer(name) for name in get_scorer_names() if name in RETURN_SCORERS},
        refit="cramer_von_mises",
        cv=TimeSeriesSplit(n_splits=3),
        error_score="raise",
    ).fit(returns)
    assert search.best_params_ == {"inflation": 1.0}
    assert np.isfinite(search.cv_results_["mean_test_neg_minimum_variance_volatility"]).all()


RETURN_SCORERS = [
    "cramer_von_mises",
    "cramer_von_mises_marginals",
    "neg_condition_number",
    "neg_minimum_variance_volatility",
    "neg_shortfall_error",
]


@pytest.mark.parametrize("name", RETURN_SCORERS)
def test_scorers_work_in_cross_val_score_and_pickle(returns, name):
    scorer = pickle.loads(pickle.dumps(get_scorer(name)))
    assert scorer is SCORERS[name]
    scores = cross_val_score(GaussianModel(), returns, scoring=scorer, cv=3, error_score="raise")
    assert scores.shape == (3,)


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"'sharpe'.*cramer_von_mises"):
        get_scorer("sharpe")


def test_wrong_number_of_features(returns):
    model = GaussianModel().fit(returns)
    with pytest.raises(ValueError, match=r"X has 11 features.*12"):
        neg_minimum_variance_volatility_scorer(model, returns[:, 1:])
    with pytest.raises(ValueError, match="same columns"):
        cramer_von_mises_scorer(model, returns[:, 1:])


def test_bare_names_work_in_scikit_learn_once_registered():
    # In a process of its own, for it alters scikit-learn.
    program = """
import numpy as np
from sklearn.covariance import ShrunkCovariance
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn_diffusion.metrics import get_scorer, register_scorers

X = np.random.RandomState(0).randn(90, 4)
name = "neg_minimum_variance_volatility"
expected = cross_val_score(ShrunkCovariance(), X, scoring=get_scorer(name))
try:
    cross_val_score(ShrunkCovariance(), X, scoring=name)
except ValueError:
    pass
else:
    raise SystemExit("importing the package must not alter scikit-learn")
register_scorers()
register_scorers()
np.testing.assert_array_equal(cross_val_score(ShrunkCovariance(), X, scoring=name), expected)
search = GridSearchCV(ShrunkCovariance(), {"shrinkage": [0.1]}, scoring=name).fit(X)
assert search.best_score_ == expected.mean()
try:
    cross_val_score(ShrunkCovariance(), X, scoring="sharpe")
except ValueError:
    pass
else:
    raise SystemExit("other names must still be refused")
"""
    subprocess.run([sys.executable, "-c", program], check=True)
