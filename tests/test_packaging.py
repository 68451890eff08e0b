"""The lowest versions that pyproject.toml promises are those that `make test-lowest` runs."""

from __future__ import annotations

import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.version import Version

REPOSITORY = Path(__file__).resolve().parents[1]


def lowest_versions(lines: list[str]) -> dict[str, Version]:
    requirements = [Requirement(line) for line in lines]
    return {
        requirement.name: Version(specifier.version)
        for requirement in requirements
        for specifier in requirement.specifier
        if specifier.operator in (">=", "==")
    }


def test_the_lowest_versions_are_tested():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    promised = lowest_versions(
        project["dependencies"]
        + [line for extra in ["skfolio", "arbitrage", "plot", "dask"] for line in extras[extra]]
    )
    pins = (REPOSITORY / "constraints-lowest.txt").read_text().splitlines()
    pinned = lowest_versions([line for line in pins if not line.startswith("#")])
    # An older build of torch would cost gigabytes.
    assert pinned.pop("torch") >= promised.pop("torch")
    assert pinned == promised
