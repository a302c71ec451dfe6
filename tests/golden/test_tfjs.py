"""Every recorded case of the layers and operations of TensorFlow.js, replayed under its face.

Compared are values and shapes; configurations with the order of their keys, names of weights, input
specifications; and of errors the step that raises, the class, and what the message is about. A warning
must come exactly where something is ignored. Models and their files belong to the tests of files,
activations to those of the built-ins.
"""

from __future__ import annotations

import re
import warnings
from itertools import groupby
from typing import Any

import numpy as np
import pytest

import golden_cases
from convtranspose import reference, tfjs
from convtranspose.layers import clear_session
from golden_cases import (
    Case,
    Difference,
    array_difference,
    cases,
    deviations,
    inputs,
    plain,
    resolve,
    unused_patterns,
)

ELSEWHERE = ("act_", "model_")
CASES = [case for case in cases("tfjs") if not case["key"].startswith(ELSEWHERE)]
ALIKE = {"Error": ("ValueError",)}  # a plain Error of JavaScript
IGNORED = {
    "outputPadding": lambda value: value is not None,
    "dilationRate": lambda value: value is not None and np.any(np.not_equal(value, 1)),
    "groups": lambda value: value != 1,
    "dtype": lambda value: value != "float32",
    **dict.fromkeys(("flavour", "kernel_size", "use_bias", "data_format"), lambda _: True),
}

GISTS = [  # what a recorded message is about -> what ours must say
    (r"currently supports only padding modes", r"'causal' has no meaning"),
    (r"is not a valid PaddingMode", r"padding must be 'valid' or 'same'"),
    (r"is not a valid DataFormat", r"dataFormat must be 'channelsFirst' or 'channelsLast'"),
    (r"required key 'kernelSize' not in config", r"required key 'kernelSize' not in config"),
    (r"expects config.kernelSize to be number", r"kernelSize must be a number or an array of 1 to 3 numbers"),
    (r"The (\w+) argument must be an integer or tuple of (\d)", r"{1} must be a number or an array of {2}"),
    (r"config.filters to be a 'number' > 0", r"filters must be a number > 0"),
    (r"comprised of positive integers but got shape \[.*-", r"must not be negative"),
    (r"comprised of positive integers", r"must hold integers"),
    (r"(Unknown \w+: \w+)\.", r"{1}\. tfjs has none"),
    (r"(\w+: Improper config format: 3)", r"{1}"),
    (r"config must have value set", r"value"),
    (r"[Ii]nput should have rank (\d)", r"input_shape must have {1} axes"),
    (r"expected ndim=(\d), found ndim=(\d)", r"expected ndim={1}, found ndim={2}"),
    (r"expected axis (\d) of input shape to have value (\d)", r"expected axis {1} .* length {2},"),
    (r"channel dimension of the inputs should be defined", r"channels of input_shape must be known"),
    (r"with a weight list of length (\d+)", r"set_weights got {1} arrays"),
    (r"not compatible with provided weight shape", r"set_weights got \("),
]


def gist_of(message: str) -> str:
    for recorded, ours in GISTS:
        found = re.search(recorded, message)
        if found:
            for number, group in enumerate(found.groups(), 1):
                ours = ours.replace(f"{{{number}}}", re.escape(group))
            return ours
    return f"no gist is known for the recorded message {message!r}"


