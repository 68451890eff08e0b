from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from sklearn.dummy import DummyClassifier
from sklearn.naive_bayes import GaussianNB

from sklearn_diffusion.metrics import (
    CramerVonMisesResult,
    classifier_two_sample_accuracy,
    correlation_error,
    cramer_von_mises,
    energy_distance,
    memorisation_ratio,
    moments_table,
    qq_points,
    random_portfolios,
    sample_quality,
    tail_table,
)


@pytest.fixture
def rng():
    return np.random.RandomState(0)


class TestRandomPortfolios:
    def test_long_only_is_uniform_on_the_simplex(self):
        weights = random_portfolios(3, 4000, random_state=0)
        assert (weights >= 0).all()
        np.testing.assert_allclose(weights.sum(axis=1), 1)
        # The marginal of Dirichlet(1, 1, 1) is Beta(1, 2).
        assert stats.kstest(weights[:, 0], stats.beta(1, 2).cdf).pvalue > 0.01

    def test_long_short_gives_each_asset_the_same_risk(self):
        scale = np.array([0.01, 1.0, 50.0])
        weights = random_portfolios(3, 4000, "long_short", scale=scale, random_state=0)
        np.testing.assert_allclose((weights * scale).std(axis=0), 1, rtol=0.05)

    def test_seed_decides(self):
        first, again = (random_portfolios(5, 7, random_state=3) for _ in range(2))
        np.testing.assert_array_equal(first, again)
        assert not np.allclose(first, random_portfolios(5, 7, random_state=4))

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"n_assets": 0}, "n_assets"),
            ({"n_assets": 2, "n_portfolios": 1.5}, "n_portfolios"),
            ({"n_assets": 2, "kind": "short"}, "kind"),
            ({"n_assets": 2, "kind": "long_short", "scale": [1.0, 0.0]}, "scale"),
            ({"n_assets": 2, "kind": "long_short", "scale": [1.0]}, "scale"),
        ],
    )
    def test_bad_arguments_are_named(self, arguments, message):
        with pytest.raises(ValueError, match=message):
            random_portfolios(**arguments)


