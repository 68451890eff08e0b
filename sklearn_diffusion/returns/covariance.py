"""Covariance and scenarios of asset returns from a diffusion model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.linalg import cho_factor, cho_solve
from sklearn.base import _fit_context
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from sklearn_diffusion.returns.early_stopping import EarlyStopping
from sklearn_diffusion.returns.hidden_layer import HiddenLayer
from sklearn_diffusion.returns.observations import parse_conditioning
from sklearn_diffusion.returns.score_model import FitSettings, FromDenoiser, ReturnsModel
from sklearn_diffusion.returns.validation import ReturnsCovariance, validate_returns
from sklearn_diffusion.utils.parameters import Count, NestedParametersMixin, resolve_part
from sklearn_diffusion.utils.random_state import private_random_state
from sklearn_diffusion.utils.refit import all_or_nothing

__all__ = ["DiffusionCovarianceEstimator"]


_UNITS = ("simple", "log", "change")
_SCORE_MODELS = {
    "early_stopping": EarlyStopping,
    "stopped": EarlyStopping,
    "paper": HiddenLayer,
}


class DiffusionCovarianceEstimator(NestedParametersMixin, ReturnsCovariance):
    r"""Covariance matrix, and the whole distribution of returns behind it, by a diffusion model.

    A drop-in replacement for :class:`sklearn.covariance.LedoitWolf`. The default model is closed
    form: returns are z-scored, diffused by a variance-preserving process and stopped early. Days
    count by their recency and by the likeness of their market's volatility state to today's. The
    covariance of the stopped diffusion is

    .. math:: \Sigma = D_s \, U \, ((1 - t) \Lambda + t I) \, U^\top D_s,

    with volatilities s and the spectrum of correlations of the weighted days, freed of the spread
    due to a finite sample and, where it rises above the noise, brought up to date with the last
    days (see `sklearn_diffusion.returns.early_stopping`). The stopping time t and the half-life
    of the weights are chosen by held-out score-matching loss on a rolling origin inside the
    training window. `sample` draws from a distribution with exactly this covariance, whose
    volatility states and heavy tails are those of the training days.

    Parameters
    ----------
    score_model : {"early_stopping", "paper"} or object, default="early_stopping"
        What is learnt of the returns. "early_stopping" (or "stopped") is `EarlyStopping`, the model
        above; "paper" is `HiddenLayer`, that of Lesniewski & Trigila [1]_: a one-hidden-layer score
        trained by quadrature, sampled by Euler-Maruyama, the covariance that of a large synthetic
        sample. Give an object to set its parameters, which searches reach as
        ``score_model__stop_time``; an object with ``fit_denoiser(x_0, weights, schedule)`` is a
        score model of your own (see `sklearn_diffusion.returns.score_model`).
    half_life : float, None or "auto", default="auto"
        Days after which a training day counts half. Rows must be in time order unless this is
        None, which takes them as exchangeable: no row counts more than another, and the
        distribution is that of the whole period instead of tomorrow's. "auto" is chosen by
        "early_stopping", and None with other score models.
    units : {"auto", "simple", "log", "change"} or sequence of them, default="auto"
        What a column is, one for all or one per column. A simple return cannot fall below -1, so
        neither do its samples: a draw beyond is a total loss, -1. Log returns and changes (of
        yields, of spreads) have no bound. "auto" takes a column for simple returns unless the
        training data fall below -1.
    batch_size : int, default=10000
        Largest number of scenarios drawn at a time.
    store_precision : bool, default=True
        Whether to keep the inverse of the covariance.
    assume_centered : bool, default=False
        True takes the mean to be zero.
    device : {"auto", "cpu", "cuda"}, default="auto"
        Where a sampled score model computes, in double precision; "auto" is CUDA where there is
        one. Noise is drawn on the CPU.
    verbose : int, default=0
        Positive values print the loss of Monte Carlo training by pass over the data.
    random_state : int, RandomState instance or None, default=None
        Randomness of the fit, and of `sample` where it is given none.

    Attributes
    ----------
    covariance_ : ndarray of shape (n_features, n_features)
        Symmetric positive definite, in squared asset units.
    precision_ : ndarray of shape (n_features, n_features)
        Its inverse, where `store_precision`.
    location_ : ndarray of shape (n_features,)
        Mean of the samples: that of the training rows, with "paper" weighted by recency.
    stop_time_ : float
        Stopping time used; for "auto" the average over the candidates that the held-out loss does
        not tell apart.
    half_life_ : float or None
        Half-life used; for "auto" that of the candidate of largest weight.
    loss_curve_ : ndarray
        Held-out loss of each of `stop_times_` (averaged over half-lives and origins, per asset), or
        with "paper" the training loss by iteration. Empty where nothing was chosen.
    stop_times_ : ndarray or None
        Stopping times that were compared; None where none were.
    distribution_ : object
        Distribution of the standardised returns.
    scale_ : ndarray of shape (n_features,)
        Standard deviations by which returns are standardised.
    n_features_in_ : int
        Number of features seen in `fit`.
    feature_names_in_ : ndarray of shape (n_features,)
        Their names, where `X` had some.

    See Also
    --------
    sklearn.covariance.LedoitWolf : Linear shrinkage of equally weighted days.
    sklearn_diffusion.baselines.QuadraticInverseShrinkage : Nonlinear shrinkage of the same.

    References
    ----------
    .. [1] A. Lesniewski and G. Trigila, "Beyond Monte Carlo: harnessing diffusion models to
           simulate financial market dynamics", arXiv:2412.00036, 2024.

    Examples
    --------
    >>> from sklearn_diffusion import DiffusionCovarianceEstimator
    >>> from sklearn_diffusion.datasets import make_factor_returns
    >>> returns = make_factor_returns(500, 10, random_state=0).returns
    >>> model = DiffusionCovarianceEstimator(random_state=0).fit(returns)
    >>> model.covariance_.shape
    (10, 10)
    >>> model.sample(3).shape
    (3, 10)
    """

    _parameter_constraints: dict = {
        **ReturnsCovariance._parameter_constraints,
        "score_model": [
            StrOptions(set(_SCORE_MODELS)),
            HasMethods("fit_returns"),
            HasMethods("fit_denoiser"),
        ],
        "half_life": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither"), None],
        "units": [StrOptions({"auto", *_UNITS}), "array-like"],
        "batch_size": [Count()],
        "device": [StrOptions({"auto", "cpu", "cuda"})],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        score_model: Literal["early_stopping", "stopped", "paper"] | Any = "early_stopping",
        half_life: float | Literal["auto"] | None = "auto",
        units: Literal["auto", "simple", "log", "change"] | Sequence[str] = "auto",
        batch_size: int = 10_000,
        store_precision: bool = True,
        assume_centered: bool = False,
        device: Literal["auto", "cpu", "cuda"] = "auto",
        verbose: int = 0,
        random_state: int | np.random.RandomState | None = None,
    ):
        super().__init__(store_precision=store_precision, assume_centered=assume_centered)
        self.score_model = score_model
        self.half_life = half_life
        self.units = units
        self.batch_size = batch_size
        self.device = device
        self.verbose = verbose
        self.random_state = random_state

    @all_or_nothing
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y: Any = None) -> DiffusionCovarianceEstimator:
        """Fit the distribution of the rows of `X` and its covariance.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Returns, one row per day in time order, one column per asset. More assets than days are
            fine.
        y : None
            Ignored.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            If a parameter is impossible, a value is NaN or infinite, a column is constant, there
            are fewer than two rows, or the dates of a frame are repeated or out of order and
            `half_life` is not None.
        """
        x = validate_returns(self, X, in_time_order=self.half_life is not None)
        self._labels = list(X.columns) if isinstance(X, pd.DataFrame) else None
        self._lowest = self._lowest_returns(x)
        self._keep(self._resolve_score_model().fit_returns(x, self._fit_settings()))
        return self

    def _lowest_returns(self, x: np.ndarray) -> np.ndarray:
        """What each column cannot fall below, (n_features,)."""
        units = [self.units] if isinstance(self.units, str) else list(self.units)
        if len(units) not in (1, x.shape[1]) or not set(units) <= {"auto", *_UNITS}:
            raise ValueError(
                f"units must be one of 'auto', {', '.join(map(repr, _UNITS))}, or one for each of "
                f"the {x.shape[1]} columns, got {self.units!r}."
            )
        kinds = np.broadcast_to(np.array(units), x.shape[1])
        impossible = np.flatnonzero((kinds == "simple") & (x < -1).any(axis=0))
        if len(impossible):
            day, column = np.argwhere(x[:, impossible] < -1)[0][0], impossible[0]
            name = column if self._labels is None else repr(self._labels[column])
            raise ValueError(
                f"X has {x[x[:, column] < -1, column][0]:g} in row {day}, column {name}: a simple "
                "return cannot fall below -1. Pass units='log' or 'change' for that column."
            )
        simple = (kinds == "simple") | ((kinds == "auto") & (x >= -1).all(axis=0))
        return np.where(simple, -1.0, -np.inf)

    def _resolve_score_model(self) -> Any:
        model = resolve_part(self.score_model, "score_model", _SCORE_MODELS)
        return model if hasattr(model, "fit_returns") else FromDenoiser(model)

    def _fit_settings(self) -> FitSettings:
        return FitSettings(
            half_life=self.half_life,
            assume_centered=self.assume_centered,
            batch_size=self.batch_size,
            device=self.device,
            verbose=self.verbose,
            random_state=self.random_state,
        )

    def _set_covariance(self, covariance: np.ndarray) -> None:
        """Keep the covariance and, if asked for, its inverse."""
        self.covariance_ = covariance
        self.precision_ = _inverse(covariance) if self.store_precision else None

    def get_precision(self) -> np.ndarray:
        """Inverse of the covariance.

        Returns
        -------
        precision : ndarray of shape (n_features, n_features)
        """
        check_is_fitted(self)
        return _inverse(self.covariance_) if self.precision_ is None else self.precision_

    def _keep(self, model: ReturnsModel) -> None:
        self.location_, self.scale_ = model.location, model.scale
        self.stop_time_, self.half_life_ = model.stop_time, model.half_life
        self.loss_curve_, self.stop_times_ = model.loss_curve, model.stop_times
        self.distribution_ = model.distribution
        self._set_covariance(model.covariance)

    def sample(
        self,
        n_samples: int = 1,
        *,
        conditioning: Mapping[str | int, Any] | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> np.ndarray:
        """Draw scenarios.

        Parameters
        ----------
        n_samples : int, default=1
            Number of scenarios.
        conditioning : mapping, default=None
            Partial observations for stress tests, by label, or by position where the estimator was
            fitted to an array: a number fixes a return,
            a pair ``(low, high)`` bounds it (``None`` for an open end), an array of length
            `n_samples` fixes it scenario by scenario. The others follow their conditional
            distribution.
        random_state : int, RandomState instance or None, default=None
            None takes the estimator's.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            In the units of the training data.

        Raises
        ------
        ValueError
            If `n_samples` is not positive or `conditioning` is malformed or unattainable.
        """
        check_is_fitted(self)
        self._validate_params()  # `batch_size` may have been set after the fit
        if not isinstance(n_samples, Integral) or isinstance(n_samples, bool) or n_samples < 1:
            raise ValueError(f"n_samples must be a positive integer, got {n_samples!r}.")
        rng = private_random_state(self.random_state if random_state is None else random_state)
        observed = None
        if conditioning is not None:
            observed = parse_conditioning(
                conditioning,
                self._labels,
                self.n_features_in_,
                int(n_samples),
                self._lowest,
            )
        out = np.empty((int(n_samples), self.n_features_in_))
        for start in range(0, len(out), self.batch_size):
            rows = slice(start, min(start + self.batch_size, len(out)))
            part = None if observed is None else observed.batch(rows)
            given = None if part is None else part.standardized(self.location_, self.scale_)
            out[rows] = self.distribution_.sample(rows.stop - start, rng, given)
            out[rows] *= self.scale_
            out[rows] += self.location_
            np.maximum(out[rows], self._lowest, out=out[rows])
            if part is not None:  # undo the rounding of the change of units
                out[rows, part.fixed] = part.values
                out[rows, part.bounded] = out[rows, part.bounded].clip(part.low, part.high)
        return out


def _inverse(covariance: np.ndarray) -> np.ndarray:
    """Inverse of a positive definite matrix, whatever the units of its rows.

    In z-scored units: a pseudo-inverse would take what varies little for nothing.
    """
    scale = np.sqrt(covariance.diagonal())
    factor = cho_factor(covariance / np.outer(scale, scale))
    inverse = cho_solve(factor, np.eye(len(scale))) / np.outer(scale, scale)
    return (inverse + inverse.T) / 2
