"""
From option quotes to a forecast
================================

A file of option quotes goes in; tomorrow's implied-volatility surface comes out as a distribution.
The file here is written from a simulated market, so that the example runs anywhere. For your own::

    python plot_4_quotes_to_surfaces.py quotes.csv --rate 0.025

with the columns ``date, expiry, type, strike, price``, or an OptionMetrics "Option Prices" file.
"""

# %%
# The quotes
# ----------
# Calls and puts on strikes 2.5 % apart and monthly expiries, as an exchange lists them. Each price
# has an error of one percent of its volatility, and one deep quote in five is not traded.

import argparse
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

from sklearn_diffusion import (
    BootstrapForecaster,
    ConditionalIVSurfaceForecaster,
    RandomWalkForecaster,
    SurfaceGrid,
    SurfaceSmoother,
    make_forecast_frame,
)
from sklearn_diffusion.datasets import MarketState, load_option_quotes, make_iv_surfaces
from sklearn_diffusion.metrics import ci_breach, crps, mape, sample_interval
from sklearn_diffusion.plotting import FanDisplay, SurfaceDisplay
from sklearn_diffusion.pricing import black_price

GRID = SurfaceGrid(
    moneyness=[0.925, 0.95, 0.975, 1.0, 1.025, 1.05, 1.075],
    tenors=np.array([30, 60, 90, 120]) / 365,
)


def write_simulated_quotes(path: Path, n_days: int = 500) -> None:
    """Closing prices of the simulated market."""
    market = make_iv_surfaces(n_days, random_state=0)
    rng = np.random.RandomState(0)
    listed = pd.date_range("2010-01-01", "2015-01-01", freq="WOM-3FRI")
    days = []
    for position, (date, spot) in enumerate(zip(market.dates, market.spot, strict=True)):
        expiries = listed[listed > date + pd.Timedelta(days=2)][:7]
        tenors = (expiries - date).days.to_numpy() / 365
        strikes = 2.5 * np.arange(np.ceil(0.85 * spot / 2.5), np.floor(1.15 * spot / 2.5) + 1)
        state = MarketState(*(values[[position]] for values in market.oracle.states))
        clean = market.oracle.market.surfaces(state, SurfaceGrid(strikes / spot, tenors))
        day = pd.MultiIndex.from_product(
            [[date], strikes, expiries, ["C", "P"]], names=["date", "strike", "expiry", "type"]
        ).to_frame(index=False)
        volatility = np.repeat(clean, 2) * np.exp(0.01 * rng.normal(size=len(day)))
        tau = (day["expiry"] - date).dt.days / 365
        is_call = day["type"] == "C"
        day["price"] = black_price(spot, day["strike"], tau, volatility, is_call=is_call).round(4)
        is_deep = np.abs(day["strike"] / spot - 1) > 0.1
        day["volume"] = np.where(is_deep & (rng.uniform(size=len(day)) < 0.2), 0, 100)
        days.append(day[day["price"] >= 0.001])
    pd.concat(days).to_csv(path, index=False)


parser = argparse.ArgumentParser()
parser.add_argument("quotes", nargs="?", type=Path, help="CSV of quotes of one underlying")
parser.add_argument("--rate", type=float, default=0.0, help="interest rate, continuous")
options = parser.parse_args()

if options.quotes is None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "quotes.csv")
        write_simulated_quotes(path)
        quotes = load_option_quotes(path)
else:
    quotes = load_option_quotes(options.quotes)
print(quotes.head().to_string())

# %%
# Surfaces
# --------
# The smoother takes forward prices from put-call parity, inverts Black's formula for all quotes at
# once, keeps those out of the money that were traded, and chooses its bandwidths by leaving quotes
# out. Its report says what became of each day's quotes.

smoothers = {
    method: SurfaceSmoother(
        GRID, method=method, rate=options.rate, on_sparse_day="drop", min_quotes=20
    )
    for method in ("local_linear", "nadaraya_watson")
}
surfaces = {method: smoother.fit_transform(quotes) for method, smoother in smoothers.items()}
smoother = smoothers["local_linear"]
print(smoother.report_.describe().loc[["mean", "min", "max"]].T.round(1).to_string())

# %%
# The kernel average of Jin & Agarwal (arXiv:2511.07571) flattens a steep smile at its edges; the
# local linear regression does not. One day's smiles by both:

day = surfaces["local_linear"].index[-1]
figure, axes = plt.subplots(1, 2, figsize=(11, 4.5), sharey=True, layout="constrained")
for ax, (method, smoothed) in zip(axes, surfaces.items(), strict=True):
    SurfaceDisplay(smoothed.loc[day], GRID, title=f"{method}, {day.date()}").plot(ax=ax)
axes[1].set_ylabel("")

# %%
# Only days on which nearly every cell is inside the traded range are used; the mask says which
# cells to score.

frame = surfaces["local_linear"]
traded = smoother.mask_.mean(axis=1) >= 0.9
frame, mask, spot = frame[traded], smoother.mask_[traded], smoother.spot_[traded]
print(f"{len(frame)} of {len(traded)} days")
if frame.empty:
    raise SystemExit("On no day do the quotes reach nine tenths of the cells: narrow GRID to them.")
display = SurfaceDisplay(frame.iloc[-1], GRID, title=f"{frame.index[-1].date()}").plot(kind="3d")

# %%
# Features and forecast
# ---------------------
# Without a volatility index, the surface's own volatility at the money for a month stands in.

one_month = GRID.cell_names[GRID.moneyness.tolist().index(1.0) * len(GRID.tenors)]
X, y, left_out = make_forecast_frame(
    frame, spot, 100 * frame[one_month], grid=GRID, return_report=True
)
scored = mask[frame.index.get_indexer(X.index) + 1]
n_train = int(0.8 * len(X))
train, test = slice(None, n_train), slice(n_train, None)
print(left_out["reason"].value_counts().to_string())

forecasters = {
    "random walk": RandomWalkForecaster(),
    "filtered bootstrap": BootstrapForecaster(random_state=0),
    "diffusion": ConditionalIVSurfaceForecaster(GRID, random_state=0),
}
samples = {
    name: forecaster.fit(X[train], y[train]).sample(X[test], n_samples=500)
    for name, forecaster in forecasters.items()
}
scores = {
    name: {
        "MAPE %": mape(y[test], drawn.mean(axis=0), mask=scored[test]),
        "CRPS x 10,000": 1e4 * crps(y[test], drawn, mask=scored[test], log=True),
        "90 % breach": ci_breach(y[test], sample_interval(drawn, 0.9), mask=scored[test]),
    }
    for name, drawn in samples.items()
}
print(pd.DataFrame(scores).T.round(2).to_string())

# %%
# A month at the money, day by day.

figure, ax = plt.subplots(figsize=(10, 4.5), layout="constrained")
cell = GRID.cell_names.tolist().index(one_month)
display = FanDisplay.from_samples(y[test], samples["diffusion"], cell=cell, grid=GRID, ax=ax)
plt.show()
