"""Tomorrow's volatility surface as a distribution: the part of `make demo` about options.

The market is simulated, so that nothing has to be downloaded and its true law is known. The same on
a CSV of quotes is in plot_4_quotes_to_surfaces.py.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
from demo_output import Progress, save, title

from sklearn_diffusion import (
    BootstrapForecaster,
    ConditionalIVSurfaceForecaster,
    RandomWalkForecaster,
    SurfaceGrid,
    make_forecast_frame,
)
from sklearn_diffusion.arbitrage import arbitrage_penalty
from sklearn_diffusion.datasets import make_iv_surfaces
from sklearn_diffusion.metrics import (
    ci_breach,
    ci_width,
    crps,
    energy_score,
    mape,
    paper_buckets,
    sample_interval,
    surface_table,
)
from sklearn_diffusion.plotting import (
    ArbitrageDisplay,
    FanDisplay,
    ReliabilityDisplay,
    SurfaceDisplay,
)
from sklearn_diffusion.plotting.base import GREY, PALETTE, import_pyplot

DIFFUSION, BOOTSTRAP, WALK, TRUTH = "diffusion", "filtered bootstrap", "random walk", "true law"
N_DAYS, TRAINING_SHARE, N_SAMPLES = 1000, 0.8, 400
QUOTE_NOISE = 0.02
MONEY, MONTH = 1.0, 1 / 12
SMILE_TENORS = {"One week": 1 / 52, "One month": 1 / 12, "Three months": 1 / 4, "One year": 1.0}


def surfaces_demo(outputs: Path) -> None:
    """A day-ahead forecast of a simulated market, beside baselines and the market's true law."""
    title("Implied-volatility surfaces of a simulated market")
    market = make_iv_surfaces(N_DAYS, quote_noise=QUOTE_NOISE, random_state=0)
    X, y = make_forecast_frame(
        market.surfaces, market.spot, market.vix, dates=market.dates, grid=market.grid
    )
    n_train = int(TRAINING_SHARE * len(X))
    X_train, y_train, X_test, y_test = X[:n_train], y[:n_train], X[n_train:], y[n_train:]
    n_moneyness, n_tenors = market.grid.shape
    print(
        f"{n_moneyness} x {n_tenors} cells, each quoted with an error of {QUOTE_NOISE:.0%}: "
        f"{len(X_train)} days to train, {len(X_test)} to judge"
    )

    forecasters = {
        WALK: RandomWalkForecaster(),
        BOOTSTRAP: BootstrapForecaster(random_state=0),
        DIFFUSION: ConditionalIVSurfaceForecaster(market.grid, random_state=0),
    }
    samples = {}
    with Progress("  fitting and sampling") as progress:
        for done, (name, forecaster) in enumerate(forecasters.items(), start=1):
            samples[name] = forecaster.fit(X_train, y_train).sample(X_test, N_SAMPLES)
            progress(done, len(forecasters) + 1)
        samples[TRUTH] = np.stack(
            [
                market.oracle.sample_next(day, N_SAMPLES, random_state=day)
                for day in market.dates.get_indexer(X_test.index)
            ],
            axis=1,
        )
        progress(1, 1)

    print_scores(y_test, samples, market.grid)
    print_buckets(y_test, samples[DIFFUSION], market.grid)
    plot_tomorrow(X_test, y_test, samples[DIFFUSION], market.grid, outputs / "surfaces_next.png")
    plot_fans(y_test, samples[DIFFUSION], market.grid, outputs / "surfaces_fan.png")
    plot_reliability(y_test, samples, outputs / "surfaces_reliability.png")
    plot_arbitrage(y_test, samples, market.grid, outputs / "surfaces_arbitrage.png")


def print_scores(y: pd.DataFrame, samples: dict[str, np.ndarray], grid: SurfaceGrid) -> None:
    rows = {}
    for name, drawn in samples.items():
        interval = sample_interval(drawn, 0.9)
        rows[name] = {
            "MAPE %": mape(y, drawn.mean(axis=0)),
            "CRPS": 1e4 * crps(y, drawn, log=True),
            "energy": energy_score(y, drawn, log=True),
            "90 % width": 100 * ci_width(interval),
            "breach %": ci_breach(y, interval),
            "arbitrage": arbitrage_penalty(drawn, grid).mean(),
        }
    print(
        "\nDay-ahead forecasts. CRPS of log volatility times 10,000; width in volatility points;"
        "\nbreach: truths outside the 90 % interval, ideally 10. The true law knows what is hidden."
    )
    decimals = {"MAPE %": 2, "CRPS": 1, "energy": 3, "90 % width": 2, "breach %": 1, "arbitrage": 5}
    formats = {name: f"{{:.{n}f}}".format for name, n in decimals.items()}
    print(pd.DataFrame(rows).T.to_string(formatters=formats))


