"""Defaults that were chosen on data: a changed one needs a line in the changelog and the guide."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from sklearn_diffusion.diffusion import ScaleMixture
from sklearn_diffusion.returns import EarlyStopping, HiddenLayer, KernelMixture
from sklearn_diffusion.surfaces import ArbitragePenalty, IncrementTarget, Perceptron, Training, UNet

GUIDE = Path(__file__).resolve().parents[1] / "docs" / "user_guide" / "defaults.md"
DEFAULTS = {
    EarlyStopping: {
        "stop_time": "auto",
        "stop_times": (0.003, 0.01, 0.03, 0.1, 0.2, 0.3, 0.45, 0.7),
        "half_lives": (63.0, 189.0, None),
        "horizon": 21,
        "n_origins": 20,
        "tempering": 0.35,
        "state_bandwidth": 1.25,
        "state_decay": 0.9,
        "state_start": 20,
        "state_range": (0.1, 0.9),
        "recent_half_life": 5.0,
        "recent_weight": 0.4,
        "recent_outlier": 3.0,
        "kernel": None,
    },
    KernelMixture: {
        "noise": 1.3,
        "spread": 0.25,
        "max_states": 8,
        "days_per_state": 50,
        "dof": 4.0,
        "n_leading": 25,
        "min_filling": 0.05,
        "shape_prior": 40.0,
        "spread_prior": 5.0,
        "centre_prior": 5.0,
        "max_iter": 20,
        "n_pilot": 32,
        "n_candidates": 10,
        "n_sweeps": 5,
    },
    HiddenLayer: {
        "stop_time": 0.005,
        "schedule": "vp",
        "n_units": 64,
        "n_hermite": 12,
        "n_time_nodes": 24,
        "max_iter": None,
        "regularization": 1e-8,
        "tol": 1e-7,
        "batch_size": 256,
        "lr": 3e-3,
        "sampler": "euler_maruyama",
        "n_synthetic": 20_000,
        "min_acceptance": 0.005,
    },
    IncrementTarget: {
        "half_life": 189.0,
        "level_penalty": 300.0,
        "axis_penalty": 100.0,
        "bound": 2.0,
        "decays": ("0.98", "0.94", "0.8"),
        "clip": 4.0,
        "min_scale": 0.1,
        "max_scale": 20.0,
        "min_spread": 1e-4,
    },
    ScaleMixture: {"n_scales": 8, "low": 0.05, "high": 12.0, "n_iter": 100, "pooled_rows": 20.0},
    Perceptron: {"width": 64, "depth": 2, "time_features": 8, "max_frequency": 4 * math.pi},
    UNet: {"channels": (16, 30), "time_features": 10, "scalar_features": 10},
    Training: {
        "lr": 1e-3,
        "weight_decay": 0.01,
        "batch_size": 64,
        "max_epochs": 100,
        "patience": 30,
        "plateau_factor": 0.8,
        "plateau_patience": 300,
        "min_lr": 1e-6,
        "clip_norm": None,
        "ema_decay": 0.99,
        "validation_fraction": 0.15,
        "n_evaluation_draws": 8,
        "min_days": 50,
        "min_gain": 2.0,
        "on_interrupt": "raise",
    },
    ArbitragePenalty: {"weight": 0.01, "form": "price", "rate": 0.0, "bound": 10.0},
}


@pytest.mark.parametrize("kind", DEFAULTS, ids=lambda kind: kind.__name__)
def test_defaults_are_those_of_the_guide(kind):
    assert DEFAULTS[kind].items() <= kind().get_params(deep=False).items()
    guide = GUIDE.read_text()
    missing = [name for name in DEFAULTS[kind] if name not in guide]
    assert kind.__name__ in guide and not missing
