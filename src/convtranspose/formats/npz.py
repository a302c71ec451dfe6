"""The package's own model files, ``.npz``: NumPy alone reads and writes them.

A file is what ``numpy.savez`` writes: one array per weight, named by the place of its layer and by its
own name (``0/kernel``, ``0/bias``, ``2/1/kernel`` in a model inside the model), and ``config``, a JSON
document as bytes::

    {"format": "convtranspose", "version": 1, "dialect": "keras3",
     "model": {"name": ..., "layers": [...], ...}, "metadata": {...}}

where ``model`` is what ``Sequential.get_config`` or ``Functional.get_config`` gives.

A file is data, never code: no pickle, no class but the known layers. Members must be stored
uncompressed, so that nothing can grow beyond the size of the file; an array must have exactly the
shape that its layer asks for, and this is known before the layer allocates anything.
"""

from __future__ import annotations

import json
import math
import os
import struct
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from convtranspose._files import replacing
from convtranspose.dialects import DIALECTS
from convtranspose.errors import FormatError
from convtranspose.formats._parts import (
    Part,
    Stored,
    Supply,
    joined,
    parsed,
    plain_array,
    reading,
    reason,
    short_name,
)
from convtranspose.formats._topology import parts
from convtranspose.layers import Sequential

__all__ = ["metadata", "read", "recognises", "write"]

Array = np.ndarray[Any, np.dtype[Any]]

_CONFIG = "config"
_DAMAGE = (OSError, EOFError, ValueError, RuntimeError, struct.error, zipfile.BadZipFile)
"""What ``zipfile`` and ``json`` raise over damaged files."""


def recognises(path: Path) -> bool:
    """Whether the file looks like one of these, by its content."""
    try:
        with zipfile.ZipFile(path) as archive:
            return f"{_CONFIG}.npy" in archive.namelist()
    except _DAMAGE:
        return False


def write(model: Sequential, path: str | os.PathLike[str], metadata: Mapping[str, Any] | None = None) -> None:
    """Write a model.

    Parameters
    ----------
    model : Sequential
        A built model; its layers may be Sequential models again.
    path : path-like
        Where to write; an older file is replaced at the end.
    metadata : mapping, optional
        Plain data of your own: where the weights come from, their licence.

    Raises
    ------
    TypeError
        If it is no Sequential model.
    ValueError
        If it is not built, or holds what is not plain data: a function instead of a name.

    Examples
    --------
    >>> import tempfile
    >>> from convtranspose.layers import Conv1DTranspose
    >>> model = Sequential([Conv1DTranspose(1, 3, strides=2, input_shape=(None, 1))])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write(model, f"{folder}/up.npz")
    ...     read(f"{folder}/up.npz").output_shape
    (None, None, 1)
    """
    if not isinstance(model, Sequential):
        raise TypeError(
            f"an .npz file holds a Sequential model, but this is a {type(model).__name__}. "
            f"Wrap it: Sequential([layer])."
        )
    if model.input_shape is None:
        raise ValueError(f"model {model.name!r} is not built yet: model.build(input_shape).")
    document = {
        "format": "convtranspose",
        "version": 1,
        "dialect": model.dialect.name,
        "model": model.get_config(),
        "metadata": dict(metadata or {}),
    }
    try:
        text = json.dumps(document, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"model {model.name!r} or its metadata holds what is not plain data: {error}. "
            f"Use built-in activations, initializers, regularizers and constraints by name."
        ) from None
    arrays = dict(_named(model))
    with replacing(path) as file:
        np.savez(file, allow_pickle=False, config=np.frombuffer(text.encode(), np.uint8), **arrays)


def _named(model: Sequential, prefix: str = "") -> Iterator[tuple[str, Array]]:
    for number, layer in enumerate(model.layers):
        if isinstance(layer, Sequential):
            yield from _named(layer, f"{prefix}{number}/")
            continue
        for weight in layer.weights:
            yield f"{prefix}{number}/{short_name(weight)}", plain_array(weight.value)


