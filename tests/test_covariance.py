"""The estimator contract, its invariances, and its samples against their own law."""

from __future__ import annotations

import hashlib
import pickle
import subprocess
import sys
from io import BytesIO

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.covariance import EmpiricalCovariance
from sklearn.exceptions import ConvergenceWarning, NotFittedError
from sklearn.model_selection import GridSearchCV, TimeSeriesSplit
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_diffusion import DiffusionCovarianceEstimator
from sklearn_diffusion.datasets import make_factor_returns

NAMES = ["AAPL", "JPM", "KO", "XOM"]
SMALL_PAPER = {
    "score_model": "paper",
    "n_units": 12,
    "n_hermite": 6,
    "n_time_nodes": 8,
    "n_steps": 60,
    "n_synthetic": 3000,
}
# Both branches of the default model, and the paper's.
MODELS = {
    "default": ({}, (300, 4)),
    "more_assets_than_days": ({"half_life": 30.0}, (25, 60)),
    "paper": (SMALL_PAPER, (300, 4)),
}


def panel(n_samples=300, n_assets=4, seed=0, **parameters):
    return make_factor_returns(n_samples, n_assets, random_state=seed, **parameters).returns


def frame(n_samples=300, seed=0):
    return pd.DataFrame(panel(n_samples, len(NAMES), seed), columns=NAMES)


def model(**parameters):
    return DiffusionCovarianceEstimator(random_state=0, **parameters)


def correlation(covariance):
    scale = np.sqrt(covariance.diagonal())
    return covariance / np.outer(scale, scale)


def covariance_errors(samples):
    """Standard errors of the entries of a sample covariance."""
    x = samples - samples.mean(0)
    second, fourth = x.T @ x / len(x), (x**2).T @ x**2 / len(x)
    return np.sqrt((fourth - second**2) / len(x))


# The contract


@parametrize_with_checks(
    [
        DiffusionCovarianceEstimator(),
        DiffusionCovarianceEstimator(half_life=None, stop_time=0.1, assume_centered=True),
        DiffusionCovarianceEstimator(
            score_model="paper",
            n_units=6,
            n_time_nodes=6,
            n_hermite=6,
            n_steps=30,
            n_synthetic=500,
            random_state=0,  # None draws from numpy's global state, which tests must leave alone
        ),
    ]
)
def test_estimator_contract(estimator, check):
    check(estimator)


@pytest.mark.parametrize("name", MODELS)
def test_attributes(name):
    parameters, shape = MODELS[name]
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
def test_positive_definite_at_any_shape(shape):
    covariance = model().fit(panel(*shape)).covariance_
    np.testing.assert_array_equal(covariance, covariance.T)
    eigenvalues = np.linalg.eigvalsh(correlation(covariance))
    assert eigenvalues[0] > 1e-4 * eigenvalues[-1]


@pytest.mark.parametrize("name", MODELS)
def test_clone_pickle_and_joblib(name):
    parameters, shape = MODELS[name]
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


def test_grid_search_in_time_order():
    X = panel(300, 5)
    search = GridSearchCV(
        DiffusionCovarianceEstimator(),
        {"stop_time": [0.1, 0.99, "auto"], "half_life": [None, 100]},
        cv=TimeSeriesSplit(3),
        error_score="raise",
    ).fit(X)
    # Returns of a factor model are far from uncorrelated.
    assert search.best_params_["stop_time"] != 0.99
    assert search.best_estimator_.covariance_.shape == (5, 5)


def test_workers_agree_with_the_parent():
    X = panel(200, 4)
    search = {
        n_jobs: GridSearchCV(
            model(), {"stop_time": [0.1, "auto"]}, cv=TimeSeriesSplit(2), n_jobs=n_jobs
        ).fit(X)
        for n_jobs in (1, 2)
    }
    np.testing.assert_array_equal(
        search[1].cv_results_["mean_test_score"], search[2].cv_results_["mean_test_score"]
    )


