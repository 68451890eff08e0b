from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from sklearn.covariance import EmpiricalCovariance
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_diffusion.baselines import RecencyWeightedShrinkage
from sklearn_diffusion.utils.weights import recency_weights


@parametrize_with_checks(
    [
        RecencyWeightedShrinkage(),
        RecencyWeightedShrinkage(half_life=None, shrinkage=1, assume_centered=True),
    ]
)
@pytest.mark.filterwarnings("ignore:X has column.* that look like prices")
def test_estimator_contract(estimator, check):
    check(estimator)


@pytest.mark.parametrize("half_life", [7.0, 100.0, None])
def test_recency_weights(half_life):
    weights = recency_weights(50, half_life)
    assert weights.sum() == pytest.approx(1)
    if half_life is None:
        assert (weights == weights[0]).all()
    else:
        np.testing.assert_allclose(weights[1:] / weights[:-1], 2 ** (1 / half_life))


def test_without_shrinkage_it_is_the_exponentially_weighted_covariance_of_pandas(rng):
    X = pd.DataFrame(rng.randn(80, 4) @ rng.randn(4, 4) + 3)
    model = RecencyWeightedShrinkage(half_life=11, shrinkage=0).fit(X)
    recent = X.ewm(halflife=11)
    np.testing.assert_allclose(model.location_, recent.mean().iloc[-1])
    np.testing.assert_allclose(model.covariance_, recent.cov(bias=True).iloc[-4:])


@pytest.mark.parametrize("assume_centered", [False, True])
def test_without_a_half_life_or_shrinkage_it_is_the_empirical_covariance(rng, assume_centered):
    X = rng.randn(40, 6) + 1
    settings = {"assume_centered": assume_centered}
    model = RecencyWeightedShrinkage(half_life=None, shrinkage=0, **settings).fit(X)
    empirical = EmpiricalCovariance(**settings).fit(X)
    np.testing.assert_allclose(model.covariance_, empirical.covariance_)
    np.testing.assert_allclose(model.location_, empirical.location_)


@pytest.mark.parametrize("shrinkage", [0.3, 1])
def test_shrinkage_acts_on_correlations_only(rng, shrinkage):
    X = rng.randn(50, 5) @ rng.randn(5, 5) * [1, 1e-4, 1, 10, 1]
    plain, shrunk = (
        RecencyWeightedShrinkage(shrinkage=s).fit(X).covariance_ for s in (0, shrinkage)
    )
    off = ~np.eye(5, dtype=bool)
    np.testing.assert_array_equal(shrunk.diagonal(), plain.diagonal())
    np.testing.assert_allclose(shrunk[off], (1 - shrinkage) * plain[off])


def test_positive_definite_with_more_assets_than_days(rng):
    model = RecencyWeightedShrinkage().fit(rng.randn(20, 60))
    np.testing.assert_array_equal(model.covariance_, model.covariance_.T)
    # Unit volatilities apart, the identity's share bounds the eigenvalues from below.
    std = np.sqrt(model.covariance_.diagonal())
    assert np.linalg.eigvalsh(model.covariance_ / np.outer(std, std))[0] == pytest.approx(0.3)
    np.testing.assert_allclose(model.precision_ @ model.covariance_, np.eye(60), atol=1e-9)


def test_a_day_a_half_life_ago_counts_half():
    """Each asset has moved on one day only, whose weight is then its second moment."""
    model = RecencyWeightedShrinkage(half_life=3, assume_centered=True).fit(np.eye(7))
    moments = model.covariance_.diagonal()
    np.testing.assert_allclose(moments[3:] / moments[:-3], 2)
    assert moments.sum() == pytest.approx(1)


def test_bad_input_is_named(rng):
    days = pd.bdate_range("2020-01-01", periods=30)
    X = pd.DataFrame(rng.randn(30, 3), index=days, columns=["AAPL", "JPM", "KO"])
    missing = X.copy()
    missing.loc["2020-01-03", "KO"] = np.nan
    with pytest.raises(ValueError, match=r"NaN or inf.*\(row 2020-01-03, column 'KO'\)"):
        RecencyWeightedShrinkage().fit(missing)
    with pytest.raises(ValueError, match=r"constant column.*'JPM'"):
        RecencyWeightedShrinkage().fit(X.assign(JPM=0.01))
    with pytest.raises(ValueError, match="2020-01-02 stands before 2020-01-01"):
        RecencyWeightedShrinkage().fit(X.iloc[[1, 0, *range(2, 30)]])
    reordered = RecencyWeightedShrinkage(half_life=None).fit(X.iloc[::-1])
    expected = RecencyWeightedShrinkage(half_life=None).fit(X)
    np.testing.assert_allclose(reordered.covariance_, expected.covariance_)
    with pytest.raises(ValueError, match="minimum of 2"):
        RecencyWeightedShrinkage().fit(X[:1])


@pytest.mark.parametrize(
    "parameters", [{"half_life": 0}, {"half_life": "auto"}, {"shrinkage": 1.1}]
)
def test_impossible_parameters_are_named(rng, parameters):
    (name,) = parameters
    with pytest.raises(ValueError, match=name):
        RecencyWeightedShrinkage(**parameters).fit(rng.randn(9, 2))
