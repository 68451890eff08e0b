"""Partial observations: which coordinates of a scenario are fixed, and which are bounded."""

from __future__ import annotations

import numbers
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

__all__ = ["Conditioning", "parse_conditioning"]


@dataclass(frozen=True)
class Conditioning:
    """Observed coordinates of a scenario.

    Attributes
    ----------
    fixed : ndarray of shape (n_fixed,)
        Indices of coordinates with a given value.
    values : ndarray of shape (1 or n_samples, n_fixed)
        Their values, one row for all samples or one per sample.
    bounded : ndarray of shape (n_bounded,)
        Indices of coordinates confined to an interval.
    low, high : ndarray of shape (n_bounded,)
        The intervals; ends may be infinite.
    """

    fixed: np.ndarray
    values: np.ndarray
    bounded: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def standardized(self, location: np.ndarray, scale: np.ndarray) -> Conditioning:
        """The same observations in units of ``(x - location) / scale``.

        Parameters
        ----------
        location : ndarray of shape (n_features,)
            What to take from every coordinate.
        scale : ndarray of shape (n_features,)
            Positive units of the coordinates.

        Returns
        -------
        Conditioning
        """
        f, b = self.fixed, self.bounded
        return Conditioning(
            f,
            (self.values - location[f]) / scale[f],
            b,
            (self.low - location[b]) / scale[b],
            (self.high - location[b]) / scale[b],
        )

    def batch(self, rows: slice) -> Conditioning:
        """The observations of some of the samples.

        Parameters
        ----------
        rows : slice
            Which samples.

        Returns
        -------
        Conditioning
            The same where one row of values serves all samples.
        """
        if len(self.values) == 1:
            return self
        return replace(self, values=self.values[rows])

    def holds(self, x: np.ndarray) -> np.ndarray:
        """Tell which samples lie in all intervals.

        Parameters
        ----------
        x : ndarray of shape (n, n_features)
            Samples. Their fixed coordinates are not looked at.

        Returns
        -------
        ndarray of bool, shape (n,)
        """
        inside = x[:, self.bounded]
        return np.all((inside >= self.low) & (inside <= self.high), axis=1)


def parse_conditioning(
    conditioning: Mapping,
    labels: Sequence[Any] | None,
    n_features: int,
    n_samples: int,
    lowest: np.ndarray | None = None,
) -> Conditioning | None:
    """Read ``{name or index: value | (low, high) | values per sample}``.

    Parameters
    ----------
    conditioning : mapping
        A number fixes a coordinate; a pair bounds it, with ``None`` for an open end; an array of
        length `n_samples` fixes it sample by sample.
    labels : sequence or None
        Labels of the features, which the keys are; without labels, keys are positions.
    n_features, n_samples : int
        Sizes.
    lowest : ndarray of shape (n_features,), optional
        Value below which a feature cannot fall: -1 for simple returns.

    Returns
    -------
    conditioning : Conditioning or None
        None where nothing is observed.

    Raises
    ------
    ValueError
        If a key is unknown or given twice, an interval is empty, a value is not finite or
        impossible, or an array has the wrong length; the message names the key.
    """
    if not isinstance(conditioning, Mapping):
        raise ValueError(
            "conditioning must be a dictionary {asset: value or (low, high)}, got "
            f"{type(conditioning).__name__}."
        )
    if not conditioning:
        return None
    names = None if labels is None else {name: i for i, name in enumerate(labels)}
    lowest = np.full(n_features, -np.inf) if lowest is None else lowest
    fixed: dict[int, np.ndarray] = {}
    bounded: dict[int, tuple[float, float]] = {}
    for key, value in conditioning.items():
        index = _feature_index(key, names, n_features)
        if index in fixed or index in bounded:
            raise ValueError(f"conditioning names feature {key!r} twice.")
        if isinstance(value, tuple):
            low, high = _interval(key, value)
            bounded[index] = max(low, lowest[index]), high
            worst = high
        else:
            fixed[index] = _values(key, value, n_samples)
            worst = fixed[index].min()
        if worst < lowest[index] or (worst == lowest[index] and index in bounded):
            raise ValueError(
                f"conditioning of {key!r} asks for {value!r}, but a simple return cannot fall "
                f"below {lowest[index]:g}. Pass units='log' or 'change' if it is none."
            )
    if len(fixed) + len(bounded) == n_features and not bounded:
        raise ValueError("conditioning fixes every feature: there is nothing left to sample.")
    columns = [np.broadcast_to(v, max(len(w) for w in fixed.values())) for v in fixed.values()]
    return Conditioning(
        np.fromiter(fixed, dtype=int, count=len(fixed)),
        np.column_stack(columns) if columns else np.zeros((1, 0)),
        np.fromiter(bounded, dtype=int, count=len(bounded)),
        np.array([low for low, _ in bounded.values()], dtype=float),
        np.array([high for _, high in bounded.values()], dtype=float),
    )


def _feature_index(key: object, names: Mapping | None, n_features: int) -> int:
    """Position of a feature: by its label where there are labels, never by position then."""
    if names is not None:
        if key not in names:
            known = ", ".join(map(repr, list(names)[:5])) + (", ..." if len(names) > 5 else "")
            raise ValueError(f"conditioning names the unknown feature {key!r} (known: {known}).")
        return names[key]
    if isinstance(key, str):
        raise ValueError(
            f"conditioning names the feature {key!r}, but the estimator was fitted without names."
        )
    if not isinstance(key, numbers.Integral) or isinstance(key, bool):
        raise ValueError(f"conditioning keys are names or indices of features, got {key!r}.")
    if not -n_features <= int(key) < n_features:
        raise ValueError(f"conditioning index {key} is out of range for {n_features} features.")
    return int(key) % n_features


def _interval(key: object, value: tuple) -> tuple[float, float]:
    if len(value) != 2:
        raise ValueError(f"conditioning of {key!r} must be a pair (low, high), got {value!r}.")
    low = -np.inf if value[0] is None else _number(key, value[0])
    high = np.inf if value[1] is None else _number(key, value[1])
    if not low < high:
        raise ValueError(f"conditioning of {key!r} is an empty interval: {value!r}.")
    return low, high


def _number(key: object, value: object) -> float:
    if not isinstance(value, numbers.Real) or isinstance(value, bool):
        raise ValueError(f"conditioning of {key!r} must be bounded by numbers, got {value!r}.")
    return float(value)


def _values(key: object, value: object, n_samples: int) -> np.ndarray:
    values = np.atleast_1d(np.asarray(value))
    if values.dtype.kind not in "iuf":
        raise ValueError(f"conditioning of {key!r} must be numeric, got {value!r}.")
    if values.ndim != 1 or len(values) not in (1, n_samples):
        raise ValueError(
            f"conditioning of {key!r} must be a number, a tuple (low, high) or {n_samples} values "
            f"(n_samples), got shape {values.shape}."
        )
    if not np.isfinite(values).all():
        raise ValueError(f"conditioning of {key!r} must be finite.")
    return values.astype(float)
