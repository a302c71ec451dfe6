"""LiteRT: the TensorFlow function of the layer, converted; XNNPACK on."""

from __future__ import annotations

from typing import Any

import numpy as np
from problem import Problem

from rivals import Call, Unsupported, tensorflow_

FORMATS = ("channels_last",)
OPERATIONS = ("forward",)
_threads = 1


def setup(threads: int) -> str:
    global _threads
    from importlib.metadata import version

    import ai_edge_litert.interpreter  # noqa: F401

    _threads = threads
    tensorflow_.setup(threads)  # converts the models
    return version("ai-edge-litert")


def prepare(problem: Problem, operation: str, layout: str, w: np.ndarray) -> Call:
    import tensorflow as tf
    from ai_edge_litert.interpreter import Interpreter

    if tensorflow_._depthwise(problem) or problem.groups > 8:
        raise Unsupported("LiteRT has no grouped or depthwise transposed convolution")
    call, shape = tensorflow_.function(problem, w)
    signature = [tf.TensorSpec(shape, tf.float32)]
    concrete = tf.function(call, input_signature=signature, autograph=False).get_concrete_function()
    try:
        content = tf.lite.TFLiteConverter.from_concrete_functions([concrete]).convert()
        interpreter = Interpreter(model_content=content, num_threads=_threads)
        interpreter.allocate_tensors()
    except Exception as error:
        raise Unsupported(f"LiteRT: {str(error).strip().splitlines()[0][:160]}") from error
    source = interpreter.get_input_details()[0]["index"]
    target = interpreter.get_output_details()[0]["index"]
    current: Any = None
    sizes: tuple[int, ...] = ()

    def run(x: np.ndarray) -> Any:
        nonlocal current, sizes
        if x is not current:
            if x.shape != sizes:
                interpreter.resize_tensor_input(source, x.shape)
                interpreter.allocate_tensors()
                sizes = x.shape
            interpreter.set_tensor(source, x)
            current = x
        interpreter.invoke()

    return Call(layout, lambda x: x, run, lambda _: interpreter.get_tensor(target))
