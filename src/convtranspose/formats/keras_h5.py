"""Legacy Keras files, ``.h5``: a whole model, or its weights alone, as Keras 1 to 3 write them.

The attribute ``layer_names`` lists the groups of the layers, ``weight_names`` in each of them the arrays;
their order is what counts, as in Keras. A whole model has the configuration as JSON in ``model_config``
and the same tree under ``/model_weights``. Reading needs no package beside NumPy; writing needs h5py.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from convtranspose._files import replacing
from convtranspose.dialects import KERAS3, Dialect
from convtranspose.errors import FormatError
from convtranspose.formats._hdf5 import File, Node
from convtranspose.formats._hdf5_writing import h5py_for_writing, write_names
from convtranspose.formats._parts import (
    Part,
    Stored,
    Supply,
    fill,
    joined,
    named,
    parsed,
    plain_array,
    reading,
    weight_paths,
)
from convtranspose.formats._topology import BACKENDS, dialect_of, document, parts, plain, under
from convtranspose.layers import Layer, Sequential
from convtranspose.layers.configured import ConfiguredLayer

__all__ = ["read", "read_weights", "recognises", "write", "write_weights"]


def recognises(path: Path) -> bool:
    """Whether the file looks like one of these, by its content."""
    try:
        with path.open("rb") as file:
            root = File(file).root
            return "model_weights" in root.members or _names(root, "layer_names") is not None
    except (OSError, FormatError):
        return False


def read(
    path: str | os.PathLike[str],
    custom_objects: Mapping[str, type[Layer]] | None = None,
    dialect: Dialect | None = None,
) -> Sequential:
    """Read a whole model.

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
    with reading(path), Path(path).open("rb") as file:
        root = File(file).root
        text = root.attribute("model_config")
        if not isinstance(text, str):
            raise FormatError(
                "it holds weights and no layers. Make the model in code and read them into it: "
                "model.load_weights(path)."
            )
        weights = _weights(root)
        version = root.attribute("keras_version") or weights.attribute("keras_version")
        tree = parts(parsed(text, "model_config"), dialect or dialect_of(version), custom_objects)
        return joined(tree, lambda part: _place(weights, part))


def read_weights(model: Layer, path: str | os.PathLike[str]) -> None:
    """Give a built model the weights of a file: all of them, or none after an error."""
    with reading(path), Path(path).open("rb") as file:
        weights = _weights(File(file).root)
        fill(model, lambda part: _place(weights, part))


def _weights(root: Node) -> Node:
    return root.get("model_weights") or root


def _names(node: Node, attribute: str) -> list[str] | None:
    """A list of names, also one that was written in pieces."""
    found = node.attribute(attribute)
    if found is None and node.attribute(f"{attribute}0") is not None:
        found, n = [], 0
        while (piece := node.attribute(f"{attribute}{n}")) is not None:
            found += piece
            n += 1
    if found is not None and not (isinstance(found, list) and all(isinstance(n, str) for n in found)):
        raise FormatError(f"attribute {attribute!r} of '{node.path}/' must be a list of names.")
    return found


def _place(weights: Node, model: Part) -> dict[int, Supply]:
    """Which arrays belong to which layer: groups with arrays, in order, to layers with weights."""
    names = _names(weights, "layer_names")
    if names is None:
        raise FormatError("it has no list of layers ('layer_names').")
    groups = [(name, found) for name in names if (found := _group(weights, name))]
    old = str(weights.attribute("keras_version") or "1").split(".")[0] == "1"
    layers = [part for part in model.parts if any(_has_weights(leaf) for leaf in part.leaves())]
    if len(groups) != len(layers):
        raise FormatError(
            f"the model has {len(layers)} layers with weights ({_listed(p.name for p in layers)}), but the "
            f"file has {len(groups)} ({_listed(name for name, _ in groups)})."
        )
    supplies: dict[int, Supply] = {}
    for part, (_, arrays) in zip(layers, groups, strict=True):
        if part.layer is None:  # a model inside: all weights an optimizer changes come first there
            supplies |= named(arrays, part.leaves())
        else:
            supplies[id(part)] = Supply([_converted(arrays[0], part, old), *arrays[1:]])
    return supplies


def _listed(names: Any) -> str:
    names = list(names)
    return ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")


