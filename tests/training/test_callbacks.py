"""scikit-learn's callbacks: every epoch is reported, and one may stop the training."""

import pytest

from sklearn_diffusion import ConditionalIVSurfaceForecaster, SurfaceGrid, make_forecast_frame
from sklearn_diffusion.datasets import make_iv_surfaces
from sklearn_diffusion.surfaces import Training

pytest.importorskip("sklearn.callback", reason="callbacks came with scikit-learn 1.9")


class Recorder:
    """Follows the FitCallback protocol."""

    def __init__(self, stop_after=None):
        self.stop_after = stop_after
        self.begun, self.ended, self.torn_down = [], [], 0

    def setup(self, estimator, context):
        self.begun, self.ended = [], []

    def on_fit_task_begin(self, estimator, context, **kwargs):
        self.begun.append(context.task_name)

    def on_fit_task_end(self, estimator, context, **kwargs):
        self.ended.append(context.task_name)
        return context.task_name == "epoch" and self.ended.count("epoch") == self.stop_after

    def teardown(self, estimator, context):
        self.torn_down += 1


@pytest.fixture(scope="module")
def frame():
    grid = SurfaceGrid([0.9, 1.0, 1.1], [0.1, 0.5])
    market = make_iv_surfaces(120, grid=grid, random_state=0)
    return grid, *make_forecast_frame(market.surfaces, market.spot, market.vix)


def fit(frame, callback, **params):
    grid, X, y = frame
    training = Training(max_epochs=4, patience=None)
    model = ConditionalIVSurfaceForecaster(grid, training=training, **params)
    return model.set_callbacks(callback).fit(X, y)


def test_the_fit_and_its_epochs_are_reported(frame):
    recorder = Recorder()
    model = fit(frame, recorder)
    assert recorder.begun == ["fit", *["epoch"] * 4]
    assert recorder.ended == [*["epoch"] * 4, "fit"]
    assert recorder.torn_down == 1
    assert len(model.loss_curve_) == 4


def test_a_fit_without_a_network_is_one_task(frame):
    recorder = Recorder()
    fit(frame, recorder, network=None)
    assert recorder.begun == recorder.ended == ["fit"]


def test_a_callback_may_stop_the_training(frame):
    model = fit(frame, Recorder(stop_after=2))
    assert len(model.loss_curve_) == 2
    assert model.predict(frame[1][:3]).shape == (3, 6)


def test_scikit_learn_s_own_monitor_logs_every_epoch(frame):
    callback = pytest.importorskip("sklearn.callback")
    if not hasattr(callback, "ScoringMonitor"):
        pytest.skip("this scikit-learn has no ScoringMonitor")
    monitor = callback.ScoringMonitor(scoring="r2")
    model = fit(frame, monitor, n_sampling_steps=8)
    (log,) = monitor.get_logs() if isinstance(monitor.get_logs(), list) else [monitor.get_logs()]
    epochs = [row for row in log.data if row["task_name"] == "epoch"]
    assert len(epochs) == len(model.loss_curve_) == 4
    assert all(-100 < row["r2"] < 1 for row in epochs)
