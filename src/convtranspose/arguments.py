"""The one validator: every check of a public argument stands here, with its message.

Rule of this file: a message states the rule with the axis and the two numbers, then what arrived,
then the way out where there is one. Nothing is allocated before all checks have passed.
"""

from __future__ import annotations

import math
import operator
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import numpy as np

from convtranspose import config
from convtranspose import geometry as geo
from convtranspose.geometry import Geometry, Padding

__all__ = [
    "MAX_ELEMENTS",
    "Options",
    "Problem",
    "adjoint_problem",
    "algorithm",
    "array",
    "array_of",
    "bias_vector",
    "compute_dtype",
    "data_format",
    "gradient_problem",
    "integers",
    "machine_memory",
    "options",
    "output_array",
    "padding_rule",
    "problem",
    "shape",
    "threads_count",
]

MAX_ELEMENTS = 2**46
"""Arrays of more elements than this are refused: sizes and byte offsets stay far below 2**63."""

MAX_STEP = 2**31
"""Strides and dilations stay below this."""

MAX_RANK = 3
_FLOATS = "float32, float64, float16 or ml_dtypes.bfloat16"
_COMPUTED_IN = {"float32": "float32", "float64": "float64", "float16": "float32", "bfloat16": "float32"}
_LAYOUTS = {
    "channels_last": {1: "(n, w, c)", 2: "(n, h, w, c)", 3: "(n, d, h, w, c)"},
    "channels_first": {1: "(n, c, w)", 2: "(n, c, h, w)", 3: "(n, c, d, h, w)"},
}
_KERNELS = {
    1: "(kw, c_out // groups, c_in)",
    2: "(kh, kw, c_out // groups, c_in)",
    3: "(kd, kh, kw, c_out // groups, c_in)",
}


def _power(limit: int) -> str:
    return f"2**{limit.bit_length() - 1}"


# Bytes; vectors of this size are the widest.
_CACHE_LINE = 64
_TUPLE = "an int or a tuple of ints"


def _integer(value: Any, name: str, given: Any, kind: str = _TUPLE) -> int:
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} must be {kind}, not a bool. Got {name}={given!r}.")
    try:
        return operator.index(value)
    except TypeError:
        raise TypeError(
            f"{name} must be {kind}, but {value!r} is a {type(value).__name__}. Got {name}={given!r}."
        ) from None


def integers(value: Any, rank: int, name: str, *, minimum: int, limit: int = MAX_ELEMENTS) -> tuple[int, ...]:
    """One int per axis from an int or a sequence of ``rank`` ints, at least ``minimum`` and below ``limit``.

    Raises
    ------
    TypeError
        If something is not an integer.
    ValueError
        If the count is not ``rank`` or a number is out of range.

    Examples
    --------
    >>> integers(2, 3, "strides", minimum=1)
    (2, 2, 2)
    """
    if isinstance(value, (str, bytes)) or (isinstance(value, np.ndarray) and value.ndim > 1):
        raise TypeError(f"{name} must be an int or a tuple of ints. Got {name}={value!r}.")
    if isinstance(value, Sequence) or (isinstance(value, np.ndarray) and value.ndim == 1):
        numbers = tuple(_integer(v, name, value) for v in value)
        if len(numbers) != rank:
            raise ValueError(
                f"{name} must be one int or {rank} of them, one per spatial axis, "
                f"but it has {len(numbers)}. Got {name}={value!r}."
            )
    else:
        numbers = (_integer(value, name, value),) * rank
    for axis, number in enumerate(numbers):
        if number < minimum:
            raise ValueError(
                f"{name} must be at least {minimum} on every axis, but on axis {axis} "
                f"it is {number}. Got {name}={value!r}."
            )
        if number >= limit:
            raise ValueError(
                f"{name} must be below {_power(limit)} on every axis, but on axis {axis} it is {number}."
            )
    return numbers


def data_format(value: Any) -> str:
    """``"channels_last"`` or ``"channels_first"``; ``None`` asks ``config.image_data_format``."""
    if value is None:
        return config.image_data_format()
    if isinstance(value, str) and value.lower() in _LAYOUTS:
        return value.lower()
    raise ValueError(f"data_format must be 'channels_last' or 'channels_first'. Got {value!r}.")


