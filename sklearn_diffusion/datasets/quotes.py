"""Option quotes from files and from other people's tables."""

from __future__ import annotations

import zlib
from lzma import LZMAError
from os import PathLike
from pathlib import Path
from typing import Literal
from zipfile import BadZipFile

import pandas as pd
from pandas.api.types import is_datetime64_any_dtype

from sklearn_diffusion.preprocessing.quotes import (
    UNDERLYING_COLUMNS,
    check_one_underlying,
    check_option_quotes,
)

__all__ = ["load_option_quotes", "tidy_option_quotes"]

#: Columns of an OptionMetrics "Option Prices" file that are read, and what they are called here.
OPTIONMETRICS_COLUMNS = {
    "date": "date",
    "exdate": "expiry",
    "cp_flag": "type",
    "strike_price": "strike",
    "best_bid": "bid",
    "best_offer": "ask",
    "volume": "volume",
    "impl_volatility": "impl_volatility",
    "vega": "vega",
}

#: Columns of a plain file that are read. Those after the price are optional.
CSV_COLUMNS = (
    "date",
    "expiry",
    "type",
    "strike",
    "price",
    "bid",
    "ask",
    "volume",
    "impl_volatility",
    "vega",
    "spot",
    "forward",
)

OPTION_TYPES = {"c": True, "call": True, "p": False, "put": False}

#: Columns that are read as text, lest pandas guess at their meaning.
TEXT_COLUMNS = {"date", "exdate", "expiry", "cp_flag", "type"}

#: OptionMetrics writes this where it could compute no volatility or no Greek.
OPTIONMETRICS_MISSING = -99.99


def load_option_quotes(
    path: str | PathLike[str],
    *,
    format: Literal["auto", "optionmetrics", "csv"] = "auto",
    date_format: str | None = None,
    expiry_format: str | None = None,
) -> pd.DataFrame:
    r"""Read the option quotes of one underlying from a file.

    Parameters
    ----------
    path : str or path-like
        A CSV file with a header, perhaps compressed (``.gz``, ``.zip``, ``.xz``, ``.bz2``).
    format : {"auto", "optionmetrics", "csv"}, default="auto"
        - "optionmetrics": the columns ``date``, ``exdate``, ``cp_flag`` (C, P), ``strike_price``
          (strike times 1000), ``best_bid`` and ``best_offer`` of the "Option Prices" file, and
          ``volume``, ``impl_volatility`` and ``vega`` where present. The price is the mid.
        - "csv": the columns ``date``, ``expiry``, ``type`` (C, P, call, put), ``strike`` and
          ``price`` (or ``bid`` and ``ask``, whose mid is then the price), and ``bid``, ``ask``,
          ``volume``, ``impl_volatility``, ``vega``, ``spot`` and ``forward`` where present.
        - "auto": "optionmetrics" if there is a column ``exdate``, otherwise "csv".

        Upper and lower case in headers are the same, and other columns are ignored.
    date_format : str, default=None
        Format of the dates as for `datetime.datetime.strptime`. None reads ``2024-01-31`` and
        ``20240131``.
    expiry_format : str, default=None
        Format of the expiries, where it is another one; None is `date_format`.

    Returns
    -------
    DataFrame
        One row per quote in the order of the file, numbered from 0, with columns ``date`` and
        ``expiry`` (datetime64), ``is_call`` (bool), ``strike``, ``price`` and the optional ones.

    Raises
    ------
    ValueError
        If columns are missing, a date or an option type cannot be read, an expiry is before its
        date, a price or strike is not a number in range, an ask is below its bid, an option is
        quoted twice on a day, or the file holds several underlyings: the message names the rows, by
        their number and content. If the file is no table, or its rows have more fields than its
        header: the message names the path and the line.
    FileNotFoundError
        If there is no such file. Addresses are not fetched.

    See Also
    --------
    tidy_option_quotes : The same for a table already in memory, from a database say, or one whose
        faulty rows have been taken out.
    sklearn_diffusion.preprocessing.SurfaceSmoother : Turns quotes into surfaces.

    Notes
    -----
    A column ``spot``, which moneyness K/S needs, can be added from a Series of closes by date:
    ``quotes["spot"] = quotes["date"].map(closes)``.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from sklearn_diffusion.datasets import load_option_quotes
    >>> text = "date,expiry,type,strike,price\n2024-01-02,2024-03-15,C,100,4.2\n"
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "quotes.csv")
    ...     _ = path.write_text(text)
    ...     quotes = load_option_quotes(path)
    >>> quotes[["is_call", "strike", "price"]].to_dict("records")
    [{'is_call': True, 'strike': 100.0, 'price': 4.2}]
    """
    if "://" in str(path):
        raise ValueError(
            f"path must be a file on this machine, got {str(path)!r}: download it first."
        )
    if not Path(path).is_file():
        raise FileNotFoundError(f"there is no file {str(path)!r}.")
    try:
        header = pd.read_csv(path, nrows=0).columns
        as_text = {name: str for name in header if _plain(name) in TEXT_COLUMNS}
        # All columns: reading some of them only would not notice a row of too many fields.
        table = pd.read_csv(path, dtype=as_text)
    except (ValueError, EOFError, OSError, zlib.error, LZMAError, BadZipFile) as error:
        # Of pandas' own, ParserError names the line and EmptyDataError says that there is none.
        raise ValueError(f"{str(path)!r} cannot be read as a table of quotes: {error}") from error
    if not isinstance(table.index, pd.RangeIndex):
        raise ValueError(
            f"the rows of {str(path)!r} have more fields than its header has names; a comma inside "
            "a number, as in 1,000, has to be quoted."
        )
    return tidy_option_quotes(
        table, format=format, date_format=date_format, expiry_format=expiry_format
    )


