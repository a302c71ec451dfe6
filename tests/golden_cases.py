"""Recorded results of real programs: cases, their arrays, and the list of known deviations.

    @pytest.mark.parametrize("case", cases("keras3_ops_jax"), ids=key)
    def test_it(case):
        check(case, lambda: conv_transpose(**inputs(case), **case["args"]))

``tests/golden/README.md`` describes a case; here each also carries its ``source``. Where we differ from
a program on purpose, ``tests/golden/deviations/<source>.toml`` says so:

    [empty_axis]
    keys = ["o1_empty_spatial", "vo_x_*"]

The names are those of ``deviations/reasons.toml``, which says why. ``messages = ["only supports NHWC"]``
picks cases by the text of the recorded error or warnings (regular expressions); beside ``keys`` it narrows
them. A difference that is not listed fails, and so does a listed one that is gone, or a pattern that
matches no case.
"""

from __future__ import annotations

import importlib.util
import io
import json
import lzma
import re
import sys
import tarfile
import tomllib
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

GOLDEN = Path(__file__).parent / "golden"
RTOL = {"float16": 2e-3, "float32": 1e-5, "float64": 1e-12}
"""Accepted distance from an inexact result, relative to its largest number."""

Case = dict[str, Any]
Array = np.ndarray[Any, np.dtype[Any]]


@cache
def load(path: Path) -> Any:
    """A module that is a file of the tests, by its place; imported once."""
    for module in list(sys.modules.values()):
        if getattr(module, "__file__", None) == str(path):
            return module
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


copy_golden = load(GOLDEN / "copy_golden.py")


@cache
def _archive(name: str) -> dict[str, bytes]:
    with lzma.open(GOLDEN / f"{name}.tar.xz") as packed, tarfile.open(fileobj=packed) as archive:
        files = {info.name: archive.extractfile(info) for info in archive}
        return {member: file.read() for member, file in files.items() if file is not None}


def raw(source: str, suffix: str) -> bytes:
    """The stored ``.json`` or ``.npz`` of a source."""
    return _archive(copy_golden.archive_of(source))[f"{source}.{suffix}"]


def sources() -> list[str]:
    """All sources, sorted."""
    return sorted(
        member.removesuffix(".json")
        for name in copy_golden.ARCHIVES
        for member in _archive(name)
        if member.endswith(".json")
    )


@cache
def document(source: str) -> dict[str, Any]:
    """The whole ``.json`` of a source: ``program``, ``cases``, ..."""
    found: dict[str, Any] = json.loads(raw(source, "json"))
    for case in found["cases"]:
        case["source"] = source
    return found


def cases(source: str) -> list[Case]:
    """All cases of a source."""
    return list(document(source)["cases"])


def key(case: Case) -> str:
    """The test id of a case."""
    return str(case["key"])


@cache
def _numbers(source: str) -> dict[str, Array]:
    with np.load(io.BytesIO(raw(source, "npz"))) as arrays:
        return {name: arrays[name] for name in arrays.files}


def array(source_or_case: str | Case, ref: dict[str, Any]) -> Array:
    """The array that a reference ``{"dtype", "at", "shape"}`` stands for (a copy)."""
    source = source_or_case if isinstance(source_or_case, str) else source_or_case["source"]
    size = int(np.prod(ref["shape"], dtype=int))
    return _numbers(source)[ref["dtype"]][ref["at"] : ref["at"] + size].reshape(ref["shape"]).copy()


def inputs(case: Case) -> dict[str, Array]:
    """The inputs of a case by name."""
    return {name: array(case, ref) for name, ref in case.get("inputs", {}).items()}


def resolve(case: Case, tree: Any) -> Any:
    """``tree`` (a part of a case) with every array reference in it replaced by its array."""
    if isinstance(tree, dict):
        if set(tree) == {"dtype", "at", "shape"}:
            return array(case, tree)
        return {name: resolve(case, part) for name, part in tree.items()}
    if isinstance(tree, list):
        return [resolve(case, part) for part in tree]
    return tree


Test = Callable[[Case], bool]


def _by_key(pattern: str) -> Test:
    literal = pattern.replace("[", "[[]")  # keys hold lists; only * and ? are special
    return lambda case: fnmatchcase(case["key"], literal)


def _by_message(pattern: str) -> Test:
    def means(case: Case) -> bool:
        expect = case["expect"]
        return any(
            re.search(pattern, text) for text in (expect.get("message", ""), *expect.get("warnings", ()))
        )

    return means