def padding_rule(value: Any, rank: int) -> Padding:
    """``"valid"``, ``"same"``, or one crop ``(lo, hi)`` per axis."""
    if isinstance(value, str):
        if value.lower() in ("valid", "same"):
            return value.lower()
    elif isinstance(value, np.ndarray) and value.ndim == 2:
        return padding_rule(tuple(map(tuple, value.tolist())), rank)
    elif isinstance(value, Sequence) and len(value) == rank:
        pairs = []
        for pair in value:
            if isinstance(pair, (str, bytes)) or not isinstance(pair, Sequence) or len(pair) != 2:
                break
            lo, hi = (_integer(n, "padding", value, "a word or crops that are ints") for n in pair)
            pairs.append((lo, hi))
        else:
            for lo, hi in pairs:
                if abs(lo) >= MAX_ELEMENTS or abs(hi) >= MAX_ELEMENTS:
                    raise ValueError(f"padding must be below 2**46 on every axis. Got {value!r}.")
            return tuple(pairs)
    raise ValueError(
        f"padding must be 'valid', 'same' or {rank} crops ((lo, hi), ...), one per spatial axis. "
        f"Got padding={value!r}."
    )


def _output_padding(value: Any, strides: tuple[int, ...]) -> tuple[int | None, ...]:
    rank = len(strides)
    if value is None:
        return (None,) * rank
    numbers = integers(value, rank, "output_padding", minimum=0)
    for axis, (op, s) in enumerate(zip(numbers, strides, strict=True)):
        if op >= s:
            raise ValueError(
                f"output_padding must be smaller than the stride on every axis, but on axis {axis} "
                f"it is {op} with stride {s}. Got output_padding={value!r}, strides={strides}. "
                f"To add more at the end, crop by a negative number: padding=((lo, -{op}), ...)."
            )
    return numbers


@lru_cache(maxsize=64)  # NumPy makes the name of a type anew at every question
def _computed_in(dtype: np.dtype[Any]) -> np.dtype[Any] | None:
    found = _COMPUTED_IN.get(dtype.name)
    return None if found is None else np.dtype(found)


def compute_dtype(dtype: np.dtype[Any], name: str) -> np.dtype[Any]:
    """Type in which an array of ``dtype`` is computed: float32, or float64 for float64."""
    found = _computed_in(dtype)
    if found is None:
        raise TypeError(f"{name} must be {_FLOATS}, but it is {dtype}. Convert it: {name}.astype('float32').")
    return found


def array(value: Any, name: str) -> np.ndarray[Any, np.dtype[Any]]:
    """``value`` as a native-endian floating-point array; lists of numbers become float32."""
    if not isinstance(value, np.ndarray):
        given, numbers = type(value).__name__, isinstance(value, (list, tuple, float, int, np.generic))
        try:
            value = np.asarray(value)
        except ValueError as error:  # lists of different lengths
            raise ValueError(f"{name} must be a regular array of numbers: {error}") from None
        if value.dtype.kind not in "fiubcV":  # V: bfloat16
            raise TypeError(f"{name} must be an array of {_FLOATS}. Got {given}.")
        if numbers and value.dtype.kind in "fiub":
            value = value.astype(np.float32)
    compute_dtype(value.dtype, name)
    made: np.ndarray[Any, np.dtype[Any]] = value
    return made if made.dtype.isnative else made.astype(made.dtype.newbyteorder("="))


def array_of(value: Any, name: str, dtype: np.dtype[Any], owner: str) -> np.ndarray[Any, np.dtype[Any]]:
    """``value`` as an array of the type that the argument ``owner`` has."""
    if isinstance(value, np.ndarray) and value.dtype == dtype:  # which has been through `array`
        return value
    made = array(value, name)
    if made.dtype != dtype:
        raise TypeError(
            f"{name} and {owner} must have the same type, but {name} is {made.dtype} and {owner} is "
            f"{dtype}. Convert one: {name}.astype('{dtype}')."
        )
    return made


