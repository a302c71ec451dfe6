"""TensorFlow.js layers models: ``model.json`` and binary shards beside it.

``modelTopology`` is the configuration, in the form of TensorFlow.js or, from its converter, of the Keras
that wrote the model. ``weightsManifest`` lists the arrays; their bytes, little-endian, stand one after
the other in the shards, which are cut every 4 MiB without regard to arrays. Arrays may be quantized:
``float16``, or ``uint8`` and ``uint16`` with ``value = stored * scale + min``.

Source: tfjs-core ``io/types.ts`` and ``io_utils.ts``, tfjs-converter ``write_weights.py``.
"""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from convtranspose import __version__
from convtranspose._files import replacing
from convtranspose.dialects import KERAS3, TFJS, Dialect
from convtranspose.errors import FormatError
from convtranspose.formats._parts import (
    MOST_TEXT,
    Array,
    Part,
    Stored,
    Supply,
    fill,
    joined,
    named,
    parsed,
    reading,
    weight_paths,
)
from convtranspose.formats._topology import BACKENDS, dialect_of, document, parts, plain, to_json, under
from convtranspose.layers import Layer, Sequential

__all__ = ["SHARD_BYTES", "decoded", "read", "read_weights", "recognises", "write"]

SHARD_BYTES = 4 * 2**20
"""Length of a shard, as the converter cuts them."""

_DTYPES = {"float32": "<f4", "float16": "<f2", "uint8": "u1", "uint16": "<u2", "int32": "<i4", "bool": "u1"}
_UNDILATED = {"output_padding": (None,), "dilation_rate": ((1, 1), (1, 1, 1))}
_UNKNOWN: Mapping[str, Mapping[str, tuple[Any, ...]]] = {
    "Conv2DTranspose": _UNDILATED,
    "Conv3DTranspose": _UNDILATED,
    "Conv1D": {"groups": (1,), "data_format": ("channels_last",)},
    "Conv2D": {"groups": (1,)},
    "Conv3D": {"groups": (1,)},
    "ELU": {"alpha": (1,)},
    "ReLU": {"negative_slope": (0,), "threshold": (0,)},
}
"""Arguments that TensorFlow.js does not have, and at which values that does not matter."""
_QUANTIZED = ("float16", "uint8", "uint16")


def recognises(path: Path) -> bool:
    """Whether the file looks like one of these, by its content; also a folder that holds one."""
    try:
        path = _json(path)
        if path.stat().st_size > MOST_TEXT:
            return False
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(found, dict) and "modelTopology" in found and "weightsManifest" in found


def _json(path: str | os.PathLike[str]) -> Path:
    path = Path(path)
    return path / "model.json" if path.is_dir() else path


def read(
    path: str | os.PathLike[str],
    custom_objects: Mapping[str, type[Layer]] | None = None,
    dialect: Dialect | None = None,
) -> Sequential:
    """Read a model.

    Parameters
    ----------
    path : path-like
        ``model.json``, or the folder that holds it and the shards.
    custom_objects : mapping of str to class, optional
        Layer classes of your own, by name.
    dialect : Dialect, optional
        The generation that reads; that which the file names where it is left out. TensorFlow.js itself
        reads every file as its own: with ``TFJS`` what it does not know is dropped or refused.

    Returns
    -------
    Sequential
        The model with its weights.

    Raises
    ------
    FormatError
        If the files are damaged, contradictory or of another kind, or hold a layer that is not supported.
    """
    path = _json(path)
    with reading(path):
        found = _document(path)
        topology = found["modelTopology"]
        if not isinstance(topology, dict):
            raise FormatError("its modelTopology is not an object.")
        whole = topology.get("model_config", topology)
        version = topology.get("keras_version") or (whole if isinstance(whole, dict) else {}).get(
            "keras_version"
        )
        if not isinstance(whole, dict):
            raise FormatError("its model_config is not an object.")
        record = dialect or (_unsaid(whole) if version is None else dialect_of(version))
        tree = parts(whole, record, custom_objects)
        return joined(tree, lambda part: _place(path, found, part))


def _unsaid(whole: Mapping[str, Any]) -> Dialect:
    """The generation of a topology that does not name it: Keras 3 spells the shape of inputs its own way."""
    config = whole.get("config")
    layers = config.get("layers") if isinstance(config, dict) else None
    inner = [one.get("config") for one in layers if isinstance(one, dict)] if isinstance(layers, list) else []
    return KERAS3 if any(isinstance(one, dict) and "batch_shape" in one for one in inner) else TFJS


