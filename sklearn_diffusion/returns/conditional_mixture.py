"""Conditional sampling of a Gaussian mixture whose components share a few shapes.

Given its component a scenario is Gaussian. Components are drawn in proportion to the probability
that they give the observation; what is not observed then follows by Gaussian regression. Fixed
values and one interval are exact. Several intervals are drawn one after the other, each given those
before, the rarest first (the Geweke-Hajivassiliou-Keane simulator), whose weights estimate the
probability of the observation under each component and correct the draws; Gibbs sweeps refine them.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Protocol

import numpy as np
from scipy.linalg import cho_factor, cho_solve, cholesky, solve_triangular
from scipy.special import log_ndtr, logsumexp, ndtri_exp

from sklearn_diffusion.returns.observations import Conditioning

__all__ = ["ConditionalMixture", "draw_truncated_normal", "log_interval_mass"]

# Probabilities of components given values of their own for every scenario that are held at a time.
BLOCK_SIZE = 2**20


class SharedShapeMixture(Protocol):
    """Mixture of N(means_[i], scale_[i] * shapes()[state_[i]]) with weights_[i]."""

    weights_: np.ndarray
    means_: np.ndarray
    state_: np.ndarray
    scale_: np.ndarray

    def shapes(self) -> np.ndarray:
        """Shapes, (n_states, n_features, n_features)."""


class ConditionalMixture:
    """Distribution of a mixture given observed coordinates.

    Parameters
    ----------
    mixture : SharedShapeMixture
        Unconditional distribution.
    conditioning : Conditioning
        Observed coordinates, in the units of the mixture.
    n_pilot, n_candidates, n_sweeps : int
        For several intervals: draws that estimate a component's probability of them, candidates
        per scenario, and Gibbs sweeps that take out what bias so few candidates leave.
    """

    def __init__(
        self,
        mixture: SharedShapeMixture,
        conditioning: Conditioning,
        *,
        n_pilot: int,
        n_candidates: int,
        n_sweeps: int,
    ):
        self.mixture = mixture
        self.n_pilot, self.n_candidates, self.n_sweeps = n_pilot, n_candidates, n_sweeps
        self.shapes = mixture.shapes()
        self.observed = self._rarest_interval_first(conditioning)

    def _rarest_interval_first(self, observed: Conditioning) -> Conditioning:
        """Order the intervals: the others are likelier given the rarest than it is given them."""
        mixture, j = self.mixture, observed.bounded
        variances = self.shapes.diagonal(axis1=1, axis2=2)[mixture.state_][:, j]
        means, std = mixture.means_[:, j], np.sqrt(mixture.scale_[:, None] * variances)
        log_mass = log_interval_mass((observed.low - means) / std, (observed.high - means) / std)
        order = logsumexp(log_mass, axis=0, b=mixture.weights_[:, None]).argsort()
        low, high = observed.low[order], observed.high[order]
        return replace(observed, bounded=j[order], low=low, high=high)

    def sample(self, n_samples: int, random_state: np.random.RandomState) -> np.ndarray:
        """Draw scenarios.

        Parameters
        ----------
        n_samples : int
            Number of scenarios.
        random_state : RandomState
            Source of the draws.

        Returns
        -------
        ndarray of shape (n_samples, n_features)
            In the units of the mixture; the observed coordinates are as observed.

        Raises
        ------
        ValueError
            If the observation has no probability, or if values per scenario are combined with more
            than one interval.
        """
        observed = self.observed
        candidates = self.n_candidates if len(observed.bounded) > 1 else 1
        component = self._draw_components(n_samples, random_state)
        values = np.broadcast_to(observed.values, (n_samples, len(observed.fixed)))
        known, log_weight = self._draw_known(
            component.repeat(candidates), values.repeat(candidates, axis=0), random_state
        )
        if candidates > 1:
            keep = _choose(log_weight.reshape(n_samples, candidates), random_state)
            known = known[keep + candidates * np.arange(n_samples)]
            self._redraw_bounded(component, known, random_state)
        return self._draw_free(component, known, random_state)

    def _draw_components(self, n_samples: int, random_state: np.random.RandomState) -> np.ndarray:
        """Components in proportion to their probability of the observation."""
        observed, n_components = self.observed, len(self.mixture.weights_)
        if len(observed.values) == 1:
            log_p = self._log_joint(observed.values, intervals=len(observed.bounded) == 1)
            if len(observed.bounded) > 1:
                pilots = np.arange(n_components).repeat(self.n_pilot)
                values = observed.values.repeat(len(pilots), axis=0)
                _, log_weight = self._draw_known(pilots, values, random_state)
                log_p += logsumexp(log_weight.reshape(n_components, self.n_pilot), axis=1)
            return random_state.choice(n_components, size=n_samples, p=_probabilities(log_p)[0])
        if len(observed.bounded) > 1:
            raise ValueError(
                "conditioning combines values per scenario with more than one interval, whose "
                "probabilities would have to be simulated for every scenario; fix one value."
            )
        u = random_state.random_sample((n_samples, 1))
        component = np.empty(n_samples, dtype=int)
        n_rows = max(1, BLOCK_SIZE // n_components)
        for start in range(0, n_samples, n_rows):
            rows = slice(start, start + n_rows)
            p = _probabilities(self._log_joint(observed.values[rows]))
            component[rows] = (p.cumsum(1) < u[rows]).sum(1).clip(max=n_components - 1)
        return component

    def _log_joint(self, values: np.ndarray, intervals: bool = True) -> np.ndarray:
        """Log weight times probability of the fixed values and of the one interval.

        `values` (m, n_fixed) gives a result of shape (m, n_components).
        """
        mixture, observed = self.mixture, self.observed
        fixed = observed.fixed
        log_p = np.empty((len(values), len(mixture.weights_)))
        with np.errstate(divide="ignore"):  # a short half-life leaves old days no weight at all
            log_weights = np.log(mixture.weights_)
        for k, shape in enumerate(self.shapes):
            at = np.flatnonzero(mixture.state_ == k)
            scale, means = mixture.scale_[at], mixture.means_[at]
            deviation = values[:, None] - means[:, fixed]
            log_p[:, at] = log_weights[at]
            if len(fixed):
                root = cholesky(shape[np.ix_(fixed, fixed)], lower=True)
                flat = deviation.reshape(-1, len(fixed)).T
                with np.errstate(over="ignore"):  # infinitely far is of no probability
                    distance = (solve_triangular(root, flat, lower=True) ** 2).sum(0)
                log_p[:, at] -= np.log(root.diagonal()).sum() + 0.5 * (
                    distance.reshape(len(values), -1) / scale + len(fixed) * np.log(scale)
                )
            if intervals and len(observed.bounded):
                gain, variance = _regression(shape, fixed, observed.bounded[0])
                mean = means[:, observed.bounded[0]] + deviation @ gain
                std = np.sqrt(scale * variance)
                log_p[:, at] += log_interval_mass(
                    (observed.low[0] - mean) / std, (observed.high[0] - mean) / std
                )
        return log_p

    def _draw_known(
        self, component: np.ndarray, values: np.ndarray, random_state: np.random.RandomState
    ) -> tuple[np.ndarray, np.ndarray]:
        """Observed coordinates of scenarios and their log weights, interval after interval.

        The columns of the first result are the fixed and then the bounded coordinates.
        """
        observed = self.observed
        columns = np.concatenate([observed.fixed, observed.bounded])
        n_fixed = len(observed.fixed)
        known = np.empty((len(component), len(columns)))
        known[:, :n_fixed] = values
        log_weight = np.zeros(len(component))
        for step, (low, high) in enumerate(zip(observed.low, observed.high, strict=True), n_fixed):
            mean, std = self._given(component, columns[:step], known[:, :step], columns[step])
            a, b = (low - mean) / std, (high - mean) / std
            log_weight += log_interval_mass(a, b)
            known[:, step] = mean + std * draw_truncated_normal(a, b, random_state)
        return known, log_weight

    def _redraw_bounded(
        self, component: np.ndarray, known: np.ndarray, random_state: np.random.RandomState
    ) -> None:
        """Redraw the bounded coordinates in place, each given the others, in Gibbs sweeps."""
        observed = self.observed
        columns = np.concatenate([observed.fixed, observed.bounded])
        for _ in range(self.n_sweeps):
            for i, (low, high) in enumerate(zip(observed.low, observed.high, strict=True)):
                step = len(observed.fixed) + i
                others = np.delete(np.arange(len(columns)), step)
                mean, std = self._given(component, columns[others], known[:, others], columns[step])
                a, b = (low - mean) / std, (high - mean) / std
                known[:, step] = mean + std * draw_truncated_normal(a, b, random_state)

    def _given(
        self, component: np.ndarray, columns: np.ndarray, values: np.ndarray, j: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean and deviation of coordinate j of scenarios, given the values of some columns."""
        mixture = self.mixture
        state = mixture.state_[component]
        mean, std = np.empty(len(component)), np.sqrt(mixture.scale_[component])
        for k in np.unique(state):
            at = np.flatnonzero(state == k)
            gain, variance = _regression(self.shapes[k], columns, j)
            deviation = values[at] - mixture.means_[np.ix_(component[at], columns)]
            mean[at] = mixture.means_[component[at], j] + deviation @ gain
            std[at] *= np.sqrt(variance)
        return mean, std

    def _draw_free(
        self, component: np.ndarray, known: np.ndarray, random_state: np.random.RandomState
    ) -> np.ndarray:
        """Complete scenarios: the coordinates that are not observed, given those that are."""
        mixture, observed = self.mixture, self.observed
        columns = np.concatenate([observed.fixed, observed.bounded])
        free = np.setdiff1d(np.arange(mixture.means_.shape[1]), columns)
        z = np.empty((len(component), mixture.means_.shape[1]))
        z[:, columns] = known
        noise = random_state.standard_normal((len(component), len(free)))
        noise *= np.sqrt(mixture.scale_[component])[:, None]
        state = mixture.state_[component]
        for k in np.unique(state):
            at = np.flatnonzero(state == k)
            shape = self.shapes[k]
            gain = _gain(shape, columns, free)
            residual = shape[np.ix_(free, free)] - gain @ shape[np.ix_(columns, free)]
            means = mixture.means_[component[at]]
            deviation = known[at] - means[:, columns]
            z[np.ix_(at, free)] = (
                means[:, free] + deviation @ gain.T + noise[at] @ cholesky(residual, lower=True).T
            )
        return z