def test_names_of_a_frame_are_kept():
    estimator = model().fit(frame())
    assert estimator.feature_names_in_.tolist() == NAMES
    np.testing.assert_array_equal(
        estimator.covariance_, model().fit(frame().to_numpy()).covariance_
    )
    with pytest.raises(ValueError, match="feature names"):
        estimator.score(frame()[NAMES[::-1]])


def test_precision_is_left_out_on_request():
    estimator = model(store_precision=False).fit(panel())
    assert estimator.precision_ is None
    assert np.isfinite(estimator.score(panel()))


def test_assume_centered_takes_the_mean_to_be_zero():
    X = panel() + 0.05
    estimator = model(assume_centered=True, half_life=None).fit(X)
    np.testing.assert_array_equal(estimator.location_, 0)
    np.testing.assert_allclose(estimator.covariance_.diagonal(), (X**2).mean(0), rtol=0.01)
    scenarios = estimator.sample(40_000)
    np.testing.assert_allclose((scenarios**2).mean(0), (X**2).mean(0), rtol=0.02)


# Randomness


FINGERPRINT = """
import hashlib
import numpy as np
from sklearn_diffusion import DiffusionCovarianceEstimator
from sklearn_diffusion.datasets import make_factor_returns

np.random.seed({seed})
estimator = DiffusionCovarianceEstimator(random_state=0, **{parameters!r})
estimator.fit(make_factor_returns(300, 4, random_state=0).returns)
drawn = [estimator.covariance_, estimator.sample(50), estimator.sample(50, random_state=3)]
print(hashlib.sha256(b"".join(x.tobytes() for x in drawn)).hexdigest())
"""


@pytest.mark.parametrize("name", ["default", "paper"])
def test_same_bits_in_another_process_whatever_the_global_seed(name):
    parameters, _ = MODELS[name]
    estimator = model(**parameters).fit(panel())
    drawn = [estimator.covariance_, estimator.sample(50), estimator.sample(50, random_state=3)]
    expected = hashlib.sha256(b"".join(x.tobytes() for x in drawn)).hexdigest()
    program = FINGERPRINT.format(seed=7, parameters=parameters)
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == expected


def test_random_state_of_sample():
    estimator = model().fit(panel())
    np.testing.assert_array_equal(estimator.sample(9), estimator.sample(9))
    np.testing.assert_array_equal(estimator.sample(9), estimator.sample(9, random_state=0))
    assert (estimator.sample(9, random_state=1) != estimator.sample(9)).all()
    state = np.random.RandomState(5)
    first, second = (estimator.sample(9, random_state=state) for _ in range(2))
    assert (first != second).all()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("objective", ["quadrature", "monte_carlo"])
