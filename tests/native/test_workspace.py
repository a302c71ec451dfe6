"""The scratch memory of all threads stays below a quarter of input, output and kernel."""

import tomllib
from math import prod
from pathlib import Path

import numpy as np
import pytest

from convtranspose import arguments
from convtranspose.plans import Plan

PROBLEMS = tomllib.loads((Path(__file__).parents[2] / "benchmarks" / "problems.toml").read_text())["problem"]

# Smaller arrays are no burden, and a single tile of every thread may be more than a quarter of them.
LARGE = 2 << 20

# Eight tiles, the fewest that keep a processor busy, of so many channels or of every strand of a dilated
# kernel need more, and less would cost speed: the part of the arrays that two threads take.
MORE = {
    ("3dgan.g2", "adjoint", "channels_last"): 0.48,
    ("3dgan.g2", "adjoint", "channels_first"): 0.53,
    ("3dgan.g2", "forward", "channels_first"): 0.35,
    ("dilated.s2d3", "adjoint", "channels_first"): 0.57,
    ("k64.s16", "adjoint", "channels_last"): 0.5,
    ("k64.s16", "adjoint", "channels_first"): 0.55,
}


def parts_of_the_arrays(problem, layout):
    """Per direction: the workspace of two threads, of input, output and kernel; and their bytes."""
    size = problem["input"] if isinstance(problem["input"], list) else [problem["input"]]
    axes = {
        name: tuple(v if isinstance(v, list) else [v] * len(size))
        for name in ("kernel", "strides", "dilation")
        for v in [problem.get(name, 1)]
    }
    groups = problem.get("groups", 1)
    w = np.zeros((*axes["kernel"], problem["c_out"] // groups, problem["c_in"]), "float32")
    x_shape = [problem["batch"], *size]
    x_shape.insert(len(x_shape) if layout == "channels_last" else 1, problem["c_in"])
    how = (w.shape, axes["strides"], problem["padding"], None, layout, axes["dilation"], groups)
    options = arguments.options(*how)
    forward = Plan("forward", w, options)
    y_shape = forward.output_shape(tuple(x_shape))
    whole = 4 * (prod(x_shape) + w.size + prod(y_shape))
    yield "forward", forward.workspace_bytes(tuple(x_shape), threads=2) / whole, whole
    adjoint = Plan("adjoint", w, options)
    yield "adjoint", adjoint.workspace_bytes(y_shape, threads=2) / whole, whole


@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
def test_the_workspace_of_large_runs_is_below_a_quarter(path, layout):
    large = 0
    for problem in PROBLEMS:
        for direction, part, whole in parts_of_the_arrays(problem, layout):
            most = MORE.get((problem["name"], direction, layout), 0.25)
            if whole >= LARGE:
                large += 1
                assert part < most, (problem["name"], direction, part)
    assert large > 50
