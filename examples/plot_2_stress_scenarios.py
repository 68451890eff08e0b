"""
Stress scenarios by conditioning
================================

What happens to the rest of the book when one stock falls? A fitted distribution answers by
conditioning on a partial observation, without looking for days on which it happened.
"""

# %%
# Fit on even days since 2005 and keep the odd days to check with.

import numpy as np
import pandas as pd
from matplotlib import pyplot as plt

from sklearn_diffusion import DiffusionCovarianceEstimator
from sklearn_diffusion.datasets import load_sp500_returns

returns = load_sp500_returns(start="2005")
train, test = returns.iloc[::2], returns.iloc[1::2]
model = DiffusionCovarianceEstimator(half_life=None, random_state=0).fit(train)

# %%
# JPMorgan falls by 5 to 10 %
# ---------------------------
# A pair of numbers bounds a return. The other nineteen follow their conditional distribution.

fall = (-0.10, -0.05)
scenarios = pd.DataFrame(
    model.sample(10_000, conditioning={"JPM": fall}, random_state=1), columns=returns.columns
)
happened = test[test["JPM"].between(*fall)]
means = pd.DataFrame({"scenarios": scenarios.mean(), "days it happened": happened.mean()})
print(f"{len(happened)} unseen days of such a fall; mean returns in percent:")
print((100 * means.sort_values("scenarios")).round(1).head(8))

# %%
# A Gaussian would answer by linear regression: a fall of 6.5 % moves every other stock by its
# beta, and their volatility stays what it is on a quiet day. Here a large fall makes a turbulent
# state likely, so the whole market is wilder.

calm = pd.DataFrame(
    model.sample(10_000, conditioning={"JPM": (-0.01, 0.01)}, random_state=1),
    columns=returns.columns,
)
volatility = pd.DataFrame(
    {
        "JPM falls by 5 to 10 %": scenarios.std(),
        "days it happened": happened.std(),
        "JPM moves by less than 1 %": calm.std(),
        "days it did not": test[test["JPM"].abs() < 0.01].std(),
    }
).drop("JPM")
print((100 * volatility).T.round(1).iloc[:, :8].to_string())

# %%
figure, ax = plt.subplots(figsize=(9, 4.5), layout="constrained")
order = volatility.sort_values("days it happened").index
for name, colour in zip(volatility, ("tab:red", "tab:red", "tab:blue", "tab:blue"), strict=True):
    style = {"marker": ".", "markersize": 7, "alpha": 0.6}
    if name.startswith("JPM"):
        style = {"marker": "_", "markersize": 16, "markeredgewidth": 2}
    label = f"scenarios: {name}" if name.startswith("JPM") else name
    ax.plot(100 * volatility.loc[order, name], linestyle="", color=colour, label=label, **style)
ax.set(ylabel="Volatility given JPM (% a day)")
ax.tick_params(axis="x", rotation=45)
ax.legend(frameon=False)
plt.show()

# %%
# Several observations at once
# ----------------------------
# Oil falls with the banks: Exxon at exactly -4 %, JPMorgan down by 3 % or more, whatever Apple does
# above -2 %. What does that cost an equally weighted portfolio?

observed = {"XOM": -0.04, "JPM": (None, -0.03), "AAPL": (-0.02, None)}
stressed = model.sample(10_000, conditioning=observed, random_state=1).mean(axis=1)
unconditional = model.sample(10_000, random_state=1).mean(axis=1)

figure, ax = plt.subplots(figsize=(8, 4), layout="constrained")
bins = np.linspace(-8, 6, 120)
for drawn, name in ((unconditional, "any day"), (stressed, "stressed")):
    shortfall = drawn[drawn <= np.quantile(drawn, 0.05)].mean()
    label = f"{name}: mean {drawn.mean():.1%}, 5 % shortfall {shortfall:.1%}"
    ax.hist(100 * drawn, bins, density=True, alpha=0.6, label=label)
ax.set(xlabel="Return of the equally weighted portfolio (%)", ylabel="Density")
ax.legend(frameon=False)
plt.show()