def tidy_option_quotes(
    table: pd.DataFrame,
    *,
    format: Literal["auto", "optionmetrics", "csv"] = "auto",
    date_format: str | None = None,
    expiry_format: str | None = None,
) -> pd.DataFrame:
    """Bring a table of option quotes of one underlying into the form the smoother takes.

    Parameters
    ----------
    table : DataFrame
        Columns as in `load_option_quotes`; dates as text, integers (20240131) or datetime64.
    format : {"auto", "optionmetrics", "csv"}, default="auto"
        As in `load_option_quotes`.
    date_format, expiry_format : str, default=None
        As in `load_option_quotes`.

    Returns
    -------
    DataFrame
        As returned by `load_option_quotes`, with the row labels of ``table``.

    Raises
    ------
    ValueError
        As in `load_option_quotes`.

    Examples
    --------
    Index options settled at the open and at the close share strikes and expiries. Keep one kind:

    >>> import pandas as pd
    >>> from sklearn_diffusion.datasets import tidy_option_quotes
    >>> raw = pd.DataFrame(
    ...     {"date": "2024-01-02", "exdate": "2024-03-15", "cp_flag": "C",
    ...      "strike_price": 4_700_000, "best_bid": [120.0, 121.0],
    ...      "best_offer": [122.0, 123.0], "am_settlement": [1, 0]}
    ... )
    >>> tidy_option_quotes(raw[raw["am_settlement"] == 1])[["strike", "price"]].to_dict("records")
    [{'strike': 4700.0, 'price': 121.0}]
    """
    if format not in ("auto", "optionmetrics", "csv"):
        raise ValueError(f"format must be 'auto', 'optionmetrics' or 'csv', got {format!r}.")
    if not isinstance(table, pd.DataFrame):
        raise TypeError(f"table must be a pandas DataFrame, got {type(table).__name__}.")
    table = table.rename(columns=_plain)
    _check_columns_differ(table)
    if format == "auto":
        format = "optionmetrics" if "exdate" in table.columns else "csv"
    quotes = _select_columns(table, format)
    contract = ("exdate", "cp_flag", "strike_price") if format == "optionmetrics" else (
        "expiry", "type", "strike"
    )  # fmt: skip
    check_one_underlying(table, contract)

    for name, spelt in (("date", date_format), ("expiry", expiry_format or date_format)):
        quotes[name] = _parse_days(quotes[name], spelt)
    quotes.insert(2, "is_call", _parse_types(quotes.pop("type")))
    for name in quotes.columns[3:]:
        quotes[name] = _parse_numbers(quotes[name])

    if format == "optionmetrics":
        quotes["strike"] /= 1000
        for name in quotes.columns.intersection(["impl_volatility", "vega"]):
            quotes[name] = quotes[name].mask(quotes[name] == OPTIONMETRICS_MISSING)
    if "price" not in quotes.columns:
        quotes.insert(4, "price", (quotes["bid"] + quotes["ask"]) / 2)
    check_option_quotes(quotes)
    return quotes


def _plain(name: str) -> str:
    return str(name).strip().lower()


def _check_columns_differ(table: pd.DataFrame) -> None:
    known = {*OPTIONMETRICS_COLUMNS, *CSV_COLUMNS, *UNDERLYING_COLUMNS}
    twice = sorted(known.intersection(table.columns[table.columns.duplicated()]))
    if twice:
        raise ValueError(f"the table has the columns {twice} twice, upper and lower case aside.")


def _select_columns(table: pd.DataFrame, format: str) -> pd.DataFrame:
    """Keep the columns of a format, under the names used here."""
    if format == "optionmetrics":
        names = OPTIONMETRICS_COLUMNS
        required = ["date", "exdate", "cp_flag", "strike_price", "best_bid", "best_offer"]
    else:
        names = dict(zip(CSV_COLUMNS, CSV_COLUMNS, strict=True))
        has_mid = {"bid", "ask"} <= set(table.columns)
        has_price = "price" in table.columns or not has_mid
        required = ["date", "expiry", "type", "strike", *(["price"] if has_price else [])]
    missing = [name for name in required if name not in table.columns]
    if missing:
        raise ValueError(
            f"the table lacks the columns {missing} of format={format!r}; it has "
            f"{list(table.columns)}."
        )
    return table[[name for name in names if name in table.columns]].rename(columns=names)


def _parse_days(column: pd.Series, date_format: str | None) -> pd.Series:
    if is_datetime64_any_dtype(column):
        return column
    text = column.astype(str).str.strip()
    if date_format is None:
        date_format = "%Y%m%d" if text.str.fullmatch(r"\d{8}").all() else "%Y-%m-%d"
    days = pd.to_datetime(text, format=date_format, errors="coerce")
    _refuse(text, days.isna(), f"is not a date of the form {date_format}")
    return days


def _parse_types(column: pd.Series) -> pd.Series:
    is_call = column.astype(str).str.strip().str.lower().map(OPTION_TYPES)
    _refuse(column, is_call.isna(), "is none of C, P, call, put")
    return is_call.astype(bool)


def _parse_numbers(column: pd.Series) -> pd.Series:
    numbers = pd.to_numeric(column, errors="coerce")
    _refuse(column, numbers.isna() & column.notna(), "is not a number")
    return numbers.astype("float64")


def _refuse(column: pd.Series, bad: pd.Series, complaint: str) -> None:
    """Raise a ValueError that names the first few rows where ``bad`` is True."""
    if not bad.any():
        return
    rows = column[bad]
    shown = ", ".join(f"row {label} ({value!r})" for label, value in rows.head(3).items())
    more = ", ..." if len(rows) > 3 else ""
    raise ValueError(
        f"{column.name} {complaint} in {len(rows)} of {len(column)} rows: {shown}{more}."
    )
