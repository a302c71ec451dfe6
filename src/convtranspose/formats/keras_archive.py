"""Keras archives, ``.keras``: a zip of ``config.json``, ``metadata.json`` and ``model.weights.h5``.

Members are read one by one into memory, never unpacked. What is not compressed cannot be larger than
the archive; what is compressed may not grow beyond what the shapes of the configuration allow, and the
arrays inside are compared with these shapes before they are read.
"""

from __future__ import annotations

import io
import json
import os
import time
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from convtranspose._files import replacing
from convtranspose.dialects import KERAS3, TF_KERAS_2_21, Dialect
from convtranspose.errors import FormatError
from convtranspose.formats import weights_h5
from convtranspose.formats._hdf5 import File
from convtranspose.formats._parts import MOST_TEXT, counted, fill, joined, parsed, reading, reason
from convtranspose.formats._topology import dialect_of, document, parts, under
from convtranspose.layers import Layer, Sequential

__all__ = ["read", "read_weights", "recognises", "write"]

_CONFIG, _METADATA, _WEIGHTS = "config.json", "metadata.json", "model.weights.h5"
_ARCHIVED = {"tf_keras": TF_KERAS_2_21, "tfjs": KERAS3}  # the first of a family that has archives
_MOST_PER_NUMBER = 32  # bytes: float64, and as much again three times for the state of an optimizer
_MOST_AROUND = 2**24  # bytes: names, optimizer and structure of the file of weights


def recognises(path: Path) -> bool:
    """Whether the file looks like one of these, by its content."""
    try:
        with zipfile.ZipFile(path) as archive:
            return _CONFIG in archive.namelist()
    except (OSError, ValueError, zipfile.BadZipFile):
        return False


def read(
    path: str | os.PathLike[str],
    custom_objects: Mapping[str, type[Layer]] | None = None,
    dialect: Dialect | None = None,
) -> Sequential:
    """Read a model.

    Parameters
    ----------
    path : path-like
        The file.
    custom_objects : mapping of str to class, optional
        Layer classes of your own, by name.
    dialect : Dialect, optional
        The generation that reads; that which the file names where it is left out.

    Returns
    -------
    Sequential
        The model with its weights, in the words of the Keras that wrote it.

    Raises
    ------
    FormatError
        If the file is damaged, contradictory or of another kind, or holds a layer that is not supported.
    """
    with reading(path), _opened(Path(path)) as (archive, infos):
        metadata = parsed(_member(archive, infos, _METADATA, MOST_TEXT), _METADATA)
        config = parsed(_member(archive, infos, _CONFIG, MOST_TEXT), _CONFIG)
        record = dialect or dialect_of(metadata.get("keras_version"))
        numbers = counted(parts(config, record, custom_objects))
        file = _weights(archive, infos, numbers)
        return joined(parts(config, record, custom_objects), lambda part: weights_h5.place(file, part))


def read_weights(model: Layer, path: str | os.PathLike[str]) -> None:
    """Give a built model the weights of an archive: all of them, or none after an error."""
    with reading(path), _opened(Path(path)) as (archive, infos):
        file = _weights(archive, infos, sum(weight.value.size for weight in model.weights))
        fill(model, lambda part: weights_h5.place(file, part))


_Infos = dict[str, zipfile.ZipInfo]


@contextmanager
def _opened(path: Path) -> Iterator[tuple[zipfile.ZipFile, _Infos]]:
    with _damaged("the archive"):
        archive = zipfile.ZipFile(path)
    with archive:
        infos = {info.filename: info for info in archive.infolist()}
        if len(infos) != len(archive.infolist()):
            raise FormatError("it holds two members of one name.")
        if sum(i.compress_size for i in infos.values()) > path.stat().st_size:
            raise FormatError("its members claim to be larger than the file.")
        yield archive, infos


@contextmanager
def _damaged(what: str) -> Iterator[None]:
    try:
        yield
    except FormatError:
        raise
    except Exception as error:  # zipfile raises a dozen classes on damaged archives
        raise FormatError(f"{what} is damaged: {reason(error)}.") from None


def _weights(archive: zipfile.ZipFile, infos: _Infos, numbers: int) -> File:
    most = _MOST_PER_NUMBER * numbers + _MOST_AROUND
    return File(io.BytesIO(_member(archive, infos, _WEIGHTS, most)))


def _member(archive: zipfile.ZipFile, infos: _Infos, name: str, most: int) -> bytes:
    """The bytes of a member; a compressed one may not become more than ``most``."""
    info = infos.get(name)
    if info is None:
        raise FormatError(f"it holds no {name}. Got {', '.join(list(infos)[:8])}.")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) or info.flag_bits & 1:
        raise FormatError(f"{name} is encrypted, or compressed in a way that is not read.")
    if info.compress_type == zipfile.ZIP_STORED:
        most = max(most, info.compress_size)
    if info.file_size > most:
        raise FormatError(f"{name} claims {info.file_size} bytes, more than the {most} that can be.")
    with _damaged(name), archive.open(info) as member:
        data = member.read(info.file_size + 1)
        if len(data) != info.file_size:
            raise FormatError(f"{name} does not have the length that it claims.")
    return data


def write(model: Layer, path: str | os.PathLike[str]) -> None:
    """Write a model.

    Parameters
    ----------
    model : Sequential
        A built model.
    path : path-like
        Where to write; an older file is replaced at the end.

    Raises
    ------
    MissingDependencyError
        If h5py is not installed.
    """
    model = under(model, _ARCHIVED.get(model.dialect.family, model.dialect))
    saved = time.strftime("%Y-%m-%d@%H:%M:%S")
    members = {
        _METADATA: json.dumps({"keras_version": model.dialect.version, "date_saved": saved}).encode(),
        _CONFIG: json.dumps(document(model)).encode(),
        _WEIGHTS: weights_h5.written(model).getvalue(),
    }
    with replacing(path) as file, zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(zipfile.ZipInfo(name), data)
