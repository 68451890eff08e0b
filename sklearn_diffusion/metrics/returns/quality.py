"""One table that says how good synthetic returns are."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from sklearn_diffusion.metrics.moments import moments_table
from sklearn_diffusion.metrics.returns.distribution import (
    classifier_two_sample_accuracy,
    correlation_error,
    cramer_von_mises,
    match_size,
    random_portfolios,
)
from sklearn_diffusion.metrics.returns.memorisation import memorisation_ratio
from sklearn_diffusion.metrics.returns.tails import tail_table
from sklearn_diffusion.utils.random_state import private_random_state
from sklearn_diffusion.utils.tables import (
    as_frame,
    as_pair,
    check_same_columns,
    check_varying,
)

__all__ = ["sample_quality"]


def sample_quality(
    train: ArrayLike,
    test: ArrayLike,
    synthetic: ArrayLike,
    *,
    n_portfolios: int = 200,
    random_state: int | np.random.RandomState | None = None,
) -> pd.Series:
    """Summarise how well synthetic returns follow held-out real ones.

    Parameters
    ----------
    train : array-like of shape (n_train, n_assets)
        Returns that the model was trained on.
    test : array-like of shape (n_test, n_assets)
        Real returns that it has not seen.
    synthetic : array-like of shape (n_synthetic, n_assets)
        Draws from the model; more rows than `test` has.
    n_portfolios : int, default=200
        Number of long-only and of long-short portfolios, as `random_portfolios` draws them with
        the standard deviations of `train`.
    random_state : int, RandomState or None, default=None
        Seed of the portfolios and of the choice of synthetic rows.

    Returns
    -------
    quality : Series
        ``cvm_long_only``, ``cvm_long_short``
            Cramer-von Mises pass rates at 5 %; .95 is ideal.
        ``quantile_error``
            Mean absolute relative error of the 0.5 % and 99.5 % quantiles, median over portfolios.
        ``kurtosis_ratio``
            Excess kurtosis, synthetic over real, median over portfolios; 1 is ideal.
        ``correlation_error``
            See `correlation_error`, with `train` as reference; 1 is ideal.
        ``std_error``
            Median over assets of the absolute log ratio of standard deviations; 0 is ideal.
        ``memorisation_ratio``
            See `memorisation_ratio`; 1 is ideal, 0 is a copy of the training days.
        ``classifier_accuracy``
            See `classifier_two_sample_accuracy`; 0.5 is ideal.
    """
    train_frame = as_frame(train, "train")
    check_varying(train_frame, "train")
    test_frame, synthetic_frame = as_pair(test, synthetic, real_name="test")
    check_same_columns(train_frame, test_frame, "train", "test")
    rng = private_random_state(random_state)
    real, drawn = test_frame.to_numpy(), synthetic_frame.to_numpy()
    n_assets = real.shape[1]
    scale = train_frame.to_numpy().std(axis=0)
    weights = {
        "long_only": random_portfolios(n_assets, n_portfolios, "long_only", random_state=rng),
        "long_short": random_portfolios(
            n_assets, n_portfolios, "long_short", scale=scale, random_state=rng
        ),
    }
    # One choice of rows for every figure that needs as many synthetic rows as real ones.
    matched = match_size(drawn, len(real), rng)
    everything = np.vstack(list(weights.values())).T
    tails = tail_table(real @ everything, drawn @ everything, q=(0.005, 0.995))
    kurtosis = moments_table(real @ everything, drawn @ everything)["kurtosis"]
    std = moments_table(real, drawn)["std"]
    quality = {
        f"cvm_{kind}": cramer_von_mises(real, matched, portfolios=rows).pass_rate
        for kind, rows in weights.items()
    }
    quality["quantile_error"] = (
        tails["quantile", "error"].abs().groupby(level="column").mean().median()
    )
    quality["kurtosis_ratio"] = (kurtosis["synthetic"] / kurtosis["real"]).median()
    quality["correlation_error"] = correlation_error(real, drawn, reference=train_frame.to_numpy())
    quality["std_error"] = np.log(std["synthetic"] / std["real"]).abs().median()
    quality["memorisation_ratio"] = memorisation_ratio(train_frame.to_numpy(), real, matched)
    quality["classifier_accuracy"] = classifier_two_sample_accuracy(real, matched, random_state=rng)
    return pd.Series(quality, dtype=float)
