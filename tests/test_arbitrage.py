from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import norm

from sklearn_diffusion.arbitrage import (
    arbitrage_operators,
    arbitrage_penalty,
    arbitrage_report,
    relative_calls,
)
from sklearn_diffusion.grid import SurfaceGrid

GRID = SurfaceGrid([0.8, 0.9, 1.0, 1.15], [0.1, 0.25, 1.0])


def loops_over_equations(surface, grid, rate=0.0):
    """Equations (29) and (31)-(33), one term at a time."""
    m, tau = grid.moneyness, grid.tenors
    sigma = grid.unflatten(surface)
    c = np.empty(grid.shape)
    for i in range(len(m)):
        for j in range(len(tau)):
            s = sigma[i, j] * np.sqrt(tau[j])
            d1 = (-np.log(m[i]) + (rate + sigma[i, j] ** 2 / 2) * tau[j]) / s
            c[i, j] = norm.cdf(d1) - m[i] * np.exp(-rate * tau[j]) * norm.cdf(d1 - s)
    p1 = p2 = p3 = 0.0
    for i in range(len(m)):
        for j in range(len(tau) - 1):
            p1 += max((c[i, j] - c[i, j + 1]) / (tau[j + 1] - tau[j]), 0)
    for j in range(len(tau)):
        for i in range(len(m) - 1):
            p2 += max((c[i + 1, j] - c[i, j]) / (m[i + 1] - m[i]), 0)
        for i in range(1, len(m) - 1):
            below = (c[i, j] - c[i - 1, j]) / (m[i] - m[i - 1])
            above = (c[i + 1, j] - c[i, j]) / (m[i + 1] - m[i])
            p3 += max(below - above, 0)
    return p1, p2, p3


@pytest.mark.parametrize("rate", [0.0, 0.04])
def test_report_agrees_with_the_printed_equations(rate):
    surfaces = np.exp(np.random.default_rng(0).normal(-1.5, 0.5, (20, GRID.n_cells)))
    report = arbitrage_report(surfaces, GRID, rate=rate)
    expected = np.array([loops_over_equations(s, GRID, rate) for s in surfaces])
    assert (expected > 0).any(axis=0).all()
    np.testing.assert_allclose(report[["calendar", "spread", "butterfly"]], expected, atol=1e-12)
    np.testing.assert_allclose(report["total"], expected.sum(axis=1), atol=1e-12)
    np.testing.assert_allclose(arbitrage_penalty(surfaces, GRID, rate=rate), report["total"])


@pytest.mark.parametrize("grid", [GRID, SurfaceGrid.paper()])
@pytest.mark.parametrize("volatility", [0.05, 0.2, 1.5])
@pytest.mark.parametrize("rate", [0.0, 0.05])
def test_black_scholes_surfaces_are_free_of_arbitrage(grid, volatility, rate):
    flat = np.full(grid.n_cells, volatility)
    assert arbitrage_penalty(flat, grid, rate=rate) < 1e-12
    assert arbitrage_penalty(flat, grid, surrogate="iv") == 0


@pytest.mark.parametrize(
    ("component", "cell", "volatility"),
    [
        ("calendar", (2, 0), 0.6),  # the short tenor is dearer than the long one
        ("spread", (3, 1), 0.9),  # the highest strike is dearer than the one below
        ("butterfly", (1, 2), 0.6),  # the middle of three strikes is too dear
    ],
)
def test_hand_made_violations_have_the_right_sign(component, cell, volatility):
    surface = np.full(GRID.shape, 0.2)
    surface[cell] = volatility
    report = arbitrage_report(GRID.flatten(surface), GRID)
    assert report[component].item() > 0.01
    rising = np.broadcast_to([0.2, 0.21, 0.22], GRID.shape)
    assert arbitrage_penalty(GRID.flatten(rising), GRID) < 1e-12


def test_surrogate_is_the_mean_square_of_concavity_and_of_falling_variance():
    surface = np.full(GRID.shape, 0.2)
    surface[1, 1] = 0.5
    variance = surface**2 * GRID.tenors
    concave = np.maximum(-(surface[2:] - 2 * surface[1:-1] + surface[:-2]), 0)
    falling = np.maximum(variance[:, :-1] - variance[:, 1:], 0)
    report = arbitrage_report(GRID.flatten(surface), GRID, surrogate="iv")
    assert report["butterfly"].item() == pytest.approx((concave**2).mean())
    assert report["calendar"].item() == pytest.approx((falling**2).mean())
    assert report["total"].item() == pytest.approx((concave**2).mean() + (falling**2).mean())
    assert (report > 0).all(axis=None)


def test_operators_measure_slopes_and_vanish_on_their_null_space():
    operators = arbitrage_operators(GRID)
    m, tau = np.meshgrid(GRID.moneyness, GRID.tenors, indexing="ij")
    plane = GRID.flatten(3 * tau - 2 * m)
    np.testing.assert_allclose(operators.calendar @ plane, -3)
    np.testing.assert_allclose(operators.spread @ plane, -2)
    np.testing.assert_allclose(operators.butterfly @ plane, 0, atol=1e-12)


def test_short_axes_have_nothing_to_violate():
    grid = SurfaceGrid([0.9, 1.1], [0.5])
    operators = arbitrage_operators(grid)
    assert operators.calendar.shape == operators.butterfly.shape == (0, 2)
    assert arbitrage_penalty([0.2, 0.2], grid) == 0
    assert arbitrage_penalty([0.2, 0.2], grid, surrogate="iv") == 0


def test_leading_axes_and_index_are_kept():
    surfaces = np.full((3, 5, GRID.n_cells), 0.2)
    assert relative_calls(surfaces, GRID).shape == surfaces.shape
    assert arbitrage_penalty(surfaces, GRID).shape == (3, 5)
    frame = pd.DataFrame(surfaces[0], index=pd.bdate_range("2020-01-01", periods=5))
    assert arbitrage_report(frame, GRID).index.equals(frame.index)


@pytest.mark.parametrize("bad", [0.0, -0.1, np.nan])
def test_invalid_volatilities_are_named(bad):
    surfaces = np.full((2, GRID.n_cells), 0.2)
    surfaces[1, 4] = bad
    with pytest.raises(ValueError, match=r"position \(1,\), cell 'm0.90_t0.25"):
        arbitrage_penalty(surfaces, GRID)


def test_invalid_arguments():
    with pytest.raises(ValueError, match="n_cells = 12"):
        arbitrage_penalty(np.full((2, 4), 0.2), GRID)
    with pytest.raises(ValueError, match="surrogate"):
        arbitrage_penalty(np.full(12, 0.2), GRID, surrogate="price")
