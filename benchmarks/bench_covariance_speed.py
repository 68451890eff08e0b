"""Time and memory of a fit, by size of the panel, beside scikit-learn's estimators.

Every fit runs in a process of its own, so that its peak memory is its own; the time is that of
the second of two fits, imports and first calls left out.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from typing import Any

import pandas as pd

SIZES = ((20, 2500), (100, 1260), (500, 1260), (1000, 252))
BARS = {(20, 2500): 1, (100, 1260): 2, (500, 1260): 10, (1000, 252): 20}
N_SCENARIOS = 20_000


def make_estimators() -> dict[str, Callable[[], Any]]:
    """Estimators by name; imported in the process that is measured."""
    from sklearn.covariance import OAS, LedoitWolf
    from sklearn.mixture import GaussianMixture

    from sklearn_diffusion import DiffusionCovarianceEstimator
    from sklearn_diffusion.baselines import QuadraticInverseShrinkage

    return {
        "diffusion": lambda: DiffusionCovarianceEstimator(random_state=0),
        "LedoitWolf": LedoitWolf,
        "OAS": OAS,
        "quadratic-inverse": QuadraticInverseShrinkage,
        "GaussianMixture(3)": lambda: GaussianMixture(3, random_state=0),
    }


NAMES = ("diffusion", "LedoitWolf", "OAS", "quadratic-inverse", "GaussianMixture(3)")


def measure(name: str, n_assets: int, n_days: int) -> None:
    """Print seconds to fit, seconds to draw scenarios (or null) and peak memory in GiB."""
    from sklearn_diffusion.datasets import make_factor_returns

    returns = make_factor_returns(n_days, n_assets, random_state=0).returns
    make = make_estimators()[name]
    warnings.simplefilter("ignore")
    make().fit(returns)
    began = time.perf_counter()
    model = make().fit(returns)
    fit = time.perf_counter() - began
    draw = None
    if hasattr(model, "sample"):
        began = time.perf_counter()
        model.sample(N_SCENARIOS)
        draw = time.perf_counter() - began
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(json.dumps([fit, draw, memory]))


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", nargs=3, metavar=("NAME", "ASSETS", "DAYS"))
    one = parser.parse_args().measure
    if one:
        measure(one[0], int(one[1]), int(one[2]))
        return
    rows = []
    for n_assets, n_days in SIZES:
        for name in NAMES:
            command = [sys.executable, __file__, "--measure", name, str(n_assets), str(n_days)]
            result = subprocess.run(command, capture_output=True, text=True)
            if result.returncode:
                reason = result.stderr.strip().splitlines()[-1][:60]
                rows.append((n_assets, n_days, name, reason, "", "", ""))
                continue
            fit, draw, memory = json.loads(result.stdout.splitlines()[-1])
            bar = BARS[n_assets, n_days] if name == "diffusion" else ""
            rows.append(
                (
                    n_assets,
                    n_days,
                    name,
                    f"{fit:.3f}",
                    bar,
                    "" if draw is None else f"{draw:.2f}",
                    f"{memory:.2f}",
                )
            )
        print(f"{n_assets} assets, {n_days} days done", flush=True)
    columns = ["assets", "days", "estimator", "fit, s", "bar, s", "20,000 draws, s", "peak, GiB"]
    print(pd.DataFrame(rows, columns=columns).to_string(index=False))


if __name__ == "__main__":
    main()
