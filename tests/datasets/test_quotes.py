"""Reading option quotes from files."""

from __future__ import annotations

import gzip
import io

import numpy as np
import pandas as pd
import pytest

from sklearn_diffusion.datasets import load_option_quotes, tidy_option_quotes
from sklearn_diffusion.grid import SurfaceGrid
from sklearn_diffusion.preprocessing import SurfaceSmoother
from sklearn_diffusion.preprocessing.quotes import clean_option_quotes

CSV = """date,expiry,type,strike,price
2024-01-02,2024-03-15,C,100,4.2
2024-01-02,2024-03-15,P,100,3.9
2024-01-03,2024-06-21,call,110,2.5
2024-01-03,2024-06-21,put,90,1.5
"""

OPTIONMETRICS = """secid,date,exdate,cp_flag,strike_price,best_bid,best_offer,volume,open_interest,\
impl_volatility,vega
108105,2024-01-02,2024-03-15,C,4700000,80.0,82.0,120,5,0.13,900.5
108105,2024-01-02,2024-03-15,P,4700000,70.0,71.0,0,5,-99.99,-99.99
108105,2024-01-02,2024-03-15,P,4600000,0,1.5,7,5,,
"""


@pytest.fixture
def write(tmp_path):
    def write_file(text, name="quotes.csv"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write_file


def test_plain_csv(write):
    quotes = load_option_quotes(write(CSV))
    assert list(quotes.columns) == ["date", "expiry", "is_call", "strike", "price"]
    assert quotes["is_call"].tolist() == [True, False, True, False]
    assert quotes["price"].tolist() == [4.2, 3.9, 2.5, 1.5]
    assert quotes["date"].iloc[2] == pd.Timestamp("2024-01-03")
    assert quotes["expiry"].iloc[2] == pd.Timestamp("2024-06-21")
    assert quotes.index.tolist() == [0, 1, 2, 3]


def test_gzip_and_headers_in_any_case_and_order(tmp_path, write):
    shuffled = pd.read_csv(io.StringIO(CSV))[["price", "strike", "type", "expiry", "date"]]
    shuffled.columns = shuffled.columns.str.upper() + " "
    path = tmp_path / "quotes.csv.gz"
    path.write_bytes(gzip.compress(shuffled.assign(note="x").to_csv(index=False).encode()))
    pd.testing.assert_frame_equal(load_option_quotes(path), load_option_quotes(write(CSV)))


@pytest.mark.parametrize("date_format", ["%Y%m%d", "%d/%m/%Y"])
def test_other_date_formats(write, date_format):
    frame = pd.read_csv(io.StringIO(CSV), parse_dates=["date", "expiry"])
    path = write(frame.to_csv(index=False, date_format=date_format), "other.csv")
    asked = None if date_format == "%Y%m%d" else date_format
    quotes = load_option_quotes(path, date_format=asked)
    pd.testing.assert_frame_equal(quotes, load_option_quotes(write(CSV)))


def test_optional_columns_are_kept_and_the_mid_stands_in_for_the_price(write):
    text = "date,expiry,type,strike,bid,ask,volume,spot\n2024-01-02,2024-03-15,C,100,4,5,3,101\n"
    quotes = load_option_quotes(write(text))
    assert quotes.iloc[0][["price", "bid", "ask", "volume", "spot"]].tolist() == [4.5, 4, 5, 3, 101]


def test_optionmetrics(write):
    path = write(OPTIONMETRICS)
    quotes = load_option_quotes(path)
    assert quotes["strike"].tolist() == [4700, 4700, 4600]
    assert quotes["price"].tolist() == [81, 70.5, 0.75]
    assert quotes["is_call"].tolist() == [True, False, False]
    assert quotes["volume"].tolist() == [120, 0, 7]
    np.testing.assert_array_equal(quotes["impl_volatility"], [0.13, np.nan, np.nan])
    np.testing.assert_array_equal(quotes["vega"], [900.5, np.nan, np.nan])
    assert "open_interest" not in quotes.columns
    pd.testing.assert_frame_equal(quotes, load_option_quotes(path, format="optionmetrics"))


@pytest.mark.parametrize("convert", ["datetime64", "date objects", "integers"])
def test_tables_in_memory(write, convert):
    raw = pd.read_csv(io.StringIO(CSV), parse_dates=["date", "expiry"])
    raw.index = [10, 11, 12, 13]
    for name in ("date", "expiry"):
        if convert == "date objects":
            raw[name] = raw[name].dt.date
        elif convert == "integers":
            raw[name] = raw[name].dt.strftime("%Y%m%d").astype(int)
    before = raw.copy()
    quotes = tidy_option_quotes(raw)
    pd.testing.assert_frame_equal(raw, before)
    expected = load_option_quotes(write(CSV)).set_axis(raw.index)
    pd.testing.assert_frame_equal(quotes, expected, check_dtype=False)


def replaced(old, new, text=CSV):
    assert old in text
    return text.replace(old, new, 1)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (replaced("price", "premium"), r"lacks the columns \['price'\] of format='csv'"),
        (replaced("expiry,type", "x,y"), r"lacks the columns \['expiry', 'type'\]"),
        (replaced("2024-01-03", "2024-13-03"), r"date is not a date .* row 2 \('2024-13-03'\)"),
        (replaced("2024-06-21", "soon"), r"expiry is not a date .* in 1 of 4 rows: row 2"),
        (replaced("call", "straddle"), r"type is none of C, P, call, put.* row 2 \('straddle'\)"),
        (replaced("3.9", "n.a."), r"price is not a number in 1 of 4 rows: row 1 \('n.a.'\)"),
        (
            replaced("3.9", "-3.9"),
            r"price is not a non-negative number .*row 1 \(date 2024-01-02, expiry 2024-03-15, "
            r"put of strike 100.0, price -3.9\)",
        ),
        (replaced("3.9", ""), r"price is not a non-negative number .*row 1 .*price nan"),
        (replaced("110,", "0,"), r"strike is not a positive number .*row 2"),
        (replaced("15,P", "15,C"), r"quoted twice on a day in 2 of 4 quotes: row 0 .*; row 1 "),
        (replaced("2024-06-21", "2024-01-02"), r"expiry is before date in 1 of 4 .*row 2 "),
        (CSV.splitlines()[0], "quotes are empty"),
        (replaced("82.0", "79.0", OPTIONMETRICS), r"ask is below bid .*row 0 .*bid 80.0"),
        (replaced("108105", "1", OPTIONMETRICS), r"hold 2 underlyings \(column 'secid': 1, 108"),
        (replaced("0.13", "-0.13", OPTIONMETRICS), r"impl_volatility is not a positive number"),
        (replaced(",120", ",-1", OPTIONMETRICS), r"volume is not a non-negative number .*row 0"),
        (replaced("best_bid", "bid", OPTIONMETRICS), r"\['best_bid'\] of format='optionmetrics'"),
    ],
)
def test_bad_files_name_the_rows(write, text, message):
    with pytest.raises(ValueError, match=message):
        load_option_quotes(write(text))


