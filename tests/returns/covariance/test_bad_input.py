"""Impossible returns and parameters are named before any work is done."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.sparse import csr_array
from sklearn.exceptions import NotFittedError

from sklearn_diffusion import DiffusionCovarianceEstimator
from sklearn_diffusion.diffusion import VariancePreserving
from sklearn_diffusion.returns import EarlyStopping, HiddenLayer, KernelMixture


@pytest.mark.parametrize("score_model", ["early_stopping", "paper"])
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_missing_and_infinite_values_are_located(score_model, value, frame, model):
    X = frame(60)
    X.iloc[7, 2] = value
    with pytest.raises(ValueError, match=r"X has 1 NaN or inf.*\(row 7, column 'KO'\)"):
        model(score_model=score_model).fit(X)
    with pytest.raises(ValueError, match=r"X has 1 NaN or inf.*\(row 7, column 2\)"):
        model(score_model=score_model).fit(X.to_numpy())


@pytest.mark.parametrize("score_model", ["early_stopping", "paper"])
def test_constant_columns_are_named(score_model, frame, model):
    X = frame(60)
    X["JPM"], X["XOM"] = 0.01, 0.0
    with pytest.raises(ValueError, match=r"X has constant .*'JPM', 'XOM'"):
        model(score_model=score_model).fit(X)
    with pytest.raises(ValueError, match=r"X has constant .*1, 3"):
        model(score_model=score_model).fit(X.to_numpy())


@pytest.mark.parametrize("half_life", ["auto", 60.0])
def test_recency_needs_dates_in_order(half_life, frame, model):
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


@pytest.mark.parametrize(
    "spell",
    [
        lambda days: days.strftime("%Y-%m-%d"),
        lambda days: days.strftime("%Y%m%d"),
        lambda days: pd.Index(days.date),
        lambda days: days.to_period("D"),
        lambda days: days.tz_localize("America/New_York"),
    ],
    ids=["text", "compact", "dates", "periods", "time_zone"],
)
def test_dates_are_recognised_however_they_are_spelt(spell, frame, model):
    X = frame(100)
    X.index = spell(pd.bdate_range("2020-01-01", periods=100))
    assert model().fit(X).n_features_in_ == 4
    with pytest.raises(ValueError, match="dates must be sorted; 2020-05-19 stands before"):
        model().fit(X[::-1])


@pytest.mark.parametrize("day_format", ["%d/%m/%Y", "%m/%d/%Y", "%d.%m.%Y", "day %j"])
def test_text_whose_order_cannot_be_told_is_refused(day_format, frame, model):
    X = frame(100).set_axis(pd.bdate_range("2020-01-01", periods=100).strftime(day_format))
    for days in (X, X[::-1]):
        with pytest.raises(ValueError, match=r"order in time cannot be told.*to_datetime"):
            model().fit(days)
    assert model(half_life=None).fit(X[::-1]).n_features_in_ == 4


@pytest.mark.parametrize(
    "spell",
    [
        lambda days: days.strftime("%Y%m%d").astype(int),
        lambda days: days.astype("int64"),
        lambda days: pd.RangeIndex(len(days)),
        lambda days: pd.Index(np.arange(len(days)) / 252),
    ],
    ids=["compact", "epoch", "positions", "years"],
)
def test_numbers_of_days_must_increase(spell, frame, model):
    X = frame(100)
    X.index = spell(pd.bdate_range("2020-01-01", periods=100))
    expected = model().fit(X.to_numpy()).covariance_
    np.testing.assert_array_equal(model().fit(X).covariance_, expected)
    with pytest.raises(ValueError, match=r"rows of X must be in time order.* at row 1"):
        model().fit(X[::-1])
    assert model(half_life=None).fit(X[::-1]).n_features_in_ == 4


def test_a_column_that_is_constant_up_to_rounding_is_named(frame, model):
    """Cash at a basis point a day, computed from prices."""
    X = frame(300)
    X["cash"] = pd.Series(1.0001 ** np.arange(301)).pct_change().to_numpy()[1:]
    assert X["cash"].nunique() > 1
    with pytest.raises(ValueError, match=r"X has constant .*up to rounding: 'cash'"):
        model().fit(X)


def test_prices_are_told_from_returns(frame, model):
    X = frame(100)
    prices = 50 * (1 + X).cumprod()
    with pytest.warns(UserWarning, match=r"look like prices, not returns: 'AAPL', 'JPM'"):
        model().fit(prices)
    X["bills"] = 1e-4 * (1 + np.random.RandomState(0).rand(100))  # always positive, yet returns
    model().fit(X)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda X: np.ma.masked_array(X, X > 0.02), r"X has \d+ masked value\(s\), the first at"),
        (lambda X: X + 0j, "Complex data not supported: X"),
        (lambda X: csr_array(X), r"X is a sparse matrix; pass X.toarray\(\)"),
        (lambda X: OtherTable(X, ["Date", *["Float64"] * 3]), r"not so in column\(s\) 'a'"),
        (lambda X: 1e300 * np.sign(X), r"240 value\(s\) beyond 1e100.* at position \(0, 0\)"),
        (lambda X: X * [1, 1e-300, 1, 1], r"below 1e-100 in column\(s\) 1"),
    ],
    ids=["masked", "complex", "sparse", "date_column", "huge", "tiny"],
)
def test_what_would_be_lost_is_refused(spoil, message, panel, model):
    with pytest.raises(ValueError, match=message):
        model().fit(spoil(panel(60)))


class OtherTable:
    """A table of another library, as far as its columns go."""

    def __init__(self, values, dtypes):
        self.values, self.columns, self.dtypes = values, list("abcd"), dtypes

    def __array__(self, dtype=None, copy=None):
        return np.asarray(self.values, dtype=dtype)


def test_a_failed_fit_leaves_the_estimator_as_it_was(panel, model, monkeypatch):
    estimator = model().fit(panel(100))
    before = dict(vars(estimator))

    def interrupt(self, x, settings):
        raise KeyboardInterrupt

    for X in (panel(1), panel(100) * np.nan, panel(100, 6) * np.array([1, 1, 0, 1, 1, 1])):
        with pytest.raises(ValueError):
            estimator.fit(X)
    monkeypatch.setattr(EarlyStopping, "fit_returns", interrupt)
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(panel(100, 6))
    assert vars(estimator).keys() == before.keys()
    assert all(vars(estimator)[name] is value for name, value in before.items())


def test_volatilities_of_any_ratio_have_an_inverse(panel, model):
    """An asset in units of 3e7 and more of the others'."""
    X = panel(300)
    scale = np.array([1.0, 1e-9, 1e4, 1e9])
    plain, scaled = model().fit(X), model().fit(X * scale)
    expected = plain.precision_ / np.outer(scale, scale)
    np.testing.assert_allclose(scaled.precision_, expected, rtol=1e-7)
    np.testing.assert_allclose(scaled.mahalanobis(X * scale), plain.mahalanobis(X), rtol=1e-7)
    assert scaled.score(X * scale) == pytest.approx(plain.score(X) - np.log(scale).sum())
    light = model(store_precision=False).fit(X * scale)
    np.testing.assert_allclose(light.get_precision(), expected, rtol=1e-7)