def read(path: str | os.PathLike[str]) -> Sequential:
    """Read a model.

    Parameters
    ----------
    path : path-like
        A file that :func:`write` wrote.

    Returns
    -------
    Sequential
        The model with its weights.

    Raises
    ------
    FormatError
        If the file is damaged, contradictory or of another kind.
    """
    with reading(path):
        document, arrays = _contents(Path(path))
        config, dialect = document.get("model"), DIALECTS.get(str(document.get("dialect")))
        if dialect is None:
            raise FormatError(f"it is written in the unknown dialect {document.get('dialect')!r}.")
        if not isinstance(config, dict):
            raise FormatError("its configuration does not make a model: it is not an object.")
        kind = "Functional" if "input_layers" in config else "Sequential"
        tree = parts({"class_name": kind, "config": config}, dialect)
        return joined(tree, lambda part: _place(arrays, part))


def metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What the writer of a file noted in it.

    Raises
    ------
    FormatError
        If the file is damaged or of another kind.
    """
    with reading(path):
        found = _contents(Path(path))[0].get("metadata", {})
        if not isinstance(found, dict):
            raise FormatError("its metadata is not a JSON object.")
        return found


def _place(arrays: dict[str, Array], model: Part, prefix: str = "") -> dict[int, Supply]:
    """Which arrays belong to which layer: ``number/weight``, models inside models ``number/number/...``."""
    found: dict[int, Supply] = {}
    for number, part in enumerate(model.parts):
        place = f"{prefix}{number}/"
        if part.layer is None:
            found |= _place(arrays, part, place)
            continue
        own = [name for name in arrays if name.rpartition("/")[0] == place[:-1]]
        found[id(part)] = Supply({n.rpartition("/")[2]: _stored(n, arrays.pop(n)) for n in own})
    if arrays and not prefix:
        raise FormatError(f"it holds arrays that no layer asks for: {', '.join(arrays)}.")
    return found


def _stored(name: str, array: Array) -> Stored:
    return Stored(name, array.shape, lambda: array)


def _contents(path: Path) -> tuple[dict[str, Any], dict[str, Array]]:
    """The JSON document, and all arrays by name."""
    size = path.stat().st_size
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if len({info.filename for info in members}) != len(members):
                raise ValueError("it holds two members of one name")
            if any(info.compress_type != zipfile.ZIP_STORED or info.flag_bits & 1 for info in members):
                raise ValueError("it holds compressed or encrypted members")
            if sum(info.file_size for info in members) > size:
                raise ValueError("its members claim to be larger than the file")
            arrays = {info.filename.removesuffix(".npy"): _array(archive, info) for info in members}
        text = arrays.pop(_CONFIG, None)
        if text is None or text.dtype != np.uint8 or any(a.dtype.kind != "f" for a in arrays.values()):
            raise ValueError("it must hold config, which is bytes, and floating-point numbers")
        document = parsed(text.tobytes(), _CONFIG)
        if document.get("format") != "convtranspose":
            raise ValueError("its config is not a document of this format")
        if document.get("version") != 1:
            raise ValueError(
                f"it has version {document.get('version')!r} of the format, and this release reads version 1"
            )
    except _DAMAGE as error:
        raise FormatError(reason(error).rstrip(".") + ".") from None
    return document, arrays


def _array(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> Array:
    with archive.open(info) as member:
        version = np.lib.format.read_magic(member)
        if version != (1, 0):
            raise ValueError(f"{info.filename} is of version {version} of the .npy format, not (1, 0)")
        try:
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(member)
        except Exception as error:  # it parses Python literals, and damaged ones raise almost anything
            raise ValueError(f"{info.filename} has a damaged header: {error}") from None
        data = member.read()
    if dtype.kind not in "fu" or math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError(
            f"{info.filename} claims {dtype} numbers of shape {shape}, but has {len(data)} bytes"
        )
    return np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
