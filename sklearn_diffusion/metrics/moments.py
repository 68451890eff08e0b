"""Moments of real and synthetic data, side by side."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import kurtosis, skew

from sklearn_diffusion.utils.tables import (
    as_pair,
    check_varying,
)

__all__ = ["moments_table"]


def moments_table(real: ArrayLike, synthetic: ArrayLike) -> pd.DataFrame:
    """Mean, standard deviation, skewness and excess kurtosis of real and synthetic returns.

    Parameters
    ----------
    real, synthetic : array-like of shape (n_rows,) or (n_rows, n_columns)
        Real returns and draws from the model, of assets or of portfolios.

    Returns
    -------
    table : DataFrame of shape (n_columns, 8)
        Columns (moment, sample) with the moments ``"mean"``, ``"std"``, ``"skewness"`` and
        ``"kurtosis"`` (0 for a normal law) and the samples ``"real"`` and ``"synthetic"``.
        Moments are those of the empirical law: they divide by n.
    """
    real_frame, synthetic_frame = as_pair(real, synthetic)
    check_varying(real_frame, "real")
    check_varying(synthetic_frame, "synthetic")
    moments = {"mean": np.mean, "std": np.std, "skewness": skew, "kurtosis": kurtosis}
    samples = {"real": real_frame.to_numpy(), "synthetic": synthetic_frame.to_numpy()}
    return pd.DataFrame(
        {
            (moment, sample): function(values, axis=0)
            for moment, function in moments.items()
            for sample, values in samples.items()
        },
        index=real_frame.columns,
    )
