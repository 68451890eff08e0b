"""Parameters that are objects with parameters of their own, or strings that stand for them.

A part of an estimator (its sampler, its schedule, its score model) is given as an object, whose
parameters `get_params`, `clone` and searches see as ``part__name``, or as a string, the shorthand
for the object with its defaults. A string has no parameters: setting one would have no effect.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from numbers import Integral, Real
from typing import Any, Literal, Self

from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval

__all__ = [
    "Count",
    "NestedParametersMixin",
    "check_number",
    "check_positive_integer",
    "resolve_part",
]


class Count(Interval):
    """Constraint of a parameter: integers from the least on, of which True is none.

    Parameters
    ----------
    least : int, default=1
        The smallest one allowed.
    """

    def __init__(self, least: int = 1):
        super().__init__(Integral, least, None, closed="left")

    def is_satisfied_by(self, val: object) -> bool:
        """Tell whether a value is such an integer.

        Parameters
        ----------
        val : object
            What was given.

        Returns
        -------
        bool
        """
        return not isinstance(val, bool) and super().is_satisfied_by(val)


class NestedParametersMixin:
    """Refuse to set a parameter of a part that is given by name."""

    def set_params(self, **params: Any) -> Self:
        """Set parameters, of the estimator or of its parts.

        Parameters
        ----------
        **params
            By name; those of a part as ``part__name``.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If a name is unknown, or a part is a string or None, which has no parameters.
        """
        known = self.get_params(deep=False)  # type: ignore[attr-defined]
        for key in params:
            name, nested, own = key.partition("__")
            part = params.get(name, known.get(name))
            if nested and name in known and not hasattr(part, "set_params"):
                raise ValueError(
                    f"{key} cannot be set while {name}={part!r}, which has no parameters of its "
                    f"own: give {name} as an object, for which {part!r} is at most a shorthand, "
                    f"and set {own} on it."
                )
        return super().set_params(**params)  # type: ignore[misc]


def resolve_part(value: Any, name: str, shorthands: Mapping[Any, Callable[[], Any]]) -> Any:
    """Return the object that a parameter stands for, its own parameters checked.

    Parameters
    ----------
    value : object or shorthand
        As given by the user.
    name : str
        Of the parameter, for the message.
    shorthands : mapping of shorthand to callable
        What makes the object that a string stands for.

    Returns
    -------
    part : object
        The user's own object where one was given: it is used as it is, not copied.

    Raises
    ------
    ValueError
        If a string is not among the shorthands, or a parameter of the object is impossible.
    """
    if value is None or isinstance(value, str):
        if value not in shorthands:
            raise ValueError(
                f"{name}={value!r} is none of {', '.join(map(repr, shorthands))}, and no object."
            )
        value = shorthands[value]()
    if isinstance(value, type):
        raise ValueError(
            f"{name} is the class {value.__name__}; give an object: {value.__name__}()."
        )
    if isinstance(value, BaseEstimator) and _has_constraints(value):
        value._validate_params()
    return value


def _has_constraints(part: BaseEstimator) -> bool:
    """Whether a part says what its parameters may be; other people's need not."""
    own_check = type(part)._validate_params is not BaseEstimator._validate_params
    return own_check or hasattr(part, "_parameter_constraints")


def check_number(
    value: object,
    name: str,
    least: float,
    largest: float,
    *,
    closed: Literal["neither", "left", "right", "both"] = "neither",
) -> float:
    """Return a number within bounds or raise.

    Parameters
    ----------
    value : object
        What was given. A bool does not count as a number.
    name : str
        Name of the argument, for the error.
    least, largest : float
        The bounds.
    closed : {"neither", "left", "right", "both"}, default="neither"
        Which bounds are allowed themselves.

    Returns
    -------
    float
        The value.

    Raises
    ------
    ValueError
        If it is no real number, or out of bounds; NaN is.
    """
    interval = Interval(Real, least, largest, closed=closed)
    if isinstance(value, bool) or not interval.is_satisfied_by(value):
        raise ValueError(f"{name} must be {interval}, got {value!r}.")
    return float(value)  # type: ignore[arg-type]


def check_positive_integer(value: object, name: str) -> int:
    """Return a positive int or raise.

    Parameters
    ----------
    value : object
        What was given. Neither a bool nor a float counts as an integer.
    name : str
        Name of the argument, for the error.

    Returns
    -------
    int
        The value.

    Raises
    ------
    ValueError
        If it is not an integer, or below one.
    """
    if not isinstance(value, Integral) or isinstance(value, bool) or value < 1:
        raise ValueError(f"{name} must be a positive integer, got {value!r}.")
    return int(value)
