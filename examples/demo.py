"""What diffusion models of returns and of surfaces are good for, in two minutes: `make demo`.

Everything is measured on days that no model has seen. Tables go to the terminal and pictures to
outputs/.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from demo_output import Progress, save, title
from demo_surfaces import surfaces_demo
from sklearn.covariance import OAS, EmpiricalCovariance, LedoitWolf
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KernelDensity

from sklearn_diffusion import DiffusionCovarianceEstimator
from sklearn_diffusion.baselines import QuadraticInverseShrinkage, RecencyWeightedShrinkage
from sklearn_diffusion.datasets import load_sp500_returns
from sklearn_diffusion.metrics import (
    MinimumVarianceBacktest,
    condition_number,
    moments_table,
    sample_quality,
    tail_table,
    walk_forward_minimum_variance,
)
from sklearn_diffusion.plotting import QQDisplay, SpectrumDisplay
from sklearn_diffusion.plotting.base import GREY, PALETTE, import_pyplot

DIFFUSION = "diffusion"
WINDOWS = {126: "6 months", 252: "1 year", 1260: "5 years"}
N_REBALANCES = 120  # ten years of months
N_SCENARIOS = 20_000
STRESSED, STRESS = "JPM", (-0.10, -0.05)
# sample, Ledoit-Wolf, diffusion
CONTRAST = (GREY, PALETTE[1], PALETTE[0])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--outputs", type=Path, default=Path("outputs"), help="where pictures go")
    outputs = parser.parse_args().outputs
    outputs.mkdir(parents=True, exist_ok=True)
    began = time.perf_counter()
    pd.set_option("display.width", 120)
    returns_demo(outputs)
    surfaces_demo(outputs)
    print(f"\nDone in {time.perf_counter() - began:.0f} s. Pictures: {outputs.resolve()}")


def returns_demo(outputs: Path) -> None:
    """Covariance, scenarios and stress tests of 20 stocks of the S&P 500."""
    title("Returns of 20 S&P 500 stocks")
    returns = load_sp500_returns()
    first, last = returns.index[[0, -1]].date
    print(f"{len(returns):,} days, {first} to {last}: {', '.join(returns.columns)}")

    title("A covariance for portfolios: out-of-sample volatility at minimum variance")
    backtests = backtest(returns)
    print_backtests(backtests)
    plot_backtests(backtests, outputs / "returns_backtest.png")
    plot_held_out_loss(returns, outputs / "returns_stopping_time.png")

    title("The distribution behind it: models fitted to even days since 2005, judged on odd days")
    recent = returns.loc["2005":]
    train, test = recent.iloc[::2], recent.iloc[1::2]
    scenarios, model = draw_scenarios(train)
    print_quality(train, test, scenarios)
    print_tails(test, scenarios)
    plot_quantiles(test, scenarios, outputs / "returns_tails.png")
    print_conditioning(train, model)
    plot_spectrum(returns, outputs / "returns_spectrum.png")

    low, high = STRESS
    title(f"A stress test: what if {STRESSED} falls by {-high:.0%} to {-low:.0%} in a day?")
    stress_test(model, test, outputs / "returns_stress.png")


# A covariance for portfolios


def backtest(returns: pd.DataFrame) -> dict[int, MinimumVarianceBacktest]:
    """Monthly rebalancing over the last ten years, once for each length of the training window."""
    estimators = {
        DIFFUSION: DiffusionCovarianceEstimator(random_state=0),
        "LedoitWolf": LedoitWolf(),
        "OAS": OAS(),
        "quadratic-inverse": QuadraticInverseShrinkage(),
        "recency-weighted": RecencyWeightedShrinkage(),
        "sample": EmpiricalCovariance(),
    }
    results = {}
    for window, label in WINDOWS.items():
        with Progress(f"  fitted on {label:8s}") as progress:
            results[window] = walk_forward_minimum_variance(
                returns, estimators, window=window, last=N_REBALANCES, callback=progress
            )
    return results


def print_backtests(backtests: dict[int, MinimumVarianceBacktest]) -> None:
    held = next(iter(backtests.values())).returns.index
    print(f"\nAnnualised, % ({N_REBALANCES} months, {held[0].date()} to {held[-1].date()}):")
    print(
        pd.DataFrame(
            {WINDOWS[window]: result.summary["volatility"] for window, result in backtests.items()}
        )
        .mul(100)
        .rename_axis(None)
        .to_string(float_format="{:.2f}".format)
    )
    print("\nRelative to Ledoit-Wolf:")
    relative = {WINDOWS[w]: r.summary["relative_volatility"] for w, r in backtests.items()}
    print(pd.DataFrame(relative).rename_axis(None).to_string(float_format="{:.3f}".format))


def plot_backtests(backtests: dict[int, MinimumVarianceBacktest], path: Path) -> None:
    """Realised volatility through time, and over all years by training window."""
    pyplot = import_pyplot()
    figure, axes = pyplot.subplot_mosaic(
        [["level", "windows"], ["ratio", "windows"]],
        figsize=(11, 5),
        layout="constrained",
        width_ratios=(3, 2),
    )
    held = backtests[252].returns
    realised = held.rolling(252).std().dropna() * np.sqrt(252) * 100
    ratio = realised.div(realised["LedoitWolf"], axis=0)
    for name, colour in zip(("sample", "LedoitWolf", DIFFUSION), CONTRAST, strict=True):
        axes["level"].plot(realised[name], color=colour, label=name, linewidth=1.5)
        axes["ratio"].plot(ratio[name], color=colour, linewidth=1.5)
    axes["level"].set_title("Volatility over the year before (fitted on 1 year), %", loc="left")
    axes["level"].legend(frameon=False)
    axes["ratio"].set_title("The same relative to Ledoit-Wolf", loc="left")
    right = axes["windows"]

    relative = pd.DataFrame(
        {WINDOWS[w]: result.summary["relative_volatility"] for w, result in backtests.items()}
    ).drop("LedoitWolf")
    for position, name in enumerate(relative.index[::-1]):
        is_ours = name == DIFFUSION
        for (window, value), marker in zip(relative.loc[name].items(), "os^", strict=True):
            right.plot(
                value,
                position,
                marker,
                color=PALETTE[0] if is_ours else GREY,
                markersize=9 if is_ours else 7,
                label=window if is_ours else None,
            )
    right.axvline(1, color=PALETTE[1], linewidth=1)
    right.set_yticks(range(len(relative)), relative.index[::-1])
    right.set_title("Ten years relative to Ledoit-Wolf", loc="left")
    right.legend(title="fitted on", frameon=False, loc="best")
    save(figure, path)


def plot_held_out_loss(returns: pd.DataFrame, path: Path) -> None:
    """How the stopping time is chosen: the held-out loss of the last day's fits, by window."""
    pyplot = import_pyplot()
    figure, ax = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    for (window, label), colour in zip(WINDOWS.items(), PALETTE[:3], strict=True):
        model = DiffusionCovarianceEstimator(random_state=0).fit(returns.iloc[-window:])
        excess = model.loss_curve_ - model.loss_curve_.min()
        chosen = np.interp(model.stop_time_, model.stop_times_, excess)
        ax.plot(model.stop_times_, excess, color=colour, marker=".", label=label)
        ax.plot(model.stop_time_, chosen, "*", color=colour, markersize=14)
    ax.set(
        xlabel="Stopping time: share of noise in z-scored units",
        ylabel="Held-out loss per asset, above its least",
        xscale="log",
        ylim=(-0.002, 0.06),
    )
    ax.set_title("The stopping time chosen (star) by the loss on later days", loc="left")
    ax.legend(title="fitted on", frameon=False)
    save(figure, path)


