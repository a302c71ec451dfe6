"""The ordinary convolution as a layer: the adjoint's kernels with the sizes of a forward convolution."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from convtranspose import activations, constraints, geometry, initializers, ops, regularizers
from convtranspose import arguments as args
from convtranspose.layers import checks
from convtranspose.layers.base import Array, Gradients, InputSpec, Pullback, Shape
from convtranspose.layers.configured import ConfiguredLayer, pulled
from convtranspose.layers.variable import Variable
from convtranspose.plans import Plan

__all__ = ["Conv1D", "Conv2D", "Conv3D"]

_MOST_PLANS = 8  # the crop depends on the input length modulo the stride, and each packs the kernel


class _Conv(ConfiguredLayer):
    """What the three layers share; ``rank`` is their number of spatial axes."""

    rank: ClassVar[int]
    paddings: ClassVar[tuple[str, ...]] = ("valid", "same")
    keys = (
        "filters kernel_size strides padding data_format dilation_rate groups activation use_bias "
        "kernel_initializer bias_initializer kernel_regularizer bias_regularizer activity_regularizer "
        "kernel_constraint bias_constraint"
    )
    family_keys: ClassVar[Mapping[str, str]] = {"tfjs": keys.replace("groups ", "")}
    kernel: Variable
    bias: Variable | None

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, ...],
        strides: int | tuple[int, ...] = 1,
        padding: str = "valid",
        data_format: str | None = None,
        dilation_rate: int | tuple[int, ...] = 1,
        groups: int = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        record, rank = self.dialect, self.rank
        self.filters = args.integers(filters, 1, "filters", minimum=1)[0]
        self.groups = args.integers(groups, 1, "groups", minimum=1)[0]
        if self.filters % self.groups:
            raise ValueError(
                f"groups must divide the filters. Got filters={self.filters}, groups={self.groups}."
            )
        self.kernel_size = args.integers(kernel_size, rank, "kernel_size", minimum=1)
        self.strides = args.integers(strides, rank, "strides", minimum=1)
        self.padding = padding.lower() if isinstance(padding, str) else padding
        if self.padding not in self.paddings:
            raise ValueError(
                f"padding must be {' or '.join(map(repr, self.paddings))}. Got padding={padding!r}."
            )
        self.data_format = args.data_format(data_format)
        self.dilation_rate = args.integers(dilation_rate, rank, "dilation_rate", minimum=1)
        checks.strides_and_dilation(self.strides, self.dilation_rate)
        self.activation = activations.get(activation, record)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer, record)
        self.bias_initializer = initializers.get(bias_initializer, record)
        self.kernel_regularizer = regularizers.get(kernel_regularizer, record)
        self.bias_regularizer = regularizers.get(bias_regularizer, record)
        self.kernel_constraint = constraints.get(kernel_constraint, record)
        self.bias_constraint = constraints.get(bias_constraint, record)
        self.input_spec = InputSpec(ndim=rank + 2)
        self._plans: dict[Any, Plan] = {}
        self._version = -1

    @property
    def _channel_axis(self) -> int:
        return -1 if self.data_format == "channels_last" else 1

    def build(self, input_shape: Shape) -> None:
        """Make kernel and bias for inputs of this shape; only its channels matter."""
        c_in = input_shape[self._channel_axis] if len(input_shape) == self.rank + 2 else None
        if c_in is None or c_in % self.groups:
            raise ValueError(
                f"input_shape must have {self.rank + 2} axes and known channels that the groups divide. Got "
                f"input_shape={tuple(input_shape)}, data_format={self.data_format!r}, groups={self.groups}."
            )
        self.kernel = self.add_weight(
            "kernel",
            (*self.kernel_size, c_in // self.groups, self.filters),
            self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                "bias",
                (self.filters,),
                self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        self.input_spec = InputSpec(ndim=self.rank + 2, axes={self._channel_axis: c_in})
        self._plans.clear()

    def _axes(self, sizes: tuple[int | None, ...]) -> list[geometry.Axis | None]:
        axes = [
            None if n is None else geometry.forward_convolution_axis(n, k, s, d, self.padding)
            for n, k, s, d in zip(sizes, self.kernel_size, self.strides, self.dilation_rate, strict=True)
        ]
        for number, axis in enumerate(axes):
            if axis is not None and axis.i < 1:
                raise ValueError(
                    f"inputs must be at least as long as the dilated kernel, but on axis {number} they have "
                    f"{sizes[number]} samples and the kernel {axis.effective_kernel}. Pad them: "
                    f"padding='same'."
                )
        return axes

    def _sizes(self, shape: Shape) -> tuple[int | None, ...]:
        return tuple(shape[1:-1] if self.data_format == "channels_last" else shape[2:])

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Shape of the outputs; open lengths stay ``None``."""
        checks.rank(self.name, input_shape, self.rank + 2)
        lengths = tuple(None if axis is None else axis.i for axis in self._axes(self._sizes(input_shape)))
        if self.data_format == "channels_last":
            return input_shape[0], *lengths, self.filters
        return input_shape[0], self.filters, *lengths

    def _options(self, shape: tuple[int, ...]) -> dict[str, Any]:
        """The transposed convolution whose adjoint this is, for inputs of one shape."""
        axes = [axis for axis in self._axes(self._sizes(shape)) if axis is not None]
        return {
            "strides": self.strides,
            "padding": tuple((axis.lo, axis.hi) for axis in axes),
            "data_format": self.data_format,
            "dilation_rate": self.dilation_rate,
            "groups": self.groups,
        }

    def plan_for(self, input_shape: Any) -> Plan:
        """The plan of the adjoint that computes inputs of this shape; all lengths are known."""
        if self._version != self.kernel.version:
            self._plans.clear()
            self._version = self.kernel.version
        options = self._options(input_shape)
        plan = self._plans.get(options["padding"])
        if plan is None:
            if len(self._plans) >= _MOST_PLANS:
                self._plans.clear()
            kernel = self.kernel.value.astype(self._policy.compute, copy=False)
            plan = Plan("adjoint", kernel, args.options(kernel.shape, **options))
            self._plans[options["padding"]] = plan
        return plan

    def _linear(self, x: Array) -> Array:
        outputs = self.plan_for(x.shape)(x)
        if self.bias is not None:
            shape = [1] * x.ndim
            shape[self._channel_axis] = -1
            outputs += self.bias.value.astype(x.dtype, copy=False).reshape(shape)
        return outputs

    def call(self, inputs: Array) -> Array:
        """Compute; ``inputs`` has the layer's type."""
        return np.asarray(self.activation(self._linear(inputs)), inputs.dtype)

    def vjp(self, inputs: Any) -> tuple[Array, Pullback]:
        """Outputs and a pullback to inputs, kernel and bias."""
        x = self.prepare(inputs)
        outputs, back = activations.vjp(self.activation, self._linear(x))
        options = self._options(x.shape)

        def pullback(gradient: Any) -> Gradients:
            dy = back(pulled(gradient, outputs))
            kernel = self.kernel.value.astype(x.dtype, copy=False)
            dx = ops.conv_transpose(dy, kernel, **options)
            found = [ops.conv_transpose_kernel_gradient(dy, x, self.kernel_size, **options)]
            if self.bias is not None:
                found.append(ops.bias_gradient(dy, self.data_format))
            trained = {id(v) for v in self.trainable_weights}
            kept = tuple(
                g.astype(v.dtype, copy=False)
                for v, g in zip(self._variables, found, strict=True)
                if id(v) in trained
            )
            return Gradients(dx, kept)

        return outputs, pullback

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_plans": {}}  # plans are made again, never copied