def test_one_row_is_too_few(panel, model):
    with pytest.raises(ValueError, match="minimum of 2 is required"):
        model().fit(panel(1, 4))


def test_text_is_no_return(frame, model):
    X = frame(60).astype(object)
    X.iloc[3, 1] = "n/a"
    with pytest.raises(ValueError, match="n/a"):
        model().fit(X)


@pytest.mark.parametrize(
    "column",
    [pd.bdate_range("2020-01-01", periods=60), pd.array(["0.1"] * 60, dtype="string"), [1j] * 60],
    ids=["dates", "text", "complex"],
)
def test_columns_that_are_no_numbers_are_named(column, frame, model):
    X = frame(60).assign(VIX=column)
    with pytest.raises(ValueError, match=r"X must be real numbers; not so in column.* 'VIX'"):
        model().fit(X)


def test_a_wrong_number_of_features_at_score_time(panel, model):
    estimator = model().fit(panel(100, 4))
    for method in (estimator.score, estimator.mahalanobis):
        with pytest.raises(ValueError, match=r"3 features, but .* is expecting 4 features"):
            method(panel(100, 3))


@pytest.mark.parametrize("n_samples", [0, -1, 2.5, "3", True, None])
def test_impossible_numbers_of_samples(n_samples, panel, model):
    with pytest.raises(ValueError, match="n_samples must be a positive integer"):
        model().fit(panel()).sample(n_samples)


def test_sample_before_fit(model):
    with pytest.raises(NotFittedError):
        model().sample(3)


