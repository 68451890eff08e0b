"""Tomorrow's implied-volatility surface as a distribution, by a conditional diffusion model."""

from __future__ import annotations

import math
from collections.abc import Iterator
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import pandas as pd
from joblib import Parallel, delayed, effective_n_jobs
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, RegressorMixin, _fit_context
from sklearn.utils import Tags, check_random_state, check_scalar
from sklearn.utils._param_validation import Interval, StrOptions
from sklearn.utils.validation import check_is_fitted, validate_data

from sklearn_diffusion.grid import SurfaceGrid
from sklearn_diffusion.preprocessing.features import ForecastFeatures, check_features
from sklearn_diffusion.surfaces.base import SamplingForecasterMixin
from sklearn_diffusion.surfaces.targets import IncrementCoding, LevelCoding, SurfaceCoding
from sklearn_diffusion.training.callbacks import CallbackSupportMixin, EpochTasks, with_callbacks
from sklearn_diffusion.utils.blocks import day_blocks
from sklearn_diffusion.utils.cells import check_labels, check_volatilities
from sklearn_diffusion.utils.device import resolve_device
from sklearn_diffusion.utils.random_state import draw_seed

if TYPE_CHECKING:
    from sklearn_diffusion.diffusion.denoiser import Denoiser
    from sklearn_diffusion.diffusion.schedule import Schedule

__all__ = ["ConditionalIVSurfaceForecaster"]

# Elements of the largest block of states that the sampler holds at a time.
_MAX_BLOCK = 2**20
# Fewer days than this cannot train a network.
MIN_TRAINING_DAYS = 50


