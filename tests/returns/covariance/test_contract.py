"""The estimator contract: attributes, copies, searches, names of columns."""

from __future__ import annotations

import pickle
from io import BytesIO

import joblib
import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_diffusion import DiffusionCovarianceEstimator
from sklearn_diffusion.diffusion import EulerMaruyama
from sklearn_diffusion.returns import EarlyStopping, HiddenLayer


@parametrize_with_checks(
    [
        DiffusionCovarianceEstimator(),
        DiffusionCovarianceEstimator(
            score_model=EarlyStopping(stop_time=0.1), half_life=None, assume_centered=True
        ),
        DiffusionCovarianceEstimator(
            score_model=HiddenLayer(
                n_units=6,
                n_time_nodes=6,
                n_hermite=6,
                sampler=EulerMaruyama(30),
                n_synthetic=500,
            ),
            random_state=0,  # None is fresh entropy, and the checks compare fits
        ),
    ]
)
@pytest.mark.filterwarnings("ignore:X has column.* that look like prices")
def test_estimator_contract(estimator, check):
    check(estimator)


def test_attributes(kind, panel, model):
    parameters, shape = kind
    X = panel(*shape)
    estimator = model(**parameters).fit(X)
    n, d = shape
    assert estimator.covariance_.shape == estimator.precision_.shape == (d, d)
    np.testing.assert_array_equal(estimator.covariance_, estimator.covariance_.T)
    assert np.linalg.eigvalsh(estimator.covariance_)[0] > 0
    np.testing.assert_allclose(
        estimator.precision_ @ estimator.covariance_, np.eye(d), atol=1e-6 * n
    )
    np.testing.assert_allclose(estimator.location_, X.mean(0), rtol=1e-12)
    assert estimator.n_features_in_ == d
    assert 0 <= estimator.stop_time_ < 1
    assert estimator.half_life_ is None or estimator.half_life_ > 0
    assert estimator.loss_curve_.ndim == 1 and np.isfinite(estimator.loss_curve_).all()
    assert np.isfinite(estimator.score(X))
    assert estimator.mahalanobis(X).shape == (n,)
    assert estimator.error_norm(estimator.covariance_) == 0


@pytest.mark.parametrize("shape", [(2, 3), (2, 1), (25, 60), (60, 60), (61, 60), (500, 1)])
def test_positive_definite_at_any_shape(shape, panel, model, correlation):
    covariance = model().fit(panel(*shape)).covariance_
    np.testing.assert_array_equal(covariance, covariance.T)
    eigenvalues = np.linalg.eigvalsh(correlation(covariance))
    assert eigenvalues[0] > 1e-4 * eigenvalues[-1]


def test_clone_pickle_and_joblib(kind, panel, model):
    parameters, shape = kind
    X = panel(*shape)
    estimator = model(**parameters).fit(X)
    expected = estimator.sample(5, random_state=1)
    again = clone(estimator).fit(X)
    np.testing.assert_array_equal(again.covariance_, estimator.covariance_)
    copy = pickle.loads(pickle.dumps(estimator))
    np.testing.assert_array_equal(copy.sample(5, random_state=1), expected)
    file = BytesIO()
    joblib.dump(estimator, file)
    file.seek(0)
    np.testing.assert_array_equal(joblib.load(file).sample(5, random_state=1), expected)


def test_grid_search_in_time_order(panel):
    X = panel(300, 5)
    search = GridSearchCV(
        DiffusionCovarianceEstimator(score_model=EarlyStopping()),
        {"score_model__stop_time": [0.1, 0.99, "auto"], "half_life": [None, 100]},
        cv=TimeSeriesSplit(3),
        error_score="raise",
    ).fit(X)
    # Returns of a factor model are far from uncorrelated.
    assert search.best_params_["score_model__stop_time"] != 0.99
    assert search.best_estimator_.covariance_.shape == (5, 5)


def test_workers_agree_with_the_parent(panel, model):
    X = panel(200, 4)
    search = {
        n_jobs: GridSearchCV(
            model(score_model=EarlyStopping()),
            {"score_model__stop_time": [0.1, "auto"]},
            cv=TimeSeriesSplit(2),
            n_jobs=n_jobs,
        ).fit(X)
        for n_jobs in (1, 2)
    }
    np.testing.assert_array_equal(
        search[1].cv_results_["mean_test_score"], search[2].cv_results_["mean_test_score"]
    )


def test_names_of_a_frame_are_kept(frame, model, names):
    estimator = model().fit(frame())
    assert estimator.feature_names_in_.tolist() == names
    np.testing.assert_array_equal(
        estimator.covariance_, model().fit(frame().to_numpy()).covariance_
    )
    with pytest.raises(ValueError, match="feature names"):
        estimator.score(frame()[names[::-1]])


def test_precision_is_left_out_on_request(panel, model):
    estimator = model(store_precision=False).fit(panel())
    assert estimator.precision_ is None
    assert np.isfinite(estimator.score(panel()))


def test_assume_centered_takes_the_mean_to_be_zero(panel, model):
    X = panel() + 0.05
    estimator = model(assume_centered=True, half_life=None).fit(X)
    np.testing.assert_array_equal(estimator.location_, 0)
    np.testing.assert_allclose(estimator.covariance_.diagonal(), (X**2).mean(0), rtol=0.01)
    scenarios = estimator.sample(40_000)
    np.testing.assert_allclose((scenarios**2).mean(0), (X**2).mean(0), rtol=0.02)
