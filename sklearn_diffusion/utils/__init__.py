"""The ground that every other part stands on: checks, dates, randomness, devices."""

from __future__ import annotations

__all__: list[str] = []
