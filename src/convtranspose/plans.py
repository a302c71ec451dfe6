"""Plans: everything that can be decided before the data arrives.

A :class:`Plan` holds checked options and packed weights. Running it only touches data: a new input
*size* costs one small computation of lengths, never a new packing. The choice between the native
kernels and the NumPy path is made here, once per process.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from types import ModuleType
from typing import Any, Protocol, cast

import numpy as np

from convtranspose import _numpy_path, activations
from convtranspose import arguments as args
from convtranspose.geometry import Geometry

__all__ = ["Operator", "Plan", "kernel_gradient", "native_module", "operator"]

Array = np.ndarray[Any, np.dtype[Any]]

_PART = 2**18
"""Elements to which an activation is applied at once: its temporaries stay small, and in cache."""


class Operator(Protocol):
    """What the NumPy path and the native module both offer."""

    def run(self, x: Array, out: Array, geometry: Geometry, bias: Array | None, threads: int, /) -> None:
        """Compute ``out`` from ``x``."""

    def workspace_bytes(self, geometry: Geometry, batch: int, threads: int, /) -> int:
        """Scratch memory of a run."""

    def explain(self, geometry: Geometry, batch: int, /) -> str:
        """What runs and why."""


def _load_native() -> tuple[ModuleType | None, str]:
    if os.environ.get("CONVTRANSPOSE_NATIVE", "1") == "0":
        return None, "switched off by CONVTRANSPOSE_NATIVE=0"
    try:
        import convtranspose._core as _core  # says 'No module named ...' where it is absent
    except ImportError as error:
        return None, str(error)
    return _core, ""


native_module, native_absence = _load_native()
"""The compiled module, or ``None`` and the reason for its absence."""


def operator(
    kind: str,
    kernel: Array,
    strides: tuple[int, ...],
    dilations: tuple[int, ...],
    groups: int,
    layout: str,
    algorithm: str = "auto",
    once: bool = False,
) -> Operator:
    """A ``"forward"`` or ``"adjoint"`` operator, native where possible.

    It packs a copy of the kernel, unless it runs ``once``: then it may read the kernel as long as it lives.
    The native one of a half type takes inputs, and an output that is not float32, as their bits.
    """
    w, half = np.ascontiguousarray(kernel), ""
    make = _numpy_path.Operator if native_module is None else native_module.Operator
    if args.compute_dtype(w.dtype, "kernel") != w.dtype:
        if native_module is None:
            w = w.astype(np.float32)
        else:
            w, half = w.view(np.uint16), w.dtype.name
    return cast(Operator, make(kind, w, strides, dilations, groups, layout, algorithm, once, half))


def kernel_gradient(
    x: Array,
    y: Array,
    out: Array,
    geometry: Geometry,
    groups: int,
    layout: str,
    threads: int,
    algorithm: str = "auto",
) -> None:
    """Kernel gradient into ``out``, native where possible. All three arrays have one type."""
    if not x.size or not y.size:  # a sum over nothing
        out[...] = 0
        return
    given = geometry, groups, layout, threads
    compute = args.compute_dtype(x.dtype, "inputs")
    half = compute != x.dtype
    direct = out.flags.c_contiguous and not (half and native_module is None)
    target = out if direct else np.empty(out.shape, compute if native_module is None else out.dtype)
    if native_module is None:
        x, y = x.astype(compute, copy=False), y.astype(compute, copy=False)
        _numpy_path.kernel_gradient(x, y, target, *given)
    elif half:
        bits = (a.view(np.uint16) for a in (x, y, target))
        native_module.kernel_gradient(*bits, *given, algorithm, x.dtype.name)
    else:
        native_module.kernel_gradient(x, y, target, *given, algorithm)
    if target is not out:
        out[...] = target


class Plan:
    """A transposed convolution with its kernel checked and packed: run it at any input size.

    Made by :func:`convtranspose.plan`. Immutable; may be used by many threads at once.

    Parameters
    ----------
    kind : {"forward", "adjoint"}
        The transposed convolution, or its adjoint.
    kernel : ndarray, shape (*k, c_out // groups, c_in)
        The weights; a packed copy is kept.
    options : Options
        The checked arguments.
    bias, activation, algorithm
        As in :func:`convtranspose.conv_transpose`.
    known : Problem, optional
        Sizes that have been checked already.
    once : bool, default False
        The plan runs once and at once: weights may be read where they lie instead of being packed.

    Attributes
    ----------
    options : Options
        The checked arguments.
    dtype : dtype
        Type of inputs and outputs.

    Examples
    --------
    >>> import numpy as np, convtranspose
    >>> p = convtranspose.plan(np.ones((3, 3, 1, 1), "float32"), strides=2, padding="same")
    >>> p(np.ones((1, 2, 2, 1), "float32"))[0, :, :, 0]
    array([[1., 1., 2., 1.],
           [1., 1., 2., 1.],
           [2., 2., 4., 2.],
           [1., 1., 2., 1.]], dtype=float32)
    """

    __slots__ = (
        "_activation",
        "_apart",
        "_bias",
        "_compute",
        "_kind",
        "_operator",
        "_sizes",
        "dtype",
        "options",
    )

    def __init__(
        self,
        kind: str,
        kernel: Array,
        options: args.Options,
        bias: Any = None,
        activation: str | Callable[[Array], Array] | None = None,
        algorithm: str = "auto",
        known: args.Problem | None = None,
        once: bool = False,
    ) -> None:
        self.options = options
        self.dtype = kernel.dtype
        self._kind = kind
        self._compute = args.compute_dtype(kernel.dtype, "kernel")
        self._bias = args.bias_vector(bias, options.c_out, self._compute)
        own = self._activation = None if activation is None else activations.get(activation)
        # One that a user wrote might look across samples.
        self._apart = own is None or (
            type(own) is activations.Activation
            and own.module_name is not None
            and own.parameters.get("axis", -1) == -1
        )
        self._operator = operator(
            kind,
            kernel,
            options.strides,
            options.dilation_rate,
            options.groups,
            options.data_format,
            args.algorithm(algorithm),
            once,
        )
        self._sizes: dict[tuple[int, ...], args.Problem] = {}
        if known is not None:
            self._sizes[known.output_shape if kind == "adjoint" else known.input_shape] = known

    def problem(self, input_shape: tuple[int, ...]) -> args.Problem:
        """All sizes of a run on inputs of this shape, checked; remembered for the next call."""
        known = self._sizes.get(input_shape)
        if known is None:
            check = args.problem if self._kind == "forward" else args.adjoint_problem
            known = check(self.options, input_shape)
            if len(self._sizes) >= 256:  # lengths that change at every call must not pile up
                self._sizes.clear()
            self._sizes[input_shape] = known
        return known

    def output_shape(self, input_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Shape of the result for inputs of this shape."""
        known = self.problem(args.shape(input_shape, "input_shape"))
        return known.output_shape if self._kind == "forward" else known.input_shape

    def workspace_bytes(self, input_shape: tuple[int, ...], threads: int | None = None) -> int:
        """Scratch memory of a run in bytes, beside input, output and the packed weights."""
        known = self.problem(args.shape(input_shape, "input_shape"))
        return self._operator.workspace_bytes(known.geometry, known.batch, args.threads_count(threads))

    def explain(self, input_shape: tuple[int, ...]) -> str:
        """What runs for inputs of this shape, and why, in words."""
        known = self.problem(args.shape(input_shape, "input_shape"))
        return self._operator.explain(known.geometry, known.batch)

    def __call__(self, inputs: Any, *, out: Array | None = None, threads: int | None = None) -> Array:
        """Run the plan.

        Parameters
        ----------
        inputs : array_like, shape (n, *i, c_in) or (n, c_in, *i)
            In the plan's data format and type; any memory layout.
        out : ndarray, optional
            Where to write; must not share memory with the inputs.
        threads : int, optional
            Threads to use; ``None`` takes ``CONVTRANSPOSE_NUM_THREADS``, ``OMP_NUM_THREADS`` or
            the CPUs this process may use. The bits of the result do not depend on it.

        Returns
        -------
        ndarray, shape (n, *o, c_out) or (n, c_out, *o)
            ``out``, or a new array.
        """
        x = args.array_of(inputs, "inputs", self.dtype, "kernel")
        known = self.problem(x.shape)
        workers = args.threads_count(threads)
        shape = known.output_shape if self._kind == "forward" else known.input_shape
        result = args.output_array(out, shape, self.dtype, (x,) if out is not None else ())
        if not result.size:  # an empty batch leaves nothing to compute
            return result
        if self._compute == self.dtype:
            self._operator.run(x, result, known.geometry, self._bias, workers)
            self._activate(result)
            return result
        native = native_module is not None
        if native:  # NumPy has no other way to hand over bfloat16
            x = x.view(np.uint16)
        if native and self._activation is None:
            self._operator.run(x, result.view(np.uint16), known.geometry, self._bias, workers)
            return result
        images = max(1, _PART * len(result) // result.size) if self._apart else len(result)
        for n in range(0, len(result), images):
            part = slice(n, n + images)
            wide = np.empty(result[part].shape, self._compute)
            source = x[part] if native else x[part].astype(self._compute)
            self._operator.run(source, wide, known.geometry, self._bias, workers)
            self._activate(wide)
            result[part] = wide
        return result

    def _activate(self, outputs: Array) -> None:
        """Apply the activation in place, to a part at a time where samples do not look at each other."""
        act = self._activation
        if act is None:
            return
        if not (self._apart and outputs.flags.c_contiguous):
            outputs[...] = act(outputs)
            return
        rows = outputs.reshape(-1, outputs.shape[-1])
        step = max(1, _PART // rows.shape[1])
        for n in range(0, len(rows), step):
            part = rows[n : n + step]
            part[...] = act(part)
