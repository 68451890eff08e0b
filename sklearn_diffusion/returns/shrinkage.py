"""Nonlinear shrinkage of sample eigenvalues."""

from __future__ import annotations

import numpy as np

__all__ = ["EIGENVALUE_FLOOR", "quadratic_inverse_eigenvalues"]

# Relative to the largest eigenvalue: below it lies rounding error, not a direction of the data.
EIGENVALUE_FLOOR = 1e-14


def quadratic_inverse_eigenvalues(eigenvalues: np.ndarray, freedom: float) -> np.ndarray:
    """Shrink the eigenvalues of a sample covariance; formula in `quadratic_inverse_shrinkage`.

    Parameters
    ----------
    eigenvalues : ndarray of shape (n_features,)
        Sample eigenvalues in increasing order; where at least one sample is missing, the
        ``n_features - int(freedom)`` smallest are taken to be null.
    freedom : float
        Degrees of freedom, possibly the effective number of weighted samples.

    Returns
    -------
    shrunk : ndarray of shape (n_features,)
        Positive, with the same sum.
    """
    n_features = len(eigenvalues)
    if abs(freedom - round(freedom)) < 1e-9:
        # The effective number of n equal weights is n up to rounding, and whole samples count.
        freedom = round(freedom)
    if n_features - 1 < freedom < n_features:
        # A fraction of a sample leaves no direction unseen: the formula for null eigenvalues has
        # its pole here.
        freedom = n_features
    eigenvalues = np.maximum(eigenvalues, EIGENVALUE_FLOOR * eigenvalues[-1])
    concentration = n_features / freedom
    bandwidth = min(concentration**2, concentration**-2) ** 0.35 / n_features**0.35
    n_null = max(0, n_features - int(freedom))
    inverse = 1 / eigenvalues[n_null:]
    other = inverse[:, np.newaxis]
    gap = other - inverse
    denominator = gap**2 + (bandwidth * other) ** 2
    stein = np.mean(other * gap / denominator, axis=0)
    conjugate = np.mean(bandwidth * other**2 / denominator, axis=0)
    amplitude = stein**2 + conjugate**2
    if n_null:
        null = np.full(n_null, (concentration - 1) * inverse.mean())
        shrunk = 1 / np.concatenate([null, inverse * amplitude])
    else:
        weight = (1 - concentration) ** 2
        weight = weight + 2 * concentration * (1 - concentration) * stein
        shrunk = 1 / (inverse * (weight + concentration**2 * amplitude))
    return shrunk * (eigenvalues.sum() / shrunk.sum())
