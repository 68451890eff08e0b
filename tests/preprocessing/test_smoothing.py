"""SurfaceSmoother: exact reproductions, limits of the bandwidths, masks, reports, bad days."""

from __future__ import annotations

import pickle

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import parametrize_with_checks

from sklearn_diffusion.grid import SurfaceGrid
from sklearn_diffusion.preprocessing import SurfaceSmoother
from sklearn_diffusion.pricing import black_price, black_vega

EXTRAPOLATED = pytest.mark.filterwarnings("ignore:no cell of the grid lies inside")

# Between two strikes, so that rounding decides nothing.
FORWARD = 100.5
METHODS = ["local_linear", "nadaraya_watson"]
KERNEL = {"method": "nadaraya_watson"}
GRID = SurfaceGrid([0.85, 0.95, 1.0, 1.05, 1.15], [0.1, 0.25, 0.5, 0.75])

#: scikit-learn's checks that an estimator of tables of quotes leaves out, and why.
CHECKS_LEFT_OUT = {
    "every check that passes an array": "the input is a table of quotes with named columns, and "
    "the output has one row per day instead of one per row of the input",
    "check_dict_unchanged": "dates_, mask_, report_, forwards_ and spot_ describe the quotes last "
    "transformed",
}


def make_quotes(volatility, days=1, expiries=(36, 91, 182, 274), strikes=None):
    """Fairly priced quotes; volatility(log_moneyness, tenor, day) is the true surface."""
    strikes = np.arange(76.0, 127.0, 4.0) if strikes is None else np.asarray(strikes, dtype=float)
    dates = pd.bdate_range("2024-01-02", periods=days)
    table = pd.MultiIndex.from_product(
        [dates, expiries, [True, False], strikes], names=["date", "days", "is_call", "strike"]
    ).to_frame(index=False)
    table.insert(1, "expiry", table["date"] + pd.to_timedelta(table.pop("days"), unit="D"))
    tau = (table["expiry"] - table["date"]).dt.days / 365
    sigma = volatility(np.log(table["strike"] / FORWARD), tau, dates.get_indexer(table["date"]))
    table["price"] = black_price(
        FORWARD, table["strike"], tau, np.asarray(sigma), is_call=table["is_call"]
    )
    return table


def flat(log_moneyness, tenor, day):
    return 0.2 + 0.01 * day + 0 * log_moneyness


def smile(log_moneyness, tenor, day):
    return 0.2 - 0.1 * log_moneyness + 0.3 * log_moneyness**2


@parametrize_with_checks([SurfaceSmoother(GRID)])
def test_scikit_learn_contract(estimator, check):
    check(estimator)


@pytest.mark.parametrize("method", METHODS)
def test_flat_surfaces_are_reproduced_exactly(method):
    surfaces = SurfaceSmoother(GRID, method=method).fit_transform(make_quotes(flat, days=3))
    expected = np.repeat([[0.20], [0.21], [0.22]], GRID.n_cells, axis=1)
    np.testing.assert_allclose(surfaces, expected, rtol=1e-9)


@pytest.mark.parametrize("bandwidth", [1e-4, 0.002, 1.0])
def test_local_lines_reproduce_linear_smiles_and_linear_total_variance(bandwidth):
    def level(tenor):
        return np.sqrt((0.01 + 0.04 * tenor) / tenor)

    # A line in logarithms.
    quotes = make_quotes(lambda k, tau, day: level(tau) * np.exp(-0.4 * k))
    smoother = SurfaceSmoother(GRID, bandwidth_moneyness=bandwidth)
    surface = GRID.unflatten(smoother.fit_transform(quotes))[0]
    slope = GRID.moneyness[:, None] ** -0.4
    np.testing.assert_allclose(surface, slope * level(GRID.tenors), rtol=1e-8)


