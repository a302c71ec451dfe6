"""Lengths, crops and phases of a transposed convolution: pure integers, no arrays.

Rule of this file: nothing else in the package computes a size. The operation, the layers, the
file readers, the plots and the command line all ask here.

Notation per axis follows Dumoulin and Visin, *A guide to convolution arithmetic for deep
learning* (arXiv:1603.07285): ``i`` input length, ``k`` kernel, ``s`` stride, ``d`` dilation, ``o``
output length. One idea carries everything: the **full output** has ``(i - 1) * s + (k - 1) * d + 1``
samples, and every padding rule is a **crop** ``(lo, hi)`` of it; a negative crop adds zeros.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

__all__ = [
    "Axis",
    "Geometry",
    "Padding",
    "Phase",
    "Tap",
    "adjoint_axis",
    "adjoint_geometry",
    "crop",
    "effective_kernel",
    "forward_convolution_axis",
    "full_length",
    "geometry",
    "output_length",
    "phases",
]

Padding = str | tuple[tuple[int, int], ...]
"""``"valid"``, ``"same"``, or one crop ``(lo, hi)`` per axis."""


def effective_kernel(k: int, d: int) -> int:
    """Length that a kernel of ``k`` taps covers with dilation ``d``: ``(k - 1) * d + 1``.

    >>> effective_kernel(3, 2)
    5
    """
    return (k - 1) * d + 1


def full_length(i: int, k: int, s: int, d: int) -> int:
    """Length of the full output, before the crop: ``(i - 1) * s + (k - 1) * d + 1``.

    >>> full_length(4, 3, 2, 1)
    9
    """
    return (i - 1) * s + effective_kernel(k, d)


def crop(
    i: int, k: int, s: int, d: int, padding: str | tuple[int, int], output_padding: int | None
) -> tuple[int, int]:
    """Samples cut from both ends of the full output; negative numbers add zeros.

    Parameters
    ----------
    i, k, s, d : int
        Input length, kernel, stride, dilation.
    padding : {"valid", "same"} or (int, int)
        Keras' rule, or the crop itself.
    output_padding : int or None
        Samples by which the end grows. ``None`` is not zero: it asks for Keras' default length.

    Returns
    -------
    (int, int)
        ``(lo, hi)``.

    Notes
    -----
    ``valid``: ``o = (i - 1) * s + max(ke, s)``, or ``(i - 1) * s + ke + op``; ``lo = 0``.
    ``same``: ``o = i * s``, or ``(i - 1) * s + ke % 2 + op``; with the total crop
    ``T = full - o``, ``lo = max(T, 0) // 2`` and the end loses the rest.
    Source: ``keras/src/backend/common/backend_utils.py`` of Keras 3, whose JAX backend is exact.

    Examples
    --------
    >>> crop(4, 3, 2, 1, "same", None)
    (0, 1)
    >>> crop(4, 3, 2, 1, "valid", 1)
    (0, -1)
    """
    ke = effective_kernel(k, d)
    if padding == "valid":
        return 0, -(max(s - ke, 0) if output_padding is None else output_padding)
    if padding == "same":
        kept = s if output_padding is None else ke % 2 + output_padding
        total = ke - kept
        lo = max(total, 0) // 2
        return lo, total - lo
    if isinstance(padding, str):
        raise ValueError(f"padding must be 'valid', 'same' or a pair. Got {padding!r}.")
    lo, hi = padding
    return lo, hi - (output_padding or 0)


def output_length(
    i: int,
    k: int,
    s: int = 1,
    d: int = 1,
    padding: str | tuple[int, int] = "valid",
    output_padding: int | None = None,
) -> int:
    """Length of the output after the crop.

    >>> output_length(4, 3, 2, padding="same")
    8
    """
    lo, hi = crop(i, k, s, d, padding, output_padding)
    return full_length(i, k, s, d) - lo - hi


@dataclass(frozen=True, slots=True)
class Tap:
    """One kernel index of a phase, and how far back in the input it reads.

    Attributes
    ----------
    index : int
        Which tap of the kernel.
    shift : int
        Output ``s * q + residue`` reads input ``q - shift``.
    """

    index: int
    shift: int


@dataclass(frozen=True, slots=True)
class Phase:
    """The outputs ``s * q + residue`` of one axis, in full coordinates, and the taps they get.

    Attributes
    ----------
    residue : int
        From 0 to ``s - 1``.
    taps : tuple of Tap
        At least one; their sum is the output.
    """

    residue: int
    taps: tuple[Tap, ...]


def phases(k: int, s: int, d: int) -> tuple[Phase, ...]:
    """Split an axis into phases, each an ordinary stride-1 convolution; at most ``s`` of them.

    Output ``o`` (full coordinates) receives tap ``t`` exactly when ``o - t * d`` is a multiple of
    ``s``. With ``o = s * q + r``, tap ``t`` of phase ``r = t * d mod s`` reads input
    ``q - (t * d - r) // s``. Residues that no tap meets are left out: zeros stand there.

    >>> phases(3, 2, 1)[0]
    Phase(residue=0, taps=(Tap(index=0, shift=0), Tap(index=2, shift=1)))
    >>> [phase.residue for phase in phases(2, 1000, 3)]
    [0, 3]
    """
    taps: dict[int, list[Tap]] = {}
    for t in range(k):
        shift, residue = divmod(t * d, s)
        taps.setdefault(residue, []).append(Tap(t, shift))
    return tuple(Phase(residue, tuple(taps[residue])) for residue in sorted(taps))


@dataclass(frozen=True, slots=True)
class Axis:
    """The arithmetic of one spatial axis.

    Parameters
    ----------
    i, k, s, d : int
        Input length, kernel, stride, dilation.
    lo, hi : int
        The crop of the full output; negative numbers add zeros.

    Attributes
    ----------
    o : int
        Length of the output.

    Examples
    --------
    >>> axis = Axis(i=4, k=3, s=2, d=1, lo=0, hi=1)
    >>> axis.full, axis.o
    (9, 8)
    """

    i: int
    k: int
    s: int
    d: int
    lo: int
    hi: int
    o: int = field(init=False, repr=False, compare=False)  # asked for several times by every call

    def __post_init__(self) -> None:
        object.__setattr__(self, "o", full_length(self.i, self.k, self.s, self.d) - self.lo - self.hi)

    @property
    def effective_kernel(self) -> int:
        """Samples that the dilated kernel covers."""
        return effective_kernel(self.k, self.d)

    @property
    def full(self) -> int:
        """Length of the full output."""
        return full_length(self.i, self.k, self.s, self.d)

    @property
    def reach(self) -> tuple[int, int]:
        """Inputs that the ``s`` outputs from ``s * q`` on need before input ``q`` and after it.

        >>> Axis(i=7, k=9, s=3, d=1, lo=3, hi=3).reach
        (1, 1)
        """
        before = (self.effective_kernel - 1 - self.lo) // self.s
        return max(before, 0), max(-(-self.lo // self.s), 0)

    def outputs(self, phase: Phase) -> tuple[int, int, int]:
        """Outputs of a phase inside the crop.

        Returns
        -------
        (int, int, int)
            ``first`` output index (cropped coordinates), its ``q``, and how many there are; they
            stand ``s`` apart.
        """
        q = -((phase.residue - self.lo) // self.s)  # the least q with s*q + r >= lo
        first = self.s * q + phase.residue - self.lo
        return first, q, max(0, -((first - self.o) // self.s))

    def valid(self, q: int, count: int, tap: Tap) -> tuple[int, int]:
        """Part ``[start, stop)`` of ``count`` positions from ``q`` for which ``tap`` meets input."""
        start = min(max(tap.shift - q, 0), count)
        return start, max(min(self.i + tap.shift - q, count), start)


@dataclass(frozen=True, slots=True)
class Geometry:
    """The arithmetic of all spatial axes.

    Examples
    --------
    >>> geometry((4, 4), (3, 3), (2, 2), "same").output_sizes
    (8, 8)
    """

    axes: tuple[Axis, ...]
    numbers: tuple[int, ...] = field(init=False, repr=False, compare=False)
    """``i, k, s, d, lo, o`` of one axis after the other, for the native module: one look-up per call."""

    def __post_init__(self) -> None:
        numbers = (n for a in self.axes for n in (a.i, a.k, a.s, a.d, a.lo, a.o))
        object.__setattr__(self, "numbers", tuple(numbers))

    def __iter__(self) -> Iterator[Axis]:
        return iter(self.axes)

    @property
    def rank(self) -> int:
        """Number of spatial axes."""
        return len(self.axes)

    @property
    def input_sizes(self) -> tuple[int, ...]:
        """Spatial sizes of the input."""
        return tuple(a.i for a in self.axes)

    @property
    def output_sizes(self) -> tuple[int, ...]:
        """Spatial sizes of the output."""
        return tuple(a.o for a in self.axes)

    @property
    def kernel_sizes(self) -> tuple[int, ...]:
        """Kernel taps per axis."""
        return tuple(a.k for a in self.axes)

    @property
    def strides(self) -> tuple[int, ...]:
        """Strides per axis."""
        return tuple(a.s for a in self.axes)

    @property
    def dilations(self) -> tuple[int, ...]:
        """Dilation rates per axis."""
        return tuple(a.d for a in self.axes)

    @property
    def crops(self) -> tuple[tuple[int, int], ...]:
        """The crop ``(lo, hi)`` per axis."""
        return tuple((a.lo, a.hi) for a in self.axes)


def _per_axis(padding: Padding, rank: int) -> Sequence[str | tuple[int, int]]:
    return [padding] * rank if isinstance(padding, str) else padding


def geometry(
    input_sizes: Sequence[int],
    kernel_sizes: Sequence[int],
    strides: Sequence[int],
    padding: Padding = "valid",
    output_padding: Sequence[int | None] | None = None,
    dilation_rate: Sequence[int] | None = None,
) -> Geometry:
    """Geometry of a call. All sequences have one number per spatial axis.

    >>> geometry((4, 5), (3, 2), (2, 3), "valid").crops
    ((0, 0), (0, -1))
    """
    rank = len(input_sizes)
    dilation = dilation_rate or (1,) * rank
    pads = _per_axis(padding, rank)
    extra = output_padding or (None,) * rank
    axes = []
    for i, k, s, d, p, op in zip(input_sizes, kernel_sizes, strides, dilation, pads, extra, strict=True):
        lo, hi = crop(i, k, s, d, p, op)
        axes.append(Axis(i, k, s, d, lo, hi))
    return Geometry(tuple(axes))


def adjoint_axis(
    o: int,
    k: int,
    s: int = 1,
    d: int = 1,
    padding: str | tuple[int, int] = "valid",
    output_padding: int | None = None,
) -> Axis | None:
    """The axis whose output has length ``o``; ``None`` where no input length gives it.

    The crop does not depend on the input length and every input sample adds ``s`` outputs, so at
    most one input length fits.

    >>> adjoint_axis(8, 3, 2, padding="same").i
    4
    """
    lo, hi = crop(1, k, s, d, padding, output_padding)
    steps, rest = divmod(o - (effective_kernel(k, d) - lo - hi), s)
    return None if rest or steps < 0 else Axis(steps + 1, k, s, d, lo, hi)


def adjoint_geometry(
    output_sizes: Sequence[int],
    kernel_sizes: Sequence[int],
    strides: Sequence[int],
    padding: Padding = "valid",
    output_padding: Sequence[int | None] | None = None,
    dilation_rate: Sequence[int] | None = None,
) -> Geometry | int:
    """Geometry of a call from the sizes of its *output*.

    Returns
    -------
    Geometry or int
        The geometry, or the number of the first axis on which no input size fits.

    Examples
    --------
    >>> adjoint_geometry((8,), (3,), (2,), "same").input_sizes
    (4,)
    >>> adjoint_geometry((9,), (3,), (2,), "same")
    0
    """
    rank = len(output_sizes)
    dilation = dilation_rate or (1,) * rank
    pads = _per_axis(padding, rank)
    extra = output_padding or (None,) * rank
    axes = []
    for n, (o, k, s, d, p, op) in enumerate(
        zip(output_sizes, kernel_sizes, strides, dilation, pads, extra, strict=True)
    ):
        axis = adjoint_axis(o, k, s, d, p, op)
        if axis is None:
            return n
        axes.append(axis)
    return Geometry(tuple(axes))


def forward_convolution_axis(o: int, k: int, s: int, d: int, padding: str) -> Axis:
    """The axis of which an ordinary convolution over ``o`` samples is the adjoint.

    An ordinary (forward) convolution drops the samples that do not fill a window; as a crop this
    is a negative ``hi``. ``same`` pads ``ceil(o / s)`` windows evenly, the odd one at the end;
    ``causal`` pads the same number at the beginning, so that no window looks ahead.

    >>> forward_convolution_axis(8, 3, 2, 1, "valid")
    Axis(i=3, k=3, s=2, d=1, lo=0, hi=-1)
    >>> forward_convolution_axis(8, 3, 2, 1, "same")
    Axis(i=4, k=3, s=2, d=1, lo=0, hi=1)
    >>> forward_convolution_axis(8, 3, 2, 1, "causal")
    Axis(i=4, k=3, s=2, d=1, lo=2, hi=-1)
    """
    ke = effective_kernel(k, d)
    if padding in ("same", "causal"):
        i = -(-o // s)
        total = (i - 1) * s + ke - o
        lo = ke - 1 if padding == "causal" else max(total, 0) // 2
        return Axis(i, k, s, d, lo, total - lo)
    i = (o - ke) // s + 1
    return Axis(i, k, s, d, 0, (i - 1) * s + ke - o)