# The distribution behind it


def draw_scenarios(
    train: pd.DataFrame,
) -> tuple[dict[str, np.ndarray], DiffusionCovarianceEstimator]:
    """Scenarios of the diffusion model and of its peers."""
    # Every second day is no longer a daily time series, so all days weigh alike.
    model = DiffusionCovarianceEstimator(half_life=None, random_state=0).fit(train)
    std, rng = train.std().to_numpy(), np.random.RandomState(0)
    gaussian = LedoitWolf().fit(train)
    mixture = GaussianMixture(3, random_state=0).fit(train / std)
    kernels = KernelDensity(bandwidth=0.3).fit(train / std)
    draw: dict[str, Callable[[], np.ndarray]] = {
        DIFFUSION: lambda: model.sample(N_SCENARIOS, random_state=1),
        "Gaussian, Ledoit-Wolf": lambda: rng.multivariate_normal(
            gaussian.location_, gaussian.covariance_, N_SCENARIOS
        ),
        "3 Gaussians": lambda: mixture.sample(N_SCENARIOS)[0] * std,
        "kernel density": lambda: kernels.sample(N_SCENARIOS, random_state=0) * std,
        "bootstrap": lambda: train.to_numpy()[rng.randint(len(train), size=N_SCENARIOS)],
    }
    return {name: sample() for name, sample in draw.items()}, model