def test_random_state_decides_the_paper_model(objective):
    parameters = {**SMALL_PAPER, "objective": objective, "max_iter": 2}
    fits = [
        DiffusionCovarianceEstimator(random_state=seed, **parameters).fit(panel()).covariance_
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(fits[0], fits[1])
    assert (fits[0] != fits[2]).any()


# Samples


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("conditioning", [None, {0: (None, 0.0)}])
def test_shape_and_ownership_of_samples(name, conditioning):
    parameters, shape = MODELS[name]
    estimator = model(**parameters).fit(panel(*shape))
    before = estimator.covariance_.copy()
    for n_samples in (1, 7):
        samples = estimator.sample(n_samples, conditioning=conditioning)
        assert samples.shape == (n_samples, shape[1]) and samples.dtype == np.float64
        samples[:] = np.nan  # writable, and no part of the model
    np.testing.assert_array_equal(estimator.covariance_, before)
    assert np.isfinite(estimator.sample(3)).all()


@pytest.mark.parametrize("conditioning", [None, {1: -0.02}, {1: (-0.05, -0.01), 2: (None, 0.0)}])
def test_batches_follow_the_same_law(conditioning):
    X = panel(300, 4)
    whole, batched = (model(batch_size=size).fit(X) for size in (10_000, 700))
    many = [e.sample(6000, conditioning=conditioning, random_state=2) for e in (whole, batched)]
    for a, b in zip(many[0].T, many[1].T, strict=True):
        error = np.sqrt((a.var() + b.var()) / 6000)
        assert abs(a.mean() - b.mean()) <= 5 * error


def test_values_per_scenario_stay_with_their_rows_across_batches():
    values = np.linspace(-0.04, 0.04, 23)
    samples = model(batch_size=5).fit(panel()).sample(23, conditioning={1: values})
    np.testing.assert_array_equal(samples[:, 1], values)


@pytest.mark.parametrize(
    ("parameters", "shape"),
    [
        ({}, (400, 6)),
        ({"half_life": 40.0}, (400, 6)),
        ({"half_life": None, "stop_time": 0.0}, (400, 6)),
        ({"half_life": 15.0}, (25, 60)),
        ({"half_life": None}, (25, 60)),
        ({"assume_centered": True}, (400, 6)),
        (SMALL_PAPER | {"n_synthetic": 40_000}, (400, 3)),
    ],
)
def test_sampled_covariance_agrees_with_the_closed_form(parameters, shape):
    estimator = model(**parameters).fit(panel(*shape))
    n = 40_000
    samples = estimator.sample(n, random_state=1)
    scale = np.sqrt(estimator.covariance_.diagonal())
    # Scenarios of the paper's model have an error of their own in `covariance_` as well.
    noise = np.sqrt(2) if "score_model" in parameters else 1
    z = np.abs(np.cov(samples.T) - estimator.covariance_) / (noise * covariance_errors(samples))
    assert z.max() < 6
    drift = np.abs(samples.mean(0) - estimator.location_) / (scale / np.sqrt(n))
    # The paper's score is fitted; its mean is not constrained.
    assert drift.max() < (30 if "score_model" in parameters else 5)


def test_samples_keep_the_tails_of_portfolios():
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


# Invariances


@pytest.mark.parametrize("shape", [(300, 6), (25, 60)])
def test_rescaling_assets_rescales_samples_and_covariances(shape):
    """By powers of two, which round nothing: the bits agree."""
    X = panel(*shape)
    scale = np.ones(shape[1])
    scale[[1, 3]] = 2.0**-13, 2.0**9
    plain, scaled = (model(half_life=60.0, stop_time=0.2).fit(x) for x in (X, X * scale))
    np.testing.assert_array_equal(scaled.covariance_, plain.covariance_ * np.outer(scale, scale))
    np.testing.assert_array_equal(scaled.sample(50), plain.sample(50) * scale)
    np.testing.assert_array_equal(
        scaled.sample(50, conditioning={0: -0.02}),
        plain.sample(50, conditioning={0: -0.02}) * scale,
    )


def test_an_asset_in_units_of_its_own():
    X = panel(300, 6)
    scale = np.array([1, 1e-4, 1, 1, 1, 1])
    plain, scaled = model().fit(X), model().fit(X * scale)
    np.testing.assert_allclose(
        scaled.covariance_, plain.covariance_ * np.outer(scale, scale), rtol=1e-9
    )
    np.testing.assert_allclose(scaled.sample(50), plain.sample(50) * scale, rtol=1e-6, atol=1e-12)
    assert scaled.score(X * scale) + np.log(scale).sum() == pytest.approx(plain.score(X), rel=1e-6)


def test_rescaling_an_asset_rescales_the_paper_model():
    X = panel()
    scale = np.array([1, 1e-4, 1, 50])
    plain, scaled = (model(**SMALL_PAPER).fit(x) for x in (X, X * scale))
    np.testing.assert_allclose(
        scaled.covariance_, plain.covariance_ * np.outer(scale, scale), rtol=1e-4
    )
    np.testing.assert_allclose(scaled.sample(50), plain.sample(50) * scale, rtol=1e-3, atol=1e-9)


@pytest.mark.parametrize("shape", [(300, 6), (25, 60)])
def test_order_of_assets_does_not_matter(shape, rng):
    X = panel(*shape)
    order = rng.permutation(shape[1])
    plain, permuted = model().fit(X), model().fit(X[:, order])
    np.testing.assert_allclose(
        permuted.covariance_, plain.covariance_[np.ix_(order, order)], rtol=1e-8, atol=1e-16
    )


def test_order_of_days_matters_to_recency_only(rng):
    X = panel()
    order = rng.permutation(len(X))

    def change(half_life):
        fits = [model(half_life=half_life, stop_time=0.1).fit(x) for x in (X, X[order])]
        return np.abs(fits[0].covariance_ / fits[1].covariance_ - 1).max()

    assert change(None) < 1e-8
    assert change(50.0) > 0.02


def test_recency_decides_the_law_of_the_samples_too(rng):
    """Heavy tails of long ago are forgotten, though the volatility is the same."""
    X = rng.standard_normal((600, 3))
    X[:300:30] *= 7
    X[:300] /= X[:300].std()

    def kurtosis(half_life):
        x = model(half_life=half_life, assume_centered=True).fit(X).sample(20_000)
        return ((x**4).mean(0) / (x**2).mean(0) ** 2).mean()

    assert kurtosis(25.0) < 4.5 < 7 < kurtosis(None)


def test_recency_weights_halve_by_the_half_life():
    """Two regimes a half-life apart: the recent one has twice the weight of the other."""
    X = np.zeros((40, 2))
    X[0], X[20], X[1], X[21] = [1, 1], [1, -1], [-1, -1], [-1, 1]
    covariance = model(half_life=20.0, stop_time=0.0, assume_centered=True).fit(X).covariance_
    # Quadratic-inverse shrinkage keeps eigenvectors, so the sign tells which day weighs more.
    assert covariance[0, 1] < 0
    equal = model(half_life=None, stop_time=0.0, assume_centered=True).fit(X).covariance_
    assert equal[0, 1] == pytest.approx(0, abs=1e-12)


# Quality


def test_stopping_late_gives_a_diagonal_covariance():
    X = panel(200, 8)
    late = model(stop_time=0.999999, half_life=None).fit(X)
    np.testing.assert_allclose(late.covariance_, np.diag(X.var(0)), atol=1e-5 * X.var(0).max())
    early, middle = (model(stop_time=t, half_life=None).fit(X) for t in (0.0, 0.5))
    off = ~np.eye(8, dtype=bool)
    np.testing.assert_allclose(middle.covariance_[off], early.covariance_[off] / 2)


def test_tends_to_the_truth_with_many_gaussian_days():
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


def test_half_life_reacts_to_a_break_of_volatility(rng):
    calm = rng.standard_normal((700, 6)) @ np.diag(np.linspace(0.01, 0.02, 6))
    broken = calm.copy()
    broken[550:] *= 3
    stationary, reacting = (model().fit(X) for X in (calm, broken))

    def days(half_life):
        return np.inf if half_life is None else half_life

    assert days(reacting.half_life_) < days(stationary.half_life_)
    ratio = reacting.covariance_.diagonal() / stationary.covariance_.diagonal()
    assert ratio.min() > broken.var(0).mean() / calm.var(0).mean()


def test_auto_settings_have_a_loss_by_stopping_time():
    estimator = model(half_life=None).fit(panel(300, 10))
    curve = estimator.loss_curve_
    assert len(curve) > 3 and curve.argmin() < len(curve) - 1
    assert model(half_life=None, stop_time=0.2).fit(panel()).loss_curve_.size == 0
    assert model(half_life=None, stop_time=0.2).fit(panel()).stop_time_ == 0.2
    assert model(half_life=77.0).fit(panel()).half_life_ == 77.0


# The paper's model


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"units": "cos"},
        {"schedule": "sub_vp"},
        {"schedule": "ve"},
        {"b": [0.8, 1.0, 1.2, 1.0]},
        {"a": 0.5, "t_max": 0.97},
        {"objective": "monte_carlo"},
        {"max_iter": 3},
    ],
    ids=str,
)
def test_variants_of_the_paper_model_recover_the_covariance(parameters):
    X = panel(400, 4)
    settings = {**SMALL_PAPER, "n_steps": 150, "n_synthetic": 8000, **parameters}
    estimator = model(**settings).fit(X)
    assert len(estimator.loss_curve_) >= 1
    error = correlation(estimator.covariance_) - np.corrcoef(X.T)
    assert np.abs(error).max() < 0.15
    scales = np.sqrt(estimator.covariance_.diagonal()) / X.std(0)
    assert np.abs(scales - 1).max() < 0.15


