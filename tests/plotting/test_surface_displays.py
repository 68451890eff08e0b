from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from sklearn_diffusion.arbitrage import arbitrage_penalty
from sklearn_diffusion.baselines import BootstrapForecaster
from sklearn_diffusion.datasets import make_iv_surfaces
from sklearn_diffusion.grid import SurfaceGrid
from sklearn_diffusion.metrics import reliability_table, sample_interval
from sklearn_diffusion.plotting import (
    ArbitrageDisplay,
    FanDisplay,
    ReliabilityDisplay,
    SurfaceDisplay,
)
from sklearn_diffusion.plotting.surface import tenor_label
from sklearn_diffusion.preprocessing import make_forecast_frame

pytest.importorskip("matplotlib", reason="displays need the plot extra")

GRID = SurfaceGrid([0.9, 1.0, 1.1], [1 / 52, 1 / 12, 0.5, 1])
CELL = 5  # moneyness 1, one month


@pytest.fixture(scope="module")
def held_out():
    market = make_iv_surfaces(260, grid=GRID, quote_noise=0.03, random_state=0)
    X, y = make_forecast_frame(
        market.surfaces, market.spot, market.vix, dates=market.dates, grid=GRID
    )
    forecaster = BootstrapForecaster(random_state=0).fit(X[:200], y[:200])
    return forecaster, X[200:], y[200:]


@pytest.fixture
def subplot():
    from matplotlib.figure import Figure

    return Figure().add_subplot()


class TestSurfaceDisplay:
    def test_smiles_are_the_surface_in_percent(self, held_out):
        forecaster, X, y = held_out
        display = SurfaceDisplay.from_estimator(forecaster, X, GRID, y=y, day=3)
        surface = GRID.unflatten(forecaster.predict(X)[3])
        assert [line.get_label() for line in display.lines_] == ["1w", "1m", "6m", "1y"]
        for j, line in enumerate(display.lines_):
            np.testing.assert_allclose(line.get_xdata(), GRID.moneyness)
            np.testing.assert_allclose(line.get_ydata(), 100 * surface[:, j])
        np.testing.assert_allclose(display.reference, GRID.unflatten(y.iloc[3].to_numpy()))
        assert display.ax_.get_title() == f"Forecast made on {X.index[3].date()}"

    @pytest.mark.parametrize("kind", ["smiles", "map", "3d"])
    def test_every_kind_draws(self, held_out, kind):
        forecaster, X, _ = held_out
        display = SurfaceDisplay.from_estimator(forecaster, X, GRID, kind=kind)
        display.figure_.canvas.draw()
        assert "volatility" in (
            display.colorbar_.ax.get_ylabel()
            if kind == "map"
            else getattr(display.ax_, "get_zlabel" if kind == "3d" else "get_ylabel")()
        )

    def test_map_shows_each_cell_once(self, subplot):
        surface = np.arange(12.0).reshape(GRID.shape) / 100
        display = SurfaceDisplay(surface, GRID).plot(subplot, kind="map")
        (mesh,) = display.ax_.collections
        np.testing.assert_allclose(np.sort(mesh.get_array().ravel()), np.arange(12))

    def test_unusable_arguments(self):
        with pytest.raises(ValueError, match=r"surface must be of shape \(12,\) or \(3, 4\)"):
            SurfaceDisplay(np.ones(11), GRID)
        with pytest.raises(ValueError, match="kind"):
            SurfaceDisplay(np.ones(12), GRID).plot(kind="wire")


@pytest.mark.parametrize(
    ("tenor", "label"),
    [(1 / 252, "1d"), (1 / 52, "1w"), (30 / 365, "1m"), (0.25, "3m"), (0.5, "6m"), (1.5, "1.5y")],
)
def test_tenors_are_written_in_their_unit(tenor, label):
    assert tenor_label(tenor) == label