class TestCramerVonMises:
    def test_agrees_with_scipy_on_each_marginal(self, rng):
        real, synthetic = rng.randn(80, 3), rng.standard_t(3, size=(80, 3))
        result = cramer_von_mises(real, synthetic)
        for j in range(3):
            test = stats.cramervonmises_2samp(real[:, j], synthetic[:, j])
            assert result.statistic[j] == pytest.approx(test.statistic)
            assert result.pvalue[j] == pytest.approx(test.pvalue)

    def test_agrees_with_scipy_on_given_weights(self, rng):
        real, synthetic, weights = rng.randn(60, 3), rng.randn(60, 3), rng.randn(5, 3)
        result = cramer_von_mises(real, synthetic, portfolios=weights)
        expected = [stats.cramervonmises_2samp(real @ w, synthetic @ w).pvalue for w in weights]
        np.testing.assert_allclose(result.pvalue, expected)
        assert result.pass_rate == np.mean(np.array(expected) > 0.05)

    @pytest.mark.parametrize("significance", [0.05, 0.3])
    def test_same_law_passes_at_the_nominal_rate(self, rng, significance):
        # Independent columns make the marginal tests independent: a binomial count.
        n_tests = 1500
        real, synthetic = rng.standard_t(4, size=(2, 100, n_tests))
        rate = cramer_von_mises(real, synthetic, significance=significance).pass_rate
        tolerance = 3.5 * np.sqrt(significance * (1 - significance) / n_tests)
        assert rate == pytest.approx(1 - significance, abs=tolerance)

    @pytest.mark.parametrize("portfolios", ["marginals", "long_only", "long_short"])
    def test_wrong_law_fails(self, rng, portfolios):
        real, synthetic = rng.randn(1000, 4), 1.5 * rng.randn(5000, 4)
        result = cramer_von_mises(real, synthetic, portfolios=portfolios, random_state=0)
        assert result.pass_rate == 0

    def test_a_pvalue_at_the_significance_does_not_pass(self):
        result = CramerVonMisesResult(np.ones(4), np.array([0.01, 0.05, 0.06, 1]), 0.05, np.eye(4))
        assert result.pass_rate == 0.5

    def test_identical_samples_have_pvalue_one(self, rng):
        sample = rng.randn(50, 2)
        np.testing.assert_allclose(cramer_von_mises(sample, sample).pvalue, 1)

    def test_assets_in_other_units_give_the_same_long_short_verdicts(self, rng):
        real, synthetic, unit = rng.randn(200, 3), rng.randn(200, 3), np.array([1e-4, 1.0, 1e3])
        plain = cramer_von_mises(real, synthetic, portfolios="long_short", random_state=1)
        scaled = cramer_von_mises(
            real * unit, synthetic * unit, portfolios="long_short", random_state=1
        )
        np.testing.assert_allclose(plain.pvalue, scaled.pvalue)

    def test_uses_as_many_synthetic_rows_as_real_ones(self, rng):
        # Rows beyond the real ones' number would add power against a slightly wrong law.
        real, synthetic = rng.randn(100, 400), 1.1 * rng.randn(100_00, 400)
        many = cramer_von_mises(real, synthetic, random_state=0)
        few = cramer_von_mises(real, synthetic[:100], random_state=0)
        assert many.pass_rate == pytest.approx(few.pass_rate, abs=0.06)

    def test_seed_decides(self, rng):
        real, synthetic = rng.randn(50, 3), rng.randn(500, 3)
        options = {"portfolios": "long_only", "n_portfolios": 9}
        first, again, other = (
            cramer_von_mises(real, synthetic, random_state=seed, **options) for seed in (0, 0, 1)
        )
        np.testing.assert_array_equal(first.pvalue, again.pvalue)
        assert not np.array_equal(first.pvalue, other.pvalue)
        assert first.weights.shape == (9, 3)

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"significance": 0}, "significance"),
            ({"portfolios": "equal"}, "portfolios"),
            ({"portfolios": np.ones((2, 5))}, "same columns, got 3 and 5"),
            ({"portfolios": [[1.0, np.nan, 0.0]]}, "portfolios has 1 NaN"),
            ({"significance": 1}, "significance"),
            ({"portfolios": "long_only", "n_portfolios": 0}, "n_portfolios"),
        ],
    )
    def test_bad_arguments_are_named(self, rng, arguments, message):
        with pytest.raises(ValueError, match=message):
            cramer_von_mises(rng.randn(10, 3), rng.randn(10, 3), **arguments)


class TestInputChecks:
    def test_nan_is_located(self, rng):
        dates = pd.date_range("2020-01-01", periods=6)
        real = pd.DataFrame(rng.randn(6, 2), index=dates, columns=["AAPL", "XOM"])
        real.loc["2020-01-03", "XOM"] = np.nan
        with pytest.raises(ValueError, match=r"real has 1 NaN.*2020-01-03.*'XOM'"):
            cramer_von_mises(real, rng.randn(6, 2))

    def test_infinity_in_synthetic_is_located(self, rng):
        synthetic = rng.randn(6, 2)
        synthetic[4, 1] = np.inf
        with pytest.raises(ValueError, match=r"synthetic has 1 .*row 4, column 1"):
            tail_table(rng.randn(6, 2), synthetic)

    def test_column_counts_must_agree(self, rng):
        with pytest.raises(ValueError, match=r"real and synthetic .* got 3 and 2"):
            moments_table(rng.randn(6, 3), rng.randn(6, 2))

    def test_column_order_must_agree(self, rng):
        real = pd.DataFrame(rng.randn(6, 2), columns=["A", "B"])
        with pytest.raises(ValueError, match="name or order: 'B', 'A'"):
            qq_points(real, real[["B", "A"]])

    def test_text_columns_are_named(self):
        real = pd.DataFrame({"A": [1.0, 2.0], "B": ["x", "y"]})
        with pytest.raises(ValueError, match=r"real must be real numbers.*'B'"):
            energy_distance(real, [[1.0, 2.0]])

    @pytest.mark.parametrize("empty", [np.empty((0, 2)), np.empty((5, 0)), []])
    def test_empty_input(self, empty):
        with pytest.raises(ValueError, match="real must have at least"):
            cramer_von_mises(empty, np.ones((5, 2)))

    def test_three_dimensions(self):
        with pytest.raises(ValueError, match="real must be 1-D or 2-D"):
            cramer_von_mises(np.ones((2, 2, 2)), np.ones((5, 2)))

    def test_constant_columns_are_named(self, rng):
        real = pd.DataFrame({"A": rng.randn(9), "B": 1.0})
        with pytest.raises(ValueError, match=r"real has constant column.*'B'"):
            correlation_error(real, rng.randn(9, 2))