def test_paper_settings_of_recency():
    X = panel()
    assert model(**SMALL_PAPER).fit(X).half_life_ is None
    recent = model(**SMALL_PAPER, half_life=40.0).fit(X)
    assert recent.half_life_ == 40.0
    assert np.abs(recent.scale_ / X.std(0) - 1).max() > 0.02


def test_paper_model_rejects_the_exact_but_takes_intervals():
    estimator = model(**SMALL_PAPER).fit(frame())
    samples = estimator.sample(500, conditioning={"KO": (-0.02, -0.005)})
    assert ((samples[:, 2] >= -0.02) & (samples[:, 2] <= -0.005)).all()
    # All four share a market factor, so a fall of one goes with falls of the others.
    assert (samples.mean(0) < estimator.sample(2000).mean(0)).all()
    with pytest.raises(ValueError, match="no conditional law in closed form"):
        estimator.sample(5, conditioning={"KO": -0.02})
    with pytest.raises(ValueError, match="too rare to sample by rejection"):
        estimator.set_params(batch_size=50).sample(5, conditioning={"KO": (5.0, 6.0)})


def test_a_score_that_does_not_depend_on_time_warns_or_diverges():
    """Eq. (71) as printed is wrong near t = 1, and says so."""
    X = panel(300, 4)
    with pytest.warns(ConvergenceWarning, match="time_conditioned=True"):
        model(**SMALL_PAPER | {"time_conditioned": False}).fit(X)
    calm = model(**SMALL_PAPER | {"time_conditioned": False, "t_max": 0.3, "n_units": 40}).fit(X)
    assert np.isfinite(calm.covariance_).all()