def algorithm(value: Any) -> str:
    """``"auto"``, ``"direct"`` or ``"winograd"``."""
    if isinstance(value, str) and value in ("auto", "direct", "winograd"):
        return value
    raise ValueError(f"algorithm must be 'auto', 'direct' or 'winograd'. Got {value!r}.")


def shape(value: Any, name: str) -> tuple[int, ...]:
    """A shape as a tuple of ints that are not negative."""
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        raise TypeError(f"{name} must be a tuple of ints. Got {name}={value!r}.")
    sizes = tuple(_integer(n, name, value, "a tuple of ints") for n in value)
    if any(n < 0 for n in sizes):
        raise ValueError(f"{name} must have no negative size. Got {name}={sizes}.")
    return sizes


def threads_count(value: Any) -> int:
    """A thread count; 0 means the default (environment, then CPU affinity)."""
    if value is None:
        return 0
    count = value if type(value) is int else _integer(value, "threads", value, "an int or None")
    if not 1 <= count <= 1024:
        raise ValueError(f"threads must be between 1 and 1024, or None for the default. Got {count}.")
    return count


@dataclass(frozen=True, slots=True)
class Options:
    """The arguments of a call that do not depend on the input, checked and normalised.

    Made by :func:`options`.
    """

    rank: int
    kernel_shape: tuple[int, ...]  # (*k, c_out // groups, c_in)
    strides: tuple[int, ...]
    padding: Padding
    output_padding: tuple[int | None, ...]
    data_format: str
    dilation_rate: tuple[int, ...]
    groups: int

    @property
    def kernel_sizes(self) -> tuple[int, ...]:
        """Kernel taps per axis."""
        return self.kernel_shape[:-2]

    @property
    def c_in(self) -> int:
        """Input channels."""
        return self.kernel_shape[-1]

    @property
    def c_out(self) -> int:
        """Output channels."""
        return self.kernel_shape[-2] * self.groups


@dataclass(frozen=True, slots=True)
class Problem:
    """Options together with the sizes of one input: everything but the data."""

    options: Options
    batch: int
    geometry: Geometry
    input_shape: tuple[int, ...] = field(init=False, repr=False, compare=False)  # in the data format
    output_shape: tuple[int, ...] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        g, opts = self.geometry, self.options
        object.__setattr__(self, "input_shape", self._shape(g.input_sizes, opts.c_in))
        object.__setattr__(self, "output_shape", self._shape(g.output_sizes, opts.c_out))

    @property
    def multiply_adds(self) -> int:
        """Multiplications of the definition, before the crop."""
        total = self.batch * self.options.c_in * self.options.c_out // self.options.groups
        for axis in self.geometry:
            total *= axis.i * axis.k
        return total

    def _shape(self, sizes: tuple[int, ...], channels: int) -> tuple[int, ...]:
        if self.options.data_format == "channels_last":
            return (self.batch, *sizes, channels)
        return (self.batch, channels, *sizes)


def options(
    kernel_shape: tuple[int, ...],
    strides: Any = 1,
    padding: Any = "valid",
    output_padding: Any = None,
    data_format: Any = None,
    dilation_rate: Any = 1,
    groups: Any = 1,
) -> Options:
    """Check everything that does not depend on the input.

    >>> options((3, 3, 16, 8), 2, "same").strides
    (2, 2)
    """
    # The default may change between calls, so it must not hide behind the cached answer for None.
    layout = config.image_data_format() if data_format is None else data_format
    # To a cache (2.0, 2.0) is (2, 2) and True is 1; spelled out they differ.
    spelled = repr((strides, padding, output_padding, dilation_rate, groups))
    try:
        # The same layer asks the same question at every call; its answer is immutable.
        return _options(
            kernel_shape, strides, padding, output_padding, layout, dilation_rate, groups, spelled
        )
    except TypeError as error:
        if "unhashable" not in str(error):
            raise
    return _options.__wrapped__(
        kernel_shape, strides, padding, output_padding, layout, dilation_rate, groups, spelled
    )


