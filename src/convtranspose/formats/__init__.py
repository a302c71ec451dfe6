"""Model files: one module per kind, one protocol.

A module of a kind has ``recognises(path) -> bool``, which looks at the content, ``read(path) -> model``
and ``write(model, path)``; those that can hold weights alone, or give them, also ``read_weights(model,
path)`` and ``write_weights(model, path)``. What a file is called does not matter when it is read; when
it is written, its ending chooses the kind.

| ending | kind | read | written |
| --- | --- | --- | --- |
| ``.npz`` | this package's own | models, weights | models |
| ``.keras`` | Keras 3 and late Keras 2 archives | models, weights | models |
| ``.weights.h5`` | their weights | weights | weights |
| ``.h5``, ``.hdf5`` | legacy Keras | models, weights | models, weights |
| ``.json`` | TensorFlow.js layers models | models, weights | models |
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from convtranspose.dialects import DIALECTS, Dialect
from convtranspose.errors import FormatError

__all__ = ["from_json", "load", "load_weights", "save", "save_weights", "to_json"]

_KINDS = {
    ".npz": "npz",
    ".keras": "keras_archive",
    ".weights.h5": "weights_h5",
    ".h5": "keras_h5",
    ".hdf5": "keras_h5",
    ".json": "tfjs",
}
"""File name endings and the module of the kind; a longer ending stands before one it ends in."""


def _module(name: str) -> ModuleType:
    return import_module(f"{__name__}.{name}")


def _of_content(path: Path) -> ModuleType:
    """The module of a file, by its content."""
    if not path.is_dir():
        with path.open("rb"):  # absent and unreadable files have errors of their own
            pass
    for name in dict.fromkeys(_KINDS.values()):
        module = _module(name)
        try:
            if module.recognises(path):
                return module
        except Exception:  # a file that is none of this kind may break it in any way
            continue
    if path.is_dir():
        raise FormatError(f"{path} is a folder without a model.json of TensorFlow.js. Name the model's file.")
    raise FormatError(
        f"{path} is of no kind that can be read, or its beginning or end is lost. Readable are: "
        f"{', '.join(_KINDS)}."
    )


def _of_name(path: Path) -> ModuleType:
    """The module of a file to write, by its name."""
    for ending, name in _KINDS.items():
        if path.name.lower().endswith(ending):
            return _module(name)
    raise ValueError(f"a model file ends in {', '.join(_KINDS)}. Got {os.fspath(path)!r}.")


def load(
    path: str | os.PathLike[str], custom_objects: Mapping[str, Any] | None = None, dialect: Any = None
) -> Any:
    """Read a model from a file.

    A file is data, never code: nothing is unpickled, no class is looked up by a module's name, nothing
    is unpacked, and every array is compared with the shape that its layer asks for before it is read.

    Parameters
    ----------
    path : path-like
        The file, of any kind listed in :mod:`convtranspose.formats`; of a TensorFlow.js model also the
        folder.
    custom_objects : mapping of str to class, optional
        Layer classes of your own, by the name that the file has for them.
    dialect : Dialect or str, optional
        The generation of Keras that reads; the one the file names where it is left out.
        ``"tfjs"`` reads a TensorFlow.js model as TensorFlow.js does, with what it drops and refuses.

    Returns
    -------
    Sequential
        The model with its weights, in the words of the Keras that wrote it.

    Raises
    ------
    FileNotFoundError
        If there is no file.
    FormatError
        If it is of no known kind, damaged, truncated or contradictory, or holds a layer that is not
        supported; the message names the supported ones.

    Examples
    --------
    >>> from convtranspose import formats, models
    >>> formats.load(models.path("upscale-x3")).output_shape
    (None, None, None, 1)
    """
    file = Path(path)
    module = _of_content(file)
    options: dict[str, Any] = {}
    if custom_objects is not None:
        options["custom_objects"] = custom_objects
    if dialect is not None:
        options["dialect"] = _dialect(dialect)
    if options and module.__name__.endswith(".npz"):
        raise ValueError(f"an .npz file is read as it is, without {' and '.join(options)}. Got {file}.")
    return module.read(file, **options)


def _dialect(given: Any) -> Dialect:
    found = given if isinstance(given, Dialect) else DIALECTS.get(given)
    if found is None:
        raise ValueError(f"dialect must be one of {', '.join(DIALECTS)}. Got {given!r}.")
    return found


def save(model: Any, path: str | os.PathLike[str], dialect: Any = None) -> None:
    """Write a model to a file of the kind that its name's ending says.

    Parameters
    ----------
    model : Sequential or Layer
        A built model, or a built layer, which becomes a model of one.
    path : path-like
        Where to write; an older file is replaced at the end.
    dialect : Dialect or str, optional
        The generation of Keras that shall read it; the model's own where it is left out. Keras 3 reads no
        archive of Keras 2: ``load("old.h5")`` and ``save(..., "new.keras", dialect="keras3")`` converts.

    Raises
    ------
    ValueError
        If the ending is not that of a known kind, the model is not built, or it has what the
        generation has no words for.
    MissingDependencyError
        If a Keras file is asked for and h5py is not installed.

    Examples
    --------
    >>> import tempfile
    >>> from convtranspose.layers import Conv2DTranspose, Sequential
    >>> model = Sequential([Conv2DTranspose(1, 3, strides=2, input_shape=(None, None, 1))])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     save(model, f"{folder}/model.json")
    ...     load(folder).output_shape
    (None, None, None, 1)
    """
    file = Path(path)
    module = _of_name(file)
    model = _whole(model)
    if dialect is not None:
        from convtranspose.formats._topology import under

        model = under(model, _dialect(dialect))
    module.write(model, file)


def _whole(model: Any) -> Any:
    from convtranspose.layers import Layer, Sequential

    if not isinstance(model, Layer):
        raise TypeError(f"save takes a model or a layer, not a {type(model).__name__}.")
    _check_built(model)
    for layer in (model, *model.submodules):
        if layer.submodules and not layer.holds_layers:
            raise ValueError(
                f"layer {layer.name!r} holds layers of its own, whose weights a model file cannot give back. "
                f"Save the weights alone, and make the model in code: model.save_weights(path)."
            )
    if isinstance(model, Sequential):
        return model
    whole = Sequential.in_dialect(model.dialect)(name=f"{model.name}_model")
    whole.add(model)
    if not whole.built and model.build_shape is not None:
        whole.build(model.build_shape)
    return whole


def _check_built(model: Any) -> None:
    if not model.built:
        raise ValueError(f"{model.name!r} is not built yet: build(input_shape) makes its weights.")


def load_weights(model: Any, path: str | os.PathLike[str]) -> None:
    """Give a built model or layer the weights of a file: all of them, or none after an error.

    Parameters
    ----------
    model : Sequential or Layer
        Built; its layers must be those of the file, in their order. Names need not agree, except in
        TensorFlow.js files.
    path : path-like
        A file of weights, or a whole model, of any kind.

    Raises
    ------
    FormatError
        If the file is damaged, or its arrays are not those of the model; nothing has changed then.
    ValueError
        If the model is not built.
    """
    file = Path(path)
    module = _of_content(file)
    _check_built(model)
    if hasattr(module, "read_weights"):
        module.read_weights(model, file)
        return
    found, own = (one._weights_by_layer() for one in (module.read(file), model))  # whatever their dialects
    if [w.shape for w in found] != [w.shape for w in own]:
        raise FormatError(f"{file} holds the weights of another model.")
    for variable, weight in zip(own, found, strict=True):
        variable.assign(weight.value)


def save_weights(model: Any, path: str | os.PathLike[str]) -> None:
    """Write the weights of a model or layer alone: ``.weights.h5``, or ``.h5`` of legacy Keras.

    Raises
    ------
    ValueError
        If the ending is another one, or the model is not built.
    MissingDependencyError
        If h5py is not installed.
    """
    module = _of_name(Path(path))
    if not hasattr(module, "write_weights"):
        raise ValueError(f"a file of weights ends in .weights.h5 or .h5. Got {os.fspath(path)!r}.")
    _check_built(model)
    module.write_weights(model, path)


def to_json(model: Any) -> str:
    """The configuration of a model as JSON text, as its generation writes it; no weights.

    Examples
    --------
    >>> from convtranspose.layers import Conv1DTranspose, Sequential
    >>> model = Sequential([Conv1DTranspose(1, 3, strides=2, input_shape=(None, 1))], name="up")
    >>> from_json(to_json(model)).name
    'up'
    """
    from convtranspose.formats import _topology

    return json.dumps(_topology.to_json(model))


def from_json(text: str | bytes, custom_objects: Mapping[str, Any] | None = None, dialect: Any = None) -> Any:
    """A model from JSON text, with first weights of its own.

    Parameters
    ----------
    text : str or bytes
        What :func:`to_json` or any Keras' ``model.to_json()`` wrote.
    custom_objects, dialect
        As in :func:`load`.

    Returns
    -------
    Sequential
        Built if the text says the shape of the inputs.

    Raises
    ------
    FormatError
        If the text is not the configuration of a model of supported layers.
    """
    from convtranspose.formats import _parts, _topology

    record = None if dialect is None else _dialect(dialect)
    with _parts.reading("the JSON text"):
        return _topology.from_json(_parts.parsed(text, "it"), custom_objects, record)
