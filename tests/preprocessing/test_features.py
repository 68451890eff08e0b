from __future__ import annotations

import numpy as np
import pytest

from sklearn_diffusion.preprocessing import SCALAR_NAMES, make_forecast_frame, split_features
from sklearn_diffusion.preprocessing.features import check_features, feature_names, join_features


def test_joining_is_the_inverse_of_splitting(market, grid):
    X, _ = make_forecast_frame(**market, grid=grid)
    today, short, long, scalars = features = split_features(X, grid)
    named = dict(zip(SCALAR_NAMES, scalars.T, strict=True))
    np.testing.assert_array_equal(join_features(today, [short, long], named), X)
    np.testing.assert_array_equal(features.scalar("weekday"), X["weekday"])
    assert list(feature_names(grid.cell_names)) == list(X.columns)
    np.testing.assert_array_equal(split_features(X, grid.n_cells).today, today)


def test_the_number_of_columns_is_that_of_the_grid(grid):
    with pytest.raises(ValueError, match=r"30 columns, 3 surfaces of 6 cells"):
        split_features(np.ones((3, 25)), grid)


def test_every_value_is_checked(market, grid):
    X, _ = make_forecast_frame(**market, grid=grid)
    check_features(X, grid)
    for column, value in (("iv_m1.00_t0.500", 0.0), ("ewma20_m1.00_t0.500", np.nan)):
        bad = X.copy()
        bad.loc["2019-01-08", column] = value
        with pytest.raises(ValueError, match=r"on day 2019-01-08, cell 'm1.00_t0.500'"):
            check_features(bad, grid)
    bad = X.copy()
    bad.loc["2019-01-08", "vix_return"] = np.nan
    with pytest.raises(ValueError, match=r"1 scalars .* on day 2019-01-08: vix_return"):
        check_features(bad, grid)
    swapped = X.iloc[:, [1, 0, *range(2, X.shape[1])]]
    with pytest.raises(ValueError, match=r"column 0 of X is 'iv_m0.90_t0.500'"):
        check_features(swapped, grid)