@lru_cache(maxsize=256)
def _options(
    kernel_shape: tuple[int, ...],
    strides: Any,
    padding: Any,
    output_padding: Any,
    layout: Any,
    dilation_rate: Any,
    groups: Any,
    spelled: str,
) -> Options:
    rank = len(kernel_shape) - 2
    if not 1 <= rank <= MAX_RANK:
        raise ValueError(
            f"kernel must have 3, 4 or 5 axes, (*kernel_size, c_out // groups, c_in), for 1, 2 or 3 "
            f"spatial axes, but it has {len(kernel_shape)}. Got kernel of shape {kernel_shape}."
        )
    for axis, k in enumerate(kernel_shape[:-2]):
        if k < 1:
            raise ValueError(
                f"kernel must have at least one tap on every axis, but on axis {axis} it has {k}. "
                f"Got kernel of shape {kernel_shape}."
            )
    if min(kernel_shape[-2:]) < 1:
        raise ValueError(
            f"kernel must have at least one channel on both sides. "
            f"Got kernel {_KERNELS[rank]} = {kernel_shape}."
        )
    g = _integer(groups, "groups", groups, "an int")
    if g < 1 or kernel_shape[-1] % g:
        raise ValueError(
            f"groups must divide the input channels, but {kernel_shape[-1]} channels do not split "
            f"into {g} groups. Got kernel {_KERNELS[rank]} = {kernel_shape}."
        )
    s = integers(strides, rank, "strides", minimum=1, limit=MAX_STEP)
    checked = Options(
        rank=rank,
        kernel_shape=kernel_shape,
        strides=s,
        padding=padding_rule(padding, rank),
        output_padding=_output_padding(output_padding, s),
        data_format=data_format(layout),
        dilation_rate=integers(dilation_rate, rank, "dilation_rate", minimum=1, limit=MAX_STEP),
        groups=g,
    )
    for axis, (k, d) in enumerate(zip(checked.kernel_sizes, checked.dilation_rate, strict=True)):
        if geo.effective_kernel(k, d) >= MAX_ELEMENTS:
            raise ValueError(
                f"the dilated kernel must be shorter than 2**46, but on axis {axis} "
                f"{k} taps with dilation {d} reach beyond it."
            )
    return checked


def _split(shape: tuple[int, ...], layout: str) -> tuple[int, tuple[int, ...], int]:
    if layout == "channels_last":
        return shape[0], shape[1:-1], shape[-1]
    return shape[0], shape[2:], shape[1]


def _check_rank(name: str, shape: tuple[int, ...], opts: Options) -> None:
    if len(shape) != opts.rank + 2:
        raise ValueError(
            f"{name} must have {opts.rank + 2} axes {_LAYOUTS[opts.data_format][opts.rank]} for a "
            f"kernel of {opts.rank + 2} axes, but it has {len(shape)}. Got {name} of shape "
            f"{shape}, kernel {_KERNELS[opts.rank]} = {opts.kernel_shape}."
        )


def _check_channels(name: str, shape: tuple[int, ...], opts: Options, channels: int, wanted: int) -> None:
    if channels != wanted:
        kind = "output" if name == "outputs" or wanted != opts.c_in else "input"
        raise ValueError(
            f"kernel expects {wanted} {kind} channels, but {name} has {channels}. Got {name} "
            f"{_LAYOUTS[opts.data_format][opts.rank]} = {shape} with data_format="
            f"{opts.data_format!r}, kernel {_KERNELS[opts.rank]} = {opts.kernel_shape}, "
            f"groups={opts.groups}."
        )


def _check_sizes(name: str, shape: tuple[int, ...], sizes: tuple[int, ...]) -> None:
    for axis, size in enumerate(sizes):
        if size < 1:
            raise ValueError(
                f"{name} must have at least one sample on every spatial axis, but on axis {axis} "
                f"it has {size}. Got {name} of shape {shape}."
            )


def _check_total(what: str, shape: tuple[int, ...]) -> None:
    total = 1
    for size in shape:
        total *= max(size, 1)
    if total > MAX_ELEMENTS:
        raise ValueError(
            f"{what} would have {total} elements, more than the limit of 2**46. Its shape would be "
            f"{shape}. Work on pieces of it."
        )


