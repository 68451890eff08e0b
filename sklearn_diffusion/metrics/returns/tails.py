"""Quantiles, tails and moments of real and synthetic returns, side by side."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import expit, logit
from scipy.stats import beta

from sklearn_diffusion.utils.parameters import check_number, check_positive_integer
from sklearn_diffusion.utils.tables import as_pair, check_probabilities

__all__ = ["QQPoints", "qq_points", "tail_table"]

TAIL_PROBABILITIES = (0.001, 0.005, 0.01, 0.05, 0.95, 0.99, 0.995, 0.999)


class QQPoints(NamedTuple):
    """Points of a quantile-quantile plot with their sampling band.

    Attributes
    ----------
    probability : ndarray of shape (n_points,)
        Probability levels.
    real, synthetic : ndarray of shape (n_points, n_columns)
        Quantiles at those levels.
    lower, upper : ndarray of shape (n_points, n_columns)
        Where the real quantile lies, pointwise and with the chosen confidence, if the synthetic
        law is the true one.
    columns : list
        Column labels.
    """

    probability: np.ndarray
    real: np.ndarray
    synthetic: np.ndarray
    lower: np.ndarray
    upper: np.ndarray
    columns: list


def qq_points(
    real: ArrayLike,
    synthetic: ArrayLike,
    q: ArrayLike | None = None,
    *,
    n_points: int = 101,
    confidence: float = 0.95,
) -> QQPoints:
    r"""Quantiles of real and synthetic returns at common levels, column by column.

    Parameters
    ----------
    real : array-like of shape (n_real,) or (n_real, n_columns)
        Real returns of assets or portfolios.
    synthetic : array-like of shape (n_synthetic,) or (n_synthetic, n_columns)
        Draws from the model.
    q : array-like of shape (n_points,), default=None
        Probability levels. None means `n_points` levels from 0.1 % to 99.9 %, evenly spaced in
        log-odds, so that the tails hold as many points as the body.
    n_points : int, default=101
        Number of default levels.
    confidence : float, default=0.95
        Pointwise confidence of the band.

    Returns
    -------
    points : QQPoints

    Notes
    -----
    Under a common law with distribution function F, F of the k-th of n ordered values is
    Beta(k, n + 1 - k). The band is the synthetic quantile at the quantiles of that law with
    :math:`k = q (n - 1) + 1`, the position between order statistics at which the real quantile is
    read. It takes the synthetic law as known: draw many more rows than `real` has.
    """
    real_frame, synthetic_frame = as_pair(real, synthetic)
    if q is None:
        n_points = check_positive_integer(n_points, "n_points")
        q = expit(np.linspace(logit(0.001), logit(0.999), n_points))
    q = check_probabilities(q)
    check_number(confidence, "confidence", 0, 1)
    n_real = len(real_frame)
    position = q * (n_real - 1) + 1
    tail = (1 - confidence) / 2
    band = [beta.ppf(level, position, n_real + 1 - position) for level in (tail, 1 - tail)]
    drawn = synthetic_frame.to_numpy()
    lower, upper = (np.quantile(drawn, level, axis=0) for level in band)
    return QQPoints(
        probability=q,
        real=np.quantile(real_frame.to_numpy(), q, axis=0),
        synthetic=np.quantile(drawn, q, axis=0),
        lower=lower,
        upper=upper,
        columns=list(real_frame.columns),
    )


def tail_table(
    real: ArrayLike, synthetic: ArrayLike, q: ArrayLike = TAIL_PROBABILITIES
) -> pd.DataFrame:
    r"""Tail quantiles and expected shortfalls of real and synthetic returns.

    Parameters
    ----------
    real, synthetic : array-like of shape (n_rows,) or (n_rows, n_columns)
        Real returns and draws from the model, of assets or of portfolios (``returns @ weights``).
    q : array-like, default=(.001, .005, .01, .05, .95, .99, .995, .999)
        Probability levels. Levels up to one half belong to the lower tail, the others to the upper.

    Returns
    -------
    table : DataFrame
        One row for each column of the input and each level, indexed (column, q). Columns
        ``("quantile", ...)`` and ``("shortfall", ...)``, each with ``"real"``, ``"synthetic"`` and
        ``"error"``, the relative error: -0.1 means a synthetic tail 10 % too short. Errors are NaN
        where the real figure is zero.

    Notes
    -----
    The shortfall is the mean of the returns at or beyond the quantile: a loss is negative in the
    lower tail. At .001 it rests on n / 1000 rows; read it beside `qq_points`' sampling band.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_diffusion.metrics import tail_table
    >>> rng = np.random.RandomState(0)
    >>> table = tail_table(rng.randn(20_000), 0.9 * rng.randn(20_000), q=[0.01, 0.99])
    >>> table["quantile", "error"].round(1).tolist()
    [-0.1, -0.1]
    """
    real_frame, synthetic_frame = as_pair(real, synthetic)
    q = check_probabilities(q)
    parts: dict[tuple[str, str], np.ndarray] = {}
    for sample, frame in (("real", real_frame), ("synthetic", synthetic_frame)):
        quantile, shortfall = tail_figures(frame.to_numpy(), q)
        parts["quantile", sample] = quantile.ravel(order="F")
        parts["shortfall", sample] = shortfall.ravel(order="F")
    for figure in ("quantile", "shortfall"):
        truth, drawn = parts[figure, "real"], parts[figure, "synthetic"]
        unknown = np.full_like(truth, np.nan)
        parts[figure, "error"] = np.divide(drawn - truth, truth, out=unknown, where=truth != 0)
    index = pd.MultiIndex.from_product([real_frame.columns, q], names=["column", "q"])
    order = [(f, s) for f in ("quantile", "shortfall") for s in ("real", "synthetic", "error")]
    return pd.DataFrame(parts, index=index)[order]


def tail_figures(values: np.ndarray, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Quantiles and expected shortfalls of each column.

    Parameters
    ----------
    values : ndarray of shape (n_rows, n_columns)
        Returns.
    q : ndarray of shape (n_levels,)
        Probabilities; those above one half are of the upper tail.

    Returns
    -------
    quantile : ndarray of shape (n_levels, n_columns)
        In the unit of the returns.
    shortfall : ndarray of shape (n_levels, n_columns)
        Mean of the returns at the quantile or beyond it.
    """
    quantile = np.quantile(values, q, axis=0)
    shortfall = np.empty_like(quantile)
    for i, level in enumerate(q):
        beyond = values <= quantile[i] if level <= 0.5 else values >= quantile[i]
        shortfall[i] = np.mean(values, axis=0, where=beyond)
    return quantile, shortfall
