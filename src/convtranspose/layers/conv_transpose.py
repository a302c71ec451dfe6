"""The transposed convolution as a layer, in one, two and three dimensions."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from convtranspose import activations, constraints, geometry, initializers, ops, regularizers
from convtranspose import arguments as args
from convtranspose.layers import checks
from convtranspose.layers.base import Array, Gradients, InputSpec, Layer, Pullback, Shape
from convtranspose.layers.variable import Variable
from convtranspose.plans import Plan

_LINEAR = activations.get(None)
_HALVING = {"glu"}  # activations that halve the last axis, so that they cannot work in place

__all__ = [
    "BaseConvTranspose",
    "Conv1DTranspose",
    "Conv2DTranspose",
    "Conv3DTranspose",
    "ConvTransposeGradients",
]


@dataclass(frozen=True)
class ConvTransposeGradients(Gradients):
    """What the pullback of a transposed convolution returns.

    Attributes
    ----------
    inputs : ndarray
        Shaped like the inputs.
    weights : tuple of ndarray
        One per trainable weight.
    kernel : ndarray
        Shaped like the kernel.
    bias : ndarray or None
        Shaped like the bias; ``None`` where there is none.
    """

    kernel: Array | None = None
    bias: Array | None = None


@dataclass(slots=True)
class _Packed:
    """Plans made of weights, and the versions these had."""

    kernel_version: int
    bias_version: int
    forward: Plan
    after: Any  # an activation that the plan does not apply
    is_linear: bool
    linear: Plan | None = None
    adjoint: Plan | None = None

    def __post_init__(self) -> None:
        if self.is_linear:
            self.linear = self.forward


class BaseConvTranspose(Layer, abstract=True):
    """What the three layers share; ``rank`` is their number of spatial axes."""

    rank: ClassVar[int]

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, ...],
        strides: int | tuple[int, ...] = 1,
        padding: Any = "valid",
        output_padding: int | tuple[int, ...] | None = None,
        data_format: str | None = None,
        dilation_rate: int | tuple[int, ...] = 1,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        *,
        groups: int | None = None,
        allow_strided_dilation: bool | None = None,
        **kwargs: Any,
    ) -> None:
        record, rank = self.dialect, self.rank
        if allow_strided_dilation is not None and not record.grouped:
            kwargs["allow_strided_dilation"] = allow_strided_dilation  # unknown to this generation
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        self.filters = checks.filters(filters, record)
        self.groups = checks.groups(1 if groups is None else groups, self.filters, record)
        self.kernel_size = checks.per_axis(kernel_size, rank, "kernel_size", 1, record)
        self.strides = checks.per_axis(strides, rank, "strides", 1, record)
        self.padding = checks.padding(padding, rank, record)
        self.data_format = args.data_format(data_format)
        self.dilation_rate = checks.per_axis(dilation_rate, rank, "dilation_rate", 1, record)
        self.allow_strided_dilation = bool(allow_strided_dilation)
        if not self.allow_strided_dilation:
            checks.strides_and_dilation(self.strides, self.dilation_rate)
        self.output_padding = checks.output_padding(output_padding, self.strides, record)
        self.activation = activations.get(activation, record)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer, record)
        self.bias_initializer = initializers.get(bias_initializer, record)
        self.kernel_regularizer = regularizers.get(kernel_regularizer, record)
        self.bias_regularizer = regularizers.get(bias_regularizer, record)
        self.kernel_constraint = constraints.get(kernel_constraint, record)
        self.bias_constraint = constraints.get(bias_constraint, record)
        self.input_spec = InputSpec(min_ndim=rank + 2)
        self._packed: _Packed | None = None

    kernel: Variable
    bias: Variable | None

    @property
    def _channel_axis(self) -> int:
        if self.data_format == "channels_last":
            return -1
        return -1 - self.rank if self.dialect.channel_axis_negative else 1

    def build(self, input_shape: Shape) -> None:
        """Make kernel and bias for inputs of this shape; only its channels matter.

        Raises
        ------
        ValueError
            If the rank is wrong, the channels are unknown or the groups do not divide them.
        """
        checks.rank(self.name, input_shape, self.rank + 2)
        c_in = input_shape[self._channel_axis]
        if c_in is None:
            raise ValueError(
                f"the channels of input_shape must be known, but axis {self._channel_axis} is None. "
                f"Got input_shape={input_shape}, data_format={self.data_format!r}."
            )
        groups = self.groups if self.dialect.grouped else 1
        if c_in % groups:
            raise ValueError(
                f"groups must divide the input channels, but {c_in} channels do not split into {groups} "
                f"groups. Got input_shape={input_shape}."
            )
        count = self.filters
        for name, numbers in (("filters", (count,)), ("kernel_size", self.kernel_size)):
            refusal = self.dialect.errors.get(f"bool {name}")
            if refusal is not None and True in [n for n in numbers if isinstance(n, bool)]:
                raise refusal(f"{name} must be an int, not a bool. Got {name}={getattr(self, name)}.")
        self.kernel = self.add_weight(
            "kernel",
            (*self.kernel_size, count // groups if groups > 1 else count, c_in),
            self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                "bias",
                (count,),
                self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        axes, ndim = {self._channel_axis: c_in}, self.rank + 2
        exact = self.dialect.ndim_exact
        self.input_spec = InputSpec(ndim, axes=axes) if exact else InputSpec(min_ndim=ndim, axes=axes)
        self._admitted.clear()

    # Computing

    def _options(self) -> dict[str, Any]:
        return {
            "strides": self.strides,
            "padding": self.padding,
            "output_padding": self.output_padding,
            "data_format": self.data_format,
            "dilation_rate": self.dilation_rate,
            "groups": self.groups if self.dialect.grouped else 1,
        }

    @property
    def plan(self) -> Plan:
        """The plan of the weights as they are now: sizes, arithmetic, scratch memory, kernel chosen.

        An activation that mixes channels stands outside of it.

        Examples
        --------
        >>> from convtranspose.layers import Conv2DTranspose
        >>> layer = Conv2DTranspose(4, 3, strides=2, padding="same")
        >>> layer.build((None, 5, 7, 2))
        >>> layer.plan.problem((1, 5, 7, 2)).multiply_adds
        2520
        """
        return self._current().forward

    def plan_for(self, input_shape: Shape) -> Plan:
        """The plan, which is one for all shapes of inputs."""
        return self.plan

    def _current(self) -> _Packed:
        """The plans of the weights as they are now."""
        packed, bias = self._packed, self.bias
        if (
            packed is None
            or packed.kernel_version != self.kernel.version
            or (bias is not None and packed.bias_version != bias.version)
        ):
            return self._pack()
        return packed

    def _pack(self) -> _Packed:
        if self.dialect.equal_dilation and self.rank == 2 and len(set(self.dilation_rate)) > 1:
            raise ValueError(
                f"dilation_rate must be the same on both axes in this generation of Keras. Got "
                f"dilation_rate={self.dilation_rate}. convtranspose.layers compute it."
            )
        # Versions are read before values: a change in between packs once more, never once too few.
        versions = self.kernel.version, 0 if self.bias is None else self.bias.version
        own = self.activation
        if own is _LINEAR:
            fused, after = None, None
        elif isinstance(own, activations.Activation) and own.name not in _HALVING:
            fused, after = own, None
        else:
            fused, after = None, own
        self._packed = _Packed(*versions, self._plan(fused), after, fused is None)
        return self._packed

    def _plan(self, activation: Any) -> Plan:
        compute = self._policy.compute
        bias = None if self.bias is None else self.bias.value.astype(compute, copy=False)
        kernel = self.kernel.value.astype(compute, copy=False)
        return ops.plan(kernel, **self._options(), bias=bias, activation=activation)

    def call(self, inputs: Array) -> Array:
        """Compute; ``inputs`` has the layer's type."""
        packed = self._current()
        outputs = packed.forward(inputs)
        return outputs if packed.after is None else self._computable(packed.after(outputs))

    def _computable(self, value: Any) -> Array:
        return args.array(np.asarray(value), "inputs").astype(self._policy.compute, copy=False)

    def vjp(self, inputs: Any) -> tuple[Array, Pullback]:
        """Outputs and a pullback, in the style of ``jax.vjp``.

        Parameters
        ----------
        inputs : array_like, shape (n, *i, c_in) or (n, c_in, *i)
            As for a call.

        Returns
        -------
        outputs : ndarray, shape (n, *o, filters) or (n, filters, *o)
            What the call returns.
        pullback : callable
            From gradients to the outputs to :class:`ConvTransposeGradients`, through the activation.

        Examples
        --------
        >>> import numpy as np
        >>> from convtranspose.layers import Conv1DTranspose
        >>> layer = Conv1DTranspose(1, 3, strides=2, kernel_initializer="ones")
        >>> outputs, pullback = layer.vjp(np.ones((1, 2, 1), "float32"))
        >>> gradients = pullback(np.ones_like(outputs))
        >>> gradients.inputs[0, :, 0], gradients.bias
        (array([3., 3.], dtype=float32), array([5.], dtype=float32))
        """
        x = self.prepare(inputs)
        packed = self._current()
        if packed.linear is None:
            packed.linear = self._plan(None)
        outputs, back = packed.linear(x), None
        if self.activation is not _LINEAR:
            outputs, back = activations.vjp(self.activation, outputs)
        options, kernel = self._options(), self.kernel.value.astype(self._policy.compute, copy=False)

        def pullback(gradient: Any) -> ConvTransposeGradients:
            dy = np.asarray(gradient, outputs.dtype)
            if dy.shape != outputs.shape:
                raise ValueError(
                    f"gradient must have the shape {outputs.shape} of the outputs. Got {dy.shape}."
                )
            if back is not None:
                dy = back(dy)
                if isinstance(dy, Gradients):  # the activation is a layer
                    dy = dy.inputs
            if packed.adjoint is None:
                packed.adjoint = Plan("adjoint", kernel, args.options(kernel.shape, **options))
            of_kernel = ops.conv_transpose_kernel_gradient(x, dy, self.kernel_size, **options)
            of_kernel = of_kernel.astype(self.kernel.dtype, copy=False)
            of_bias = None
            if self.bias is not None:
                of_bias = ops.bias_gradient(dy, self.data_format).astype(self.bias.dtype, copy=False)
            of_weight = {id(self.kernel): of_kernel, id(self.bias): of_bias}
            trained = tuple(g for v in self.trainable_weights if (g := of_weight[id(v)]) is not None)
            return ConvTransposeGradients(packed.adjoint(dy), trained, of_kernel, of_bias)

        return outputs, pullback

    @property
    def convolution_op(self) -> Callable[[Any, Any], Array]:
        """In Keras 2.7 and later: the ordinary forward convolution that the layers inherit there.

        ``convolution_op(inputs, kernel)`` runs with the layer's strides, padding and dilation, and reads
        the kernel as ``(*k, c_in, c_out)``: inputs have ``filters`` channels. The layer itself never
        calls it. Other generations have no such attribute.
        """
        if not self.dialect.forward_convolution:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute 'convolution_op'")
        return self._convolve

    def _convolve(self, inputs: Any, kernel: Any) -> Array:
        x, w = self._computable(inputs), self._computable(kernel)
        if x.ndim != self.rank + 2:
            raise ValueError(f"inputs must have {self.rank + 2} axes. Got inputs of shape {x.shape}.")
        sizes = x.shape[1:-1] if self.data_format == "channels_last" else x.shape[2:]
        axes = [
            geometry.forward_convolution_axis(o, k, s, d, self.padding)
            for o, k, s, d in zip(sizes, w.shape[:-2], self.strides, self.dilation_rate, strict=True)
        ]
        return ops.conv(
            x,
            w,
            self.strides,
            tuple((axis.lo, axis.hi) for axis in axes),
            None,
            self.data_format,
            self.dilation_rate,
        )

    # Shapes and configuration

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Shape of the outputs for inputs of this shape; open lengths stay ``None``.

        Raises
        ------
        ValueError
            If the rank is wrong.

        Examples
        --------
        >>> from convtranspose.layers import Conv2DTranspose
        >>> Conv2DTranspose(4, 3, strides=2, padding="same").compute_output_shape((None, 5, None, 3))
        (None, 10, None, 4)
        """
        checks.rank(self.name, input_shape, self.rank + 2)
        last = self.data_format == "channels_last"
        sizes = input_shape[1:-1] if last else input_shape[2:]
        pads = (self.padding,) * self.rank if isinstance(self.padding, str) else self.padding
        extra = self.output_padding or (None,) * self.rank
        lengths = tuple(
            None if i is None else geometry.output_length(i, k, s, d, p, op)
            for i, k, s, d, p, op in zip(
                sizes, self.kernel_size, self.strides, self.dilation_rate, pads, extra, strict=True
            )
        )
        whole = (*lengths, self.filters) if last else (self.filters, *lengths)
        if getattr(self.activation, "name", None) in _HALVING and whole[-1] is not None:
            whole = (*whole[:-1], whole[-1] // 2)
        return (input_shape[0], *whole)

    def get_config(self) -> dict[str, Any]:
        """All arguments as plain data, in the order and form of the layer's generation."""
        record = self.dialect
        values: dict[str, Any] = {
            "filters": self.filters,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "padding": self.padding,
            "output_padding": self.output_padding,
            "data_format": self.data_format,
            "dilation_rate": self.dilation_rate,
            "groups": self.groups,
            "activation": activations.serialize(self.activation, record),
            "use_bias": self.use_bias,
            "kernel_initializer": initializers.serialize(self.kernel_initializer, record),
            "bias_initializer": initializers.serialize(self.bias_initializer, record),
            "kernel_regularizer": regularizers.serialize(self.kernel_regularizer, record),
            "bias_regularizer": regularizers.serialize(self.bias_regularizer, record),
            "activity_regularizer": regularizers.serialize(self.activity_regularizer, record),
            "kernel_constraint": constraints.serialize(self.kernel_constraint, record),
            "bias_constraint": constraints.serialize(self.bias_constraint, record),
        }
        keys = [*super().get_config().items(), *((key, values[key]) for key in record.conv_keys)]
        config = dict(keys)
        if record.grouped:
            # Keras 3 refuses these two keys, so they are written only where they say something.
            if self.groups != 1:
                config["groups"] = self.groups
            if self.allow_strided_dilation:
                config["allow_strided_dilation"] = True
        elif self.rank == 3 and not any(isinstance(d, int) and d > 1 for d in self.dilation_rate):
            del config["dilation_rate"]  # Keras 2 drops the key in 3-D, and with it a dilation; we keep that
        return config

    def __getstate__(self) -> dict[str, Any]:
        return {**super().__getstate__(), "_packed": None}  # plans are made again, never copied


