"""scikit-learn's callbacks around training by epochs.

scikit-learn 1.9 brought public callbacks (progress bars, monitors of a score). On older releases
estimators fit without them: `CallbackSupportMixin` and `with_callbacks` are then empty.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:
    _Method = TypeVar("_Method", bound=Callable[..., Any])

    class CallbackSupportMixin:  # type: ignore[no-redef]
        """No callbacks before scikit-learn 1.9."""

    def with_callbacks(method: _Method) -> _Method:
        """Leave the method as it is."""
        return method


__all__ = ["CallbackSupportMixin", "EpochTasks", "with_callbacks"]


class EpochTasks:
    """Tell an estimator's callbacks of the fit and of its epochs, where there are callbacks.

    Parameters
    ----------
    estimator : object
        The estimator that is fitted.
    n_epochs : int
        Largest number of epochs, 0 if nothing is trained by epochs.
    X, y : array-like
        Training data, passed to the callbacks.
    """

    def __init__(self, estimator: Any, n_epochs: int, X: Any, y: Any):
        self._estimator, self._data = estimator, {"X": X, "y": y}
        self._fit: Any = None
        self._epoch: Any = None
        if hasattr(estimator, "_init_callback_context"):
            self._fit = estimator._init_callback_context(max_subtasks=n_epochs)
            self._fit.call_on_fit_task_begin(estimator=estimator, **self._data)

    def begin_epoch(self) -> None:
        """Start an epoch."""
        if self._fit is not None:
            self._epoch = self._fit.subcontext(task_name="epoch")
            self._epoch.call_on_fit_task_begin(estimator=self._estimator, **self._data)

    def end_epoch(self, attributes: Callable[[], dict[str, Any]]) -> bool:
        """End an epoch; True if a callback asks to stop.

        Parameters
        ----------
        attributes : callable
            Makes the fitted attributes that the estimator would have if it stopped here. It is
            called only if there are callbacks.

        Returns
        -------
        stop : bool
        """
        if self._epoch is None:
            return False
        return bool(
            self._epoch.call_on_fit_task_end(
                estimator=self._estimator, reconstruction_attributes=attributes(), **self._data
            )
        )

    def end_fit(self) -> None:
        """End the fit."""
        if self._fit is not None:
            self._fit.call_on_fit_task_end(
                estimator=self._estimator, reconstruction_attributes={}, **self._data
            )