# Conditioning


CONDITIONS = {
    "interval": {"KO": (-0.03, -0.01)},
    "open_below": {"KO": (None, -0.01)},
    "open_above": {"KO": (0.005, None)},
    "two_intervals": {"KO": (-0.03, 0.0), "XOM": (0.0, None)},
    "by_index": {2: (-0.03, -0.01)},
    "from_the_end": {-2: (-0.03, -0.01)},
}


@pytest.mark.parametrize("name", CONDITIONS)
def test_intervals_agree_with_rejection_sampling(name):
    conditioning = CONDITIONS[name]
    estimator = model(half_life=None).fit(frame(600))
    draws = estimator.sample(150_000, random_state=1)
    keep = np.ones(len(draws), dtype=bool)
    for key, (low, high) in conditioning.items():
        column = draws[:, NAMES.index(key) if isinstance(key, str) else key]
        keep &= (column >= (-np.inf if low is None else low)) & (
            column <= (np.inf if high is None else high)
        )
    expected = draws[keep]
    assert len(expected) > 2000
    samples = estimator.sample(20_000, conditioning=conditioning, random_state=2)
    for a, b in zip(samples.T, expected.T, strict=True):
        assert abs(a.mean() - b.mean()) < 5 * np.sqrt(a.var() / len(a) + b.var() / len(b))
    noise = np.hypot(covariance_errors(samples), covariance_errors(expected))
    assert (np.abs(np.cov(samples.T) - np.cov(expected.T)) < 6 * noise).all()
    for key, (low, high) in conditioning.items():
        column = samples[:, NAMES.index(key) if isinstance(key, str) else key]
        assert low is None or column.min() >= low
        assert high is None or column.max() <= high