class Conv1D(_Conv):
    """Convolution of sequences: :class:`Conv2D` with one spatial axis, and ``padding="causal"``.

    ``"causal"`` pads at the beginning alone, so that no output sees an input after it.

    Parameters
    ----------
    filters, kernel_size, strides, padding, data_format, dilation_rate, groups, activation, use_bias
        As in :class:`Conv2D`, with one number per tuple.
    kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer, activity_regularizer
        As in :class:`Conv2D`.
    kernel_constraint, bias_constraint, **kwargs
        As in :class:`Conv2D`.

    Examples
    --------
    >>> import numpy as np
    >>> from convtranspose.layers import Conv1D
    >>> layer = Conv1D(2, 3, padding="causal", input_shape=(5, 4))
    >>> layer(np.ones((1, 5, 4), "float32")).shape
    (1, 5, 2)
    """

    rank = 1
    paddings = ("valid", "same", "causal")


class Conv2D(_Conv):
    """Convolution of images, with the constructor of Keras 3.

    Parameters
    ----------
    filters : int
        Output channels.
    kernel_size : int or tuple of int
        Taps per axis.
    strides : int or tuple of int, default 1
        Input samples per output sample.
    padding : {"valid", "same"}, default "valid"
        No zeros around the inputs, or as many as give ``ceil(i / s)`` outputs, the odd one at the end.
    data_format : {"channels_last", "channels_first"}, optional
        Where the channels stand.
    dilation_rate : int or tuple of int, default 1
        Distance of neighbouring taps, in input samples.
    groups : int, default 1
        Channel groups, a divisor of ``filters`` and the input channels.
    activation : str, callable or dict, optional
        Applied to the outputs; see :mod:`convtranspose.activations`.
    use_bias : bool, default True
        Whether a bias is added to every output channel.
    kernel_initializer : str, callable or dict, default "glorot_uniform"
        First value of the kernel.
    bias_initializer : str, callable or dict, default "zeros"
        First value of the bias.
    kernel_regularizer, bias_regularizer, activity_regularizer : str, callable or dict, optional
        Penalties that join ``losses``.
    kernel_constraint, bias_constraint : str, callable or dict, optional
        Applied by :meth:`apply_constraints`.
    **kwargs
        ``name``, ``dtype``, ``trainable`` and ``input_shape``, as in :class:`Layer`.

    Raises
    ------
    ValueError, TypeError
        If an argument breaks its rule.

    Notes
    -----
    Inputs are ``(n, h, w, c_in)`` or ``(n, c_in, h, w)``, the kernel is ``(kh, kw, c_in // groups,
    filters)`` and is not flipped. Source:
    https://keras.io/api/layers/convolution_layers/convolution2d/

    Examples
    --------
    >>> import numpy as np
    >>> from convtranspose.layers import Conv2D
    >>> Conv2D(4, 3, strides=2, padding="same")(np.ones((1, 5, 7, 2), "float32")).shape
    (1, 3, 4, 4)
    """

    rank = 2


class Conv3D(_Conv):
    """Convolution of volumes: :class:`Conv2D` with three spatial axes.

    Parameters
    ----------
    filters, kernel_size, strides, padding, data_format, dilation_rate, groups, activation, use_bias
        As in :class:`Conv2D`, with three numbers per tuple.
    kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer, activity_regularizer
        As in :class:`Conv2D`.
    kernel_constraint, bias_constraint, **kwargs
        As in :class:`Conv2D`.

    Examples
    --------
    >>> import numpy as np
    >>> from convtranspose.layers import Conv3D
    >>> Conv3D(2, 3, strides=2)(np.ones((1, 5, 7, 9, 4), "float32")).shape
    (1, 2, 3, 4, 2)
    """

    rank = 3
