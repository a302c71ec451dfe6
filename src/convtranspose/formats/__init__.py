"""Model files: one module per kind, one protocol.

A module of a kind has ``recognises(path) -> bool``, which looks at the content, ``read(path) ->
model`` and ``write(model, path)``. What a file is called does not matter when it is read; when it
is written, its ending chooses the kind.
"""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from convtranspose.errors import FormatError

__all__ = ["load", "save"]

_KINDS = {".npz": "npz"}
"""File name endings and the module of the kind."""


def _module(name: str) -> ModuleType:
    return import_module(f"{__name__}.{name}")


def load(path: str | os.PathLike[str]) -> Any:
    """Read a model from a file.

    Parameters
    ----------
    path : path-like
        The file.

    Returns
    -------
    Sequential
        The model with its weights.

    Raises
    ------
    FileNotFoundError
        If there is no file.
    FormatError
        If it is of no known kind, damaged, truncated or contradictory.

    Examples
    --------
    >>> from convtranspose import formats, models
    >>> formats.load(models.path("upscale-x3")).output_shape
    (None, None, None, 1)
    """
    file = Path(path)
    with file.open("rb"):  # absent and unreadable files have errors of their own
        pass
    for name in dict.fromkeys(_KINDS.values()):
        module = _module(name)
        if module.recognises(file):
            return module.read(file)
    raise FormatError(
        f"{file} is of no kind that can be read, or its beginning or end is lost. Readable are: "
        f"{', '.join(_KINDS)}."
    )


def save(model: Any, path: str | os.PathLike[str]) -> None:
    """Write a model to a file of the kind that its name's ending says.

    Raises
    ------
    ValueError
        If the ending is not that of a known kind.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in _KINDS:
        raise ValueError(f"a model file ends in {' or '.join(_KINDS)}. Got {os.fspath(path)!r}.")
    _module(_KINDS[suffix]).write(model, path)