def _has_weights(leaf: Part) -> bool:
    layer = leaf.layer
    assert layer is not None
    if layer.built:
        return bool(layer.weights)
    return type(layer).build not in (Layer.build, ConfiguredLayer.build)


def _group(weights: Node, name: str) -> list[Stored]:
    node = weights.get(name)
    if node is None:
        raise FormatError(f"layer {name!r} is in the list of layers, but not in the file.")
    found = []
    for path in _names(node, "weight_names") or []:
        array = node.get(path)
        if array is None or not array.is_dataset:
            raise FormatError(f"weight {path!r} of layer {name!r} is in its list, but not in the file.")
        found.append(Stored(path, array.shape, array.read))
    return found


# Kernels of Keras 1 by class and old data format: axes to take.
_KERAS1: Mapping[tuple[str, str], tuple[int, ...]] = {
    ("Conv2D", "channels_first"): (2, 3, 1, 0),
    ("Conv2DTranspose", "channels_last"): (0, 1, 3, 2),
    ("Conv2DTranspose", "channels_first"): (2, 3, 0, 1),
    ("Conv3D", "channels_first"): (2, 3, 4, 1, 0),
}
_THEANO = (3, 2, 0, 1)
"""Axes that Keras tries for a kernel of a convolution whose shape does not fit."""


def _converted(kernel: Stored, part: Part, old: bool) -> Stored:
    """A kernel as this layer has it, from one of Keras 1 or of its other backend."""
    if not part.kind.startswith("Conv"):
        return kernel
    rank = len(kernel.shape)
    if old and part.kind == "Conv1D" and rank == 4:
        if kernel.shape[1] != 1:  # (filters, c_in, k, 1) before Keras 1.2, then (k, 1, c_in, filters)
            kernel = kernel.transposed((2, 3, 1, 0))
        return kernel.without(1) if kernel.shape[1] == 1 else kernel
    order = _KERAS1.get((part.kind, getattr(part.layer, "data_format", "")), ()) if old else ()
    if len(order) == rank and order:
        kernel = kernel.transposed(order)
    return replace(kernel, otherwise=kernel.transposed(_THEANO)) if rank == 4 else kernel


# Writing


def write(model: Layer, path: str | os.PathLike[str]) -> None:
    """Write a whole model.

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
    model = model if model.dialect.family != "tfjs" else under(model, KERAS3)
    record = model.dialect
    described = plain(document(model))
    into = io.BytesIO()
    with h5py_for_writing().File(into, "w") as file:
        file.attrs["keras_version"] = record.version
        file.attrs["backend"] = BACKENDS[record.family]
        file.attrs["model_config"] = json.dumps(described)
        _write(file.create_group("model_weights"), model)
    with replacing(path) as target:
        target.write(into.getbuffer())


def write_weights(model: Layer, path: str | os.PathLike[str]) -> None:
    """Write the weights of a model, or of a single layer, alone.

    Raises
    ------
    MissingDependencyError
        If h5py is not installed.
    """
    into = io.BytesIO()
    with h5py_for_writing().File(into, "w") as file:
        _write(file, model)
    with replacing(path) as target:
        target.write(into.getbuffer())


def _write(group: Any, model: Layer) -> None:
    record = model.dialect
    layers: Sequence[Layer] = model.layers if isinstance(model, Sequential) else [model]
    write_names(group, "layer_names", [layer.name for layer in layers])
    group.attrs["backend"] = BACKENDS[record.family]
    group.attrs["keras_version"] = record.version
    for layer in sorted(layers, key=lambda one: one.name):  # a group before those whose names it begins
        _write_arrays(group.create_group(layer.name), list(_paths(layer, model)))
    if record.top_level_weights:
        _write_arrays(group.create_group("top_level_model_weights"), [])


def _paths(layer: Layer, model: Layer) -> Iterator[tuple[str, Any]]:
    """What the weights of a layer are called in the file: those that an optimizer changes first."""
    names = {id(variable): path for path, variable in weight_paths(layer, model)}
    for variable in (*layer.trainable_weights, *layer.non_trainable_weights):
        yield names[id(variable)], variable


def _write_arrays(group: Any, arrays: Sequence[tuple[str, Any]]) -> None:
    write_names(group, "weight_names", [path for path, _ in arrays])
    for path, variable in arrays:
        group.create_dataset(path, data=plain_array(variable.value))
