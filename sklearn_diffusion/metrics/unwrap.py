"""The model behind a pipeline, a search or a transformed target, and its results in its own units.

scikit-learn's meta-estimators pass on ``predict``, but not what a scorer of distributions needs:
``covariance_`` and ``sample``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.compose import TransformedTargetRegressor
from sklearn.pipeline import Pipeline

__all__ = ["Unwrapped", "affine_map", "unwrap"]


@dataclass(frozen=True)
class Unwrapped:
    """A model, and what stands around it.

    Attributes
    ----------
    model : object
        The innermost estimator.
    before : tuple of transformer
        Steps that its input goes through, the first one first.
    target : tuple of transformer
        Transformers of its target, the outermost first.
    """

    model: Any
    before: tuple[Any, ...] = ()
    target: tuple[Any, ...] = field(default=())

    def transform(self, X: ArrayLike) -> Any:
        """Turn the input of the whole into the input of the model.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            What the meta-estimator is given.

        Returns
        -------
        array-like of shape (n_samples, n_features of the model)
            Whatever the last step returns; `X` itself where no step stands before the model.
        """
        for step in self.before:
            X = step.transform(X)
        return X

    def original(self, rows: ArrayLike, steps: tuple[Any, ...]) -> NDArray:
        """Turn rows that come out of some steps into the units that went in.

        Parameters
        ----------
        rows : array-like of shape (..., n_features)
            What the last step returns, or what a model says in its units.
        steps : tuple of transformer
            Fitted steps in the order in which data go through them: `before` or `target`.

        Returns
        -------
        ndarray of shape (..., n_features_in)
            Float64, with as many columns as the first step takes.

        Raises
        ------
        ValueError
            If a step has no `inverse_transform`.
        """
        values = np.asarray(rows, dtype=np.float64)
        flat = values.reshape(-1, values.shape[-1])
        for step in reversed(steps):
            if not hasattr(step, "inverse_transform"):
                raise ValueError(
                    f"what {type(self.model).__name__} says cannot be scored in the units of the "
                    f"data: {type(step).__name__} before it has no inverse_transform."
                )
            flat = np.asarray(step.inverse_transform(flat), dtype=np.float64)
        return flat.reshape(*values.shape[:-1], -1)


def unwrap(estimator: Any, method: str) -> Unwrapped:
    """Take a model out of pipelines, searches and transformed targets.

    Parameters
    ----------
    estimator : estimator
        Fitted.
    method : str
        Method or attribute that the model has to have.

    Returns
    -------
    unwrapped : Unwrapped

    Raises
    ------
    ValueError
        If there is no model with it inside.
    """
    outermost, before, target = estimator, [], []
    while True:
        if isinstance(estimator, Pipeline):
            before += [step for _, step in estimator.steps[:-1] if step != "passthrough"]
            estimator = estimator[-1]
        elif isinstance(estimator, TransformedTargetRegressor):
            target.append(estimator.transformer_)
            estimator = estimator.regressor_
        elif hasattr(estimator, "best_estimator_"):
            estimator = estimator.best_estimator_
        else:
            break
    if not hasattr(estimator, method):
        raise ValueError(
            f"{type(outermost).__name__} cannot be scored: {type(estimator).__name__} has no "
            f"{method}."
        )
    return Unwrapped(estimator, tuple(before), tuple(target))


def affine_map(inverse: Callable[[NDArray], NDArray], n_features: int) -> NDArray:
    """Matrix A of an affine map x -> x A + a, or an error if the map is not affine.

    Parameters
    ----------
    inverse : callable
        Maps rows (n, n_features) to rows (n, n_outputs).
    n_features : int
        Number of its inputs.

    Returns
    -------
    matrix : ndarray of shape (n_features, n_outputs)

    Raises
    ------
    ValueError
        If twice the input is not twice the output, the constant aside.
    """
    origin = inverse(np.zeros((1, n_features)))
    matrix = inverse(np.eye(n_features)) - origin
    doubled = inverse(2 * np.eye(n_features)) - origin
    if not np.allclose(doubled, 2 * matrix, rtol=1e-6, atol=1e-12 * np.abs(matrix).max()):
        raise ValueError(
            "a covariance cannot be scored through transformations that are not linear: put the "
            "model behind linear steps only."
        )
    return matrix
