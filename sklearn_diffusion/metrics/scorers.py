"""Scorers by name, for model selection over this package's models.

A scorer is a callable ``scorer(estimator, X, y=None) -> float``, higher is better. Pass the object
or look it up by name::

    GridSearchCV(model, grid, scoring=get_scorer("neg_minimum_variance_volatility"))

scikit-learn keeps its own names to itself: there is no public way to add one. To write bare strings
all the same, ``scoring="neg_minimum_variance_volatility"``, call `register_scorers` once.
"""

from __future__ import annotations

from collections.abc import Callable
from types import MappingProxyType

from sklearn_diffusion.metrics.returns.scorers import (
    cramer_von_mises_marginals_scorer,
    cramer_von_mises_scorer,
    neg_condition_number_scorer,
    neg_minimum_variance_volatility_scorer,
    neg_shortfall_error_scorer,
)
from sklearn_diffusion.metrics.surfaces.scorers import (
    neg_arbitrage_penalty_scorer,
    neg_ci_breach_error_scorer,
    neg_ci_width_scorer,
    neg_crps_scorer,
    neg_energy_score_scorer,
    neg_mape_scorer,
    neg_pit_cramer_von_mises_scorer,
)

__all__ = ["SCORERS", "get_scorer", "get_scorer_names", "register_scorers"]

Scorer = Callable[..., float]

SCORERS: MappingProxyType[str, Scorer] = MappingProxyType(
    {
        "cramer_von_mises_marginals": cramer_von_mises_marginals_scorer,
        "cramer_von_mises": cramer_von_mises_scorer,
        "neg_condition_number": neg_condition_number_scorer,
        "neg_arbitrage_penalty": neg_arbitrage_penalty_scorer,
        "neg_ci_breach_error": neg_ci_breach_error_scorer,
        "neg_ci_width": neg_ci_width_scorer,
        "neg_crps": neg_crps_scorer,
        "neg_energy_score": neg_energy_score_scorer,
        "neg_mape": neg_mape_scorer,
        "neg_minimum_variance_volatility": neg_minimum_variance_volatility_scorer,
        "neg_pit_cramer_von_mises": neg_pit_cramer_von_mises_scorer,
        "neg_shortfall_error": neg_shortfall_error_scorer,
    }
)


def get_scorer_names() -> list[str]:
    """Names that `get_scorer` knows, sorted.

    Returns
    -------
    list of str
    """
    return sorted(SCORERS)


def get_scorer(name: str) -> Scorer:
    """Return the scorer of this name.

    Parameters
    ----------
    name : str
        One of `get_scorer_names`.

    Returns
    -------
    scorer : callable
        ``scorer(estimator, X, y=None) -> float``, higher is better.

    Examples
    --------
    >>> from sklearn.covariance import ShrunkCovariance
    >>> from sklearn.model_selection import GridSearchCV
    >>> from sklearn_diffusion.metrics import get_scorer
    >>> search = GridSearchCV(
    ...     ShrunkCovariance(),
    ...     {"shrinkage": [0.1, 0.5]},
    ...     scoring=get_scorer("neg_minimum_variance_volatility"),
    ... )
    """
    try:
        return SCORERS[name]
    except KeyError:
        raise ValueError(
            f"{name!r} is not a scorer of sklearn_diffusion; there are {get_scorer_names()}."
        ) from None


def register_scorers() -> None:
    """Let scikit-learn's model selection accept this package's scorers by their names.

    Adds them, for the running process, to scikit-learn's table of scorers and to the names that
    its model selection tools allow. Those are private parts of scikit-learn: nothing else in this
    package relies on them, and `get_scorer` does without. Worker processes need no call of their
    own. A second call changes nothing.

    Raises
    ------
    RuntimeError
        If the installed scikit-learn keeps its names elsewhere.

    Examples
    --------
    >>> from sklearn_diffusion.metrics import register_scorers
    >>> register_scorers()  # doctest: +SKIP
    >>> cross_val_score(model, X, scoring="neg_minimum_variance_volatility")  # doctest: +SKIP
    """
    from sklearn import feature_selection, inspection, metrics, model_selection
    from sklearn.utils._param_validation import StrOptions

    # Not by `__all__`: that of `model_selection` names tools which refuse to be imported.
    modules = (metrics, model_selection, feature_selection, inspection)
    tools = [tool for module in modules for tool in vars(module).values()]
    try:
        from sklearn.metrics._scorer import _SCORERS

        constraints = [
            getattr(tool, attribute)["scoring"]
            for tool in tools
            for attribute in ("_parameter_constraints", "_skl_parameter_constraints")
            if "scoring" in getattr(tool, attribute, {})
        ]
        allowed = [c.options for kinds in constraints for c in kinds if isinstance(c, StrOptions)]
    except (ImportError, AttributeError) as error:
        raise unsupported() from error
    if not allowed:
        raise unsupported()
    _SCORERS.update(SCORERS)
    for names in allowed:
        names.update(SCORERS)


def unsupported() -> RuntimeError:
    """Error for a scikit-learn whose table of scorers is out of reach.

    Returns
    -------
    RuntimeError
        To be raised by the caller.
    """
    return RuntimeError(
        "This version of scikit-learn takes no further scorer names: "
        "pass scoring=sklearn_diffusion.metrics.get_scorer(name)."
    )