def problem(opts: Options, input_shape: tuple[int, ...], name: str = "inputs") -> Problem:
    """Check an input shape against the options and fix all sizes.

    >>> problem(options((3, 3, 16, 8), 2, "same"), (1, 5, 7, 8)).output_shape
    (1, 10, 14, 16)
    """
    return _problem(opts, input_shape, name)


@lru_cache(maxsize=256)  # a network asks the same questions at every call
def _problem(opts: Options, input_shape: tuple[int, ...], name: str) -> Problem:
    _check_rank(name, input_shape, opts)
    batch, sizes, channels = _split(input_shape, opts.data_format)
    _check_channels(name, input_shape, opts, channels, opts.c_in)
    _check_sizes(name, input_shape, sizes)
    g = geo.geometry(
        sizes, opts.kernel_sizes, opts.strides, opts.padding, opts.output_padding, opts.dilation_rate
    )
    for axis, a in enumerate(g):
        if a.o < 0:
            raise ValueError(
                f"padding must not crop more than the full output, but on axis {axis} it crops "
                f"{a.lo} + {a.hi} of {a.full} samples. Got padding={opts.padding!r}, "
                f"{name} of shape {input_shape}."
            )
    checked = Problem(opts, batch, g)
    _check_total("the output", checked.output_shape)
    return checked


def adjoint_problem(opts: Options, output_shape: tuple[int, ...], name: str = "inputs") -> Problem:
    """Fix all sizes from the shape of the *output* of the transposed convolution."""
    _check_rank(name, output_shape, opts)
    batch, sizes, channels = _split(output_shape, opts.data_format)
    _check_channels(name, output_shape, opts, channels, opts.c_out)
    g = geo.adjoint_geometry(
        sizes, opts.kernel_sizes, opts.strides, opts.padding, opts.output_padding, opts.dilation_rate
    )
    if isinstance(g, int):
        axis = geo.geometry(
            (1,) * opts.rank,
            opts.kernel_sizes,
            opts.strides,
            opts.padding,
            opts.output_padding,
            opts.dilation_rate,
        ).axes[g]
        below = axis.o + (sizes[g] - axis.o) // axis.s * axis.s
        legal = [length for length in (below, below + axis.s) if length >= axis.o]
        raise ValueError(
            f"{name} must have a length that conv_transpose gives, {axis.o} + a multiple of the "
            f"stride {axis.s}, but on axis {g} it has {sizes[g]}. Nearest legal: "
            f"{' or '.join(map(str, legal)) or axis.o}. Got {name} of shape {output_shape}, "
            f"strides={opts.strides}, padding={opts.padding!r}."
        )
    checked = Problem(opts, batch, g)
    _check_total("the result", checked.input_shape)
    return checked