def _probabilities(log_p: np.ndarray) -> np.ndarray:
    """Rows of log probabilities up to a constant as probabilities, or an error if all are null."""
    total = logsumexp(log_p, axis=1, keepdims=True)
    if not np.isfinite(total).all():
        raise ValueError(
            "conditioning describes scenarios that have no probability under what was fitted."
        )
    p = np.exp(log_p - total)
    return p / p.sum(1, keepdims=True)


def _gain(shape: np.ndarray, known: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """Regression coefficients of the wanted on the known coordinates, (n_wanted, n_known)."""
    if len(known) == 0:
        return np.zeros((len(wanted), 0))
    factor = cho_factor(shape[np.ix_(known, known)])
    return cho_solve(factor, shape[np.ix_(known, wanted)]).T


def _regression(shape: np.ndarray, known: np.ndarray, j: int) -> tuple[np.ndarray, float]:
    """Coefficients of coordinate j on the known ones, and its remaining variance."""
    gain = _gain(shape, known, np.array([j]))[0]
    return gain, float(shape[j, j] - gain @ shape[known, j])


def _choose(log_weight: np.ndarray, random_state: np.random.RandomState) -> np.ndarray:
    """One candidate of each row in proportion to its weight."""
    p = np.exp(log_weight - log_weight.max(1, keepdims=True)).cumsum(1)
    return (p < random_state.random_sample((len(p), 1)) * p[:, -1:]).sum(1)


def log_interval_mass(low: np.ndarray, high: np.ndarray) -> np.ndarray:
    """Log probability that a standard normal variable lies in [low, high], far tails included.

    Parameters
    ----------
    low, high : ndarray
        Ends of intervals, infinite where open.

    Returns
    -------
    ndarray
        Of the same shape; -inf for an interval without mass.
    """
    # In the upper tail the difference of two numbers near one is taken in the lower tail instead.
    flip = low > 0
    a, b = np.where(flip, -high, low), np.where(flip, -low, high)
    log_b = log_ndtr(b)
    with np.errstate(divide="ignore", invalid="ignore"):
        return log_b + np.log(-np.expm1(np.minimum(log_ndtr(a) - log_b, 0)))


def draw_truncated_normal(
    low: np.ndarray, high: np.ndarray, random_state: np.random.RandomState
) -> np.ndarray:
    """Standard normal draws confined to [low, high], by inversion in the nearer tail.

    Parameters
    ----------
    low, high : ndarray
        Ends of the intervals, of the shape of the result; infinite where open.
    random_state : RandomState
        Source of the draws.

    Returns
    -------
    ndarray
        One draw for each interval.
    """
    flip = low > 0
    a, b = np.where(flip, -high, low), np.where(flip, -low, high)
    log_a, log_b = log_ndtr(a), log_ndtr(b)
    # log(Phi(a) + u (Phi(b) - Phi(a))), without leaving logarithms
    u = 1 - random_state.random_sample(np.shape(a))
    with np.errstate(invalid="ignore"):  # beyond the range of logarithms there is no draw
        log_p = log_b + np.log(u + (1 - u) * np.exp(log_a - log_b))
    x = np.clip(ndtri_exp(log_p), a, b)
    return np.where(flip, -x, x)
