"""OpenVINO: the ONNX model of the layer, compiled for latency, in and out without copies."""

from __future__ import annotations

from typing import Any

import numpy as np
from problem import Problem

from rivals import Call
from rivals.onnxruntime_ import model

FORMATS = ("channels_first",)
OPERATIONS = ("forward",)
_core: Any = None


def setup(threads: int) -> str:
    global _core
    import onnx  # noqa: F401 - needed to build the models
    import openvino

    _core = openvino.Core()
    _core.set_property(
        "CPU",
        {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_NUM_THREADS": threads,
            "NUM_STREAMS": 1,
            "INFERENCE_PRECISION_HINT": "f32",
        },
    )
    return openvino.__version__


def prepare(problem: Problem, operation: str, layout: str, w: np.ndarray) -> Call:
    import openvino

    compiled = _core.compile_model(_core.read_model(model(problem, w)), "CPU")
    request = compiled.create_infer_request()
    current: Any = None

    def bind(x: np.ndarray) -> Any:
        return openvino.Tensor(x, shared_memory=True)

    def run(x: Any) -> Any:
        nonlocal current
        if x is not current:
            request.set_input_tensor(x)
            current = x
        request.start_async()
        request.wait()
        return request

    return Call(layout, bind, run, lambda done: np.array(done.get_output_tensor().data))
