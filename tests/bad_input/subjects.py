"""Everything public that takes data, with good arguments for each: what the corruptions spoil."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np
import pandas as pd

import sklearn_diffusion.metrics as m
from sklearn_diffusion import (
    BootstrapForecaster,
    ConditionalIVSurfaceForecaster,
    DiffusionCovarianceEstimator,
    EWMAConditioner,
    LogSurfaceScaler,
    RandomWalkForecaster,
    SurfaceGrid,
    SurfaceSmoother,
    make_forecast_features,
    make_forecast_frame,
)
from sklearn_diffusion.arbitrage import relative_calls
from sklearn_diffusion.baselines import (
    QuadraticInverseShrinkage,
    RecencyWeightedShrinkage,
    quadratic_inverse_shrinkage,
)
from sklearn_diffusion.datasets import make_iv_surfaces, tidy_option_quotes
from sklearn_diffusion.preprocessing import advance_features, split_features
from sklearn_diffusion.pricing import (
    black_delta,
    black_price,
    black_vega,
    implied_volatility,
    parity_forwards,
    parity_rates,
)
from sklearn_diffusion.returns import HiddenLayer

# What a corruption may give instead of what it gives everywhere else: by its name, or by
# "argument: name"; "finite": "anything" where NaN or infinity are answers of the function.
Exceptions = Mapping[str, str]
NO_DATES: Exceptions = dict.fromkeys(
    [
        "newest_first",
        "shuffled_days",
        "a_date_twice",
        "a_date_missing",
        "dates_as_ambiguous_text_newest_first",
        "dates_as_numbers_newest_first",
        "days_shifted_by_one",
    ],
    "finite",
)


@dataclasses.dataclass(frozen=True)
class Subject:
    """A call, its good arguments, and where it may differ from the general expectation."""

    name: str
    call: Callable[..., Any]
    arguments: Callable[[], dict[str, Any]]
    follows: tuple[str, ...] = ()
    numbers: Mapping[str, float] = dataclasses.field(default_factory=dict)
    accepts: Exceptions = dataclasses.field(default_factory=dict)
    optional: tuple[str, ...] = ()
    elementwise: bool = False


N_DAYS, N_ASSETS = 90, 4
GRID = SurfaceGrid([0.9, 1.0, 1.1], [0.1, 0.25])


@cache
def returns() -> pd.DataFrame:
    rng = np.random.RandomState(0)
    market = rng.standard_t(5, (N_DAYS, 1)) * 0.008
    values = market + rng.randn(N_DAYS, N_ASSETS) * [0.004, 0.006, 0.008, 0.01]
    return pd.DataFrame(values, pd.bdate_range("2020", periods=N_DAYS), list("ABCD"))


def unordered(frame: pd.DataFrame) -> pd.DataFrame:
    """The same without dates: scenarios have no order."""
    return frame.reset_index(drop=True)


@cache
def simulated() -> pd.DataFrame:
    """Draws of a model of the returns."""
    rng = np.random.RandomState(1)
    values = rng.multivariate_normal(np.zeros(N_ASSETS), returns().cov() * 1.3, N_DAYS)
    return pd.DataFrame(values, columns=list("ABCD"))


@cache
def covariance() -> pd.DataFrame:
    return returns().cov()


@cache
def market() -> Any:
    return make_iv_surfaces(120, grid=GRID, random_state=0)


@cache
def surfaces() -> pd.DataFrame:
    market_ = market()
    return pd.DataFrame(market_.surfaces, market_.dates, GRID.cell_names)


@cache
def forecast_frame() -> tuple[pd.DataFrame, pd.DataFrame]:
    dates = market().dates
    X, y = make_forecast_frame(
        surfaces(), pd.Series(market().spot, dates), pd.Series(market().vix, dates), grid=GRID
    )
    return X, y


@cache
def fitted(kind: str) -> Any:
    X, y = forecast_frame()
    if kind == "covariance":
        return DiffusionCovarianceEstimator(random_state=0).fit(returns())
    return FORECASTERS[kind]().fit(X[:100], y[:100])


FORECASTERS: dict[str, Callable[[], Any]] = {
    "ConditionalIVSurfaceForecaster": lambda: ConditionalIVSurfaceForecaster(
        GRID, network=None, n_sampling_steps=6, random_state=0
    ),
    "BootstrapForecaster": lambda: BootstrapForecaster(random_state=0),
    "RandomWalkForecaster": RandomWalkForecaster,
}


@cache
def truth_and_samples() -> tuple[pd.DataFrame, np.ndarray]:
    y = forecast_frame()[1][:30]
    rng = np.random.RandomState(0)
    return y, np.asarray(y) * np.exp(0.05 * rng.randn(40, *y.shape))


@cache
def quotes() -> pd.DataFrame:
    dates = pd.to_datetime(["2024-01-02", "2024-01-03"])
    expiries = pd.to_datetime(["2024-03-01", "2024-06-21"])
    strikes = np.arange(85.0, 117.5, 2.5)
    table = pd.MultiIndex.from_product(
        [dates, expiries, [True, False], strikes], names=["date", "expiry", "is_call", "strike"]
    ).to_frame(index=False)
    tau = (table.expiry - table.date).dt.days / 365
    table["price"] = black_price(100.0, table.strike, tau, 0.2, is_call=table.is_call)
    table["bid"], table["ask"] = table.price * 0.99, table.price * 1.01
    table["underlying_price"] = 100.0
    return table


def copy(**values: Any) -> Callable[[], dict[str, Any]]:
    """Fresh copies of cached arguments, so that no case sees what another one did."""

    def build() -> dict[str, Any]:
        built = {name: value() if callable(value) else value for name, value in values.items()}
        return {k: v.copy() if hasattr(v, "copy") else v for k, v in built.items()}

    return build


SUBJECTS: list[Subject] = []


def subject(name: str, call: Callable[..., Any], arguments: Any, **kwargs: Any) -> None:
    SUBJECTS.append(Subject(name, call, arguments, **kwargs))


# --- returns -----------------------------------------------------------------------------------


def fit_covariance(estimator: Any) -> Callable[..., Any]:
    def fit(X: Any) -> Any:
        fitted_ = estimator().fit(X)
        return fitted_.covariance_, fitted_.location_

    return fit


COVARIANCES = {
    "DiffusionCovarianceEstimator": lambda: DiffusionCovarianceEstimator(random_state=0),
    "DiffusionCovarianceEstimator(paper)": lambda: DiffusionCovarianceEstimator(
        score_model=HiddenLayer(max_iter=2, n_units=8, n_synthetic=500, tol=1.0), random_state=0
    ),
    "RecencyWeightedShrinkage": RecencyWeightedShrinkage,
    "QuadraticInverseShrinkage": QuadraticInverseShrinkage,
}
for name, estimator in COVARIANCES.items():
    order = NO_DATES if name == "QuadraticInverseShrinkage" else {}
    subject(f"{name}.fit", fit_covariance(estimator), copy(X=returns), accepts=order)
subject(
    "quadratic_inverse_shrinkage", quadratic_inverse_shrinkage, copy(X=returns), accepts=NO_DATES
)
subject(
    "DiffusionCovarianceEstimator.score",
    lambda X_test: fitted("covariance").score(X_test),
    copy(X_test=returns),
    follows=("X_test",),
    accepts={**NO_DATES, "the_last_row_lost": "finite"},
)
subject(
    "DiffusionCovarianceEstimator.mahalanobis",
    lambda X: fitted("covariance").mahalanobis(X),
    copy(X=returns),
    follows=("X",),
    accepts={**NO_DATES, "the_last_row_lost": "finite"},
)
subject(
    "DiffusionCovarianceEstimator.error_norm",
    lambda comp_cov: fitted("covariance").error_norm(comp_cov),
    copy(comp_cov=covariance),
    follows=("comp_cov",),
)
subject(
    "DiffusionCovarianceEstimator.sample",
    lambda n_samples, value: fitted("covariance").sample(
        n_samples, conditioning={"A": value}, random_state=0
    ),
    copy(),
    numbers={"n_samples": 20, "value": 0.01},
    optional=("value",),
)
subject(
    "DiffusionCovarianceEstimator.sample(range)",
    lambda low, high: fitted("covariance").sample(
        20, conditioning={"A": (low, high)}, random_state=0
    ),
    copy(),
    numbers={"low": -0.02, "high": 0.01},
    optional=("low", "high"),
)
subject(
    "DiffusionCovarianceEstimator parameters",
    lambda half_life, batch_size, verbose, random_state: (
        DiffusionCovarianceEstimator(
            half_life=half_life, batch_size=batch_size, verbose=verbose, random_state=random_state
        )
        .fit(returns())
        .sample(5)
    ),
    copy(),
    numbers={"half_life": 63.0, "batch_size": 100, "verbose": 0, "random_state": 0},
    optional=("half_life", "random_state"),
)


def backtest(returns: Any, window: int = 40, step: int = 21) -> Any:
    estimators = {"qis": QuadraticInverseShrinkage(), "sample": lambda x: np.cov(x.T)}
    result = m.walk_forward_minimum_variance(returns, estimators, window=window, step=step)
    return result.summary.volatility, result.returns


subject(
    "walk_forward_minimum_variance",
    backtest,
    copy(returns=returns),
    numbers={"window": 40, "step": 21},
)
subject("minimum_variance_weights", m.minimum_variance_weights, copy(covariance=covariance))
subject(
    "condition_number",
    m.condition_number,
    copy(covariance=covariance),
    accepts={"finite": "anything"},  # that of a singular matrix is infinite
)

PAIRS: dict[str, Callable[..., Any]] = {
    "correlation_error": m.correlation_error,
    "energy_distance": m.energy_distance,
    "cramer_von_mises": m.cramer_von_mises,
    "cramer_von_mises(long_short)": lambda real, synthetic: m.cramer_von_mises(
        real, synthetic, portfolios="long_short", n_portfolios=5, random_state=0
    ),
    "classifier_two_sample_accuracy": lambda real, synthetic: m.classifier_two_sample_accuracy(
        real, synthetic, random_state=0
    ),
    "moments_table": m.moments_table,
    "qq_points": lambda real, synthetic: m.qq_points(real, synthetic)[:5],
    "tail_table": m.tail_table,
}
LENGTHS_DIFFER = {
    **NO_DATES,
    **dict.fromkeys(["the_last_row_lost", "a_date_twice", "a_date_missing"], "finite"),
}
for name, function in PAIRS.items():
    subject(
        name,
        function,
        copy(real=lambda: unordered(returns()), synthetic=simulated),
        follows=("synthetic",),
        # An error relative to zero is NaN.
        accepts={**LENGTHS_DIFFER, **({"finite": "anything"} if name == "tail_table" else {})},
    )
for name, function in {
    "memorisation_ratio": m.memorisation_ratio,
    "sample_quality": lambda train, test, synthetic: m.sample_quality(
        train, test, synthetic, n_portfolios=5, random_state=0
    ),
}.items():
    subject(
        name,
        function,
        copy(
            train=lambda: unordered(returns()[:50]),
            test=lambda: unordered(returns()[50:]),
            synthetic=simulated,
        ),
        follows=("test", "synthetic"),
        accepts=LENGTHS_DIFFER,
    )
subject(
    "cramer_von_mises(portfolios)",
    lambda real, synthetic, portfolios: m.cramer_von_mises(real, synthetic, portfolios=portfolios),
    copy(
        real=lambda: unordered(returns()),
        synthetic=simulated,
        portfolios=lambda: pd.DataFrame(np.eye(N_ASSETS)[:3] + 0.1, columns=list("ABCD")),
    ),
    follows=("portfolios",),
    accepts=LENGTHS_DIFFER,
)
subject(
    "random_portfolios",
    lambda n_assets, n_portfolios: m.random_portfolios(n_assets, n_portfolios, random_state=0),
    copy(),
    numbers={"n_assets": 4, "n_portfolios": 3},
)
subject(
    "diebold_mariano",
    m.diebold_mariano,
    copy(
        loss_a=lambda: pd.Series(returns().A.abs()),
        loss_b=lambda: pd.Series(returns().B.abs() * 0.7),
    ),
    follows=("loss_b",),
    numbers={"n_lags": 5},
)

# --- surfaces ----------------------------------------------------------------------------------

HISTORY = copy(
    surfaces=surfaces,
    spot=lambda: pd.Series(market().spot, market().dates),
    vix=lambda: pd.Series(market().vix, market().dates),
)
for name, function in {
    "make_forecast_frame": lambda surfaces, spot, vix: make_forecast_frame(
        surfaces, spot, vix, grid=GRID
    ),
    "make_forecast_features": lambda surfaces, spot, vix: make_forecast_features(
        surfaces, spot, vix, grid=GRID
    ),
}.items():
    subject(
        name,
        function,
        HISTORY,
        follows=("spot", "vix"),
        accepts={"surfaces: nested_lists": "finite"},  # without dates there are no weekdays
    )
subject(
    "EWMAConditioner.fit_transform",
    lambda X: EWMAConditioner(GRID).fit_transform(X)[1:],  # the first day has no change
    copy(X=lambda: surfaces().assign(spot=market().spot, vix=market().vix)),
    accepts={"nested_lists": "finite"},
)
subject(
    "LogSurfaceScaler.fit_transform",
    lambda X: LogSurfaceScaler(GRID).fit_transform(X),
    copy(X=surfaces),
    accepts=NO_DATES,
)
for method in ["transform", "inverse_transform"]:
    subject(
        f"LogSurfaceScaler.{method}",
        lambda X, method=method: getattr(LogSurfaceScaler(GRID).fit(surfaces()), method)(X),
        copy(X=surfaces),
        follows=("X",),
        accepts={**NO_DATES, "the_last_row_lost": "finite"},
    )
subject(
    "advance_features",
    advance_features,
    copy(
        X=lambda: np.asarray(forecast_frame()[0])[:5],
        surfaces=lambda: np.asarray(forecast_frame()[1])[:5],
        spot_return=lambda: np.full(5, 0.01),
        vix_return=lambda: np.full(5, -0.01),
    ),
    follows=("surfaces", "spot_return", "vix_return"),
)
subject(
    "split_features",
    lambda X: tuple(split_features(X, GRID)),
    copy(X=lambda: forecast_frame()[0]),
    accepts={  # what is taken apart may have gaps
        **NO_DATES,
        **dict.fromkeys(["a_nan", "an_infinity", "a_none", "a_nullable_na"], "anything"),
    },
)
PREDICTIONS: dict[str, Callable[..., Any]] = {
    "predict": lambda f, X: f.predict(X),
    "sample": lambda f, X: f.sample(X, 20, random_state=0),
    "predict_interval": lambda f, X: f.predict_interval(X, 0.8, n_samples=40, random_state=0),
    "predict_quantiles": lambda f, X: f.predict_quantiles(X, [0.2, 0.5], n_samples=40),
}
for kind, forecaster in FORECASTERS.items():
    subject(
        f"{kind}.fit",
        lambda X, y, forecaster=forecaster: forecaster().fit(X, y).predict(X),
        copy(X=lambda: forecast_frame()[0], y=lambda: forecast_frame()[1]),
        follows=("y",),
        # A random walk takes as many columns of an array for today as y has.
        accepts={"y: the_last_column_lost": "anything", "y: a_column_too_many": "anything"}
        if kind == "RandomWalkForecaster"
        else {},
    )
    subject(
        f"{kind}.score",
        lambda X, y, kind=kind: fitted(kind).score(X, y),
        copy(X=lambda: forecast_frame()[0][100:], y=lambda: forecast_frame()[1][100:]),
        follows=("X", "y"),
    )
    for method, function in PREDICTIONS.items():
        subject(
            f"{kind}.{method}",
            lambda X, function=function, kind=kind: function(fitted(kind), X),
            copy(X=lambda: forecast_frame()[0][100:]),
            follows=("X",),
            accepts={**NO_DATES, "the_last_row_lost": "finite"},
        )
    subject(
        f"{kind} numbers",
        lambda n_samples, coverage, kind=kind: fitted(kind).predict_interval(
            forecast_frame()[0][100:102], coverage, n_samples=n_samples, random_state=0
        ),
        copy(),
        numbers={"n_samples": 40, "coverage": 0.8},
    )

for name, function in {
    "mape": m.mape,
    "ape_std": m.ape_std,
    "daily_mape": m.daily_mape,
}.items():
    subject(
        name,
        function,
        copy(
            y_true=lambda: truth_and_samples()[0],
            y_pred=lambda: truth_and_samples()[0].shift(1).bfill(),
            mask=lambda: np.ones((30, 6), dtype=bool),
        ),
        follows=("y_pred", "mask"),
        accepts={**NO_DATES, "y_pred: days_shifted_by_one": "error"},
        optional=("mask",),
    )
TRUTH = copy(y_true=lambda: truth_and_samples()[0], samples=lambda: truth_and_samples()[1])
for name, function in {
    "crps": m.crps,
    "daily_crps": m.daily_crps,
    "energy_score": m.energy_score,
    "pit_values": m.pit_values,
    "pit_cramer_von_mises": m.pit_cramer_von_mises,
    "reliability_table": lambda y_true, samples: m.reliability_table(
        y_true, samples, coverages=[0.5, 0.8]
    ),
    "surface_moments": lambda y_true, samples: m.surface_moments(
        y_true, samples, buckets=m.moneyness_thirds(GRID)
    ),
    "surface_table": lambda y_true, samples: m.surface_table(
        y_true, samples, buckets=m.moneyness_thirds(GRID)
    ),
}.items():
    subject(
        name,
        function,
        TRUTH,
        follows=("y_true", "samples"),
        accepts={
            **NO_DATES,
            "columns_in_another_order": "finite",  # samples have no labels
            "other_column_names": "finite",
            "samples: the_last_row_lost": "finite",  # one sample less
        },
    )
subject(
    "surface_table(y_pred)",
    lambda y_true, y_pred: m.surface_table(
        y_true, truth_and_samples()[1], buckets=m.moneyness_thirds(GRID), y_pred=y_pred
    ),
    copy(
        y_true=lambda: truth_and_samples()[0],
        y_pred=lambda: truth_and_samples()[0].shift(1).bfill(),
    ),
    follows=("y_true", "y_pred"),
    accepts={**NO_DATES, "days_shifted_by_one": "error"},
    optional=("y_pred",),
)
subject(
    "sample_interval",
    m.sample_interval,
    copy(samples=lambda: truth_and_samples()[1]),
    numbers={"coverage": 0.8},
)
INTERVAL = {"interval": lambda: m.sample_interval(truth_and_samples()[1], 0.8)}
subject("ci_width", m.ci_width, copy(**INTERVAL))
subject("ci_width_std", m.ci_width_std, copy(**INTERVAL))
subject(
    "ci_breach",
    m.ci_breach,
    copy(y_true=lambda: truth_and_samples()[0], **INTERVAL),
    follows=("y_true", "interval"),
    accepts={
        **NO_DATES,
        "columns_in_another_order": "finite",  # intervals have no labels
        "other_column_names": "finite",
    },
)
for name, function in {
    "arbitrage_penalty": m.arbitrage_penalty,
    "arbitrage_report": m.arbitrage_report,
    "relative_calls": relative_calls,
}.items():
    subject(
        name,
        lambda surfaces, rate=0.0, function=function: function(surfaces, GRID, rate=rate),
        copy(surfaces=lambda: surfaces()[:10]),
        follows=("surfaces",),
        numbers={"rate": 0.01},
        accepts={**NO_DATES, "the_last_row_lost": "finite"},
    )
for name in ["neg_mape", "neg_crps", "neg_energy_score", "neg_ci_breach_error"]:
    subject(
        f"scorer {name}",
        lambda X, y, name=name: m.get_scorer(name)(fitted("BootstrapForecaster"), X, y),
        copy(X=lambda: forecast_frame()[0][100:], y=lambda: forecast_frame()[1][100:]),
        follows=("X", "y"),
    )
subject(
    "scorer neg_ci_width",
    lambda X: m.get_scorer("neg_ci_width")(fitted("BootstrapForecaster"), X),
    copy(X=lambda: forecast_frame()[0][100:]),
    follows=("X",),
    accepts={**NO_DATES, "the_last_row_lost": "finite"},
)
for name in ["neg_minimum_variance_volatility", "cramer_von_mises", "neg_shortfall_error"]:
    subject(
        f"scorer {name}",
        lambda X, name=name: m.get_scorer(name)(fitted("covariance"), X),
        copy(X=returns),
        follows=("X",),
        accepts={**NO_DATES, "the_last_row_lost": "finite"},
    )

# --- prices and quotes -------------------------------------------------------------------------

OPTION = {"forward": 100.0, "strike": 105.0, "tau": 0.25, "volatility": 0.2, "discount": 0.99}
for name, function in {
    "black_price": black_price,
    "black_delta": black_delta,
    "black_vega": black_vega,
}.items():
    subject(name, function, copy(), numbers=OPTION, elementwise=True)
subject(
    "implied_volatility",
    implied_volatility,
    copy(),
    numbers={"price": 2.0, "forward": 100.0, "strike": 105.0, "tau": 0.25, "discount": 0.99},
    # A price without a volatility has an answer: NaN, with a status.
    accepts={"finite": "anything", "price: nan": "anything"},
    elementwise=True,
)
subject(
    "implied_volatility(arrays)",
    implied_volatility,
    copy(
        price=lambda: np.linspace(12.0, 1.0, 5),
        forward=lambda: np.full(5, 100.0),
        strike=lambda: np.linspace(90.0, 110.0, 5),
        tau=lambda: np.full(5, 0.25),
    ),
    accepts={
        "finite": "anything",
        **{
            f"price: {fault}": "anything"
            for fault in ["a_nan", "a_none", "an_infinity", "a_nullable_na"]
        },
        "one_dimension_more": "anything",  # broadcast, as numpy does
    },
)
GRID_NUMBERS = {"moneyness": 0.9, "tenors": 0.1}
subject(
    "SurfaceGrid",
    lambda moneyness, tenors: SurfaceGrid([moneyness, 1.0, 1.1], [tenors, 0.5]),
    copy(),
    numbers=GRID_NUMBERS,
)
QUOTE_GRID = SurfaceGrid([0.95, 1.0, 1.05], [0.25])
for name, function in {
    "SurfaceSmoother.fit_transform": lambda quotes: SurfaceSmoother(
        QUOTE_GRID, bandwidth_moneyness=1e-3
    ).fit_transform(quotes),
    "parity_forwards": lambda quotes: parity_forwards(quotes).forward,
    "parity_rates": parity_rates,
}.items():
    # No quotes give no forwards.
    accepts = {} if name.startswith("Surface") else {"no_rows": "finite"}
    subject(name, function, copy(quotes=quotes), accepts=accepts)
subject(
    "tidy_option_quotes",
    lambda table: tidy_option_quotes(table, format="csv")[["strike", "bid", "ask"]],
    copy(table=lambda: quotes().assign(type=np.where(quotes().is_call, "C", "P"))),
)
