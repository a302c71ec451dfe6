"""Every recorded case of the documented systems is judged by exactly one test.

A replay is a test function whose parameters are cases: ``check`` or ``verdict`` of ``golden_cases``
then fails on a difference that is not listed, and on a listed one that is gone. What other tests ask of
the same cases beside (files written again, the oracle, every path) does not count here.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from golden_cases import cases, load, sources

TESTS = Path(__file__).parents[1]
SYSTEMS = ("tf24_*", "tf29_*", "tfkeras221_*", "keras3_*", "keras_3.*", "tfjs*", "misc_*", "files_*")
NEIGHBOURS = {"torch", "onnxruntime", "onnx_reference", "onnx_node_tests", "jax_lax", "jax_lax_x64", "tf_nn"}
"""Other programs, whose answers are for conversions."""

REPLAYS = {
    "golden/test_ops.py": ("test_current_version", "test_older_version"),
    "golden/test_layers.py": ("test_recorded",),
    "golden/test_layer_scenarios.py": ("test_snippet", "test_keras_json"),
    "golden/test_v1_scenarios.py": ("test_snippet",),
    "golden/test_tfjs.py": ("test_recorded",),
    "golden/test_files.py": (
        *("test_a_recorded_file_is_read", "test_json_is_as_recorded", "test_a_converted_model_is_read"),
        *("test_a_topology_is_read_as_tfjs_reads_it", "test_a_tfjs_model_is_written_as_recorded"),
    ),
    "test_activations.py": ("test_recorded",),
    "test_initializers.py": ("test_recorded", "test_recorded_objects"),
    "test_regularizers.py": ("test_recorded",),
    "test_constraints.py": ("test_recorded",),
}


def claimed(value: Any) -> Iterator[tuple[str, str]]:
    """Source and key of the cases that a parameter stands for: a case, many, or a whole source."""
    if isinstance(value, dict):
        yield value["source"], value["key"]
    elif isinstance(value, str):
        yield from ((value, case["key"]) for case in cases(value))
    else:
        for part in value:
            yield from claimed(part)


@cache
def claims(file: str, function: str) -> list[tuple[str, str]]:
    pytest.importorskip("h5py", reason="the replay of files needs h5py")
    (mark,) = (
        mark
        for mark in getattr(load(TESTS / file), function).pytestmark
        if mark.name == "parametrize" and mark.args[0] in ("case", "group", "source")
    )
    return list(claimed([p.values if hasattr(p, "marks") else p for p in mark.args[1]]))


EVERY = [(file, function) for file, functions in REPLAYS.items() for function in functions]


def test_every_source_is_of_a_system_or_a_neighbour() -> None:
    of_systems = {source for source in sources() if any(fnmatch(source, p) for p in SYSTEMS)}
    assert of_systems | NEIGHBOURS == set(sources())


@pytest.mark.parametrize(("file", "function"), EVERY)
def test_a_replay_has_cases(file: str, function: str) -> None:
    assert claims(file, function)


def test_every_case_has_exactly_one_replay() -> None:
    found = Counter(case for file, function in EVERY for case in claims(file, function))
    wanted = {(s, c["key"]) for s in sources() if s not in NEIGHBOURS for c in cases(s)}
    assert wanted - found.keys() == set(), "no test judges these"
    assert found.keys() - wanted == set(), "these are not recorded"
    assert [case for case, times in found.items() if times > 1] == [], "judged twice"
    assert len(wanted) > 10_000