class TestFanDisplay:
    def test_bands_are_the_intervals_of_the_cell(self, held_out):
        forecaster, X, y = held_out
        display = FanDisplay.from_estimator(forecaster, X, y, cell=CELL, grid=GRID)
        samples = forecaster.sample(X, 500, random_state=0)
        expected = sample_interval(samples, 0.9)[:, CELL]
        np.testing.assert_allclose(display.intervals[0.9], expected)
        np.testing.assert_allclose(display.truth_line_.get_ydata(), 100 * y.iloc[:, CELL])
        np.testing.assert_allclose(
            display.median_line_.get_ydata(), 100 * np.median(samples[:, :, CELL], axis=0)
        )
        assert display.ax_.get_title() == "moneyness 1, tenor 1m"
        vertices = display.bands_[0.9].get_paths()[0].vertices[:, 1]
        assert vertices.max() == pytest.approx(100 * expected.max())

    def test_given_axes_and_arrays(self, held_out, subplot):
        forecaster, X, y = held_out
        samples = forecaster.sample(X, 20)
        display = FanDisplay.from_samples(y.to_numpy(), samples, cell=0, ax=subplot)
        assert display.ax_ is subplot
        np.testing.assert_array_equal(display.truth_line_.get_xdata(), np.arange(len(y)))

    def test_unusable_arguments(self, held_out):
        forecaster, X, y = held_out
        with pytest.raises(ValueError, match="cell == 12, must be <= 11"):
            FanDisplay.from_estimator(forecaster, X, y, cell=12)
        with pytest.raises(TypeError, match="cell must be an instance of int"):
            FanDisplay.from_estimator(forecaster, X, y, cell="m1.00_t0.083")
        with pytest.raises(ValueError, match="samples must be of shape"):
            FanDisplay.from_samples(y, np.ones((5, 3, 12)), cell=0)


class TestReliabilityDisplay:
    def test_curve_is_the_table_in_percent(self, held_out):
        forecaster, X, y = held_out
        display = ReliabilityDisplay.from_estimator(forecaster, X, y)
        samples = forecaster.sample(X, 500, random_state=0)
        table = reliability_table(y, samples, coverages=[0.5])
        at_half = np.isclose(display.line_.get_xdata(), 50)
        assert display.line_.get_ydata()[at_half].item() == pytest.approx(
            100 * table["observed"].item()
        )
        assert display.line_.get_label() == "BootstrapForecaster"

    def test_pit_is_a_density(self, held_out):
        forecaster, X, y = held_out
        display = ReliabilityDisplay.from_estimator(forecaster, X, y, kind="pit")
        values, edges, _ = display.line_.get_data()
        assert (values * np.diff(edges)).sum() == pytest.approx(1)

    @pytest.mark.parametrize("kind", ["coverage", "pit"])
    def test_two_models_on_the_same_axes(self, held_out, subplot, kind):
        forecaster, X, y = held_out
        for name in ("first", "second"):
            ReliabilityDisplay.from_estimator(
                forecaster, X, y, name=name, ax=subplot, kind=kind, reference=name == "first"
            )
        labels = [text.get_text() for text in subplot.get_legend().get_texts()]
        assert sorted(labels) == ["calibrated", "first", "second"]

    def test_only_traded_cells_count(self, held_out):
        forecaster, X, y = held_out
        samples = forecaster.sample(X, 50)
        mask = np.zeros(y.shape, dtype=bool)
        mask[:, 0] = True
        display = ReliabilityDisplay.from_samples(y, samples, mask=mask)
        alone = ReliabilityDisplay.from_samples(y.iloc[:, :1], samples[:, :, :1])
        pd.testing.assert_frame_equal(display.table, alone.table)
        np.testing.assert_array_equal(display.pit, alone.pit)

    def test_unusable_kind(self, held_out):
        with pytest.raises(ValueError, match="kind"):
            ReliabilityDisplay.from_estimator(*held_out, kind="histogram")


class TestArbitrageDisplay:
    def test_lines_are_the_penalties(self, held_out):
        forecaster, X, y = held_out
        y = y * np.exp(np.random.RandomState(0).normal(0, 0.2, y.shape))
        display = ArbitrageDisplay.from_estimator(forecaster, X, y, GRID)
        samples = forecaster.sample(X, 100, random_state=0)
        np.testing.assert_allclose(
            display.real_line_.get_ydata(), arbitrage_penalty(y.to_numpy(), GRID)
        )
        np.testing.assert_allclose(
            display.mean_line_.get_ydata(), arbitrage_penalty(samples, GRID).mean(axis=0)
        )
        assert display.ax_.get_ylim()[1] > display.real_line_.get_ydata().max() > 0

    def test_rounding_errors_do_not_fill_the_plot(self):
        display = ArbitrageDisplay([1e-15, 0], [[0, 2e-15], [1e-15, 1e-15]]).plot()
        assert display.ax_.get_ylim() == (0, 1e-6)
