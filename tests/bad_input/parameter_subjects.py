"""Everything public that takes numbers as parameters, and the displays."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import torch
from bad_input.subjects import (
    GRID,
    NO_DATES,
    copy,
    forecast_frame,
    market,
    quotes,
    returns,
    simulated,
    subject,
    surfaces,
    truth_and_samples,
    unordered,
)

import sklearn_diffusion.diffusion as d
from sklearn_diffusion import (
    ConditionalIVSurfaceForecaster,
    DiffusionCovarianceEstimator,
    EWMAConditioner,
    SurfaceGrid,
    SurfaceSmoother,
)
from sklearn_diffusion.baselines import RecencyWeightedShrinkage
from sklearn_diffusion.datasets import SSVIMarket, make_factor_returns, make_iv_surfaces
from sklearn_diffusion.plotting import (
    ArbitrageDisplay,
    FanDisplay,
    LossCurveDisplay,
    QQDisplay,
    ReliabilityDisplay,
    SpectrumDisplay,
    SurfaceDisplay,
)
from sklearn_diffusion.returns import EarlyStopping, HiddenLayer, KernelMixture
from sklearn_diffusion.surfaces import ArbitragePenalty, IncrementTarget, Perceptron, Training


def numeric_parameters(function: Callable[..., Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Defaults that are numbers, and which of them may be None."""
    parameters = inspect.signature(function).parameters.values()
    numeric = [p for p in parameters if isinstance(p.default, int | float)]
    numeric = [p for p in numeric if not isinstance(p.default, bool)]
    optional = tuple(p.name for p in numeric if "None" in str(p.annotation))
    return {p.name: p.default for p in numeric}, optional


def parameters(make: Callable[..., Any], call: Callable[..., Any], **other: Any) -> None:
    """Add a subject for the numeric parameters of `make`, whose result `call` uses."""
    numbers, optional = numeric_parameters(make)
    numbers |= {name: value for name, value in other.items() if name in numbers}
    fixed = {name: value for name, value in other.items() if name not in numbers}
    subject(
        f"{make.__name__} parameters",
        lambda **given: call(make(**fixed, **given)),
        copy(),
        numbers=numbers,
        optional=optional,
        accepts={
            "b: [1, 2]": "finite",
            "max_gap_days: 2.5": "anything",  # weekends are gaps
            "max_gap_days: 1e-300": "anything",
            "max_gap_days: True": "anything",
        },
    )


# --- returns -------------------------------------------------------------------------------------


def covariance_by(model: Any) -> np.ndarray:
    estimator = DiffusionCovarianceEstimator(score_model=model, random_state=0)
    return estimator.fit(returns()[:60]).covariance_


parameters(EarlyStopping, covariance_by)
parameters(
    KernelMixture, lambda kernel: covariance_by(EarlyStopping(kernel=kernel)), max_iter=3, n_pilot=8
)
parameters(
    HiddenLayer,
    covariance_by,
    n_units=8,
    n_hermite=4,
    n_time_nodes=6,
    n_synthetic=200,
    tol=1.0,
)
parameters(RecencyWeightedShrinkage, lambda estimator: estimator.fit(returns()[:60]).covariance_)
parameters(make_factor_returns, lambda data: data.returns, n_samples=50, random_state=0)


# --- surfaces ------------------------------------------------------------------------------------


def forecast(**options: Any) -> np.ndarray:
    X, y = forecast_frame()
    settings = {"network": None, "n_sampling_steps": 4, "random_state": 0, **options}
    if hasattr(settings.get("sampler"), "sample"):
        settings["n_sampling_steps"] = None
    forecaster = ConditionalIVSurfaceForecaster(GRID, **settings)
    return forecaster.fit(X[:80], y[:80]).sample(X[80:82], 5)


parameters(IncrementTarget, lambda target: forecast(target=target))
parameters(d.ScaleMixture, lambda mixture: forecast(closed_form=mixture))
parameters(
    Training,
    lambda training: forecast(network="mlp", training=training),
    max_epochs=2,
    n_evaluation_draws=1,
)
parameters(
    Perceptron, lambda network: forecast(network=network, training=Training(max_epochs=1)), width=8
)
parameters(
    ArbitragePenalty,
    lambda penalty: forecast(network="mlp", training=Training(max_epochs=1, penalty=penalty)),
)
for sampler in [d.DDIM, d.DDPM, d.Multistep, d.EulerMaruyama]:
    parameters(sampler, lambda sampler: forecast(sampler=sampler), n_steps=4)
