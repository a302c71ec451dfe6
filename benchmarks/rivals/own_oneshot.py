"""convtranspose in one call: weights checked and packed every time, a new array for the result."""

from __future__ import annotations

from typing import Any

import numpy as np
from problem import Problem

from rivals import Call, own_plan

FORMATS = ("channels_last", "channels_first")
OPERATIONS = ("forward", "adjoint", "kernel-gradient")
setup = own_plan.setup


def prepare(problem: Problem, operation: str, layout: str, w: np.ndarray) -> Call:
    import convtranspose

    options = {**problem.arguments(), "data_format": layout, "threads": own_plan._threads}

    def run(arrays: Any) -> Any:
        if operation == "forward":
            return convtranspose.conv_transpose(arrays[0], w, **options)
        if operation == "adjoint":
            return convtranspose.conv(arrays[0], w, **options)
        return convtranspose.conv_transpose_kernel_gradient(*arrays, problem.kernel, **options)

    return Call(layout, lambda *arrays: arrays, run, np.asarray)
