"""Weights files of Keras 3 and late Keras 2, ``.weights.h5``; they also stand inside ``.keras`` archives.

A layer is found by its class, not its name: ``/layers/conv2d_transpose_1/vars/0`` is the first weight of
the second ``Conv2DTranspose`` of a model; models inside models nest. Reading needs no package beside
NumPy; writing needs h5py.
"""

from __future__ import annotations

import io
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from convtranspose._files import replacing
from convtranspose.errors import FormatError
from convtranspose.formats._hdf5 import File, Node
from convtranspose.formats._hdf5_writing import h5py_for_writing
from convtranspose.formats._parts import Part, Stored, Supply, fill, of_model, ordered, plain_array, reading
from convtranspose.layers import Layer
from convtranspose.layers.naming import snake_case

__all__ = ["place", "read", "read_weights", "recognises", "write", "write_weights", "written"]

_CONTAINERS = ("layers", "_layer_checkpoint_dependencies")  # the second one in files of Keras 2.13


def recognises(path: Path) -> bool:
    """Whether the file looks like one of these, by its content."""
    try:
        with path.open("rb") as file:
            members = File(file).root.members
    except (OSError, FormatError):
        return False
    return any(name in members for name in _CONTAINERS) or "vars" in members


def read(path: str | os.PathLike[str], **_: Any) -> NoReturn:
    """Refuse: such a file holds no layers.

    Raises
    ------
    FormatError
        Always.
    """
    raise FormatError(
        f"{os.fspath(path)} holds weights and no layers. Make the model in code and read them into it: "
        f"model.load_weights(path)."
    )


def write(model: Layer, path: str | os.PathLike[str]) -> None:
    """Write the weights; such a file holds no more."""
    write_weights(model, path)


def read_weights(model: Layer, path: str | os.PathLike[str]) -> None:
    """Give a built model the weights of a file: all of them, or none after an error."""
    with reading(path), Path(path).open("rb") as file:
        tree = File(file)
        fill(model, lambda part: place(tree, part))


def place(file: File, part: Part) -> dict[int, Supply]:
    """Which arrays belong to which layer."""
    used: set[str] = set()

    def walk(model: Part, node: Node) -> Iterator[tuple[Part, list[Stored]]]:
        container = next((found for name in _CONTAINERS if (found := node.get(name)) is not None), None)
        for name, child in _entries(model):
            entry = None if container is None else container.get(name)
            if entry is None:
                continue  # a layer without weights may be left out; one with weights will miss them
            used.add(entry.path)
            if child.layer is None:
                yield from walk(child, entry)
            else:
                yield child, _vars(entry)
        extra = (
            [] if container is None else [n for n in container.members if f"{container.path}/{n}" not in used]
        )
        if any(_vars(found) for n in extra if container and (found := container.get(n)) is not None):
            raise FormatError(f"it holds weights of layers that the model does not have: {', '.join(extra)}.")

    return ordered(walk(part, file.root))


def _entries(model: Part) -> Iterator[tuple[str, Part]]:
    """The group names of the layers of a model: classes, numbered."""
    counts: Counter[str] = Counter()
    for part in model.parts:
        base = snake_case(part.kind)
        yield f"{base}_{counts[base]}" if counts[base] else base, part
        counts[base] += 1


def _vars(entry: Node) -> list[Stored]:
    """The weights of one layer in order."""
    group = entry.get("vars")
    if group is None:
        return []
    found = []
    for n in range(len(group.members)):
        node = group.get(str(n))
        if node is None or not node.is_dataset:
            raise FormatError(f"'{group.path}' must hold arrays 0, 1, ... Got {', '.join(group.members)}.")
        found.append(Stored(node.path, node.shape, node.read))
    return found


def write_weights(model: Layer, path: str | os.PathLike[str]) -> None:
    """Write the weights of a model, or of a single layer.

    Raises
    ------
    MissingDependencyError
        If h5py is not installed.
    """
    content = written(model)
    with replacing(path) as file:
        file.write(content.getbuffer())


def written(model: Layer) -> io.BytesIO:
    """The file in memory."""
    into = io.BytesIO()
    with h5py_for_writing().File(into, "w") as file:
        _write(file, of_model(model), named=model.dialect.family == "keras3", name=model.name)
    return into


def _write(group: Any, model: Part, named: bool, name: str) -> None:
    layers = group.create_group("layers")
    for key, part in _entries(model):
        entry = layers.create_group(key)
        if part.layer is None:
            _write(entry, part, named, part.name)
            continue
        place = entry.create_group("vars")
        if named:
            place.attrs["name"] = part.name
        for n, weight in enumerate(part.layer.weights):
            place.create_dataset(str(n), data=plain_array(weight.value))
    own = group.create_group("vars")
    if named:
        own.attrs["name"] = name
