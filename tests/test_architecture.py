"""Who may know whom: the levels of ``docs/design.md``, read from the imports of the sources."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import tomllib
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import convtranspose

SOURCE = Path(convtranspose.__file__).parent
PROJECT = Path(__file__).parents[1]

LEVELS = {
    0: {"errors", "geometry", "config", "_files"},
    1: {"arguments", "conventions", "dialects", "tiling", "reference", "_builtins", "_erf"}
    | {"_activation_functions", "_initializer_classes"}
    | {"activations", "initializers", "regularizers", "constraints"},
    2: {"plans", "_numpy_path", "convert", "streaming"},
    3: {"ops"},
    4: {"layers", "tf_keras", "compat", "tfjs", "formats", "models", "adapters", "dask", "plots", "testing"},
    5: {"info", "cli", "__main__"},
}
LEVEL = {name: level for level, names in LEVELS.items() for name in names}

KNOWS_THE_NATIVE_MODULE = {"plans"}
OPTIONAL = {"ml_dtypes", "h5py", "rich", "PIL", "matplotlib", "dask"}
"""Packages that a function may import; an adapter may import its own framework at its top."""


@cache
def imports(path: Path) -> list[tuple[str, bool]]:
    """Dotted names that a file imports, and whether at its top (not inside a function)."""
    found: list[tuple[str, bool]] = []

    def walk(node: ast.AST, top: bool) -> None:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                found.extend((alias.name, top) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{path.name}: imports are written in full, not from the dot"
                found.extend((f"{child.module}.{alias.name}", top) for alias in child.names)
            elif isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
                continue
            walk(child, top and not isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)))

    walk(ast.parse(path.read_text(encoding="utf-8")), True)
    return found


def files() -> dict[str, Path]:
    """Every module by its dotted name inside the package; packages by their own."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = files()


def own(name: str) -> str | None:
    """The module of this package that a dotted name means; ``""`` is the package itself."""
    if name.split(".")[0] != "convtranspose":
        return None
    inside = name.removeprefix("convtranspose").removeprefix(".")
    while inside not in MODULES and inside != "_core":
        inside = inside.rpartition(".")[0]
    return inside


def level(module: str) -> int:
    return LEVEL[module.split(".")[0]]


@pytest.mark.parametrize("module", [name for name in MODULES if name])
def test_every_module_has_a_level_and_knows_only_those_below(module):
    assert module.split(".")[0] in LEVEL, f"{module}: say in docs/design.md, and here, at which level it is"
    for name, top in imports(MODULES[module]):
        target = own(name)
        if target in (None, "", "_core"):
            continue
        inside_a_function_of_a_layer = not top and level(module) == level(target)
        assert level(target) <= level(module) or inside_a_function_of_a_layer, f"{module} imports {target}"


def test_no_module_needs_itself():
    graph = {
        module: {
            target
            for name, top in imports(path)
            if top and (target := own(name)) and target not in ("_core", module)
        }
        for module, path in MODULES.items()
    }
    assert list(TopologicalSorter(graph).static_order())  # raises CycleError


@pytest.mark.parametrize("module", MODULES)
def test_other_packages(module):
    """At the top NumPy alone; the rest inside the function that needs it, or in the one adapter for it."""
    for name, top in imports(MODULES[module]):
        package = name.split(".")[0]
        if package in sys.stdlib_module_names or package in ("convtranspose", "numpy"):
            continue
        if module.startswith("adapters."):
            assert package == module.split(".")[1], f"{module} imports {name}"
        else:
            assert not top, f"{module} imports {name} at its top"
            assert package in OPTIONAL, f"{module} imports {name}"


def test_only_plans_and_info_know_the_native_module():
    knowing = {
        module for module, path in MODULES.items() for name, _ in imports(path) if own(name) == "_core"
    }
    assert knowing == KNOWS_THE_NATIVE_MODULE
    users = {m for m, path in MODULES.items() if "native_module" in path.read_text(encoding="utf-8")}
    assert users <= {"plans", "info", "cli.describe"}


def test_geometry_knows_no_arrays():
    names = {name.split(".")[0] for name, _ in imports(MODULES["geometry"])}
    assert names <= {"__future__", "collections", "dataclasses"}


def test_the_reference_knows_nothing_that_it_judges():
    assert [name for name, _ in imports(MODULES["reference"]) if own(name) is not None] == []


def test_every_optional_package_is_in_an_extra():
    extras = tomllib.loads((PROJECT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert [requirement.split(">")[0] for requirement in extras["dependencies"]] == ["numpy"]
    named = " ".join(r for group in extras["optional-dependencies"].values() for r in group).lower()
    used = {n.split(".")[0] for path in MODULES.values() for n, _ in imports(path)} & OPTIONAL
    for package in used:
        assert {"PIL": "pillow"}.get(package, package) in named


def fresh(code: str, **environment: str) -> object:
    """What a fresh interpreter prints as JSON."""
    path = os.pathsep.join([str(SOURCE.parent), *os.environ.get("PYTHONPATH", "").split(os.pathsep)])
    done = subprocess.run(
        [sys.executable, "-c", f"import json, sys\n{code}"],
        env={**os.environ, "PYTHONPATH": path, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize("module", ["convtranspose", "convtranspose.layers", "convtranspose.cli"])
def test_import_loads_nothing_beyond_numpy(module):
    code = f"""
import numpy
before = set(sys.modules)
import {module}
new = {{name.split(".")[0] for name in set(sys.modules) - before}}
print(json.dumps(sorted(new - set(sys.stdlib_module_names) - {{"convtranspose", "numpy"}})))
"""
    assert fresh(code) == []


def test_import_of_the_operation_leaves_the_rooms_alone():
    """Layers, files and the command line are read when they are asked for."""
    code = """
import convtranspose
print(json.dumps(sorted(name for name in sys.modules if name.startswith("convtranspose."))))
"""
    loaded = {str(name).split(".")[1] for name in fresh(code)}
    assert loaded.isdisjoint(
        {"layers", "cli", "info", "tf_keras", "compat", "tfjs", "models", "initializers"}
    )


def test_import_starts_no_thread_and_reads_no_home():
    code = """
import threading, os, convtranspose
tasks = len(os.listdir("/proc/self/task")) if os.path.isdir("/proc/self/task") else 1
from convtranspose import config
print(json.dumps([threading.active_count(), tasks, config._values is None]))
"""
    # OpenBLAS starts threads of its own with NumPy, unless it is told to use one.
    assert fresh(code, OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1", OMP_NUM_THREADS="1") == [1, 1, True]


def test_native_kernels_can_be_switched_off():
    code = """
from convtranspose import plans, conv_transpose
import numpy
y = conv_transpose(numpy.ones((1, 2, 1), "float32"), numpy.ones((3, 1, 1), "float32"))
print(json.dumps([plans.native_module is None, plans.native_absence, y.ravel().tolist()]))
"""
    assert fresh(code, CONVTRANSPOSE_NATIVE="0") == [
        True,
        "switched off by CONVTRANSPOSE_NATIVE=0",
        [1, 2, 2, 1],
    ]


def test_all_names_exist_and_are_sorted():
    for module in MODULES:
        if module.endswith("__main__"):
            continue
        loaded = __import__(f"convtranspose.{module}".rstrip("."), fromlist=["__all__"])
        names = list(getattr(loaded, "__all__", []))
        assert len(set(names)) == len(names), module
        assert all(hasattr(loaded, name) for name in names), module
