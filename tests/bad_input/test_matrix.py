"""Every public function and estimator, times everything that goes wrong with input.

The answer to bad input is a right result or a clear error of the package's own (or of
scikit-learn's validation): never a silently wrong number, a hang, or a traceback out of numpy,
pandas, scipy or torch. `subjects` and `corruptions` are the table's two sides.
"""

from __future__ import annotations

import collections
import dataclasses
import re
import signal
import traceback
import warnings
from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import pytest
from bad_input import parameter_subjects  # noqa: F401  # adds to SUBJECTS
from bad_input.corruptions import (
    CORRUPTIONS,
    FOLLOWERS,
    NOT_NUMBERS,
    ODD_NUMBERS,
    Corruption,
    resolve,
)
from bad_input.subjects import SUBJECTS, Subject
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

TIME_LIMIT = 20  # seconds, where the good arguments take less than one
OURS = ("/sklearn_diffusion/", "/sklearn/")
# Words by which a message says where the fault is, beside the name of the argument.
PLACES = set(
    [
        "row",
        "column",
        "day",
        "date",
        "sample",
        "feature",
        "cell",
        "asset",
        "label",
        "quote",
        "strike",
        "index",
    ]
)
PLACES |= {f"{place}s" for place in PLACES} | {"dim", "names", "conditioning"}


class Hang(Exception):
    """A call did not come back."""


@dataclasses.dataclass(frozen=True)
class Case:
    """One spoiled call."""

    subject: Subject
    argument: str
    fault: Corruption | Any
    as_frames: bool
    seed: int

    def __str__(self) -> str:
        fault = self.fault.name if isinstance(self.fault, Corruption) else repr(self.fault)
        kind = "frames" if self.as_frames else "arrays"
        return f"{self.subject.name}: {self.argument} with {fault} ({kind}, seed {self.seed})"


def bare(value: Any) -> Any:
    """The numbers without their labels (a table of quotes stays one)."""
    if isinstance(value, pd.DataFrame) and len({dtype.kind for dtype in value.dtypes}) > 1:
        return value
    return np.array(value) if hasattr(value, "index") else value


def good_arguments(subject: Subject, as_frames: bool) -> dict[str, Any]:
    arguments = subject.arguments()
    return arguments if as_frames else {name: bare(value) for name, value in arguments.items()}


