from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.covariance import EmpiricalCovariance, LedoitWolf

from sklearn_diffusion import DiffusionCovarianceEstimator
from sklearn_diffusion.baselines import QuadraticInverseShrinkage
from sklearn_diffusion.metrics import (
    condition_number,
    minimum_variance_weights,
    walk_forward_minimum_variance,
)


@pytest.fixture
def returns():
    return 0.01 * np.random.RandomState(0).randn(100, 4) * [1, 2, 3, 4]


class TestConditionNumber:
    def test_known_values(self):
        assert condition_number(np.eye(3)) == 1
        assert condition_number(np.diag([1.0, 50.0])) == pytest.approx(50)
        assert condition_number(np.diag([1.0, 0.0])) == np.inf

    def test_agrees_with_numpy(self):
        factor = np.random.RandomState(0).randn(6, 6)
        covariance = factor @ factor.T
        assert condition_number(covariance) == pytest.approx(np.linalg.cond(covariance))

    def test_bad_matrices(self):
        with pytest.raises(ValueError, match="square"):
            condition_number(np.ones((2, 3)))
        asymmetric = pd.DataFrame([[1.0, 0.5], [0.1, 1.0]], columns=["A", "B"])
        with pytest.raises(ValueError, match=r"symmetric.*'A'.*'B'"):
            condition_number(asymmetric)
        with pytest.raises(ValueError, match="NaN"):
            condition_number([[np.nan]])


class TestMinimumVarianceWeights:
    def test_two_assets_closed_form(self):
        s1, s2, rho = 0.1, 0.3, 0.4
        c = rho * s1 * s2
        weights = minimum_variance_weights([[s1**2, c], [c, s2**2]])
        expected = (s2**2 - c) / (s1**2 + s2**2 - 2 * c)
        np.testing.assert_allclose(weights, [expected, 1 - expected], rtol=1e-9)

    def test_no_fully_invested_portfolio_has_less_variance(self):
        rng = np.random.RandomState(0)
        factor = rng.randn(8, 5)
        covariance = factor.T @ factor
        best = minimum_variance_weights(covariance)
        others = best + (lambda steps: steps - steps.mean(axis=1, keepdims=True))(rng.randn(500, 5))
        variance = np.einsum("ij,jk,ik->i", others, covariance, others)
        assert best @ covariance @ best < variance.min()

    def test_weights_do_not_depend_on_units(self):
        factor = np.random.RandomState(0).randn(9, 4)
        covariance = factor.T @ factor
        np.testing.assert_allclose(
            minimum_variance_weights(1e-8 * covariance),
            minimum_variance_weights(covariance),
            rtol=1e-6,
        )

    def test_singular_matrix_has_an_answer(self):
        weights = minimum_variance_weights(np.diag([1.0, 0.0]))
        np.testing.assert_allclose(weights, [0, 1], atol=1e-9)

    def test_the_ridge_is_a_trillionth_of_the_mean_variance(self):
        weights = minimum_variance_weights(np.diag([6.0, 0.0, 0.0]))
        np.testing.assert_allclose(weights[0], 1e-12 / 6, rtol=1e-3)

    def test_zero_matrix_has_none(self):
        with pytest.raises(ValueError, match="positive trace"):
            minimum_variance_weights(np.zeros((2, 2)))


