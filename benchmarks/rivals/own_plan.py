"""convtranspose as a program uses it: a plan, packed once, writing into an array that is kept."""

from __future__ import annotations

from typing import Any

import numpy as np
from problem import Problem, to_layout

from rivals import Call

FORMATS = ("channels_last", "channels_first")
OPERATIONS = ("forward", "adjoint", "kernel-gradient")
_threads = 1


def setup(threads: int) -> str:
    global _threads
    import convtranspose
    from convtranspose.plans import native_absence, native_module

    _threads = threads
    path = "NumPy path" if native_module is None else getattr(native_module, "isa", lambda: "native")()
    reason = f": {native_absence}" if native_absence else ""
    return f"{convtranspose.__version__} ({path}{reason})"


def prepare(problem: Problem, operation: str, layout: str, w: np.ndarray) -> Call:
    from convtranspose import arguments as args
    from convtranspose import conv_transpose_kernel_gradient, plan
    from convtranspose.plans import Plan

    options = {**problem.arguments(), "data_format": layout}
    given, taken = {"forward": ("x", "y"), "adjoint": ("y", "x"), "kernel-gradient": ("x", "w")}[operation]

    def bind(*arrays: np.ndarray) -> Any:
        length = arrays[0].shape[-1 if layout == "channels_first" else -2]
        now = problem.at(length) if given == "x" else problem
        shape = now.shapes[taken]
        if taken != "w" and layout == "channels_first":
            shape = (shape[0], shape[-1], *shape[1:-1])
        return arrays, args.output_array(None, shape, np.dtype("float32"), arrays)  # as a call without out

    if operation == "kernel-gradient":

        def run(bound: Any) -> Any:
            return conv_transpose_kernel_gradient(
                *bound[0], problem.kernel, **options, out=bound[1], threads=_threads
            )

        return Call(layout, bind, run, np.asarray)
    if operation == "forward":
        made = plan(w, **options)
    else:
        checked = args.options(
            w.shape, problem.strides, problem.padding, None, layout, problem.dilation, problem.groups
        )
        made = Plan("adjoint", w, checked)

    def run_plan(bound: Any) -> Any:
        return made(bound[0][0], out=bound[1], threads=_threads)

    first = to_layout(np.empty(problem.shapes[given], np.float32), layout).shape
    return Call(layout, bind, run_plan, np.asarray, made.workspace_bytes(first, _threads))