@cache
def right_answer(name: str, as_frames: bool) -> np.ndarray:
    subject = next(each for each in SUBJECTS if each.name == name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # a model of frames is given arrays
        return numbers_in(subject.call(**good_arguments(subject, as_frames), **subject.numbers))


def numbers_in(result: Any) -> np.ndarray:
    """All numbers of a result in one row."""
    if dataclasses.is_dataclass(result):
        result = dataclasses.astuple(result)
    if isinstance(result, dict):
        result = tuple(result.values())
    if isinstance(result, tuple | list) and any(np.ndim(part) or part is None for part in result):
        parts = [numbers_in(part) for part in result if part is not None]
        return np.concatenate(parts) if parts else np.empty(0)
    if isinstance(result, pd.DataFrame | pd.Series):
        result = result.select_dtypes("number") if result.ndim == 2 else result
    array = np.asarray(result)
    return array.ravel().astype(float) if array.dtype.kind in "fiub" else np.empty(0)


def spoiled_call(case: Case) -> dict[str, Any] | None:
    """The arguments of the case, or None where it does not apply."""
    arguments = {**good_arguments(case.subject, case.as_frames), **case.subject.numbers}
    if isinstance(case.fault, Corruption):
        rng = np.random.RandomState(case.seed)
        spoiled = case.fault.apply(arguments[case.argument], rng)
        if spoiled is None:
            return None
        arguments[case.argument] = resolve(spoiled)
    else:
        arguments[case.argument] = case.fault
    return arguments


def expected(case: Case) -> str:
    """What a result may be, by the fault and by what the subject accepts of it."""
    subject, fault = case.subject, case.fault
    if isinstance(fault, Corruption):
        nothing, general, name = fault.name == "nothing_at_all", fault.expects, fault.name
    else:
        nothing, name = fault is None, repr(fault)
        general = "error" if any(fault is value for value in NOT_NUMBERS) else "finite"
        if subject.elementwise and isinstance(fault, list):
            general = "finite"
    if nothing:
        return "anything" if case.argument in subject.optional else "error"
    accepts = subject.accepts
    found = accepts.get(f"{case.argument}: {name}", accepts.get(name, general))
    return accepts.get("finite", "finite") if found == "finite" else found


def outcome(case: Case) -> str | None:
    """What came of a case: "right", "clear error", or what is wrong with it."""
    arguments = spoiled_call(case)
    if arguments is None:
        return None
    try:
        with time_limit(), warnings.catch_warnings():
            # Whoever warns has said that something is odd; numpy's own warnings say nothing.
            warnings.simplefilter("ignore", UserWarning)
            result = case.subject.call(**arguments)
    except Hang:
        return "hang"
    except Exception as error:
        return "clear error" if is_clear(error, case) else f"unclear error {describe(error)}"
    expects = expected(case)
    if expects == "error":
        return "silently wrong: no error"
    numbers = numbers_in(result)
    if expects == "finite" and not np.isfinite(numbers).all():
        return "silently wrong: NaN or infinity"
    if expects == "same":
        right = right_answer(case.subject.name, case.as_frames)
        if numbers.shape != right.shape:
            return f"silently wrong: {numbers.shape} numbers where {right.shape} are right"
        scale = np.abs(right[np.isfinite(right)]).max(initial=0.0)
        if not np.allclose(numbers, right, rtol=1e-3, atol=1e-3 * scale, equal_nan=True):
            return "silently wrong: other numbers"
    return "right"


def is_clear(error: Exception, case: Case) -> bool:
    """Whether an error is the package's own, or scikit-learn's, and says where the fault is."""
    frames = [frame.filename for frame in traceback.extract_tb(error.__traceback__)]
    if not any(part in frames[-1] for part in OURS):
        return False
    if isinstance(error, FloatingPointError):  # of a training that diverged: it says what to do
        return True
    if not isinstance(error, ValueError | TypeError) or isinstance(error, UnicodeError):
        return False
    words = set(re.findall(r"\w+", str(error)))
    return case.argument in words or not PLACES.isdisjoint(word.lower() for word in words)


def describe(error: Exception) -> str:
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__}: {str(error)[:100]} [{last.filename[-40:]}:{last.lineno}]"


class time_limit:
    """Raise Hang in a call that does not return."""

    def __enter__(self) -> None:
        def stop(*_: Any) -> None:
            raise Hang

        self.previous = signal.signal(signal.SIGALRM, stop)
        signal.alarm(TIME_LIMIT)

    def __exit__(self, *_: Any) -> None:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, self.previous)


def cases(seeds: list[int]) -> Iterator[Case]:
    """The whole table, once for each seed."""
    for subject in SUBJECTS:
        for argument in subject.arguments():
            for fault in CORRUPTIONS:
                if fault.name in FOLLOWERS and argument not in subject.follows:
                    continue
                for as_frames in [True, False]:
                    yield from (Case(subject, argument, fault, as_frames, s) for s in seeds)
        for argument in subject.numbers:
            for fault in NOT_NUMBERS + ODD_NUMBERS:
                yield Case(subject, argument, fault, True, 0)


TABLE = list(cases([0]))


def check(case: Case, counts: collections.Counter) -> None:
    found = outcome(case)
    counts[found and found.split(":")[0]] += 1
    assert found in (None, "right", "clear error"), f"{case}\n  {found}"


@pytest.mark.parametrize("subject", SUBJECTS, ids=lambda subject: subject.name)
def test_good_arguments_are_accepted(subject):
    for as_frames in [True, False]:
        assert right_answer(subject.name, as_frames).size


@pytest.mark.slow
def test_whole_table():
    counts: collections.Counter = collections.Counter()
    wrong = []
    for case in TABLE:
        try:
            check(case, counts)
        except AssertionError as error:
            wrong.append(str(error))
    print(dict(counts))
    assert not wrong, "\n".join([f"{len(wrong)} of {counts.total()}:", *wrong])


def generated(n_cases: int) -> Any:
    return settings(
        max_examples=n_cases,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )


CASES = st.builds(dataclasses.replace, st.sampled_from(TABLE), seed=st.integers(0, 2**32 - 1))


@seed(0)
@generated(200)
@given(case=CASES)
def test_generated_cases(case):
    check(case, collections.Counter())


@pytest.mark.slow
@generated(2000)
@given(case=CASES)
def test_many_generated_cases(case):
    check(case, collections.Counter())