def print_quality(
    train: pd.DataFrame, test: pd.DataFrame, scenarios: dict[str, np.ndarray]
) -> None:
    columns = {}
    with Progress("  judging scenarios") as progress:
        for done, (name, synthetic) in enumerate(scenarios.items(), start=1):
            columns[name] = sample_quality(train, test, synthetic, random_state=0)
            progress(done, len(scenarios))
    table = pd.DataFrame(columns).T
    table.loc["ideal"] = [0.95, 0.95, 0, 1, 1, 0, 1, 0.5]
    table = table.rename(
        columns={
            "cvm_long_only": "CvM long",
            "cvm_long_short": "CvM l/s",
            "quantile_error": "quantiles",
            "kurtosis_ratio": "kurtosis",
            "correlation_error": "correl.",
            "std_error": "std",
            "memorisation_ratio": "novelty",
            "classifier_accuracy": "classifier",
        }
    )
    print(
        "\nCvM: share of 200 random portfolios (long-only, long-short) that pass a Cramer-von Mises"
        "\ntest at 5 %. Novelty: 0 copies training days. Classifier: accuracy in telling real days"
        "\nfrom drawn ones."
    )
    print(table.to_string(float_format="{:.3f}".format))


def print_tails(test: pd.DataFrame, scenarios: dict[str, np.ndarray]) -> None:
    """Tails of the equally weighted portfolio."""
    real = test.to_numpy().mean(axis=1)
    levels = (0.001, 0.01, 0.05)
    columns: dict[str, dict[str, float]] = {}
    for name, synthetic in scenarios.items():
        drawn = synthetic.mean(axis=1)
        tails = tail_table(real, drawn, q=levels).droplevel("column")
        kurtosis = moments_table(real, drawn)["kurtosis"].iloc[0]
        for source in ("real", "synthetic"):
            columns["held-out days" if source == "real" else name] = {
                **{f"{q:.1%} quantile": 100 * tails["quantile", source][q] for q in levels},
                "1% shortfall": 100 * tails["shortfall", source][0.01],
                "excess kurtosis": kurtosis[source],
            }
    print("\nWorst days of the equally weighted portfolio, % a day:")
    print(pd.DataFrame(columns).T.to_string(float_format="{:.2f}".format))


def plot_quantiles(test: pd.DataFrame, scenarios: dict[str, np.ndarray], path: Path) -> None:
    """Quantiles of the equally weighted and of one long-short portfolio, tails included."""
    pyplot = import_pyplot()
    figure, axes = pyplot.subplots(1, 2, figsize=(11, 5), layout="constrained")
    long_short = (1 / test.std()).to_numpy() * np.resize([1, -1], test.shape[1])
    portfolios = {
        "Equally weighted": np.full(test.shape[1], 1 / test.shape[1]),
        "Long-short, alternating": long_short / np.abs(long_short).sum(),
    }
    models = ((DIFFUSION, PALETTE[0]), ("Gaussian, Ledoit-Wolf", PALETTE[1]))
    for ax, (name, weights) in zip(axes, portfolios.items(), strict=True):
        for model, colour in models:
            QQDisplay.from_samples(
                test,
                scenarios[model],
                weights=weights,
                name=model,
                ax=ax,
                color=colour,
                band=model == DIFFUSION,
                diagonal=model == DIFFUSION,
            )
        ax.set_title(f"{name}: 0.1 % to 99.9 % quantiles", loc="left")
        ax.set_box_aspect(1)
    save(figure, path)