def test_beyond_its_strikes_a_smile_keeps_its_slope_for_two_steps():
    quotes = make_quotes(lambda k, tau, day: 0.2 * np.exp(-0.4 * k), expiries=(91,))
    low, high = np.log(np.array([[76, 80, 84], [124, 120, 116]]) / FORWARD)
    ends = np.array([2 * low[0] - low[2], 2 * high[0] - high[2]])
    # Far beyond where the slope ends, there, and at the outermost strikes.
    places = np.concatenate([[ends[0] - 1], ends[:1], [low[0], high[0]], ends[1:], [ends[1] + 1]])
    grid = SurfaceGrid(np.exp(places), [91 / 365])
    surface = SurfaceSmoother(grid).fit_transform(quotes).to_numpy()[0]
    np.testing.assert_allclose(surface, 0.2 * np.exp(-0.4 * np.clip(places, *ends)), rtol=1e-8)


def test_kernel_average_is_the_formula_of_the_paper():
    quotes = make_quotes(lambda k, tau, day: smile(k, tau, day) + 0.05 * tau)
    h1, h2 = 0.002, 0.046
    smoother = SurfaceSmoother(GRID, **KERNEL, bandwidth_moneyness=h1, bandwidth_tenor=h2)
    surface = GRID.unflatten(smoother.fit_transform(quotes))[0]

    kept = quotes[quotes["is_call"] == (quotes["strike"] > FORWARD)]
    m = kept["strike"].to_numpy() / FORWARD
    tau = (kept["expiry"] - kept["date"]).dt.days.to_numpy() / 365
    sigma = smile(np.log(m), tau, 0) + 0.05 * tau
    vega = black_vega(FORWARD, m * FORWARD, tau, sigma)
    for i, target_m in enumerate(GRID.moneyness):
        for j, target_tau in enumerate(GRID.tenors):
            kernel = np.exp(-((m - target_m) ** 2) / (2 * h1) - (tau - target_tau) ** 2 / (2 * h2))
            expected = (vega * kernel * sigma).sum() / (vega * kernel).sum()
            assert surface[i, j] == pytest.approx(expected, rel=1e-9)


def test_wide_kernels_give_the_vega_weighted_mean_and_narrow_ones_the_nearest_quote():
    quotes = make_quotes(smile, expiries=(91,))
    grid = SurfaceGrid(np.array([84, 92, 108, 116]) / FORWARD, [91 / 365])
    wide = SurfaceSmoother(grid, **KERNEL, bandwidth_moneyness=1e6, bandwidth_tenor=1e6)
    surface = wide.fit_transform(quotes).to_numpy()
    np.testing.assert_allclose(surface, surface[0, 0], rtol=1e-6)
    narrow = SurfaceSmoother(grid, **KERNEL, bandwidth_moneyness=1e-8, bandwidth_tenor=1e-8)
    expected = smile(np.log(grid.moneyness), None, None)
    np.testing.assert_allclose(narrow.fit_transform(quotes)[:1], [expected], rtol=1e-8)


@EXTRAPOLATED
@pytest.mark.parametrize("method", METHODS)
def test_far_outside_the_quotes_the_nearest_ones_count(method):
    grid = SurfaceGrid([0.01, 5.0], [0.001, 20.0])
    smoother = SurfaceSmoother(grid, method=method, bandwidth_moneyness=1e-6)
    if method == "nadaraya_watson":
        smoother.set_params(bandwidth_tenor=1e-6)
    surface = smoother.fit_transform(make_quotes(smile)).to_numpy().reshape(2, 2)
    edges = smile(np.log(np.array([76, 124]) / FORWARD), None, None)
    np.testing.assert_allclose(surface, np.repeat(edges[:, None], 2, axis=1), rtol=1e-4)


def test_automatic_bandwidths_beat_the_paper_s_on_dense_strikes():
    quotes = make_quotes(smile, days=4, strikes=np.arange(75.0, 126.0))
    truth = np.repeat(smile(np.log(GRID.moneyness), None, None), 4)

    def error(**options):
        surfaces = SurfaceSmoother(GRID, **options).fit_transform(quotes)
        return np.abs(surfaces.to_numpy() - truth).mean()

    paper = error(**KERNEL, bandwidth_moneyness=0.002, bandwidth_tenor=0.046)
    assert error(**KERNEL) < paper / 2
    assert error() < paper / 10