class Run:
    """One case: what comes out, and which step runs."""

    def __init__(self, case: Case) -> None:
        self.case, self.stage = case, "init"

    def layer(self) -> Any:
        api = self.case["api"].split()[0].rpartition(".")[2]
        more = {"filters": 2, "kernelSize": 3} if self.case["api"].endswith("getConfig") else {}
        return getattr(tfjs.layers, api)({**more, **self.case["args"]})

    def array(self) -> str | None:
        """A computation: the output and the shape that was foretold."""
        given, expect, made = inputs(self.case), self.case["expect"], self.layer()
        self.stage = "build"
        made.build(given["x"].shape)
        self.stage = "setWeights"
        made.setWeights([given[name] for name in ("kernel", "bias") if name in given])
        self.stage = "call"
        y = made.apply(given["x"])
        if expect["kind"] == "raises":
            return None
        wrong = array_difference(y, resolve(self.case, expect["output"]), expect.get("exact", False))
        foretold = made.computeOutputShape(given["x"].shape)
        if wrong is None and list(foretold) != expect["computeOutputShape"]:
            wrong = f"foretold shape {foretold}, recorded {expect['computeOutputShape']}"
        return wrong

    def core(self) -> str | None:
        """An operation."""
        given, expect = inputs(self.case), self.case["expect"]
        y = getattr(tfjs, self.case["api"].rpartition(".")[2])(**given, **self.case["args"])
        return array_difference(y, resolve(self.case, expect["output"]), expect.get("exact", False))

    def steps(self) -> dict[str, Any]:
        """An argument check: construct, then the steps; what the layer is like afterwards."""
        steps, found = self.case.get("steps", {}), {}
        made = self.layer()
        if "build" in steps:
            self.stage = "build"
            made.build(tuple(steps["build"]))
        if "call" in steps:
            self.stage = "call"
            y = made.apply(np.ones(steps["call"], steps.get("callDtype", "float32")))
            found = {"outputShape": y.shape, "outputDtype": y.dtype.name}
        if "setWeights" in steps:
            self.stage = "setWeights"
            made.setWeights([np.ones(shape, "float32") for shape in steps["setWeights"]])
        self.stage = "describe"
        if "compute" in steps:
            found["computeOutputShape"] = made.computeOutputShape(tuple(steps["compute"]))
        config = made.getConfig()
        found |= {
            "className": made.getClassName(),
            "name": made.name,
            "built": made.built,
            "trainable": made.trainable,
            "config": config,
            "configKeys": list(config),
            "weights": [[w.path, w.name, w.shape, w.dtype.name] for w in made.weights],
            "inputSpec": [{"ndim": s.ndim, "axes": s.axes or {}} for s in made.inputSpec],
        }
        return found

    def outcome(self) -> str | None:
        """How it differs from the recorded one, or ``None``."""
        case, expect = self.case, self.case["expect"]
        if case["key"].startswith("core"):
            return self.core()
        if "inputs" in case:
            return self.array()
        if case["key"].startswith("get_"):
            config, key = self.layer().getConfig(), next(iter(case["args"]))
            return None if plain(config[key]) == expect.get("value") else f"{config[key]}, recorded {expect}"
        found = numbered(plain(self.steps()))
        for name, value in expect.get("value", {}).items():
            if found.get(name) != value:
                return f"{name} is {found.get(name)!r}, recorded {value!r}"
        return None


def numbered(found: dict[str, Any]) -> dict[str, Any]:
    """Counters in names as they are recorded; the first weight of a name has none."""
    automatic = re.sub(r"(?<=_Conv[23]DTranspose)\d+$", "<n>", found["name"])
    weights = []
    for path, name, *more in found["weights"]:
        assert re.fullmatch(rf"{re.escape(path)}(_\d+)?", name), f"{name} is no name for {path}"
        inside = path.replace(found["name"], automatic)
        weights.append([inside, inside if "/" in path else f"{path}_<n>", *more])
    config = {**found["config"], "name": automatic}
    return {**found, "name": automatic, "config": config, "weights": weights}


def difference(case: Case) -> Difference | None:
    """How our outcome differs from the recorded one, or ``None``."""
    clear_session()
    run, expect = Run(case), case["expect"]
    return golden_cases.difference(
        case,
        run.outcome,
        same=lambda _, wrong: wrong,
        gist=gist_of(expect["message"]) if expect["kind"] == "raises" else None,
        alike=ALIKE,
        stage=lambda: run.stage,
    )