class ConditionalIVSurfaceForecaster(
    SamplingForecasterMixin, CallbackSupportMixin, RegressorMixin, BaseEstimator
):
    r"""Forecast tomorrow's implied-volatility surface as a distribution.

    A conditional diffusion model in the coordinates of `IncrementCoding`: increments of the log
    surface, scaled by their current volatility, along their principal axes. Its denoiser is a
    closed form, a scale mixture on each axis, plus a network trained by denoising score matching
    that starts at zero and is kept only where it beats the closed form on the last training days.
    `paper` gives the model of Jin & Agarwal [1]_ instead: the level of the surface, a U-Net alone.

    Parameters
    ----------
    grid : SurfaceGrid
        Where the surfaces live.
    target : {"increment", "level"}, default="increment"
        What is forecast: the standardised change of the log surface, or its level as in the paper.
        Where the market's level moves on, forecasts of the level break down.
    closed_form : bool, default=True
        Whether the network corrects a closed-form denoiser, instead of being one by itself.
    network : {"mlp", "unet", None}, default="mlp"
        A small perceptron on the scalar conditions, the paper's U-Net on surfaces and scalars, or
        the closed form alone.
    channels : tuple of int, default=(16, 30)
        Channels of the U-Net.
    width : int, default=64
        Width of the perceptron.
    parameterization : {"v", "epsilon", "x0"}, default="v"
        Quantity whose squared error is trained on, and what a network without closed form predicts.
    schedule : {"cosine", "linear"}, default="cosine"
        Noise schedule.
    n_diffusion_steps : int, default=500
        Steps of the schedule.
    sampler : {"multistep", "ddim", "ddpm"}, default="multistep"
        Second-order solver of the probability flow, DDIM, or ancestral sampling.
    n_sampling_steps : int, default=16
        Evaluations of the denoiser for one sample.
    clip_denoised : float or None, default=None
        Bound on the denoised estimate while sampling, in standard deviations; None is off.
    arbitrage_weight : float, default=0.0
        Weight lambda of the arbitrage penalty in the loss, times the signal-to-noise ratio. The
        default model's samples are all but free of arbitrage without it.
    arbitrage_form : {"price", "iv"}, default="price"
        The penalty of eqs. (31)-(33), or the surrogate in volatilities.
    lr : float, default=1e-3
        Learning rate of AdamW.
    weight_decay : float, default=0.01
        Weight decay of AdamW.
    batch_size : int, default=64
        Rows per training step.
    max_epochs : int, default=100
        Largest number of passes over the training days.
    patience : int or None, default=30
        Epochs without improvement on the validation days after which training stops; None never
        does.
    plateau_factor, plateau_patience, min_lr : float, int, float
        The learning rate is multiplied by the factor (default 0.8) after so many epochs without
        improvement (default 300), down to the least rate (default 1e-6).
    clip_norm : float or None, default=None
        Largest norm of the gradient; None is off.
    ema_decay : float or None, default=0.99
        Decay of the moving average of the weights, which is what is used; None is off.
    validation_fraction : float, default=0.15
        Share of the training days, the last ones, that the network is validated on.
    n_predict_samples : int, default=500
        Samples whose mean is `predict`.
    n_jobs : int or None, default=None
        Processes over which a network's sampling is split by days, through joblib.
    device : {"auto", "cpu", "cuda", "mps"}, default="auto"
        Where the network computes; "auto" is CUDA where there is one. Noise is drawn on the CPU.
    verbose : int, default=0
        1 prints a line per epoch.
    random_state : int, RandomState or None, default=None
        Source of the initial weights, of training noise and of the sampling seed.

    Attributes
    ----------
    coding_ : IncrementCoding or LevelCoding
        Standardisation of the targets.
    denoiser_ : Denoiser
        Model of the standardised targets.
    net_ : skorch.NeuralNet or None
        Trainer of the network; it is not pickled.
    network_gain_ : (float, float) or None
        Mean reduction of the held-out loss by the network, and its standard error (see Notes). The
        network is dropped unless the first exceeds twice the second. None without a network, or
        without a closed form to compare with.
    loss_curve_, validation_loss_curve_, learning_rate_curve_ : ndarray of shape (n_epochs,)
        Course of the training; empty without a network.
    n_cells_ : int
        Number of cells of a surface.
    seed_ : int
        Seed of samples that are given no `random_state`.
    n_features_in_ : int
        Number of features.
    feature_names_in_ : ndarray of shape (`n_features_in_`,)
        If `fit` saw a DataFrame.

    Notes
    -----
    All days share one block of noise, so a day's forecast does not depend on which other days are
    asked for, and differences between days are not noise.

    The loss behind `network_gain_` is the squared error of `parameterization`, averaged over cells
    (plus the weighted arbitrage penalty), for eight draws of time and noise a day, the same for
    both models; held out are the last `validation_fraction` of the days, and the standard error
    takes them for independent. It is no estimate of the gain on new days. The epoch was chosen by
    the least loss on these days and draws, which favours the network; the closed form and the
    coding were fitted to all days, these among them, which favours the closed form. On 30 simulated
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
        "target": [StrOptions({"increment", "level"})],
        "closed_form": ["boolean"],
        "network": [StrOptions({"mlp", "unet"}), None],
        "channels": [tuple],
        "width": [Interval(Integral, 1, None, closed="left")],
        "parameterization": [StrOptions({"v", "epsilon", "x0"})],
        "schedule": [StrOptions({"cosine", "linear"})],
        "n_diffusion_steps": [Interval(Integral, 1, None, closed="left")],
        "sampler": [StrOptions({"multistep", "ddim", "ddpm"})],
        "n_sampling_steps": [Interval(Integral, 1, None, closed="left")],
        "clip_denoised": [Interval(Real, 0, None, closed="neither"), None],
        "arbitrage_weight": [Interval(Real, 0, None, closed="left")],
        "arbitrage_form": [StrOptions({"price", "iv"})],
        "lr": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "batch_size": [Interval(Integral, 1, None, closed="left")],
        "max_epochs": [Interval(Integral, 1, None, closed="left")],
        "patience": [Interval(Integral, 1, None, closed="left"), None],
        "plateau_factor": [Interval(Real, 0, 1, closed="neither")],
        "plateau_patience": [Interval(Integral, 0, None, closed="left")],
        "min_lr": [Interval(Real, 0, None, closed="left")],
        "clip_norm": [Interval(Real, 0, None, closed="neither"), None],
        "ema_decay": [Interval(Real, 0, 1, closed="neither"), None],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_predict_samples": [Interval(Integral, 2, None, closed="left")],
        "n_jobs": [Integral, None],
        "device": [StrOptions({"auto", "cpu", "cuda", "mps"})],
        "verbose": ["verbose"],
        "random_state": ["random_state"],
    }

    def __init__(
        self,
        grid: SurfaceGrid,
        *,
        target: Literal["increment", "level"] = "increment",
        closed_form: bool = True,
        network: Literal["mlp", "unet"] | None = "mlp",
        channels: tuple[int, ...] = (16, 30),
        width: int = 64,
        parameterization: Literal["v", "epsilon", "x0"] = "v",
        schedule: Literal["cosine", "linear"] = "cosine",
        n_diffusion_steps: int = 500,
        sampler: Literal["multistep", "ddim", "ddpm"] = "multistep",
        n_sampling_steps: int = 16,
        clip_denoised: float | None = None,
        arbitrage_weight: float = 0.0,
        arbitrage_form: Literal["price", "iv"] = "price",
        lr: float = 1e-3,
        weight_decay: float = 0.01,
        batch_size: int = 64,
        max_epochs: int = 100,
        patience: int | None = 30,
        plateau_factor: float = 0.8,
        plateau_patience: int = 300,
        min_lr: float = 1e-6,
        clip_norm: float | None = None,
        ema_decay: float | None = 0.99,
        validation_fraction: float = 0.15,
        n_predict_samples: int = 500,
        n_jobs: int | None = None,
        device: Literal["auto", "cpu", "cuda", "mps"] = "auto",
        verbose: int = 0,
        random_state: int | np.random.RandomState | None = None,
    ):
        self.grid = grid
        self.target = target
        self.closed_form = closed_form
        self.network = network
        self.channels = channels
        self.width = width
        self.parameterization = parameterization
        self.schedule = schedule
        self.n_diffusion_steps = n_diffusion_steps
        self.sampler = sampler
        self.n_sampling_steps = n_sampling_steps
        self.clip_denoised = clip_denoised
        self.arbitrage_weight = arbitrage_weight
        self.arbitrage_form = arbitrage_form
        self.lr = lr
        self.weight_decay = weight_decay
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.patience = patience
        self.plateau_factor = plateau_factor
        self.plateau_patience = plateau_patience
        self.min_lr = min_lr
        self.clip_norm = clip_norm
        self.ema_decay = ema_decay
        self.validation_fraction = validation_fraction
        self.n_predict_samples = n_predict_samples
        self.n_jobs = n_jobs
        self.device = device
        self.verbose = verbose
        self.random_state = random_state

    @classmethod
    def paper(cls, grid: SurfaceGrid | None = None, **changes: Any) -> Self:
        """Forecaster with the configuration of the paper (section 5.2).

        A U-Net alone predicts the noise in the level of the log surface: 500 cosine steps, AdamW at
        3e-4 in batches of 64 for up to 2000 epochs with the plateau schedule, gradients clipped at
        0.15, averaged weights, an arbitrage penalty of 0.01, ancestral sampling. The paper
        validates on 10 % of all days after 80 % of training, a ninth of what `fit` is given. Two
        values it leaves unsaid: training stops after 300 epochs without improvement, as many as the
        plateau schedule waits, and denoised estimates are bounded at five standard deviations,
        without which samples can explode.

        Parameters
        ----------
        grid : SurfaceGrid, default=None
            None is the paper's 9 x 9 grid.
        **changes
            Parameters to set otherwise.

        Returns
        -------
        forecaster : ConditionalIVSurfaceForecaster
        """
        settings: dict[str, Any] = {
            "target": "level",
            "closed_form": False,
            "network": "unet",
            "parameterization": "epsilon",
            "sampler": "ddpm",
            "n_sampling_steps": 500,
            "clip_denoised": 5.0,
            "arbitrage_weight": 0.01,
            "lr": 3e-4,
            "max_epochs": 2000,
            "patience": 300,
            "clip_norm": 0.15,
            "ema_decay": 0.995,
            "validation_fraction": 1 / 9,
        }
        return cls(SurfaceGrid.paper() if grid is None else grid, **{**settings, **changes})

    @with_callbacks
    @_fit_context(prefer_skip_nested_validation=True)
    def fit(
        self, X: ArrayLike | pd.DataFrame, y: ArrayLike | pd.DataFrame
    ) -> ConditionalIVSurfaceForecaster:
        """Fit the law of tomorrow's surface given today's features.

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

        Notes
        -----
        An interrupt (Ctrl-C) ends the training, not the fit: the best weights so far are kept.
        """
        from sklearn_diffusion.surfaces.model import fit_closed_form, make_schedule

        if self.network is None and not self.closed_form:
            raise ValueError("closed_form=False needs a network: there is nothing else to fit.")
        if not self.channels or not all(isinstance(n, Integral) and n > 0 for n in self.channels):
            raise ValueError(f"channels must be positive integers, got {self.channels!r}.")
        features, targets = self._validate_fit(X, y)
        tasks = EpochTasks(self, 0 if self.network is None else self.max_epochs, X, y)
        rng = check_random_state(draw_seed(self.random_state))
        self.seed_ = draw_seed(rng)
        self.n_cells_ = targets.shape[1]
        coding: SurfaceCoding = IncrementCoding() if self.target == "increment" else LevelCoding()
        self.coding_ = coding.fit(features, targets)
        w = self.coding_.encode(features, targets)
        self.net_: Any = None
        self.network_gain_: tuple[float, float] | None = None
        self.loss_curve_ = self.validation_loss_curve_ = self.learning_rate_curve_ = np.array([])
        schedule = make_schedule(self.schedule, self.n_diffusion_steps)
        base = fit_closed_form(w, self.coding_.day_weights_, schedule) if self.closed_form else None
        if self.network is None:
            self.denoiser_: Any = base
        else:
            self._fit_network(features, w, schedule, base, draw_seed(rng), tasks)
        tasks.end_fit()
        return self

    def _fit_network(
        self,
        features: ForecastFeatures,
        w: NDArray,
        schedule: Schedule,
        base: Denoiser | None,
        seed: int,
        tasks: EpochTasks,
    ) -> None:
        import torch

        from sklearn_diffusion.diffusion.denoiser import CorrectedDenoiser, NetworkDenoiser
        from sklearn_diffusion.surfaces.model import (
            CodedPenalty,
            UniformSteps,
            loss_reduction,
            make_network,
        )
        from sklearn_diffusion.training.loop import ReportEpochs, train_denoiser
        from sklearn_diffusion.training.loss import DenoisingLoss

        device = resolve_device(self.device)
        n_validation = max(1, round(self.validation_fraction * len(w)))
        if len(w) - n_validation < MIN_TRAINING_DAYS:
            raise ValueError(
                f"X has {len(w)} days, of which {n_validation} validate the network: fewer than "
                f"{MIN_TRAINING_DAYS} are left to train on. Use more days, or network=None."
            )
        condition = self._condition(features)
        assert self.network is not None
        network = make_network(
            self.network,
            self.grid,
            condition.shape[1],
            width=self.width,
            channels=self.channels,
            zero_output=self.closed_form,
            seed=seed,
            axes=self.coding_.axes_ if self.target == "increment" else None,
        )
        denoiser: Denoiser = (
            NetworkDenoiser(network, schedule, self.parameterization)
            if base is None
            else CorrectedDenoiser(base, network)
        )
        arrays = {"x_0": w, "condition": condition}
        penalty = None
        if self.arbitrage_weight > 0:
            way = self.coding_.affine(features)
            arrays["context"] = np.hstack([way.offset, way.scale])
            penalty = CodedPenalty(self.grid, self.arbitrage_form, torch.from_numpy(way.basis))
        data = {name: torch.from_numpy(values).float() for name, values in arrays.items()}
        loss = DenoisingLoss(
            denoiser,
            UniformSteps(self.n_diffusion_steps),
            seed,
            self.parameterization,
            average=True,
            penalty=penalty,
            penalty_weight=self.arbitrage_weight,
        ).float()
        history = train_denoiser(
            loss,
            data,
            n_validation=n_validation,
            max_epochs=self.max_epochs,
            batch_size=self.batch_size,
            lr=self.lr,
            weight_decay=self.weight_decay,
            clip_norm=self.clip_norm,
            ema_decay=self.ema_decay,
            plateau=(self.plateau_factor, self.plateau_patience, self.min_lr),
            patience=self.patience,
            device=device,
            verbose=self.verbose,
            callbacks=[("report", ReportEpochs(tasks))],
        )
        self.net_ = history.net
        self.loss_curve_ = np.array(history.loss_curve)
        self.validation_loss_curve_ = np.array(history.validation_loss_curve)
        self.learning_rate_curve_ = np.array(history.learning_rate_curve)
        loss = loss.cpu()
        self.denoiser_ = loss.denoiser
        if base is not None:
            held_out = {name: values[-n_validation:] for name, values in data.items()}
            self.network_gain_ = gain, error = loss_reduction(loss, base, held_out)
            if gain <= 2 * error:
                self.denoiser_ = base

    def _condition(self, features: ForecastFeatures) -> NDArray:
        """What the network is conditioned on, (n_days, n_condition)."""
        scalars = self.coding_.scalars(features)
        if self.network == "mlp":
            return scalars
        return np.hstack([self.coding_.surfaces(features), scalars])

    def predict(self, X: ArrayLike | pd.DataFrame) -> NDArray:
        """Mean of tomorrow's surface, over `n_predict_samples` samples.

        Parameters
        ----------
        X : array-like of shape (n_days, n_features)
            Features.

        Returns
        -------
        y : ndarray of shape (n_days, n_cells)
            In volatility units.
        """
        features = self._validate_predict(X)
        n = self.n_predict_samples
        blocks = [block.mean(axis=0) for block in self._sample_blocks(features, n)]
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
        check_scalar(n_samples, "n_samples", Integral, min_val=1)
        blocks = list(self._sample_blocks(features, n_samples, random_state))
        return np.concatenate(blocks, axis=1)

    def _sample_blocks(
        self,
        features: ForecastFeatures,
        n_samples: int,
        random_state: int | np.random.RandomState | None = None,
    ) -> Iterator[NDArray]:
        """Samples (n_samples, n_block, n_cells) of blocks of days that fit into memory."""
        from sklearn_diffusion.diffusion.scale_mixture import ScaleMixtureDenoiser

        seed = draw_seed(self.seed_ if random_state is None else random_state)
        n_days, per_day = len(features.today), n_samples * self.n_cells_
        share = math.ceil(n_days / effective_n_jobs(self.n_jobs))
        blocks = [
            ForecastFeatures(*(part[days] for part in features))
            for days in day_blocks(n_days, per_day, min(_MAX_BLOCK, share * per_day))
        ]
        if isinstance(self.denoiser_, ScaleMixtureDenoiser):
            # The law is the same every day: one walk of the noise serves them all.
            w = self._draw_targets(n_samples, seed)
            return (self.coding_.affine(block).to_volatility(w) for block in blocks)
        parallel = Parallel(n_jobs=self.n_jobs, return_as="generator")
        return parallel(delayed(self._sample_block)(block, n_samples, seed) for block in blocks)

    def _sample_block(self, features: ForecastFeatures, n_samples: int, seed: int) -> NDArray:
        w = self._draw_targets(n_samples, seed, self._condition(features))
        return self.coding_.affine(features).to_volatility(w)

    def _draw_targets(self, n_samples: int, seed: int, condition: NDArray | None = None) -> NDArray:
        from sklearn_diffusion.surfaces.sampling import draw_targets, make_sampler

        return draw_targets(
            self.denoiser_,
            n_samples,
            self.n_cells_,
            seed,
            condition,
            sampler=make_sampler(self.sampler, self.n_sampling_steps),
            bound=self.clip_denoised,
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