IMPOSSIBLE = [
    {"score_model": "unet"},
    {"half_life": 0},
    {"half_life": -5.0},
    {"batch_size": 0},
    {"device": "tpu"},
    {"device": "mps"},  # has no double precision
    {"random_state": -1},
]


IMPOSSIBLE_FOR_EARLY_STOPPING = [
    {"stop_time": 1.0},
    {"stop_time": -0.1},
    {"stop_time": "late"},
    {"stop_times": []},
    {"stop_times": (0.1, 1.0)},
    {"half_lives": []},
    {"half_lives": (0.0, None)},
    {"horizon": 0},
    {"n_origins": 0},
    {"tempering": -0.1},
    {"state_bandwidth": 0.0},
    {"state_decay": 1.0},
    {"state_start": 0},
    {"state_range": (0.9, 0.1)},
    {"state_range": (0.1, 1.1)},
    {"state_range": (0.1,)},
    {"recent_half_life": 0.0},
    {"recent_weight": 1.1},
    {"kernel": "gaussian"},
]


@pytest.mark.parametrize("parameters", IMPOSSIBLE_FOR_EARLY_STOPPING, ids=str)
def test_impossible_parameters_of_early_stopping_are_named(parameters, panel):
    (name,) = parameters
    with pytest.raises(ValueError, match=name):
        DiffusionCovarianceEstimator(score_model=EarlyStopping(**parameters)).fit(panel(50))


@pytest.mark.parametrize("name", KernelMixture().get_params())
def test_impossible_parameters_of_the_kernel_are_named(name, panel):
    score_model = EarlyStopping(kernel=KernelMixture(**{name: -1}))
    with pytest.raises(ValueError, match=f"'{name}' parameter of KernelMixture"):
        DiffusionCovarianceEstimator(score_model=score_model).fit(panel(50))


@pytest.mark.parametrize("score_model", ["early_stopping", "stopped", "paper"])
def test_a_name_has_no_parameters_of_its_own(score_model):
    estimator = DiffusionCovarianceEstimator(score_model=score_model)
    with pytest.raises(ValueError, match="give score_model as an object"):
        estimator.set_params(score_model__stop_time=0.1)


@pytest.mark.parametrize("parameters", IMPOSSIBLE, ids=str)
def test_impossible_parameters_are_named(parameters, panel):
    (name,) = parameters
    with pytest.raises(ValueError, match=name):
        DiffusionCovarianceEstimator(**parameters).fit(panel(50))


IMPOSSIBLE_FOR_PAPER = {
    "objective": ({"objective": "exact"}, "objective"),
    "schedule": ({"schedule": "linear"}, "schedule"),
    "a_class": ({"schedule": VariancePreserving}, "schedule"),
    "activation": ({"activation": "relu"}, "activation"),
    "units": ({"n_units": 0}, "n_units"),
    "hermite_nodes": ({"n_hermite": 1}, "n_hermite"),
    "time_nodes": ({"n_time_nodes": 1}, "n_time_nodes"),
    "iterations": ({"max_iter": -1}, "max_iter"),
    "sampler": ({"sampler": "heun"}, "sampler"),
    "synthetic": ({"n_synthetic": 1}, "n_synthetic"),
    "acceptance": ({"min_acceptance": 0.0}, "min_acceptance"),
    "wrong_number_of_rates": (
        {"schedule": VariancePreserving(b=[1.0, 1.0])},
        r"one rate for each of the 4 features",
    ),
    "late_stop": (
        {"stop_time": 0.9, "schedule": VariancePreserving(t_max=0.8)},
        "stop_time=0.9 must be below t_max=0.8",
    ),
    "no_noise_left": ({"stop_time": 0.0}, "stop_time"),
    "too_few_synthetic": ({"n_synthetic": 4}, "n_synthetic=4 samples .* 4 features"),
    "no_training": ({"objective": "monte_carlo", "max_iter": 0}, "max_iter=0 leaves objective"),
}


@pytest.mark.parametrize("name", IMPOSSIBLE_FOR_PAPER)
def test_impossible_parameters_of_the_paper_model_are_named(name, panel):
    parameters, message = IMPOSSIBLE_FOR_PAPER[name]
    with pytest.raises(ValueError, match=message):
        DiffusionCovarianceEstimator(score_model=HiddenLayer(**parameters)).fit(panel(50))


def test_a_device_that_is_not_there_is_named(panel, model, small_paper, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="device='cuda'"):
        model(score_model=small_paper(), device="cuda").fit(panel(50))
