from __future__ import annotations

import ast
import json
import pkgutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest

import sklearn_diffusion

PACKAGE = Path(sklearn_diffusion.__file__).parent
_FOUND = list(pkgutil.walk_packages([str(PACKAGE)], prefix="sklearn_diffusion."))
MODULES = [module.name for module in _FOUND]
PACKAGES = [module.name for module in _FOUND if module.ispkg]
WITHOUT_TORCH = (
    "sklearn_diffusion.arbitrage",
    "sklearn_diffusion.datasets",
    "sklearn_diffusion.grid",
    "sklearn_diffusion.metrics",
    "sklearn_diffusion.preprocessing",
    "sklearn_diffusion.pricing",
    "sklearn_diffusion.utils",
)
# Imports go down this list only; CONTRIBUTING.md draws it. What stands on one level does not know
# its neighbours but for SIDEWAYS.
LEVELS = (
    {"integrations"},
    {"baselines", "plotting"},
    {"returns", "surfaces"},
    {"training", "metrics", "preprocessing", "datasets"},
    {"nets", "arbitrage"},
    {"diffusion", "pricing", "grid"},
    {"utils"},
)
SIDEWAYS = {("datasets", "preprocessing")}


def loaded_after(*statements: str) -> set[str]:
    """Names of the modules that a fresh interpreter has loaded after the statements."""
    program = [*statements, "import json, sys", "print(json.dumps(sorted(sys.modules)))"]
    output = subprocess.run(
        [sys.executable, "-c", "\n".join(program)], check=True, capture_output=True, text=True
    ).stdout
    return set(json.loads(output))


def test_importing_the_package_loads_nothing_heavy():
    loaded = loaded_after("import sklearn_diffusion", "dir(sklearn_diffusion)")
    assert not loaded & {"torch", "sklearn", "scipy", "pandas", "numpy", "matplotlib", "skfolio"}


def test_metrics_transformers_and_data_sets_do_without_torch():
    modules = [name for name in MODULES if name.startswith(WITHOUT_TORCH)]
    assert modules
    loaded = loaded_after(*(f"import {name}" for name in modules))
    assert not loaded & {"torch", "matplotlib", "skfolio"}


@pytest.mark.parametrize("name", sklearn_diffusion.__all__)
def test_every_public_name_resolves(name):
    assert name in dir(sklearn_diffusion)
    assert getattr(sklearn_diffusion, name) is not None


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="'sklearn_diffusion' has no attribute 'Diffusion'"):
        sklearn_diffusion.Diffusion  # noqa: B018


def test_type_checkers_see_the_public_names():
    tree = ast.parse((PACKAGE / "__init__.py").read_text())
    imported = {
        alias.asname
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.module.startswith("sklearn_diffusion")
        for alias in node.names
    }
    imported.discard(None)  # of the helper that makes the names lazy
    assert imported == set(sklearn_diffusion.__all__) - {"__version__"}


@pytest.mark.parametrize("name", MODULES)
def test_every_module_says_what_it_is(name):
    assert import_module(name).__doc__.strip()


@pytest.mark.parametrize("name", PACKAGES)
def test_every_subpackage_lists_its_public_names(name):
    package = import_module(name)
    missing = [public for public in package.__all__ if not hasattr(package, public)]
    assert not missing, f"{name}.__all__ names {missing}, which it does not define"


def test_imports_go_down_the_levels():
    level = {unit: depth for depth, units in enumerate(LEVELS) for unit in units}
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        own = path.relative_to(PACKAGE).with_suffix("").parts[0]
        for imported in imported_units(path) - {own} if own != "__init__" else ():
            down = level[imported] > level[own]
            if not (down or (own, imported) in SIDEWAYS) or (
                own == "diffusion" != "utils" != imported
            ):
                wrong.append(f"{path.relative_to(PACKAGE)} imports {imported}")
    assert not wrong


def imported_units(path: Path) -> set[str]:
    """Subpackages and modules at the top of the package that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports {node.module} relatively"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return {name.split(".")[1] for name in names if name.startswith("sklearn_diffusion.")}


def test_no_export_shares_its_name_with_a_submodule():
    shadowed = [
        f"{name}.{public}"
        for name in ["sklearn_diffusion", *PACKAGES]
        for public in import_module(name).__all__
        if f"{name}.{public}" in MODULES
    ]
    assert not shadowed


@pytest.mark.parametrize("name", MODULES)
def test_every_module_lists_its_public_names(name):
    module = import_module(name)
    assert not [public for public in module.__all__ if not hasattr(module, public)]


def test_the_covariance_loads_nothing_of_surfaces_and_no_torch():
    loaded = loaded_after("from sklearn_diffusion import DiffusionCovarianceEstimator")
    own = {name.split(".")[1] for name in loaded if name.startswith("sklearn_diffusion.")}
    assert not own & {"surfaces", "pricing", "arbitrage", "grid", "preprocessing", "datasets"}
    assert not loaded & {"torch", "scipy.signal"}  # each a large part of the time it would take


def test_no_file_is_too_long_to_read_in_one_sitting():
    lines = {path: len(path.read_text().splitlines()) for path in PACKAGE.rglob("*.py")}
    assert not {str(path): n for path, n in lines.items() if n > 500}
