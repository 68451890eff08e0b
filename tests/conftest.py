from __future__ import annotations

import os
import random
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

os.environ.setdefault("MPLBACKEND", "Agg")

REPOSITORY = Path(__file__).resolve().parents[1]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    gpu_items = [item for item in items if item.get_closest_marker("gpu")]
    if not gpu_items:
        return
    import torch

    if not torch.cuda.is_available():
        for item in gpu_items:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture
def rng() -> np.random.RandomState:
    """Random numbers of the test's own, the same in every run and in every order of tests."""
    return np.random.RandomState(20241129)


@pytest.fixture(scope="session")
def shared_data() -> Callable[[str], Path]:
    """Find a real-market file by name, or skip the test where it is not there."""
    folder = Path(os.environ.get("SKLEARN_DIFFUSION_DATA", REPOSITORY.parent / "shared" / "data"))

    def find(name: str) -> Path:
        path = folder / name
        if not path.exists():
            pytest.skip(f"{name} is not in {folder} (set SKLEARN_DIFFUSION_DATA to its folder)")
        return path

    return find


def _global_state() -> dict[str, Any]:
    numpy_name, numpy_key, *numpy_rest = np.random.get_state()  # noqa: NPY002
    state: dict[str, Any] = {
        "python's random state": random.getstate(),
        "numpy's random state": (numpy_name, numpy_key.tobytes(), *numpy_rest),
        "numpy's error handling": np.geterr(),
    }
    # The fixture itself must not load torch: some tests are about code that does without it.
    if torch := sys.modules.get("torch"):
        state |= {
            "torch's random state": torch.get_rng_state().numpy().tobytes(),
            "torch's default dtype": torch.get_default_dtype(),
            "torch's default device": torch.get_default_device(),
            "torch's thread count": torch.get_num_threads(),
            "torch's deterministic flag": torch.are_deterministic_algorithms_enabled(),
            "torch's gradient mode": torch.is_grad_enabled(),
        }
    return state


@pytest.fixture(autouse=True)
def leaves_global_state_alone(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that changes a global random state or setting."""
    before = _global_state()
    yield
    after = _global_state()
    # This check of scikit-learn's shuffles rows by the global random state.
    if "check_methods_sample_order_invariance" in request.node.name:
        del before["numpy's random state"]
    # skfolio 1.0 draws the noise of a constant column from the global random state.
    if "test_stressed_synthetic_data" in request.node.name:
        before.pop("numpy's random state", None)
    changed = [name for name, value in before.items() if after[name] != value]
    assert not changed, f"the test changed {', '.join(changed)}"


@pytest.fixture(autouse=True)
def closes_figures() -> Iterator[None]:
    """Close what a test has drawn, so that figures do not pile up."""
    yield
    if pyplot := sys.modules.get("matplotlib.pyplot"):
        pyplot.close("all")


@pytest.fixture
def strictly_positive_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Feed scikit-learn's checks of estimators for positive data without the zero they contain.

    The data of the checks are shifted to start at zero, which has no logarithm.
    """
    from sklearn.utils import estimator_checks

    shift_to_zero = estimator_checks._enforce_estimator_tags_X

    def shift_to_one(estimator: Any, X: np.ndarray, **options: Any) -> np.ndarray:
        return shift_to_zero(estimator, X, **options) + 1

    monkeypatch.setattr(estimator_checks, "_enforce_estimator_tags_X", shift_to_one)
