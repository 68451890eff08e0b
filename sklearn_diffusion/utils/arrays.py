"""Checks of arrays and tables that would lose something on their way to plain floats."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from scipy.sparse import issparse

__all__ = ["check_plain"]

# As other libraries' tables call the types of columns that hold no numbers.
_NO_NUMBERS = ("date", "time", "duration", "str", "utf8", "categorical", "enum", "object", "bool")


def check_plain(values: Any, name: str) -> None:
    """Raise where turning values into an array of floats would lose something silently.

    Parameters
    ----------
    values : array-like
        As given by the user.
    name : str
        Of the argument, for the message.

    Raises
    ------
    ValueError
        For masked and complex values, sparse matrices, and tables of other libraries with a column
        that holds no numbers.
    """
    if isinstance(values, np.ma.MaskedArray) and np.ma.is_masked(values):
        first = tuple(int(i) for i in np.argwhere(np.ma.getmaskarray(values))[0])
        raise ValueError(
            f"{name} has {np.ma.count_masked(values)} masked value(s), the first at {first}: fill "
            "or drop them first."
        )
    if issparse(values):
        raise ValueError(f"{name} is a sparse matrix; pass {name}.toarray().")
    if isinstance(values, pd.DataFrame | pd.Series | pd.Index):
        return  # whose columns are checked by name where they are read
    if isinstance(values, list | tuple | np.ndarray | np.generic | complex):
        if np.iscomplexobj(values):
            raise ValueError(f"Complex data not supported: {name} must be real numbers.")
    elif hasattr(values, "columns") and hasattr(values, "dtypes"):
        kinds = zip(values.columns, values.dtypes, strict=True)
        text = [str(column) for column, kind in kinds if str(kind).lower().startswith(_NO_NUMBERS)]
        if text:
            raise ValueError(
                f"{name} must be real numbers; not so in column(s) {', '.join(map(repr, text))}. "
                "Dates belong into the index of a pandas DataFrame."
            )