def gradient_problem(
    input_shape: tuple[int, ...], output_shape: tuple[int, ...], kernel_size: Any, **given: Any
) -> Problem:
    """Fix all sizes from an input, an output and the size of the kernel between them."""
    rank = len(input_shape) - 2
    if not 1 <= rank <= MAX_RANK or len(output_shape) != rank + 2:
        raise ValueError(
            f"inputs and outputs must both have 3, 4 or 5 axes. Got inputs of shape {input_shape}, "
            f"outputs of shape {output_shape}."
        )
    layout = data_format(given.get("data_format"))
    groups = _integer(given.get("groups", 1), "groups", given.get("groups", 1), "an int")
    c_in, c_out = _split(input_shape, layout)[2], _split(output_shape, layout)[2]
    if groups < 1 or c_out % groups:
        raise ValueError(
            f"groups must divide the output channels, but {c_out} channels do not split into "
            f"{groups} groups. Got outputs of shape {output_shape}."
        )
    k = integers(kernel_size, rank, "kernel_size", minimum=1)
    checked = problem(options((*k, c_out // groups, c_in), **given), input_shape)
    if checked.output_shape != output_shape:
        raise ValueError(
            f"outputs must have the shape {checked.output_shape} that conv_transpose gives for inputs "
            f"of shape {input_shape}, but it has {output_shape}. Got kernel_size={k}, "
            f"strides={checked.options.strides}, padding={checked.options.padding!r}."
        )
    _check_total("the kernel", checked.options.kernel_shape)
    return checked


def machine_memory() -> int:
    """Bytes of memory of this machine, or of the container; without a known limit a huge number."""
    found = [2**62]
    if hasattr(os, "sysconf"):  # absent on Windows
        found.append(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            with open(path, encoding="ascii") as file:
                found.append(int(file.read()))
        except (OSError, ValueError):  # no such file, or the word "max"
            pass
    return min(n for n in found if n > 0)


def _too_large(shape: tuple[int, ...], dtype: np.dtype[Any], size: int) -> str:
    return (
        f"the output of shape {shape} and type {dtype} needs {size / 2**30:.1f} GiB, more than this "
        f"machine gives. Work on pieces of it."
    )


def _overlaps_itself(a: np.ndarray[Any, np.dtype[Any]]) -> bool:
    """Whether elements may share memory. Slices, transposes and reversals of ordinary arrays never do."""
    end = a.itemsize
    for stride, n in sorted((abs(stride), n) for stride, n in zip(a.strides, a.shape, strict=True) if n > 1):
        if stride < end:
            return a.size > 0
        end += stride * (n - 1)
    return False


def _shares_elements(a: np.ndarray[Any, np.dtype[Any]], b: np.ndarray[Any, np.dtype[Any]]) -> bool:
    steps: Any = 10_000  # NumPy's type hints know only its two special values
    try:
        return bool(np.shares_memory(a, b, max_work=steps))
    except RuntimeError:  # TooHardError: better a needless refusal than a wrong result
        return True


def _empty(shape: tuple[int, ...], dtype: np.dtype[Any], size: int) -> np.ndarray[Any, np.dtype[Any]]:
    """A new array; a large one begins with a cache line, as stores that go around the caches need it."""
    if size < 2**20:
        return np.empty(shape, dtype)
    memory = np.empty(size + _CACHE_LINE, np.uint8)
    start = -memory.ctypes.data % _CACHE_LINE
    return memory[start : start + size].view(dtype).reshape(shape)


def output_array(
    out: Any,
    shape: tuple[int, ...],
    dtype: np.dtype[Any],
    inputs: Sequence[np.ndarray[Any, np.dtype[Any]]],
) -> np.ndarray[Any, np.dtype[Any]]:
    """``out`` after its checks, or a new array where it is ``None``."""
    if out is None:
        size = math.prod(shape) * dtype.itemsize
        # Linux hands out memory that it does not have and ends the process when it is touched.
        if size > 2**30 and size > machine_memory():
            raise MemoryError(_too_large(shape, dtype, size))
        try:
            return _empty(shape, dtype, size)
        except (MemoryError, ValueError):
            raise MemoryError(_too_large(shape, dtype, size)) from None
    if not isinstance(out, np.ndarray) or out.shape != shape or out.dtype != dtype:
        got = f"{out.dtype} array of shape {out.shape}" if isinstance(out, np.ndarray) else type(out).__name__
        raise ValueError(f"out must be a {dtype} array of shape {shape}. Got {got}.")
    flags = out.flags
    if not flags.writeable:
        raise ValueError("out must be writeable, but it is read-only.")
    if not flags.c_contiguous and _overlaps_itself(out):
        raise ValueError(
            f"out must not overlap with itself: some of its elements share memory. "
            f"Got out of shape {out.shape} with strides {out.strides} in bytes."
        )
    owned = flags.owndata
    for x in inputs:
        if owned and x is not out and x.flags.owndata:  # two arrays, each with memory of its own
            continue
        if np.may_share_memory(out, x) and _shares_elements(out, x):
            raise ValueError("out must not share memory with inputs, kernel or bias. Give a separate array.")
    return out


def bias_vector(bias: Any, c_out: int, dtype: np.dtype[Any]) -> np.ndarray[Any, np.dtype[Any]] | None:
    """A copy of ``bias`` as a contiguous vector of the computing type, or ``None``."""
    if bias is None:
        return None
    vector = array(bias, "bias")
    if vector.shape != (c_out,):
        raise ValueError(
            f"bias must have the shape ({c_out},), one number per output channel. Got {vector.shape}."
        )
    return np.array(vector, dtype)  # a plan keeps its own
