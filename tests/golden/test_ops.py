"""Every recorded case of ``keras.ops.conv_transpose``, over all backends and versions."""

from __future__ import annotations

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase
from typing import Any

import ml_dtypes  # noqa: F401 - registers the name bfloat16 with NumPy
import numpy as np
import pytest

import golden_cases
from convtranspose import arguments, conv_transpose, geometry, reference
from golden_cases import (
    Case,
    Difference,
    array,
    array_difference,
    cases,
    deviations,
    inputs,
    key,
    sources,
    verdict,
)

CURRENT = ["keras3_ops_jax", "keras3_ops_openvino", "keras3_ops_tensorflow", "keras3_ops_torch"]
OLDER = [name for name in sources() if name.startswith("keras_3.")]
SOURCES = [*CURRENT, *OLDER]

GISTS = {
    "e*_emptylen": "at least one sample on every spatial axis",
    "vo_strides*": "strides must",
    "vo_pad*": "padding must be 'valid', 'same' or",
    "vo_op*": "output_padding must",
    "vo_dil*": "dilation_rate must",
    "vo_df*": "data_format must be 'channels_last' or 'channels_first'",
    "vo_c*_mismatch*": r"kernel expects \d+ input channels, but inputs has \d+",
    "vo_sym_mismatch*": r"kernel expects \d+ input channels, but inputs has \d+",
    "vo_chan*": r"kernel expects \d+ input channels, but inputs has \d+",
    "vo_kernel_rank*": "must have .* axes",
    "vo_rank*": "must have 3, 4 or 5 axes",
    "vo_k0_*": "kernel must have at least one tap on every axis",
    "vo_c*0_*": "kernel must have at least one channel on both sides",
    "vo_dtype*": "must be float32, float64, float16 or ml_dtypes.bfloat16|must have the same type",
}
"""Cases -> what our message has to say where we refuse them."""

_REFUSAL = ("ValueError", "TypeError")
ALIKE = dict.fromkeys(
    (
        *("AssertionError", "AttributeError", "IndexError", "RuntimeError", "NotImplementedError"),
        *("InvalidArgumentError", "UnimplementedError", "UnboundLocalError", "OpConversionFailure"),
    ),
    _REFUSAL,
)
"""What breaks somewhere inside a backend is refused by a check here."""


def ones(case: Case) -> dict[str, np.ndarray]:
    steps = case["steps"]
    shape = [1 if n is None else n for n in steps["x_shape"]]
    return {
        "inputs": np.ones(shape, steps["x_dtype"]),
        "kernel": np.ones(steps["kernel_shape"], steps["kernel_dtype"]),
    }


def symbolic_shape(given: dict[str, Any], x_shape: list[Any], kernel_shape: tuple[int, ...]) -> list[Any]:
    """Static shape of the output; unknown sizes stay unknown."""
    options = arguments.options(kernel_shape, **given)
    arguments.problem(options, tuple(1 if n is None else n for n in x_shape))
    first = options.data_format == "channels_first"
    sizes = x_shape[2:] if first else x_shape[1:-1]
    plan = geometry.geometry(
        [n or 1 for n in sizes],
        options.kernel_sizes,
        options.strides,
        options.padding,
        options.output_padding,
        options.dilation_rate,
    )
    out = [None if n is None else axis.o for n, axis in zip(sizes, plan, strict=True)]
    return [x_shape[0], options.c_out, *out] if first else [x_shape[0], *out, options.c_out]


def call(case: Case) -> Any:
    given = case["args"]
    if "steps" not in case:
        return conv_transpose(**inputs(case), **given)
    steps = case["steps"]
    if steps["symbolic"] and not steps["run_model"]:
        shape = symbolic_shape(given, steps["x_shape"], tuple(steps["kernel_shape"]))
        return {"symbolic_shape": shape, "dtype": steps["x_dtype"]}
    y = conv_transpose(**ones(case), **given)
    return {"shape": list(y.shape), "dtype": y.dtype.name, "sum": float(y.astype(np.float64).sum())}


def checked_call(case: Case) -> Any:
    """:func:`call`; where we refuse, our message must fit, whatever the program said or did."""
    try:
        return call(case)
    except (ValueError, TypeError) as error:
        gists = [gist for pattern, gist in GISTS.items() if fnmatchcase(case["key"], pattern)]
        if not any(re.search(gist, str(error)) for gist in gists):
            pytest.fail(f"{case['key']}: the message does not fit: {error}")  # no Exception: it gets through
        raise


def same(case: Case, answer: Any) -> str | None:
    """Arrays as recorded; of the facts about a call all but the warnings that came with them."""
    expect = case["expect"]
    if expect["kind"] == "array":
        return array_difference(answer, array(case, expect["output"]), expect.get("exact", False))
    wanted = {name: fact for name, fact in expect["value"].items() if name in answer}
    return None if answer == wanted else f"{answer}, recorded {wanted}"


def difference(case: Case) -> Difference | None:
    """How our outcome differs from the recorded one, or ``None``."""
    return golden_cases.difference(case, lambda: checked_call(case), same=same, alike=ALIKE)


def check_all(found: Iterable[Case]) -> None:
    """Many cases in one test; all failures are told."""
    failures = [wrong for case in found if (wrong := verdict(case, difference(case))) is not None]
    assert not failures, "\n".join(failures)


@pytest.mark.parametrize(
    "case", [c for source in CURRENT for c in cases(source)], ids=lambda c: f"{c['source']}-{key(c)}"
)
def test_current_version(case):
    check_all([case])


@pytest.mark.parametrize("source", OLDER)
def test_older_version(source):
    check_all(cases(source))


@pytest.mark.parametrize("source", SOURCES)
def test_symbolic_shapes(source):
    """The static shape that the program gave beside an answer is the one that geometry gives."""
    for case in cases(source):
        recorded = case["expect"].get("symbolic_shape")
        if recorded is not None and "emptylen" not in case["key"]:
            refs = case["inputs"]
            shape = symbolic_shape(
                case["args"], [None, *refs["inputs"]["shape"][1:]], tuple(refs["kernel"]["shape"])
            )
            assert shape == recorded, key(case)


def test_every_path(path):
    check_all(case for case in cases(CURRENT[0]) if "inputs" in case)


@pytest.mark.parametrize("source", SOURCES)
def test_reference(source):
    """The oracle agrees with the programs wherever the operation does."""
    listed = deviations(source)
    for case in cases(source):
        expect = case["expect"]
        if expect["kind"] == "array" and case["key"] not in listed:
            recorded = array(case, expect["output"])
            answer = reference.conv_transpose(**inputs(case), **case["args"]).astype(recorded.dtype)
            assert array_difference(answer, recorded, expect.get("exact", False)) is None, key(case)


def test_operation_equals_reference_where_a_program_differs():
    """A listed difference is no licence: what we compute there is the definition."""
    compared = 0
    for source in SOURCES:
        for name in deviations(source):
            case = next(c for c in cases(source) if c["key"] == name)
            if "inputs" not in case or "emptylen" in name:
                continue
            given, options = inputs(case), case["args"]
            answer = conv_transpose(**given, **options)
            wanted = reference.conv_transpose(**given, **options).astype(answer.dtype)
            assert array_difference(answer, wanted, case["arith"] == "grid") is None, f"{source}: {name}"
            compared += 1
    assert compared > 500