@pytest.mark.parametrize("method", METHODS)
def test_automatic_bandwidths_grow_with_the_noise(method):
    rng = np.random.default_rng(0)
    noise = rng.normal(size=10_000)

    def bandwidth(scale):
        def noisy(k, tau, day):
            # Both sides of a strike share their noise, so that parity holds.
            place = np.unique(np.column_stack([k, tau, day]), axis=0, return_inverse=True)[1]
            return smile(k, tau, day) * np.exp(scale * noise[place.ravel()])

        quotes = make_quotes(noisy, days=10, strikes=np.arange(80.0, 121.0, 2.0))
        return SurfaceSmoother(GRID, method=method).fit(quotes).bandwidth_moneyness_

    assert bandwidth(0.05) > 2 * bandwidth(0.0)


def test_bandwidths_are_those_of_the_training_days():
    train = make_quotes(smile, days=2, strikes=np.arange(80.0, 121.0))
    test = make_quotes(smile, strikes=np.arange(80.0, 121.0, 8.0))
    smoother = SurfaceSmoother(GRID, **KERNEL).fit(train)
    h1, h2 = smoother.bandwidth_moneyness_, smoother.bandwidth_tenor_
    fixed = SurfaceSmoother(GRID, **KERNEL, bandwidth_moneyness=h1, bandwidth_tenor=h2).fit(train)
    pd.testing.assert_frame_equal(smoother.transform(test), fixed.transform(test))
    assert SurfaceSmoother(GRID, **KERNEL).fit(test).bandwidth_moneyness_ > 4 * h1


def test_days_stand_for_themselves():
    quotes = make_quotes(flat, days=3)
    smoother = SurfaceSmoother(GRID).fit(quotes)
    together = smoother.transform(quotes)
    last = smoother.transform(quotes[quotes["date"] == quotes["date"].max()])
    np.testing.assert_array_equal(together.iloc[-1:], last)


def test_output_is_labelled():
    smoother = SurfaceSmoother(GRID)
    surfaces = smoother.fit_transform(make_quotes(flat, days=3))
    assert list(surfaces.columns) == list(GRID.cell_names)
    assert list(surfaces.columns) == list(smoother.get_feature_names_out())
    assert surfaces.index.equals(pd.bdate_range("2024-01-02", periods=3))
    assert surfaces.index.equals(smoother.dates_)
    wrapped = smoother.set_output(transform="pandas").transform(make_quotes(flat, days=3))
    pd.testing.assert_frame_equal(wrapped, surfaces)


def test_mask_is_the_range_quoted_on_both_sides_of_a_tenor():
    narrow = make_quotes(
        flat, expiries=(73,), strikes=FORWARD * np.array([0.9, 0.95, 1.02, 1.05, 1.1])
    )
    wide = make_quotes(
        flat, expiries=(146,), strikes=FORWARD * np.array([0.8, 0.9, 1.02, 1.1, 1.2])
    )
    grid = SurfaceGrid([0.8, 0.9, 1.0, 1.1, 1.2], [0.1, 0.2, 0.3, 0.4, 0.5])
    smoother = SurfaceSmoother(grid)
    surface = smoother.fit_transform(pd.concat([narrow, wide], ignore_index=True))
    expected = np.array(
        [
            [0, 0, 0, 1, 0],
            [0, 1, 1, 1, 0],
            [0, 1, 1, 1, 0],
            [0, 1, 1, 1, 0],
            [0, 0, 0, 1, 0],
        ],
        dtype=bool,
    )
    np.testing.assert_array_equal(grid.unflatten(smoother.mask_)[0], expected)
    assert smoother.report_["cells_outside"].item() == 14
    assert surface.notna().all(axis=None)

    clipped = clone(smoother).set_params(extrapolate=False)
    masked = clipped.fit_transform(pd.concat([narrow, wide], ignore_index=True))
    np.testing.assert_array_equal(masked.notna(), smoother.mask_)
    np.testing.assert_array_equal(
        masked.to_numpy()[smoother.mask_], surface.to_numpy()[smoother.mask_]
    )