@pytest.mark.parametrize("as_array", [False, True])
def test_values_agree_with_a_narrow_band_of_draws(as_array):
    estimator = model(half_life=None).fit(frame(600))
    draws = estimator.sample(400_000, random_state=1)
    value, width = -0.015, 0.0008
    expected = draws[np.abs(draws[:, 1] - value) < width]
    assert len(expected) > 2000
    n = 20_000
    given = np.full(n, value) if as_array else value
    samples = estimator.sample(n, conditioning={"JPM": given}, random_state=2)
    np.testing.assert_array_equal(samples[:, 1], value)
    free = [0, 2, 3]
    for j in free:
        a, b = samples[:, j], expected[:, j]
        assert abs(a.mean() - b.mean()) < 5 * np.sqrt(a.var() / len(a) + b.var() / len(b))
        assert a.std() == pytest.approx(b.std(), rel=0.1)


def test_values_per_scenario_agree_with_one_value():
    estimator = model(half_life=None).fit(frame(600))
    n = 8000
    values = np.repeat([-0.03, 0.02], n)
    mixed = estimator.sample(2 * n, conditioning={"KO": values}, random_state=1)
    np.testing.assert_array_equal(mixed[:, 2], values)
    for value, part in ((-0.03, mixed[:n]), (0.02, mixed[n:])):
        alone = estimator.sample(n, conditioning={"KO": value}, random_state=2)
        for j in (0, 1, 3):
            a, b = part[:, j], alone[:, j]
            assert abs(a.mean() - b.mean()) < 5 * np.sqrt((a.var() + b.var()) / n)


def test_value_and_interval_together():
    estimator = model(half_life=None).fit(frame(600))
    samples = estimator.sample(3000, conditioning={"KO": -0.02, "XOM": (0.0, 0.02)})
    np.testing.assert_array_equal(samples[:, 2], -0.02)
    assert ((samples[:, 3] >= 0) & (samples[:, 3] <= 0.02)).all()
    # Given a fall of KO, the rest is drawn below the unconditional law.
    assert samples[:, :2].mean() < estimator.sample(3000)[:, :2].mean()


def test_conditioning_where_assets_outnumber_days():
    X = panel(25, 60)
    estimator = model().fit(X)
    samples = estimator.sample(2000, conditioning={0: (None, -0.01), 7: 0.02})
    assert samples.shape == (2000, 60) and np.isfinite(samples).all()
    assert samples[:, 0].max() <= -0.01
    np.testing.assert_array_equal(samples[:, 7], 0.02)


@pytest.mark.parametrize("deviations", [8, 30])
def test_a_stress_far_beyond_the_training_days(deviations):
    estimator = model(half_life=None).fit(frame(600))
    crash = -deviations * np.sqrt(estimator.covariance_[2, 2])
    for conditioning in ({"KO": crash}, {"KO": (None, crash)}):
        samples = estimator.sample(500, conditioning=conditioning)
        assert np.isfinite(samples).all()
        assert samples[:, 2].max() <= crash
        if deviations < 10:  # all four load on the market
            assert (samples.mean(0) < 0).all()


@pytest.mark.parametrize("conditioning", [None, {}])
def test_no_condition_is_the_unconditional_law(conditioning):
    estimator = model().fit(frame())
    np.testing.assert_array_equal(
        estimator.sample(5, conditioning=conditioning), estimator.sample(5)
    )


