r"""Spectrum of a correlation matrix: cleaned of noise, brought up to date, stopped.

With fewer days than assets the eigenvectors that no day has seen share one eigenvalue, so they are
never formed.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.special import digamma, polygamma
from sklearn.isotonic import isotonic_regression

from sklearn_diffusion.returns.shrinkage import EIGENVALUE_FLOOR, quadratic_inverse_eigenvalues
from sklearn_diffusion.utils.weights import recency_weights

__all__ = ["Spectrum"]

# Relative to the largest: sample eigenvalues below it are null but for rounding.
EIGENVALUE_ROUNDING = 1e-10


@dataclass(frozen=True)
class Spectrum:
    """Correlation matrix of standardised days by its eigenvalues and eigenvectors.

    Attributes
    ----------
    scale : ndarray of shape (d,)
        Standard deviations that the days have been divided by.
    vectors : ndarray of shape (d, r)
        Eigenvectors, r = min(n, d).
    eigenvalues : ndarray of shape (r,)
        Their eigenvalues, cleaned, in no order.
    rest : float
        The eigenvalue of the d - r other directions.
    sample_eigenvalues : ndarray of shape (r,)
        Weighted variances of the days along the eigenvectors, as observed.
    level : float, default=1.0
        Factor by which all volatilities have moved of late. The held-out loss leaves it out: it
        is there to choose between correlations, which the level says nothing about.
    """

    scale: np.ndarray
    vectors: np.ndarray
    eigenvalues: np.ndarray
    rest: float
    sample_eigenvalues: np.ndarray
    level: float = 1.0

    @classmethod
    def fit(cls, x: np.ndarray, weights: np.ndarray) -> Spectrum:
        """Spectrum of weighted days, cleaned by quadratic-inverse shrinkage.

        Parameters
        ----------
        x : ndarray of shape (n, d)
            Days, centred unless their mean is taken to be zero.
        weights : ndarray of shape (n,)
            Weights of the days; they sum to one.

        Returns
        -------
        Spectrum
            Of rank r = min(n, d).
        """
        n, d = x.shape
        scale = np.sqrt(weights @ x**2)
        rows = x * (np.sqrt(weights)[:, None] / scale)
        if d <= n:
            eigenvalues, vectors = np.linalg.eigh(rows.T @ rows)
            observed = eigenvalues
        else:
            observed, coordinates = np.linalg.eigh(rows @ rows.T)
            observed = np.maximum(observed, EIGENVALUE_FLOOR * observed[-1])
            vectors = rows.T @ coordinates / np.sqrt(observed)
            eigenvalues = np.concatenate([np.zeros(d - n), observed])
        freedom = 1 / (weights @ weights)
        if d >= n:
            # Days that have been centred span one direction less than their number.
            freedom = min(freedom, float((observed > EIGENVALUE_ROUNDING * observed[-1]).sum()))
        clean = quadratic_inverse_eigenvalues(eigenvalues, freedom)
        if freedom < d:
            # Just below as many days as assets the unseen directions get many times their
            # variance, and the eigenvalues lose their order. Averages restore it, as Stein did.
            clean = isotonic_regression(clean)
        return cls(scale, vectors, clean[-len(observed) :], clean[0], observed)

    def updated(self, x: np.ndarray, half_life: float, weight: float, outlier: float) -> Spectrum:
        r"""Bring volatilities and factors up to date with the last days.

        Eigenvalues above one are signal: the diffusion's own noise has unit variance in these
        units. The excess :math:`e_j = (\ell_j - 1)_+` of those directions follows the recent
        second moments F of their scores,

        .. math:: \mathrm{diag}(\ell) + \rho \, e^{1/2} (F - I) e^{1/2},

        positive definite for every weight :math:`\rho \leq 1`. The few numbers of F can be told
        from a fortnight where a correlation matrix of the assets cannot. F is relative to what all
        assets have in common, the geometric mean c of the recent variances of their innovations
        :math:`U \ell^{-1/2} U^\top z`, and the level of volatility follows that, by
        :math:`c^{\rho / 2}`, free of the bias of the mean logarithm. An innovation is what an
        asset does beyond the others; one that stands out (a halted stock, a bad tick) says nothing
        of what they have in common and is left out of the mean.

        Parameters
        ----------
        x : ndarray of shape (n, d)
            The days of the fit, in time order.
        half_life : float
            Days after which one of the last days counts half.
        weight : float
            The weight :math:`\rho` of the last days, in [0, 1].
        outlier : float
            Standard errors of the logarithm of a variance of so few days, from the median of all,
            beyond which an asset stands out.

        Returns
        -------
        spectrum : Spectrum
        """
        # The weight of earlier days has halved forty times, down to rounding error.
        last = x[-int(np.ceil(40 * half_life)) :]
        weights = recency_weights(len(last), half_life)
        # A direction in which the days do not move has no scores.
        seen = self.sample_eigenvalues > EIGENVALUE_ROUNDING * self.sample_eigenvalues.max()
        scores = (last / self.scale) @ self.vectors[:, seen]
        scores /= np.sqrt(self.sample_eigenvalues[seen])
        # A variance of few days is like one of this many free ones.
        half_freedom = 0.5 / (weights @ weights)
        own = self.vectors[:, seen]
        innovations = (scores @ own.T) / np.sqrt((own**2).sum(1))
        log_variances = np.log(np.maximum(weights @ innovations**2, 1e-12))
        distance = np.abs(log_variances - np.median(log_variances))
        usual = distance <= outlier * np.sqrt(polygamma(1, half_freedom))
        log_common = log_variances[usual].mean()
        signal = (self.eigenvalues > 1) & seen
        factors = scores[:, signal[seen]]
        recent = (factors.T * weights) @ factors / np.exp(log_common)
        excess = np.sqrt(self.eigenvalues[signal] - 1)
        change = weight * (recent - np.eye(len(excess))) * np.outer(excess, excess)
        vectors, eigenvalues = self.vectors.copy(), self.eigenvalues.copy()
        eigenvalues[signal], turn = np.linalg.eigh(np.diag(eigenvalues[signal]) + change)
        vectors[:, signal] = vectors[:, signal] @ turn
        # The mean log of variances from few days is below the log of their mean.
        log_common -= digamma(half_freedom) - np.log(half_freedom)
        level = float(np.exp(weight / 2 * log_common))
        return replace(self, vectors=vectors, eigenvalues=eigenvalues, level=level)

    def stopped(self, stop_times: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Eigenvalues of the diffusion at each stopping time.

        Parameters
        ----------
        stop_times : ndarray of shape (n_stops,)
            Stopping times t in [0, 1]: an eigenvalue l becomes (1 - t) l + t.

        Returns
        -------
        stopped : ndarray of shape (n_stops, r)
            Those of the eigenvectors.
        rest : ndarray of shape (n_stops, 1)
            That of the d - r other directions.
        """
        t = stop_times[:, None]
        return (1 - t) * self.eigenvalues + t, (1 - t) * self.rest + t

    def held_out_losses(self, x: np.ndarray, stop_times: np.ndarray) -> np.ndarray:
        """Gaussian loss of each stopping time on other days.

        Parameters
        ----------
        x : ndarray of shape (m, d)
            Other days, in the units and with the centre of those of the fit.
        stop_times : ndarray of shape (n_stops,)
            Stopping times in [0, 1].

        Returns
        -------
        ndarray of shape (n_stops,)
            Twice the negative log likelihood per day and feature, up to a constant.
        """
        stopped, rest = self.stopped(stop_times)
        d, r = self.vectors.shape
        z = x / self.scale
        variances = ((z @ self.vectors) ** 2).mean(0)
        loss = (variances / stopped + np.log(stopped)).sum(1) + 2 * np.log(self.scale).sum()
        if r < d:
            beyond = max((z**2).sum(1).mean() - variances.sum(), 0.0)
            loss += (beyond / rest + (d - r) * np.log(rest))[:, 0]
        return loss / d

    def correlation(self, stop_times: np.ndarray, weights: np.ndarray) -> np.ndarray:
        """Weighted sum of the stopped correlations.

        Parameters
        ----------
        stop_times : ndarray of shape (n_stops,)
            Stopping times in [0, 1].
        weights : ndarray of shape (n_stops,)
            Weights of the stopping times.

        Returns
        -------
        ndarray of shape (d, d)
        """
        stopped, rest = (weights @ values for values in self.stopped(stop_times))
        correlation = (self.vectors * (stopped - rest)) @ self.vectors.T
        correlation[np.diag_indices_from(correlation)] += rest
        return correlation