def _toml(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


@cache
def reasons() -> dict[str, dict[str, str]]:
    """Name of a reason -> its ``sort``, ``title`` and ``reason``."""
    return _toml(GOLDEN / "deviations" / "reasons.toml")


@cache
def _tables(source: str) -> list[tuple[str, list[list[tuple[str, Test]]]]]:
    """Of every table of the deviations file its name, and the patterns of its ``keys`` and ``messages``."""
    found = []
    for name, table in _toml(GOLDEN / "deviations" / f"{source}.toml").items():
        if name not in reasons():
            raise KeyError(f"[{name}] of {source}.toml is no entry of reasons.toml")
        if not set() < table.keys() <= {"keys", "messages"}:
            raise KeyError(f"[{name}] of {source}.toml needs keys or messages or both")
        entries = (("keys", _by_key), ("messages", _by_message))
        patterns = [[(p, test(p)) for p in table[entry]] for entry, test in entries if entry in table]
        found.append((name, patterns))
    return found


@cache
def listed(source: str) -> dict[str, str]:
    """Key of a case -> name of the reason why we differ from the program there."""
    found: dict[str, str] = {}
    for name, entries in _tables(source):
        for case in cases(source):
            if all(any(means(case) for _, means in entry) for entry in entries):
                found.setdefault(case["key"], name)
    return found


@cache
def deviations(source: str) -> dict[str, str]:
    """Key of a case -> reason why we differ from the program there."""
    return {key: reasons()[name]["reason"] for key, name in listed(source).items()}


def unused_patterns(source: str) -> list[str]:
    """Patterns of the deviations file that match no case of the source."""
    return [
        text
        for _, entries in _tables(source)
        for entry in entries
        for text, means in entry
        if not any(map(means, cases(source)))
    ]


def array_difference(actual: Any, expected: Array, exact: bool) -> str | None:
    """What is wrong with ``actual``, or ``None``: type, shape, then the numbers."""
    actual = np.asarray(actual)
    if actual.dtype != expected.dtype:
        return f"type {actual.dtype}, recorded {expected.dtype}"
    if actual.shape != expected.shape:
        return f"shape {actual.shape}, recorded {expected.shape}"
    if not actual.size:
        return None
    wide = np.result_type(expected.dtype, np.float64)
    error = float(np.abs(actual.astype(wide) - expected.astype(wide)).max())
    scale = float(np.abs(expected).max())
    if exact and error > 0:
        return f"values differ by {error:g}, recorded as exact"
    if not error <= RTOL.get(expected.dtype.name, 0) * scale:  # also when it is NaN
        return f"values differ by {error:g} where the largest is {scale:g}"
    return None


ALIKE = {"InvalidArgumentError": ("ValueError",), "UnimplementedError": ("NotImplementedError",)}
"""Exception classes of a framework -> built-in classes that say the same."""


def error_difference(
    error: BaseException,
    expect: dict[str, Any],
    gist: str | None = None,
    alike: Mapping[str, Sequence[str]] = ALIKE,
) -> str | None:
    """What is wrong with an exception, or ``None``: its class, then its message if a gist is given."""
    wanted = alike.get(expect["type"], (expect["type"],))
    if not any(c.__name__ in wanted for c in type(error).__mro__):
        return f"{type(error).__name__}: {error}, recorded {expect['type']}: {expect['message']}"
    if gist is not None and not re.search(gist, str(error)):
        return f"message {str(error)!r} does not say {gist!r}, recorded {expect['message']!r}"
    return None


def plain(value: Any) -> Any:
    """``value`` as JSON would give it back: tuples as lists, NumPy numbers as numbers."""
    if isinstance(value, dict):
        return {str(name): plain(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(part) for part in value]
    return value.item() if isinstance(value, np.generic) else value


class Difference(str):
    """What is wrong with our outcome, in words.

    Attributes
    ----------
    computed : bool
        Whether we gave an answer; else we refused.
    """

    computed: bool

    def __new__(cls, text: str, computed: bool) -> Difference:
        made = super().__new__(cls, text)
        made.computed = computed
        return made


Same = Callable[[Case, Any], "str | None"]


def difference(
    case: Case,
    call: Callable[[], Any],
    *,
    same: Same | None = None,
    gist: str | None = None,
    alike: Mapping[str, Sequence[str]] = ALIKE,
    stage: Callable[[], str] | None = None,
) -> Difference | None:
    """Run ``call`` and say how its outcome differs from the recorded one, or ``None``."""
    try:
        actual = call()
    except Exception as error:  # whatever it is, it is the outcome
        refused = _refusal_difference(error, case["expect"], gist, alike, None if stage is None else stage())
        return None if refused is None else Difference(refused, computed=False)
    wrong = _answer_difference(case, actual, same)
    return None if wrong is None else Difference(wrong, computed=True)


def _refusal_difference(
    error: Exception,
    expect: dict[str, Any],
    gist: str | None,
    alike: Mapping[str, Sequence[str]],
    stage: str | None,
) -> str | None:
    raised = f"{type(error).__name__}: {error}" if stage is None else f"{stage} raises {error!r}"
    if expect["kind"] != "raises":
        return f"{raised}, recorded {expect['kind']}"
    if stage is not None and stage != expect["stage"]:
        return f"{raised}, recorded at {expect['stage']}: {expect['type']}: {expect['message']}"
    return error_difference(error, expect, gist, alike)


def _answer_difference(case: Case, actual: Any, same: Same | None) -> str | None:
    expect = case["expect"]
    if expect["kind"] == "raises":
        return f"a result, recorded {expect['type']}: {expect['message']}"
    if same is not None:
        return same(case, actual)
    if expect["kind"] == "array":
        return array_difference(actual, array(case, expect["output"]), expect.get("exact", False))
    wanted = expect["value"]
    return None if plain(actual) == wanted else f"{plain(actual)!r}, recorded {wanted!r}"


def check(
    case: Case,
    call: Callable[[], Any],
    *,
    same: Same | None = None,
    gist: str | None = None,
    alike: Mapping[str, Sequence[str]] = ALIKE,
) -> None:
    """Fail on a new difference and on a listed one that is gone.

    ``call`` returns the answer or raises. ``same(case, answer)`` replaces the comparison of answers; it
    returns what is wrong, or ``None``. ``gist`` is a pattern that the message of an error must match;
    ``alike`` says which of our exception classes stand for a recorded one.
    """
    wrong = verdict(case, difference(case, call, same=same, gist=gist, alike=alike))
    assert wrong is None, wrong


def verdict(case: Case, found: Difference | None) -> str | None:
    """What is wrong with a difference, or with none: it is new, or it is listed and gone."""
    reason, where = deviations(case["source"]).get(case["key"]), f"{case['source']}: {case['key']}"
    if found is not None and reason is None:
        return f"{where}: {found}"
    if found is None and reason is not None:
        return f"{where} agrees now; it is listed as: {reason}"
    return None
