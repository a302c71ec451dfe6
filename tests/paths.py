"""Run a piece of code on every path of this machine: NumPy, and each instruction set of ``_core``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from convtranspose import plans

PATHS: list[str] = ["numpy", *(plans.native_module.paths() if plans.native_module else [])]
"""All paths; only NumPy where the native module is absent or switched off."""


@contextmanager
def on(path: str) -> Iterator[None]:
    """Compute on one path; plans keep the path on which they were made."""
    native = plans.native_module
    before = native.active_path() if native else ""
    try:
        if path == "numpy":
            plans.native_module = None
        else:
            assert native is not None
            native.select_path(path)
        yield
    finally:
        plans.native_module = native
        if native is not None:
            native.select_path(before)
