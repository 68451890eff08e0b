from __future__ import annotations

import numpy as np
import pytest

from sklearn_diffusion.grid import SurfaceGrid
from sklearn_diffusion.metrics import (
    ci_breach,
    crps,
    mape,
    moneyness_thirds,
    paper_buckets,
    sample_interval,
    surface_moments,
    surface_table,
)

GRID = SurfaceGrid.paper()


@pytest.fixture
def forecast(rng):
    truth = np.exp(rng.normal(-1.6, 0.2, (50, 81)))
    return truth, truth * np.exp(0.1 * rng.normal(size=(40, 50, 81)))


def test_paper_buckets_are_the_cells_they_name():
    for name, bucket in paper_buckets(GRID).items():
        (cell,) = np.flatnonzero(bucket)
        row, column = divmod(cell, 9)
        level, tenor = name.split()
        assert GRID.moneyness[row] == {"ATM": 1.0, "OTM": 1.3, "ITM": 0.7}[level]
        assert column == {"1-Day": 0, "1-Week": 1, "1-Month": 3, "3-Month": 5}[tenor]


def test_a_grid_without_the_papers_cells_is_refused():
    with pytest.raises(ValueError, match=r"moneyness 1.3 .* 'OTM 1-Day'"):
        paper_buckets(SurfaceGrid([0.9, 1.0, 1.1], GRID.tenors))


def test_thirds_cover_the_surface_once():
    thirds = moneyness_thirds(SurfaceGrid(np.linspace(0.9, 1.1, 7), [0.1, 0.2]))
    np.testing.assert_array_equal(sum(b.astype(int) for b in thirds.values()), 1)
    assert [int(b.sum()) for b in thirds.values()] == [6, 4, 4]
    with pytest.raises(ValueError, match="too few"):
        moneyness_thirds(SurfaceGrid([1.0], [0.1]))


def test_rows_are_the_metrics_of_their_cells(forecast):
    truth, samples = forecast
    table = surface_table(truth, samples, buckets={"wing": [0, 1, 2], **paper_buckets(GRID)})
    interval = sample_interval(samples)
    for name, cells in (
        ("wing", slice(0, 3)),
        ("ATM 1-Day", slice(36, 37)),
        ("overall", slice(81)),
    ):
        real, some = truth[:, cells], samples[:, :, cells]
        row = table.loc[name]
        assert row["mape"] == pytest.approx(mape(real, some.mean(axis=0)))
        assert row["ci_breach"] == pytest.approx(ci_breach(real, interval[:, cells]))
        assert row["crps"] == pytest.approx(crps(real, some, log=True))
    assert list(table.index) == ["wing", *paper_buckets(GRID), "overall"]


def test_point_forecast_and_mask(forecast):
    truth, samples = forecast
    mask = np.ones(truth.shape, dtype=bool)
    mask[:, :9] = False
    table = surface_table(
        truth,
        samples,
        buckets={"dead": np.arange(9), "half": [0, 40]},
        y_pred=1.02 * truth,
        mask=mask,
    )
    assert table.loc["dead"].isna().all()
    assert table.loc["half", "mape"] == pytest.approx(2)
    assert table.loc["half", "crps"] == pytest.approx(
        crps(truth[:, [40]], samples[..., [40]], log=True)
    )
    assert list(table.index) == ["dead", "half", "overall"]


def test_masks_and_coverage_reach_every_column(forecast, rng):
    truth, samples = forecast
    mask = rng.uniform(size=truth.shape) < 0.6
    cells = [3, 40, 41, 80]
    table = surface_table(truth, samples, buckets={"some": cells}, coverage=0.6, mask=mask)
    real, drawn, traded = truth[:, cells], samples[..., cells], mask[:, cells]
    interval = sample_interval(drawn, 0.6)
    errors = 100 * np.abs(drawn.mean(axis=0) / real - 1)[traded]
    widths = (interval[..., 1] - interval[..., 0])[traded]
    assert table.loc["some"].to_dict() == pytest.approx(
        {
            "mape": errors.mean(),
            "ape_std": errors.std(),
            "ci_width": widths.mean(),
            "ci_width_std": widths.std(),
            "ci_breach": ci_breach(real, interval, mask=traded),
            "crps": crps(real, drawn, mask=traded, log=True),
        }
    )
    assert table.loc["overall", "mape"] == pytest.approx(
        mape(truth, samples.mean(axis=0), mask=mask)
    )
    outside = np.where(mask, truth, 99 * truth)  # what was not traded would breach everywhere
    again = surface_table(outside, samples, buckets={"some": cells}, coverage=0.6, mask=mask)
    assert again.loc["some", "ci_breach"] == table.loc["some", "ci_breach"]
    whole = surface_table(truth, samples, buckets={"some": cells})
    assert whole.loc["some", "ci_breach"] == pytest.approx(
        ci_breach(real, sample_interval(drawn, 0.9))
    )


def test_moments_compare_pooled_laws(forecast):
    truth, samples = forecast
    table = surface_moments(truth, samples, buckets={"one": [5], "two": [5, 6]})
    pooled = samples[..., [5, 6]].mean(axis=2).ravel()
    assert table.loc["two", ("std", "synthetic")] == pytest.approx(pooled.std())
    assert table.loc["one", ("mean", "real")] == pytest.approx(truth[:, 5].mean())
    daily = truth[:, [5, 6]].mean(axis=1)
    for name, values in (("real", daily), ("synthetic", pooled)):
        z = (values - values.mean()) / values.std()
        assert table.loc["two", ("std", name)] == pytest.approx(values.std())
        assert table.loc["two", ("skewness", name)] == pytest.approx((z**3).mean())
        assert table.loc["two", ("kurtosis", name)] == pytest.approx((z**4).mean() - 3)


@pytest.mark.parametrize("bucket", [[81], [-1], [0, 81], [0.5], [], np.ones(80, dtype=bool)])
def test_impossible_buckets_are_named(forecast, bucket):
    with pytest.raises(ValueError, match="bucket 'bad'"):
        surface_table(*forecast, buckets={"bad": bucket})
