"""What the parts of the demo print and save with."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from sklearn_diffusion.plotting.base import import_pyplot


class Progress:
    """A line of twenty dots, one by one as `callback(done, total)` reports, and the time taken."""

    def __init__(self, label: str):
        self.label = label

    def __enter__(self) -> Progress:
        self.began, self.n_dots = time.perf_counter(), 0
        print(self.label, end=" ", flush=True)
        return self

    def __call__(self, done: int, total: int) -> None:
        dots = 20 * done // total
        print("." * (dots - self.n_dots), end="", flush=True)
        self.n_dots = dots

    def __exit__(self, *exception: object) -> None:
        print(f" {time.perf_counter() - self.began:.0f} s", flush=True)


def title(text: str) -> None:
    print(f"\n{text}\n{'=' * len(text)}", flush=True)


def save(figure: Any, path: Path) -> None:
    for ax in figure.axes:
        if ax.name != "3d":
            ax.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
    import_pyplot().close(figure)