def print_buckets(y: pd.DataFrame, samples: np.ndarray, grid: SurfaceGrid) -> None:
    """The paper's Table 1: accuracy and calibration by moneyness and tenor."""
    table = surface_table(y, samples, buckets=paper_buckets(grid))
    shown = pd.DataFrame(
        {
            "MAPE %": table["mape"],
            "std of APE": table["ape_std"],
            "90 % width": 100 * table["ci_width"],
            "std of width": 100 * table["ci_width_std"],
            "breach %": table["ci_breach"],
            "CRPS": 1e4 * table["crps"],
        }
    )
    print("\nThe diffusion model by moneyness (ATM 1, OTM 1.3, ITM 0.7) and tenor:")
    print(shown.to_string(float_format="{:.2f}".format))


def plot_tomorrow(
    X: pd.DataFrame, y: pd.DataFrame, samples: np.ndarray, grid: SurfaceGrid, path: Path
) -> None:
    """One day's forecast: its mean in perspective, and smiles with intervals."""
    pyplot = import_pyplot()
    figure = pyplot.figure(figsize=(12, 5.5), layout="constrained")
    left, right = figure.subfigures(1, 2, width_ratios=(1, 1.3))
    # The day of the largest move tells most.
    today = grid.unflatten(X.iloc[:, : grid.n_cells].to_numpy())
    real, drawn = grid.unflatten(y.to_numpy()), grid.unflatten(samples)
    day = int(np.abs(np.log(real / today)).mean(axis=(1, 2)).argmax())
    mean, (low, high) = drawn[:, day].mean(axis=0), np.quantile(drawn[:, day], (0.05, 0.95), axis=0)
    made = X.index[day].date()
    SurfaceDisplay(mean, grid, title=f"Mean of the forecast made on {made}").plot(
        left.add_subplot(projection="3d"), kind="3d"
    )
    for ax, (name, tenor) in zip(
        right.subplots(2, 2, sharex=True).flat, SMILE_TENORS.items(), strict=True
    ):
        j = np.abs(grid.tenors - tenor).argmin()
        ax.fill_between(
            grid.moneyness,
            100 * low[:, j],
            100 * high[:, j],
            color=PALETTE[0],
            alpha=0.25,
            linewidth=0,
            label="90 % interval",
        )
        ax.plot(grid.moneyness, 100 * mean[:, j], color=PALETTE[0], label="mean")
        ax.plot(grid.moneyness, 100 * today[day, :, j], "--", color=GREY, label="today")
        ax.plot(grid.moneyness, 100 * real[day, :, j], ".", color="black", label="real")
        ax.set_title(name, loc="left")
    for ax in right.axes[::2]:
        ax.set_ylabel("Implied volatility (%)")
    for ax in right.axes[2:]:
        ax.set_xlabel("Moneyness")
    right.axes[0].legend(frameon=False, fontsize="small")
    right.suptitle("Smiles of the next day, the one of the largest move")
    save(figure, path)


def plot_fans(y: pd.DataFrame, samples: np.ndarray, grid: SurfaceGrid, path: Path) -> None:
    """Two cells through time: at the money for a month, and a put of a week."""
    pyplot = import_pyplot()
    figure, axes = pyplot.subplots(2, figsize=(10, 7), sharex=True, layout="constrained")
    for ax, (moneyness, tenor) in zip(axes, ((MONEY, MONTH), (0.7, 1 / 52)), strict=True):
        row, column = (np.abs(grid.moneyness - moneyness), np.abs(grid.tenors - tenor))
        cell = int(row.argmin() * len(grid.tenors) + column.argmin())
        FanDisplay.from_samples(y, samples, cell=cell, grid=grid, ax=ax)
    axes[0].set_xlabel("")
    axes[1].get_legend().remove()
    save(figure, path)


def plot_reliability(y: pd.DataFrame, samples: dict[str, np.ndarray], path: Path) -> None:
    """Coverage of intervals, and where truths fall in their forecast law."""
    pyplot = import_pyplot()
    figure, axes = pyplot.subplots(1, 2, figsize=(11, 5), layout="constrained")
    models = {DIFFUSION: PALETTE[0], BOOTSTRAP: PALETTE[1]}
    for ax, kind in zip(axes, ("coverage", "pit"), strict=True):
        for name, colour in models.items():
            ReliabilityDisplay.from_samples(
                y,
                samples[name],
                name=name,
                ax=ax,
                kind=kind,
                color=colour,
                reference=name == DIFFUSION,
            )
    save(figure, path)


def plot_arbitrage(
    y: pd.DataFrame, samples: dict[str, np.ndarray], grid: SurfaceGrid, path: Path
) -> None:
    """Static arbitrage in the samples, day by day, on one scale."""
    pyplot = import_pyplot()
    figure, axes = pyplot.subplots(
        2, figsize=(10, 6), sharex=True, sharey=True, layout="constrained"
    )
    for ax, name in zip(axes, (BOOTSTRAP, DIFFUSION), strict=True):
        ArbitrageDisplay.from_samples(y, samples[name], grid, name=name, ax=ax)
    axes[0].set_xlabel("")
    save(figure, path)
