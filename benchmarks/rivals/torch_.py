"""PyTorch: functional calls in inference mode, both memory formats.

torch has one padding per axis. Where the end is cropped by one sample more than the start, the
forward call computes that sample and drops it by a view, as Keras' torch backend does; backward
calls get the gradient with the zero that autograd would put there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from problem import Problem

from rivals import Call, Unsupported

FORMATS = ("channels_first", "channels_last")
OPERATIONS = ("forward", "adjoint", "kernel-gradient")


def setup(threads: int) -> str:
    import torch

    torch.set_num_threads(threads)
    torch.set_num_interop_threads(1)
    return torch.__version__


def _padding(problem: Problem) -> tuple[list[int], list[int], list[int]]:
    """``padding`` and ``output_padding`` of torch, and the samples that remain to be dropped."""
    paddings, extras, drops = [], [], []
    for axis in problem.geometry:
        extra = axis.lo - axis.hi
        if axis.lo < 0 or extra >= max(axis.s, axis.d):
            raise Unsupported("torch has no padding that gives this crop")
        paddings.append(axis.lo)
        extras.append(max(extra, 0))
        drops.append(max(-extra, 0))
    return paddings, extras, drops


def prepare(problem: Problem, operation: str, layout: str, w: np.ndarray) -> Call:
    import torch
    from torch.nn import functional

    rank = problem.rank
    memory = torch.contiguous_format
    if layout == "channels_last":
        if rank == 1:
            raise Unsupported("torch has no channels-last memory format in 1-D")
        memory = torch.channels_last if rank == 2 else torch.channels_last_3d
    paddings, extras, drops = _padding(problem)
    axes = tuple(range(rank))

    def tensor(a: np.ndarray) -> Any:
        return torch.from_numpy(a).contiguous(memory_format=memory)

    weight = tensor(np.ascontiguousarray(w.transpose(rank + 1, rank, *axes)))
    options = {"stride": problem.strides, "dilation": problem.dilation, "groups": problem.groups}
    kept = (..., *(slice(None, -n or None) for n in drops))
    grown = [n for drop in reversed(drops) for n in (0, drop)] if any(drops) else None

    def bind(*arrays: np.ndarray) -> Any:
        return tuple(tensor(a) for a in arrays)

    forward = getattr(functional, f"conv_transpose{rank}d")
    backward = getattr(functional, f"conv{rank}d")

    @torch.inference_mode()
    def run_forward(given: Any) -> Any:
        y = forward(*given, weight, padding=paddings, output_padding=extras, **options)
        return y[kept] if grown else y

    @torch.inference_mode()
    def run_adjoint(given: Any) -> Any:
        y = functional.pad(given[0], grown) if grown else given[0]
        return backward(y, weight, padding=paddings, **options)

    @torch.inference_mode()
    def run_gradient(given: Any) -> Any:
        x, y = given
        y = functional.pad(y, grown) if grown else y
        return torch.ops.aten.convolution_backward(
            y,
            x,
            weight,
            None,
            problem.strides,
            paddings,
            problem.dilation,
            True,
            extras,
            problem.groups,
            [False, True, False],
        )[1]

    if operation == "kernel-gradient":
        back = (*(n + 2 for n in axes), 1, 0)
        return Call("channels_first", bind, run_gradient, lambda g: g.numpy().transpose(back))
    run = run_forward if operation == "forward" else run_adjoint
    return Call("channels_first", bind, run, lambda y: y.numpy())
