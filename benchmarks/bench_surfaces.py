"""Surface forecasts: accuracy beside the baselines, time, and few steps of sampling against many.

    python benchmarks/bench_surfaces.py            minutes
    python benchmarks/bench_surfaces.py --paper    beside the paper's model: an hour on one core

Every panel's last 20 % of days are forecast a day ahead by models fitted once, on the days before
them. Figures are of cells inside the traded range. CRPS is of log volatility, times 10,000, and the
energy score of the whole log surface; arbitrage is the mean penalty of the samples. Real panels are
found as `surface_panels` says.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pandas as pd
from surface_panels import SurfacePanel, load_simulated, panels

from sklearn_diffusion import (
    BootstrapForecaster,
    ConditionalIVSurfaceForecaster,
    RandomWalkForecaster,
)
from sklearn_diffusion.arbitrage import arbitrage_penalty
from sklearn_diffusion.diffusion import DDPM, Multistep
from sklearn_diffusion.metrics import (
    ci_breach,
    ci_width,
    crps,
    daily_crps,
    diebold_mariano,
    energy_score,
    mape,
    sample_interval,
)

SEEDS = (0, 1, 2)
N_SAMPLES = 500
N_PAPER_SAMPLES, N_PAPER_DAYS = 100, 40
REFERENCE = "filtered bootstrap"
DEFAULT = "diffusion, default"
N_ANCESTRAL_STEPS, N_FEW_STEPS = 500, 25
# Samples of the comparison of samplers; fewer would drown it in their own noise.
N_SAMPLER_SAMPLES = 2000
MAKE: dict[str, Callable[[SurfacePanel, int], object]] = {
    "random walk": lambda panel, seed: RandomWalkForecaster(),
    "plain bootstrap": lambda panel, seed: BootstrapForecaster(filtered=False, random_state=seed),
    REFERENCE: lambda panel, seed: BootstrapForecaster(random_state=seed),
    DEFAULT: lambda panel, seed: ConditionalIVSurfaceForecaster(panel.grid, random_state=seed),
}


def main() -> None:
    """Print a table for each panel."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--paper", action="store_true", help="train the paper's model too")
    parser.add_argument("--max-epochs", type=int, default=2000, help="of the paper's model")
    parser.add_argument("--verbose", action="store_true", help="print a line per epoch")
    parser.add_argument("--panel", help="only the panel of this name")
    options = parser.parse_args()
    chosen = (panel for panel in panels() if options.panel in (None, panel.name))
    if options.paper:
        for panel in chosen:
            paper = train_paper(panel, options.max_epochs, int(options.verbose))
            compare_with_paper(panel, paper)
        return
    for panel in chosen:
        compare_with_baselines(panel)
    if options.panel is None:
        measure_time()
        compare_samplers()


# Accuracy


def score(
    panel: SurfacePanel, samples: np.ndarray, mean: np.ndarray
) -> tuple[dict[str, float], np.ndarray]:
    """Figures of a forecast, and its CRPS day by day."""
    y, mask = panel.y_test, panel.mask_test
    interval = sample_interval(samples, 0.9)
    figures = {
        "MAPE %": mape(y, mean, mask=mask),
        "CRPS": 1e4 * crps(y, samples, mask=mask, log=True),
        "energy": energy_score(y, samples, log=True),
        "90 % breach": ci_breach(y, interval, mask=mask),
        "width": ci_width(interval, mask=mask),
        "arbitrage": float(np.mean(arbitrage_penalty(samples, panel.grid))),
    }
    return figures, daily_crps(y, samples, mask=mask, log=True)


def score_baselines_and_default(
    panel: SurfacePanel, n_samples: int, seed: int
) -> tuple[dict[str, dict[str, float]], np.ndarray]:
    """Figures by forecaster, and the daily CRPS of the filtered bootstrap."""
    figures: dict[str, dict[str, float]] = {}
    daily: dict[str, np.ndarray] = {}
    for name, make in MAKE.items():
        forecaster = make(panel, seed).fit(panel.X_train, panel.y_train)
        samples = forecaster.sample(panel.X_test, n_samples)
        figures[name], daily[name] = score(panel, samples, forecaster.predict(panel.X_test))
    for name, values in daily.items():
        figures[name]["DM t"] = difference(values, daily[REFERENCE])
    return figures, daily[REFERENCE]


def difference(daily: np.ndarray, reference: np.ndarray) -> float:
    """Diebold-Mariano t of daily scores; below zero is better than the reference."""
    return np.nan if daily is reference else diebold_mariano(daily, reference).statistic


def compare_with_baselines(panel: SurfacePanel) -> None:
    """Score the default and the baselines."""
    print(f"\n{panel}\nmean of {len(SEEDS)} seeds, {N_SAMPLES} samples a day", flush=True)
    tables = [
        pd.DataFrame(score_baselines_and_default(panel, N_SAMPLES, seed)[0]).T for seed in SEEDS
    ]
    show(sum(tables[1:], tables[0]) / len(tables))


