r"""Training days diffused by the noise of their own volatility state: a mixture of kernels.

The forward process of a diffusion model, started from the training days and stopped early, has a
distribution in closed form: a Gaussian around every contracted day. With noise of one size for all
days that is a kernel density estimate, too smooth for calm days and too rough for turbulent ones.
Here day i follows a variance-preserving process whose noise is that of its state k: its centre
c_k, its shape S_k and its own scale g_i (a Student-t in disguise, see `student_mixture`),

.. math:: u_t = c_k + a (u_i - c_k) + \sqrt{1 - a^2} \sqrt{g_i} S_k^{1/2} \epsilon,

in whitened units u, coordinate by coordinate along the eigenvectors of the covariance. The noise
has the covariance :math:`\mathrm{noise} I + \mathrm{spread} \Sigma` per unit of signal, so the
direction of variance lambda keeps the memory :math:`a^2 = \lambda / (\lambda + \mathrm{noise} +
\mathrm{spread} \lambda)`: the market moves nearly as it was observed to, while small directions,
which a few days cannot resolve, are mostly noise. The result,

.. math:: p(z) = \sum_i w_i N(z; \mu_i, g_i S_{k(i)}),

is recoloured to have a given covariance exactly. It is sampled without error by the reverse process
run to the stopping time, that is, by drawing a day and its forward noise; its denoiser, its
density and its conditional distributions are closed too.
"""

from __future__ import annotations

from numbers import Real
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import cholesky, eigh, solve_triangular
from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import Interval
from sklearn.utils.extmath import svd_flip

from sklearn_diffusion.returns.conditional_mixture import ConditionalMixture
from sklearn_diffusion.returns.observations import Conditioning
from sklearn_diffusion.returns.volatility_states import fit_volatility_states
from sklearn_diffusion.utils.parameters import Count

if TYPE_CHECKING:
    from sklearn_diffusion.diffusion.denoiser import GaussianMixtureDenoiser
    from sklearn_diffusion.diffusion.schedule import Schedule

__all__ = ["KernelMixture"]


