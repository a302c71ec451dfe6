"""The recorded cases of built-ins: activations, initializers, regularizers, constraints."""

from __future__ import annotations

import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import golden_cases
from convtranspose.dialects import KERAS3, TF_KERAS_2_4, TF_KERAS_2_9, TF_KERAS_2_21, TFJS, Dialect
from golden_cases import Case

DIALECTS = {
    "misc_keras3": KERAS3,
    "misc_tf24": TF_KERAS_2_4,
    "misc_tf29": TF_KERAS_2_9,
    "misc_tfkeras221": TF_KERAS_2_21,
    "tfjs": TFJS,
}


def dialect(case: Case) -> Dialect:
    return DIALECTS[case["source"]]


def parameters(*prefixes: str) -> Any:
    """All cases whose key or API begins with one of the prefixes, as test parameters."""
    chosen = [
        pytest.param(case, id=f"{source}-{case['key']}")
        for source in DIALECTS
        for case in golden_cases.cases(source)
        if case["key"].startswith(prefixes) or case["api"].startswith(prefixes)
    ]
    assert chosen
    return pytest.mark.parametrize("case", chosen)


def make(module: Any, case: Case) -> Any:
    """The object of a case: by its name, or by its class and arguments."""
    if case["key"].startswith("obj_"):
        known = SimpleNamespace(**module.classes(dialect(case)))
        return getattr(known, case["api"].split(".")[1])(**case["args"])
    return module.get(identifier(case), dialect(case))


def identifier(case: Case) -> Any:
    if case["key"].startswith("obj_"):
        return ""
    (found,) = [value for name, value in case["args"].items() if name != "shape"]
    return found


def serialized_difference(case: Case, actual: Any, expected: Any) -> str | None:
    """Compare serialized objects, the order of their keys too; automatic names without their number."""

    def ordered(value: Any) -> Any:
        if isinstance(value, dict):
            return [
                (k, re.sub(r"_\d+$", "", v) if k == "name" and isinstance(v, str) else ordered(v))
                for k, v in value.items()
            ]
        return value

    same = ordered(golden_cases.plain(actual)) == ordered(expected)
    return None if same else f"serialized {actual!r}, recorded {expected!r}"


def check(case: Case, module: Any, apply: Callable[[Any, Any], Any]) -> None:
    """Make the object, serialize it, apply it, and compare all three with what was recorded.

    ``apply(obj, x)`` gives the array of the case; ``x`` is its input, or the shape of its output.
    """
    expect = case["expect"]

    def run() -> Any:
        made = make(module, case)
        written = module.serialize(made, dialect(case))
        given = list(golden_cases.inputs(case).values())
        if given:
            return written, apply(made, given[0])
        return written, apply(made, expect["output"]["shape"]) if "output" in expect else None

    def same(case: Case, answer: Any) -> str | None:
        written, values = answer
        if expect["kind"] == "value":
            return serialized_difference(case, written, expect["value"])
        recorded = expect["serialized"] if "serialized" in expect else expect["config"]
        found = serialized_difference(
            case, written if "serialized" in expect else written["config"], recorded
        )
        if found is not None:
            return found
        wanted = golden_cases.array(case, expect["output"])
        if np.asarray(values).shape == () and wanted.shape == (1,):
            values = np.full(1, values, wanted.dtype)
        # Infinities are compared as such; the distance is measured on the rest.
        finite = np.isfinite(wanted)
        if not np.array_equal(np.asarray(values)[~finite], wanted[~finite]):
            return "infinities stand in other places"
        return golden_cases.array_difference(np.asarray(values)[finite], wanted[finite], exact=False)

    golden_cases.check(case, run, same=same, gist=gist(case))


AT_CALL = {
    "act_glu": r"must be divisible by 2",
    "act_threshold": r"missing 2 required positional arguments: 'threshold' and 'default_value'",
    "act_prelu": r"Unknown activation function: prelu",
    "con_RadialConstraint": r"needs a square kernel .* in shape \(2, 3, 4, 3\)",
    "reg_": r"'str' object is not callable",
}
"""What a message says of objects that are made and fail when they are called."""


def gist(case: Case) -> str | None:
    """What a message must say: at first the name that was refused, in any case of letters."""
    expect = case["expect"]
    if expect["kind"] != "raises":
        return None
    if expect.get("stage") == "call":
        return next(gist for key, gist in AT_CALL.items() if case["key"].startswith(key))
    return "(?i)" + re.escape(str(identifier(case)))