def read_weights(model: Layer, path: str | os.PathLike[str]) -> None:
    """Give a built model the weights of a file: all of them, or none after an error."""
    path = _json(path)
    with reading(path):
        found = _document(path)
        fill(model, lambda part: _place(path, found, part))


def _document(path: Path) -> dict[str, Any]:
    if path.stat().st_size > MOST_TEXT:
        raise FormatError(f"it has {path.stat().st_size} bytes, more than the {MOST_TEXT} that are read.")
    found = parsed(path.read_bytes(), "model.json")
    if "modelTopology" not in found or not isinstance(found.get("weightsManifest"), list):
        raise FormatError("it has no modelTopology or no weightsManifest.")
    if found.get("format", "layers-model") != "layers-model":
        raise FormatError(f"only layers models are read, not a {found['format']!r}.")
    return found


def _place(path: Path, found: Mapping[str, Any], model: Part) -> dict[int, Supply]:
    stored: list[Stored] = []
    for group in found["weightsManifest"]:
        if not isinstance(group, dict) or not all(
            isinstance(group.get(k), list) for k in ("paths", "weights")
        ):
            raise FormatError("a group of its weightsManifest must have paths and weights.")
        shards = _Shards(path.parent, group["paths"])
        at = 0
        for spec in group["weights"]:
            array, size = _spec(spec, shards, at)
            stored.append(array)
            at += size
        if at != shards.size:
            raise FormatError(f"its shards have {shards.size} bytes, but its weights {at}.")
    return named(stored, model.leaves())


class _Shards:
    """The bytes of a group: files beside ``model.json``, one after the other."""

    def __init__(self, folder: Path, names: Sequence[Any]) -> None:
        self._files: list[tuple[Path, int]] = []
        for name in names:
            parts = PurePosixPath(name).parts if isinstance(name, str) else ()
            if not parts or name.startswith("/") or ".." in parts or set(name) & set("\\:\0"):
                raise FormatError(f"a shard must be a file beside model.json. Got {str(name)[:100]!r}.")
            file = folder.joinpath(*parts)
            if not file.is_file():
                raise FormatError(f"shard {name!r} is missing.")
            self._files.append((file, file.stat().st_size))
        self.size = sum(size for _, size in self._files)

    def read(self, at: int, count: int) -> bytes:
        pieces = []
        for file, size in self._files:
            if at < size and count > 0:
                with file.open("rb") as shard:
                    shard.seek(at)
                    piece = shard.read(min(count, size - at))
                pieces.append(piece)
                count -= len(piece)
                at += len(piece)
            at -= size
        return b"".join(pieces)


def _spec(spec: Any, shards: _Shards, at: int) -> tuple[Stored, int]:
    """An array of the manifest and its length in bytes."""
    if not isinstance(spec, dict) or not isinstance(spec.get("name"), str):
        raise FormatError(f"a weight must have a name. Got {str(spec)[:100]!r}.")
    name, shape, quantization = spec["name"], spec.get("shape"), spec.get("quantization")
    if not isinstance(shape, list) or not all(type(n) is int and 0 <= n < 2**46 for n in shape):
        raise FormatError(f"weight {name!r} must have a shape. Got {str(shape)[:100]!r}.")
    kind = spec.get("dtype") if quantization is None else _quantized(name, quantization)
    if kind not in _DTYPES:
        raise FormatError(f"weight {name!r} is of type {kind!r}. Read are {', '.join(_DTYPES)}.")
    dtype = np.dtype(_DTYPES[kind])
    size = dtype.itemsize
    for n in shape:
        size *= n

    def read() -> Array:
        raw = shards.read(at, size)
        if len(raw) != size:
            raise FormatError(f"weight {name!r} is truncated: {len(raw)} of {size} bytes are there.")
        return decoded(np.frombuffer(raw, dtype).reshape(shape), quantization)

    return Stored(name, tuple(shape), read), size


def _quantized(name: str, quantization: Any) -> Any:
    kind = quantization.get("dtype") if isinstance(quantization, dict) else None
    numbers = [] if kind == "float16" else [quantization.get(k) for k in ("scale", "min")] if kind else []
    if kind not in _QUANTIZED or any(isinstance(n, bool) or not isinstance(n, (int, float)) for n in numbers):
        raise FormatError(f"weight {name!r} is quantized in an unknown way: {str(quantization)[:100]}.")
    return kind


