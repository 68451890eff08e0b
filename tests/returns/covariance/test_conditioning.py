"""Scenarios given partial observations."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

CONDITIONS = {
    "interval": {"KO": (-0.03, -0.01)},
    "open_below": {"KO": (None, -0.01)},
    "open_above": {"KO": (0.005, None)},
    "two_intervals": {"KO": (-0.03, 0.0), "XOM": (0.0, None)},
    "by_index": {2: (-0.03, -0.01)},
    "from_the_end": {-2: (-0.03, -0.01)},
}


@pytest.mark.parametrize("name", CONDITIONS)
def test_intervals_agree_with_rejection_sampling(name, frame, model, covariance_errors, names):
    conditioning = CONDITIONS[name]
    X = frame(600)
    if not isinstance(next(iter(conditioning)), str):
        X = X.to_numpy()
    estimator = model(half_life=None).fit(X)
    draws = estimator.sample(150_000, random_state=1)
    keep = np.ones(len(draws), dtype=bool)
    for key, (low, high) in conditioning.items():
        column = draws[:, names.index(key) if isinstance(key, str) else key]
        keep &= (column >= (-np.inf if low is None else low)) & (
            column <= (np.inf if high is None else high)
        )
    expected = draws[keep]
    assert len(expected) > 2000
    samples = estimator.sample(20_000, conditioning=conditioning, random_state=2)
    for a, b in zip(samples.T, expected.T, strict=True):
        assert abs(a.mean() - b.mean()) < 5 * np.sqrt(a.var() / len(a) + b.var() / len(b))
    noise = np.hypot(covariance_errors(samples), covariance_errors(expected))
    assert (np.abs(np.cov(samples.T) - np.cov(expected.T)) < 6 * noise).all()
    for key, (low, high) in conditioning.items():
        column = samples[:, names.index(key) if isinstance(key, str) else key]
        assert low is None or column.min() >= low
        assert high is None or column.max() <= high


@pytest.mark.parametrize("as_array", [False, True])
def test_values_agree_with_a_narrow_band_of_draws(as_array, frame, model):
    estimator = model(half_life=None).fit(frame(600))
    draws = estimator.sample(400_000, random_state=1)
    value, width = -0.015, 0.0008
    expected = draws[np.abs(draws[:, 1] - value) < width]
    assert len(expected) > 2000
    n = 20_000
    given = np.full(n, value) if as_array else value
    samples = estimator.sample(n, conditioning={"JPM": given}, random_state=2)
    np.testing.assert_array_equal(samples[:, 1], value)
    free = [0, 2, 3]
    for j in free:
        a, b = samples[:, j], expected[:, j]
        assert abs(a.mean() - b.mean()) < 5 * np.sqrt(a.var() / len(a) + b.var() / len(b))
        assert a.std() == pytest.approx(b.std(), rel=0.1)


def test_values_per_scenario_agree_with_one_value(frame, model):
    estimator = model(half_life=None).fit(frame(600))
    n = 8000
    values = np.repeat([-0.03, 0.02], n)
    mixed = estimator.sample(2 * n, conditioning={"KO": values}, random_state=1)
    np.testing.assert_array_equal(mixed[:, 2], values)
    for value, part in ((-0.03, mixed[:n]), (0.02, mixed[n:])):
        alone = estimator.sample(n, conditioning={"KO": value}, random_state=2)
        for j in (0, 1, 3):
            a, b = part[:, j], alone[:, j]
            assert abs(a.mean() - b.mean()) < 5 * np.sqrt((a.var() + b.var()) / n)


def test_value_and_interval_together(frame, model):
    estimator = model(half_life=None).fit(frame(600))
    samples = estimator.sample(3000, conditioning={"KO": -0.02, "XOM": (0.0, 0.02)})
    np.testing.assert_array_equal(samples[:, 2], -0.02)
    assert ((samples[:, 3] >= 0) & (samples[:, 3] <= 0.02)).all()
    # Given a fall of KO, the rest is drawn below the unconditional distribution.
    assert samples[:, :2].mean() < estimator.sample(3000)[:, :2].mean()


def test_conditioning_where_assets_outnumber_days(panel, model):
    X = panel(25, 60)
    estimator = model().fit(X)
    samples = estimator.sample(2000, conditioning={0: (None, -0.01), 7: 0.02})
    assert samples.shape == (2000, 60) and np.isfinite(samples).all()
    assert samples[:, 0].max() <= -0.01
    np.testing.assert_array_equal(samples[:, 7], 0.02)


@pytest.mark.parametrize("deviations", [8, 30])
def test_a_stress_far_beyond_the_training_days(deviations, frame, model):
    estimator = model(half_life=None).fit(frame(600))
    crash = -deviations * np.sqrt(estimator.covariance_[2, 2])
    for conditioning in ({"KO": crash}, {"KO": (None, crash)}):
        samples = estimator.sample(500, conditioning=conditioning)
        assert np.isfinite(samples).all()
        assert samples[:, 2].max() <= crash
        if deviations < 10:  # all four load on the market
            assert (samples.mean(0) < 0).all()


@pytest.mark.parametrize("conditioning", [None, {}])
def test_no_condition_is_unconditional(conditioning, frame, model):
    estimator = model().fit(frame())
    np.testing.assert_array_equal(
        estimator.sample(5, conditioning=conditioning), estimator.sample(5)
    )


BAD_CONDITIONS = {
    "a_number": (0.1, r"must be a dictionary .* got float"),
    "not_a_mapping": ([("KO", 0.1)], r"must be a dictionary .* got list"),
    "unknown_name": (
        {"MSFT": 0.1},
        r"unknown feature 'MSFT' \(known: 'AAPL', 'JPM', 'KO', 'XOM'\)",
    ),
    "position_beside_names": ({2: 0.1}, "unknown feature 2"),
    "boolean_key": ({True: 0.1}, "unknown feature True"),
    "below_total_loss": ({"KO": -1.1}, "a simple return cannot fall below -1"),
    "interval_below_total_loss": ({"KO": (None, -2.0)}, "a simple return cannot fall below -1"),
    "interval_down_to_total_loss": ({"KO": (-3, -1)}, "a simple return cannot fall below -1"),
    "three_ends": ({"KO": (0, 1, 2)}, r"'KO' must be a pair \(low, high\), got \(0, 1, 2\)"),
    "empty": ({"KO": (0.1, -0.1)}, r"'KO' is an empty interval: \(0.1, -0.1\)"),
    "point": ({"KO": (0.1, 0.1)}, "'KO' is an empty interval"),
    "nan_end": ({"KO": (np.nan, 0.1)}, "'KO' is an empty interval"),
    "nan": ({"KO": np.nan}, "'KO' must be finite"),
    "infinite": ({"KO": np.inf}, "'KO' must be finite"),
    "none": ({"KO": None}, "'KO' must be numeric, got None"),
    "text": ({"KO": "-0.1"}, "'KO' must be numeric, got '-0.1'"),
    "complex": ({"KO": 1j}, "'KO' must be numeric, got 1j"),
    "boolean": ({"KO": True}, "'KO' must be numeric, got True"),
    "text_end": ({"KO": ("low", 0.1)}, "'KO' must be bounded by numbers, got 'low'"),
    "missing_end": ({"KO": (pd.NA, 0.1)}, "'KO' must be bounded by numbers, got <NA>"),
    "array_end": ({"KO": (np.zeros(5), 0.1)}, "'KO' must be bounded by numbers, got array"),
    "wrong_length": ({"KO": np.zeros(4)}, r"'KO' must be .* 5 values \(n_samples\), got .*\(4,\)"),
    "two_dimensional": ({"KO": np.zeros((5, 1))}, r"'KO' must be .* got shape \(5, 1\)"),
    "everything": (dict.fromkeys(["AAPL", "JPM", "KO", "XOM"], 0.0), "fixes every feature"),
    "values_and_intervals": (
        {"KO": np.zeros(5), "XOM": (0, None), "JPM": (0, None)},
        "values per scenario with more than one interval",
    ),
}


@pytest.mark.parametrize("name", BAD_CONDITIONS)
def test_malformed_conditioning_is_named(name, frame, model):
    conditioning, message = BAD_CONDITIONS[name]
    with pytest.raises(ValueError, match=message):
        model().fit(frame()).sample(5, conditioning=conditioning)


def test_names_need_a_frame(panel, model):
    with pytest.raises(ValueError, match=r"'KO', .*the estimator was fitted without names"):
        model().fit(panel()).sample(5, conditioning={"KO": 0.1})


BAD_POSITIONS = {
    "too_large": ({4: 0.1}, "index 4 is out of range for 4 features"),
    "too_small": ({-5: 0.1}, "index -5 is out of range for 4 features"),
    "boolean": ({True: 0.1}, "keys are names or indices of features, got True"),
    "float": ({1.0: 0.1}, "keys are names or indices of features, got 1.0"),
    "twice": ({2: 0.1, -2: 0.2}, "feature -2 twice"),
}


@pytest.mark.parametrize("name", BAD_POSITIONS)
def test_malformed_positions_are_named(name, panel, model):
    conditioning, message = BAD_POSITIONS[name]
    with pytest.raises(ValueError, match=message):
        model().fit(panel()).sample(5, conditioning=conditioning)


@pytest.mark.parametrize("labels", [[1, 2, 3, 4], [("US", 1), ("US", 2), ("DE", 1), ("DE", 2)]])
def test_labels_win_over_positions(labels, panel, model):
    """A frame whose columns are called 1, 2, 3, 4: the key 1 is its first column."""
    X = pd.DataFrame(panel())
    X.columns = pd.Index(labels, tupleize_cols=False)
    samples = model().fit(X).sample(50, conditioning={labels[0]: -0.02})
    np.testing.assert_array_equal(samples[:, 0], -0.02)
    assert (samples[:, 1] != -0.02).all()
    with pytest.raises(ValueError, match=r"unknown feature 0"):
        model().fit(X).sample(5, conditioning={0: -0.02})


def test_simple_returns_do_not_fall_below_a_total_loss(panel, model):
    """Nor do their intervals; log returns and changes have no bound."""
    X = 12 * panel(300)  # four fifths of the money at risk in a bad day
    X = np.clip(X, -1, None)
    simple = model().fit(X)
    samples = simple.sample(50_000)
    assert samples.min() == -1
    down = simple.sample(200, conditioning={0: (None, -0.5)})
    assert down[:, 0].min() >= -1 and down[:, 0].max() <= -0.5
    for units in ("log", "change", ["log", "change", "log", "log"]):
        free = model(units=units).fit(X)
        assert free.sample(50_000).min() < -1
        np.testing.assert_array_equal(free.covariance_, simple.covariance_)
        assert free.sample(5, conditioning={0: (None, -2.0)})[:, 0].max() <= -2
    mixed = model(units=["simple", "log", "log", "log"]).fit(X).sample(50_000)
    assert mixed[:, 0].min() == -1 and mixed[:, 1:].min() < -1


def test_data_below_a_total_loss_are_no_simple_returns(frame, model):
    X = 100 * frame()  # in percent, or changes
    assert model().fit(X).sample(20_000).min() < -1
    with pytest.raises(ValueError, match=r"in row \d+, column 'AAPL': a simple return cannot fall"):
        model(units="simple").fit(X)


@pytest.mark.parametrize("units", ["percent", ["log", "log"], ["log", "percent", "log", "log"]])
def test_impossible_units_are_named(units, panel, model):
    with pytest.raises(ValueError, match="units"):
        model(units=units).fit(panel())
