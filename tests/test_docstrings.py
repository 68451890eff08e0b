"""What `make lint` cannot see in the source alone: constructors that a class does not write."""

from __future__ import annotations

import inspect
import pkgutil
from importlib import import_module
from pathlib import Path

import pytest

import sklearn_diffusion

numpydoc = pytest.importorskip("numpydoc.validate")

PACKAGE = str(Path(sklearn_diffusion.__file__).parent)
MODULES = [module.name for module in pkgutil.walk_packages([PACKAGE], prefix="sklearn_diffusion.")]


def classes_of(module: str) -> list[str]:
    """Full names of the public classes that a module defines."""
    return [
        f"{module}.{name}"
        for name, value in vars(import_module(module)).items()
        if inspect.isclass(value) and value.__module__ == module and not name.startswith("_")
    ]


@pytest.mark.parametrize("name", [name for module in MODULES for name in classes_of(module)])
def test_the_parameters_of_a_class_are_those_of_its_constructor(name):
    report = numpydoc.validate(name)
    # Results, which users do not make, describe their fields as attributes; a subclass may refer
    # to its parent.
    if "Parameters\n----------\n" in inspect.cleandoc(report["docstring"]):
        wrong = [error for error in report["errors"] if error[0] in {"PR01", "PR02", "PR03"}]
        assert not wrong
