"""Ways in which input goes wrong, each with what may come of it.

Every corruption takes a good argument and a generator, and gives the argument as a careless user
would pass it, or None where it does not apply (an array has no labels to permute). `expects` says
which *results* are right; a clear error is right always:

- "same": the meaning is unchanged, so the result must be that of the good argument.
- "finite": an odd but possible input: a result must hold no NaN or infinity.
- "error": the meaning is lost, so there is no right result.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
from scipy import sparse

Expected = Literal["same", "finite", "error"]


class Corruption(NamedTuple):
    """A way to spoil an argument, and what a function may make of it."""

    name: str
    apply: Callable[[Any, np.random.RandomState], Any]
    expects: Expected


CORRUPTIONS: list[Corruption] = []


def corruption(expects: Expected) -> Callable:
    def register(apply: Callable) -> Callable:
        CORRUPTIONS.append(Corruption(apply.__name__, apply, expects))
        return apply

    return register


def is_numeric(value: Any) -> bool:
    if isinstance(value, pd.DataFrame):
        return all(dtype.kind == "f" for dtype in value.dtypes)
    return np.asarray(value).dtype.kind == "f"


def values_of(value: Any) -> np.ndarray:
    return np.array(value, dtype=float)


def like(value: Any, array: np.ndarray) -> Any:
    """Dress `array`, of the shape of `value`, in the labels of `value`."""
    if isinstance(value, pd.DataFrame):
        return pd.DataFrame(array, value.index, value.columns)
    if isinstance(value, pd.Series):
        return pd.Series(array, value.index, name=value.name)
    return array


def with_entry(value: Any, entry: Any, rng: np.random.RandomState, dtype: Any = float) -> Any:
    """Replace one entry, anywhere."""
    if not is_numeric(value) or np.size(value) == 0:
        return None
    array = values_of(value).astype(dtype)
    array[tuple(rng.randint(size) for size in array.shape)] = entry
    return like(value, array)


def with_column(value: Any, column: Callable[[np.ndarray], Any], rng: Any) -> Any:
    """Replace one column by a function of all columns."""
    if not is_numeric(value) or np.ndim(value) != 2 or np.shape(value)[1] < 2:
        return None
    array = values_of(value)
    array[:, rng.randint(array.shape[1])] = column(array)
    return like(value, array)


# --- single entries --------------------------------------------------------------------------


@corruption("error")
def a_nan(value, rng):
    return with_entry(value, np.nan, rng)


@corruption("error")
def an_infinity(value, rng):
    return with_entry(value, rng.choice([-np.inf, np.inf]), rng)


@corruption("error")
def a_none(value, rng):
    return with_entry(value, None, rng, object)


@corruption("error")
def a_word(value, rng):
    return with_entry(value, "n/a", rng, object)


@corruption("error")
def a_complex_number(value, rng):
    return with_entry(value, 0.2 + 0.1j, rng, complex)


@corruption("error")
def a_masked_entry(value, rng):
    if hasattr(value, "index") or not is_numeric(value) or np.size(value) == 0:
        return None
    mask = np.zeros(np.shape(value), dtype=bool)
    mask[tuple(rng.randint(size) for size in mask.shape)] = True
    return np.ma.array(values_of(value), mask=mask)


@corruption("error")
def a_nullable_na(value, rng):
    if not hasattr(value, "index") or not is_numeric(value):
        return None
    spoiled = value.convert_dtypes().astype("Float64")
    place = tuple(rng.randint(size) for size in spoiled.shape)
    spoiled.iloc[place] = pd.NA
    return spoiled


@corruption("finite")
def a_huge_entry(value, rng):
    return with_entry(value, 1e300, rng)


@corruption("finite")
def a_negative_entry(value, rng):
    return with_entry(value, -0.1, rng)


@corruption("finite")
def a_zero_entry(value, rng):
    return with_entry(value, 0.0, rng)


# --- scale and degeneracy --------------------------------------------------------------------


@corruption("finite")
def huge_numbers(value, rng):
    return like(value, values_of(value) * 1e300) if is_numeric(value) else None


@corruption("finite")
def tiny_numbers(value, rng):
    return like(value, values_of(value) * 1e-300) if is_numeric(value) else None


@corruption("finite")
def all_zeros(value, rng):
    return like(value, values_of(value) * 0) if is_numeric(value) else None


@corruption("finite")
def a_constant_column(value, rng):
    return with_column(value, lambda array: array[0, 0], rng)


@corruption("finite")
def a_column_constant_up_to_rounding(value, rng):
    return with_column(value, lambda x: x[0, 0] * (1 + 1e-16 * np.arange(len(x))), rng)


@corruption("finite")
def a_duplicate_column(value, rng):
    return with_column(value, lambda array: array[:, 0], rng)


@corruption("finite")
def a_collinear_column(value, rng):
    return with_column(value, lambda array: array.mean(1), rng)


# --- containers and types --------------------------------------------------------------------


@corruption("same")
def single_precision(value, rng):
    return like(value, values_of(value).astype(np.float32)) if is_numeric(value) else None


@corruption("same")
def a_read_only_array(value, rng):
    if hasattr(value, "index") or not is_numeric(value):
        return None
    array = values_of(value)
    array.flags.writeable = False
    return array


@corruption("same")
def fortran_order(value, rng):
    return like(value, np.asfortranarray(values_of(value))) if is_numeric(value) else None


@corruption("same")
def a_strided_view(value, rng):
    if hasattr(value, "index") or not is_numeric(value):
        return None
    return np.repeat(values_of(value), 2, axis=0)[::2]


@corruption("same")
def nested_lists(value, rng):
    return values_of(value).tolist() if is_numeric(value) else None


@corruption("same")
def object_numbers(value, rng):
    return like(value, values_of(value).astype(object)) if is_numeric(value) else None


@corruption("same")
def numbers_as_text(value, rng):
    return like(value, values_of(value).astype(str)) if is_numeric(value) else None


@corruption("finite")
def whole_numbers(value, rng):
    if not is_numeric(value):
        return None
    return like(value, np.rint(values_of(value) * 1e3).astype(np.int64))


@corruption("same")
def a_sparse_matrix(value, rng):
    return sparse.csr_array(values_of(value)) if np.ndim(value) == 2 and is_numeric(value) else None


@corruption("same")
def a_sparse_frame(value, rng):
    if not isinstance(value, pd.DataFrame) or not is_numeric(value):
        return None
    return value.astype(pd.SparseDtype(float))


@corruption("same")
def a_nullable_frame(value, rng):
    return value.astype("Float64") if hasattr(value, "index") and is_numeric(value) else None


@corruption("error")
def an_unrelated_object(value, rng):
    return [object(), "returns", {"a": 1}, lambda: 0][rng.randint(4)]


@corruption("error")
def nothing_at_all(value, rng):
    return None if value is None else _NONE


_NONE = object()  # stands for the argument None, since None says "does not apply"


# --- shapes ----------------------------------------------------------------------------------


@corruption("error")
def no_rows(value, rng):
    return value[:0]


@corruption("error")
def no_columns(value, rng):
    if np.ndim(value) != 2:
        return None
    return value.iloc[:, :0] if isinstance(value, pd.DataFrame) else value[:, :0]


@corruption("finite")
def one_row(value, rng):
    return value[:1] if len(value) > 1 else None


@corruption("finite")
def one_column(value, rng):
    if np.ndim(value) != 2 or np.shape(value)[1] < 2:
        return None
    return value.iloc[:, :1] if isinstance(value, pd.DataFrame) else value[:, :1]


@corruption("same")
def one_dimension_less(value, rng):
    return values_of(value).ravel() if np.ndim(value) >= 2 and is_numeric(value) else None


@corruption("same")
def one_dimension_more(value, rng):
    return values_of(value)[..., None] if is_numeric(value) else None


@corruption("finite")
def fewer_rows_than_columns(value, rng):
    if np.ndim(value) != 2 or np.shape(value)[1] < 3:
        return None
    return value[: np.shape(value)[1] - 1]


# --- labels ----------------------------------------------------------------------------------


def with_index(value: Any, relabel: Callable[[pd.DatetimeIndex], Any]) -> Any:
    if not isinstance(getattr(value, "index", None), pd.DatetimeIndex):
        return None
    value = value.copy()
    value.index = relabel(value.index)
    return value


@corruption("error")
def newest_first(value, rng):
    return with_index(value, lambda index: index[::-1])


@corruption("error")
def shuffled_days(value, rng):
    return with_index(value, lambda index: index[rng.permutation(len(index))])


@corruption("error")
def a_date_twice(value, rng):
    return with_index(value, lambda index: index[[0, *range(len(index) - 1)]])


@corruption("error")
def a_date_missing(value, rng):
    return with_index(value, lambda index: index.where(np.arange(len(index)) != 1))


@corruption("error")
def dates_as_ambiguous_text_newest_first(value, rng):
    return with_index(value, lambda index: index[::-1].strftime("%d/%m/%Y"))


@corruption("error")
def dates_as_numbers_newest_first(value, rng):
    return with_index(value, lambda index: index[::-1].strftime("%Y%m%d").astype(int))


@corruption("same")
def dates_with_a_time_zone(value, rng):
    return with_index(value, lambda index: index.tz_localize("America/New_York"))


@corruption("same")
def dates_as_iso_text(value, rng):
    return with_index(value, lambda index: index.strftime("%Y-%m-%d"))


@corruption("finite")
def a_column_name_twice(value, rng):
    if not isinstance(value, pd.DataFrame) or value.shape[1] < 2:
        return None
    columns = list(value.columns)
    columns[1] = columns[0]
    return value.set_axis(columns, axis=1)


@corruption("finite")
def column_names_of_two_types(value, rng):
    if not isinstance(value, pd.DataFrame) or value.shape[1] < 2:
        return None
    return value.set_axis([7, *value.columns[1:]], axis=1)


# --- labels and lengths of an argument that follows another one ------------------------------


@corruption("same")
def columns_in_another_order(value, rng):
    """As the other argument has the labels too, they are aligned or refused."""
    if not isinstance(value, pd.DataFrame) or value.shape[1] < 2:
        return None
    return value[value.columns[::-1]]


@corruption("error")
def other_column_names(value, rng):
    if not isinstance(value, pd.DataFrame):
        return None
    return value.add_prefix("other_")


@corruption("error")
def days_shifted_by_one(value, rng):
    return with_index(value, lambda index: index + pd.offsets.BDay())


@corruption("error")
def the_last_row_lost(value, rng):
    return value[:-1] if len(value) > 2 else None


@corruption("error")
def the_last_column_lost(value, rng):
    if np.ndim(value) != 2 or np.shape(value)[1] < 2:
        return None
    return value.iloc[:, :-1] if isinstance(value, pd.DataFrame) else value[:, :-1]


@corruption("error")
def a_column_too_many(value, rng):
    if np.ndim(value) != 2 or not is_numeric(value):
        return None
    if isinstance(value, pd.DataFrame):
        return value.assign(extra=value.iloc[:, 0])
    return np.hstack([values_of(value), values_of(value)[:, :1]])


# What only an argument that has to match another one can get wrong.
FOLLOWERS = frozenset(
    [
        "columns_in_another_order",
        "other_column_names",
        "days_shifted_by_one",
        "the_last_row_lost",
        "the_last_column_lost",
        "a_column_too_many",
    ]
)

# --- numbers given as parameters -------------------------------------------------------------

NOT_NUMBERS: list[Any] = [np.nan, "many", [1, 2], {}, 1j, object(), pd.NaT]
ODD_NUMBERS: list[Any] = [np.inf, -np.inf, -1, 0, 2.5, 1e300, 1e-300, True, None]


def resolve(value: Any) -> Any:
    """The argument that `value` stands for."""
    return None if value is _NONE else value
