"""One random state, one result: across calls, processes and models."""

from __future__ import annotations

import hashlib
import pickle
import subprocess
import sys

import numpy as np
import pytest

from sklearn_diffusion import DiffusionCovarianceEstimator
from sklearn_diffusion.returns import EarlyStopping

FINGERPRINT = """
import hashlib, pickle
import numpy as np
from sklearn_diffusion import DiffusionCovarianceEstimator
from sklearn_diffusion.datasets import make_factor_returns

np.random.seed({seed})
estimator = DiffusionCovarianceEstimator(random_state=0, score_model=pickle.loads({score_model!r}))
estimator.fit(make_factor_returns(300, 4, random_state=0).returns)
drawn = [estimator.covariance_, estimator.sample(50), estimator.sample(50, random_state=3)]
print(hashlib.sha256(b"".join(x.tobytes() for x in drawn)).hexdigest())
"""


@pytest.mark.parametrize("paper", [False, True])
def test_same_bits_in_another_process_whatever_the_global_seed(paper, panel, model, small_paper):
    score_model = small_paper() if paper else EarlyStopping()
    estimator = model(score_model=score_model).fit(panel())
    drawn = [estimator.covariance_, estimator.sample(50), estimator.sample(50, random_state=3)]
    expected = hashlib.sha256(b"".join(x.tobytes() for x in drawn)).hexdigest()
    program = FINGERPRINT.format(seed=7, score_model=pickle.dumps(score_model))
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == expected


def test_random_state_of_sample(panel, model):
    estimator = model().fit(panel())
    np.testing.assert_array_equal(estimator.sample(9), estimator.sample(9))
    np.testing.assert_array_equal(estimator.sample(9), estimator.sample(9, random_state=0))
    assert (estimator.sample(9, random_state=1) != estimator.sample(9)).all()
    state = np.random.RandomState(5)
    first, second = (estimator.sample(9, random_state=state) for _ in range(2))
    assert (first != second).all()


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("objective", ["quadrature", "monte_carlo"])
def test_random_state_decides_the_paper_model(objective, panel, small_paper):
    score_model = small_paper(objective=objective, max_iter=2)
    fits = [
        DiffusionCovarianceEstimator(score_model=score_model, random_state=seed)
        .fit(panel())
        .covariance_
        for seed in (0, 0, 1)
    ]
    np.testing.assert_array_equal(fits[0], fits[1])
    assert (fits[0] != fits[2]).any()
