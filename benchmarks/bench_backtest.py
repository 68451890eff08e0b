"""Out-of-sample volatility of minimum-variance portfolios, by estimator and training window.

Every 21 days each estimator is fitted on the window before and its portfolio held for 21 days,
without costs; the Gaussian log-likelihood of those days, per day and asset, judges the covariance
as a risk forecast. All windows of a panel are judged on the same days. Panels: 20 stocks of the
S&P 500 (1990-2022) and five factor ETFs (2014-2022), both shipped with skfolio. They are among the
panels on which the constants of the default model were chosen.
"""

from __future__ import annotations

import argparse
import warnings

import numpy as np
import pandas as pd
from skfolio.datasets import load_factors_dataset
from sklearn.covariance import OAS, EmpiricalCovariance, LedoitWolf
from sklearn.model_selection import TimeSeriesSplit, cross_val_score

from sklearn_diffusion import DiffusionCovarianceEstimator
from sklearn_diffusion.baselines import QuadraticInverseShrinkage, RecencyWeightedShrinkage
from sklearn_diffusion.datasets import load_sp500_returns
from sklearn_diffusion.metrics import walk_forward_minimum_variance

WINDOWS, STEP = (126, 252, 1260), 21


def quadratic_inverse_of_correlation(window: pd.DataFrame) -> np.ndarray:
    """Quadratic-inverse shrinkage in z-scored units."""
    std = window.to_numpy().std(axis=0)
    return QuadraticInverseShrinkage().fit(window / std).covariance_ * np.outer(std, std)


ESTIMATORS = {
    "diffusion": DiffusionCovarianceEstimator(random_state=0),
    "LedoitWolf": LedoitWolf(),
    "OAS": OAS(),
    "quadratic-inverse": QuadraticInverseShrinkage(),
    "quadratic-inverse (corr.)": quadratic_inverse_of_correlation,
    "shrunk .3 (corr.)": RecencyWeightedShrinkage(half_life=None, shrinkage=0.3),
    "recency 125, shrunk .3": RecencyWeightedShrinkage(half_life=125, shrinkage=0.3),
    "sample": EmpiricalCovariance(),
}


def held_out_log_likelihood(returns: pd.DataFrame, window: int, n_months: int) -> pd.Series:
    """Mean log-likelihood of the months after each fit, per day and asset."""
    months = TimeSeriesSplit(n_months, max_train_size=window, test_size=STEP)
    return pd.Series(
        {
            name: cross_val_score(estimator, returns, cv=months).mean() / returns.shape[1]
            for name, estimator in ESTIMATORS.items()
            if hasattr(estimator, "score")
        }
    )


def main() -> None:
    """Print a table for each panel."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--last", type=int, help="only the last so many rebalances")
    last = parser.parse_args().last
    warnings.simplefilter("ignore")
    panels = {
        "20 stocks of the S&P 500": load_sp500_returns(),
        "5 factor ETFs": load_factors_dataset().pct_change(fill_method=None).iloc[1:],
    }
    for title, returns in panels.items():
        table, likelihood = {}, {}
        for window in WINDOWS:
            backtest = walk_forward_minimum_variance(
                returns, ESTIMATORS, window=window, step=STEP, first=max(WINDOWS), last=last
            )
            table[window] = backtest.summary
            n_months = len(backtest.returns) // STEP
            likelihood[window] = held_out_log_likelihood(returns, window, n_months)
            print(f"{title}: window {window} done", flush=True)
        held = backtest.returns.index
        print(f"\n{title}, {held[0].date()} to {held[-1].date()}")
        volatility = pd.DataFrame({w: 100 * s["volatility"] for w, s in table.items()})
        peers = volatility.drop("diffusion").min()
        columns = {
            "volatility, %": volatility,
            "over LedoitWolf": volatility / volatility.loc["LedoitWolf"],
            "over the best peer": volatility / peers,
            "log-likelihood": pd.DataFrame(likelihood),
            "median fit, ms": pd.DataFrame({w: 1e3 * s["fit_seconds"] for w, s in table.items()}),
        }
        everything = pd.concat(columns, axis=1).rename_axis(None)
        print(everything.to_string(float_format="{:.3f}".format), flush=True)


if __name__ == "__main__":
    main()