class TestTails:
    def test_gaussian_figures(self, rng):
        real, synthetic = rng.randn(400_000), 2 * rng.randn(400_000)
        q = [0.01, 0.05, 0.95, 0.99]
        table = tail_table(real, synthetic, q=q)
        quantile = stats.norm.ppf(q)
        shortfall = np.sign(quantile) * stats.norm.pdf(quantile) / np.minimum(q, 1 - np.array(q))
        np.testing.assert_allclose(table["quantile", "real"], quantile, rtol=0.01)
        np.testing.assert_allclose(table["quantile", "synthetic"], 2 * quantile, rtol=0.01)
        np.testing.assert_allclose(table["shortfall", "real"], shortfall, rtol=0.01)
        np.testing.assert_allclose(table["quantile", "error"], 1, atol=0.03)
        np.testing.assert_allclose(table["shortfall", "error"], 1, atol=0.03)

    def test_rows_belong_to_their_columns(self, rng):
        real = pd.DataFrame(rng.randn(500, 2) * [1, 10], columns=["calm", "wild"])
        table = tail_table(real, real.to_numpy(), q=[0.1, 0.9])
        assert table.index.tolist() == [("calm", 0.1), ("calm", 0.9), ("wild", 0.1), ("wild", 0.9)]
        for (column, q), row in table.iterrows():
            values = real[column]
            assert row["quantile", "real"] == values.quantile(q)
            beyond = values <= values.quantile(q) if q < 0.5 else values >= values.quantile(q)
            assert row["shortfall", "real"] == pytest.approx(values[beyond].mean())
        assert (table["quantile", "error"] == 0).all()

    def test_the_quantile_itself_belongs_to_its_tail(self):
        """Eleven values: quantiles at .1 and .9 are the second and the tenth of them."""
        table = tail_table(np.arange(1.0, 12), 2 * np.arange(1.0, 12), q=[0.1, 0.5, 0.9])
        np.testing.assert_allclose(table["quantile", "real"], [2, 6, 10])
        np.testing.assert_allclose(table["shortfall", "real"], [1.5, 3.5, 10.5])
        np.testing.assert_allclose(table["quantile", "synthetic"], [4, 12, 20])
        np.testing.assert_allclose(table["shortfall", "synthetic"], [3, 7, 21])
        np.testing.assert_allclose(table["shortfall", "error"], 1)

    def test_default_levels(self, rng):
        table = tail_table(rng.randn(50), rng.randn(50))
        levels = table.index.get_level_values("q").tolist()
        assert levels == [0.001, 0.005, 0.01, 0.05, 0.95, 0.99, 0.995, 0.999]

    def test_error_is_nan_where_the_real_quantile_is_zero(self):
        table = tail_table([-1.0, 0.0, 0.0, 0.0, 1.0], [1.0, 2.0, 3.0], q=[0.5])
        assert np.isnan(table["quantile", "error"].item())

    @pytest.mark.parametrize("q", [[0.0, 0.5], [0.5, 0.1], [0.5, 0.5], [1.0], []])
    def test_bad_levels(self, q):
        with pytest.raises(ValueError, match="q must increase strictly"):
            tail_table([1.0, 2.0], [1.0, 2.0], q=q)

    def test_default_levels_of_qq_points_are_even_in_log_odds(self, rng):
        probability = qq_points(rng.randn(9), rng.randn(9)).probability
        odds = probability / (1 - probability)
        np.testing.assert_allclose(odds, 999 ** np.linspace(-1, 1, 101))

    def test_qq_points_reach_the_tails(self, rng):
        points = qq_points(rng.randn(100_000), rng.randn(100_000), n_points=11)
        assert points.probability[[0, -1]] == pytest.approx([0.001, 0.999])
        np.testing.assert_allclose(
            points.synthetic[:, 0], stats.norm.ppf(points.probability), atol=0.1
        )
        assert points.real.shape == points.lower.shape == points.upper.shape == (11, 1)

    def test_qq_band_covers_at_its_confidence(self, rng):
        # Independent columns: at each level the number inside the band is binomial.
        real = rng.randn(200, 600)
        exact = stats.norm.ppf((np.arange(5000) + 0.5) / 5000)
        synthetic = np.tile(exact[:, np.newaxis], 600)
        points = qq_points(real, synthetic, q=[0.01, 0.5, 0.9], confidence=0.9)
        inside = (points.lower <= points.real) & (points.real <= points.upper)
        np.testing.assert_allclose(inside.mean(axis=1), 0.9, atol=0.04)

    def test_qq_band_is_exact_in_small_samples(self, rng):
        # The k-th of n uniform values is below x when k or more of them are.
        n, k = 20, np.array([1, 5, 20])
        uniform = np.linspace(0, 1, 100_001)
        q = np.clip((k - 1) / (n - 1), 1e-9, 1 - 1e-9)
        points = qq_points(rng.rand(n), uniform, q=q)
        for edge, below in ((points.lower, 0.025), (points.upper, 0.975)):
            np.testing.assert_allclose(stats.binom.sf(k - 1, n, edge[:, 0]), below, rtol=1e-3)

    def test_moments_of_known_laws(self, rng):
        real = rng.exponential(size=(300_000, 1)) * [2.0]
        table = moments_table(real, rng.randn(300_000, 1))
        moments = ["mean", "std", "skewness", "kurtosis"]
        found = [table[m, "real"].item() for m in moments]
        np.testing.assert_allclose(found, [2, 2, 2, 6], rtol=0.08)
        found = [table[m, "synthetic"].item() for m in moments]
        np.testing.assert_allclose(found, [0, 1, 0, 0], atol=0.03)