def test_report_counts_what_was_dropped():
    quotes = make_quotes(flat, days=2)
    quotes["volume"] = 1.0
    quotes.loc[(quotes["date"] == "2024-01-02") & (quotes["strike"] == 120), "volume"] = 0
    smoother = SurfaceSmoother(GRID)
    smoother.fit_transform(quotes)
    report = smoother.report_
    assert report["quotes"].tolist() == [104, 104]
    assert report["zero_volume"].tolist() == [8, 0]
    assert report["kept"].tolist() == [4 * 12, 4 * 13]
    assert report["in_the_money"].tolist() == [4 * 12, 4 * 13]
    assert report["smoothed"].all()
    np.testing.assert_allclose(smoother.forwards_["forward"], FORWARD, rtol=1e-12)
    np.testing.assert_allclose(smoother.spot_, FORWARD, rtol=1e-12)


def test_sparse_days_are_named_or_dropped():
    quotes = make_quotes(flat, days=3)
    second = quotes["date"] == "2024-01-03"
    few = second & (
        (quotes["strike"] < 92) | (quotes["strike"] > 96) | (quotes["expiry"] > "2024-03")
    )
    sparse = quotes[~few]
    with pytest.raises(
        ValueError, match=r"1 days have fewer usable quotes than min_quotes=5.*2024-01-03 \(2 of 4"
    ):
        SurfaceSmoother(GRID).fit_transform(sparse)

    smoother = SurfaceSmoother(GRID, on_sparse_day="drop")
    surfaces = smoother.fit_transform(sparse)
    assert surfaces.index.strftime("%d").tolist() == ["02", "04"]
    assert len(smoother.mask_) == len(smoother.spot_) == 2
    assert smoother.report_["smoothed"].tolist() == [True, False, True]
    assert smoother.report_["cells_outside"].tolist()[1] == GRID.n_cells


def test_days_without_any_usable_quote_are_named_even_if_sparse_days_are_dropped():
    calls = make_quotes(flat).query("is_call")
    smoother = SurfaceSmoother(GRID, bandwidth_moneyness=0.002)
    with pytest.raises(ValueError, match=r"2024-01-02 \(0 of 52\); left out: 52 no_forward"):
        smoother.set_params(on_sparse_day="drop").fit_transform(calls)


def test_the_bandwidth_s_choice_does_not_hide_why_there_are_no_quotes():
    with pytest.raises(ValueError, match=r"2024-01-02 \(0 of 52\); left out: 52 no_forward"):
        SurfaceSmoother(GRID).fit(make_quotes(flat).query("is_call"))


def test_a_day_on_which_most_quotes_violate_parity_is_named_or_dropped():
    quotes = make_quotes(flat, days=3, strikes=np.arange(80.0, 121.0))
    wrong = (quotes["date"] == "2024-01-03") & quotes["is_call"]
    # Time value alone, so that no forward makes up for it.
    quotes.loc[wrong, "price"] += 0.03 * FORWARD * (quotes["strike"] % 3)
    with pytest.raises(ValueError, match=r"1 days .* violate parity: 2024-01-03 .* parity_viol"):
        SurfaceSmoother(GRID).fit(quotes)
    smoother = SurfaceSmoother(GRID, on_sparse_day="drop")
    assert smoother.fit_transform(quotes).index.strftime("%d").tolist() == ["02", "04"]
    assert smoother.report_.loc["2024-01-03", "parity_violation"] > 0
    trusting = SurfaceSmoother(GRID, parity_tolerance=None)
    assert len(trusting.fit_transform(quotes)) == 3


@EXTRAPOLATED
def test_local_lines_stay_positive():
    def kinked(k, tau, day):
        return np.where(k < -0.1, 1.2, 0.1)

    quotes = make_quotes(kinked, expiries=(91,), strikes=[90, 94, 97, 98, 99, 100])
    # A line through the volatilities themselves would end at -0.056.
    smoother = SurfaceSmoother(
        SurfaceGrid([1.0], [91 / 365]), method="local_linear", bandwidth_moneyness=1.0
    )
    assert 0.03 < smoother.fit_transform(quotes).to_numpy().item() < 0.1


@EXTRAPOLATED
def test_automatic_bandwidths_need_strikes_and_use_spacing_where_no_expiry_is_between():
    two = SurfaceSmoother(GRID, **KERNEL).fit(make_quotes(smile, expiries=(73, 219)))
    assert two.bandwidth_tenor_ == pytest.approx((0.4 / 2) ** 2)
    few_strikes = make_quotes(smile, strikes=[96, 104])
    with pytest.raises(ValueError, match="needs an expiry with at least 4 quotes"):
        SurfaceSmoother(GRID).fit(few_strikes)


