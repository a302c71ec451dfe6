"""JAX: ``lax.conv_general_dilated`` with a dilated input, jitted; gradients are its transposes.

The kernel is flipped before, once: it is a constant. JAX has no option for its threads; the worker
keeps the process on as many processors.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from problem import Problem

from rivals import Call

FORMATS = ("channels_last", "channels_first")
OPERATIONS = ("forward", "adjoint", "kernel-gradient")


def setup(threads: int) -> str:
    import jax

    jax.config.update("jax_platforms", "cpu")
    jax.numpy.zeros(1).block_until_ready()
    return jax.__version__


def prepare(problem: Problem, operation: str, layout: str, w: np.ndarray) -> Call:
    import jax
    from jax import lax

    rank, groups = problem.rank, problem.groups
    letters = "DHW"[-rank:]
    data = f"N{letters}C" if layout == "channels_last" else f"NC{letters}"
    axes = tuple(range(rank))
    # (*k, c_out/g, g, c_in/g) -> flipped (*k, c_in/g, g, c_out/g): lax wants the inputs of one group only
    split = np.flip(w, axes).reshape(*w.shape[:-1], groups, -1)
    flipped = np.ascontiguousarray(split.transpose(*axes, rank + 2, rank + 1, rank))
    flipped = flipped.reshape(*w.shape[:-2], problem.c_in // groups, problem.c_out)
    pads = [(a.effective_kernel - 1 - a.lo, a.effective_kernel - 1 - a.hi) for a in problem.geometry]

    def forward(x: Any, kernel: Any) -> Any:
        return lax.conv_general_dilated(
            x,
            kernel,
            (1,) * rank,
            pads,
            lhs_dilation=problem.strides,
            rhs_dilation=problem.dilation,
            dimension_numbers=(data, f"{letters}IO", data),
            feature_group_count=groups,
        )

    weights = jax.numpy.asarray(flipped)

    def adjoint(y: Any) -> Any:
        shape = list(y.shape)
        channel = 1 if layout == "channels_first" else rank + 1
        shape[channel] = problem.c_in
        for n, a in enumerate(problem.geometry):
            at = n + (2 if layout == "channels_first" else 1)
            shape[at] = (y.shape[at] - a.o) // a.s + a.i
        x = jax.ShapeDtypeStruct(tuple(shape), y.dtype)
        return jax.linear_transpose(lambda x: forward(x, weights), x)(y)[0]

    def gradient(x: Any, y: Any) -> Any:
        kernel = jax.ShapeDtypeStruct(flipped.shape, x.dtype)
        return jax.linear_transpose(lambda kernel: forward(x, kernel), kernel)(y)[0]

    def unflip(g: Any) -> np.ndarray:
        g = np.asarray(g).reshape(*w.shape[:-2], problem.c_in // groups, groups, problem.c_out // groups)
        g = np.flip(g, axes).transpose(*axes, rank + 2, rank + 1, rank)
        return g.reshape(w.shape)

    def bind(*arrays: np.ndarray) -> Any:
        return tuple(jax.numpy.asarray(a).block_until_ready() for a in arrays)

    jitted = jax.jit(
        {"forward": lambda x: forward(x, weights), "adjoint": adjoint, "kernel-gradient": gradient}[operation]
    )
    fetch = unflip if operation == "kernel-gradient" else np.asarray
    return Call(layout, bind, lambda given: jitted(*given).block_until_ready(), fetch)
