"""TensorFlow: ``tf.nn`` inside a ``tf.function``, channels last.

Depthwise problems use the gradient of the depthwise convolution, which is the transposed one;
other groups are split and joined, for the CPU kernels have none. 1-D runs as 2-D of height 1, as
TensorFlow itself does it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
from problem import Problem

from rivals import Call, Unsupported

FORMATS = ("channels_last",)
OPERATIONS = ("forward",)


def setup(threads: int) -> str:
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ["CUDA_VISIBLE_DEVICES"] = ""
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(threads)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    return tf.__version__


def _depthwise(problem: Problem) -> bool:
    return 1 < problem.groups == problem.c_in == problem.c_out and problem.rank < 3


def function(problem: Problem, w: np.ndarray) -> tuple[Callable[[Any], Any], list[int | None]]:
    """The layer as a function of a tensor, channels last, and the shape of that tensor."""
    import tensorflow as tf

    rank, groups, s = problem.rank, problem.groups, problem.strides
    dilated = max(problem.dilation) > 1
    if dilated and (max(s) > 1 or rank != 2 or len(set(problem.dilation)) > 1):
        raise Unsupported(
            "TensorFlow's CPU kernels refuse dilation, and atrous_conv2d_transpose is 2-D "
            "with one rate and stride 1"
        )
    if rank == 1:  # height 1
        s, w, lift = (1, *s), w[None], True
    else:
        lift = False
    padding = problem.padding.upper()
    grow = [a.o - a.s * a.i for a in problem.geometry]
    last = problem.geometry.axes[-1]

    def shape(x: Any, channels: int) -> Any:
        sizes: list[Any] = list(problem.geometry.output_sizes)
        if problem.changing:
            sizes[-1] = tf.shape(x)[-2] * last.s + grow[-1]
        return [problem.batch, *([1] if lift else []), *sizes, channels]

    def dense(x: Any, kernel: Any) -> Any:
        to = shape(x, kernel.shape[-2])
        if dilated:
            return tf.nn.atrous_conv2d_transpose(x, kernel, to, problem.dilation[0], padding)
        call = tf.nn.conv3d_transpose if rank == 3 else tf.nn.conv2d_transpose
        return call(x, kernel, to, (1, *s, 1), padding)

    if _depthwise(problem):
        if dilated or (len(set(s)) > 1 and not lift):
            raise Unsupported("TensorFlow's depthwise kernels need equal strides and no dilation")
        if lift:
            raise Unsupported("TensorFlow's depthwise kernels need equal strides: no 1-D form")
        kernel = tf.constant(np.ascontiguousarray(np.moveaxis(w, -1, -2)))

        def layer(x: Any) -> Any:
            to = tf.stack(shape(x, problem.c_out))
            return tf.nn.depthwise_conv2d_backprop_input(to, kernel, x, (1, *s, 1), padding)
    elif groups > 1:
        parts = [tf.constant(np.ascontiguousarray(part)) for part in np.split(w, groups, -1)]

        def layer(x: Any) -> Any:
            pieces = tf.split(x, groups, axis=-1)
            return tf.concat([dense(a, b) for a, b in zip(pieces, parts, strict=True)], axis=-1)
    else:
        whole = tf.constant(w)

        def layer(x: Any) -> Any:
            return dense(x, whole)

    def call(x: Any) -> Any:
        return tf.squeeze(layer(tf.expand_dims(x, 1)), 1) if lift else layer(x)

    sizes: list[int | None] = [*problem.input]
    if problem.changing:
        sizes[-1] = None
    return call, [problem.batch, *sizes, problem.c_in]


def prepare(problem: Problem, operation: str, layout: str, w: np.ndarray) -> Call:
    import tensorflow as tf

    call, shape = function(problem, w)
    traced = tf.function(call, input_signature=[tf.TensorSpec(shape, tf.float32)], autograph=False)
    concrete = traced.get_concrete_function()
    return Call(layout, tf.constant, concrete, lambda y: y.numpy())
