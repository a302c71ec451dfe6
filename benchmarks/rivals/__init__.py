"""The programs compared: one file each, all of the same outline.

``FORMATS``
    Data formats to try, ``"channels_last"`` and ``"channels_first"``.
``OPERATIONS``
    What of ``problem.OPERATIONS`` it takes part in.
``setup(threads)``
    Import the program, limit its threads, return its version. Runs once, in a process of its own.
``prepare(problem, operation, layout, w)``
    Everything before the first call, with the weights ``w`` as constants: a :class:`Call`. Raises
    :class:`Unsupported` with the reason where the program cannot do it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np


class Unsupported(Exception):  # noqa: N818 - an answer, not an error
    """The program has no such operation; the text says what is missing."""


@dataclass
class Call:
    """A prepared call. Only ``run`` is timed."""

    layout: str
    """Layout of the arrays that ``bind`` takes and ``fetch`` gives."""
    bind: Callable[..., Any]
    """From NumPy arrays to the program's own."""
    run: Callable[[Any], Any]
    """The call itself; returns when the result is complete."""
    fetch: Callable[[Any], np.ndarray]
    """From a result to NumPy."""
    workspace: int | None = None
    """Scratch memory in bytes as the program itself states it."""


RIVALS = ("torch", "tensorflow", "jax", "onnxruntime", "openvino", "litert")
OURS = ("plan", "oneshot", "numpy")
MODULES = {
    "torch": "torch_",
    "tensorflow": "tensorflow_",
    "jax": "jax_",
    "onnxruntime": "onnxruntime_",
    "openvino": "openvino_",
    "litert": "litert_",
    "plan": "own_plan",
    "oneshot": "own_oneshot",
    "numpy": "own_numpy",
}
"""File of each: a trailing line keeps a file from hiding the program it is named after."""