# The paper's model


def train_paper(
    panel: SurfacePanel, max_epochs: int, verbose: int
) -> ConditionalIVSurfaceForecaster:
    """The paper's model after its early stop, or after so many epochs."""
    print(f"\n{panel}", flush=True)
    began = time.perf_counter()
    paper = ConditionalIVSurfaceForecaster.paper(
        panel.grid,
        training__max_epochs=max_epochs,
        training__verbose=verbose,
        random_state=0,
    ).fit(panel.X_train, panel.y_train)
    validation = paper.validation_loss_curve_
    print(
        f"paper: {len(validation)} epochs in {time.perf_counter() - began:.0f} s, least validation "
        f"loss {validation.min():.4f} in epoch {validation.argmin() + 1}",
        flush=True,
    )
    return paper


def compare_with_paper(panel: SurfacePanel, paper: ConditionalIVSurfaceForecaster) -> None:
    """Score the paper's model beside the default and the baselines, on some of the test days.

    The paper's ancestral sampling walks 500 steps for each sample of each day: all days would take
    an hour on a small machine.
    """
    days = np.linspace(0, len(panel.X_test) - 1, N_PAPER_DAYS).astype(int)
    some = replace(
        panel,
        X_test=panel.X_test.iloc[days],
        y_test=panel.y_test.iloc[days],
        mask_test=panel.mask_test[days],
    )
    print(f"{len(days)} of the test days, one seed, {N_PAPER_SAMPLES} samples a day", flush=True)
    figures, reference = score_baselines_and_default(some, N_PAPER_SAMPLES, seed=0)
    for kind, n_steps in ((DDPM, N_ANCESTRAL_STEPS), (Multistep, N_FEW_STEPS)):
        paper.set_params(sampler=kind(n_steps, clip_denoised=paper.sampler.clip_denoised))
        samples = paper.sample(some.X_test, N_PAPER_SAMPLES)
        name = f"diffusion, paper, {n_steps} steps"
        figures[name], daily = score(some, samples, samples.mean(axis=0))
        figures[name]["DM t"] = difference(daily, reference)
    show(pd.DataFrame(figures).T)


# Time and samplers


def measure_time() -> None:
    """Time a fit and the sampling of a hundred days."""
    panel = load_simulated()
    X, y = panel.X_train[-700:], panel.y_train[-700:]
    forecaster = ConditionalIVSurfaceForecaster(panel.grid, random_state=0)
    rows = {}
    rows["fit, 700 days"] = seconds(lambda: forecaster.fit(X, y)), 60.0
    rows["100 samples x 100 days"] = seconds(lambda: forecaster.sample(panel.X_test[:100], 100)), 10
    print("\nSeconds, 9 x 9 cells")
    print(pd.DataFrame(rows, index=["measured", "bar"]).T.to_string(float_format="{:.2f}".format))


def compare_samplers() -> None:
    """The default's few-step sampler against ancestral sampling of the very same model."""
    panel = load_simulated()
    forecaster = ConditionalIVSurfaceForecaster(panel.grid, random_state=0)
    forecaster.fit(panel.X_train, panel.y_train)
    rows = {}
    for sampler, n_steps in (("multistep", N_FEW_STEPS), ("ddpm", N_ANCESTRAL_STEPS)):
        forecaster.set_params(sampler=sampler, n_sampling_steps=n_steps)
        began = time.perf_counter()
        scores = [
            crps(panel.y_test, forecaster.sample(panel.X_test, N_SAMPLER_SAMPLES, seed), log=True)
            for seed in SEEDS
        ]
        rows[f"{sampler}, {n_steps} steps"] = {
            "evaluations": n_steps,
            "CRPS": 1e4 * np.mean(scores),
            "seconds": (time.perf_counter() - began) / len(SEEDS),
        }
    table = pd.DataFrame(rows).T
    ratio = table.iloc[1] / table.iloc[0]
    print(f"\nSamplers of the default model, {N_SAMPLER_SAMPLES} samples of {panel}")
    print(table.to_string(float_format="{:.2f}".format))
    print(
        f"{ratio['evaluations']:.1f} times fewer evaluations; CRPS {1 / ratio['CRPS'] - 1:+.2%} "
        "against ancestral sampling"
    )


def seconds(work: Callable[[], object]) -> float:
    """Wall-clock time of a call."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def show(table: pd.DataFrame) -> None:
    """Print scores, each with its decimals."""
    decimals = {"energy": 4, "width": 4, "arbitrage": 4, "MAPE %": 3}
    formats = {name: f"{{:.{decimals.get(name, 1)}f}}".format for name in table.columns}
    print(table.to_string(formatters=formats, na_rep=""), flush=True)


if __name__ == "__main__":
    main()
