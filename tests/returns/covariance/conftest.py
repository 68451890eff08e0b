"""Panels, models and measures that the tests of `DiffusionCovarianceEstimator` share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from sklearn_diffusion import DiffusionCovarianceEstimator
from sklearn_diffusion.datasets import make_factor_returns
from sklearn_diffusion.diffusion import EulerMaruyama
from sklearn_diffusion.returns import HiddenLayer

SMALL_PAPER = {
    "n_units": 12,
    "n_hermite": 6,
    "n_time_nodes": 8,
    "sampler": EulerMaruyama(60),
    "n_synthetic": 3000,
}


@pytest.fixture
def names() -> list[str]:
    return ["AAPL", "JPM", "KO", "XOM"]


@pytest.fixture
def panel() -> Callable[..., np.ndarray]:
    """Returns of a factor model, as an array."""

    def make(n_samples: int = 300, n_assets: int = 4, seed: int = 0, **parameters: Any):
        return make_factor_returns(n_samples, n_assets, random_state=seed, **parameters).returns

    return make


@pytest.fixture
def frame(panel, names) -> Callable[..., pd.DataFrame]:
    """The same for four assets, with their names."""
    return lambda n_samples=300: pd.DataFrame(panel(n_samples, len(names)), columns=names)


@pytest.fixture
def model() -> Callable[..., DiffusionCovarianceEstimator]:
    """The estimator with a seed."""
    return lambda **parameters: DiffusionCovarianceEstimator(random_state=0, **parameters)


@pytest.fixture
def small_paper() -> Callable[..., HiddenLayer]:
    """The paper's score model, small enough to train in a moment."""
    return lambda **parameters: HiddenLayer(**SMALL_PAPER | parameters)


@pytest.fixture(
    params=[
        ({}, (300, 4)),
        ({"half_life": 30.0}, (25, 60)),
        ({"score_model": HiddenLayer(**SMALL_PAPER)}, (300, 4)),
    ],
    ids=["more_days", "more_assets", "paper"],
)
def kind(request) -> tuple[dict[str, Any], tuple[int, int]]:
    """Parameters and panel shape of each branch: both of the default model, and the paper's."""
    return request.param


@pytest.fixture
def correlation() -> Callable[[np.ndarray], np.ndarray]:
    """Correlation matrix of a covariance."""

    def measure(covariance):
        scale = np.sqrt(covariance.diagonal())
        return covariance / np.outer(scale, scale)

    return measure


@pytest.fixture
def covariance_errors() -> Callable[[np.ndarray], np.ndarray]:
    """Standard errors of the entries of a sample covariance."""

    def measure(samples):
        x = samples - samples.mean(0)
        second, fourth = x.T @ x / len(x), (x**2).T @ x**2 / len(x)
        return np.sqrt((fourth - second**2) / len(x))

    return measure
