"""
From returns to a covariance, and the distribution behind it
============================================================

A covariance matrix is what portfolio optimisers ask for, but it is only the second moment of what
can happen. Here one model gives both: a diffusion model of daily returns, stopped early.
"""

# %%
# Real returns
# ------------
# Twenty stocks of the S&P 500, as daily simple returns. The even days train, the odd days judge:
# both have seen the same crises.

import numpy as np
from matplotlib import pyplot as plt
from sklearn.covariance import LedoitWolf

from sklearn_diffusion import DiffusionCovarianceEstimator
from sklearn_diffusion.datasets import load_sp500_returns
from sklearn_diffusion.metrics import cramer_von_mises, tail_table, walk_forward_minimum_variance
from sklearn_diffusion.plotting import QQDisplay, SpectrumDisplay

returns = load_sp500_returns(start="2005")
train, test = returns.iloc[::2], returns.iloc[1::2]

# %%
# One line changes
# ----------------
# The estimator has the interface of :class:`sklearn.covariance.LedoitWolf`. By default it weighs
# recent days more, which needs rows in time order, one per day; alternate days are best taken as
# exchangeable.

model = DiffusionCovarianceEstimator(half_life=None, random_state=0).fit(train)
ledoit_wolf = LedoitWolf().fit(train)
print(f"stopping time {model.stop_time_:.3f}, covariance of shape {model.covariance_.shape}")

# %%
# Does it pay? On each of sixty months, both are fitted on the half-year before, and their
# minimum-variance portfolios are held for the month.

backtest = walk_forward_minimum_variance(
    returns,
    {"diffusion": DiffusionCovarianceEstimator(random_state=0), "LedoitWolf": LedoitWolf()},
    window=126,
    last=60,
)
print(backtest.summary[["volatility", "relative_volatility"]].round(3))

# %%
# What the stopping time does shows in the spectrum of a single quarter: the smallest sample
# eigenvalues, which an optimiser would load on, are mostly noise.

quarter = returns.iloc[-63:]
SpectrumDisplay.from_covariances(
    {
        "sample": np.cov(quarter, rowvar=False),
        "Ledoit-Wolf": LedoitWolf().fit(quarter).covariance_,
        "diffusion": DiffusionCovarianceEstimator().fit(quarter).covariance_,
    },
    n_samples=len(quarter),
    correlation=True,
)
plt.show()

# %%
# The distribution
# ----------------
# The same model draws scenarios. A Gaussian of Ledoit-Wolf's covariance has the same second moments
# and is rejected for every portfolio by a Cramer-von Mises test on unseen days.

scenarios = model.sample(20_000, random_state=1)
gaussian = np.random.RandomState(1).multivariate_normal(
    ledoit_wolf.location_, ledoit_wolf.covariance_, 20_000
)
for name, drawn in {"diffusion": scenarios, "Gaussian": gaussian}.items():
    for kind in ("long_only", "long_short"):
        result = cramer_von_mises(test, drawn, portfolios=kind, random_state=0)
        print(f"{name:10s} {kind:10s} pass rate {result.pass_rate:.2f}")

# %%
# Risk sits in the tails: worst days of the equally weighted portfolio, in percent.

table = tail_table(test.mean(axis=1), scenarios.mean(axis=1), q=[0.001, 0.01, 0.05])
print((100 * table[["quantile", "shortfall"]].drop(columns="error", level=1)).round(2))

# %%
# Quantile by quantile, with the band in which real quantiles fall by chance if the model is right
# and days are independent:

weights = np.full(20, 1 / 20)
display = QQDisplay.from_samples(test, scenarios, weights=weights, name="diffusion")
QQDisplay.from_samples(
    test, gaussian, weights=weights, name="Gaussian", ax=display.ax_, band=False, diagonal=False
)
display.ax_.set_title("Equally weighted portfolio, unseen days")
plt.show()