class TestWalkForward:
    def test_equals_a_plain_loop(self, returns):
        backtest = walk_forward_minimum_variance(
            returns, {"sample": EmpiricalCovariance()}, window=30, step=10
        )
        held = []
        for start in range(30, 91, 10):
            weights = np.linalg.solve(np.cov(returns[start - 30 : start].T), np.ones(4))
            held.append(returns[start : start + 10] @ weights / weights.sum())
        held = np.concatenate(held)
        np.testing.assert_allclose(backtest.returns["sample"], held, rtol=1e-6)
        volatility = backtest.summary.loc["sample", "volatility"]
        assert volatility == pytest.approx(held.std() * np.sqrt(252))

    def test_estimator_and_function_agree(self, returns):
        backtest = walk_forward_minimum_variance(
            returns,
            {"class": EmpiricalCovariance(), "function": lambda X: np.cov(X.T, bias=True)},
            window=30,
        )
        np.testing.assert_allclose(backtest.returns["class"], backtest.returns["function"])
        assert backtest.reference == "class"
        np.testing.assert_allclose(backtest.summary["relative_volatility"], 1)
        condition = backtest.rebalances["condition_number"].unstack()
        np.testing.assert_allclose(condition["class"], condition["function"])

    def test_conditions_and_seconds_are_medians(self, returns):
        matrices = iter([np.diag([1.0, 1, 1, condition]) for condition in (2, 3, 1000)])
        backtest = walk_forward_minimum_variance(
            returns, {"changing": lambda X: next(matrices)}, window=70, step=10
        )
        np.testing.assert_allclose(backtest.rebalances["condition_number"], [2, 3, 1000])
        summary = backtest.summary.loc["changing"]
        assert summary["condition_number"] == pytest.approx(3)
        assert summary["fit_seconds"] == backtest.rebalances["fit_seconds"].median()

    def test_identity_covariance_holds_equal_weights(self, returns):
        backtest = walk_forward_minimum_variance(returns, {"1/N": lambda X: np.eye(4)}, window=50)
        np.testing.assert_allclose(
            backtest.returns["1/N"], returns[50:92].mean(axis=1), rtol=1e-9, atol=1e-12
        )
        assert backtest.summary.loc["1/N", "condition_number"] == 1

    def test_the_future_changes_no_weight(self, returns):
        altered = returns.copy()
        altered[60:] *= 7
        options = {"estimators": {"LedoitWolf": LedoitWolf()}, "window": 30, "step": 10}
        before, after = (
            walk_forward_minimum_variance(panel, **options).weights["LedoitWolf"]
            for panel in (returns, altered)
        )
        np.testing.assert_array_equal(before.loc[:60], after.loc[:60])
        assert not np.allclose(before.loc[70:], after.loc[70:])

    def test_same_first_day_for_different_windows(self, returns):
        days = [
            walk_forward_minimum_variance(
                returns, {"LedoitWolf": LedoitWolf()}, window=window, first=60, step=10
            ).returns.index
            for window in (20, 60)
        ]
        pd.testing.assert_index_equal(*days)
        assert days[0][0] == 60

    def test_last_keeps_the_final_rebalances(self, returns):
        options = {"estimators": {"LedoitWolf": LedoitWolf()}, "window": 30, "step": 10}
        full = walk_forward_minimum_variance(returns, **options)
        tail = walk_forward_minimum_variance(returns, last=2, **options)
        pd.testing.assert_frame_equal(tail.returns, full.returns.iloc[-20:])

    def test_reference(self, returns):
        peers = {"a": lambda X: np.eye(4), "LedoitWolf": LedoitWolf()}
        assert walk_forward_minimum_variance(returns, peers, window=50).reference == "LedoitWolf"
        backtest = walk_forward_minimum_variance(returns, peers, window=50, reference="a")
        ratio = backtest.summary["volatility"] / backtest.summary["volatility"]["a"]
        np.testing.assert_allclose(backtest.summary["relative_volatility"], ratio)

    def test_frames_keep_labels_and_reach_the_estimator(self, returns):
        dates = pd.bdate_range("2020-01-01", periods=100)
        frame = pd.DataFrame(returns, index=dates, columns=list("ABCD"))
        seen = []

        class Recorder(BaseEstimator):
            def fit(self, X, y=None):
                seen.append((list(X.columns), X.index[0], X.index[-1]))
                self.covariance_ = np.eye(4)
                return self

        backtest = walk_forward_minimum_variance(frame, {"r": Recorder()}, window=30, step=35)
        assert seen[0] == (list("ABCD"), dates[0], dates[29])
        assert backtest.weights["r"].columns.tolist() == list("ABCD")
        assert backtest.weights["r"].index.tolist() == [dates[30], dates[65]]
        assert backtest.returns.index[0] == dates[30]
        assert backtest.returns.index[-1] == dates[99]

    @pytest.mark.slow
    def test_known_order_of_estimators_on_real_returns(self, shared_data):
        with np.load(shared_data("returns_us100_2000_2014.npz"), allow_pickle=False) as panel:
            real = panel["returns"].astype(float)
        volatility = walk_forward_minimum_variance(
            real,
            {
                "sample": EmpiricalCovariance(),
                "LedoitWolf": LedoitWolf(),
                "QIS": QuadraticInverseShrinkage(),
            },
            window=126,
            first=1260,
        ).summary["relative_volatility"]
        assert volatility["QIS"] < volatility["LedoitWolf"] < volatility["sample"]

    def test_progress(self, returns, capsys):
        steps = []
        walk_forward_minimum_variance(
            returns,
            {"1/N": lambda X: np.eye(4)},
            window=50,
            step=10,
            callback=lambda done, total: steps.append((done, total)),
            verbose=1,
        )
        assert steps == [(i, 5) for i in range(1, 6)]
        assert "rebalance 5 of 5" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("total", "verbose", "printed"), [(45, 0, 0), (45, 1, 23), (45, 2, 45), (7, 1, 7)]
    )
    def test_progress_is_printed_about_twenty_times(self, returns, capsys, total, verbose, printed):
        """Every second of 45 rebalances, and the last."""
        walk_forward_minimum_variance(
            returns, {"1/N": lambda X: np.eye(4)}, window=50, step=1, last=total, verbose=verbose
        )
        lines = capsys.readouterr().out.splitlines()
        assert len(lines) == printed
        assert not lines or f"rebalance {total} of {total}" in lines[-1]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"window": 1}, "window"),
            ({"step": 0}, "step"),
            ({"window": 90, "step": 21}, "100 rows"),
            ({"first": 20}, "first=20"),
            ({"last": 0}, "last"),
            ({"reference": "OAS"}, "OAS"),
            ({"estimators": {}}, "estimators"),
            ({"estimators": {"bad": 3}}, "'bad'"),
            ({"estimators": {"small": lambda X: np.eye(3)}}, "'small'.*3 assets for 4"),
            ({"estimators": {"wide": lambda X: X[:4]}}, "estimators.'wide'. must be symmetric"),
            ({"estimators": {"nan": lambda X: np.eye(4) * np.nan}}, "estimators.'nan'. has 16 NaN"),
        ],
    )
    def test_bad_arguments_are_named(self, returns, arguments, message):
        settings = {"estimators": {"1/N": lambda X: np.eye(4)}, "window": 30, **arguments}
        with pytest.raises(ValueError, match=message):
            walk_forward_minimum_variance(returns, **settings)

    def test_dates_must_be_in_order_and_distinct(self, returns):
        dates = pd.bdate_range("2020-01-01", periods=100)
        peers = {"1/N": lambda X: np.eye(4)}
        backwards = pd.DataFrame(returns, index=dates).iloc[::-1]
        as_text = backwards.set_axis(
            backwards.index.astype(str)
        )  # a file whose dates are not parsed
        for panel in (backwards, as_text):
            with pytest.raises(ValueError, match="2020-05-19 stands before 2020-05-18"):
                walk_forward_minimum_variance(panel, peers)
        doubled = pd.DataFrame(returns, index=dates[[*range(99), 98]])
        with pytest.raises(ValueError, match=r"must be unique; .*2020-05-18"):
            walk_forward_minimum_variance(doubled, peers)


def test_a_window_that_cannot_be_fitted_is_named(rng):
    days = pd.bdate_range("2020-01-01", periods=120)
    returns = pd.DataFrame(0.01 * rng.standard_normal((120, 3)), days, ["A", "B", "C"])
    returns.iloc[30:90, 1] = 0.0
    window = f"from {days[30].date()} to {days[69].date()}"
    message = rf"'diffusion'\] cannot be fitted to the window {window}: .*constant.*'B'"
    with pytest.raises(ValueError, match=message):
        walk_forward_minimum_variance(
            returns, {"diffusion": DiffusionCovarianceEstimator()}, window=40, step=10
        )
