"""
Tomorrow's volatility surface as a distribution
===============================================

An option book needs more than a guess of tomorrow's implied-volatility surface: it needs the law of
it, with cells that move together as they do. Here a conditional diffusion model learns that law
from history, and a simulated market, whose true law is known, judges it.
"""

# %%
# A market
# --------
# A thousand days of surfaces on 9 levels of moneyness by 9 tenors, from one day to one year, with
# the underlying's price and a volatility index. The level, the skew, the term structure and the
# volatility of volatility move at random; each quote has an error of 2 %, as real ones have.

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

from sklearn_diffusion import (
    BootstrapForecaster,
    ConditionalIVSurfaceForecaster,
    RandomWalkForecaster,
    make_forecast_frame,
)
from sklearn_diffusion.arbitrage import arbitrage_penalty
from sklearn_diffusion.datasets import make_iv_surfaces
from sklearn_diffusion.metrics import (
    ci_breach,
    crps,
    daily_crps,
    diebold_mariano,
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

market = make_iv_surfaces(1000, quote_noise=0.02, random_state=0)
display = SurfaceDisplay(market.surfaces[-1], market.grid, title="The last day").plot(kind="3d")

# %%
# From data to features
# ---------------------
# What is known on a day (its surface, two moving averages of it, and twelve numbers on the
# underlying, the volatility index and the surface's own volatility) is paired with the next day's
# surface. Nothing looks ahead, and no lag crosses a gap in the dates.

X, y = make_forecast_frame(
    market.surfaces, market.spot, market.vix, dates=market.dates, grid=market.grid
)
n_train = 800
X_train, y_train, X_test, y_test = X[:n_train], y[:n_train], X[n_train:], y[n_train:]
print(f"{X.shape[0]} days, {X.shape[1]} features:", *X.columns[-12:], sep="\n  ")

# %%
# Fit
# ---
# The default model forecasts the change of the log surface in units of its current volatility. Its
# denoiser is a closed form, which a network corrects if that lowers the loss on the last training
# days by more than twice the standard error, and not otherwise.

model = ConditionalIVSurfaceForecaster(market.grid, random_state=0).fit(X_train, y_train)
gain, error = model.network_gain_
print(f"the network lowers the validation loss by {gain:.1e}, give or take {error:.1e}")

# %%
# Samples
# -------
# Five hundred surfaces for each of the test days. The smiles of the day of the largest move: the
# intervals widen in the wings and at short tenors, as the moves themselves do.

samples = model.sample(X_test, n_samples=500)
today = X_test.iloc[:, : market.grid.n_cells].to_numpy()
day = int(np.abs(np.log(y_test / today)).mean(axis=1).argmax())
low, high = market.grid.unflatten(np.quantile(samples[:, day], (0.05, 0.95), axis=0))
real, before = market.grid.unflatten(np.stack([y_test.iloc[day], today[day]]))

figure, axes = plt.subplots(1, 3, figsize=(11, 4), layout="constrained")
for ax, (name, column) in zip(
    axes, {"One week": 1, "One month": 3, "One year": 8}.items(), strict=True
):
    ax.fill_between(
        market.grid.moneyness,
        100 * low[:, column],
        100 * high[:, column],
        alpha=0.3,
        label="90 % interval",
    )
    ax.plot(market.grid.moneyness, 100 * before[:, column], "--", color="grey", label="today")
    ax.plot(market.grid.moneyness, 100 * real[:, column], ".k", label="tomorrow")
    ax.set_title(name, loc="left")
    ax.set_xlabel("Moneyness")
axes[0].set_ylabel("Implied volatility (%)")
axes[0].legend(frameon=False)

# %%
# One cell through time: a month at the money.

cell = int(np.flatnonzero(market.grid.cell_names == "m1.00_t0.083")[0])
figure, ax = plt.subplots(figsize=(10, 4.5), layout="constrained")
display = FanDisplay.from_samples(y_test, samples, cell=cell, grid=market.grid, ax=ax)

# %%
# How good is it?
# ---------------
# A forecast of volatility has to beat "tomorrow is as today", and a forecast of its law the changes
# of past days, drawn at random and scaled by the current volatility. No forecast can beat the law
# by which the market was simulated, which knows its hidden state and the true volatilities behind
# the quotes.

drawn = {
    "random walk": RandomWalkForecaster().fit(X_train, y_train).sample(X_test, 500),
    "filtered bootstrap": (
        BootstrapForecaster(random_state=0).fit(X_train, y_train).sample(X_test, 500)
    ),
    "diffusion": samples,
    "true law": np.stack(
        [
            market.oracle.sample_next(position, 500, random_state=position)
            for position in market.dates.get_indexer(X_test.index)
        ],
        axis=1,
    ),
}
scores = {
    name: {
        "MAPE %": mape(y_test, surfaces.mean(axis=0)),
        "CRPS x 10,000": 1e4 * crps(y_test, surfaces, log=True),
        "90 % breach": ci_breach(y_test, sample_interval(surfaces, 0.9)),
        "arbitrage x 1,000": 1e3 * arbitrage_penalty(surfaces[:100], market.grid).mean(),
    }
    for name, surfaces in drawn.items()
}
print(pd.DataFrame(scores).T.round(2).to_string())

# %%
# The difference is no luck of a few days:

test = diebold_mariano(
    daily_crps(y_test, drawn["diffusion"], log=True),
    daily_crps(y_test, drawn["filtered bootstrap"], log=True),
)
print(f"Diebold-Mariano t {test.statistic:.1f}, p-value {test.pvalue:.1e}")

# %%
# Accuracy and calibration by moneyness and tenor, as in Table 1 of Jin & Agarwal
# (arXiv:2511.07571): at the money (ATM), at moneyness 1.3 (OTM) and 0.7 (ITM, both as for a call).

table = surface_table(y_test, samples, buckets=paper_buckets(market.grid))
print(table.mul([1, 1, 100, 100, 1, 1e4]).round(2).to_string())

# %%
# Are the intervals right?
# ------------------------
# Intervals of every coverage hold about as many truths as they promise.

figure, axes = plt.subplots(1, 2, figsize=(11, 5), layout="constrained")
for ax, kind in zip(axes, ("coverage", "pit"), strict=True):
    for name in ("diffusion", "filtered bootstrap"):
        ReliabilityDisplay.from_samples(
            y_test, drawn[name], name=name, ax=ax, kind=kind, reference=name == "diffusion"
        )

# %%
# Do the samples admit arbitrage?
# -------------------------------
# The model is not told what arbitrage is. Because it forecasts the true surface's change and not
# the errors of single quotes, its samples have hardly any, where those of the bootstrap do.

figure, axes = plt.subplots(2, figsize=(10, 6), sharex=True, sharey=True, layout="constrained")
for ax, name in zip(axes, ("filtered bootstrap", "diffusion"), strict=True):
    ArbitrageDisplay.from_samples(y_test, drawn[name][:100], market.grid, name=name, ax=ax)
axes[0].set_xlabel("")
plt.show()
