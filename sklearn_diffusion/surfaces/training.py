"""How a surface forecaster's network is trained, as an object with its own parameters."""

from __future__ import annotations

from numbers import Real
from typing import Any, Literal, Self

from sklearn.base import BaseEstimator
from sklearn.utils._param_validation import HasMethods, Interval, StrOptions

from sklearn_diffusion.utils.parameters import Count

__all__ = ["ArbitragePenalty", "Training"]


class ArbitragePenalty(BaseEstimator):
    """Charge for static arbitrage, weighted by the signal-to-noise ratio (paper C, eqs. (40)-(41)).

    Parameters
    ----------
    weight : float, default=0.01
        Weight lambda of the penalty in the loss: the paper's.
    form : {"price", "iv"}, default="price"
        The penalty of eqs. (31)-(33), or the surrogate in volatilities.
    rate : float, default=0.0
        Continuously compounded interest rate, a year. It does not enter the surrogate.
    bound : float, default=10.0
        Standard deviations at which denoised estimates are cut off before they are charged. Chosen
        by judgement: an untrained network is that far off where there is hardly any signal.
    """

    _parameter_constraints: dict = {
        "weight": [Interval(Real, 0, 1e6, closed="both")],
        "form": [StrOptions({"price", "iv"})],
        "rate": [Interval(Real, -10, 10, closed="neither")],
        "bound": [Interval(Real, 0, 1e6, closed="neither")],
    }

    def __init__(
        self,
        *,
        weight: float = 0.01,
        form: Literal["price", "iv"] = "price",
        rate: float = 0.0,
        bound: float = 10.0,
    ):
        self.weight = weight
        self.form = form
        self.rate = rate
        self.bound = bound


class Training(BaseEstimator):
    """Training by AdamW on the first days, validated on the last.

    The defaults were chosen by judgement, and looked at on the SSE 50 and S&P 500 panels of the
    benchmarks: there the network is kept or dropped by the data, and matters little. `paper` has
    the paper's values.

    Parameters
    ----------
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
    n_evaluation_draws : int, default=8
        Draws of time and noise for each validation day, the same in every epoch.
    min_days : int, default=50
        Fewer days than this cannot train a network.
    min_gain : float, default=2.0
        Standard errors by which the network has to lower the loss of a closed form on the
        validation days to be kept.
    on_interrupt : {"raise", "keep"}, default="raise"
        What Ctrl-C means: an interrupted fit, which leaves the forecaster as it was, or the end of
        the training, after which the best weights so far are kept with a warning. In a search or a
        cross-validation "keep" would score a model that was hardly trained like any other.
    penalty : ArbitragePenalty or None, default=None
        Charge for arbitrage. The default model's samples are all but free of it without.
    verbose : int, default=0
        1 prints a line per epoch.
    """

    _parameter_constraints: dict = {
        "lr": [Interval(Real, 0, None, closed="neither")],
        "weight_decay": [Interval(Real, 0, None, closed="left")],
        "batch_size": [Count()],
        "max_epochs": [Count()],
        "patience": [Count(), None],
        "plateau_factor": [Interval(Real, 0, 1, closed="neither")],
        "plateau_patience": [Count(0)],
        "min_lr": [Interval(Real, 0, None, closed="left")],
        "clip_norm": [Interval(Real, 0, None, closed="neither"), None],
        "ema_decay": [Interval(Real, 0, 1, closed="neither"), None],
        "validation_fraction": [Interval(Real, 0, 1, closed="neither")],
        "n_evaluation_draws": [Count()],
        "min_days": [Count()],
        "min_gain": [Interval(Real, None, None, closed="neither")],
        "on_interrupt": [StrOptions({"raise", "keep"})],
        "penalty": [HasMethods("get_params"), None],
        "verbose": ["verbose"],
    }

    def __init__(
        self,
        *,
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
        n_evaluation_draws: int = 8,
        min_days: int = 50,
        min_gain: float = 2.0,
        on_interrupt: Literal["raise", "keep"] = "raise",
        penalty: ArbitragePenalty | None = None,
        verbose: int = 0,
    ):
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
        self.n_evaluation_draws = n_evaluation_draws
        self.min_days = min_days
        self.min_gain = min_gain
        self.on_interrupt = on_interrupt
        self.penalty = penalty
        self.verbose = verbose

    @classmethod
    def paper(cls, **changes: Any) -> Self:
        """Training of Jin & Agarwal (arXiv:2511.07571, section 5.2).

        AdamW at 3e-4 in batches of 64 for up to 2000 epochs with the plateau schedule, gradients
        clipped at 0.15, averaged weights, an arbitrage penalty of 0.01. The paper validates on 10 %
        of all days after 80 % of training, a ninth of what `fit` is given. It leaves the patience
        unsaid: as many epochs as the plateau schedule waits.

        Parameters
        ----------
        **changes
            Parameters to set otherwise.

        Returns
        -------
        training : Training
        """
        settings: dict[str, Any] = {
            "lr": 3e-4,
            "max_epochs": 2000,
            "patience": 300,
            "clip_norm": 0.15,
            "ema_decay": 0.995,
            "validation_fraction": 1 / 9,
            "penalty": ArbitragePenalty(weight=0.01),
        }
        return cls(**{**settings, **changes})