def decoded(stored: Array, quantization: Mapping[str, Any] | None) -> Array:
    """An array as TensorFlow.js computes with it: float32.

    Parameters
    ----------
    stored : ndarray
        As it stands in the file.
    quantization : mapping or None
        With ``scale`` and ``min`` for integers.

    Returns
    -------
    ndarray
        Of the same shape.

    Notes
    -----
    ``stored * scale + min``, computed in float64 and rounded once, as JavaScript does.

    Examples
    --------
    >>> import numpy as np
    >>> decoded(np.array([0, 255], "u1"), {"dtype": "uint8", "scale": 0.5, "min": -1.0})
    array([ -1. , 126.5], dtype=float32)
    """
    if stored.dtype.kind == "f":
        return stored.astype(np.float32)
    if quantization is None:
        return stored
    with np.errstate(over="ignore", invalid="ignore"):
        values = stored * np.float64(quantization["scale"]) + np.float64(quantization["min"])
        return values.astype(np.float32)


def write(model: Layer, path: str | os.PathLike[str]) -> None:
    """Write a model as TensorFlow.js reads it.

    A model of Keras 2 is written as TensorFlow.js' converter does, with its own configuration; any other
    in the words of TensorFlow.js.

    Parameters
    ----------
    model : Sequential
        A built model.
    path : path-like
        ``.../model.json``; the shards are written beside it.

    Raises
    ------
    ValueError
        If TensorFlow.js has no words for it: ``output_padding``, or a layer like ``Conv1DTranspose``.

    Warns
    -----
    UserWarning
        The same for a model of Keras 2, which is written as it is: TensorFlow.js would refuse the file or
        compute something else, but this library reads it as it was meant.
    """
    path = _json(path)
    arrays = []
    record = model.dialect
    by: dict[str, str | None]
    keras2 = record.family == "tf_keras"
    if keras2:
        about = {"keras_version": record.version, "backend": BACKENDS["tf_keras"]}
        topology = {**about, "model_config": plain(document(model))}
        by = {"generatedBy": f"keras v{record.version}", "convertedBy": f"convtranspose v{__version__}"}
    else:
        topology = to_json(under(model, TFJS))
        by = {"generatedBy": f"TensorFlow.js tfjs-layers v{TFJS.version}", "convertedBy": None}
    lost = list(_lost(model))
    if lost and not keras2:
        raise ValueError(f"{'; '.join(lost)}. Save it as .npz or .keras.")
    for words in lost:
        warnings.warn(f"{words}.", UserWarning, stacklevel=4)
    layers = model.layers if isinstance(model, Sequential) else [model]
    for layer in sorted(layers, key=lambda one: one.name) if keras2 else layers:  # as an .h5 file lists them
        for name, variable in weight_paths(under(layer, TFJS)):
            arrays.append((name, np.ascontiguousarray(variable.value, "<f4")))
    data = b"".join(array.tobytes() for _, array in arrays)
    count = max(1, -(-len(data) // SHARD_BYTES))
    paths = [f"group1-shard{n}of{count}.bin" for n in range(1, count + 1)]
    manifest = {
        "paths": paths,
        "weights": [{"name": name, "shape": list(a.shape), "dtype": "float32"} for name, a in arrays],
    }
    found = {"format": "layers-model", **by, "modelTopology": topology, "weightsManifest": [manifest]}
    path.parent.mkdir(parents=True, exist_ok=True)
    for n, name in enumerate(paths):
        with replacing(path.parent / name) as file:
            file.write(data[n * SHARD_BYTES : (n + 1) * SHARD_BYTES])
    with replacing(path) as file:
        file.write(json.dumps(found).encode())


def _lost(model: Layer) -> Iterator[str]:
    """What TensorFlow.js would refuse or drop of a model, in words."""
    for layer in model.submodules or (model,):
        if type(layer).__name__ in TFJS.lacking:
            yield f"layer {layer.name!r} is a {type(layer).__name__}, which TensorFlow.js does not have"
        for key, nothing in _UNKNOWN.get(type(layer).__name__, {}).items():
            value = getattr(layer, key)
            if value not in nothing:
                yield f"layer {layer.name!r} has {key}={value}, which TensorFlow.js drops"