class TestMultivariateFigures:
    def test_correlation_error_closed_form(self, rng):
        base = rng.randn(200_000, 2)
        mixed = base @ np.linalg.cholesky([[1, 0.6], [0.6, 1]]).T
        assert correlation_error(base, mixed) == pytest.approx(0.6 * np.sqrt(2), abs=0.01)
        assert correlation_error(base, 7 * base) == pytest.approx(0, abs=1e-12)
        assert correlation_error(base, mixed, reference=mixed * 3) == pytest.approx(1)

    def test_correlation_error_needs_two_assets_and_a_distinct_reference(self, rng):
        sample = rng.randn(9, 2)
        with pytest.raises(ValueError, match="two assets"):
            correlation_error(sample[:, 0], sample[:, 1])
        with pytest.raises(ValueError, match="reference"):
            correlation_error(sample, rng.randn(9, 2), reference=sample)

    def test_labels_of_the_reference_are_checked(self, rng):
        real = pd.DataFrame(rng.randn(9, 2), columns=["A", "B"])
        other = pd.DataFrame(rng.randn(9, 2), columns=["X", "Y"])
        with pytest.raises(ValueError, match=r"reference differ from those of real .* 'X', 'Y'"):
            correlation_error(real, rng.randn(9, 2), reference=other)

    def test_classifier_is_scored_on_the_given_folds(self, rng):
        """The real rows, then the synthetic ones in their order; folds are averaged."""
        real, synthetic = rng.randn(60, 2), 0.5 + rng.randn(60, 2)
        rows, is_real = np.vstack([real, synthetic]), np.repeat([1, 0], 60)
        parts = np.array_split(rng.permutation(120), [20, 60])
        folds = [(parts[2], parts[0]), (parts[2], parts[1])]
        scores = [
            GaussianNB().fit(rows[seen], is_real[seen]).score(rows[held], is_real[held])
            for seen, held in folds
        ]
        accuracy = classifier_two_sample_accuracy(
            real, synthetic, classifier=GaussianNB(), cv=folds
        )
        assert accuracy == pytest.approx(np.mean(scores))

    def test_classifier_guesses_on_one_law_and_knows_two_apart(self, rng):
        options = {"classifier": GaussianNB(), "random_state": 0}
        real = rng.randn(1000, 3)
        assert classifier_two_sample_accuracy(real, rng.randn(3000, 3), **options) < 0.55
        assert classifier_two_sample_accuracy(real, rng.randn(3000, 3) + 10, **options) > 0.99

    def test_default_classifier_sees_dependence(self, rng):
        real = rng.randn(600, 2)
        synthetic = np.repeat(rng.randn(600, 1), 2, axis=1) + 0.1 * rng.randn(600, 2)
        first, again = (
            classifier_two_sample_accuracy(real, synthetic, random_state=0) for _ in range(2)
        )
        assert first == again > 0.8

    def test_energy_distance_is_scipys_in_one_dimension(self, rng):
        x, y = rng.randn(300), 1 + 2 * rng.randn(200)
        assert energy_distance(x, y) == pytest.approx(stats.energy_distance(x, y))
        assert energy_distance(x, x) == pytest.approx(0, abs=1e-7)

    def test_energy_distance_ignores_rotations(self, rng):
        x, y = rng.randn(100, 3), 2 * rng.randn(150, 3)
        rotation = np.linalg.qr(rng.randn(3, 3))[0]
        assert energy_distance(x @ rotation, y @ rotation) == pytest.approx(energy_distance(x, y))

    def test_memorisation_ratio(self, rng):
        train, test = rng.randn(2, 1000, 4)
        assert memorisation_ratio(train, test, train[::-1]) == 0
        assert memorisation_ratio(train, test, rng.randn(1000, 4)) == pytest.approx(1, abs=0.07)
        assert memorisation_ratio(train, test, 5 * rng.randn(1000, 4)) > 2
        unit = np.array([1e-4, 1, 10, 1e3])
        assert memorisation_ratio(train * unit, test * unit, test[:50] * unit) == pytest.approx(
            memorisation_ratio(train, test, test[:50])
        )

    def test_memorisation_ratio_by_hand(self):
        """Medians of the distances to the nearest training row, in its standard deviations."""
        train = np.array([[0.0, 0.0], [6.0, 0.0], [0.0, 8.0], [6.0, 8.0]])  # deviations 3 and 4
        test = np.array([[0.0, 4.0], [3.0, 0.0], [6.0, 108.0]])  # distances 1, 1 and 25
        synthetic = np.array([[0.0, 0.0], [6.0, 16.0], [306.0, 0.0]])  # distances 0, 2 and 100
        assert memorisation_ratio(train, test, synthetic) == pytest.approx(2)
        assert memorisation_ratio(train, test[:1], synthetic[2:]) == pytest.approx(100)

    def test_memorisation_needs_unseen_test_days(self, rng):
        train = rng.randn(30, 2)
        with pytest.raises(ValueError, match="unseen"):
            memorisation_ratio(train, train, rng.randn(5, 2))
        with pytest.raises(ValueError, match="train and synthetic"):
            memorisation_ratio(train, rng.randn(5, 2), rng.randn(5, 3))


