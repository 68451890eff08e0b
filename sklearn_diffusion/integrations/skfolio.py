"""skfolio: a covariance estimator that its portfolio optimisers accept.

As the law behind `skfolio.prior.SyntheticData` no adaptor is needed: it takes any estimator that
samples, :class:`~sklearn_diffusion.DiffusionCovarianceEstimator` included.
"""

from __future__ import annotations

from sklearn_diffusion.returns.covariance import DiffusionCovarianceEstimator

try:
    from skfolio.moments import BaseCovariance
except ImportError as error:
    raise ImportError(
        "sklearn_diffusion.integrations.skfolio needs skfolio: "
        "pip install 'sklearn-diffusion[skfolio]'"
    ) from error

__all__ = ["SkfolioDiffusionCovariance"]


class SkfolioDiffusionCovariance(DiffusionCovarianceEstimator, BaseCovariance):
    """`DiffusionCovarianceEstimator` as one of skfolio's covariance estimators.

    Parameters, attributes and methods are those of
    :class:`~sklearn_diffusion.DiffusionCovarianceEstimator`; skfolio, which takes no covariance
    estimators but its own, sees one. Its ``nearest`` and ``higham`` have no place here: the
    covariance is positive definite whatever the data.

    See Also
    --------
    sklearn_diffusion.DiffusionCovarianceEstimator : The same without skfolio.

    Examples
    --------
    >>> from skfolio.optimization import MeanRisk
    >>> from skfolio.prior import EmpiricalPrior
    >>> from sklearn_diffusion.datasets import load_sp500_returns
    >>> from sklearn_diffusion.integrations.skfolio import SkfolioDiffusionCovariance
    >>> returns = load_sp500_returns(start="2021")
    >>> prior = EmpiricalPrior(covariance_estimator=SkfolioDiffusionCovariance())
    >>> portfolio = MeanRisk(prior_estimator=prior).fit(returns)
    >>> portfolio.weights_.shape
    (20,)
    """
