"""Volatility states of returns: a mixture of Student-t distributions fitted by EM."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import cholesky, solve_triangular
from scipy.special import softmax

__all__ = ["VolatilityStates", "fit_volatility_states"]

# Of a direction in which no day moves that counts; whitened returns have about unit variance.
LEAST_VARIANCE = 1e-12


@dataclass(frozen=True)
class VolatilityStates:
    """State and scale of every day, and the distribution of each state.

    Attributes
    ----------
    state : ndarray of shape (n,)
        Most likely state of each day.
    scale : ndarray of shape (n,)
        Variance of each day relative to its state.
    centre : ndarray of shape (n_states, n_leading)
        Centres of the states in the leading directions.
    shape : ndarray of shape (n_states, n_leading, n_leading)
        Scatter matrices of the states in the leading directions.
    level : ndarray of shape (n_states,)
        Variance of the states in the remaining directions, relative to their average.
    """

    state: np.ndarray
    scale: np.ndarray
    centre: np.ndarray
    shape: np.ndarray
    level: np.ndarray


def fit_volatility_states(
    leading: np.ndarray,
    remainder: np.ndarray,
    n_remaining: int,
    weights: np.ndarray,
    *,
    max_states: int,
    days_per_state: int,
    dof: float,
    shape_prior: float,
    spread_prior: float,
    centre_prior: float,
    max_iter: int,
) -> VolatilityStates:
    r"""EM for a mixture of Student-t distributions of whitened returns.

    State k is :math:`t_\nu(c_k, S_k)` on the leading directions with independent coordinates of
    variance :math:`v_k` on the others, which add their sum of squares to a day's distance. The
    Student-t enters as a scale mixture: given its state, day i is Gaussian with the variance
    :math:`g_i = (\nu + q_i) / (\nu + d)` times the state's, :math:`q_i` its squared distance.
    Shapes are shrunk towards a diagonal that all states share, so that a state of few days is
    defined.

    Parameters
    ----------
    leading : ndarray of shape (n, n_leading)
        Whitened returns in the leading directions.
    remainder : ndarray of shape (n,)
        Sum of squares of each day in the other directions, each relative to its average.
    n_remaining : int
        Number of the other directions.
    weights : ndarray of shape (n,)
        Weights of the days, of mean one.
    max_states : int
        Largest number of states, an even one.
    days_per_state : int
        Days to a state at least; there are fewer states if need be.
    dof : float
        Degrees of freedom nu.
    shape_prior, spread_prior, centre_prior : float
        Weights, in days, of the common shape in a state's own, of the common variances, and of
        zero in its centre.
    max_iter : int
        EM iterations.

    Returns
    -------
    states : VolatilityStates
    """
    n, m = leading.shape
    d = m + n_remaining
    diagonal = np.ones(m)
    # Volatility of a day, measured so that one asset's jump of its own makes no turbulent day. It
    # has converged to three digits after ten rounds, and only starts the EM.
    for _ in range(10):
        volatility = ((leading**2 / diagonal).sum(1) + remainder + dof) / (d + dof)
        diagonal = np.maximum(weights @ (leading**2 / volatility[:, None]) / n, LEAST_VARIANCE)
    first = _initial_states(leading[:, 0], volatility, min(max_states, n // days_per_state) // 2)
    n_states = first.max() + 1
    membership = np.eye(n_states)[first]
    scale = np.ones((n, n_states))
    log_density = np.empty((n, n_states))
    for _ in range(max_iter):
        membership = membership * weights[:, None]
        days = membership.sum(0)
        precision = membership / scale
        centre = precision.T @ leading / (precision.sum(0) + centre_prior)[:, None]
        residual = leading[None] - centre[:, None]
        scatter = np.einsum("nk,kni,knj->kij", precision, residual, residual, optimize=True)
        spread = np.diagonal(scatter, axis1=1, axis2=2)
        level = ((spread / diagonal).sum(1) + precision.T @ remainder + 1e-3) / (days * d + 1e-3)
        diagonal = np.maximum((spread / level[:, None]).sum(0) / n, LEAST_VARIANCE)
        target = spread + spread_prior * level[:, None] * diagonal
        target /= (days + spread_prior)[:, None]
        shape = scatter
        shape[:, range(m), range(m)] += shape_prior * target
        shape /= (days + shape_prior)[:, None, None]
        for k in range(n_states):
            root = cholesky(shape[k], lower=True)
            distance = (solve_triangular(root, residual[k].T, lower=True) ** 2).sum(0)
            distance += remainder / level[k]
            log_determinant = 2 * np.log(root.diagonal()).sum() + n_remaining * np.log(level[k])
            log_density[:, k] = np.log((days[k] + 1) / (n + n_states)) - 0.5 * (
                log_determinant + (dof + d) * np.log1p(distance / dof)
            )
            scale[:, k] = (dof + distance) / (dof + d)
        membership = softmax(log_density, axis=1)
    state = membership.argmax(1)
    return VolatilityStates(state, scale[np.arange(n), state], centre, shape, level)


def _initial_states(market: np.ndarray, volatility: np.ndarray, n_ranks: int) -> np.ndarray:
    """Days whose market moved more than its deviation, and the others, each by volatility rank.

    Where EM starts, not what it finds: the threshold of one deviation has not been tuned.
    """
    states = np.zeros(len(market), dtype=int)
    for stressed in (False, True) if n_ranks > 0 else ():
        days = np.flatnonzero((np.abs(market) > 1) == stressed)
        rank = volatility[days].argsort().argsort()
        states[days] = rank * n_ranks // max(len(days), 1) + n_ranks * stressed
    return states