class TestSampleQuality:
    def test_the_true_law_is_near_ideal(self, rng):
        mixing = rng.randn(5, 5)
        train, test, synthetic = (rng.standard_t(5, size=(n, 5)) @ mixing for n in (800, 800, 8000))
        quality = sample_quality(train, test, synthetic, n_portfolios=50, random_state=0)
        assert quality["cvm_long_only"] > 0.7
        assert quality["cvm_long_short"] > 0.7
        assert quality["quantile_error"] < 0.2
        assert 0.3 < quality["correlation_error"] < 1.7
        assert quality["std_error"] < 0.1
        assert quality["memorisation_ratio"] == pytest.approx(1, abs=0.1)
        assert quality["classifier_accuracy"] == pytest.approx(0.5, abs=0.06)

    def test_figures_are_those_of_the_metrics(self, rng):
        """Portfolios with the deviations of the training days, long-only ones drawn first."""
        unit = np.array([0.01, 1.0, 30.0])
        train, test = unit * rng.standard_t(6, size=(2, 80, 3))
        synthetic = unit[::-1] * rng.standard_t(6, size=(80, 3)) @ np.tri(3)
        quality = sample_quality(train, test, synthetic, n_portfolios=8, random_state=3)

        seed = np.random.RandomState(3)
        long_only = random_portfolios(3, 8, random_state=seed)
        long_short = random_portfolios(
            3, 8, "long_short", scale=train.std(axis=0), random_state=seed
        )
        for name, weights in (("long_only", long_only), ("long_short", long_short)):
            expected = cramer_von_mises(test, synthetic, portfolios=weights).pass_rate
            assert quality[f"cvm_{name}"] == expected
        weights = np.vstack([long_only, long_short]).T
        real, drawn = test @ weights, synthetic @ weights
        tails = [np.quantile(values, [0.005, 0.995], axis=0) for values in (real, drawn)]
        errors = np.abs(tails[1] / tails[0] - 1).mean(axis=0)
        assert quality["quantile_error"] == pytest.approx(np.median(errors))
        ratios = stats.kurtosis(drawn) / stats.kurtosis(real)
        assert quality["kurtosis_ratio"] == pytest.approx(np.median(ratios))
        logs = np.log(synthetic.std(axis=0) / test.std(axis=0))
        assert quality["std_error"] == pytest.approx(np.median(np.abs(logs)))
        assert quality["correlation_error"] == pytest.approx(
            correlation_error(test, synthetic, reference=train)
        )
        assert quality["memorisation_ratio"] == pytest.approx(
            memorisation_ratio(train, test, synthetic)
        )
        # As many draws as days are used as they are: nothing random comes before the classifier.
        assert quality["classifier_accuracy"] == classifier_two_sample_accuracy(
            test, synthetic, random_state=seed
        )

    def test_fewer_draws_than_days_are_set_against_all_days(self, rng):
        train, test = rng.randn(2, 60, 3)
        synthetic = rng.randn(30, 3) + np.array([0.3, 0.0, -0.3])
        quality = sample_quality(train, test, synthetic, n_portfolios=50, random_state=3)
        weights = random_portfolios(3, 50, random_state=3)
        p_values = [
            stats.cramervonmises_2samp(test @ row, synthetic @ row).pvalue for row in weights
        ]
        assert 0 < quality["cvm_long_only"] < 1
        assert quality["cvm_long_only"] == np.mean(np.array(p_values) >= 0.05)

    def test_columns_of_all_three_are_checked(self, rng):
        train, test = (pd.DataFrame(rng.randn(20, 2), columns=list(c)) for c in ("AB", "XY"))
        message = "columns of test differ from those of train in name or order: 'X', 'Y'"
        with pytest.raises(ValueError, match=message):
            sample_quality(train, test, rng.randn(30, 2))

    def test_each_fault_shows_in_its_figure(self, rng):
        mixing = rng.randn(4, 4)
        train, test = (rng.standard_t(4, size=(300, 4)) @ mixing for _ in range(2))

        def quality(synthetic):
            return sample_quality(train, test, synthetic, n_portfolios=30, random_state=0)

        copied = quality(train)
        assert copied["memorisation_ratio"] == 0
        wide = quality(1.5 * train)
        assert wide["std_error"] == pytest.approx(np.log(1.5), abs=0.15)
        assert wide["cvm_long_short"] < copied["cvm_long_short"]
        gaussian = rng.multivariate_normal(np.zeros(4), np.cov(train.T), 5000)
        assert quality(gaussian)["kurtosis_ratio"] < 0.3
        shuffled = np.column_stack([rng.permutation(column) for column in train.T])
        assert quality(shuffled)["correlation_error"] > 2

    def test_seed_decides_what_the_classifier_guesses(self, rng, monkeypatch):
        """Trees draw nothing on so few rows: one that guesses shows whether it has the seed."""
        monkeypatch.setattr(
            "sklearn_diffusion.metrics.returns.distribution.HistGradientBoostingClassifier",
            lambda max_iter, random_state: DummyClassifier(
                strategy="uniform", random_state=random_state
            ),
        )
        train, test, synthetic = rng.randn(3, 300, 2)
        accuracy = [
            sample_quality(train, test, synthetic, n_portfolios=2, random_state=seed)[
                "classifier_accuracy"
            ]
            for seed in (2, 2, 2, 3)
        ]
        assert accuracy[0] == accuracy[1] == accuracy[2] != accuracy[3]

    def test_seed_decides(self, rng):
        train, test, synthetic = rng.randn(100, 2), rng.randn(100, 2), rng.randn(300, 2)
        first, again = (
            sample_quality(train, test, synthetic, n_portfolios=5, random_state=2) for _ in range(2)
        )
        pd.testing.assert_series_equal(first, again)
