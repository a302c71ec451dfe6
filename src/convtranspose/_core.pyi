"""Types of the compiled module."""

from typing import Any

import numpy as np

from convtranspose.geometry import Geometry

_Array = np.ndarray[Any, np.dtype[Any]]

class Operator:
    def __init__(
        self,
        kind: str,
        kernel: _Array,
        strides: tuple[int, ...],
        dilations: tuple[int, ...],
        groups: int,
        layout: str,
        algorithm: str,
        once: bool = False,
        half: str = "",
    ) -> None: ...
    def run(self, x: _Array, out: _Array, geometry: Geometry, bias: _Array | None, threads: int) -> None: ...
    def workspace_bytes(self, geometry: Geometry, batch: int, threads: int, /) -> int: ...
    def explain(self, geometry: Geometry, batch: int, /) -> str: ...

def kernel_gradient(
    x: _Array,
    y: _Array,
    out: _Array,
    geometry: Geometry,
    groups: int,
    layout: str,
    threads: int,
    half: str = "",
) -> None: ...
def paths() -> list[str]: ...
def descriptions() -> list[str]: ...
def active_path() -> str: ...
def select_path(name: str, /) -> str: ...
def default_threads() -> int: ...
def fma_peak(threads: int = 0, seconds: float = 0.2) -> float: ...
