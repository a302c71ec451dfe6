"""The public functions: the transposed convolution, its adjoint, the kernel gradient, plans.

The three operations are closed under differentiation: the derivative of each is one of the other
two, so gradients of any order need nothing more.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from convtranspose import arguments as args
from convtranspose import plans
from convtranspose.plans import Plan

__all__ = [
    "Gradients",
    "conv",
    "conv_transpose",
    "conv_transpose_kernel_gradient",
    "conv_transpose_vjp",
    "plan",
]

Array = np.ndarray[Any, np.dtype[Any]]


def plan(
    kernel: Any,
    strides: Any = 1,
    padding: Any = "valid",
    output_padding: Any = None,
    data_format: str | None = None,
    dilation_rate: Any = 1,
    *,
    groups: int = 1,
    bias: Any = None,
    activation: str | Callable[[Array], Array] | None = None,
    algorithm: str = "auto",
) -> Plan:
    """Check, choose and pack once; run many times, at any input size.

    Parameters
    ----------
    kernel, strides, padding, output_padding, data_format, dilation_rate, groups, bias, activation, algorithm
        As in :func:`conv_transpose`.

    Returns
    -------
    Plan
        A callable: ``plan(inputs, out=None, threads=None)``. It keeps its own copy of the weights.

    Examples
    --------
    >>> import numpy as np, convtranspose
    >>> up = convtranspose.plan(np.ones((2, 1, 1), "float32"), strides=2)
    >>> [up(np.ones((1, n, 1), "float32")).shape for n in (3, 5)]
    [(1, 6, 1), (1, 10, 1)]
    """
    w = args.array(kernel, "kernel")
    opts = args.options(w.shape, strides, padding, output_padding, data_format, dilation_rate, groups)
    return Plan("forward", w, opts, bias, activation, algorithm)


def conv_transpose(
    inputs: Any,
    kernel: Any,
    strides: Any = 1,
    padding: Any = "valid",
    output_padding: Any = None,
    data_format: str | None = None,
    dilation_rate: Any = 1,
    *,
    groups: int = 1,
    bias: Any = None,
    activation: str | Callable[[Array], Array] | None = None,
    out: Array | None = None,
    threads: int | None = None,
    algorithm: str = "auto",
) -> Array:
    """Transposed convolution ("deconvolution") in 1, 2 or 3 dimensions.

    Signature and meaning of ``keras.ops.conv_transpose`` of Keras 3, and more: groups, stride
    together with dilation, explicit crops, both data formats everywhere.

    Parameters
    ----------
    inputs : array_like, shape (n, *i, c_in) or (n, c_in, *i)
        float32, float64, float16 or bfloat16, in any memory layout.
    kernel : array_like, shape (*k, c_out // groups, c_in)
        Of the same type. Group ``j`` reads the input channels ``[j * c_in / groups, (j + 1) *
        c_in / groups)`` and writes the output channels ``[j * c_out / groups, ...)``.
    strides : int or tuple of int, default 1
        Output samples per input sample.
    padding : {"valid", "same"} or tuple of (int, int), default "valid"
        Keras' rule, or samples ``(lo, hi)`` to cut from both ends of the full output per axis;
        negative numbers add zeros.
    output_padding : int or tuple of int, optional
        Samples by which the end of the output grows; below the stride. ``None`` asks for Keras'
        default length, which is *not* that of 0.
    data_format : {"channels_last", "channels_first"}, optional
        Where the channels stand; ``None`` means last.
    dilation_rate : int or tuple of int, default 1
        Distance of neighbouring taps, in output samples.
    groups : int, default 1
        Channel groups; divides ``c_in`` and ``c_out``.
    bias : array_like, shape (c_out,), optional
        Added to every output sample.
    activation : str or callable, optional
        A Keras activation by name, or a function of an array.
    out : ndarray, optional
        Where to write the result: its shape and type, any strides, no memory shared with the inputs.
    threads : int, optional
        Threads to use. The bits of the result do not depend on it, nor on the batch.
    algorithm : {"auto", "direct", "winograd"}, default "auto"
        ``"direct"`` adds every term of the definition in one order: the same bits however the work
        is cut, and an infinity or NaN reaches only the outputs that it belongs to. ``"winograd"``
        needs fewer multiplications where two to sixteen taps meet per phase and axis
        (``s < k <= 16 * s``), with rounding errors of at most four times the direct ones; larger
        kernels become products of Fourier spectra, tile by tile: errors are then small beside the
        largest results of a tile, so that zeros are not quite zero, and an infinity or NaN spreads
        over its tile. ``"auto"`` takes either where it is faster, which may depend on the size of
        the image and on whether the kernel is used once or kept in a plan, never on the batch or
        the threads.

    Returns
    -------
    ndarray, shape (n, *o, c_out) or (n, c_out, *o)
        In the type of the inputs; float16 and bfloat16 are computed in float32.

    Raises
    ------
    ValueError
        If a shape, a size or an option breaks its rule; nothing has been allocated then.
    TypeError
        If a type is not one of the four, or inputs and kernel differ.

    Notes
    -----
    Per axis, with ``lo`` the leading crop::

        y[o] = sum of x[i] * kernel[t] over all i, t with i * s + t * d - lo == o

    and, with ``ke = (k - 1) * d + 1``::

        valid  o = (i - 1) * s + max(ke, s)          or (i - 1) * s + ke + output_padding
        same   o = i * s                             or (i - 1) * s + ke % 2 + output_padding

    The kernel is not flipped: the operation is the gradient of a cross-correlation. Source:
    https://keras.io/api/ops/nn/#conv_transpose-function

    Examples
    --------
    >>> import numpy as np
    >>> from convtranspose import conv_transpose
    >>> x = np.array([[[1.0], [2.0]]], dtype="float32")
    >>> conv_transpose(x, np.ones((3, 1, 1), "float32"), strides=2)[0, :, 0]
    array([1., 1., 3., 2., 2.], dtype=float32)
    >>> conv_transpose(x, np.ones((3, 1, 1), "float32"), strides=2, padding="same").shape
    (1, 4, 1)
    """
    w = args.array(kernel, "kernel")
    x = args.array_of(inputs, "inputs", w.dtype, "kernel")
    opts = args.options(w.shape, strides, padding, output_padding, data_format, dilation_rate, groups)
    known = args.problem(opts, x.shape)  # before anything is packed
    if out is not None:
        sources = [a for a in (x, w, bias) if isinstance(a, np.ndarray)]
        args.output_array(out, known.output_shape, w.dtype, sources)
    packed = Plan("forward", w, opts, bias, activation, algorithm, known, once=True)
    return packed(x, out=out, threads=threads)


def conv(
    inputs: Any,
    kernel: Any,
    strides: Any = 1,
    padding: Any = "valid",
    output_padding: Any = None,
    data_format: str | None = None,
    dilation_rate: Any = 1,
    *,
    groups: int = 1,
    algorithm: str = "auto",
    out: Array | None = None,
    threads: int | None = None,
) -> Array:
    """The adjoint of :func:`conv_transpose`: the gradient to its inputs.

    It takes the very arguments of the transposed convolution whose adjoint it is, and an array
    shaped like its *output*. It is an ordinary strided convolution, without kernel flip.

    Parameters
    ----------
    inputs : array_like, shape (n, *o, c_out) or (n, c_out, *o)
        An array shaped like an output of ``conv_transpose``.
    kernel : array_like, shape (*k, c_out // groups, c_in)
        As in :func:`conv_transpose`; note that ``inputs`` has ``c_out`` channels here.
    strides, padding, output_padding, data_format, dilation_rate, groups
        As in :func:`conv_transpose`.
    algorithm : {"auto", "direct", "winograd"}, default "auto"
        How sums are formed, as in :func:`conv_transpose`.
    out : ndarray, optional
        Where to write the result.
    threads : int, optional
        Threads to use; the bits of the result do not depend on it.

    Returns
    -------
    ndarray, shape (n, *i, c_in) or (n, c_in, *i)
        The gradient.

    Raises
    ------
    ValueError
        Also if no input length gives the length of ``inputs``; the message names the nearest that do.
    TypeError
        If a type is not accepted.

    Notes
    -----
    ``x[i] = sum over t of y[i * s + t * d - lo] * kernel[t]``, terms outside of ``y`` left out, so that
    ``sum(conv(y) * x) == sum(y * conv_transpose(x))``.

    Examples
    --------
    >>> import numpy as np
    >>> from convtranspose import conv
    >>> y = np.arange(5, dtype="float32").reshape(1, 5, 1)
    >>> conv(y, np.ones((3, 1, 1), "float32"), strides=2)[0, :, 0]
    array([3., 9.], dtype=float32)
    """
    w = args.array(kernel, "kernel")
    y = args.array_of(inputs, "inputs", w.dtype, "kernel")
    opts = args.options(w.shape, strides, padding, output_padding, data_format, dilation_rate, groups)
    known = args.adjoint_problem(opts, y.shape)
    if out is not None:
        args.output_array(out, known.input_shape, w.dtype, (y, w))
    packed = Plan("adjoint", w, opts, algorithm=algorithm, known=known, once=True)
    return packed(y, out=out, threads=threads)


def conv_transpose_kernel_gradient(
    inputs: Any,
    outputs: Any,
    kernel_size: Any,
    strides: Any = 1,
    padding: Any = "valid",
    output_padding: Any = None,
    data_format: str | None = None,
    dilation_rate: Any = 1,
    *,
    groups: int = 1,
    algorithm: str = "auto",
    out: Array | None = None,
    threads: int | None = None,
) -> Array:
    """Gradient of ``sum(conv_transpose(inputs, kernel) * outputs)`` to the kernel.

    Parameters
    ----------
    inputs : array_like, shape (n, *i, c_in) or (n, c_in, *i)
        The inputs of the transposed convolution.
    outputs : array_like, shape (n, *o, c_out) or (n, c_out, *o)
        Gradients to its outputs.
    kernel_size : int or tuple of int
        Taps per axis.
    strides, padding, output_padding, data_format, dilation_rate, groups
        As in :func:`conv_transpose`.
    algorithm : {"auto", "direct", "winograd"}, default "auto"
        ``"direct"`` adds every product of the definition. ``"winograd"`` needs fewer
        multiplications where two to five taps meet per phase and axis and a group has 32 channels
        or more on both sides, with rounding errors of at most four times the direct ones; kernels
        of many more taps become products of Fourier spectra. An infinity or NaN may then spread
        among the taps of its channels. ``"auto"`` takes either where it is faster.
    out : ndarray, optional
        Where to write the result.
    threads : int, optional
        Threads to use; the bits of the result do not depend on it.

    Returns
    -------
    ndarray, shape (*k, c_out // groups, c_in)
        The gradient.

    Raises
    ------
    ValueError, TypeError
        As in :func:`conv_transpose`; also if the two shapes do not belong together.

    Notes
    -----
    ``w[t] = sum over n, i of y[n, i * s + t * d - lo] * x[n, i]`` for every pair of channels.

    Examples
    --------
    >>> import numpy as np
    >>> from convtranspose import conv_transpose_kernel_gradient
    >>> x, y = np.ones((1, 2, 1), "float32"), np.arange(5, dtype="float32").reshape(1, 5, 1)
    >>> conv_transpose_kernel_gradient(x, y, 3, strides=2)[:, 0, 0]
    array([2., 4., 6.], dtype=float32)
    """
    y = args.array(outputs, "outputs")
    x = args.array_of(inputs, "inputs", y.dtype, "outputs")
    known = args.gradient_problem(
        x.shape,
        y.shape,
        kernel_size,
        strides=strides,
        padding=padding,
        output_padding=output_padding,
        data_format=data_format,
        dilation_rate=dilation_rate,
        groups=groups,
    )
    opts = known.options
    workers, chosen = args.threads_count(threads), args.algorithm(algorithm)
    result = args.output_array(out, opts.kernel_shape, x.dtype, (x, y))
    plans.kernel_gradient(x, y, result, known.geometry, opts.groups, opts.data_format, workers, chosen)
    return result


class Gradients(NamedTuple):
    """Gradients that a pullback returns.

    Attributes
    ----------
    inputs : ndarray
        Shaped like the inputs.
    kernel : ndarray
        Shaped like the kernel.
    bias : ndarray or None
        Shaped like the bias; ``None`` where there is none.
    """

    inputs: Array
    kernel: Array
    bias: Array | None


def bias_gradient(gradient: Array, data_format: str) -> Array:
    """Gradient to the bias: the gradient to the outputs, summed over all but the channels."""
    channel = 1 if data_format == "channels_first" else gradient.ndim - 1
    others = tuple(n for n in range(gradient.ndim) if n != channel)
    total: Array = gradient.sum(axis=others, dtype=args.compute_dtype(gradient.dtype, "gradient"))
    return total.astype(gradient.dtype)


def conv_transpose_vjp(
    inputs: Any,
    kernel: Any,
    strides: Any = 1,
    padding: Any = "valid",
    output_padding: Any = None,
    data_format: str | None = None,
    dilation_rate: Any = 1,
    *,
    groups: int = 1,
    bias: Any = None,
    threads: int | None = None,
) -> tuple[Array, Callable[[Any], Gradients]]:
    """Outputs and a pullback, in the style of ``jax.vjp``.

    Parameters
    ----------
    inputs, kernel, strides, padding, output_padding, data_format, dilation_rate, groups, bias, threads
        As in :func:`conv_transpose`.

    Returns
    -------
    outputs : ndarray
        What :func:`conv_transpose` returns.
    pullback : callable
        From gradients to the outputs to :class:`Gradients` of inputs, kernel and bias.

    Raises
    ------
    ValueError, TypeError
        As in :func:`conv_transpose`.

    Examples
    --------
    >>> import numpy as np
    >>> from convtranspose import conv_transpose_vjp
    >>> x, w = np.ones((1, 2, 1), "float32"), np.ones((3, 1, 1), "float32")
    >>> outputs, pullback = conv_transpose_vjp(x, w, strides=2)
    >>> gradients = pullback(np.ones_like(outputs))
    >>> gradients.inputs[0, :, 0], gradients.kernel[:, 0, 0]
    (array([3., 3.], dtype=float32), array([2., 2., 2.], dtype=float32))
    """
    x, w = args.array(inputs, "inputs"), args.array(kernel, "kernel")
    given = (strides, padding, output_padding, data_format, dilation_rate)
    outputs = conv_transpose(x, w, *given, groups=groups, bias=bias, threads=threads)

    def pullback(gradient: Any) -> Gradients:
        dy = args.array_of(gradient, "gradient", outputs.dtype, "outputs")
        if dy.shape != outputs.shape:
            raise ValueError(f"gradient must have the shape {outputs.shape} of the outputs. Got {dy.shape}.")
        dx = conv(dy, w, *given, groups=groups, threads=threads)
        dw = conv_transpose_kernel_gradient(x, dy, w.shape[:-2], *given, groups=groups, threads=threads)
        if bias is None:
            return Gradients(dx, dw, None)
        return Gradients(dx, dw, bias_gradient(dy, args.data_format(data_format)))

    return outputs, pullback
