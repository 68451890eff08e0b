from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_diffusion.grid import SurfaceGrid
from sklearn_diffusion.preprocessing import LogSurfaceScaler

GRID = SurfaceGrid([0.9, 1.0, 1.1], [0.1, 0.5])


@pytest.fixture
def surfaces(rng):
    return np.exp(rng.normal(-1.6, 0.3, (200, GRID.n_cells)) * np.arange(1, 7))


@parametrize_with_checks([LogSurfaceScaler()])
@pytest.mark.usefixtures("strictly_positive_checks")
def test_scikit_learn_contract(estimator, check):
    check(estimator)


def test_training_days_are_standardised_in_log_volatility(surfaces):
    scaler = LogSurfaceScaler(GRID).fit(surfaces)
    standardised = scaler.transform(surfaces)
    np.testing.assert_allclose(standardised.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(standardised.std(axis=0), 1)
    np.testing.assert_allclose(scaler.scale_, np.log(surfaces).std(axis=0))


def test_inverse_keeps_leading_axes(surfaces):
    scaler = LogSurfaceScaler().fit(surfaces)
    scenarios = surfaces.reshape(4, 50, -1)
    standardised = scaler.transform(surfaces).reshape(scenarios.shape)
    np.testing.assert_allclose(scaler.inverse_transform(standardised), scenarios)


def test_statistics_are_those_of_the_training_days(surfaces):
    train, test = surfaces[:150], surfaces[150:]
    scaler = LogSurfaceScaler().fit(train)
    expected = (np.log(test) - np.log(train).mean(axis=0)) / np.log(train).std(axis=0)
    np.testing.assert_allclose(scaler.transform(test), expected)


def test_unit_of_volatility_does_not_matter(surfaces):
    in_percent = LogSurfaceScaler().fit_transform(100 * surfaces)
    np.testing.assert_allclose(in_percent, LogSurfaceScaler().fit_transform(surfaces), atol=1e-10)


@pytest.mark.parametrize("bad", [0.0, -0.2, np.nan, np.inf])
@pytest.mark.parametrize("method", ["fit", "transform"])
def test_day_and_cell_at_fault_are_named(surfaces, bad, method):
    frame = pd.DataFrame(
        surfaces, pd.bdate_range("2020-01-01", periods=200), GRID.cell_names.astype(str)
    )
    scaler = LogSurfaceScaler(GRID).fit(frame)
    frame.iloc[3, 2] = bad
    with pytest.raises(ValueError, match=r"day 2020-01-06, cell 'm1.00_t0.100'"):
        getattr(scaler, method)(frame)


def test_many_faults_are_counted(surfaces):
    surfaces[5:10] = np.nan
    with pytest.raises(ValueError, match=r"NaN on day 5, cell 'm0.90_t0.100'.* and 27 more"):
        LogSurfaceScaler(GRID).fit(surfaces)


def test_unusable_input(surfaces):
    other = SurfaceGrid(GRID.moneyness + 0.5, GRID.tenors)
    with pytest.raises(ValueError, match=r"column 0 of X is 'm0.90_t0.100'"):
        LogSurfaceScaler(other).fit(pd.DataFrame(surfaces, columns=GRID.cell_names))
    with pytest.raises(ValueError, match="grid has 81"):
        LogSurfaceScaler(SurfaceGrid.paper()).fit(surfaces)
    with pytest.raises(ValueError, match=r"1 constant cells.*m0.90_t0.500"):
        surfaces[:, 1] = 0.2
        LogSurfaceScaler(GRID).fit(surfaces)
    with pytest.raises(ValueError, match="6 cells seen in fit"):
        LogSurfaceScaler().fit(np.exp(np.eye(6))).inverse_transform(np.zeros((2, 5)))