def test_many_bad_rows_are_counted_and_a_few_named(write):
    text = CSV + "".join(f"2024-01-04,2024-06-21,P,{k},-1\n" for k in range(50, 60))
    with pytest.raises(
        ValueError, match=r"in 10 of 14 quotes: row 4 .*; row 5 .*; row 6 .*, \.\.\."
    ):
        load_option_quotes(write(text))


def test_headers_that_cannot_be_read_are_shown(write):
    with pytest.raises(ValueError, match=r"it has \['date;expiry;type;strike;price'\]"):
        load_option_quotes(write(CSV.replace(",", ";")))
    with pytest.raises(ValueError, match=r"has the columns \['date'\] twice"):
        load_option_quotes(write("Date,date,expiry,type,strike,price\n"))


def test_unknown_format(write):
    with pytest.raises(ValueError, match="format must be"):
        load_option_quotes(write(CSV), format="parquet")


def test_real_quotes_load_and_smooth(shared_data):
    quotes = load_option_quotes(shared_data("quotes_sse50_2015_2021.csv.gz"))
    assert len(quotes) == 205_526
    days = quotes["date"].unique()[::40]
    quotes = quotes[quotes["date"].isin(days)]

    with np.load(shared_data("surfaces_sse50_2015_2021.npz"), allow_pickle=False) as reference:
        grid = SurfaceGrid(reference["m"], reference["tau"])
        expected = np.swapaxes(reference["iv_unsmoothed"], 1, 2)[::40]
        mask = np.swapaxes(reference["mask"], 1, 2)[::40]
        spot = reference["spot"][::40]
    smoother = SurfaceSmoother(grid, rate=0.025, min_days=7)
    surfaces = grid.unflatten(smoother.fit_transform(quotes))
    error = np.abs(surfaces / expected - 1)[mask]
    assert np.median(error) < 0.003
    assert (grid.unflatten(smoother.mask_) == mask).mean() > 0.95
    np.testing.assert_allclose(smoother.spot_, spot, rtol=1e-9)


@pytest.mark.filterwarnings("ignore:no cell of the grid lies inside")
def test_the_default_method_predicts_real_quotes_best(shared_data):
    quotes = load_option_quotes(shared_data("quotes_sse50_2015_2021.csv.gz"))
    days = quotes["date"].unique()[::100]
    train, test = quotes["date"].isin(days[:10]), quotes["date"].isin(days[10:])
    # Every other expiry loses a strike near its forward.
    listed = quotes[test].groupby(["date", "expiry"], as_index=False)["strike"].median()
    left_out = listed[::2].rename(columns={"strike": "hidden"})
    known = quotes[test].merge(left_out, on=["date", "expiry"], how="left")
    known = known[known["strike"] != known.pop("hidden")]
    clean = clean_option_quotes(quotes[test], rate=0.025).points
    kept = clean_option_quotes(known, rate=0.025).points
    hidden = clean.merge(kept, how="left", on=["date", "tenor", "moneyness"], indicator=True)
    hidden = hidden[(hidden["_merge"] == "left_only")]

    def error(method):
        smoother = SurfaceSmoother(SurfaceGrid.paper(), method=method, rate=0.025)
        smoother.fit(quotes[train])
        errors = []
        for date, tenor, moneyness, volatility in hidden.iloc[:, :4].itertuples(index=False):
            smoother.set_params(grid=SurfaceGrid([moneyness], [tenor]))
            surface = smoother.transform(known[known["date"] == date])
            errors.append(abs(surface.iloc[0, 0] - volatility))
        return np.mean(errors)

    assert len(hidden) > 15
    assert error(SurfaceSmoother(SurfaceGrid.paper()).method) < 0.5 * error("nadaraya_watson")
