"""The initializers themselves; :mod:`convtranspose.initializers` names them.

Distributions and fans are those of Keras, drawn with NumPy's generators: the statistics agree, the
single numbers do not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from convtranspose._builtins import Builtin

Array = np.ndarray[Any, np.dtype[Any]]
Shape = Sequence[int]
DType = DTypeLike | None

# Standard deviation of a standard normal distribution cut off at two.
_TRUNCATED_STDDEV = 0.87962566103423978


def compute_fans(
    shape: Shape,
    input_axes: Sequence[int] | None = None,
    output_axes: Sequence[int] | None = None,
    fan: str = "keras",
) -> tuple[int, int]:
    """Number of inputs and outputs of one unit.

    Parameters
    ----------
    shape : sequence of int
        Of the weight.
    input_axes, output_axes : sequence of int, optional
        The axes to multiply, if both are given.
    fan : {"keras", "transposed"}, optional
        Which of the last two axes of a kernel holds the inputs: the last but one, as Keras counts, or
        the last, as in the kernels ``(*k, filters, in_channels)`` of transposed convolutions. The
        stride is not known here: with stride ``s`` one output sums only about ``1 / prod(s)`` of its
        inputs.

    Returns
    -------
    fan_in, fan_out : int

    Examples
    --------
    >>> compute_fans((3, 3, 50, 2)), compute_fans((3, 3, 50, 2), fan="transposed")
    ((450, 18), (18, 450))
    """
    if input_axes is not None and output_axes is not None:
        return math.prod(shape[a] for a in input_axes), math.prod(shape[a] for a in output_axes)
    if len(shape) < 2:
        return (math.prod(shape),) * 2
    field = math.prod(shape[:-2])
    fans = field * int(shape[-2]), field * int(shape[-1])
    return fans if fan == "keras" or len(shape) == 2 else fans[::-1]


class Initializer(Builtin):
    """Base class: a subclass gives ``__call__``, and ``get_config`` where it has arguments.

    Examples
    --------
    >>> class Ramp(Initializer):
    ...     def __call__(self, shape, dtype=None):
    ...         return np.arange(np.prod(shape), dtype=dtype or "float32").reshape(shape)
    >>> Ramp()((2, 2))
    array([[0., 1.],
           [2., 3.]], dtype=float32)
    """

    def __call__(self, shape: Shape, dtype: DType = None) -> Array:
        """Values for a weight.

        Parameters
        ----------
        shape : sequence of int
        dtype : dtype, optional
            float32 by default.

        Returns
        -------
        ndarray, shape as asked
        """
        raise NotImplementedError(f"{type(self).__name__} must implement the __call__() method.")


def _dtype(dtype: DType) -> np.dtype[Any]:
    return np.dtype(np.float32 if dtype is None else dtype)


class Zeros(Initializer):
    """All 0.

    Examples
    --------
    >>> Zeros()((2,))
    array([0., 0.], dtype=float32)
    """

    def __call__(self, shape: Shape, dtype: DType = None) -> Array:
        """Values for a weight."""
        return np.zeros(shape, _dtype(dtype))


class Ones(Initializer):
    """All 1.

    Examples
    --------
    >>> Ones()((2,))
    array([1., 1.], dtype=float32)
    """

    def __call__(self, shape: Shape, dtype: DType = None) -> Array:
        """Values for a weight."""
        return np.ones(shape, _dtype(dtype))


class Constant(Initializer):
    """One value, or an array of them.

    Parameters
    ----------
    value : float or array_like, optional
        Broadcast to the shape; a flat list of the right length fills it in C order.

    Examples
    --------
    >>> Constant(3.0)((2,))
    array([3., 3.], dtype=float32)
    """

    def __init__(self, value: Any = 0.0) -> None:
        # Keras 3 writes an array as an object of its own.
        if isinstance(value, Mapping) and value.get("class_name") == "__tensor__":
            inner = value["config"]
            value = np.asarray(inner["value"], dtype=inner.get("dtype"))
        self.value = value

    @property
    def plain_value(self) -> Any:
        """The value as numbers and lists."""
        return self.value.tolist() if isinstance(self.value, (np.ndarray, np.generic)) else self.value

    @property
    def keras3_value(self) -> Any:
        """The value as Keras 3 writes it."""
        if not isinstance(self.value, np.ndarray):
            return self.plain_value
        config = {"value": self.plain_value, "dtype": self.value.dtype.name}
        return {"class_name": "__tensor__", "config": config}

    def __call__(self, shape: Shape, dtype: DType = None) -> Array:
        """Values for a weight."""
        value, shape = np.asarray(self.value), tuple(shape)
        if value.ndim == 1 and value.size == math.prod(shape):
            value = value.reshape(shape)
        try:
            return np.broadcast_to(value, shape).astype(_dtype(dtype))
        except ValueError:
            raise ValueError(
                f"The value of Constant must be broadcastable to the weight. Got a value of shape "
                f"{value.shape}, a weight of shape {shape}."
            ) from None


class Identity(Initializer):
    """The identity matrix.

    Parameters
    ----------
    gain : float, optional
        Factor. Keras 3 does not write it into configurations; here it is written unless it is 1.

    Examples
    --------
    >>> Identity()((2, 2))
    array([[1., 0.],
           [0., 1.]], dtype=float32)
    """

    def __init__(self, gain: float = 1.0) -> None:
        self.gain = gain

    @property
    def other_gain(self) -> float | None:
        """The gain, if it is not 1."""
        return None if self.gain == 1 else self.gain

    def __call__(self, shape: Shape, dtype: DType = None) -> Array:
        """Values for a weight."""
        if len(shape) != 2:
            raise ValueError(
                "Identity matrix initializer can only be used for 2D matrices. "
                f"Got shape={tuple(shape)} of rank {len(shape)}."
            )
        matrix: Array = self.gain * np.eye(shape[0], shape[1])
        return matrix.astype(_dtype(dtype))


# Symmetric windows of n samples, as scipy.signal.windows names them.
_WINDOWS: Mapping[str, Callable[[int], Array]] = {
    "bartlett": np.bartlett,
    "blackman": np.blackman,
    "boxcar": np.ones,
    "hamming": np.hamming,
    "hann": np.hanning,
}


class STFT(Initializer):
    """Real or imaginary part of a short-time Fourier transform as a kernel (Keras 3).

    Element ``(t, 0, f)`` of shape ``(T, 1, F // 2 + 1)`` is ``cos`` or ``sin`` of ``-2 pi t f / F``
    times the window, divided by its norm.

    Parameters
    ----------
    side : {"real", "imag"}, optional
    window : str, array_like of shape (T,) or None, optional
        A window of ``scipy.signal.windows``: ``"hann"``, ``"hamming"``, ``"blackman"``,
        ``"bartlett"`` or ``"boxcar"``; give the samples of any other.
    scaling : {"density", "spectrum"} or None, optional
        Divide by the root of the sum of squares, or by the sum of the window.
    periodic : bool, optional
        Whether the window is a period of a periodic one.

    Examples
    --------
    >>> STFT(window=None)((4, 1, 3))[:, 0, :].round(3) + 0.0
    array([[ 1.,  1.,  1.],
           [ 1.,  0., -1.],
           [ 1., -1.,  1.],
           [ 1.,  0., -1.]], dtype=float32)
    """

    def __init__(
        self,
        side: str = "real",
        window: Any = "hann",
        scaling: str | None = "density",
        periodic: bool = False,
    ) -> None:
        if side not in ("real", "imag"):
            raise ValueError(f"side must be 'real' or 'imag'. Got side={side!r}.")
        if isinstance(window, str) and window not in _WINDOWS:
            raise ValueError(
                f"window must be one of {', '.join(_WINDOWS)}, or the samples of another window. "
                f"Got window={window!r}."
            )
        if scaling not in (None, "density", "spectrum"):
            raise ValueError(f"scaling must be None, 'density' or 'spectrum'. Got scaling={scaling!r}.")
        self.side = side
        self.window = window
        self.scaling = scaling
        self.periodic = periodic

    def __call__(self, shape: Shape, dtype: DType = None) -> Array:
        """Values for a weight."""
        if len(shape) != 3:
            raise ValueError(
                "STFT needs a shape of 3 numbers, (frame_length, input_channels, fft_length // 2 + 1). "
                f"Got shape={tuple(shape)} of rank {len(shape)}."
            )
        length, _, bins = shape
        angle = -2 * np.pi * np.outer(np.arange(length), np.arange(bins)) / (2 * (bins - 1) or 1)
        kernel = np.cos(angle) if self.side == "real" else np.sin(angle)
        if self.window is not None:
            window = self._window(length)
            norm = {"density": np.sqrt(np.sum(window**2)), "spectrum": np.sum(np.abs(window)), None: 1.0}
            kernel = kernel * window[:, None] / norm[self.scaling]
        return kernel[:, None, :].astype(_dtype(dtype))

    def _window(self, length: int) -> Array:
        if isinstance(self.window, str):
            return _WINDOWS[self.window](length + self.periodic)[:length]
        window = np.asarray(self.window, dtype=np.float64)
        if window.shape != (length,):
            raise ValueError(f"The window must have shape ({length},), the frame length. Got {window.shape}.")
        return window


# --- random ---------------------------------------------------------------------------------------


class RandomInitializer(Initializer):
    """Base of the random ones.

    Parameters
    ----------
    seed : int, optional
        Makes the values reproducible.
    repeat : bool or None, optional
        Whether every call with one shape gives the same numbers, as in Keras 3 (also without a seed:
        it is then drawn once); ``None``: only with a seed, as in TensorFlow.js; ``False``: never, as
        in tf.keras up to 2.9, where a seed fixes the sequence.
    """

    def __init__(self, seed: Any = None, *, repeat: bool | None = True) -> None:
        # Keras 3 writes a seed generator as an object that holds the seed.
        if isinstance(seed, Mapping):
            seed = seed.get("config", {}).get("seed")
        if seed is not None and (isinstance(seed, bool) or not isinstance(seed, (int, np.integer))):
            raise ValueError(f"seed must be an integer or None. Got seed={seed!r}.")
        self.seed = None if seed is None else int(seed)
        # SeedSequence takes no negative numbers.
        entropy = None if self.seed is None else self.seed % 2**64
        self._seeds = np.random.SeedSequence(entropy)
        self._repeat = seed is not None if repeat is None else repeat
        self._running = np.random.default_rng(self._seeds)

    def _generator(self) -> np.random.Generator:
        return np.random.default_rng(self._seeds) if self._repeat else self._running

    def _normal(self, shape: Shape, dtype: DType) -> Array:
        """Standard normal numbers in the type to compute in."""
        drawn: Array = self._generator().standard_normal(tuple(shape), dtype=_computed(dtype))
        return drawn

    def _truncated(self, shape: Shape, dtype: DType) -> Array:
        """Standard normal numbers, those beyond two drawn again."""
        generator, kind = self._generator(), _computed(dtype)
        drawn: Array = np.asarray(generator.standard_normal(tuple(shape), dtype=kind))
        beyond = np.abs(drawn) > 2
        while beyond.any():
            drawn[beyond] = generator.standard_normal(int(beyond.sum()), dtype=kind)
            beyond = np.abs(drawn) > 2
        return drawn

    def _uniform(self, shape: Shape, dtype: DType) -> Array:
        """Numbers from 0 (included) to 1 (not included)."""
        drawn: Array = np.asarray(self._generator().random(tuple(shape), dtype=_computed(dtype)))
        return drawn


def _computed(dtype: DType) -> Any:
    return np.float64 if _dtype(dtype) == np.float64 else np.float32


class RandomNormal(RandomInitializer):
    """Normal distribution.

    Parameters
    ----------
    mean, stddev : float, optional
    seed : int, optional
    repeat : bool or None, optional
        See :class:`RandomInitializer`.

    Examples
    --------
    >>> print(RandomNormal(seed=3)((1000,)).std().round(2))
    0.05
    """

    def __init__(
        self, mean: float = 0.0, stddev: float = 0.05, seed: Any = None, *, repeat: bool | None = True
    ) -> None:
        super().__init__(seed, repeat=repeat)
        self.mean = mean
        self.stddev = stddev

    def __call__(self, shape: Shape, dtype: DType = None) -> Array:
        """Values for a weight."""
        return (self.mean + self.stddev * self._normal(shape, dtype)).astype(_dtype(dtype), copy=False)


class TruncatedNormal(RandomNormal):
    """Normal distribution, values beyond two standard deviations drawn again.

    Parameters
    ----------
    mean, stddev : float, optional
        Before the cut; what is left deviates by 0.88 times ``stddev``.
    seed : int, optional
    repeat : bool or None, optional
        See :class:`RandomInitializer`.

    Examples
    --------
    >>> bool(abs(TruncatedNormal(stddev=0.5, seed=3)((1000,))).max() <= 1)
    True
    """

    def __call__(self, shape: Shape, dtype: DType = None) -> Array:
        """Values for a weight."""
        return (self.mean + self.stddev * self._truncated(shape, dtype)).astype(_dtype(dtype), copy=False)


class RandomUniform(RandomInitializer):
    """Uniform distribution.

    Parameters
    ----------
    minval, maxval : float, optional
    seed : int, optional
    repeat : bool or None, optional
        See :class:`RandomInitializer`.

    Examples
    --------
    >>> bool(abs(RandomUniform(seed=3)((1000,))).max() <= 0.05)
    True
    """

    def __init__(
        self, minval: float = -0.05, maxval: float = 0.05, seed: Any = None, *, repeat: bool | None = True
    ) -> None:
        super().__init__(seed, repeat=repeat)
        self.minval = minval
        self.maxval = maxval

    def __call__(self, shape: Shape, dtype: DType = None) -> Array:
        """Values for a weight."""
        width = self.maxval - self.minval
        return (self.minval + width * self._uniform(shape, dtype)).astype(_dtype(dtype), copy=False)


class VarianceScaling(RandomInitializer):
    """Zero mean and variance ``scale / n``, ``n`` from the number of inputs and outputs of a unit.

    Parameters
    ----------
    scale : float, optional
        Positive.
    mode : {"fan_in", "fan_out", "fan_avg"}, optional
        What ``n`` is.
    distribution : {"truncated_normal", "normal", "untruncated_normal", "uniform"}, optional
        ``"normal"`` means ``"truncated_normal"``.
    seed : int, optional
    input_axes, output_axes : sequence of int, optional
        The axes that make the two fans, instead of the rule of ``fan``.
    fan : {"keras", "transposed"}, optional
        How fans are counted; see :func:`compute_fans`. Keras' way scales a transposed kernel by its
        filters where the theory (He et al., arXiv 1502.01852) means its input channels.
        ``"transposed"`` corrects this. It stands in configurations, where Keras does not know it; files
        for Keras hold the same distribution in its words, see :meth:`in_words_of_keras`.
    corrected : bool, optional
        Whether the truncated normal distribution is widened so that the variance after the cut is as
        said. Keras does so, TensorFlow.js does not.
    repeat : bool or None, optional
        See :class:`RandomInitializer`.

    Notes
    -----
    Uniform: limits ``sqrt(3 * scale / n)``. Truncated normal: ``stddev = sqrt(scale / n)``, divided by
    0.87962566 if corrected, cut at two of it.

    Examples
    --------
    >>> kernel = VarianceScaling(2.0, "fan_in", "uniform", seed=1, fan="transposed")((3, 3, 50, 2))
    >>> bool(abs(kernel).max() <= (3 * 2.0 / (3 * 3 * 2)) ** 0.5)
    True
    """

    def __init__(
        self,
        scale: float = 1.0,
        mode: str = "fan_in",
        distribution: str = "truncated_normal",
        seed: Any = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
        *,
        fan: str = "keras",
        corrected: bool = True,
        repeat: bool | None = True,
    ) -> None:
        super().__init__(seed, repeat=repeat)
        if not scale > 0:
            raise ValueError(f"scale must be a positive float. Got scale={scale!r}.")
        mode, distribution = str(mode).lower(), str(distribution).lower()
        if mode not in ("fan_in", "fan_out", "fan_avg"):
            raise ValueError(f"Invalid mode argument: use fan_in, fan_out or fan_avg. Got mode={mode!r}.")
        if distribution not in ("normal", "truncated_normal", "untruncated_normal", "uniform"):
            raise ValueError(
                "Invalid distribution argument: use truncated_normal, untruncated_normal or uniform. "
                f"Got distribution={distribution!r}."
            )
        if fan not in ("keras", "transposed"):
            raise ValueError(f"Invalid fan argument: use keras or transposed. Got fan={fan!r}.")
        self.scale = scale
        self.mode = mode
        self.distribution = "truncated_normal" if distribution == "normal" else distribution
        self.input_axes = input_axes
        self.output_axes = output_axes
        self.fan = fan
        self._corrected = corrected

    @property
    def short_distribution(self) -> str:
        """The distribution in the words of TensorFlow.js, which knows no untruncated one."""
        if self.distribution == "untruncated_normal":
            raise ValueError(
                "tfjs has no distribution 'untruncated_normal', so it cannot be written there. "
                "Use 'truncated_normal' or 'uniform'."
            )
        return self.distribution.removeprefix("truncated_")

    @property
    def other_fan(self) -> str | None:
        """The way of counting, if it is not Keras'."""
        return None if self.fan == "keras" else self.fan

    def in_words_of_keras(self, swapped: bool = True) -> VarianceScaling:
        """The same distribution of a kernel, where fans are counted in Keras' way only.

        Parameters
        ----------
        swapped : bool, default True
            Whether ``fan="transposed"`` swaps the two fans: for all weights but those of two axes.

        Returns
        -------
        VarianceScaling
            This object itself, if it counts like Keras.

        Examples
        --------
        >>> from convtranspose.initializers import HeNormal
        >>> HeNormal(fan="transposed").in_words_of_keras().mode
        'fan_out'
        """
        if self.fan == "keras":
            return self
        other = {"fan_in": "fan_out", "fan_out": "fan_in"}
        own_axes = self.input_axes is not None and self.output_axes is not None
        mode = other.get(self.mode, self.mode) if swapped and not own_axes else self.mode
        return VarianceScaling(
            *(self.scale, mode, self.distribution, self.seed, self.input_axes, self.output_axes),
            corrected=self._corrected,
            repeat=self._repeat,
        )

    def __call__(self, shape: Shape, dtype: DType = None) -> Array:
        """Values for a weight."""
        fan_in, fan_out = compute_fans(shape, self.input_axes, self.output_axes, self.fan)
        n = {"fan_in": fan_in, "fan_out": fan_out, "fan_avg": (fan_in + fan_out) / 2}[self.mode]
        variance = self.scale / max(1.0, n)
        if self.distribution == "uniform":
            values = math.sqrt(3 * variance) * (2 * self._uniform(shape, dtype) - 1)
        elif self.distribution == "untruncated_normal":
            values = math.sqrt(variance) * self._normal(shape, dtype)
        else:
            widened = _TRUNCATED_STDDEV if self._corrected else 1.0
            values = math.sqrt(variance) / widened * self._truncated(shape, dtype)
        return np.asarray(values).astype(_dtype(dtype), copy=False)


class _Scaled(VarianceScaling):
    """A named case of :class:`VarianceScaling`; its scale, mode and distribution are fixed."""

    _case: tuple[float, str, str]

    def __init__(
        self,
        seed: Any = None,
        input_axes: Sequence[int] | None = None,
        output_axes: Sequence[int] | None = None,
        *,
        fan: str = "keras",
        corrected: bool = True,
        repeat: bool | None = True,
    ) -> None:
        super().__init__(
            *self._case, seed, input_axes, output_axes, fan=fan, corrected=corrected, repeat=repeat
        )


class GlorotUniform(_Scaled):
    """Uniform with limits ``sqrt(6 / (fan_in + fan_out))``. Glorot and Bengio, AISTATS 2010.

    Parameters
    ----------
    seed, input_axes, output_axes, fan, corrected, repeat
        See :class:`VarianceScaling`.

    Examples
    --------
    >>> bool(abs(GlorotUniform(seed=1)((3, 3, 4, 5))).max() <= (6 / (9 * (4 + 5))) ** 0.5)
    True
    """

    _case = (1.0, "fan_avg", "uniform")


class GlorotNormal(_Scaled):
    """Truncated normal, ``stddev = sqrt(2 / (fan_in + fan_out))``. Glorot and Bengio, AISTATS 2010.

    Parameters
    ----------
    seed, input_axes, output_axes, fan, corrected, repeat
        See :class:`VarianceScaling`.

    Examples
    --------
    >>> GlorotNormal(seed=1)((3, 3, 4, 5)).shape
    (3, 3, 4, 5)
    """

    _case = (1.0, "fan_avg", "truncated_normal")


class HeUniform(_Scaled):
    """Uniform with limits ``sqrt(6 / fan_in)``. He et al., arXiv 1502.01852.

    Parameters
    ----------
    seed, input_axes, output_axes, fan, corrected, repeat
        See :class:`VarianceScaling`.

    Examples
    --------
    >>> bool(abs(HeUniform(seed=1)((3, 3, 4, 5))).max() <= (6 / (9 * 4)) ** 0.5)
    True
    """

    _case = (2.0, "fan_in", "uniform")


class HeNormal(_Scaled):
    """Truncated normal, ``stddev = sqrt(2 / fan_in)``. He et al., arXiv 1502.01852.

    Parameters
    ----------
    seed, input_axes, output_axes, fan, corrected, repeat
        See :class:`VarianceScaling`.

    Examples
    --------
    >>> HeNormal(seed=1)((3, 3, 4, 5)).shape
    (3, 3, 4, 5)
    """

    _case = (2.0, "fan_in", "truncated_normal")


class LecunUniform(_Scaled):
    """Uniform with limits ``sqrt(3 / fan_in)``. Klambauer et al., arXiv 1706.02515.

    Parameters
    ----------
    seed, input_axes, output_axes, fan, corrected, repeat
        See :class:`VarianceScaling`.

    Examples
    --------
    >>> bool(abs(LecunUniform(seed=1)((3, 3, 4, 5))).max() <= (3 / (9 * 4)) ** 0.5)
    True
    """

    _case = (1.0, "fan_in", "uniform")


class LecunNormal(_Scaled):
    """Truncated normal, ``stddev = sqrt(1 / fan_in)``. Klambauer et al., arXiv 1706.02515.

    Parameters
    ----------
    seed, input_axes, output_axes, fan, corrected, repeat
        See :class:`VarianceScaling`.

    Examples
    --------
    >>> LecunNormal(seed=1)((3, 3, 4, 5)).shape
    (3, 3, 4, 5)
    """

    _case = (1.0, "fan_in", "truncated_normal")


class Orthogonal(RandomInitializer):
    """A random matrix with orthonormal columns (rows, if there are more columns than rows).

    A weight of rank above 2 is that matrix of shape ``(prod(shape[:-1]), shape[-1])``, reshaped. From
    the QR decomposition of normal random numbers. Saxe et al., arXiv 1312.6120.

    Parameters
    ----------
    gain : float, optional
        Factor.
    seed : int, optional
    repeat : bool or None, optional
        See :class:`RandomInitializer`.

    Examples
    --------
    >>> w = Orthogonal(seed=1)((3, 3, 4, 5)).reshape(-1, 5)
    >>> (w.T @ w).round(3).diagonal()
    array([1., 1., 1., 1., 1.], dtype=float32)
    """

    def __init__(self, gain: float = 1.0, seed: Any = None, *, repeat: bool | None = True) -> None:
        super().__init__(seed, repeat=repeat)
        self.gain = gain

    def __call__(self, shape: Shape, dtype: DType = None) -> Array:
        """Values for a weight."""
        if len(shape) < 2:
            raise ValueError(
                "Orthogonal: the tensor to initialize must be at least two-dimensional. "
                f"Got shape={tuple(shape)} of rank {len(shape)}."
            )
        rows, columns = math.prod(shape[:-1]), int(shape[-1])
        q, r = np.linalg.qr(self._normal((max(rows, columns), min(rows, columns)), dtype))
        # With the signs of the diagonal every orthogonal matrix is equally likely.
        q = q * np.where(np.diagonal(r) < 0, -1, 1).astype(q.dtype)
        matrix = q if rows >= columns else q.T
        return np.ascontiguousarray(self.gain * matrix).reshape(shape).astype(_dtype(dtype), copy=False)


class Values(Initializer):
    """An array given as an initializer (Keras 3)."""

    def __init__(self, value: Array) -> None:
        self.value = value

    def __call__(self, shape: Shape, dtype: DType = None) -> Array:
        if tuple(shape) != self.value.shape:
            raise ValueError(
                f"Expected shape to be {self.value.shape}, that of the array given as initializer. "
                f"Got shape={tuple(shape)}."
            )
        return self.value.astype(_dtype(dtype))

    def get_config(self) -> dict[str, Any]:
        raise ValueError("An array as initializer has no configuration; use Constant(array).")