@EXTRAPOLATED
@pytest.mark.parametrize("method", METHODS)
def test_one_expiry_needs_no_tenor_bandwidth(method):
    quotes = make_quotes(smile, expiries=(91,))
    surfaces = SurfaceSmoother(GRID, method=method).fit_transform(quotes)
    surface = GRID.unflatten(surfaces)[0]
    assert np.ptp(surface[:, 0]) > 0.01
    np.testing.assert_allclose(surface, np.repeat(surface[:, :1], 4, axis=1), rtol=1e-12)


def test_a_bandwidth_that_would_not_be_used_is_refused():
    smoother = SurfaceSmoother(GRID, bandwidth_moneyness=0.002, bandwidth_tenor=0.046)
    with pytest.raises(ValueError, match=r"bandwidth_tenor=0.046 .* method='nadaraya_watson'"):
        smoother.fit(make_quotes(flat))


def test_paper_configuration():
    quotes = make_quotes(smile)
    quotes["spot"] = FORWARD
    smoother = SurfaceSmoother.paper()
    surfaces = smoother.fit_transform(quotes)
    assert surfaces.shape == (1, 81)
    assert (smoother.bandwidth_moneyness_, smoother.bandwidth_tenor_) == (0.002, 0.046)
    assert (smoother.method, smoother.moneyness) == ("nadaraya_watson", "spot")
    assert SurfaceSmoother.paper(GRID).grid == GRID


@pytest.mark.parametrize("method", METHODS)
def test_the_tick_size_is_no_volatility(method):
    """Far from the money only an ask is left, a tick, and its half has any volatility at all."""
    tick = 0.05
    quotes = make_quotes(smile, expiries=(9, 36, 91), strikes=np.arange(60.0, 141.0, 2.0))
    fair = quotes["price"]
    quotes["bid"] = np.floor(fair / tick) * tick
    quotes["ask"] = quotes["bid"] + tick
    quotes["price"] = (quotes["bid"] + quotes["ask"]) / 2
    grid = SurfaceGrid(np.arange(0.7, 1.31, 0.05), [9 / 365, 36 / 365])
    truth = np.repeat(smile(np.log(grid.moneyness), None, None), 2)
    smoother = SurfaceSmoother(grid, method=method)
    error = np.abs(smoother.fit_transform(quotes).to_numpy()[0] - truth)[smoother.mask_[0]]
    assert error.max() < 0.02
    smoother.set_params(drop_zero_bid=False)
    error = np.abs(smoother.fit_transform(quotes).to_numpy()[0] - truth)[smoother.mask_[0]]
    assert error.max() > 0.1


@pytest.mark.parametrize("method", METHODS)
def test_clone_pickle_and_parameters(method):
    quotes = make_quotes(smile)
    smoother = clone(SurfaceSmoother(GRID)).set_params(method=method).fit(quotes)
    assert smoother.get_params()["grid"] == GRID
    twin = pickle.loads(pickle.dumps(smoother))
    pd.testing.assert_frame_equal(twin.transform(quotes), smoother.transform(quotes))
    refitted = clone(smoother).fit_transform(quotes)
    pd.testing.assert_frame_equal(refitted, smoother.transform(quotes))


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("grid", "paper"),
        ("method", "spline"),
        ("bandwidth_moneyness", 0.0),
        ("bandwidth_tenor", "paper"),
        ("moneyness", "delta"),
        ("min_days", 0),
        ("parity_tolerance", -0.1),
        ("on_sparse_day", "fill"),
    ],
)
def test_bad_parameters_are_named(parameter, value):
    smoother = SurfaceSmoother(GRID).set_params(**{parameter: value})
    with pytest.raises(ValueError, match=f"'{parameter}' parameter of SurfaceSmoother"):
        smoother.fit(make_quotes(flat))


def test_transform_needs_fit():
    with pytest.raises(NotFittedError):
        SurfaceSmoother(GRID).transform(make_quotes(flat))
