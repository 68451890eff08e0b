r"""Quadratic-inverse shrinkage: the strongest simple peer of a diffusion covariance.

Sample eigenvalues are biased apart. The estimator keeps the sample eigenvectors and gives each
eigenvalue the value that minimises an inverse-quadratic loss in the limit where the number of
features grows with that of rows.

References
----------
.. [1] O. Ledoit and M. Wolf, "Quadratic shrinkage for large covariance matrices", Bernoulli 28(3),
       1519-1547, 2022.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import _fit_context

from sklearn_diffusion.returns.shrinkage import quadratic_inverse_eigenvalues
from sklearn_diffusion.returns.validation import ReturnsCovariance, validate_returns
from sklearn_diffusion.utils.refit import all_or_nothing
from sklearn_diffusion.utils.tables import as_frame, check_varying

__all__ = ["QuadraticInverseShrinkage", "quadratic_inverse_shrinkage"]


def quadratic_inverse_shrinkage(X: ArrayLike, *, assume_centered: bool = False) -> np.ndarray:
    r"""Covariance matrix by quadratic-inverse shrinkage.

    Parameters
    ----------
    X : array-like of shape (n_samples, n_features)
        Data; more features than samples is fine.
    assume_centered : bool, default=False
        True skips the subtraction of the mean, which costs one degree of freedom.

    Returns
    -------
    covariance : ndarray of shape (n_features, n_features)
        Symmetric positive definite, with the trace of the sample covariance.

    Notes
    -----
    With n degrees of freedom, concentration :math:`c = p / n`, sample eigenvalues
    :math:`\lambda_i`, bandwidth :math:`h = \min(c^2, c^{-2})^{.35} p^{-.35}` and the smoothed
    Stein shrinker and its conjugate over the non-null eigenvalues

    .. math::
        \theta_i = \mathrm{mean}_j\, \frac{\lambda_j^{-1} (\lambda_j^{-1} - \lambda_i^{-1})}
                   {(\lambda_j^{-1} - \lambda_i^{-1})^2 + h^2 \lambda_j^{-2}}, \quad
        \eta_i = \mathrm{mean}_j\, \frac{h\, \lambda_j^{-2}}
                   {(\lambda_j^{-1} - \lambda_i^{-1})^2 + h^2 \lambda_j^{-2}},

    the shrunk eigenvalues are, up to a factor that keeps the trace,

    .. math::
        \delta_i^{-1} = \lambda_i^{-1} \left[(1 - c)^2 + 2 c (1 - c) \theta_i
                        + c^2 (\theta_i^2 + \eta_i^2)\right]

    for :math:`p \le n`. Otherwise the null eigenvalues become
    :math:`\delta_0^{-1} = (c - 1)\, \mathrm{mean}_j\, \lambda_j^{-1}` and the others keep only
    :math:`\delta_i^{-1} = \lambda_i^{-1} (\theta_i^2 + \eta_i^2)`.

    References
    ----------
    .. [1] O. Ledoit and M. Wolf, "Quadratic shrinkage for large covariance matrices",
           Bernoulli 28(3), 1519-1547, 2022.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_diffusion.baselines import quadratic_inverse_shrinkage
    >>> X = np.random.RandomState(0).randn(50, 100)
    >>> bool(np.linalg.eigvalsh(quadratic_inverse_shrinkage(X)).min() > 0)
    True
    """
    if np.ndim(X) != 2:
        raise ValueError(f"X must be of shape (n_samples, n_features), got {np.shape(X)}.")
    frame = as_frame(X, "X")
    check_varying(frame, "X")
    rows = frame.to_numpy()
    n_samples = len(rows)
    freedom = n_samples if assume_centered else n_samples - 1
    centered = rows if assume_centered else rows - rows.mean(axis=0)
    eigenvalues, eigenvectors = np.linalg.eigh(centered.T @ centered / freedom)
    shrunk = quadratic_inverse_eigenvalues(eigenvalues, freedom)
    covariance = (eigenvectors * shrunk) @ eigenvectors.T
    # Matrix products round the two triangles differently.
    return (covariance + covariance.T) / 2


class QuadraticInverseShrinkage(ReturnsCovariance):
    """Covariance by the quadratic-inverse shrinkage of Ledoit and Wolf.

    Parameters
    ----------
    store_precision : bool, default=True
        Whether to keep the inverse.
    assume_centered : bool, default=False
        True takes the mean to be zero.

    Attributes
    ----------
    covariance_ : ndarray of shape (n_features, n_features)
        Shrunk covariance, symmetric positive definite.
    location_ : ndarray of shape (n_features,)
        Mean of the data, or zero.
    precision_ : ndarray of shape (n_features, n_features)
        Inverse of the covariance, where `store_precision`.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, where `X` had some.

    See Also
    --------
    sklearn.covariance.LedoitWolf : Linear shrinkage to a multiple of the identity.

    References
    ----------
    .. [1] O. Ledoit and M. Wolf, "Quadratic shrinkage for large covariance matrices",
           Bernoulli 28(3), 1519-1547, 2022.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_diffusion.baselines import QuadraticInverseShrinkage
    >>> X = np.random.RandomState(0).randn(60, 40)
    >>> error = QuadraticInverseShrinkage().fit(X).error_norm(np.eye(40), scaling=True)
    >>> bool(error < 0.1)
    True
    """

    @all_or_nothing
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y: Any = None) -> QuadraticInverseShrinkage:
        """Estimate the covariance.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Data.
        y : None
            Ignored.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If a value is NaN or infinite, a column is constant, or there are fewer than two rows.
        """
        rows = validate_returns(self, X, in_time_order=False)
        self.location_ = np.zeros(rows.shape[1]) if self.assume_centered else rows.mean(axis=0)
        covariance = quadratic_inverse_shrinkage(rows, assume_centered=self.assume_centered)
        self._set_covariance(covariance)
        return self