class Conv1DTranspose(BaseConvTranspose):
    """Transposed convolution of sequences: :class:`Conv2DTranspose` with one spatial axis.

    Parameters
    ----------
    filters, kernel_size, strides, padding, output_padding, data_format, dilation_rate, activation
        As in :class:`Conv2DTranspose`, with one number per tuple.
    use_bias, kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer
        As in :class:`Conv2DTranspose`.
    activity_regularizer, kernel_constraint, bias_constraint, groups, allow_strided_dilation, **kwargs
        As in :class:`Conv2DTranspose`.

    Notes
    -----
    Inputs are ``(n, i, c_in)`` or ``(n, c_in, i)``, outputs ``(n, o, filters)`` or
    ``(n, filters, o)``, the kernel is ``(k, filters // groups, c_in)``.

    Examples
    --------
    >>> import numpy as np
    >>> from convtranspose.layers import Conv1DTranspose
    >>> layer = Conv1DTranspose(2, 3, strides=2, padding="same")
    >>> layer(np.ones((1, 5, 3), "float32")).shape
    (1, 10, 2)
    """

    rank = 1


class Conv2DTranspose(BaseConvTranspose):
    """Transposed convolution of images, with the constructor of Keras 3.

    Parameters
    ----------
    filters : int
        Output channels.
    kernel_size : int or tuple of int
        Taps per axis.
    strides : int or tuple of int, default 1
        Output samples per input sample.
    padding : {"valid", "same"} or tuple of (int, int), default "valid"
        Keras' rule in any case of letters, or (beyond Keras) samples ``(lo, hi)`` to cut from both
        ends of the full output per axis; negative numbers add zeros.
    output_padding : int or tuple of int, optional
        Samples by which the end of the output grows; below the stride. ``None`` asks for Keras'
        default length, which is *not* that of 0.
    data_format : {"channels_last", "channels_first"}, optional
        Where the channels stand; ``config.image_data_format()`` where it is left out.
    dilation_rate : int or tuple of int, default 1
        Distance of neighbouring taps, in output samples.
    activation : str, callable or dict, optional
        Applied to the outputs; see :mod:`convtranspose.activations`.
    use_bias : bool, default True
        Whether a bias is added to every output channel.
    kernel_initializer : str, callable or dict, default "glorot_uniform"
        First value of the kernel; see :mod:`convtranspose.initializers`.
    bias_initializer : str, callable or dict, default "zeros"
        First value of the bias.
    kernel_regularizer, bias_regularizer, activity_regularizer : str, callable or dict, optional
        Penalties that join ``losses``; see :mod:`convtranspose.regularizers`.
    kernel_constraint, bias_constraint : str, callable or dict, optional
        Applied by :meth:`apply_constraints`; see :mod:`convtranspose.constraints`.
    groups : int, default 1
        Beyond Keras: channel groups, a divisor of ``filters`` and the input channels.
    allow_strided_dilation : bool, default False
        Beyond Keras: whether strides > 1 together with a dilation_rate > 1 are computed, which the
        pages of all Keras generations refuse at construction.
    **kwargs
        ``name``, ``dtype``, ``trainable`` and ``input_shape``, as in :class:`Layer`.

    Raises
    ------
    ValueError, TypeError
        If an argument breaks its rule.

    Notes
    -----
    Inputs are ``(n, h, w, c_in)`` or ``(n, c_in, h, w)``, outputs ``(n, *o, filters)`` or
    ``(n, filters, *o)``, the kernel is ``(kh, kw, filters // groups, c_in)``. Lengths and values are
    those of :func:`convtranspose.conv_transpose`. The packed kernel is kept between calls and made
    again when a weight has been assigned. Source:
    https://keras.io/api/layers/convolution_layers/convolution2d_transpose/

    Examples
    --------
    >>> import numpy as np
    >>> from convtranspose.layers import Conv2DTranspose
    >>> layer = Conv2DTranspose(4, 3, strides=2, padding="same", activation="relu")
    >>> layer(np.ones((1, 5, 7, 2), "float32")).shape
    (1, 10, 14, 4)
    >>> [w.path for w in layer.weights] == [f"{layer.name}/kernel", f"{layer.name}/bias"]
    True
    """

    rank = 2


class Conv3DTranspose(BaseConvTranspose):
    """Transposed convolution of volumes: :class:`Conv2DTranspose` with three spatial axes.

    Parameters
    ----------
    filters, kernel_size, strides, padding, output_padding, data_format, dilation_rate, activation
        As in :class:`Conv2DTranspose`, with three numbers per tuple.
    use_bias, kernel_initializer, bias_initializer, kernel_regularizer, bias_regularizer
        As in :class:`Conv2DTranspose`.
    activity_regularizer, kernel_constraint, bias_constraint, groups, allow_strided_dilation, **kwargs
        As in :class:`Conv2DTranspose`.

    Notes
    -----
    Inputs are ``(n, d, h, w, c_in)`` or ``(n, c_in, d, h, w)``, outputs ``(n, *o, filters)`` or
    ``(n, filters, *o)``, the kernel is ``(kd, kh, kw, filters // groups, c_in)``.

    Examples
    --------
    >>> import numpy as np
    >>> from convtranspose.layers import Conv3DTranspose
    >>> layer = Conv3DTranspose(2, 3, strides=(1, 2, 2), padding="same")
    >>> layer(np.ones((1, 2, 3, 5, 1), "float32")).shape
    (1, 2, 6, 10, 2)
    """

    rank = 3