def print_conditioning(train: pd.DataFrame, model: DiffusionCovarianceEstimator) -> None:
    matrices = {
        DIFFUSION: model.covariance_,
        "LedoitWolf": LedoitWolf().fit(train).covariance_,
        "sample": np.cov(train, rowvar=False),
    }
    print("\nEigenvalues of the covariance, (% a day)², and condition number:")
    rows = {}
    for name, matrix in matrices.items():
        eigenvalues = 1e4 * np.linalg.eigvalsh(matrix)[::-1]
        rows[name] = {
            "largest": eigenvalues[0],
            "second": eigenvalues[1],
            "median": np.median(eigenvalues),
            "smallest": eigenvalues[-1],
            "condition number": condition_number(matrix),
        }
    print(pd.DataFrame(rows).T.to_string(float_format="{:.2f}".format))


def plot_spectrum(returns: pd.DataFrame, path: Path) -> None:
    """Correlation eigenvalues of a single quarter, where estimation is hardest."""
    pyplot = import_pyplot()
    figure, ax = pyplot.subplots(figsize=(7, 4.5), layout="constrained")
    window = returns.iloc[-63:]
    SpectrumDisplay.from_covariances(
        {
            "sample": np.cov(window, rowvar=False),
            "LedoitWolf": LedoitWolf().fit(window).covariance_,
            DIFFUSION: DiffusionCovarianceEstimator().fit(window).covariance_,
        },
        n_samples=len(window),
        correlation=True,
        ax=ax,
    )
    for line, colour in zip(ax.lines, CONTRAST, strict=True):
        line.set_color(colour)
    ax.legend(frameon=False)
    ax.set_title(f"{window.shape[1]} stocks, the last {len(window)} days", loc="left")
    ax.set_xticks(range(1, window.shape[1] + 1))
    save(figure, path)


# A stress test


def stress_test(model: DiffusionCovarianceEstimator, test: pd.DataFrame, path: Path) -> None:
    """Scenarios given a fall of one stock, beside the held-out days on which it fell so far."""
    scenarios = pd.DataFrame(
        model.sample(N_SCENARIOS, conditioning={STRESSED: STRESS}, random_state=2),
        columns=test.columns,
    )
    real = test[test[STRESSED].between(*STRESS)]
    table = pd.DataFrame(
        {
            "scenarios": scenarios.mean(),
            "held-out days": real.mean(),
            "scenarios, worst 5 %": scenarios.quantile(0.05),
        }
    ).sort_values("scenarios")
    print(f"Mean return, %, beside the {len(real)} held-out days on which it did fall so far:")
    print((100 * table).T.iloc[:, :10].to_string(float_format="{:.1f}".format))
    portfolio = scenarios.mean(axis=1)
    print(
        f"\nEqually weighted portfolio: {portfolio.mean():.1%} on average "
        f"({real.mean(axis=1).mean():.1%} on the real days), {portfolio.quantile(0.05):.1%} or "
        "worse in one scenario of twenty."
    )

    pyplot = import_pyplot()
    figure, ax = pyplot.subplots(figsize=(10, 4.5), layout="constrained")
    ordered = 100 * scenarios[table.index]
    position = np.arange(len(table))
    ax.vlines(
        position,
        ordered.quantile(0.05),
        ordered.quantile(0.95),
        color=PALETTE[0],
        alpha=0.3,
        linewidth=8,
        label="scenarios: 5 % to 95 %",
    )
    ax.plot(position, ordered.mean(), "_", color=PALETTE[0], markersize=14, label="mean")
    dots = ax.plot(position, 100 * real[table.index].T, ".", color="black", markersize=4, alpha=0.5)
    dots[0].set_label(f"{len(real)} held-out days of such a fall")
    ax.axhline(0, color=GREY, linewidth=0.8)
    ax.set_xticks(position, table.index, rotation=45)
    ax.set(ylabel="Return of the day (%)")
    low, high = STRESS
    ax.set_title(f"Given that {STRESSED} falls by {-high:.0%} to {-low:.0%}", loc="left")
    ax.legend(frameon=False, loc="lower right")
    save(figure, path)


if __name__ == "__main__":
    main()
