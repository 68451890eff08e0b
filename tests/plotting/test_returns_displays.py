from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from sklearn.base import BaseEstimator
from sklearn.covariance import LedoitWolf
from sklearn.exceptions import NotFittedError

from sklearn_diffusion import DiffusionCovarianceEstimator
from sklearn_diffusion.metrics import qq_points
from sklearn_diffusion.plotting import LossCurveDisplay, QQDisplay, SpectrumDisplay
from sklearn_diffusion.returns import EarlyStopping

pytest.importorskip("matplotlib", reason="displays need the plot extra")


@pytest.fixture
def subplot():
    from matplotlib.figure import Figure

    return Figure().add_subplot()


@pytest.fixture
def returns(rng):
    return pd.DataFrame(0.01 * rng.standard_t(4, size=(400, 3)), columns=["AAPL", "GE", "XOM"])


class TestQQDisplay:
    def test_curves_are_the_quantiles_in_percent(self, returns, rng):
        synthetic = 0.01 * rng.randn(2000, 3)
        display = QQDisplay.from_samples(returns, synthetic)
        points = qq_points(returns, synthetic)
        assert [line.get_label() for line in display.lines_] == ["AAPL", "GE", "XOM"]
        for j, line in enumerate(display.lines_):
            np.testing.assert_allclose(line.get_xdata(), 100 * points.synthetic[:, j])
            np.testing.assert_allclose(line.get_ydata(), 100 * points.real[:, j])
        assert "%" in display.ax_.get_xlabel()
        assert "%" in display.ax_.get_ylabel()
        assert display.figure_ is display.ax_.figure

    def test_same_sample_lies_on_the_diagonal(self, returns):
        (line,) = QQDisplay.from_samples(returns["GE"], returns["GE"]).lines_
        np.testing.assert_allclose(line.get_xdata(), line.get_ydata())

    def test_columns_by_label_and_position(self, returns):
        display = QQDisplay.from_samples(returns, returns.to_numpy(), columns=["XOM", 0])
        assert display.points.columns == ["XOM", "AAPL"]
        expected = qq_points(returns[["XOM", "AAPL"]], returns[["XOM", "AAPL"]])
        np.testing.assert_array_equal(display.points.real, expected.real)

    def test_portfolios(self, returns):
        weights = pd.DataFrame(
            [[1, 0, 0], [0.5, 0.5, 0]], index=["Apple", "half"], columns=returns.columns
        )
        display = QQDisplay.from_samples(returns, 2 * returns, weights=weights)
        assert display.points.columns == ["Apple", "half"]
        half = returns @ [0.5, 0.5, 0]
        np.testing.assert_allclose(display.points.real[:, 1], qq_points(half, half).real[:, 0])
        np.testing.assert_allclose(display.points.synthetic, 2 * display.points.real)
        single = QQDisplay.from_samples(returns, returns, weights=[1, 0, 0])
        np.testing.assert_allclose(single.points.real[:, 0], display.points.real[:, 0])

    def test_two_models_on_one_axes(self, returns, subplot):
        for scale, name in [(1, "wide"), (0.5, "narrow")]:
            display = QQDisplay.from_samples(
                returns["GE"], scale * returns["GE"], name=name, ax=subplot, band=False
            )
            assert display.ax_ is subplot
        assert [text.get_text() for text in subplot.get_legend().get_texts()] == ["wide", "narrow"]

    def test_levels_stand_beside_the_real_quantiles(self, returns):
        display = QQDisplay.from_samples(returns["GE"], returns["GE"])
        (right,) = display.ax_.child_axes
        labels = [tick.get_text() for tick in right.get_yticklabels()]
        assert labels[0] == "0.1 %"
        assert right.get_yticks()[0] == pytest.approx(100 * returns["GE"].quantile(0.001))

    def test_from_estimator_draws_with_the_seed(self, returns):
        class Model:
            def sample(self, n_samples=1, *, random_state=None):
                return 0.01 * np.random.RandomState(random_state).randn(n_samples, 3)

        display = QQDisplay.from_estimator(Model(), returns, n_samples=300, random_state=5)
        drawn = 0.01 * np.random.RandomState(5).randn(300, 3)
        np.testing.assert_array_equal(display.points.synthetic, qq_points(returns, drawn).synthetic)
        assert display.lines_[0].get_label() == "Model, AAPL"

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"columns": ["IBM"]}, "columns has 'IBM'"),
            ({"columns": [3]}, "columns has 3"),
            ({"weights": [1.0, 2.0]}, r"\(n_portfolios, 3\)"),
            ({"weights": [1.0, 2.0, np.nan]}, "weights must be finite"),
            ({"weights": [1, 1, 1], "columns": [0]}, "not both"),
        ],
    )
    def test_bad_choices_are_named(self, returns, options, message):
        with pytest.raises(ValueError, match=message):
            QQDisplay.from_samples(returns, returns, **options)

    def test_too_many_curves(self, rng):
        with pytest.raises(ValueError, match="8 curves are too many"):
            QQDisplay.from_samples(rng.randn(9, 8), rng.randn(9, 8))


