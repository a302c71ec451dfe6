"""The scratch memory of all threads stays below a quarter of input, output and kernel."""

from math import prod
from pathlib import Path

import numpy as np
import problem as benchmark
import pytest

import convtranspose
from convtranspose.plans import Plan

PROBLEMS = benchmark.load(Path(benchmark.__file__).with_name("problems.toml"))

# Smaller arrays are no burden, and a single tile of every thread may be more than a quarter of them.
LARGE = 768 << 10

# Direct sums over kernels far larger than the stride: the window of a few destinations is most of the source.
MORE = {
    ("k64.s16", "adjoint", "channels_last"): 0.5,
    ("k64.s16", "adjoint", "channels_first"): 0.55,
}


def parts_of_the_arrays(problem, layout):
    """Per direction: the workspace of two threads, of input, output and kernel; and their bytes."""
    x, w, y = (problem.shapes[name] for name in "xwy")
    if layout == "channels_first":
        x, y = ((n, c, *sizes) for n, *sizes, c in (x, y))
    whole = 4 * (prod(x) + prod(w) + prod(y))
    kernel = np.zeros(w, "float32")
    forward = convtranspose.plan(kernel, data_format=layout, **problem.arguments())
    yield "forward", forward.workspace_bytes(x, threads=2) / whole, whole
    adjoint = Plan("adjoint", kernel, forward.options)
    yield "adjoint", adjoint.workspace_bytes(y, threads=2) / whole, whole


@pytest.mark.parametrize("layout", ["channels_last", "channels_first"])
def test_the_workspace_of_large_runs_is_below_a_quarter(path, layout):
    large = 0
    for problem in PROBLEMS:
        for direction, part, whole in parts_of_the_arrays(problem, layout):
            most = MORE.get((problem.name, direction, layout), 0.25)
            if whole >= LARGE:
                large += 1
                assert part < most, (problem.name, direction, part)
    assert large > 50