BAD_CONDITIONS = {
    "not_a_mapping": ([("KO", 0.1)], r"must be a dictionary .* got list"),
    "unknown_name": ({"MSFT": 0.1}, r"unknown feature 'MSFT' \(known: AAPL, JPM, KO, XOM\)"),
    "index_too_large": ({4: 0.1}, "index 4 is out of range for 4 features"),
    "index_too_small": ({-5: 0.1}, "index -5 is out of range for 4 features"),
    "boolean_key": ({True: 0.1}, "keys are names or indices of features, got True"),
    "float_key": ({1.0: 0.1}, "keys are names or indices of features, got 1.0"),
    "twice": ({"KO": 0.1, 2: 0.2}, "feature 2 twice"),
    "three_ends": ({"KO": (0, 1, 2)}, r"'KO' must be a pair \(low, high\), got \(0, 1, 2\)"),
    "empty": ({"KO": (0.1, -0.1)}, r"'KO' is an empty interval: \(0.1, -0.1\)"),
    "point": ({"KO": (0.1, 0.1)}, "'KO' is an empty interval"),
    "nan_end": ({"KO": (np.nan, 0.1)}, "'KO' is an empty interval"),
    "nan": ({"KO": np.nan}, "'KO' must be finite"),
    "infinite": ({"KO": np.inf}, "'KO' must be finite"),
    "wrong_length": ({"KO": np.zeros(4)}, r"'KO' must be .* 5 values \(n_samples\), got .*\(4,\)"),
    "two_dimensional": ({"KO": np.zeros((5, 1))}, r"'KO' must be .* got shape \(5, 1\)"),
    "everything": (dict.fromkeys(NAMES, 0.0), "fixes every feature"),
    "values_and_intervals": (
        {"KO": np.zeros(5), "XOM": (0, None), "JPM": (0, None)},
        "values per scenario with more than one interval",
    ),
}


@pytest.mark.parametrize("name", BAD_CONDITIONS)
def test_malformed_conditioning_is_named(name):
    conditioning, message = BAD_CONDITIONS[name]
    with pytest.raises(ValueError, match=message):
        model().fit(frame()).sample(5, conditioning=conditioning)


def test_names_need_a_frame():
    with pytest.raises(ValueError, match=r"'KO' .*the estimator was fitted without names"):
        model().fit(panel()).sample(5, conditioning={"KO": 0.1})


# Bad input