for schedule in [d.CosineSchedule, d.LinearSchedule]:
    parameters(schedule, lambda schedule: forecast(schedule=schedule), n_steps=20)
for schedule in [
    d.VariancePreserving,
    d.VarianceExploding,
    d.SubVariancePreserving,
    d.StraightLine,
]:
    parameters(
        schedule,
        lambda schedule: np.concatenate(
            [
                part(torch.linspace(0, schedule.t_max, 5)).ravel()
                for part in (schedule.alpha, schedule.sigma)
            ]
        ),
    )
parameters(
    SSVIMarket,
    lambda dynamics: make_iv_surfaces(30, grid=GRID, market=dynamics, random_state=0).surfaces,
)
parameters(make_iv_surfaces, lambda data: data.surfaces, n_days=30, grid=GRID, random_state=0)
parameters(
    EWMAConditioner,
    lambda conditioner: conditioner.fit_transform(
        surfaces().assign(spot=market().spot, vix=market().vix)
    )[1:],
)
parameters(
    SurfaceSmoother,
    lambda smoother: smoother.fit_transform(quotes()),
    grid=SurfaceGrid([0.95, 1.0, 1.05], [0.25]),
)


# --- displays ------------------------------------------------------------------------------------


def closing(draw: Callable[..., Any]) -> Callable[..., Any]:
    """Draw, close the figure, and return what was drawn."""

    def call(**arguments: Any) -> Any:
        try:
            return draw(**arguments)
        finally:
            plt.close("all")

    return call


SAMPLES_HAVE_NO_LABELS = {
    **NO_DATES,
    "columns_in_another_order": "finite",
    "other_column_names": "finite",
    "samples: the_last_row_lost": "finite",
}
for name, draw in {
    "FanDisplay": lambda y_true, samples: FanDisplay.from_samples(y_true, samples, cell=1).median,
    "ReliabilityDisplay": lambda y_true, samples: (
        ReliabilityDisplay.from_samples(y_true, samples).table
    ),
    "ArbitrageDisplay": lambda y_true, samples: (
        ArbitrageDisplay.from_samples(y_true, samples, GRID).sampled
    ),
}.items():
    subject(
        f"{name}.from_samples",
        closing(draw),
        copy(y_true=lambda: truth_and_samples()[0], samples=lambda: truth_and_samples()[1]),
        follows=("y_true", "samples"),
        accepts=SAMPLES_HAVE_NO_LABELS,
    )
subject(
    "SurfaceDisplay",
    closing(lambda surface: SurfaceDisplay(surface, GRID).plot().surface),
    copy(surface=lambda: np.asarray(surfaces())[0]),
    accepts={"a_nan": "anything", "a_none": "anything"},  # gaps
)
subject(
    "LossCurveDisplay",
    closing(
        lambda loss, validation_loss: (
            LossCurveDisplay(loss, validation_loss=validation_loss).plot().loss
        )
    ),
    copy(loss=lambda: np.linspace(2, 1, 9), validation_loss=lambda: np.linspace(3, 2, 9)),
    follows=("validation_loss",),
    optional=("validation_loss",),
    accepts=dict.fromkeys(["a_nan", "a_none", "an_infinity"], "anything"),  # gaps of the curve
)
subject(
    "QQDisplay.from_samples",
    closing(lambda real, synthetic: QQDisplay.from_samples(real, synthetic).points.real),
    copy(real=lambda: unordered(returns()), synthetic=simulated),
    follows=("synthetic",),
    accepts={**NO_DATES, "the_last_row_lost": "finite"},
)
subject(
    "SpectrumDisplay.from_covariances",
    closing(
        lambda covariance, n_samples: SpectrumDisplay.from_covariances(
            {"covariance": covariance}, n_samples=n_samples
        ).eigenvalues["covariance"]
    ),
    copy(covariance=lambda: pd.DataFrame(returns().cov())),
    numbers={"n_samples": 90},
    optional=("n_samples",),
)
