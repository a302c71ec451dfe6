"""h5py, which writes HDF5 files here, and the attributes that Keras makes of lists of names."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np

from convtranspose.errors import MissingDependencyError

__all__ = ["h5py_for_writing", "write_names"]

_MOST_ATTRIBUTE = 64512  # bytes; HDF5 keeps attributes in headers of 64 KiB


def h5py_for_writing() -> ModuleType:
    """The module.

    Raises
    ------
    MissingDependencyError
        If it is not installed.
    """
    try:
        import h5py  # type: ignore[import-untyped]
    except ImportError:
        raise MissingDependencyError("h5py", "files", "to write Keras files") from None
    module: ModuleType = h5py
    return module


def write_names(group: Any, name: str, values: Sequence[str]) -> None:
    """An attribute that is a list of names; a long one in several pieces ``name0``, ``name1``, ..."""
    data = np.asarray([value.encode() for value in values])
    pieces = 1
    while any(piece.nbytes > _MOST_ATTRIBUTE for piece in np.array_split(data, pieces)):
        if pieces >= len(values):
            raise ValueError("a layer's name is too long for an HDF5 attribute. Give it a shorter one.")
        pieces = min(2 * pieces, len(values))
    if pieces == 1:
        group.attrs[name] = list(data)
        return
    for n, piece in enumerate(np.array_split(data, pieces)):
        group.attrs[f"{name}{n}"] = list(piece)
