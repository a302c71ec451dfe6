"""ONNX Runtime: one ConvTranspose node, weights as an initializer, inputs and outputs bound."""

from __future__ import annotations

from typing import Any

import numpy as np
from problem import Problem

from rivals import Call

FORMATS = ("channels_first",)
OPERATIONS = ("forward",)
_threads = 1


def setup(threads: int) -> str:
    global _threads
    import onnx  # noqa: F401 - needed to build the models
    import onnxruntime

    _threads = threads
    onnxruntime.set_default_logger_severity(3)
    return onnxruntime.__version__


def model(problem: Problem, w: np.ndarray) -> bytes:
    """The layer as an ONNX file."""
    from onnx import TensorProto, helper, numpy_helper

    rank = problem.rank
    axes = problem.geometry.axes
    weight = np.ascontiguousarray(w.transpose(rank + 1, rank, *range(rank)))
    pads = [max(a.lo, 0) for a in axes] + [max(a.hi, 0) for a in axes]
    node = helper.make_node(
        "ConvTranspose",
        ["x", "w"],
        ["y"],
        group=problem.groups,
        kernel_shape=problem.kernel,
        strides=problem.strides,
        dilations=problem.dilation,
        pads=pads,
        output_padding=[max(-a.hi, 0) for a in axes],
    )
    ends = []
    for name, channels, sizes in (
        ("x", problem.c_in, problem.input),
        ("y", problem.c_out, problem.geometry.output_sizes),
    ):
        shape: list[Any] = [problem.batch, channels, *sizes]
        if problem.changing:
            shape[-1] = f"{name}_length"
        ends.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    graph = helper.make_graph([node], "layer", ends[:1], ends[1:], [numpy_helper.from_array(weight, "w")])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    return made.SerializeToString()


def prepare(problem: Problem, operation: str, layout: str, w: np.ndarray) -> Call:
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.intra_op_num_threads = _threads
    options.inter_op_num_threads = 1
    session = ort.InferenceSession(model(problem, w), options, providers=["CPUExecutionProvider"])

    def bind(x: np.ndarray) -> Any:
        y = problem.at(x.shape[-1]).shapes["y"]
        result = ort.OrtValue.ortvalue_from_shape_and_type((y[0], y[-1], *y[1:-1]), np.float32)
        binding = session.io_binding()
        binding.bind_ortvalue_input("x", ort.OrtValue.ortvalue_from_numpy(x))
        binding.bind_ortvalue_output("y", result)
        return binding, result

    def run(bound: Any) -> Any:
        session.run_with_iobinding(bound[0])
        return bound[1]

    return Call(layout, bind, run, lambda y: y.numpy())
