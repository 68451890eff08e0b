"""Covariance of a stopped diffusion: its loss and low-rank algebra against dense matrices."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from scipy.optimize import isotonic_regression
from scipy.stats import chi2, multivariate_normal

from sklearn_diffusion import DiffusionCovarianceEstimator
from sklearn_diffusion.datasets import make_factor_returns
from sklearn_diffusion.diffusion import linear_score_loss
from sklearn_diffusion.returns import EarlyStopping
from sklearn_diffusion.returns.early_stopping import EarlyStoppingCovariance, _average_weights
from sklearn_diffusion.returns.shrinkage import quadratic_inverse_eigenvalues
from sklearn_diffusion.utils.weights import recency_weights

SHAPES = [(300, 8), (150, 200)]
DEFAULT = EarlyStopping()


def fit_covariance(x, stop_time="auto", half_life="auto"):
    return EarlyStopping(stop_time=stop_time).fit_covariance(x, half_life)


def panel(n, d, seed=0):
    returns = make_factor_returns(n, d, random_state=seed).returns
    return returns - returns.mean(0)


def tempered_days(x, unit):
    """Days divided by a power of their root mean squared z-score."""
    return x / ((x / unit) ** 2).mean(1)[:, None] ** (DEFAULT.tempering / 2)


def day_weights(x, half_life):
    """Recency times a Gaussian kernel in the state, the log of a causal moving average."""
    squares = ((x / x.std(0)) ** 2).mean(1)
    state = [squares[: DEFAULT.state_start].mean()]
    for value in squares:
        state.append(DEFAULT.state_decay * state[-1] + (1 - DEFAULT.state_decay) * value)
    state = np.log(state)
    state = np.clip(state, *np.quantile(state[:-1], DEFAULT.state_range))
    distance = state[:-1] - state[-1]
    kernel = np.exp(-0.5 * (distance / DEFAULT.state_bandwidth) ** 2)
    weights = recency_weights(len(x), half_life) * kernel
    return weights / weights.sum()


def dense_spectral_covariance(x, weights, stop_time, *, updated=True, levelled=True):
    """The stopped covariance of weighted days, with all d eigenvectors formed."""
    scale = np.sqrt(weights @ x**2)
    z = x / scale
    eigenvalues, vectors = np.linalg.eigh(z.T @ (weights[:, None] * z))
    freedom = 1 / (weights @ weights)
    if len(x) <= x.shape[1]:
        freedom = min(freedom, np.linalg.matrix_rank(z, tol=1e-8 * np.linalg.norm(z)))
    clean = quadratic_inverse_eigenvalues(eigenvalues.clip(min=0), freedom)
    if freedom < x.shape[1]:
        clean = isotonic_regression(clean).x
    middle = np.diag(clean)
    if updated:
        seen = eigenvalues > 1e-10 * eigenvalues[-1]
        scores = z @ vectors / np.sqrt(np.where(seen, eigenvalues, 1))
        recent = scores.T @ (recency_weights(len(x), DEFAULT.recent_half_life)[:, None] * scores)
        few = chi2(1 / (recency_weights(len(x), DEFAULT.recent_half_life) ** 2).sum())
        own = vectors[:, seen]
        innovations = own @ recent[np.ix_(seen, seen)] @ own.T
        logs = np.log(innovations.diagonal() / (own**2).sum(1))
        error = np.sqrt(few.expect(lambda v: np.log(v) ** 2) - few.expect(np.log) ** 2)
        usual = np.abs(logs - np.median(logs)) <= DEFAULT.recent_outlier * error
        common = np.exp(logs[usual].mean())
        recent /= common
        if levelled:
            common *= few.mean() / np.exp(few.expect(np.log))
            scale = scale * common ** (DEFAULT.recent_weight / 2)
        root = np.sqrt(np.maximum(clean - 1, 0) * seen)
        middle += DEFAULT.recent_weight * np.outer(root, root) * (recent - np.eye(len(clean)))
    stopped = (1 - stop_time) * middle + stop_time * np.eye(len(clean))
    return vectors @ stopped @ vectors.T * np.outer(scale, scale)


def dense_covariance(x, stop_time, half_life):
    """The definition; days without a half-life are exchangeable."""
    if half_life is None:
        return dense_spectral_covariance(x, recency_weights(len(x), None), stop_time, updated=False)
    weights = day_weights(x, half_life)
    tempered = tempered_days(x, x.std(0))
    lost = np.exp(np.median(np.log(weights @ x**2 / (weights @ tempered**2))))
    return lost * dense_spectral_covariance(tempered, weights, stop_time)


@pytest.mark.parametrize("half_life", [30.0, None])
@pytest.mark.parametrize("stop_time", [0.0, 0.2])
@pytest.mark.parametrize("shape", [(300, 8), (40, 40), (41, 40), (25, 60), (2, 3), (100, 1)])
def test_covariance_equals_the_dense_definition(shape, stop_time, half_life):
    x = panel(*shape)
    result = fit_covariance(x, stop_time, half_life)
    expected = dense_covariance(x, stop_time, half_life)
    np.testing.assert_allclose(
        result.covariance, expected, rtol=1e-6, atol=1e-9 * expected.diagonal().max()
    )
    assert (result.stop_time, result.half_life, result.losses) == (stop_time, half_life, None)


@pytest.mark.parametrize("shape", SHAPES)
def test_losses_are_held_out_gaussian_likelihoods(shape):
    """-2 log p per feature, up to log 2 pi, of tempered days that the fit has not seen."""
    x = panel(*shape)
    result = fit_covariance(x)
    n, horizon = len(x), DEFAULT.horizon
    for origin, h, s in [(0, 0, 0), (1, -1, -1), (2, 2, 5), (-1, 1, 3)]:
        first = range(n - horizon, 0, -horizon)[: len(result.losses)][origin]
        seen, later = x[:first], x[first : first + horizon]
        unit = seen.std(0)
        covariance = dense_spectral_covariance(
            tempered_days(seen, unit),
            day_weights(seen, DEFAULT.half_lives[h]),
            DEFAULT.stop_times[s],
            levelled=False,
        )
        law = multivariate_normal(cov=covariance, allow_singular=False)
        expected = -2 * law.logpdf(tempered_days(later, unit)).mean() / shape[1] - np.log(2 * np.pi)
        assert result.losses[origin, h, s] == pytest.approx(expected, rel=1e-6)


def test_exchangeable_days_have_no_order(rng):
    x = panel(300, 6)
    plain, shuffled = (fit_covariance(v, half_life=None) for v in (x, rng.permutation(x)))
    np.testing.assert_allclose(shuffled.covariance, plain.covariance, rtol=1e-9)
    assert shuffled.stop_time == pytest.approx(plain.stop_time)


def test_days_of_todays_volatility_state_count_more():
    x = panel(300, 6)
    x[:100] *= 4
    x[-40:] *= 4
    weights = fit_covariance(x, 0.1, 1e6).day_weights
    assert weights[:100].mean() > 2 * weights[120:250].mean()


@pytest.mark.parametrize(("model", "data"), [(1.0, 2.0), (0.3, 1.5), (2.0, 0.4)])
def test_score_matching_over_all_noise_levels_is_the_likelihood(model, data):
    """The excess loss of a linear score, integrated over log-SNR, is that of the likelihood."""

    def excess(log_snr):
        alpha = torch.tensor([np.exp(log_snr / 2)])
        one = torch.ones(1, dtype=torch.float64)
        losses = [linear_score_loss(v * one, data * one, alpha, one) for v in (model, data)]
        return float(losses[0] - losses[1])

    integral, _ = quad(excess, -30, 30, limit=200)
    ratio = data / model
    assert integral == pytest.approx(ratio - np.log(ratio) - 1, rel=1e-6)


def test_earlier_origins_do_not_see_later_days(rng):
    x = panel(300, 6)
    changed = x.copy()
    changed[-DEFAULT.horizon :] = rng.standard_normal((DEFAULT.horizon, 6))
    before, after = (fit_covariance(values).losses for values in (x, changed))
    np.testing.assert_array_equal(after[1:], before[1:])
    assert (after[0] != before[0]).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_automatic_covariance_is_the_average_of_the_candidates(shape):
    x = panel(*shape)
    result = fit_covariance(x)
    assert result.weights.shape == (len(DEFAULT.half_lives), len(DEFAULT.stop_times))
    assert result.weights.min() >= 0 and result.weights.sum() == pytest.approx(1)
    expected = sum(
        # Half-lives without end, not None: the days of a candidate are not exchangeable.
        weight * fit_covariance(x, t, 1e12 if h is None else h).covariance
        for h, row in zip(DEFAULT.half_lives, result.weights, strict=True)
        for t, weight in zip(DEFAULT.stop_times, row, strict=True)
    )
    np.testing.assert_allclose(
        result.covariance, expected, rtol=1e-4, atol=1e-4 * expected.diagonal().min()
    )
    assert DEFAULT.stop_times[0] <= result.stop_time <= DEFAULT.stop_times[-1]
    assert result.half_life in DEFAULT.half_lives


def test_better_candidates_weigh_more():
    result = fit_covariance(panel(400, 10))
    mean = result.losses.mean(0)
    assert result.weights.flat[mean.argmin()] == pytest.approx(result.weights.max(), rel=1e-6)
    assert result.weights.flat[mean.argmax()] < 0.5 * result.weights.max()


def test_the_loss_curve_weighs_half_lives_as_the_average_does():
    losses = np.array([[[1.0, 2.0], [5.0, 7.0]], [[3.0, 2.0], [5.0, 3.0]]])
    found = EarlyStoppingCovariance(
        np.eye(1), 0.1, None, np.ones(1), np.array([0.0, 0.2]), np.array([[0.5, 0.1], [0.1, 0.3]]),
        losses,
    )  # fmt: skip
    np.testing.assert_allclose(found.loss_by_stop_time(), [0.6 * 2 + 0.4 * 5, 0.6 * 2 + 0.4 * 5])
    uneven = replace(found, weights=np.array([[0.5, 0.4], [0.1, 0.0]]), losses=2 * losses[:1])
    np.testing.assert_allclose(uneven.loss_by_stop_time(), [0.9 * 2 + 0.1 * 10, 0.9 * 4 + 0.1 * 14])


def test_two_folds_of_days_without_order_are_enough():
    horizon = DEFAULT.horizon
    shapes = [
        None
        if (losses := fit_covariance(panel(n, 3), half_life=None).losses) is None
        else len(losses)
        for n in (2 * horizon - 1, 2 * horizon, 3 * horizon, 30 * horizon)
    ]
    assert shapes == [None, 2, 3, DEFAULT.n_origins]


def test_candidates_weigh_by_their_excess_in_standard_errors():
    """Two candidates whose losses differ by 1, 2 and 3: mean 2 and error sqrt(2 / 9)."""
    losses = np.array([[[0.0, 1.0]], [[4.0, 6.0]], [[1.0, 4.0]]])
    np.testing.assert_allclose(_average_weights(losses), [[1, np.exp(-(2**2) / (2 / 9) / 2)]])


@pytest.mark.parametrize("n", [2, 5, 40])
def test_too_few_days_to_choose_are_averaged(n):
    result = fit_covariance(panel(n, 3))
    assert result.losses is None
    assert result.weights.sum() == pytest.approx(1)
    assert np.linalg.eigvalsh(result.covariance)[0] > 0


def test_a_fixed_setting_is_kept_while_the_other_is_chosen():
    x = panel(300, 6)
    by_time = fit_covariance(x, half_life=90.0)
    assert by_time.half_life == 90.0
    assert by_time.losses.shape[1:] == (1, len(DEFAULT.stop_times))
    by_age = fit_covariance(x, stop_time=0.25)
    assert by_age.stop_time == pytest.approx(0.25)
    assert by_age.losses.shape[1:] == (len(DEFAULT.half_lives), 1)


def test_choice_does_not_depend_on_units():
    x = panel(300, 6)
    scale = np.array([1e-4, 1, 3, 100, 1, 1])
    plain, scaled = fit_covariance(x), fit_covariance(x * scale)
    assert scaled.stop_time == pytest.approx(plain.stop_time)
    assert scaled.half_life == plain.half_life
    np.testing.assert_allclose(scaled.weights, plain.weights, atol=1e-9)


def test_stops_early_with_structure_and_late_without(rng):
    correlated = panel(300, 10)
    independent = rng.standard_normal((300, 10)) * 0.01
    early, late = (fit_covariance(x, half_life=None).stop_time for x in (correlated, independent))
    assert early < late


@pytest.mark.parametrize("half_life", ["auto", None])
@pytest.mark.parametrize("still", [0.0, 1.234e-4])
def test_an_asset_listed_late_has_the_same_law_in_all_units(still, half_life):
    """Whether a constant has a standard deviation of zero is a matter of rounding."""
    returns = make_factor_returns(300, 6, random_state=0).returns
    returns[:280, 2] = still
    plain, scaled = (
        fit_covariance(x - x.mean(0), half_life=half_life) for x in (returns, 1e4 * returns)
    )
    np.testing.assert_allclose(scaled.covariance, 1e8 * plain.covariance, rtol=1e-8, atol=0)


@pytest.mark.parametrize("still", [slice(0, 216), slice(150, 300), slice(278)])
def test_candidates_are_compared_on_assets_that_move_at_every_origin(still):
    """Listed late, or halted: what an asset does not do is none of the others' business."""
    x = panel(300, 6)
    x[still, 2] = 0.0
    result, others = fit_covariance(x), fit_covariance(np.delete(x, 2, axis=1))
    assert np.isfinite(result.covariance).all()
    np.testing.assert_allclose(result.losses, others.losses)
    np.testing.assert_allclose(result.weights, others.weights)