@pytest.mark.parametrize("score_model", ["stopped", "paper"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_missing_and_infinite_values_are_located(score_model, value):
    X = frame(60)
    X.iloc[7, 2] = value
    with pytest.raises(ValueError, match=r"X has 1 NaN or inf.*\(row 7, column 'KO'\)"):
        model(score_model=score_model).fit(X)
    with pytest.raises(ValueError, match=r"X has 1 NaN or inf.*\(row 7, column 2\)"):
        model(score_model=score_model).fit(X.to_numpy())


@pytest.mark.parametrize("score_model", ["stopped", "paper"])
def test_constant_columns_are_named(score_model):
    X = frame(60)
    X["JPM"], X["XOM"] = 0.01, 0.0
    with pytest.raises(ValueError, match=r"X has constant .*'JPM', 'XOM'"):
        model(score_model=score_model).fit(X)
    with pytest.raises(ValueError, match=r"X has constant .*1, 3"):
        model(score_model=score_model).fit(X.to_numpy())


@pytest.mark.parametrize("half_life", ["auto", 60.0])
def test_recency_needs_dates_in_order(half_life):
    days = pd.bdate_range("2020-01-01", periods=100)
    X = frame(100).set_axis(days)
    shuffled = X.iloc[[1, 0, *range(2, 100)]]
    with pytest.raises(ValueError, match="sorted; 2020-01-02 stands before 2020-01-01"):
        model(half_life=half_life).fit(shuffled)
    with pytest.raises(ValueError, match="repeated, the first 2020-01-01"):
        model(half_life=half_life).fit(X.iloc[[0, *range(100)]])
    assert model(half_life=None).fit(shuffled).half_life_ is None
    expected = model(half_life=half_life).fit(X.to_numpy()).covariance_
    np.testing.assert_array_equal(model(half_life=half_life).fit(X).covariance_, expected)


def test_one_row_is_too_few():
    with pytest.raises(ValueError, match="minimum of 2 is required"):
        model().fit(panel(1, 4))


def test_text_is_no_return():
    X = frame(60).astype(object)
    X.iloc[3, 1] = "n/a"
    with pytest.raises(ValueError, match="n/a"):
        model().fit(X)


def test_a_wrong_number_of_features_at_score_time():
    estimator = model().fit(panel(100, 4))
    for method in (estimator.score, estimator.mahalanobis):
        with pytest.raises(ValueError, match=r"3 features, but .* is expecting 4 features"):
            method(panel(100, 3))


@pytest.mark.parametrize("n_samples", [0, -1, 2.5, "3", True, None])
def test_impossible_numbers_of_samples(n_samples):
    with pytest.raises(ValueError, match="n_samples must be a positive integer"):
        model().fit(panel()).sample(n_samples)


def test_sample_before_fit():
    with pytest.raises(NotFittedError):
        model().sample(3)


IMPOSSIBLE = [
    {"score_model": "unet"},
    {"stop_time": 1.0},
    {"stop_time": -0.1},
    {"stop_time": "late"},
    {"half_life": 0},
    {"half_life": -5.0},
    {"objective": "exact"},
    {"schedule": "linear"},
    {"b": -1.0},
    {"b": 0.0},
    {"a": -0.5},
    {"t_max": 0.0},
    {"units": "relu"},
    {"n_units": 0},
    {"n_hermite": 1},
    {"n_time_nodes": 1},
    {"max_iter": -1},
    {"n_steps": 0},
    {"n_synthetic": 1},
    {"batch_size": 0},
    {"device": "tpu"},
    {"random_state": -1},
]


@pytest.mark.parametrize("parameters", IMPOSSIBLE, ids=str)
def test_impossible_parameters_are_named(parameters):
    (name,) = parameters
    with pytest.raises(ValueError, match=name):
        DiffusionCovarianceEstimator(**parameters).fit(panel(50))


IMPOSSIBLE_FOR_PAPER = {
    "negative_rate_of_one_asset": ({"b": [1.0, -1.0, 1.0, 1.0]}, "b"),
    "wrong_number_of_rates": ({"b": [1.0, 1.0]}, r"one rate for each of the 4 features"),
    "singular_time": ({"t_max": 1.0}, "t_max"),
    "late_stop": ({"stop_time": 0.9, "t_max": 0.8}, r"stop_time=0.9 .* must be in \(0, t_max\)"),
    "no_noise_left": ({"stop_time": 0.0}, r"stop_time=0.0 .* must be in \(0, t_max\)"),
    "too_few_synthetic": ({"n_synthetic": 4}, "n_synthetic=4 samples .* 4 features"),
    "no_training": ({"objective": "monte_carlo", "max_iter": 0}, "max_iter=0 leaves objective"),
}


@pytest.mark.parametrize("name", IMPOSSIBLE_FOR_PAPER)
def test_impossible_parameters_of_the_paper_model_are_named(name):
    parameters, message = IMPOSSIBLE_FOR_PAPER[name]
    with pytest.raises(ValueError, match=message):
        DiffusionCovarianceEstimator(score_model="paper", **parameters).fit(panel(50))


@pytest.mark.parametrize("device", ["cuda", "mps"])
def test_a_device_that_is_not_there_is_named(device):
    import torch

    backend = torch.cuda if device == "cuda" else torch.backends.mps
    if backend.is_available():
        pytest.skip(f"this machine has {device}")
    with pytest.raises(ValueError, match=f"device='{device}'"):
        model(**SMALL_PAPER, device=device).fit(panel(50))
