"""Covariance and scenarios of asset returns from a diffusion model."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import _fit_context
from sklearn.covariance import EmpiricalCovariance
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted

from sklearn_diffusion.returns.early_stopping import StoppedCovariance, fit_stopped_covariance
from sklearn_diffusion.returns.kernel_mixture import StoppedLaw
from sklearn_diffusion.returns.observations import parse_conditioning
from sklearn_diffusion.returns.validation import validate_returns
from sklearn_diffusion.utils.device import resolve_device
from sklearn_diffusion.utils.random_state import private_random_state
from sklearn_diffusion.utils.weights import recency_weights

if TYPE_CHECKING:
    from sklearn_diffusion.diffusion.schedule import Schedule

__all__ = ["DiffusionCovarianceEstimator"]


class DiffusionCovarianceEstimator(EmpiricalCovariance):
    r"""Covariance matrix, and the whole law of returns behind it, by a diffusion model.

    A drop-in replacement for :class:`sklearn.covariance.LedoitWolf`. The default model is closed
    form: returns are z-scored, diffused by a variance-preserving process and stopped early. Days
    count by their recency and by the likeness of their market's volatility state to today's. The
    covariance of the stopped law is

    .. math:: \Sigma = D_s \, U \, ((1 - t) \Lambda + t I) \, U^\top D_s,

    with volatilities s and the spectrum of correlations of the weighted days, freed of the spread
    due to a finite sample and, where it rises above the noise, brought up to date with the last
    days (see `sklearn_diffusion.returns.early_stopping`). The stopping time t and the half-life
    of the weights are chosen by held-out score-matching loss on a rolling origin inside the
    training window. `sample` draws from a distribution with exactly this covariance, whose
    volatility states and heavy tails are those of the training days.

    Parameters
    ----------
    score_model : {"stopped", "paper"}, default="stopped"
        "stopped" is the default model above. "paper" is that of Lesniewski & Trigila [1]_: a
        one-hidden-layer score trained by quadrature, sampled by Euler-Maruyama, the covariance
        that of a large synthetic sample.
    stop_time : float in [0, 1) or "auto", default="auto"
        Where the reverse process stops, in the time of the variance-preserving schedule with
        b = 1, in which the noise has variance t: a shrinkage intensity towards the identity in
        z-scored units. With "paper" the time of its own schedule, "auto" being 0.005.
    half_life : float, None or "auto", default="auto"
        Days after which a training day counts half. Rows must be in time order unless this is
        None, which takes them as exchangeable: no row counts more than another, and the law is that
        of the whole period instead of tomorrow's. With "paper", "auto" is None.
    objective : {"quadrature", "monte_carlo"}, default="quadrature"
        How "paper" takes the expectation over the noise in its loss.
    schedule : {"vp", "sub_vp", "ve"}, default="vp"
        Forward process of "paper".
    b : float or array-like of shape (n_features,), default=None
        Positive rates of the schedule, one for all or one per asset. None is 1 for "vp" and
        "sub_vp", 0.01 for "ve".
    a : float, default=None
        Power of the schedule's rate, at least 0; for "ve" its growth, above 1. None is 0, and 1e5
        for "ve".
    t_max : float, default=None
        Last time of the schedule, below 1 where the power law is singular. None is 1 for "ve", and
        elsewhere the time at which the slowest asset keeps a signal variance of 1e-4.
    time_conditioned : bool, default=True
        Whether the output layer of "paper" depends on time. False is eq. (71) as printed, whose
        reverse equation explodes unless `t_max` is small.
    units : {"tanh", "cos"}, default="tanh"
        Hidden units of "paper".
    n_units : int, default=64
        Number of hidden units.
    n_hermite : int, default=12
        Nodes of the Gauss-Hermite rule, at least 2.
    n_time_nodes : int, default=24
        Nodes in time, at least 2.
    max_iter : int, default=None
        Iterations of L-BFGS on the hidden layer of "paper"; 0 keeps it random and solves for the
        output layer in closed form. With Monte Carlo, passes over the data. None is 0 and 300.
    n_steps : int, default=200
        Steps of the reverse process of "paper".
    n_synthetic : int, default=20000
        Sample from which "paper" computes its covariance.
    batch_size : int, default=10000
        Largest number of scenarios drawn at a time.
    store_precision : bool, default=True
        Whether to keep the inverse of the covariance.
    assume_centered : bool, default=False
        True takes the mean to be zero.
    device : {"auto", "cpu", "cuda"}, default="auto"
        Where "paper" computes, in double precision; "auto" is CUDA where there is one. Noise is
        drawn on the CPU.
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
        Stopping times that were compared; None with "paper".
    law_ : StoppedLaw or HiddenLayerLaw
        Law of the standardised returns.
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
        "score_model": [StrOptions({"stopped", "paper"})],
        "stop_time": [StrOptions({"auto"}), Interval(Real, 0, 1, closed="left")],
        "half_life": [StrOptions({"auto"}), Interval(Real, 0, None, closed="neither"), None],
        "objective": [StrOptions({"quadrature", "monte_carlo"})],
        "schedule": [StrOptions({"vp", "sub_vp", "ve"})],
        "b": [Interval(Real, 0, None, closed="neither"), "array-like", None],
        "a": [Interval(Real, 0, None, closed="left"), None],
        "t_max": [Interval(Real, 0, None, closed="neither"), None],
        "time_conditioned": ["boolean"],
        "units": [StrOptions({"tanh", "cos"})],
        "n_units": [Interval(Integral, 1, None, closed="left")],
        "n_hermite": [Interval(Integral, 2, None, closed="left")],
        "n_time_nodes": [Interval(Integral, 2, None, closed="left")],
        "max_iter": [Interval(Integral, 0, None, closed="left"), None],
        "n_steps": [Interval(Integral, 1, None, closed="left")],
        "n_synthetic": [Interval(Integral, 2, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "device": [StrOptions({"auto", "cpu", "cuda"})],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        *,
        score_model: Literal["stopped", "paper"] = "stopped",
        stop_time: float | Literal["auto"] = "auto",
        half_life: float | Literal["auto"] | None = "auto",
        objective: Literal["quadrature", "monte_carlo"] = "quadrature",
        schedule: Literal["vp", "sub_vp", "ve"] = "vp",
        b: float | ArrayLike | None = None,
        a: float | None = None,
        t_max: float | None = None,
        time_conditioned: bool = True,
        units: Literal["tanh", "cos"] = "tanh",
        n_units: int = 64,
        n_hermite: int = 12,
        n_time_nodes: int = 24,
        max_iter: int | None = None,
        n_steps: int = 200,
        n_synthetic: int = 20_000,
        batch_size: int = 10_000,
        store_precision: bool = True,
        assume_centered: bool = False,
        device: Literal["auto", "cpu", "cuda"] = "auto",
        verbose: int = 0,
        random_state: int | np.random.RandomState | None = None,
    ):
        super().__init__(store_precision=store_precision, assume_centered=assume_centered)
        self.score_model = score_model
        self.stop_time = stop_time
        self.half_life = half_life
        self.objective = objective
        self.schedule = schedule
        self.b = b
        self.a = a
        self.t_max = t_max
        self.time_conditioned = time_conditioned
        self.units = units
        self.n_units = n_units
        self.n_hermite = n_hermite
        self.n_time_nodes = n_time_nodes
        self.max_iter = max_iter
        self.n_steps = n_steps
        self.n_synthetic = n_synthetic
        self.batch_size = batch_size
        self.device = device
        self.verbose = verbose
        self.random_state = random_state

    @_fit_context(prefer_skip_nested_validation=True)
    def fit(self, X: ArrayLike, y: Any = None) -> DiffusionCovarianceEstimator:
        """Fit the law of the rows of `X` and its covariance.

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
        if self.score_model == "paper":
            self._fit_paper(x)
        else:
            self._fit_stopped(x)
        return self

    def _fit_stopped(self, x: np.ndarray) -> None:
        self.location_ = np.zeros(x.shape[1]) if self.assume_centered else x.mean(axis=0)
        centred = x - self.location_
        result = fit_stopped_covariance(centred, self.stop_time, self.half_life)
        self.stop_time_, self.half_life_ = result.stop_time, result.half_life
        self.loss_curve_ = _loss_by_stop_time(result)
        self.stop_times_: np.ndarray | None = result.stop_times[: len(self.loss_curve_)]
        self._set_covariance(result.covariance)
        self.scale_ = np.sqrt(result.covariance.diagonal())
        correlation = result.covariance / np.outer(self.scale_, self.scale_)
        self.law_: Any = StoppedLaw().fit(centred / self.scale_, result.day_weights, correlation)

    def _fit_paper(self, x: np.ndarray) -> None:
        from sklearn_diffusion.returns.hidden_layer import HiddenLayerLaw

        self.stop_time_ = 0.005 if self.stop_time == "auto" else float(self.stop_time)
        self.half_life_ = None if self.half_life == "auto" else self.half_life
        law = HiddenLayerLaw(
            schedule=self._make_schedule(x.shape[1]),
            objective=self.objective,
            units=self.units,
            n_units=self.n_units,
            n_hermite=self.n_hermite,
            n_time_nodes=self.n_time_nodes,
            time_conditioned=self.time_conditioned,
            max_iter=self._paper_iterations(),
            t_min=self.stop_time_,
            n_steps=self.n_steps,
            batch_size=self.batch_size,
            device=resolve_device(self.device),
            verbose=self.verbose,
        )
        if self.n_synthetic <= x.shape[1]:
            raise ValueError(
                f"n_synthetic={self.n_synthetic} samples cannot give a positive definite "
                f"covariance of {x.shape[1]} features."
            )
        random_state = private_random_state(self.random_state)
        weights = recency_weights(len(x), self.half_life_)
        self.location_ = np.zeros(x.shape[1]) if self.assume_centered else weights @ x
        self.scale_ = np.sqrt(weights @ (x - self.location_) ** 2)
        self.law_ = law.fit((x - self.location_) / self.scale_, weights, random_state)
        self.loss_curve_, self.stop_times_ = np.array(law.loss_curve_), None
        synthetic = law.sample(self.n_synthetic, random_state)
        covariance = np.cov(synthetic, rowvar=False).reshape(x.shape[1], x.shape[1])
        self._set_covariance(covariance * np.outer(self.scale_, self.scale_))

    def _paper_iterations(self) -> int:
        if self.max_iter is None:
            return 300 if self.objective == "monte_carlo" else 0
        if self.max_iter == 0 and self.objective == "monte_carlo":
            raise ValueError("max_iter=0 leaves objective='monte_carlo' without any training.")
        return self.max_iter

    def _make_schedule(self, n_features: int) -> Schedule:
        """Schedule of the paper's model, checked before any work is done."""
        from sklearn_diffusion.returns.hidden_layer import SCHEDULES

        exploding = self.schedule == "ve"
        b = (0.01 if exploding else 1.0) if self.b is None else self.b
        a = (1e5 if exploding else 0.0) if self.a is None else self.a
        rates = np.atleast_1d(np.asarray(b, dtype=float))
        if rates.shape not in {(1,), (n_features,)}:
            raise ValueError(
                f"b must be a number or one rate for each of the {n_features} features, got shape "
                f"{rates.shape}."
            )
        kind, rates_list = SCHEDULES[self.schedule], rates.tolist()
        schedule = kind(rates_list, a) if self.t_max is None else kind(rates_list, a, self.t_max)
        if self.stop_time != "auto" and not 0 < self.stop_time < schedule.t_max:
            raise ValueError(
                f"stop_time={self.stop_time} of score_model='paper' must be in (0, t_max): its "
                "score is singular at 0."
            )
        return schedule

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
            `n_samples` fixes it scenario by scenario. The others follow their conditional law.
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
            out[rows] = self.law_.sample(rows.stop - start, rng, given)
            out[rows] *= self.scale_
            out[rows] += self.location_
            if part is not None:  # undo the rounding of the change of units
                out[rows, part.fixed] = part.values
                out[rows, part.bounded] = out[rows, part.bounded].clip(part.low, part.high)
        return out


def _loss_by_stop_time(result: StoppedCovariance) -> np.ndarray:
    """Held-out loss by stopping time, the half-lives weighted as in the average."""
    if result.losses is None:
        return np.array([])
    return np.average(result.losses.mean(0), axis=0, weights=result.weights.sum(1))
