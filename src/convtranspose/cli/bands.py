"""Running a model piece by piece: bounded memory, progress, and a place to stop.

A model that turns every sample of a picture into a block of samples, looking at a neighbourhood of
it, may run on bands of rows: each band with as many rows around it as the model looks at gives the
very rows that the whole picture would give. Other models run sample by sample, layer by layer.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from convtranspose.layers import Conv2DTranspose, InputLayer, Layer, Sequential

__all__ = ["Enlargement", "apply", "chain", "enlargement", "upscale"]

Array = np.ndarray[Any, np.dtype[Any]]
Progress = Callable[[int, int], None]
"""Is told after every piece: how many are done, of how many."""

_BAND_BYTES = 32 * 2**20  # the widest layer's outputs for one band
_BATCH = 32

_POINTWISE = {"Activation", "Dropout", "ELU", "LeakyReLU", "ReLU"}
"""Layers that look at one sample and nothing around it."""


@dataclass(frozen=True)
class Enlargement:
    """What a model does to a picture, per axis (rows, columns).

    Attributes
    ----------
    scale : (int, int)
        Samples that come out for each that goes in.
    reach : (int, int)
        How far it looks around an input sample, in input samples.
    width : int
        The most numbers per input sample between two layers.
    """

    scale: tuple[int, int]
    reach: tuple[int, int]
    width: int


def chain(model: Layer) -> list[Layer]:
    """All layers in order, models inside models taken apart."""
    if not isinstance(model, Sequential):
        return [model]
    return [inner for layer in model.layers for inner in chain(layer)]


def enlargement(model: Layer) -> Enlargement | None:
    """How a model enlarges pictures, or ``None`` where its outputs belong to no places of its inputs.

    Examples
    --------
    >>> up = Conv2DTranspose(4, 9, strides=3, padding="same", input_shape=(None, None, 1))
    >>> enlargement(Sequential([up]))
    Enlargement(scale=(3, 3), reach=(1, 1), width=36)
    """
    scale, steps, width = [1, 1], [], 1
    for layer in chain(model):
        if isinstance(layer, InputLayer) or type(layer).__name__ in _POINTWISE:
            continue
        if not isinstance(layer, Conv2DTranspose) or layer.data_format != "channels_last" or not layer.built:
            return None
        axes = layer.plan.problem((1, 2, 2, layer.kernel.shape[-1])).geometry.axes
        if any(a.o != a.i * a.s for a in axes):
            return None
        steps.append(axes)
        scale = [n * a.s for n, a in zip(scale, axes, strict=True)]
        width = max(width, scale[0] * scale[1] * layer.filters)
    if not steps:
        return None
    reach = [0, 0]
    for axes in reversed(steps):
        reach = [-(-r // a.s) + max(a.reach) for r, a in zip(reach, axes, strict=True)]
    return Enlargement((scale[0], scale[1]), (reach[0], reach[1]), width)


def upscale(model: Layer, inputs: Array, progress: Progress | None = None) -> Array:
    """Enlarge pictures, with borders as good as the inside.

    A convolution takes what lies beyond the border for black. Pictures are therefore continued by
    their mirror image as far as the model looks, and the continuation is cut off at the end.

    Parameters
    ----------
    model : Layer
        Built, channels last.
    inputs : ndarray, shape (n, h, w, c)
        The pictures.
    progress : callable, optional
        See :func:`apply`.

    Returns
    -------
    ndarray, shape (n, oh, ow, c_out)
        What the model draws; models of which :func:`enlargement` knows nothing run on the pictures
        as they are.
    """
    known = enlargement(model)
    if known is None:
        return apply(model, inputs, progress)
    (top, left), (sh, sw) = known.reach, known.scale
    around = np.pad(inputs, ((0, 0), (top, top), (left, left), (0, 0)), mode="symmetric")
    outputs = apply(model, around, progress)
    rows, columns = inputs.shape[1] * sh, inputs.shape[2] * sw
    return outputs[:, top * sh : top * sh + rows, left * sw : left * sw + columns]


def apply(model: Layer, inputs: Array, progress: Progress | None = None) -> Array:
    """``model(inputs)``, computed in pieces.

    Parameters
    ----------
    model : Layer
        Built.
    inputs : ndarray, shape (n, ...)
        The inputs.
    progress : callable, optional
        Is called as ``progress(done, total)`` after every piece.

    Returns
    -------
    ndarray, shape (n, ...)
        The outputs.
    """
    tell = progress or (lambda done, total: None)
    known = enlargement(model) if inputs.ndim == 4 else None
    if known is None:
        return _layer_by_layer(model, inputs, tell)
    return _in_bands(model, inputs, known, tell)


def _in_bands(model: Layer, inputs: Array, known: Enlargement, tell: Progress) -> Array:
    n, h, w, _ = inputs.shape
    reach, scale = known.reach[0], known.scale[0]
    # At least four times the rows that neighbouring bands compute twice.
    rows = max(_BAND_BYTES // max(known.width * w * 4, 1), 8 * reach, 16)
    count = max(-(-h // rows), 1)
    rows = max(-(-h // count), 1)  # bands of one size
    count = -(-h // rows)
    outputs: Array | None = None
    for number, (image, start) in enumerate((i, s) for i in range(n) for s in range(0, h, rows)):
        stop = min(start + rows, h)
        first, last = max(start - reach, 0), min(stop + reach, h)
        drawn = model(inputs[image : image + 1, first:last])
        kept = drawn[:, (start - first) * scale : (stop - first) * scale]
        if outputs is None:
            outputs = np.empty((n, h * scale, *kept.shape[2:]), kept.dtype)
        outputs[image, start * scale : stop * scale] = kept[0]
        tell(number + 1, n * count)
    return model(inputs) if outputs is None else outputs


def _layer_by_layer(model: Layer, inputs: Array, tell: Progress) -> Array:
    layers, batches = chain(model), max(math.ceil(len(inputs) / _BATCH), 1)
    parts = []
    for batch in range(batches):
        x = inputs[batch * _BATCH : (batch + 1) * _BATCH]
        for number, layer in enumerate(layers):
            x = layer(x)
            tell(batch * len(layers) + number + 1, batches * len(layers))
        parts.append(x)
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