def test_without_an_asset_that_moves_throughout_candidates_are_averaged():
    x = panel(300, 3)
    for k in range(3):
        x[150 + 50 * k : 200 + 50 * k, k] = 0.0
    result = fit_covariance(x)
    assert result.losses is None and np.isfinite(result.covariance).all()


def odd_asset(seed, kind):
    """Five independent assets; the first is halted, or has a bad tick on the last day."""
    x = 0.01 * np.random.RandomState(seed).standard_normal((500, 5))
    if kind == "halted":
        x[-150:, 0] = 0.0
    else:
        x[-1, 0] = 0.1
    return x


@pytest.mark.parametrize("kind", ["halted", "bad tick"])
def test_an_odd_asset_leaves_the_volatilities_of_others_alone(kind):
    changes = []
    for seed in range(30):
        x = odd_asset(seed, kind)
        together, alone = (
            np.sqrt(DiffusionCovarianceEstimator().fit(v).covariance_.diagonal())
            for v in (x, x[:, 1:])
        )
        changes.append(np.abs(together[1:] / alone - 1))
    assert np.median(changes) < 0.03
    assert np.max(changes) < 0.06


def test_unseen_directions_have_variance_whatever_the_number_of_days():
    """Centred days span one direction less than their number; it is no null of the law."""
    for n in range(38, 46):
        covariance = fit_covariance(panel(n, n + 3), 0.0, None).covariance
        scale = np.sqrt(covariance.diagonal())
        assert np.linalg.eigvalsh(covariance / np.outer(scale, scale))[0] > 0.02


def test_as_many_days_as_assets_whatever_the_rounding():
    """The effective number of n equal days rounds to just below n for every third n."""
    for n in range(38, 46):
        x = panel(n, n)
        volatility = np.sqrt(fit_covariance(x, 0.1, None).covariance.diagonal())
        np.testing.assert_allclose(volatility, x.std(0), rtol=0.1)