class TestSpectrumDisplay:
    def test_curves_are_the_eigenvalues_from_the_largest_down(self):
        display = SpectrumDisplay.from_covariances(
            {"diagonal": np.diag([1.0, 9.0, 4.0]), "identity": np.eye(3)}
        )
        np.testing.assert_allclose(display.lines_[0].get_ydata(), [9, 4, 1])
        np.testing.assert_array_equal(display.lines_[0].get_xdata(), [1, 2, 3])
        assert display.lines_[0].get_label() == "diagonal (condition number 9)"
        assert display.ax_.get_yscale() == "log"
        assert display.bulk_ is None

    def test_ranks_are_whole_numbers(self):
        display = SpectrumDisplay.from_covariances({"identity": np.eye(20)})
        ticks = display.ax_.get_xticks()
        np.testing.assert_array_equal(ticks, ticks.round())

    def test_noise_fills_the_bulk(self, rng):
        X = 0.02 * rng.randn(1000, 100)
        display = SpectrumDisplay.from_estimator(LedoitWolf().fit(X), X)
        lower, upper = display.bulk
        sample = display.lines_[0].get_ydata()
        assert sample.max() == pytest.approx(upper, rel=0.07)
        assert sample.min() == pytest.approx(lower, rel=0.07)
        assert display.lines_[1].get_label().startswith("LedoitWolf")

    def test_correlation_does_not_depend_on_units(self, rng):
        X = rng.randn(50, 4)
        plain, scaled = (
            SpectrumDisplay.from_covariances(
                {"sample": np.cov((X * unit).T)}, n_samples=50, correlation=True
            )
            for unit in (1, [1e-4, 1, 10, 1e3])
        )
        np.testing.assert_allclose(plain.eigenvalues["sample"], scaled.eigenvalues["sample"])
        assert plain.eigenvalues["sample"].sum() == pytest.approx(4)
        np.testing.assert_allclose(scaled.bulk, [(1 - 8**0.5 / 10) ** 2, (1 + 8**0.5 / 10) ** 2])

    def test_null_eigenvalues_are_left_out_and_said(self, rng):
        X = rng.randn(6, 10)
        display = SpectrumDisplay.from_covariances({"sample": np.cov(X.T)})
        assert len(display.lines_[0].get_ydata()) == 5
        assert "∞" in display.lines_[0].get_label()

    @pytest.mark.parametrize(
        ("covariances", "message"),
        [
            ({}, "at least one"),
            ({"a": np.eye(2), "b": np.eye(3)}, r"one size.*'b': 3"),
            ({"a": np.ones((2, 3))}, r"'a'.* square"),
            ({"a": [[1.0, np.nan], [np.nan, 1.0]]}, r"'a'.* NaN"),
        ],
    )
    def test_bad_matrices_are_named(self, covariances, message):
        with pytest.raises(ValueError, match=message):
            SpectrumDisplay.from_covariances(covariances)

    def test_correlation_needs_variances(self):
        with pytest.raises(ValueError, match="non-positive variance"):
            SpectrumDisplay.from_covariances({"a": np.diag([1.0, 0.0])}, correlation=True)


