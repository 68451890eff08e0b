"""Whether a model has learnt the law of the returns or the days it was trained on."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from sklearn.neighbors import NearestNeighbors

from sklearn_diffusion.utils.tables import as_frame, check_same_columns, check_varying

__all__ = ["memorisation_ratio"]


def memorisation_ratio(train: ArrayLike, test: ArrayLike, synthetic: ArrayLike) -> float:
    r"""Distance of synthetic rows to the training rows, in units of that of unseen days.

    Parameters
    ----------
    train : array-like of shape (n_train, n_assets)
        Returns that the model was trained on.
    test : array-like of shape (n_test, n_assets)
        Real returns that it has not seen.
    synthetic : array-like of shape (n_synthetic, n_assets)
        Draws from the model.

    Returns
    -------
    ratio : float
        1: draws are as novel as unseen days. 0: copies of training days. Above 1: draws keep away
        from the data, as those of too wide or too plain a law do.

    Notes
    -----
    The median over rows of the Euclidean distance to the nearest training row, each asset divided
    by its standard deviation in `train`, for `synthetic` over the same for `test`.

    Examples
    --------
    >>> import numpy as np
    >>> from sklearn_diffusion.metrics import memorisation_ratio
    >>> train, test = np.random.RandomState(0).randn(2, 300, 5)
    >>> memorisation_ratio(train, test, train[:100])
    0.0
    """
    train_frame = as_frame(train, "train")
    check_varying(train_frame, "train")
    scale = train_frame.to_numpy().std(axis=0)
    neighbours = NearestNeighbors(n_neighbors=1).fit(train_frame.to_numpy() / scale)

    def typical_distance(values: ArrayLike, name: str) -> float:
        frame = as_frame(values, name, min_rows=1)
        check_same_columns(train_frame, frame, "train", name)
        return float(np.median(neighbours.kneighbors(frame.to_numpy() / scale)[0]))

    unseen = typical_distance(test, "test")
    if unseen == 0:
        raise ValueError("most rows of test are also in train: test must be unseen days.")
    return typical_distance(synthetic, "synthetic") / unseen
