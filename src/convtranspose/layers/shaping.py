"""Layers that only move numbers: reshape, flatten, pad, crop, repeat."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from convtranspose import arguments as args
from convtranspose import geometry
from convtranspose.layers import checks
from convtranspose.layers.base import Array, InputSpec, Pullback, Shape
from convtranspose.layers.configured import ConfiguredLayer, plain_pullback

__all__ = [
    "Cropping1D",
    "Cropping2D",
    "Cropping3D",
    "Flatten",
    "Reshape",
    "UpSampling1D",
    "UpSampling2D",
    "UpSampling3D",
    "ZeroPadding1D",
    "ZeroPadding2D",
    "ZeroPadding3D",
]

Pairs = tuple[tuple[int, int], ...]


def _known(shape: Sequence[int | None]) -> int | None:
    lengths = [n for n in shape if n is not None]
    return math.prod(lengths) if len(lengths) == len(shape) else None


class Reshape(ConfiguredLayer):
    """The same numbers under another shape.

    Parameters
    ----------
    target_shape : tuple of int
        Shape of an output without the batch; one length may be -1 and follows from the others.
    **kwargs
        ``name``, ``dtype``, ``trainable`` and ``input_shape``, as in :class:`Layer`.

    Raises
    ------
    ValueError
        If the numbers of an input do not fill the shape.

    Examples
    --------
    >>> from convtranspose.layers import Reshape
    >>> Reshape((7, 7, -1)).compute_output_shape((None, 490))
    (None, 7, 7, 10)
    """

    keys = "target_shape"

    def __init__(self, target_shape: Sequence[int], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.target_shape = args.integers(tuple(target_shape), len(target_shape), "target_shape", minimum=-1)
        if self.target_shape.count(-1) > 1:
            raise ValueError(f"target_shape may hold one -1. Got target_shape={self.target_shape}.")

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Shape of the outputs; an open length stays ``None``."""
        batch, size = input_shape[0], _known(input_shape[1:])
        rest = math.prod(n for n in self.target_shape if n != -1)
        if size is None:
            return batch, *(None if n == -1 else n for n in self.target_shape)
        if (size % rest if rest and -1 in self.target_shape else size != rest) or (rest == 0 != size):
            raise ValueError(
                f"target_shape must hold as many numbers as an input, but an input has {size}. Got inputs "
                f"of shape {tuple(input_shape)}, target_shape={self.target_shape}."
            )
        return batch, *(size // max(rest, 1) if n == -1 else n for n in self.target_shape)

    def call(self, inputs: Array) -> Array:
        """The inputs under the new shape."""
        shape: Any = self.compute_output_shape(inputs.shape)
        return inputs.reshape(shape)

    def vjp(self, inputs: Any) -> tuple[Array, Pullback]:
        """Outputs and a pullback."""
        x = self.prepare(inputs)
        outputs = self.call(x)
        return outputs, plain_pullback(outputs, lambda dy: dy.reshape(x.shape))


class Flatten(ConfiguredLayer):
    """All numbers of an input in one axis.

    Parameters
    ----------
    data_format : {"channels_last", "channels_first"}, optional
        With ``"channels_first"`` the channels are moved to the end before.
    **kwargs
        As in :class:`Layer`.

    Examples
    --------
    >>> from convtranspose.layers import Flatten
    >>> Flatten().compute_output_shape((None, 5, 7, 2))
    (None, 70)
    """

    keys = "data_format"

    def __init__(self, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.data_format = args.data_format(data_format)
        self.input_spec = InputSpec(min_ndim=1)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The batch and one more axis."""
        return input_shape[0], _known(input_shape[1:])

    def _ordered(self, x: Array) -> Array:
        return np.moveaxis(x, 1, -1) if self.data_format == "channels_first" and x.ndim > 2 else x

    def call(self, inputs: Array) -> Array:
        """The numbers of each input, one after the other."""
        return self._ordered(inputs).reshape(len(inputs), math.prod(inputs.shape[1:]))

    def vjp(self, inputs: Any) -> tuple[Array, Pullback]:
        """Outputs and a pullback."""
        x = self.prepare(inputs)
        ordered = self._ordered(x)

        def back(dy: Array) -> Array:
            dx = dy.reshape(ordered.shape)
            return dx if ordered is x else np.moveaxis(dx, -1, 1)

        outputs = self.call(x)
        return outputs, plain_pullback(outputs, back)


class _Spatial(ConfiguredLayer):
    """A layer that changes the spatial axes one by one; ``rank`` is their number."""

    rank: ClassVar[int]

    def _place(self, data_format: str | None) -> None:
        self.data_format = args.data_format(data_format)
        self.input_spec = InputSpec(ndim=self.rank + 2)

    def _first(self) -> int:
        return 1 if self.data_format == "channels_last" else 2

    def _length(self, length: int, axis: int) -> int:
        raise NotImplementedError

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Shape of the outputs; open lengths stay ``None``."""
        checks.rank(self.name, input_shape, self.rank + 2)
        shape, first = list(input_shape), self._first()
        for axis in range(self.rank):
            length = shape[first + axis]
            shape[first + axis] = None if length is None else self._length(length, axis)
        return tuple(shape)


def pairs(value: Any, rank: int, name: str) -> Pairs:
    """``(lo, hi)`` per axis from an int, one int or pair per axis; for one axis also from a pair.

    >>> pairs(1, 2, "padding"), pairs((1, (2, 3)), 2, "padding"), pairs((1, 2), 1, "padding")
    (((1, 1), (1, 1)), ((1, 1), (2, 3)), ((1, 2),))
    """
    if rank == 1 and isinstance(value, Sequence) and len(value) == 2:
        value = (value,)
    if not isinstance(value, Sequence) or isinstance(value, str):
        value = (value,) * rank
    if len(value) != rank:
        raise ValueError(
            f"{name} must be an int or {rank} ints or pairs of ints, one per spatial axis, but it has "
            f"{len(value)}. Got {name}={value!r}."
        )
    found = [args.integers(item, 2, name, minimum=0) for item in value]
    return tuple((lo, hi) for lo, hi in found)


class _Padding(_Spatial):
    """Zeros around the inputs."""

    def __init__(self, padding: Any = 1, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._pairs = pairs(padding, self.rank, "padding")
        self._place(data_format)

    @property
    def padding(self) -> Any:
        """Zeros ``(lo, hi)`` per axis; in one dimension the pair itself."""
        return self._pairs if self.rank > 1 else self._pairs[0]

    def _length(self, length: int, axis: int) -> int:
        lo, hi = self._pairs[axis]
        return geometry.output_length(length, 1, padding=(-lo, -hi))

    def _inside(self, outputs: Array) -> tuple[slice, ...]:
        sizes = outputs.shape[self._first() :]
        inner = (slice(lo, n - hi) for (lo, hi), n in zip(self._pairs, sizes, strict=False))
        return (*(slice(None),) * self._first(), *inner)

    def call(self, inputs: Array) -> Array:
        """The inputs with zeros around them."""
        shape: Any = self.compute_output_shape(inputs.shape)
        outputs = np.zeros(shape, inputs.dtype)
        outputs[self._inside(outputs)] = inputs
        return outputs

    def vjp(self, inputs: Any) -> tuple[Array, Pullback]:
        """Outputs and a pullback."""
        outputs = self.call(self.prepare(inputs))
        return outputs, plain_pullback(outputs, lambda dy: dy[self._inside(dy)])


class ZeroPadding1D(_Padding):
    """Zeros before and after sequences: :class:`ZeroPadding2D` with one spatial axis.

    Parameters
    ----------
    padding : int or tuple of int, default 1
        Zeros at both ends, or ``(lo, hi)``.
    data_format : {"channels_last", "channels_first"}, optional
        Where the channels stand.
    **kwargs
        As in :class:`Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from convtranspose.layers import ZeroPadding1D
    >>> ZeroPadding1D((1, 2))(np.ones((1, 2, 1), "float32"))[0, :, 0]
    array([0., 1., 1., 0., 0.], dtype=float32)
    """

    rank = 1
    keys = "padding data_format"
    family_keys: ClassVar[Mapping[str, str]] = {"tf_keras": "padding", "tfjs": "padding"}


class ZeroPadding2D(_Padding):
    """Zeros around images.

    Parameters
    ----------
    padding : int or tuple, default 1
        Zeros at all ends, or one number per axis, or one pair ``(lo, hi)`` per axis.
    data_format : {"channels_last", "channels_first"}, optional
        Where the channels stand.
    **kwargs
        As in :class:`Layer`.

    Examples
    --------
    >>> from convtranspose.layers import ZeroPadding2D
    >>> ZeroPadding2D(((1, 0), (2, 3))).compute_output_shape((None, 5, 7, 2))
    (None, 6, 12, 2)
    """

    rank = 2
    keys = "padding data_format"


class ZeroPadding3D(_Padding):
    """Zeros around volumes: :class:`ZeroPadding2D` with three spatial axes.

    Parameters
    ----------
    padding, data_format, **kwargs
        As in :class:`ZeroPadding2D`, with three axes.

    Examples
    --------
    >>> import numpy as np
    >>> from convtranspose.layers import ZeroPadding3D
    >>> ZeroPadding3D(((0, 1), (1, 1), (2, 0)))(np.ones((1, 3, 4, 5, 1), "float32")).shape
    (1, 4, 6, 7, 1)
    """

    rank = 3
    keys = "padding data_format"


class _Cropping(_Spatial):
    """Fewer samples at the ends."""

    def __init__(self, cropping: Any = 1, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._pairs = pairs(cropping, self.rank, "cropping")
        self._place(data_format)

    @property
    def cropping(self) -> Any:
        """Samples ``(lo, hi)`` cut per axis; in one dimension the pair itself."""
        return self._pairs if self.rank > 1 else self._pairs[0]

    def _length(self, length: int, axis: int) -> int:
        left = geometry.output_length(length, 1, padding=self._pairs[axis])
        if left < 1:
            raise ValueError(
                f"cropping must leave at least one sample on every axis, but on axis {axis} it cuts "
                f"{self._pairs[axis]} of {length}. Got cropping={self.cropping}."
            )
        return left

    def _inside(self, shape: Shape) -> tuple[slice, ...]:
        self.compute_output_shape(shape)
        sizes: Any = shape[self._first() :]
        inner = (slice(lo, n - hi) for (lo, hi), n in zip(self._pairs, sizes, strict=False))
        return (*(slice(None),) * self._first(), *inner)

    def call(self, inputs: Array) -> Array:
        """The inner part of the inputs."""
        return inputs[self._inside(inputs.shape)]

    def vjp(self, inputs: Any) -> tuple[Array, Pullback]:
        """Outputs and a pullback."""
        x = self.prepare(inputs)
        inside = self._inside(x.shape)

        def back(dy: Array) -> Array:
            dx = np.zeros(x.shape, x.dtype)
            dx[inside] = dy
            return dx

        return x[inside], plain_pullback(x[inside], back)


class Cropping1D(_Cropping):
    """Fewer samples at the ends of sequences: :class:`Cropping2D` with one spatial axis.

    Parameters
    ----------
    cropping : int or tuple of int, default 1
        Samples to cut at both ends, or ``(lo, hi)``.
    **kwargs
        As in :class:`Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from convtranspose.layers import Cropping1D
    >>> Cropping1D((1, 2))(np.arange(5.0, dtype="float32").reshape(1, 5, 1))[0, :, 0]
    array([1., 2.], dtype=float32)
    """

    rank = 1
    keys = "cropping"

    def __init__(self, cropping: Any = 1, **kwargs: Any) -> None:
        super().__init__(cropping, "channels_last", **kwargs)


class Cropping2D(_Cropping):
    """Fewer samples at the edges of images.

    Parameters
    ----------
    cropping : int or tuple, default 0
        Samples to cut at all edges, or one number per axis, or one pair ``(lo, hi)`` per axis.
    data_format : {"channels_last", "channels_first"}, optional
        Where the channels stand.
    **kwargs
        As in :class:`Layer`.

    Examples
    --------
    >>> from convtranspose.layers import Cropping2D
    >>> Cropping2D(((1, 0), (2, 3))).compute_output_shape((None, 5, 7, 2))
    (None, 4, 2, 2)
    """

    rank = 2
    keys = "cropping data_format"

    def __init__(self, cropping: Any = 0, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(cropping, data_format, **kwargs)


class Cropping3D(_Cropping):
    """Fewer samples at the faces of volumes: :class:`Cropping2D` with three spatial axes.

    Parameters
    ----------
    cropping, data_format, **kwargs
        As in :class:`Cropping2D`, with three axes.

    Examples
    --------
    >>> import numpy as np
    >>> from convtranspose.layers import Cropping3D
    >>> Cropping3D(((0, 1), (1, 1), (2, 0)))(np.ones((1, 3, 4, 5, 1), "float32")).shape
    (1, 2, 2, 3, 1)
    """

    rank = 3
    keys = "cropping data_format"


class _UpSampling(_Spatial):
    """Every sample several times."""

    def __init__(self, size: Any = 2, data_format: str | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._sizes = args.integers(size, self.rank, "size", minimum=1)
        self._place(data_format)

    @property
    def size(self) -> Any:
        """How often each sample is repeated per axis; in one dimension the number itself."""
        return self._sizes if self.rank > 1 else self._sizes[0]

    def _length(self, length: int, axis: int) -> int:
        return geometry.output_length(length, self._sizes[axis], self._sizes[axis])

    def _blocks(self, shape: tuple[int, ...], repeat: bool) -> tuple[int, ...]:
        """``shape`` with one more axis behind each spatial one: the repeats."""
        found = list(shape[: self._first()])
        for axis, n in enumerate(shape[self._first() :]):
            found += [n, self._sizes[axis] if repeat else 1] if axis < self.rank else [n]
        return tuple(found)

    def call(self, inputs: Array) -> Array:
        """The inputs with every sample repeated."""
        shape: Any = self.compute_output_shape(inputs.shape)
        apart = inputs.reshape(self._blocks(inputs.shape, repeat=False))
        return np.broadcast_to(apart, self._blocks(inputs.shape, repeat=True)).reshape(shape)

    def vjp(self, inputs: Any) -> tuple[Array, Pullback]:
        """Outputs and a pullback."""
        x = self.prepare(inputs)
        repeats = tuple(self._first() + 2 * axis + 1 for axis in range(self.rank))
        outputs = self.call(x)
        return outputs, plain_pullback(
            outputs, lambda dy: dy.reshape(self._blocks(x.shape, repeat=True)).sum(axis=repeats)
        )


class UpSampling1D(_UpSampling):
    """Every sample of a sequence several times: :class:`UpSampling2D` with one spatial axis.

    Parameters
    ----------
    size : int, default 2
        How often.
    **kwargs
        As in :class:`Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from convtranspose.layers import UpSampling1D
    >>> UpSampling1D(2)(np.array([[[1], [2]]], "float32"))[0, :, 0]
    array([1., 1., 2., 2.], dtype=float32)
    """

    rank = 1
    keys = "size"

    def __init__(self, size: int = 2, **kwargs: Any) -> None:
        super().__init__(size, "channels_last", **kwargs)


class UpSampling2D(_UpSampling):
    """Every pixel of an image several times.

    Parameters
    ----------
    size : int or tuple of int, default 2
        How often, per axis.
    data_format : {"channels_last", "channels_first"}, optional
        Where the channels stand.
    interpolation : {"nearest"}, default "nearest"
        Keras has more; a transposed convolution with a fixed kernel does them.
    **kwargs
        As in :class:`Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from convtranspose.layers import UpSampling2D
    >>> UpSampling2D((1, 2))(np.arange(2, dtype="float32").reshape(1, 1, 2, 1))[0, 0, :, 0]
    array([0., 0., 1., 1.], dtype=float32)
    """

    rank = 2
    keys = "size data_format interpolation"

    def __init__(
        self, size: Any = 2, data_format: str | None = None, interpolation: str = "nearest", **kwargs: Any
    ) -> None:
        super().__init__(size, data_format, **kwargs)
        if interpolation != "nearest":
            raise ValueError(f"interpolation must be 'nearest'. Got interpolation={interpolation!r}.")
        self.interpolation = interpolation


class UpSampling3D(_UpSampling):
    """Every voxel of a volume several times: :class:`UpSampling2D` with three spatial axes.

    Parameters
    ----------
    size, data_format, **kwargs
        As in :class:`UpSampling2D`, with three axes.

    Examples
    --------
    >>> import numpy as np
    >>> from convtranspose.layers import UpSampling3D
    >>> UpSampling3D((1, 2, 3))(np.ones((1, 2, 2, 2, 1), "float32")).shape
    (1, 2, 4, 6, 1)
    """

    rank = 3
    keys = "size data_format"
