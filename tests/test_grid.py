"""SurfaceGrid: axes, names, reshaping, and life as an estimator's parameter."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest
from sklearn.base import BaseEstimator, clone

from sklearn_diffusion.grid import SurfaceGrid


class Holder(BaseEstimator):
    """An estimator with a grid."""

    def __init__(self, grid=None):
        self.grid = grid


@pytest.fixture
def grid():
    return SurfaceGrid([0.9, 1.0, 1.1], [1 / 12, 0.25])


def test_paper_grid():
    grid = SurfaceGrid.paper()
    assert grid.shape == (9, 9)
    assert grid.n_cells == 81
    np.testing.assert_allclose(np.diff(grid.moneyness), 0.1)
    days = [1, 252 / 52, 504 / 52, 21, 42, 63, 126, 189, 252]
    np.testing.assert_allclose(grid.tenors * 252, days)


def test_cell_names_follow_the_flattened_order(grid):
    surface = np.array([[f"m{m:.2f}_t{t:.3f}" for t in grid.tenors] for m in grid.moneyness])
    assert list(grid.flatten(surface)) == list(grid.cell_names)


@pytest.mark.parametrize("step", [0.1, 0.025, 0.0005])
def test_cell_names_are_unique_and_faithful_on_fine_axes(step):
    grid = SurfaceGrid(1 + step * np.arange(-3, 4), [1 / 365, 2 / 365, 3 / 365])
    assert len(set(grid.cell_names)) == grid.n_cells
    printed = [float(name.split("_")[0][1:]) for name in grid.cell_names[::3]]
    np.testing.assert_allclose(printed, grid.moneyness, atol=step / 10)


def test_a_single_cell_has_a_name():
    assert list(SurfaceGrid([1.0], [1 / 12]).cell_names) == ["m1.00_t0.083"]


def test_flatten_and_unflatten_are_inverse(grid):
    surfaces = np.random.default_rng(0).normal(size=(4, 5, *grid.shape))
    rows = grid.flatten(surfaces)
    assert rows.shape == (4, 5, 6)
    assert rows[1, 2, 3] == surfaces[1, 2, 1, 1]
    np.testing.assert_array_equal(grid.unflatten(rows), surfaces)


def test_reshaping_names_both_shapes(grid):
    with pytest.raises(ValueError, match=r"shape \(2, 3\).*\(3, 2\)"):
        grid.flatten(np.ones((2, 3)))
    with pytest.raises(ValueError, match=r"shape \(4, 5\).*n_cells = 6"):
        grid.unflatten(np.ones((4, 5)))
    with pytest.raises(ValueError, match="do not end in"):
        grid.unflatten(1.0)


@pytest.mark.parametrize(
    ("moneyness", "tenors", "message"),
    [
        ([], [1.0], "moneyness must be a non-empty"),
        ([[1.0]], [1.0], "moneyness must be a non-empty one-dimensional"),
        ([1.0], 0.5, "tenors must be a non-empty one-dimensional"),
        ([1.0], [0.0, 1.0], r"tenors must be positive and finite, got \[0.0\]"),
        ([1.0, np.nan], [1.0], r"moneyness must be positive and finite, got \[nan\]"),
        ([1.0, 1.1, 1.1], [1.0], "moneyness must be strictly increasing, got 1.1 before 1.1"),
        ([1.0], [1.0, 0.5], "tenors must be strictly increasing, got 1.0 before 0.5 at position 0"),
    ],
)
def test_bad_axes(moneyness, tenors, message):
    with pytest.raises(ValueError, match=message):
        SurfaceGrid(moneyness, tenors)


def test_grid_compares_and_hashes_by_value(grid):
    same = SurfaceGrid(list(grid.moneyness), tuple(grid.tenors))
    assert grid == same
    assert hash(grid) == hash(same)
    assert grid != SurfaceGrid.paper()
    assert grid != "grid"
    assert eval(repr(grid)) == grid


def test_grid_is_immutable_and_does_not_alias_its_input():
    moneyness = np.array([0.9, 1.0])
    grid = SurfaceGrid(moneyness, [0.5])
    moneyness[0] = 0.5
    assert grid.moneyness[0] == 0.9
    with pytest.raises(ValueError, match="read-only"):
        grid.moneyness[0] = 0.5
    with pytest.raises(AttributeError):
        grid.moneyness = moneyness


@pytest.mark.parametrize(
    "duplicate", [copy.copy, copy.deepcopy, lambda g: pickle.loads(pickle.dumps(g))]
)
def test_copies_are_equal_and_read_only(grid, duplicate):
    twin = duplicate(grid)
    assert twin == grid
    assert not twin.moneyness.flags.writeable
    assert not twin.tenors.flags.writeable


def test_grid_as_an_estimator_parameter(grid):
    holder = clone(Holder(grid)).set_params(grid=SurfaceGrid.paper())
    assert holder.get_params()["grid"] == SurfaceGrid.paper()
    assert clone(Holder(grid)).grid == grid
    assert "SurfaceGrid" in repr(holder)