class KernelMixture(BaseEstimator):
    """Distribution of standardised returns: the stopped forward diffusion of the training days.

    The defaults were chosen on twenty US stocks since 2005 by tests of samples against days left
    out: tails and moments of portfolios, correlations, a classifier's accuracy, and the distance to
    the nearest training day. They make scenarios; the covariance does not depend on them.

    Parameters
    ----------
    noise : float, default=1.3
        Variance of the noise per unit of signal, in z-scored units. Small values repeat the
        training days, large ones make Student-t scenarios out of them.
    spread : float, default=0.25
        The same in units of each direction's own variance: the least noise of strong directions.
    max_states : int, default=8
        Largest number of volatility states, an even one.
    days_per_state : int, default=50
        Training days that a state takes at least; few days make few states.
    dof : float, default=4.0
        Degrees of freedom of the Student-t within a state.
    n_leading : int, default=25
        Number of directions along which each state has a shape of its own.
    min_filling : float, default=0.05
        Least variance, as a share of the noise, that makes up for what the days lack beyond the
        leading directions. Chosen by judgement: it only keeps the distribution proper.
    shape_prior, spread_prior, centre_prior : float, default=40, 5 and 5
        Weights, in days, of the common shape in a state's own, of the common variances, and of
        zero in its centre.
    max_iter : int, default=20
        EM iterations.
    n_pilot, n_candidates, n_sweeps : int, default=32, 10 and 5
        Given several intervals: draws that estimate a component's probability of them, candidates
        per scenario, and Gibbs sweeps that take out the bias which so few candidates leave. Chosen
        by judgement, as accuracy for time: more are more exact.

    Attributes
    ----------
    covariance_ : ndarray of shape (n_features, n_features)
        Covariance of the distribution; its mean is zero.
    weights_ : ndarray of shape (n,)
        Weight of each component, a training day.
    means_ : ndarray of shape (n, n_features)
        Where the days have moved to.
    state_, scale_ : ndarray of shape (n,)
        State and relative variance of each day.
    roots_ : ndarray of shape (n_states, n_features, n_features)
        Square root of the noise covariance of each state.
    """

    _parameter_constraints: dict = {
        "noise": [Interval(Real, 0, None, closed="neither")],
        "spread": [Interval(Real, 0, None, closed="left")],
        "max_states": [Count()],
        "days_per_state": [Count()],
        "dof": [Interval(Real, 0, None, closed="neither")],
        "n_leading": [Count()],
        "min_filling": [Interval(Real, 0, None, closed="neither")],
        "shape_prior": [Interval(Real, 0, None, closed="neither")],
        "spread_prior": [Interval(Real, 0, None, closed="left")],
        "centre_prior": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Count()],
        "n_pilot": [Count()],
        "n_candidates": [Count()],
        "n_sweeps": [Count(0)],
    }

    def __init__(
        self,
        *,
        noise: float = 1.3,
        spread: float = 0.25,
        max_states: int = 8,
        days_per_state: int = 50,
        dof: float = 4.0,
        n_leading: int = 25,
        min_filling: float = 0.05,
        shape_prior: float = 40.0,
        spread_prior: float = 5.0,
        centre_prior: float = 5.0,
        max_iter: int = 20,
        n_pilot: int = 32,
        n_candidates: int = 10,
        n_sweeps: int = 5,
    ):
        self.noise = noise
        self.spread = spread
        self.max_states = max_states
        self.days_per_state = days_per_state
        self.dof = dof
        self.n_leading = n_leading
        self.min_filling = min_filling
        self.shape_prior = shape_prior
        self.spread_prior = spread_prior
        self.centre_prior = centre_prior
        self.max_iter = max_iter
        self.n_pilot = n_pilot
        self.n_candidates = n_candidates
        self.n_sweeps = n_sweeps

    def fit(self, z: np.ndarray, weights: np.ndarray, covariance: np.ndarray) -> KernelMixture:
        """Fit to standardised days.

        Parameters
        ----------
        z : ndarray of shape (n, n_features)
            Standardised returns.
        weights : ndarray of shape (n,)
            Weights of the days; they sum to one.
        covariance : ndarray of shape (n_features, n_features)
            Positive definite covariance that the distribution shall have.

        Returns
        -------
        self : KernelMixture
        """
        n, d = z.shape
        eigenvalues, vectors = eigh(covariance)
        # Signs are arbitrary; fixing them keeps the noise of a seed where rounding differs.
        vectors = svd_flip(vectors, None)[0]
        eigenvalues, vectors = eigenvalues[::-1], vectors[:, ::-1]
        colour = vectors * np.sqrt(eigenvalues)
        u = z @ (vectors / np.sqrt(eigenvalues))
        m = min(d, self.n_leading)
        memory = eigenvalues / ((1 + self.spread) * eigenvalues + self.noise)
        fresh = 1 - memory
        # Beyond the leading directions the noise makes up for what the contracted days lack of
        # unit variance. With fewer days than directions they lack nearly all of it.
        spread = weights @ u[:, m:] ** 2
        filling = np.clip(1 - memory[m:] * spread, self.min_filling, None) / fresh[m:]
        states = fit_volatility_states(
            u[:, :m],
            (u[:, m:] ** 2 / filling).sum(1),
            d - m,
            weights * n,
            max_states=self.max_states,
            days_per_state=self.days_per_state,
            dof=self.dof,
            shape_prior=self.shape_prior,
            spread_prior=self.spread_prior,
            centre_prior=self.centre_prior,
            max_iter=self.max_iter,
        )
        moved = np.sqrt(memory) * u
        moved[:, :m] += (1 - np.sqrt(memory[:m])) * states.centre[states.state]
        moved -= weights @ moved

        n_states = len(states.level)
        roots = np.zeros((n_states, d, d))
        for k in range(n_states):
            roots[k, :m, :m] = cholesky(states.shape[k], lower=True)
            roots[k, range(m, d), range(m, d)] = np.sqrt(states.level[k] * filling)
        roots *= np.sqrt(fresh)[:, None]
        mass = np.bincount(states.state, weights * states.scale, minlength=n_states)
        total = (moved * weights[:, None]).T @ moved
        total += np.einsum("k,kij,klj->il", mass, roots, roots, optimize=True)
        recolour = solve_triangular(cholesky(total, lower=True), colour.T, lower=True, trans="T").T

        self.covariance_ = covariance
        self.weights_ = weights
        self.state_, self.scale_ = states.state, states.scale
        self.means_ = moved @ recolour.T
        self.roots_ = recolour @ roots
        return self

    def sample(
        self,
        n_samples: int,
        random_state: np.random.RandomState,
        conditioning: Conditioning | None = None,
    ) -> np.ndarray:
        """Draw exactly.

        Days are drawn systematically: each appears in proportion to its weight, to within one.

        Parameters
        ----------
        n_samples : int
            Number of draws.
        random_state : RandomState
            Source of randomness.
        conditioning : Conditioning, optional
            Observed coordinates, in standardised units.

        Returns
        -------
        z : ndarray of shape (n_samples, n_features)
        """
        if conditioning is not None:
            given = ConditionalMixture(
                self,
                conditioning,
                n_pilot=self.n_pilot,
                n_candidates=self.n_candidates,
                n_sweeps=self.n_sweeps,
            )
            return given.sample(n_samples, random_state)
        day = _systematic(self.weights_, n_samples, random_state)
        z = random_state.standard_normal((n_samples, self.means_.shape[1]))
        z *= np.sqrt(self.scale_[day])[:, None]
        for k, root in enumerate(self.roots_):
            rows = self.state_[day] == k
            z[rows] = z[rows] @ root.T
        z += self.means_[day]
        return z

    def shapes(self) -> np.ndarray:
        """Noise covariance of each state.

        Returns
        -------
        ndarray of shape (n_states, n_features, n_features)
        """
        return self.roots_ @ self.roots_.mT

    def to_denoiser(self, schedule: Schedule) -> GaussianMixtureDenoiser:
        """Exact denoiser E[z_0 | z_t], one component per training day.

        Parameters
        ----------
        schedule : Schedule
            Isotropic forward process.

        Returns
        -------
        denoiser : GaussianMixtureDenoiser
            In double precision. It holds a matrix per day: meant for moderate sizes.
        """
        import torch

        from sklearn_diffusion.diffusion.denoiser import GaussianMixtureDenoiser

        shapes = self.shapes()
        return GaussianMixtureDenoiser(
            torch.from_numpy(self.weights_),
            torch.from_numpy(self.means_),
            torch.from_numpy(self.scale_[:, None, None] * shapes[self.state_]),
            schedule,
        )


def _systematic(weights: np.ndarray, n: int, random_state: np.random.RandomState) -> np.ndarray:
    """Indices drawn in proportion to the weights by one uniform offset, in random order."""
    grid = (np.arange(n) + random_state.random_sample()) / n
    index = np.searchsorted(weights.cumsum(), grid * weights.sum())
    return random_state.permutation(index.clip(max=len(weights) - 1))
