"""Targets of surfaces: there and back, causal inputs, bounded effects. No constants are tested."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from sklearn_diffusion.datasets import make_iv_surfaces
from sklearn_diffusion.grid import SurfaceGrid
from sklearn_diffusion.preprocessing import LogSurfaceScaler, make_forecast_frame, split_features
from sklearn_diffusion.preprocessing.features import SCALAR_NAMES
from sklearn_diffusion.surfaces.targets import PAPER_SCALARS, IncrementTarget, LevelTarget
from sklearn_diffusion.utils.weights import recency_weights

GRID = SurfaceGrid([0.8, 0.9, 1.0, 1.1, 1.2], [1 / 12, 0.5, 1.0])
N_TRAIN = 300
SURFACES = slice(0, 3 * GRID.n_cells)
TARGETS = [IncrementTarget, LevelTarget]


def column(name):
    return 3 * GRID.n_cells + SCALAR_NAMES.index(name)


@pytest.fixture(scope="module")
def frame():
    market = make_iv_surfaces(402, grid=GRID, random_state=0)
    X, y = make_forecast_frame(market.surfaces, market.spot, market.vix, dates=market.dates)
    return X.to_numpy(), y.to_numpy()


@pytest.fixture(scope="module", params=TARGETS)
def target(request, frame):
    X, y = frame
    return request.param().fit(split_features(X[:N_TRAIN], GRID), y[:N_TRAIN])


@pytest.fixture(scope="module")
def increments(frame):
    X, y = frame
    return IncrementTarget().fit(split_features(X[:N_TRAIN], GRID), y[:N_TRAIN])


def features_with(X, **scalars):
    """Features with some scalars set, taken apart."""
    changed = X.copy()
    for name, value in scalars.items():
        changed[:, column(name)] = value
    return split_features(changed, GRID)


def test_volatilities_come_back(target, frame):
    X, y = frame
    features = split_features(X, GRID)
    way = target.affine(features)
    back = way.to_volatility(target.encode(features, y))
    # The offset of increments, and only of them, is lower by half the variance.
    half_variance = 0.5 * way.scale**2 * (way.basis**2).sum(axis=0)
    if isinstance(target, LevelTarget):
        half_variance = 0
    assert_allclose(back, y * np.exp(-half_variance), rtol=1e-10)


def test_samples_come_back_day_by_day(target, frame, rng):
    features = split_features(frame[0][:7], GRID)
    w = rng.normal(size=(4, 7, GRID.n_cells))
    surfaces = target.affine(features).to_volatility(w)
    assert surfaces.shape == w.shape
    for day in range(7):
        alone = split_features(frame[0][day : day + 1], GRID)
        assert_allclose(target.affine(alone).to_volatility(w[:, [day]]), surfaces[:, [day]])


def test_training_targets_are_standardised(target, frame):
    X, y = frame[0][:N_TRAIN], frame[1][:N_TRAIN]
    features, days = split_features(X, GRID), target.day_weights_
    w = target.encode(features, y)
    mean = days @ w
    deviation = np.sqrt(days @ (w - mean) ** 2)
    # Axes along which this market hardly moves are left smaller than they could be.
    moving = np.sqrt((target.affine(features).basis ** 2).sum(axis=1)) > 1e-3
    assert moving.sum() > GRID.n_cells / 2
    # Single days beyond four deviations do not count in full: the rest is at most one.
    assert (deviation[moving] > 1 - 1e-9).all()
    assert deviation.max() < 1.15
    # Increments are not centred: with a mean of its own the walk would drift for ever.
    assert np.abs(mean).max() < (0.3 if isinstance(target, IncrementTarget) else 1e-9)


def test_recent_days_weigh_more(target):
    days = target.day_weights_
    assert days.shape == (N_TRAIN,)
    assert days.sum() == pytest.approx(1)
    assert (np.diff(days) >= 0).all()


def test_weights_halve_in_a_half_life():
    days = recency_weights(200, 50)
    assert_allclose(days[50:], 2 * days[:-50])
    assert days.sum() == pytest.approx(1)
    assert_allclose(recency_weights(4, None), 0.25)


def test_axes_are_orthogonal(target):
    assert_allclose(target.axes_.T @ target.axes_, np.eye(GRID.n_cells), atol=1e-12)


def test_first_axis_of_increments_is_the_level(increments):
    level = increments.axes_[:, 0]
    assert (np.sign(level) == np.sign(level[0])).all()
    assert increments.spread_[0] > 2 * increments.spread_[1]


def test_days_are_encoded_one_by_one(target, frame):
    X, y = frame
    features, row = split_features(X, GRID), split_features(X[50:51], GRID)
    assert_allclose(target.encode(features, y)[50:51], target.encode(row, y[50:51]), rtol=1e-9)
    assert_allclose(target.scalars(features)[50:51], target.scalars(row))
    assert_allclose(target.surfaces(features)[50:51], target.surfaces(row))


def test_level_target_is_the_scaler(frame):
    X, y = frame
    features = split_features(X, GRID)
    target = LevelTarget().fit(features, y)
    scaler = LogSurfaceScaler().fit(y)
    assert_allclose(target.encode(features, y), scaler.transform(y), atol=1e-10)
    w = np.linspace(-2, 2, y.size).reshape(y.shape)
    assert_allclose(target.affine(features).to_volatility(w), scaler.inverse_transform(w))
    n = GRID.n_cells
    for block in range(3):
        cells = slice(block * n, (block + 1) * n)
        assert_allclose(target.surfaces(features)[:, cells], scaler.transform(X[:, cells]))


def test_level_target_gives_the_five_scalars_of_the_paper(frame):
    X, y = frame
    scalars = LevelTarget().fit(split_features(X, GRID), y).scalars(split_features(X, GRID))
    raw = X[:, [column(name) for name in PAPER_SCALARS]]
    assert_allclose(scalars, (raw - raw.mean(axis=0)) / raw.std(axis=0))


def test_conditions_for_a_network_are_standardised(target, frame):
    features = split_features(frame[0][:N_TRAIN], GRID)
    surfaces = target.surfaces(features)[:, : GRID.n_cells]
    assert surfaces.shape == (N_TRAIN, GRID.n_cells)
    assert np.abs(surfaces.mean(axis=0)).max() < 0.2
    scalars = target.scalars(features)
    assert np.isfinite(scalars).all()
    assert np.abs(scalars.mean(axis=0)).max() < 0.2
    assert scalars.std(axis=0) == pytest.approx(1, abs=0.3)


def test_increments_know_no_level_of_volatility(increments, frame):
    X, y = frame[0].copy(), frame[1]
    X[:, SURFACES] *= 1.3
    before = split_features(frame[0], GRID)
    after = split_features(X, GRID)
    assert_allclose(increments.encode(after, 1.3 * y), increments.encode(before, y), atol=1e-9)
    refitted = IncrementTarget().fit(split_features(X[:N_TRAIN], GRID), 1.3 * y[:N_TRAIN])
    assert_allclose(
        refitted.affine(after).offset, increments.affine(before).offset + np.log(1.3), atol=1e-9
    )
    assert_allclose(refitted.spread_, increments.spread_, rtol=1e-9)


def test_scale_follows_the_volatility_of_volatility(increments, frame):
    ewmas = ["squared_increment_ewma_" + decay for decay in increments.decays]
    X = frame[0].copy()
    calm = increments.affine(split_features(X, GRID)).scale
    X[:, [column(name) for name in ewmas]] *= 4
    assert_allclose(increments.affine(split_features(X, GRID)).scale, 2 * calm)


@pytest.mark.parametrize("name", ["spot_return", "return_ewma_0.333", "level_increment"])
@pytest.mark.parametrize("sign", [-1, 1])
def test_conditions_beyond_training_have_bounded_effect(increments, frame, name, sign):
    far, farther = (
        increments.affine(features_with(frame[0], **{name: sign * value})).offset
        for value in (10.0, 1e6)
    )
    assert_array_equal(far, farther)
    plain = increments.affine(split_features(frame[0], GRID))
    # No condition moves the forecast by more than about one day's own deviation.
    deviation = plain.scale * np.sqrt((plain.basis**2).sum(axis=0))
    assert (np.abs(far - plain.offset) < 1.5 * deviation).all()


def test_averages_far_away_have_bounded_effect(increments, frame):
    X = frame[0].copy()
    plain = increments.affine(split_features(X, GRID))
    X[:, GRID.n_cells : 3 * GRID.n_cells] *= 100
    shifted = increments.affine(split_features(X, GRID))
    deviation = plain.scale * np.sqrt((plain.basis**2).sum(axis=0))
    assert (np.abs(shifted.offset - plain.offset) < 3 * deviation).all()
    assert np.abs(increments.scalars(split_features(X, GRID))).max() <= increments.bound


def test_scalars_for_a_network_are_bounded(increments, frame):
    scalars = increments.scalars(
        features_with(frame[0], spot_return=-5.0, level_increment=9.0, weekday=5.0)
    )
    assert np.abs(scalars).max() == increments.bound


def test_leverage_is_learnt():
    """Where volatility rises a day after the underlying falls, the mean says so."""
    rng = np.random.RandomState(0)
    n = 1500
    returns = 0.01 * rng.normal(size=n)
    noise = 0.01 * rng.normal(size=(n, 6))
    moves = np.zeros((n, 6))
    moves[1:] = -3 * returns[:-1, None]
    surfaces = 0.2 * np.exp((moves + noise).cumsum(axis=0))
    spot = 100 * np.exp(returns.cumsum())
    X, y = make_forecast_frame(surfaces, spot, np.full(n, 20.0))
    features = split_features(X, 6)
    target = IncrementTarget().fit(features, y)
    drift = target.affine(features).offset - np.log(features.today)
    realised = np.log(y / features.today)
    correlation = np.corrcoef(drift.mean(axis=1), realised.mean(axis=1))[0, 1]
    assert correlation > 0.8
    fall, rise = (
        target.affine(
            split_features(_set(X[-1:], 6, spot_return=value, **{"return_ewma_0.333": value}), 6)
        ).offset
        for value in (-0.02, 0.02)
    )
    assert (fall > rise).all()


def _set(X, n_cells, **scalars):
    X = X.copy()
    for name, value in scalars.items():
        X[:, 3 * n_cells + SCALAR_NAMES.index(name)] = value
    return X


def test_noise_of_single_cells_reverts():
    """A cell that stands above its moving averages alone, by a bad quote, is forecast lower."""
    rng = np.random.RandomState(0)
    n = 1000
    level = 0.01 * rng.normal(size=(n, 1)).cumsum(axis=0)
    surfaces = 0.2 * np.exp(level + 0.02 * rng.normal(size=(n, 6)))
    spot = 100 * np.exp(0.01 * rng.normal(size=n).cumsum())
    X, y = make_forecast_frame(surfaces, spot, np.full(n, 20.0))
    target = IncrementTarget().fit(split_features(X, 6), y)
    X = X[-1:].copy()
    X[:, 6:18] = np.tile(X[:, :6], 2)
    still = target.affine(split_features(X, 6)).offset
    X[:, 6 + 2] = X[:, 12 + 2] = X[:, 2] * np.exp(-0.04)
    reverting = target.affine(split_features(X, 6)).offset - still
    assert reverting[0, 2] < -0.005
    assert np.abs(np.delete(reverting, 2)).max() < -reverting[0, 2]


def test_days_without_a_past_use_the_least_scale(increments, frame):
    ewmas = {"squared_increment_ewma_" + decay: 0.0 for decay in increments.decays}
    way = increments.affine(features_with(frame[0], **ewmas))
    usual = np.median(increments.affine(split_features(frame[0], GRID)).scale)
    assert (way.scale > 0).all()
    assert (way.scale < usual).all()
    assert np.isfinite(increments.encode(features_with(frame[0], **ewmas), frame[1])).all()


def test_a_market_that_stands_still_cannot_be_scaled(frame):
    X, y = frame
    ewmas = {"squared_increment_ewma_" + decay: 0.0 for decay in IncrementTarget().decays}
    with pytest.raises(ValueError, match="do not change on most days"):
        IncrementTarget().fit(features_with(X, **ewmas), y)


def test_an_underlying_that_stands_still_does_no_harm(frame):
    X, y = frame
    still = {name: 0.0 for name in SCALAR_NAMES if "return" in name}
    features = features_with(X, **still)
    target = IncrementTarget().fit(features, y)
    assert np.isfinite(target.affine(features).offset).all()
    assert np.isfinite(target.scalars(features)).all()


def test_cells_that_move_as_one_stay_invertible(rng):
    n = 300
    one = 0.2 * np.exp(0.02 * rng.normal(size=(n, 1)).cumsum(axis=0))
    surfaces = np.hstack([one, one, 1.1 * one])
    spot = 100 * np.exp(0.01 * rng.normal(size=n).cumsum())
    X, y = make_forecast_frame(surfaces, spot, np.full(n, 20.0))
    features = split_features(X, 3)
    target = IncrementTarget().fit(features, y)
    w = target.encode(features, y)
    assert np.isfinite(w).all()
    back = target.affine(features).to_volatility(w)
    assert_allclose(back / back[:, :1], y / y[:, :1], rtol=1e-6)
