"""Tomorrow's implied-volatility surface as a distribution, by a conditional diffusion model."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from copy import deepcopy
from numbers import Integral
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import pandas as pd
from joblib import Parallel, delayed, effective_n_jobs
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, _fit_context, clone
from sklearn.utils import Tags, check_random_state
from sklearn.utils._param_validation import HasMethods, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from sklearn_diffusion.grid import SurfaceGrid
from sklearn_diffusion.preprocessing.features import ForecastFeatures, check_features
from sklearn_diffusion.surfaces.base import SamplingForecasterMixin
from sklearn_diffusion.surfaces.networks import Perceptron, UNet
from sklearn_diffusion.surfaces.targets import IncrementTarget, LevelTarget, SurfaceTarget
from sklearn_diffusion.surfaces.training import Training
from sklearn_diffusion.training.callbacks import CallbackSupportMixin, EpochTasks, with_callbacks
from sklearn_diffusion.utils.arrays import as_float_table
from sklearn_diffusion.utils.blocks import day_blocks
from sklearn_diffusion.utils.cells import check_labels, check_volatilities
from sklearn_diffusion.utils.device import resolve_device
from sklearn_diffusion.utils.parameters import (
    Count,
    NestedParametersMixin,
    check_positive_integer,
    resolve_part,
)
from sklearn_diffusion.utils.random_state import draw_seed
from sklearn_diffusion.utils.refit import all_or_nothing

if TYPE_CHECKING:
    from sklearn_diffusion.diffusion.denoiser import Denoiser
    from sklearn_diffusion.diffusion.sampler import Sampler
    from sklearn_diffusion.diffusion.schedule import Schedule

__all__ = ["ConditionalIVSurfaceForecaster"]

_MAX_BLOCK = 2**20  # elements of the largest block of states that the sampler holds

_TARGETS: dict[Any, Callable[[], Any]] = {"increment": IncrementTarget, "level": LevelTarget}
_NETWORKS: dict[Any, Callable[[], Any]] = {"mlp": Perceptron, "unet": UNet, None: lambda: None}
_TRAININGS: dict[Any, Callable[[], Any]] = {"default": Training, "paper": Training.paper}


class ConditionalIVSurfaceForecaster(
    NestedParametersMixin,
    SamplingForecasterMixin,
    CallbackSupportMixin,
    BaseEstimator,
):
    r"""Forecast tomorrow's implied-volatility surface as a distribution.

    A conditional diffusion model in the coordinates of `IncrementTarget`: increments of the log
    surface, scaled by their current volatility, along their principal axes. Its denoiser is a
    closed form, a scale mixture on each axis, plus a network trained by denoising score matching
    that starts at zero and is kept only where it beats the closed form on the last training days.
    `paper` gives the model of Jin & Agarwal [1]_ instead: the level of the surface, a U-Net alone.

    Parameters
    ----------
    grid : SurfaceGrid
        Where the surfaces live.
    target : {"increment", "level"} or SurfaceTarget, default="increment"
        What is forecast: the standardised change of the log surface (`IncrementTarget`), or its
        level as in the paper (`LevelTarget`). Where the market's level moves on, forecasts of the
        level break down.
    closed_form : bool or object, default=True
        Denoiser in closed form, which the network corrects: True is
        `sklearn_diffusion.diffusion.ScaleMixture`, False none. An object with
        ``fit_denoiser(x_0, weights, schedule) -> Denoiser`` is a score model of your own.
    network : {"mlp", "unet", None} or object, default="mlp"
        A small perceptron on the scalar conditions (`Perceptron`), the paper's U-Net on surfaces
        and scalars (`UNet`), or the closed form alone. See `sklearn_diffusion.surfaces.networks`
        for one of your own.
    schedule : {"cosine", "linear"} or Schedule, default="cosine"
        Noise schedule; by name, of 500 steps.
    parameterization : {"v", "epsilon", "x0", "velocity"}, default="v"
        Quantity whose squared error is trained on, and what a network without closed form predicts.
    sampler : {"multistep", "ddim", "ddpm"} or Sampler, default="multistep"
        Second-order solver of the probability flow, DDIM, or ancestral sampling.
    n_sampling_steps : int or None, default=None
        Steps of a sampler given by name; None is 16, 50 for "ddim" and all steps of the schedule
        for "ddpm".
    training : {"default", "paper"} or Training, default="default"
        How the network is trained; without a network nothing is.
    n_jobs : int or None, default=None
        Processes over which a network's sampling is split by days, through joblib.
    device : {"auto", "cpu", "cuda", "mps"}, default="auto"
        Where the network computes; "auto" is CUDA where there is one. Noise is drawn on the CPU.
    random_state : int, RandomState or None, default=None
        Source of the initial weights, of training noise and of the sampling seed.

    Attributes
    ----------
    target_ : SurfaceTarget
        Standardisation of the targets.
    denoiser_ : Denoiser
        Model of the standardised targets.
    net_ : skorch.NeuralNet or None
        Trainer of the network; it is not pickled.
    network_gain_ : (float, float) or None
        Mean reduction of the held-out loss by the network, and its standard error (see Notes). The
        network is dropped unless the first exceeds `min_gain` of `training`, twice by default,
        the second. None without a network, or
        without a closed form to compare with.
    loss_curve_, validation_loss_curve_, learning_rate_curve_ : ndarray of shape (n_epochs,)
        Course of the training; empty without a network.
    network_kept_ : bool
        Whether a network takes part in the forecasts.
    n_cells_, seed_ : int
        Number of cells of a surface, and seed of samples that are given no `random_state`.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        If `fit` saw a DataFrame.

    Notes
    -----
    All days share one block of noise, so a day's forecast does not depend on which other days are
    asked for, and differences between days are not noise.

    The loss behind `network_gain_` is the squared error of `parameterization`, averaged over cells
    (plus the weighted arbitrage penalty), for several draws of time and noise a day, the same for
    both models; held out are the last days, and the standard error
    takes them for independent. It is no estimate of the gain on new days. The epoch was chosen by
    the least loss on these days and draws, which favours the network; the closed form and the
    target were fitted to all days, these among them, which favours the closed form. On 30 simulated
    panels of 700 days with nothing to learn, the gain exceeded that on new days by half a standard
    error on average, and never reached two.

    References
    ----------
    .. [1] Jin & Agarwal, "Forecasting implied volatility surface with generative diffusion
           models", arXiv:2511.07571, 2025.

    Examples
    --------
    >>> from sklearn_diffusion import ConditionalIVSurfaceForecaster, make_forecast_frame
    >>> from sklearn_diffusion.datasets import make_iv_surfaces
    >>> market = make_iv_surfaces(300, random_state=0)
    >>> X, y = make_forecast_frame(market.surfaces, market.spot, market.vix, dates=market.dates)
    >>> model = ConditionalIVSurfaceForecaster(market.grid, network=None, random_state=0)
    >>> model.fit(X[:250], y[:250]).sample(X[250:], n_samples=10).shape
    (10, 48, 81)
    """

    _parameter_constraints: dict = {
        "grid": [SurfaceGrid],
        "target": [StrOptions(set(_TARGETS)), HasMethods(["fit", "affine", "encode"])],
        "closed_form": ["boolean", HasMethods("fit_denoiser")],
        "network": [StrOptions({"mlp", "unet"}), None, HasMethods("build")],
        "schedule": [StrOptions({"cosine", "linear"}), HasMethods(["alpha", "sigma"])],
        "parameterization": [StrOptions({"v", "epsilon", "x0", "velocity"})],
        "sampler": [StrOptions({"multistep", "ddim", "ddpm"}), HasMethods("sample")],
        "n_sampling_steps": [Count(), None],
        "training": [StrOptions(set(_TRAININGS)), Training],
        "n_jobs": [Integral, None],
        "device": [StrOptions({"auto", "cpu", "cuda", "mps"})],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        grid: SurfaceGrid,
        *,
        target: Literal["increment", "level"] | SurfaceTarget = "increment",
        closed_form: bool | Any = True,
        network: Literal["mlp", "unet"] | Any | None = "mlp",
        schedule: Literal["cosine", "linear"] | Schedule = "cosine",
        parameterization: Literal["v", "epsilon", "x0", "velocity"] = "v",
        sampler: Literal["multistep", "ddim", "ddpm"] | Sampler = "multistep",
        n_sampling_steps: int | None = None,
        training: Literal["default", "paper"] | Training = "default",
        n_jobs: int | None = None,
        device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
        random_state: int | np.random.RandomState | None = None,
    ):
        self.grid = grid
        self.target = target
        self.closed_form = closed_form
        self.network = network
        self.schedule = schedule
        self.parameterization = parameterization
        self.sampler = sampler
        self.n_sampling_steps = n_sampling_steps
        self.training = training
        self.n_jobs = n_jobs
        self.device = device
        self.random_state = random_state

    @classmethod
    def paper(cls, grid: SurfaceGrid | None = None, **changes: Any) -> Self:
        """Forecaster with the configuration of the paper (section 5.2).

        A U-Net alone predicts the noise in the level of the log surface: 500 cosine steps, trained
        as `Training.paper` says, ancestral sampling. One value it leaves unsaid: denoised estimates
        are bounded at five standard deviations, without which samples can explode.

        Parameters
        ----------
        grid : SurfaceGrid, default=None
            None is the paper's 9 x 9 grid.
        **changes
            Parameters to set otherwise, as by `set_params`: ``training__max_epochs=10``,
            ``sampler__n_steps=50``. `n_sampling_steps` is the latter.

        Returns
        -------
        forecaster : ConditionalIVSurfaceForecaster
        """
        from sklearn_diffusion.diffusion.discrete_schedule import CosineSchedule
        from sklearn_diffusion.diffusion.sampler import DDPM

        forecaster = cls(
            SurfaceGrid.paper() if grid is None else grid,
            target="level",
            closed_form=False,
            network=UNet(),
            schedule=CosineSchedule(500),
            parameterization="epsilon",
            sampler=DDPM(500, clip_denoised=5.0),
            training=Training.paper(),
        )
        if "n_sampling_steps" in changes and "sampler" not in changes:
            changes["sampler__n_steps"] = changes.pop("n_sampling_steps")
        return forecaster.set_params(**changes)

    @all_or_nothing
    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X: ArrayLike | pd.DataFrame, y: ArrayLike | pd.DataFrame
    ) -> ConditionalIVSurfaceForecaster:
        """Fit the distribution of tomorrow's surface given today's features.

        Parameters
        ----------
        X : array-like of shape (n_days, n_features)
            Features as made by `make_forecast_frame`, in time order.
        y : array-like of shape (n_days, n_cells)
            Tomorrow's surfaces in volatility units.

        Returns
        -------
        self : ConditionalIVSurfaceForecaster

        Raises
        ------
        ValueError
            If shapes or labels of columns do not match the grid, a value is missing (named by day
            and column), a volatility is not positive, dates are out of order or differ between X
            and y, or there are too few days.
        FloatingPointError
            If the training of the network diverges.

        Notes
        -----
        An interrupt (Ctrl-C) leaves the forecaster as it was; see `on_interrupt` of `Training`.
        """
        import torch

        network = resolve_part(self.network, "network", _NETWORKS)
        training = resolve_part(self.training, "training", _TRAININGS)
        resolve_part(training.penalty, "penalty", {None: lambda: None})
        if network is None and self.closed_form is False:
            raise ValueError("closed_form=False needs a network: there is nothing else to fit.")
        closed_form = self._resolve_closed_form()
        schedule = deepcopy(self._resolve_schedule())
        target = clone(resolve_part(self.target, "target", _TARGETS))
        self._make_sampler(schedule)  # refused before any work is done
        features, targets = self._validate_fit(X, y)
        tasks = EpochTasks(self, 0 if network is None else training.max_epochs, X, y)
        rng = check_random_state(draw_seed(self.random_state))
        self.seed_ = draw_seed(rng)
        self.n_cells_ = targets.shape[1]
        self.target_ = target.fit(features, targets)
        w = self.target_.encode(features, targets)
        self.net_: Any = None
        self.network_gain_: tuple[float, float] | None = None
        self.network_kept_ = False
        self.loss_curve_ = self.validation_loss_curve_ = self.learning_rate_curve_ = np.array([])
        base = None
        if closed_form is not None:
            weights = torch.from_numpy(self.target_.day_weights_)
            base = closed_form.fit_denoiser(torch.from_numpy(w), weights, schedule)
        if network is None:
            self.denoiser_: Any = base
        else:
            self._fit_network(network, training, features, w, schedule, base, draw_seed(rng), tasks)
        tasks.end_fit()
        return self

    def _resolve_closed_form(self) -> Any:
        """Score model of the closed form, or None."""
        from sklearn_diffusion.diffusion.scale_mixture import ScaleMixture

        if self.closed_form is False:
            return None
        model = ScaleMixture() if self.closed_form is True else self.closed_form
        return resolve_part(model, "closed_form", {})

    def _fit_network(
        self,
        network: Any,
        training: Training,
        features: ForecastFeatures,
        w: NDArray,
        schedule: Schedule,
        base: Denoiser | None,
        seed: int,
        tasks: EpochTasks,
    ) -> None:
        from sklearn_diffusion.surfaces.network_fit import fit_network

        self._uses_surfaces = bool(network.uses_surfaces)
        module = network.build(
            self.grid,
            self.target_.scalars(features).shape[1],
            zero_output=base is not None,
            seed=seed,
            axes=self.target_.axes_,
        )
        fitted = fit_network(
            module,
            base,
            schedule,
            self.parameterization,
            training,
            targets=w,
            condition=self._condition(features),
            affine=self.target_.affine(features),
            grid=self.grid,
            seed=seed,
            device=resolve_device(self.device),
            tasks=tasks,
        )
        self.denoiser_, self.network_kept_ = fitted.denoiser, fitted.kept
        self.network_gain_, self.net_ = fitted.gain, fitted.history.net
        self.loss_curve_ = np.array(fitted.history.loss_curve)
        self.validation_loss_curve_ = np.array(fitted.history.validation_loss_curve)
        self.learning_rate_curve_ = np.array(fitted.history.learning_rate_curve)

    def _resolve_schedule(self) -> Schedule:
        from sklearn_diffusion.diffusion.discrete_schedule import CosineSchedule, LinearSchedule

        named = {"cosine": lambda: CosineSchedule(500), "linear": lambda: LinearSchedule(500)}
        return resolve_part(self.schedule, "schedule", named)

    def _make_sampler(self, schedule: Schedule) -> Sampler:
        from sklearn_diffusion.surfaces.sampling import resolve_sampler

        return resolve_sampler(self.sampler, self.n_sampling_steps, schedule)

    def _condition(self, features: ForecastFeatures) -> NDArray:
        """What the network is conditioned on, (n_days, n_condition)."""
        scalars = self.target_.scalars(features)
        if not self._uses_surfaces:
            return scalars
        return np.hstack([self.target_.surfaces(features), scalars])

    def predict(self, X: ArrayLike | pd.DataFrame, *, n_samples: int = 500) -> NDArray:
        """Mean of tomorrow's surface, over samples.

        Parameters
        ----------
        X : array-like of shape (n_days, n_features)
            Features.
        n_samples : int, default=500
            Number of samples whose mean is taken.

        Returns
        -------
        y : ndarray of shape (n_days, n_cells)
            In volatility units.
        """
        features = self._validate_predict(X)
        check_positive_integer(n_samples, "n_samples")
        blocks = [block.mean(axis=0) for block in self._sample_blocks(features, n_samples)]
        return np.concatenate(blocks)

    def sample(
        self,
        X: ArrayLike | pd.DataFrame,
        n_samples: int = 100,
        random_state: int | np.random.RandomState | None = None,
    ) -> NDArray:
        """Draw tomorrow's surfaces.

        Parameters
        ----------
        X : array-like of shape (n_days, n_features)
            Features.
        n_samples : int, default=100
            Number of scenarios for each day.
        random_state : int, RandomState or None, default=None
            Source of the noise; None is the seed fixed in `fit`.

        Returns
        -------
        surfaces : ndarray of shape (n_samples, n_days, n_cells)
            In volatility units. All days share the noise.
        """
        features = self._validate_predict(X)
        check_positive_integer(n_samples, "n_samples")
        blocks = list(self._sample_blocks(features, n_samples, random_state))
        return np.concatenate(blocks, axis=1)

    def _sample_blocks(
        self,
        features: ForecastFeatures,
        n_samples: int,
        random_state: int | np.random.RandomState | None = None,
    ) -> Iterator[NDArray]:
        """Samples (n_samples, n_block, n_cells) of blocks of days that fit into memory."""
        seed = draw_seed(self.seed_ if random_state is None else random_state)
        n_days, per_day = len(features.today), n_samples * self.n_cells_
        share = math.ceil(n_days / effective_n_jobs(self.n_jobs))
        blocks = [
            ForecastFeatures(*(part[days] for part in features))
            for days in day_blocks(n_days, per_day, min(_MAX_BLOCK, share * per_day))
        ]
        if not self.network_kept_:
            # The distribution is the same every day: one walk of the noise serves them all.
            w = self._draw_targets(n_samples, seed)
            return (self.target_.affine(block).to_volatility(w) for block in blocks)
        parallel = Parallel(n_jobs=self.n_jobs, return_as="generator")
        return parallel(delayed(self._sample_block)(block, n_samples, seed) for block in blocks)

    def _sample_block(self, features: ForecastFeatures, n_samples: int, seed: int) -> NDArray:
        w = self._draw_targets(n_samples, seed, self._condition(features))
        return self.target_.affine(features).to_volatility(w)

    def _draw_targets(self, n_samples: int, seed: int, condition: NDArray | None = None) -> NDArray:
        from sklearn_diffusion.surfaces.sampling import draw_targets

        return draw_targets(
            self.denoiser_,
            n_samples,
            self.n_cells_,
            seed,
            condition,
            sampler=self._make_sampler(self.denoiser_.schedule),
            device=self.device,
        )

    def _validate_fit(
        self, X: ArrayLike | pd.DataFrame, y: ArrayLike | pd.DataFrame
    ) -> tuple[ForecastFeatures, NDArray]:
        _, targets = self._validate_days(X, y, ensure_all_finite=False, ensure_min_samples=2)
        if targets.shape[1] != self.grid.n_cells:
            raise ValueError(
                f"y must have the {self.grid.n_cells} cells of the grid, got shape {targets.shape}."
            )
        days = None
        if isinstance(y, pd.DataFrame):
            days = y.index
            check_labels(y.columns, self.grid.cell_names, "y")
        check_volatilities(targets, days=days, cells=self.grid.cell_names, what="volatilities of y")
        return self._split(X), targets

    def _validate_predict(self, X: ArrayLike | pd.DataFrame) -> ForecastFeatures:
        check_is_fitted(self)
        X = as_float_table(X, "X")
        validate_data(self, X, reset=False, dtype=np.float64, ensure_all_finite=False)
        return self._split(X)

    def _split(self, X: ArrayLike | pd.DataFrame) -> ForecastFeatures:
        return check_features(X, self.grid)

    def __getstate__(self) -> dict[str, Any]:
        # The trainer holds optimiser state and closures that do not pickle, and nothing fitted.
        return {key: value for key, value in super().__getstate__().items() if key != "net_"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        if "seed_" in state:
            self.net_ = None

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        tags.target_tags.single_output = False
        tags.target_tags.positive_only = True
        tags.input_tags.positive_only = True
        tags.regressor_tags.poor_score = True
        return tags
