"""What a covariance matrix is worth: the realised risk of the portfolio it recommends.

A low condition number proves little, since shrinking to the identity lowers it. The volatility
that the minimum-variance portfolio goes on to have out of sample is the figure that counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, clone

from sklearn_diffusion.utils.dates import check_time_order, name_day
from sklearn_diffusion.utils.parameters import check_positive_integer
from sklearn_diffusion.utils.tables import as_frame, check_covariance, name_some

__all__ = [
    "MinimumVarianceBacktest",
    "condition_number",
    "minimum_variance_weights",
    "walk_forward_minimum_variance",
]

# Relative to the mean variance. Lets the singular sample covariance of fewer days than assets take
# part in a comparison, and moves no weight of a matrix that one would invest by.
RIDGE = 1e-12


def condition_number(covariance: ArrayLike) -> float:
    """Largest over smallest absolute eigenvalue of a symmetric matrix.

    Parameters
    ----------
    covariance : array-like of shape (n_assets, n_assets)
        Symmetric matrix.

    Returns
    -------
    condition_number : float
        At least 1; infinite for a singular matrix.

    Examples
    --------
    >>> from sklearn_diffusion.metrics import condition_number
    >>> condition_number([[4.0, 0.0], [0.0, 1.0]])
    4.0
    """
    eigenvalues = np.abs(np.linalg.eigvalsh(check_covariance(covariance)))
    smallest = eigenvalues.min()
    return float(eigenvalues.max() / smallest) if smallest > 0 else np.inf


def minimum_variance_weights(covariance: ArrayLike) -> np.ndarray:
    r"""Fully invested portfolio of least variance, short positions allowed.

    Parameters
    ----------
    covariance : array-like of shape (n_assets, n_assets)
        Symmetric covariance matrix.

    Returns
    -------
    weights : ndarray of shape (n_assets,)
        They sum to one.

    Notes
    -----
    .. math::
        w = \frac{\Sigma^{-1} 1}{1^\top \Sigma^{-1} 1}

    with :math:`10^{-12}` of the mean variance added to the diagonal, so that a singular matrix has
    an answer too.

    Examples
    --------
    >>> from sklearn_diffusion.metrics import minimum_variance_weights
    >>> minimum_variance_weights([[0.01, 0.0], [0.0, 0.04]]).round(3)
    array([0.8, 0.2])
    """
    matrix = check_covariance(covariance)
    n_assets = len(matrix)
    mean_variance = np.trace(matrix) / n_assets
    if mean_variance <= 0:
        raise ValueError(f"covariance must have a positive trace, got {np.trace(matrix):g}.")
    ridged = matrix + RIDGE * mean_variance * np.eye(n_assets)
    weights = np.linalg.solve(ridged, np.ones(n_assets))
    total = weights.sum()
    if total == 0 or not np.isfinite(total):
        raise ValueError("covariance has no minimum-variance portfolio: its inverse sums to zero.")
    return weights / total


@dataclass(frozen=True, repr=False)
class MinimumVarianceBacktest:
    """Outcome of `walk_forward_minimum_variance`.

    Attributes
    ----------
    summary : DataFrame
        One row for each estimator: ``volatility`` (annualised, as a fraction),
        ``relative_volatility`` (over that of `reference`), ``condition_number`` (median) and
        ``fit_seconds`` (median).
    returns : DataFrame of shape (n_held_days, n_estimators)
        Out-of-sample portfolio returns.
    weights : dict of str to DataFrame of shape (n_rebalances, n_assets)
        Weights chosen at each rebalance, indexed by the first day held.
    rebalances : DataFrame
        ``condition_number`` and ``fit_seconds`` of every fit, indexed (day, estimator).
    reference : str
        The estimator that relative volatilities refer to.
    """

    summary: pd.DataFrame
    returns: pd.DataFrame
    weights: dict[str, pd.DataFrame]
    rebalances: pd.DataFrame
    reference: str

    def __repr__(self) -> str:
        return (
            f"MinimumVarianceBacktest({len(self.returns)} days held, relative to "
            f"{self.reference})\n{self.summary}"
        )


def walk_forward_minimum_variance(
    returns: ArrayLike,
    estimators: Mapping[str, BaseEstimator | Callable[[Any], ArrayLike]],
    *,
    window: int = 252,
    step: int = 21,
    first: int | None = None,
    last: int | None = None,
    reference: str | None = None,
    periods_per_year: float = 252,
    callback: Callable[[int, int], object] | None = None,
    verbose: int = 0,
) -> MinimumVarianceBacktest:
    """Hold each estimator's minimum-variance portfolio out of sample, walking forward.

    Every `step` days, each estimator is fitted on the `window` days before, its portfolio is held
    for the next `step` days without costs, and nothing later is seen. A last, shorter period is
    left out.

    Parameters
    ----------
    returns : array-like of shape (n_days, n_assets)
        Simple returns in time order. With a DataFrame, the estimators are given frames and the
        results carry its labels; its index, if of dates, must be sorted and free of duplicates.
    estimators : mapping of str to estimator or callable
        Covariance estimators with ``fit(X)`` and ``covariance_``, cloned for each fit, or
        functions from a window (window, n_assets) to a covariance matrix.
    window : int, default=252
        Days that each fit sees.
    step : int, default=21
        Days between rebalances.
    first : int, default=None
        Row of the first day held; not less than `window`, which is what None means. Give several
        windows the same `first` and they are judged on the same days.
    last : int, default=None
        Only the last so many rebalances. None means all.
    reference : str, default=None
        Name that relative volatilities refer to. None means ``"LedoitWolf"`` where there is one,
        otherwise the first.
    periods_per_year : float, default=252
        Rows in a year, to annualise.
    callback : callable, default=None
        Called as ``callback(n_done, n_rebalances)`` after each rebalance.
    verbose : int, default=0
        1 prints progress about twenty times; 2, at every rebalance.

    Returns
    -------
    backtest : MinimumVarianceBacktest

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn.covariance import LedoitWolf
    >>> from sklearn_diffusion.metrics import walk_forward_minimum_variance
    >>> returns = 0.01 * np.random.RandomState(0).randn(300, 10)
    >>> backtest = walk_forward_minimum_variance(
    ...     returns, {"LedoitWolf": LedoitWolf(), "sample": lambda X: np.cov(X.T)}, window=60
    ... )
    >>> backtest.summary["relative_volatility"].round(2).to_dict()
    {'LedoitWolf': 1.0, 'sample': 1.08}
    """
    frame = as_frame(returns, "returns")
    check_time_order(frame.index)
    starts = rebalance_days(len(frame), window, step, first, last)
    reference = choose_reference(estimators, reference)
    has_labels = isinstance(returns, pd.DataFrame)

    weights: dict[str, list[np.ndarray]] = {name: [] for name in estimators}
    held: dict[str, list[np.ndarray]] = {name: [] for name in estimators}
    fits = []
    for done, start in enumerate(starts, start=1):
        past, future = frame.iloc[start - window : start], frame.iloc[start : start + step]
        for name, estimator in estimators.items():
            began = time.perf_counter()
            try:
                covariance = fit_covariance(estimator, past if has_labels else past.to_numpy())
            except ValueError as error:
                first_day, last_day = name_day(past.index, 0), name_day(past.index, -1)
                raise ValueError(
                    f"estimators[{name!r}] cannot be fitted to the window from {first_day} to "
                    f"{last_day}: {error}"
                ) from error
            seconds = time.perf_counter() - began
            check_covariance(covariance, f"the covariance of estimators[{name!r}]")
            chosen = minimum_variance_weights(covariance)
            if len(chosen) != frame.shape[1]:
                raise ValueError(
                    f"estimators[{name!r}] gave a covariance of {len(chosen)} assets "
                    f"for {frame.shape[1]}."
                )
            weights[name].append(chosen)
            held[name].append(future.to_numpy() @ chosen)
            fits.append((frame.index[start], name, condition_number(covariance), seconds))
        report_progress(done, len(starts), callback, verbose)

    days = frame.index[starts[0] : starts[-1] + step]
    portfolio_returns = pd.DataFrame({k: np.concatenate(v) for k, v in held.items()}, index=days)
    rebalances = pd.DataFrame(
        fits, columns=["day", "estimator", "condition_number", "fit_seconds"]
    ).set_index(["day", "estimator"])
    summary = rebalances.groupby("estimator").median().loc[list(estimators)]
    volatility = portfolio_returns.std(ddof=0) * np.sqrt(periods_per_year)
    summary.insert(0, "volatility", volatility)
    summary.insert(1, "relative_volatility", volatility / volatility[reference])
    return MinimumVarianceBacktest(
        summary=summary,
        returns=portfolio_returns,
        weights={
            name: pd.DataFrame(rows, index=frame.index[starts], columns=frame.columns)
            for name, rows in weights.items()
        },
        rebalances=rebalances,
        reference=reference,
    )


def rebalance_days(
    n_days: int, window: int, step: int, first: int | None, last: int | None
) -> list[int]:
    """Rows at which portfolios are formed; each is the first day held.

    Parameters
    ----------
    n_days : int
        Number of days in all.
    window : int
        Days that each fit sees, at least 2.
    step : int
        Days between rebalances.
    first : int or None
        Row of the first day held, not less than `window`, which is what None means.
    last : int or None
        Only the last so many rebalances. None means all.

    Returns
    -------
    list of int
        Increasing, with `step` days to hold from each.

    Raises
    ------
    ValueError
        If a number is impossible, or the days are too few for one rebalance.
    """
    check_positive_integer(step, "step")
    if check_positive_integer(window, "window") < 2:
        raise ValueError("window must be at least 2.")
    if first is not None and check_positive_integer(first, "first") < window:
        raise ValueError(f"first={first} leaves fewer than window={window} days to fit on.")
    starts = list(range(window if first is None else first, n_days - step + 1, step))
    if not starts:
        raise ValueError(
            f"returns has {n_days} rows; window={window}, first={first} and step={step} need "
            f"at least {(window if first is None else first) + step}."
        )
    return starts if last is None else starts[-check_positive_integer(last, "last") :]


def choose_reference(estimators: Mapping[str, Any], reference: str | None) -> str:
    """Name of the estimator that relative volatilities refer to.

    Parameters
    ----------
    estimators : mapping of str to estimator or callable
        What is compared.
    reference : str or None
        The user's choice; None is ``"LedoitWolf"`` where there is one, otherwise the first.

    Returns
    -------
    str
        A name in `estimators`.

    Raises
    ------
    ValueError
        If there are no estimators, one can be neither fitted nor called, or the name is not
        among them.
    """
    if not estimators:
        raise ValueError("estimators must name at least one estimator.")
    unusable = [
        name for name, est in estimators.items() if not (hasattr(est, "fit") or callable(est))
    ]
    if unusable:
        raise ValueError(
            f"estimators must have a fit method or be callable; not so: {name_some(unusable)}."
        )
    if reference is None:
        return "LedoitWolf" if "LedoitWolf" in estimators else next(iter(estimators))
    if reference not in estimators:
        raise ValueError(f"reference={reference!r} is not among {name_some(list(estimators))}.")
    return reference


def fit_covariance(
    estimator: BaseEstimator | Callable[[Any], ArrayLike], window: pd.DataFrame | np.ndarray
) -> np.ndarray:
    """Covariance of a window by a fresh clone of an estimator, or by a function.

    Parameters
    ----------
    estimator : estimator or callable
        Covariance estimator with ``fit(X)`` and ``covariance_``, or a function from a window to
        a matrix.
    window : DataFrame or ndarray of shape (window, n_assets)
        Returns to fit on.

    Returns
    -------
    ndarray of shape (n_assets, n_assets)
        Float64, as the estimator has it: not checked.
    """
    if hasattr(estimator, "fit"):
        return np.asarray(clone(estimator).fit(window).covariance_, dtype=float)
    return np.asarray(estimator(window), dtype=float)


def report_progress(
    done: int, total: int, callback: Callable[[int, int], object] | None, verbose: int
) -> None:
    """Tell the caller, in the ways asked for, how far the backtest is.

    Parameters
    ----------
    done : int
        Number of rebalances done.
    total : int
        Number of rebalances to do in all.
    callback : callable or None
        Called as ``callback(done, total)``.
    verbose : int
        0 prints nothing; 1 prints about twenty times, 2 at every rebalance.
    """
    if callback is not None:
        callback(done, total)
    every = 1 if verbose > 1 else max(1, total // 20)
    if verbose and (done % every == 0 or done == total):
        print(f"[walk_forward_minimum_variance] rebalance {done} of {total}", flush=True)
