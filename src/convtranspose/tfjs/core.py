"""The operations ``tf.conv2dTranspose`` and ``tf.conv3dTranspose``: the output shape is given."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from convtranspose import arguments as args
from convtranspose import geometry, ops

__all__ = ["conv2dTranspose", "conv3dTranspose"]

Array = np.ndarray[Any, np.dtype[Any]]


def float32(value: Any, name: str) -> Array:
    """An array in the type that TensorFlow.js computes in; integers and booleans are numbers there."""
    given = np.asarray(value) if isinstance(value, (np.ndarray, list, tuple)) else value
    if isinstance(given, np.ndarray) and given.dtype.kind in "iub":
        return given.astype(np.float32)
    return args.array(value, name).astype(np.float32, copy=False)


def conv2dTranspose(
    x: Any,
    filter: Any,
    outputShape: Sequence[int],
    strides: int | Sequence[int],
    pad: str | int | Sequence[Sequence[int]],
    dimRoundingMode: str | None = None,
) -> Array:
    """Transposed convolution of images to a given shape: the gradient of a convolution from there.

    Parameters
    ----------
    x : array_like, shape (n, h, w, c_in) or (h, w, c_in)
        The inputs; without ``n`` a batch of one is meant.
    filter : array_like, shape (kh, kw, c_out, c_in)
        The kernel.
    outputShape : sequence of int, (n, oh, ow, c_out) or (oh, ow, c_out)
        Shape of the result.
    strides : int or sequence of int
        Output samples per input sample.
    pad : {"valid", "same"}, int or sequence of 4 pairs
        Samples cut from the beginning of the full output: none, half of what the convolution from
        ``outputShape`` pads, that many on every axis, or the first of each spatial pair.
    dimRoundingMode : None
        Accepted, as there, for a whole number ``pad``; it changes nothing.

    Returns
    -------
    ndarray, shape outputShape
        In float32.

    Raises
    ------
    ValueError
        If ranks, channels, strides or ``pad`` do not fit.

    Notes
    -----
    ``y[o] = sum of x[i] * filter[t] over i * s + t - lo = o``. Whether ``outputShape`` fits the inputs is
    not checked, as in TensorFlow.js: what lies beyond the full output is zero.
    Source: https://js.tensorflow.org/api/latest/#conv2dTranspose

    Examples
    --------
    >>> import numpy as np
    >>> from convtranspose import tfjs
    >>> tfjs.conv2dTranspose(np.ones((1, 2, 1)), np.ones((1, 3, 1, 1)), [1, 4, 1], [1, 2], "same")[0, :, 0]
    array([1., 1., 2., 1.], dtype=float32)
    """
    return _transposed(2, x, filter, outputShape, strides, pad, dimRoundingMode)


def conv3dTranspose(
    x: Any,
    filter: Any,
    outputShape: Sequence[int],
    strides: int | Sequence[int],
    pad: str,
) -> Array:
    """Transposed convolution of volumes to a given shape; see :func:`conv2dTranspose`.

    Parameters
    ----------
    x : array_like, shape (n, d, h, w, c_in) or (d, h, w, c_in)
        The inputs.
    filter : array_like, shape (kd, kh, kw, c_out, c_in)
        The kernel.
    outputShape : sequence of int, (n, od, oh, ow, c_out) or (od, oh, ow, c_out)
        Shape of the result.
    strides : int or sequence of int
        Output samples per input sample.
    pad : {"valid", "same"}
        As in :func:`conv2dTranspose`.

    Returns
    -------
    ndarray, shape outputShape
        In float32.

    Raises
    ------
    ValueError
        If ranks, channels, strides or ``pad`` do not fit.

    Notes
    -----
    Where the stride is larger than the kernel and ``pad`` is ``"same"``, TensorFlow.js shifts the result
    of this function against its own ``conv2dTranspose``; here both follow the same rule.

    Examples
    --------
    >>> import numpy as np
    >>> from convtranspose import tfjs
    >>> x, kernel = np.ones((1, 2, 2, 3, 2)), np.ones((2, 2, 2, 5, 2))
    >>> tfjs.conv3dTranspose(x, kernel, (1, 4, 4, 6, 5), 2, "valid").shape
    (1, 4, 4, 6, 5)
    """
    if not isinstance(pad, str):
        raise ValueError(f"pad must be 'valid' or 'same'. Got pad={pad!r}.")
    return _transposed(3, x, filter, outputShape, strides, pad, None)


def _transposed(
    rank: int, x: Any, kernel: Any, shape: Sequence[int], strides: Any, pad: Any, rounding: Any
) -> Array:
    inputs, weights = float32(x, "x"), float32(kernel, "filter")
    alone = inputs.ndim == rank + 1
    if alone:
        inputs = inputs[None]
    if inputs.ndim != rank + 2 or weights.ndim != rank + 2:
        raise ValueError(
            f"x must have {rank + 2} axes, or {rank + 1} without the batch, and filter {rank + 2}. Got x of "
            f"shape {np.shape(x)}, filter of shape {weights.shape}."
        )
    wanted = args.integers(shape, inputs.ndim - alone, "outputShape", minimum=0)
    if (1, *wanted)[-rank - 2 :: rank + 1] != (len(inputs), weights.shape[-2]):
        raise ValueError(
            f"outputShape must keep the batch of x and end in the {weights.shape[-2]} output channels of "
            f"filter. Got outputShape={tuple(shape)}, x of shape {np.shape(x)}, filter of shape "
            f"{weights.shape}."
        )
    if isinstance(pad, str) and rounding is not None:
        raise ValueError(f"dimRoundingMode goes with a number as pad. Got {rounding!r} with pad={pad!r}.")
    steps = args.integers(strides, rank, "strides", minimum=1)
    begins = _begins(wanted[-rank - 1 : -1], weights.shape, steps, pad)
    crops = [
        (lo, geometry.full_length(i, k, s, 1) - lo - o)
        for lo, o, i, k, s in zip(
            begins, wanted[-rank - 1 : -1], inputs.shape[1:-1], weights.shape, steps, strict=False
        )
    ]
    outputs = ops.conv_transpose(inputs, weights, steps, crops, data_format="channels_last")
    return outputs[0] if alone else outputs


def _begins(lengths: Sequence[int], kernel: Sequence[int], strides: Sequence[int], pad: Any) -> list[int]:
    """Samples to cut from the beginning of the full output, per axis."""
    rank = len(lengths)
    if pad in ("valid", "same"):
        return [
            geometry.forward_convolution_axis(o, k, s, 1, pad).lo
            for o, k, s in zip(lengths, kernel, strides, strict=False)
        ]
    if isinstance(pad, Sequence) and not isinstance(pad, str) and len(pad) == rank + 2:
        return [args.integers(pair, 2, "pad", minimum=0)[0] for pair in pad[1:-1]]
    if isinstance(pad, (int, np.integer)) and not isinstance(pad, bool):
        return list(args.integers(pad, rank, "pad", minimum=0))
    raise ValueError(f"pad must be 'valid', 'same', a number or {rank + 2} pairs. Got pad={pad!r}.")
