"""The operation beside the installed programs, on whole numbers: equal to the last bit."""

from __future__ import annotations

import os
import warnings

import numpy as np
import pytest

from convtranspose import arguments, conv, conv_transpose, conv_transpose_kernel_gradient
from samples import CALLS, whole

pytestmark = pytest.mark.filterwarnings("ignore")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def needs(package):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip(package, reason=f"{package} is not installed", exc_type=ImportError)


class Side:
    """A call, prepared for another program: geometry, arrays, axes."""

    def __init__(self, call):
        self.call = call
        self.x, self.w, _ = call.arrays()
        self.problem = arguments.problem(arguments.options(self.w.shape, **call.options), self.x.shape)
        self.geometry = self.problem.geometry
        self.options = self.problem.options
        self.rank = self.options.rank
        self.first = self.options.data_format == "channels_first"
        self.y = conv_transpose(self.x, self.w, **call.options)
        self.dy = whole(7, self.y.shape)

    def to_first(self, a):
        return a if self.first else np.moveaxis(a, -1, 1)

    def from_first(self, a):
        return a if self.first else np.moveaxis(a, 1, -1)

    @property
    def torch_weight(self):
        """(c_in, c_out // groups, *k)"""
        return np.ascontiguousarray(np.moveaxis(self.w, (-1, -2), (0, 1)))

    def check_gradients(self, dx, dw):
        options = self.call.options
        np.testing.assert_array_equal(conv(self.dy, self.w, **options), dx)
        ours = conv_transpose_kernel_gradient(self.x, self.dy, self.call.kernel, **options)
        np.testing.assert_array_equal(ours, dw)


def sides(accepted=lambda side: True):
    found = [side for side in map(Side, CALLS) if accepted(side)]
    assert len(found) >= 5
    return found


def test_torch():
    """Its full output, cropped; and autograd's gradients."""
    torch = needs("torch")
    for side in sides():
        function = getattr(torch.nn.functional, f"conv_transpose{side.rank}d")
        x = torch.tensor(np.ascontiguousarray(side.to_first(side.x)), requires_grad=True)
        w = torch.tensor(side.torch_weight, requires_grad=True)
        full = function(
            x, w, stride=side.options.strides, groups=side.options.groups, dilation=side.options.dilation_rate
        )
        crops = [-n for lo, hi in reversed(side.geometry.crops) for n in (lo, hi)]
        y = torch.nn.functional.pad(full, crops)  # negative numbers crop, positive ones add zeros
        np.testing.assert_array_equal(side.y, side.from_first(y.detach().numpy()))
        y.backward(torch.tensor(np.ascontiguousarray(side.to_first(side.dy))))
        dw = np.moveaxis(w.grad.numpy(), (0, 1), (-1, -2))
        side.check_gradients(side.from_first(x.grad.numpy()), dw)


def test_torch_directly():
    """Where torch's own padding says the same: k4 s2 p1 is Keras' same."""
    torch = needs("torch")
    x, w = whole(1, (2, 3, 5, 7)), whole(2, (3, 5, 4, 4))
    theirs = torch.nn.functional.conv_transpose2d(torch.tensor(x), torch.tensor(w), stride=2, padding=1)
    ours = conv_transpose(x, w.transpose(2, 3, 1, 0), 2, "same", data_format="channels_first")
    np.testing.assert_array_equal(ours, theirs.numpy())


def test_jax():
    jax = needs("jax")
    letters = {1: "W", 2: "HW", 3: "DHW"}
    for side in sides(lambda side: side.options.groups == 1):
        spatial = letters[side.rank]
        data = f"NC{spatial}" if side.first else f"N{spatial}C"
        padding = [(a.effective_kernel - 1 - a.lo, a.effective_kernel - 1 - a.hi) for a in side.geometry]

        def run(x, w, side=side, padding=padding, numbers=(data, f"{spatial}IO", data)):
            return jax.lax.conv_transpose(
                x,
                w,
                side.options.strides,
                padding,
                rhs_dilation=side.options.dilation_rate,
                dimension_numbers=numbers,
                transpose_kernel=True,
            )

        y, pullback = jax.vjp(run, side.x, side.w)
        np.testing.assert_array_equal(side.y, y)
        side.check_gradients(*pullback(side.dy))


def test_keras():
    keras = needs("keras")
    # TensorFlow's CPU kernels refuse what has these; other backends compute it.
    tensorflow = keras.backend.backend() == "tensorflow"

    def accepted(side):
        words = isinstance(side.options.padding, str) and side.options.groups == 1
        refused = side.first or any(d > 1 for d in side.options.dilation_rate)
        return words and not (tensorflow and refused)

    for side in sides(accepted):
        y = keras.ops.conv_transpose(side.x, side.w, **{"strides": 1, **side.call.options})
        np.testing.assert_array_equal(side.y, keras.ops.convert_to_numpy(y))


def test_tensorflow():
    tf = needs("tensorflow")

    def accepted(side):
        plain = all(d == 1 for d in side.options.dilation_rate) and not side.first
        return plain and isinstance(side.options.padding, str) and side.options.groups == 1

    for side in sides(accepted):
        x, w = tf.constant(side.x), tf.constant(side.w)
        with tf.GradientTape() as tape:
            tape.watch((x, w))
            y = tf.nn.conv_transpose(
                x, w, side.y.shape, side.options.strides, str(side.options.padding).upper()
            )
            total = tf.reduce_sum(y * side.dy)
        np.testing.assert_array_equal(side.y, y.numpy())
        side.check_gradients(*(g.numpy() for g in tape.gradient(total, (x, w))))


def test_onnxruntime():
    onnx, runtime = needs("onnx"), needs("onnxruntime")
    helper, number = onnx.helper, onnx.TensorProto.FLOAT

    def accepted(side):
        inside = all(a.lo >= 0 and (a.hi >= 0 or -a.hi < max(a.s, a.d)) for a in side.geometry)
        return inside and 0 not in side.y.shape

    for side in sides(accepted):
        axes = list(side.geometry)
        node = helper.make_node(
            "ConvTranspose",
            ["x", "w"],
            ["y"],
            strides=side.options.strides,
            dilations=side.options.dilation_rate,
            group=side.options.groups,
            pads=[a.lo for a in axes] + [max(a.hi, 0) for a in axes],
            output_padding=[max(-a.hi, 0) for a in axes],
        )
        weight = onnx.numpy_helper.from_array(side.torch_weight, "w")
        x = np.ascontiguousarray(side.to_first(side.x))
        graph = helper.make_graph(
            [node],
            "g",
            [helper.make_tensor_value_info("x", number, x.shape)],
            [helper.make_tensor_value_info("y", number, None)],
            [weight],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 11)], ir_version=8)
        session = runtime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
        np.testing.assert_array_equal(side.y, side.from_first(session.run(None, {"x": x})[0]))
