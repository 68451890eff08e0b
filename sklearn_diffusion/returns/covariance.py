"""Covariance and scenarios of asset returns from a diffusion model."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import _fit_context
from sklearn.covariance import EmpiricalCovariance
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from sklearn_diffusion.returns.early_stopping import EarlyStopping
from sklearn_diffusion.returns.hidden_layer import HiddenLayer
from sklearn_diffusion.returns.observations import parse_conditioning
from sklearn_diffusion.returns.score_model import FitSettings, FromDenoiser, ReturnsModel
from sklearn_diffusion.returns.validation import validate_returns
from sklearn_diffusion.utils.parameters import NestedParametersMixin, resolve_part
from sklearn_diffusion.utils.random_state import private_random_state

__all__ = ["DiffusionCovarianceEstimator"]


_SCORE_MODELS = {
    "early_stopping": EarlyStopping,
    "stopped": EarlyStopping,
    "paper": HiddenLayer,
}


class DiffusionCovarianceEstimator(NestedParametersMixin, EmpiricalCovariance):
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
        **EmpiricalCovariance._parameter_constraints,
        "score_model": [
            StrOptions(set(_SCORE_MODELS)),
            HasMethods("fit_returns"),
            HasMethods("fit_denoiser"),
        ],
        "half_life": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither"), None],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "device": [StrOptions({"auto", "cpu", "cuda"})],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        score_model: Literal["early_stopping", "stopped", "paper"] | Any = "early_stopping",
        half_life: float | Literal["auto"] | None = "auto",
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
        self.batch_size = batch_size
        self.device = device
        self.verbose = verbose
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y: Any = None) -> DiffusionCovarianceEstimator:
        """Fit the distribution of the rows of `X` and its covariance.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
            Simple returns, one row per day in time order, one column per asset. More assets than
            days are fine.
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
        self._keep(self._resolve_score_model().fit_returns(x, self._fit_settings()))
        return self

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
            Partial observations for stress tests, by asset name or index: a number fixes a return,
            a pair ``(low, high)`` bounds it (``None`` for an open end), an array of length
            `n_samples` fixes it scenario by scenario. The others follow their conditional
            distribution.
        random_state : int, RandomState instance or None, default=None
            None takes the estimator's.

        Returns
        -------
        X : ndarray of shape (n_samples, n_features)
            Simple returns in the units of the training data.

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
                getattr(self, "feature_names_in_", None),
                self.n_features_in_,
                int(n_samples),
            )
        out = np.empty((int(n_samples), self.n_features_in_))
        for start in range(0, len(out), self.batch_size):
            rows = slice(start, min(start + self.batch_size, len(out)))
            part = None if observed is None else observed.batch(rows)
            given = None if part is None else part.standardized(self.location_, self.scale_)
            out[rows] = self.distribution_.sample(rows.stop - start, rng, given)
            out[rows] *= self.scale_
            out[rows] += self.location_
            if part is not None:  # undo the rounding of the change of units
                out[rows, part.fixed] = part.values
                out[rows, part.bounded] = out[rows, part.bounded].clip(part.low, part.high)
        return out
