"""The package's own model files, ``.npz``: NumPy alone reads and writes them.

A file is what ``numpy.savez`` writes: one array per weight, named by the place of its layer and by its
own name (``0/kernel``, ``0/bias``, ``2/1/kernel`` in a model inside the model), and ``config``, a JSON
document as bytes::

    {"format": "convtranspose", "version": 1, "dialect": "keras3",
     "model": {"name": ..., "layers": [...], ...}, "metadata": {...}}

where ``model`` is what ``Sequential.get_config`` gives.

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
from typing import Any, NoReturn

import numpy as np

from convtranspose._files import replacing
from convtranspose.dialects import DIALECTS, Dialect
from convtranspose.errors import FormatError
from convtranspose.layers import Layer, Sequential, Variable
from convtranspose.layers.serialization import deserialize

__all__ = ["metadata", "read", "recognises", "write"]

Array = np.ndarray[Any, np.dtype[Any]]

_CONFIG = "config"
_MOST_DEPTH = 16  # models inside models
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
        for w in layer.weights:
            name = w.path.rsplit("/", 1)[-1].removesuffix(layer.dialect.weight_suffix)
            yield f"{prefix}{number}/{name}", _plain(w.value)


def _plain(value: Array) -> Array:
    # bfloat16 is not NumPy's own; float32 holds its values exactly.
    return value if value.dtype.kind == "f" and value.dtype.isbuiltin == 1 else value.astype(np.float32)


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
    document, arrays = _contents(Path(path))
    try:
        model = _sequential(document["model"], DIALECTS[document["dialect"]], arrays)
        if not model.built:
            raise ValueError("the shape of its inputs is missing")
    except FormatError as error:
        _refuse(path, error)
    except (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError) as error:
        # Whatever a configuration can be wrong about ends in one of these inside the constructors.
        _refuse(path, f"its configuration does not make a model: {error!r}")
    if arrays:
        _refuse(path, f"it holds arrays that no layer asks for: {', '.join(arrays)}")
    for layer in model.submodules:
        layer.__dict__.pop("add_weight", None)
    return model


def metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """What the writer of a file noted in it.

    Raises
    ------
    FormatError
        If the file is damaged or of another kind.
    """
    found = _contents(Path(path))[0].get("metadata", {})
    if not isinstance(found, dict):
        _refuse(path, "its metadata is not a JSON object")
    return found


def _refuse(path: str | os.PathLike[str], reason: object) -> NoReturn:
    raise FormatError(f"{os.fspath(path)} is not a usable model file: {reason}.") from None


def _sequential(
    config: dict[str, Any], dialect: Dialect, arrays: dict[str, Array], prefix: str = ""
) -> Sequential:
    if prefix.count("/") > _MOST_DEPTH:
        raise ValueError(f"models inside models reach deeper than {_MOST_DEPTH}")
    model = Sequential.in_dialect(dialect)(name=config["name"], trainable=config.get("trainable", True))
    for item in config["layers"]:
        place = f"{prefix}{len(model.layers)}/"
        if item["class_name"] == "Sequential":
            model.add(_sequential(item["config"], dialect, arrays, place))
            continue
        layer = deserialize(item, dialect=dialect)
        if layer.weights or layer.submodules:
            raise ValueError(f"layer {layer.name!r} has weights before they are read")
        _fill_from(layer, arrays, place)
        model.add(layer)
    return model


def _fill_from(layer: Layer, arrays: dict[str, Array], place: str) -> None:
    """Let a layer that is not built yet take its weights from a file, shapes checked first."""
    add = layer.add_weight

    def add_weight(name: str, shape: Any, initializer: Any = None, **options: Any) -> Variable:
        array = arrays.pop(place + name, None)
        if array is None or array.shape != tuple(shape):
            got = "the file has no such array" if array is None else f"the file holds {array.shape}"
            raise FormatError(
                f"weight {place + name!r} of layer {layer.name!r} has the shape {tuple(shape)}, but {got}"
            )
        return add(name, shape, lambda _shape, dtype=None: array, **options)

    layer.add_weight = add_weight  # type: ignore[method-assign]


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
        document = json.loads(text.tobytes())
        if not isinstance(document, dict) or document.get("format") != "convtranspose":
            raise ValueError("its config is not a document of this format")
        if document.get("version") != 1:
            raise ValueError(
                f"it has version {document.get('version')!r} of the format, and this release reads version 1"
            )
    except _DAMAGE as error:
        _refuse(path, f"{str(error) or type(error).__name__}".rstrip("."))
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