def verdict(case: Case) -> str | None:
    """A new difference, a listed one that is gone, or a warning too many or too few."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        wrong = golden_cases.verdict(case, difference(case))
    if wrong is None and not case["key"].startswith("core"):
        heard = {re.match(r"TensorFlow.js ignores (\w+)=", str(w.message))[1] for w in told}  # type: ignore[index]
        due = {key for key, value in case["args"].items() if key in IGNORED and IGNORED[key](value)}
        if heard != due and case["expect"].get("stage") != "init":
            return f"{case['key']} warns of {sorted(heard)}, but ignored are {sorted(due)}"
    return wrong


def kind(case: Case) -> str:
    return str(case["key"]).split("_")[0]


@pytest.mark.parametrize(
    "group", [pytest.param(list(g), id=name) for name, g in groupby(sorted(CASES, key=kind), kind)]
)
def test_recorded(group: list[Case]) -> None:
    wrong = [found for case in group if (found := verdict(case)) is not None]
    assert not wrong, f"{len(wrong)} of {len(group)}:\n" + "\n".join(wrong)


def test_no_idle_patterns() -> None:
    assert unused_patterns("tfjs") == []


def definition(case: Case) -> tuple[Any, Any, Any]:
    """Inputs, kernel and strides of a case, as the reference takes them."""
    given, rank = inputs(case), 3 if "3d" in case["api"] else 2
    kernel = given["kernel"] if "kernel" in given else given["filter"]
    x = given["x"] if given["x"].ndim == rank + 2 else given["x"][None]
    steps = case["args"]["strides"]
    return x, kernel, tuple(steps) if isinstance(steps, list) else (steps,) * rank


DIFFERING = [
    case
    for case in CASES
    if case["expect"]["kind"] == "array"
    and case["key"] in deviations("tfjs")
    and not case["key"].endswith("emptylen")  # refused
]


@pytest.mark.parametrize("case", DIFFERING, ids=lambda case: case["key"])
def test_where_we_differ_the_definition_is_computed(case: Case) -> None:
    (x, kernel, strides), args = definition(case), dict(case["args"])
    if case["key"].startswith("core"):
        ours = getattr(tfjs, case["api"].rpartition(".")[2])(**inputs(case), **args)
        lengths = ours.shape[-kernel.ndim + 1 : -1]
        crops = []
        for o, i, k, s in zip(lengths, x.shape[1:], kernel.shape, strides, strict=False):
            total = (i - 1) * s + k - o
            lo = max(total, 0) // 2 if args["pad"] == "same" else args["pad"]
            crops.append((lo, total - lo))
        wanted = reference.conv_transpose(x, kernel, strides, tuple(crops), data_format="channels_last")
        assert array_difference(ours, wanted.reshape(ours.shape).astype("float32"), True) is None
        return
    heard = {key: value for key, value in args.items() if key not in ("activation", "outputPadding")}
    layer = Run({**case, "args": heard}).layer()
    layer.build(x.shape)
    bias = inputs(case).get("bias")
    layer.setWeights([kernel] if bias is None else [kernel, bias])
    wanted = reference.conv_transpose(
        x, kernel, strides, "same", data_format=layer.data_format, bias=bias
    ).astype("float32")
    assert array_difference(layer.apply(x), wanted, case["arith"] == "grid") is None


@pytest.mark.parametrize(
    "case",
    [c for c in DIFFERING if c["api"] == "tf.layers.conv3dTranspose" and "activation" not in c["args"]],
    ids=lambda case: case["key"],
)
def test_the_shift_of_volumes_is_the_one_that_is_described(case: Case) -> None:
    x, kernel, strides = definition(case)
    last = case["args"]["dataFormat"] == "channelsLast"
    crops = []
    for k, s in zip(kernel.shape, strides, strict=False):
        lo = (k - s) // 2  # below 0 where the stride is larger
        crops.append((lo, k - s - lo))
    wanted = reference.conv_transpose(
        x,
        kernel,
        strides,
        tuple(crops),
        data_format="channels_last" if last else "channels_first",
        bias=inputs(case).get("bias"),
    )
    recorded = resolve(case, case["expect"]["output"])
    assert array_difference(recorded, wanted.astype("float32"), case["arith"] == "grid") is None