class TestLossCurveDisplay:
    def test_curves(self, subplot):
        display = LossCurveDisplay(
            [3.0, 2.0, 1.0],
            validation_loss=[3.0, 1.5, 2.0],
            learning_rate=[0.1, 0.1, 0.01],
            name="net",
        ).plot(ax=subplot)
        np.testing.assert_array_equal(display.line_.get_xdata(), [1, 2, 3])
        np.testing.assert_array_equal(display.line_.get_ydata(), [3, 2, 1])
        np.testing.assert_array_equal(display.validation_line_.get_ydata(), [3, 1.5, 2])
        np.testing.assert_array_equal(display.learning_rate_line_.get_ydata(), [0.1, 0.1, 0.01])
        best = display.ax_.lines[-1]
        assert list(best.get_xdata()) == [2, 2]
        labels = [text.get_text() for text in subplot.get_legend().get_texts()]
        assert labels == ["net, training", "net, validation", "learning rate"]
        assert display.ax_ is subplot

    def test_from_estimator_shows_what_was_recorded(self):
        class Model(BaseEstimator):
            def fit(self, X=None, y=None):
                self.loss_curve_ = [2.0, 1.0]
                return self

        display = LossCurveDisplay.from_estimator(Model().fit())
        assert display.line_.get_label() == "Model, training"
        assert display.validation_line_ is None
        assert display.learning_rate_ax_ is None

    def test_held_out_losses_are_drawn_against_stopping_times(self):
        display = LossCurveDisplay([2.0, 1.0, 3.0], stop_times=[0.01, 0.1, 0.5]).plot()
        np.testing.assert_array_equal(display.line_.get_xdata(), [0.01, 0.1, 0.5])
        assert display.ax_.get_xlabel() == "Stopping time"
        assert display.line_.get_label() == "held out"
        with pytest.raises(ValueError, match="stop_times"):
            LossCurveDisplay([2.0, 1.0], stop_times=[0.1])

    def test_estimator_without_a_curve(self):
        with pytest.raises(NotFittedError):
            LossCurveDisplay.from_estimator(LedoitWolf())

    def test_an_estimator_that_had_nothing_to_choose_says_so(self, rng):
        fixed = DiffusionCovarianceEstimator(
            score_model=EarlyStopping(stop_time=0.1), half_life=None
        )
        with pytest.raises(ValueError, match="DiffusionCovarianceEstimator has no loss to show"):
            LossCurveDisplay.from_estimator(fixed.fit(rng.standard_normal((50, 3))))

    def test_diverged_training_is_shown(self):
        display = LossCurveDisplay([1.0, np.nan], validation_loss=[np.nan, np.nan]).plot()
        assert len(display.line_.get_ydata()) == 2

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"loss": []}, "loss must be"),
            ({"loss": [[1.0]]}, "loss must be"),
            ({"loss": [1.0, 2.0], "validation_loss": [1.0]}, "validation_loss"),
            ({"loss": [1.0, 2.0], "learning_rate": [1.0]}, "learning_rate"),
        ],
    )
    def test_bad_curves_are_named(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            LossCurveDisplay(**arguments)


def test_without_matplotlib_the_error_names_the_extra():
    program = """
import sys
sys.modules["matplotlib"] = None
from sklearn_diffusion.returns import EarlyStopping
from sklearn_diffusion.plotting import LossCurveDisplay
try:
    LossCurveDisplay([1.0]).plot()
except ImportError as error:
    assert "sklearn-diffusion[plot]" in str(error)
else:
    raise SystemExit("no error")
"""
    subprocess.run([sys.executable, "-c", program], check=True)
