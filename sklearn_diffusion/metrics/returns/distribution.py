r"""Whether synthetic returns follow the law of the real ones.

Each function compares ``real`` rows, best held out from training, with ``synthetic`` rows drawn
from a model; both are (n_rows, n_assets) in the same unit. A law in many dimensions is judged
through its one-dimensional projections, the assets and random portfolios, and through two
multivariate figures, a classifier's accuracy and the energy distance.

References
----------
.. [1] A. Lesniewski and G. Trigila, "Beyond Monte Carlo: Harnessing Diffusion Models to Simulate
       Financial Market Dynamics", arXiv:2412.00036, who test portfolios by Cramer-von Mises.
.. [2] T. W. Anderson, "On the Distribution of the Two-Sample Cramer-von Mises Criterion",
       The Annals of Mathematical Statistics 33(3), 1148-1159, 1962.
.. [3] D. Lopez-Paz and M. Oquab, "Revisiting Classifier Two-Sample Tests", ICLR 2017.
.. [4] G. J. Szekely and M. L. Rizzo, "Energy statistics: a class of statistics based on
       distances", Journal of Statistical Planning and Inference 143(8), 1249-1272, 2013.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import cramervonmises_2samp
from sklearn.base import ClassifierMixin
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import pairwise_distances_chunked
from sklearn.model_selection import cross_val_score

from sklearn_diffusion.utils.arrays import as_floats
from sklearn_diffusion.utils.parameters import check_number, check_positive_integer
from sklearn_diffusion.utils.random_state import private_random_state
from sklearn_diffusion.utils.tables import as_frame, as_pair, check_same_columns, check_varying

__all__ = [
    "CramerVonMisesResult",
    "classifier_two_sample_accuracy",
    "correlation_error",
    "cramer_von_mises",
    "energy_distance",
    "random_portfolios",
]

PortfolioKind = Literal["long_only", "long_short"]


@dataclass(frozen=True, repr=False)
class CramerVonMisesResult:
    """Two-sample Cramer-von Mises tests of many portfolios.

    Attributes
    ----------
    statistic : ndarray of shape (n_portfolios,)
        Test statistics T.
    pvalue : ndarray of shape (n_portfolios,)
        Their p-values.
    significance : float
        Level below which a portfolio fails.
    weights : ndarray of shape (n_portfolios, n_assets)
        The portfolios.
    """

    statistic: np.ndarray
    pvalue: np.ndarray
    significance: float
    weights: np.ndarray

    @property
    def pass_rate(self) -> float:
        """Share of portfolios whose p-value exceeds `significance`.

        About ``1 - significance`` is expected when both samples follow one law, though portfolios
        share their assets, so that a single pair of samples may land well away from it.

        Returns
        -------
        float
            In [0, 1].
        """
        return float(np.mean(self.pvalue > self.significance))

    def __repr__(self) -> str:
        return (
            f"CramerVonMisesResult(pass_rate={self.pass_rate:.3f}, "
            f"n_portfolios={len(self.pvalue)}, median_pvalue={np.median(self.pvalue):.3f})"
        )


def random_portfolios(
    n_assets: int,
    n_portfolios: int = 200,
    kind: PortfolioKind = "long_only",
    *,
    scale: ArrayLike | None = None,
    random_state: int | np.random.RandomState | None = None,
) -> np.ndarray:
    """Draw random portfolio weights.

    Parameters
    ----------
    n_assets : int
        Number of assets.
    n_portfolios : int, default=200
        Number of portfolios.
    kind : {"long_only", "long_short"}, default="long_only"
        Long-only weights are uniform on the simplex (Dirichlet(1, ..., 1)). Long-short weights are
        independent standard normal, divided by `scale`.
    scale : array-like of shape (n_assets,), default=None
        Standard deviations of the assets, so that every asset of a long-short portfolio carries
        the same risk on average. None means equal ones. Ignored by long-only portfolios, whose
        weights must add up to one.
    random_state : int, RandomState or None, default=None
        Seed of the draw.

    Returns
    -------
    weights : ndarray of shape (n_portfolios, n_assets)

    Examples
    --------
    >>> from sklearn_diffusion.metrics import random_portfolios
    >>> random_portfolios(3, 4, random_state=0).sum(axis=1)
    array([1., 1., 1., 1.])
    """
    n_assets = check_positive_integer(n_assets, "n_assets")
    n_portfolios = check_positive_integer(n_portfolios, "n_portfolios")
    if kind not in ("long_only", "long_short"):
        raise ValueError(f"kind must be 'long_only' or 'long_short', got {kind!r}.")
    scale = np.ones(n_assets) if scale is None else as_floats(scale, "scale")
    if scale.shape != (n_assets,) or not (np.isfinite(scale) & (scale > 0)).all():
        raise ValueError(f"scale must be {n_assets} positive numbers, got {scale}.")
    rng = private_random_state(random_state)
    if kind == "long_only":
        return rng.dirichlet(np.ones(n_assets), n_portfolios)
    return rng.standard_normal((n_portfolios, n_assets)) / scale


def portfolio_weights(
    portfolios: str | ArrayLike,
    real: pd.DataFrame,
    n_portfolios: int,
    rng: np.random.RandomState,
) -> np.ndarray:
    """Turn the `portfolios` argument of a metric into weights.

    Parameters
    ----------
    portfolios : {"marginals", "long_only", "long_short"} or array-like
        Each asset alone, random portfolios, or weights of shape (n_portfolios, n_assets).
    real : DataFrame of shape (n_real, n_assets)
        Real returns, whose standard deviations scale long-short portfolios.
    n_portfolios : int
        Number of random portfolios.
    rng : RandomState
        Source of their weights.

    Returns
    -------
    ndarray of shape (n_portfolios, n_assets)
        The identity for ``"marginals"``.

    Raises
    ------
    ValueError
        If `portfolios` is an unknown name, or not finite weights of as many assets.
    """
    n_assets = real.shape[1]
    if isinstance(portfolios, str):
        if portfolios == "marginals":
            return np.eye(n_assets)
        if portfolios == "long_short":
            check_varying(real, "real")
            scale = real.to_numpy().std(axis=0)
            return random_portfolios(
                n_assets, n_portfolios, "long_short", scale=scale, random_state=rng
            )
        if portfolios == "long_only":
            return random_portfolios(n_assets, n_portfolios, "long_only", random_state=rng)
        raise ValueError(
            "portfolios must be 'marginals', 'long_only', 'long_short' or an array of weights, "
            f"got {portfolios!r}."
        )
    if np.ndim(portfolios) != 2:
        raise ValueError(
            f"portfolios must be weights of shape (n_portfolios, {n_assets}), got shape "
            f"{np.shape(portfolios)}."
        )
    weights = as_frame(portfolios, "portfolios", min_rows=1)
    check_same_columns(real, weights, "real", "portfolios")
    return weights.to_numpy()


def match_size(synthetic: np.ndarray, n_rows: int, rng: np.random.RandomState) -> np.ndarray:
    """Return `n_rows` random synthetic rows, or all of them when there are no more than that.

    Parameters
    ----------
    synthetic : ndarray of shape (n_synthetic, n_assets)
        Draws from the model.
    n_rows : int
        Number of rows to keep.
    rng : RandomState
        Source of the choice.

    Returns
    -------
    ndarray of shape (min(n_rows, n_synthetic), n_assets)
        Without repetition.
    """
    if len(synthetic) <= n_rows:
        return synthetic
    return synthetic[rng.permutation(len(synthetic))[:n_rows]]


def cramer_von_mises(
    real: ArrayLike,
    synthetic: ArrayLike,
    *,
    portfolios: Literal["marginals", "long_only", "long_short"] | ArrayLike = "marginals",
    n_portfolios: int = 200,
    significance: float = 0.05,
    random_state: int | np.random.RandomState | None = None,
) -> CramerVonMisesResult:
    r"""Test by portfolio whether real and synthetic returns follow one law.

    Parameters
    ----------
    real : array-like of shape (n_real, n_assets)
        Real returns, best days that the model has not seen.
    synthetic : array-like of shape (n_synthetic, n_assets)
        Draws from the model, in the unit of `real`.
    portfolios : {"marginals", "long_only", "long_short"} or array-like, default="marginals"
        What to test: each asset alone, random portfolios (see `random_portfolios`; the long-short
        ones are scaled by the standard deviations of `real`), or these weights of shape
        (n_portfolios, n_assets).
    n_portfolios : int, default=200
        Number of random portfolios.
    significance : float, default=0.05
        A portfolio passes when its p-value exceeds this.
    random_state : int, RandomState or None, default=None
        Seed of the portfolios and of the choice of synthetic rows.

    Returns
    -------
    result : CramerVonMisesResult
        Statistics, p-values and `pass_rate`.

    Notes
    -----
    With pooled mid-ranks :math:`r_i` of the n sorted real and :math:`s_j` of the m sorted
    synthetic values, the statistic is [1]_

    .. math::
        T = \frac{n \sum_i (r_i - i)^2 + m \sum_j (s_j - j)^2}{n m (n + m)}
            - \frac{4 n m - 1}{6 (n + m)}.

    *Sizes.* The power of the test grows with both sample sizes, so a pass rate means something
    only at stated sizes. Of `synthetic`, as many random rows as `real` has are used (all of them
    if there are fewer): the pass rate then does not fall merely because more was drawn.

    *Dependence.* The p-values assume independent rows. Real returns cluster in volatility, which
    lowers them somewhat for any model, the true one included.

    References
    ----------
    .. [1] T. W. Anderson, "On the Distribution of the Two-Sample Cramer-von Mises Criterion",
           The Annals of Mathematical Statistics 33(3), 1148-1159, 1962.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_diffusion.metrics import cramer_von_mises
    >>> rng = np.random.RandomState(0)
    >>> real, same, wide = rng.randn(500, 4), rng.randn(5000, 4), 2 * rng.randn(5000, 4)
    >>> cramer_von_mises(real, same, random_state=0).pass_rate
    1.0
    >>> cramer_von_mises(real, wide, random_state=0).pass_rate
    0.0
    """
    check_number(significance, "significance", 0, 1)
    real_frame, synthetic_frame = as_pair(real, synthetic)
    rng = private_random_state(random_state)
    weights = portfolio_weights(portfolios, real_frame, n_portfolios, rng)
    drawn = match_size(synthetic_frame.to_numpy(), len(real_frame), rng)
    test = cramervonmises_2samp(real_frame.to_numpy() @ weights.T, drawn @ weights.T, axis=0)
    return CramerVonMisesResult(test.statistic, test.pvalue, significance, weights)


def correlation_error(
    real: ArrayLike, synthetic: ArrayLike, *, reference: ArrayLike | None = None
) -> float:
    r"""Frobenius distance between the correlation matrices of real and synthetic returns.

    Parameters
    ----------
    real, synthetic : array-like of shape (n_rows, n_assets)
        Held-out real returns and draws from the model; at least two assets.
    reference : array-like of shape (n_reference, n_assets), default=None
        Further real returns, as a rule the training days. Their own distance from `real` then is
        the unit: 1 means as close as the training days are, which sampling error alone explains.

    Returns
    -------
    error : float
        :math:`\lVert R_{syn} - R_{real} \rVert_F`, divided by
        :math:`\lVert R_{ref} - R_{real} \rVert_F` when there is a reference.
    """
    real_frame, synthetic_frame = as_pair(real, synthetic)
    if real_frame.shape[1] < 2:
        raise ValueError("correlation_error needs at least two assets, got one.")
    target = correlation(real_frame, "real")
    error = np.linalg.norm(correlation(synthetic_frame, "synthetic") - target)
    if reference is None:
        return float(error)
    reference_frame = as_frame(reference, "reference")
    check_same_columns(real_frame, reference_frame, "real", "reference")
    unit = np.linalg.norm(correlation(reference_frame, "reference") - target)
    if unit == 0:
        raise ValueError("reference has the correlations of real exactly: no unit of error.")
    return float(error / unit)


def correlation(frame: pd.DataFrame, name: str) -> np.ndarray:
    """Correlation matrix of a frame without constant columns.

    Parameters
    ----------
    frame : DataFrame of shape (n_rows, n_assets)
        Returns.
    name : str
        Name of the argument, for the error.

    Returns
    -------
    ndarray of shape (n_assets, n_assets)

    Raises
    ------
    ValueError
        If a column is constant.
    """
    check_varying(frame, name)
    return np.corrcoef(frame.to_numpy(), rowvar=False)


def classifier_two_sample_accuracy(
    real: ArrayLike,
    synthetic: ArrayLike,
    *,
    classifier: ClassifierMixin | None = None,
    cv: Any = 3,
    random_state: int | np.random.RandomState | None = None,
) -> float:
    """Accuracy of a classifier that tells real from synthetic rows: 0.5 is a perfect model.

    Parameters
    ----------
    real, synthetic : array-like of shape (n_rows, n_assets)
        Held-out real returns and draws from the model. Of `synthetic`, as many random rows as
        `real` has are used, so that guessing scores 0.5.
    classifier : classifier, default=None
        None means gradient-boosted trees with 100 iterations.
    cv : int, splitter or iterable, default=3
        Folds, as in `sklearn.model_selection.cross_val_score`.
    random_state : int, RandomState or None, default=None
        Seed of the choice of synthetic rows and of the default classifier.

    Returns
    -------
    accuracy : float
        Mean over the folds. The rows are weighed equally, so with fewer synthetic than real rows
        guessing scores the share of the real ones.

    References
    ----------
    .. [1] D. Lopez-Paz and M. Oquab, "Revisiting Classifier Two-Sample Tests", ICLR 2017.
    """
    real_frame, synthetic_frame = as_pair(real, synthetic)
    rng = private_random_state(random_state)
    drawn = match_size(synthetic_frame.to_numpy(), len(real_frame), rng)
    rows = np.vstack([real_frame.to_numpy(), drawn])
    is_real = np.r_[np.ones(len(real_frame)), np.zeros(len(drawn))]
    if classifier is None:
        classifier = HistGradientBoostingClassifier(
            max_iter=100, random_state=rng.randint(np.iinfo(np.int32).max)
        )
    return float(cross_val_score(classifier, rows, is_real, cv=cv).mean())


def energy_distance(real: ArrayLike, synthetic: ArrayLike) -> float:
    r"""Energy distance between the joint laws of real and synthetic returns.

    Parameters
    ----------
    real, synthetic : array-like of shape (n_rows, n_assets)
        Held-out real returns and draws from the model. Time grows with the square of the number
        of rows, some seconds at 10,000; memory stays bounded.

    Returns
    -------
    distance : float
        In the unit of the returns; 0 if and only if the two empirical laws agree. Standardise
        assets of very different volatility first, or the volatile ones decide.

    Notes
    -----
    .. math::
        D = \sqrt{2 E|X - Y| - E|X - X'| - E|Y - Y'|}

    with Euclidean norms and empirical laws; with one asset it is `scipy.stats.energy_distance`.

    References
    ----------
    .. [1] G. J. Szekely and M. L. Rizzo, "Energy statistics: a class of statistics based on
           distances", Journal of Statistical Planning and Inference 143(8), 1249-1272, 2013.
    """
    real_frame, synthetic_frame = as_pair(real, synthetic, min_rows=1)
    x, y = real_frame.to_numpy(), synthetic_frame.to_numpy()
    squared = 2 * mean_distance(x, y) - mean_distance(x, x) - mean_distance(y, y)
    return float(np.sqrt(max(squared, 0.0)))


def mean_distance(x: np.ndarray, y: np.ndarray) -> float:
    """Mean Euclidean distance over all pairs of rows.

    Parameters
    ----------
    x : ndarray of shape (n, n_features)
        Rows of one sample.
    y : ndarray of shape (m, n_features)
        Rows of the other.

    Returns
    -------
    float
        Over n m pairs; those of a row with itself count where `x` is `y`.
    """
    total = sum(chunk.sum() for chunk in pairwise_distances_chunked(x, y, working_memory=64))
    return total / (len(x) * len(y))
