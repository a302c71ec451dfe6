"""Configurations of models, as Keras and TensorFlow.js write them, read into parts and written.

Rule of this file: it knows the documents around layers, in every generation; what stands inside the
configuration of a layer is the layer's business. Classes are found by name among this library's layers
and those the caller gives; a module that a file names is never imported.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Mapping
from typing import Any

import numpy as np

from convtranspose import activations
from convtranspose._builtins import camel_case, snake_keys
from convtranspose.dialects import KERAS3, TF_KERAS_2_4, TF_KERAS_2_9, TF_KERAS_2_21, TFJS, Dialect
from convtranspose.errors import FormatError
from convtranspose.formats._parts import Part
from convtranspose.initializers import VarianceScaling
from convtranspose.layers import Dense, Functional, InputLayer, Layer, Sequential, serialize
from convtranspose.layers.base import layer_class
from convtranspose.layers.functional import chain

__all__ = ["BACKENDS", "dialect_of", "document", "from_json", "parts", "plain", "to_json", "under"]

_MOST_DEPTH = 16  # models inside models
_MOST_LAYERS = 10_000

_ALIASES = {
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "SyncBatchNormalization": "BatchNormalization",
    "Convolution1D": "Conv1D",
    "Convolution2D": "Conv2D",
    "Convolution3D": "Conv3D",
    "Convolution1DTranspose": "Conv1DTranspose",
    "Convolution2DTranspose": "Conv2DTranspose",
    "Convolution3DTranspose": "Conv3DTranspose",
    "Model": "Functional",
}
"""Other names of a class in files."""

_ANY = object()
_HARMLESS: Mapping[str, tuple[Any, ...]] = {
    "groups": (1,),
    "quantization_config": (None,),
    "lora_rank": (None,),
    "lora_alpha": (None,),
    "renorm": (False,),
    "renorm_clipping": (_ANY,),
    "renorm_momentum": (_ANY,),
    "synchronized": (_ANY,),
    "fused": (_ANY,),
    "virtual_batch_size": (None,),
    "adjustment": (None,),
    "dynamic": (False,),
}
"""Keys that some writers add and that change nothing at these values."""


def dialect_of(version: Any) -> Dialect:
    """The generation that a ``keras_version`` belongs to.

    >>> dialect_of("2.9.0").name, dialect_of("3.15.1").name, dialect_of("tfjs-layers 4.22.0").name
    ('tf_keras_2_9', 'keras3', 'tfjs')
    """
    if not isinstance(version, str):
        return TF_KERAS_2_4  # files of Keras 1 say nothing
    if version.startswith("tfjs"):
        return TFJS
    numbers = re.match(r"(\d+)\.(\d+)", version)
    if numbers is None:
        raise FormatError(f"it was written by an unknown version of Keras: {version!r}.")
    major, minor = int(numbers[1]), int(numbers[2])
    if major >= 3:
        return KERAS3
    if major < 2 or minor <= 4:
        return TF_KERAS_2_4
    return TF_KERAS_2_9 if minor < 12 else TF_KERAS_2_21


def parts(
    item: Any, dialect: Dialect, custom: Mapping[str, type[Layer]] | None = None, depth: int = 0
) -> Part:
    """The tree of a model from its document: ``class_name`` and ``config``.

    Raises
    ------
    FormatError
        If it is contradictory, too deep or holds a layer that is not supported.
    """
    if depth > _MOST_DEPTH:
        raise FormatError(f"models inside models reach deeper than {_MOST_DEPTH}.")
    if not isinstance(item, Mapping) or not isinstance(item.get("class_name"), str):
        raise FormatError(f"a layer must have a class_name and a config. Got {str(item)[:100]!r}.")
    kind = str(_ALIASES.get(item["class_name"], item["class_name"]))
    config = item.get("config")
    if kind == "Sequential" and isinstance(config, list):  # the form before Keras 2.2
        config = {"layers": config}
    if not isinstance(config, Mapping):
        raise FormatError(f"the configuration of a {kind} must be an object. Got {str(config)[:100]!r}.")
    if kind in ("Sequential", "Functional"):
        return _model(kind, item, config, dialect, custom, depth)
    return _leaf(kind, config, dialect, custom)


def _model(
    kind: str,
    item: Mapping[str, Any],
    config: Mapping[str, Any],
    dialect: Dialect,
    custom: Mapping[str, type[Layer]] | None,
    depth: int,
) -> Part:
    name, items = config.get("name"), config.get("layers")
    if not isinstance(name, (str, type(None))) or not isinstance(items, list) or not items:
        raise FormatError(f"a {kind} must have a name and a list of layers.")
    if len(items) > _MOST_LAYERS:
        raise FormatError(
            f"model {name!r} has {len(items)} layers, more than the {_MOST_LAYERS} that are read."
        )
    try:
        line = chain(config) if kind == "Functional" else items
    except ValueError as error:
        raise FormatError(f"model {name!r}: {error}") from None
    except (KeyError, TypeError) as error:
        raise FormatError(f"the graph of model {name!r} is damaged: {error!r}.") from None
    inside = [parts(one, dialect, custom, depth + 1) for one in line]
    shape = config.get("build_input_shape")
    if shape is None and isinstance(item.get("build_config"), Mapping):
        shape = item["build_config"].get("input_shape")
    origin = Functional if kind == "Functional" else Sequential
    listed = inside if kind == "Functional" else [p for p in inside if p.kind != "InputLayer"]
    made = Part(kind, name or "", None, listed)

    def join() -> Sequential:
        cls = origin.in_dialect(dialect)
        policy = {} if config.get("dtype") is None else {"dtype": config["dtype"]}
        layers = [one.join() if one.join is not None else _layer(one) for one in inside]
        model = cls(layers, trainable=config.get("trainable", True), name=name, **policy)
        made.name = model.name
        if not model.built and shape is not None:
            model.build(_shape(shape))
        return model

    made.join = join
    return made


def _layer(part: Part) -> Layer:
    assert part.layer is not None
    return part.layer


def _leaf(
    kind: str, config: Mapping[str, Any], dialect: Dialect, custom: Mapping[str, type[Layer]] | None
) -> Part:
    cls = (custom or {}).get(kind)
    if cls is None:
        try:
            cls = layer_class(kind, dialect)
        except (TypeError, ValueError) as error:
            raise FormatError(f"layer {config.get('name')!r}: {error}") from None
        config = {k: v for k, v in config.items() if not _harmless(k, v)}
        if dialect.family == "tfjs":
            config = _as_tfjs(kind, config, dialect)
    else:
        cls = cls.in_dialect(dialect)
    for key in ("batch_shape", "batch_input_shape"):
        if config.get(key) is not None:
            config = {**config, key: _shape(config[key])}
    try:
        layer = cls.from_config(dict(config))
    except Exception as error:
        name = config.get("name")
        raise FormatError(
            f"layer {name!r} of class {kind} cannot be made from its configuration: {error}"
        ) from error
    if layer.holds_layers or (layer.built and not isinstance(layer, InputLayer)):
        raise FormatError(f"layer class {kind} cannot stand in a model file.")
    return Part(kind, layer.name, layer)


def _as_tfjs(kind: str, config: Mapping[str, Any], dialect: Dialect) -> Mapping[str, Any]:
    """What TensorFlow.js makes of a configuration: keys that it does not know do not count."""
    if kind == "InputLayer" and config.get("batch_input_shape") is None:
        raise FormatError("An InputLayer should be passed either a `batchInputShape` or an `inputShape`.")
    named = config.get("activation")
    if isinstance(named, str) and named not in activations.names(dialect):
        config = {**config, "activation": camel_case(named)}  # its files spell enumerations in snake case
    if not kind.endswith("Transpose"):
        return config
    known = {*dialect.layer_keys, *dialect.conv_keys, *dialect.extra_arguments}
    for key in ("output_padding", "dilation_rate", "groups"):
        value = config.get(key)
        if value is not None and any(n != 1 or key == "output_padding" for n in np.ravel(value)):
            warnings.warn(
                f"TensorFlow.js ignores {key}={value} of layer {config.get('name')!r}.", stacklevel=2
            )
    return {key: value for key, value in config.items() if key in known}


def _harmless(key: str, value: Any) -> bool:
    accepted = _HARMLESS.get(key, ())
    return any(value is one or (one is _ANY) or (type(one) is int and value == one) for one in accepted)


def _shape(given: Any) -> tuple[int | None, ...]:
    if (
        not isinstance(given, list)
        or not given
        or not all(n is None or (type(n) is int and 0 <= n < 2**46) for n in given)
    ):
        raise FormatError(f"a shape must be a list of lengths, null where open. Got {str(given)[:100]}.")
    return tuple(given)


# Writing


def under(layer: Layer, dialect: Dialect) -> Any:
    """The same layer or model in the words of another generation; it shares its weights."""
    if layer.dialect is dialect:
        return layer
    twin = object.__new__(type(layer).in_dialect(dialect))
    twin.__dict__.update(layer.__dict__)
    if isinstance(layer, Sequential):
        twin.__dict__["_chain"] = [under(one, dialect) for one in layer._chain]
        twin.__dict__["_input"] = None if layer._input is None else under(layer._input, dialect)
    return twin


def _spoken(layer: Any) -> Any:
    """The same layer or model without what Keras has no word for but another way to say."""
    changed: dict[str, Any] = {}
    if isinstance(layer, Sequential):
        chain = [_spoken(one) for one in layer._chain]
        if any(new is not old for new, old in zip(chain, layer._chain, strict=True)):
            changed["_chain"] = chain
    for key, value in vars(layer).items():
        if isinstance(value, VarianceScaling) and value.fan != "keras":
            changed[key] = value.in_words_of_keras(swapped=not isinstance(layer, Dense))
    if not changed:
        return layer
    twin = object.__new__(type(layer))
    twin.__dict__.update({**vars(layer), **changed})
    return twin


def document(model: Layer) -> dict[str, Any]:
    """A model as its generation writes it into archives: class, configuration and what stands around."""
    _foreign(model)
    found = _jsonable(serialize(_spoken(model)))
    return _dressed(found) if model.dialect.family == "keras3" else found


def to_json(model: Layer) -> dict[str, Any]:
    """A model as its generation writes it when asked for JSON."""
    record = model.dialect
    found = document(model)
    if record.family == "keras3":
        return found
    if record.family == "tfjs":
        found = _spelled(snake_keys(plain(found)))
        return {**found, "keras_version": f"tfjs-layers {record.version}", "backend": BACKENDS["tfjs"]}
    kept = {key: found[key] for key in ("class_name", "config")}
    return {**kept, "keras_version": record.version, "backend": BACKENDS[record.family]}


def from_json(
    found: Mapping[str, Any], custom: Mapping[str, type[Layer]] | None, dialect: Dialect | None
) -> Sequential:
    """The model of such a document, with first weights of its own."""
    version = found.get("keras_version")
    if dialect is None:
        dialect = KERAS3 if version is None and "module" in found else dialect_of(version)
    join = parts(found.get("model_config", found), dialect, custom).join
    if join is None:
        raise FormatError("it holds a layer, not a model.")
    return join()


BACKENDS = {"keras3": "numpy", "tf_keras": "tensorflow", "tfjs": "tensor_flow.js"}
"""What a file says that its writer computed with."""


def _spelled(item: dict[str, Any]) -> dict[str, Any]:
    """Layers as TensorFlow.js writes them: a type only where there is an input shape, and that only once."""
    config = item["config"]
    if isinstance(config.get("layers"), list):
        layers = [_spelled(one) for one in config["layers"]]
        told = len(layers) > 1 and "batch_input_shape" in layers[1]["config"]
        if told and item["class_name"] == "Sequential" and layers[0]["class_name"] == "InputLayer":
            del layers[0]
        return {**item, "config": {**config, "layers": layers}}
    if item["class_name"] != "InputLayer" and "batch_input_shape" not in config:
        config = {key: value for key, value in config.items() if key != "dtype"}
    return {**item, "config": config}


def _dressed(item: dict[str, Any]) -> dict[str, Any]:
    """What Keras 3 writes around models, at any depth."""
    if item["class_name"] in ("Sequential", "Functional"):
        item["compile_config"] = {}
        item["config"]["layers"] = [_dressed(one) for one in item["config"]["layers"]]
    if item["class_name"] == "Functional":
        item["build_config"] = {"input_shape": None}
    return item


def plain(item: Any) -> Any:
    """The same without what later generations add around every layer: the form of ``.h5`` files."""
    if isinstance(item, list):
        return [plain(one) for one in item]
    kept = {k: v for k, v in item.items() if k in ("class_name", "name", "inbound_nodes")}
    config = item["config"]
    if isinstance(config, Mapping) and isinstance(config.get("layers"), list):
        config = {**config, "layers": plain(config["layers"])}
    return {"class_name": kept.pop("class_name"), "config": config, **kept}


def _foreign(model: Layer) -> None:
    """Refuse what the layers of this library can and Keras cannot read."""
    layers = [one for one in model.submodules if not one.holds_layers] or [model]
    for layer in layers:
        config = layer.get_config()
        wrong = [
            f"{key}={config[key]!r}"
            for key, known in (("groups", 1), ("allow_strided_dilation", False))
            if "Transpose" in type(layer).__name__ and config.get(key, known) != known
        ]
        if not isinstance(config.get("padding", ""), str) and "Transpose" in type(layer).__name__:
            wrong.append(f"padding={config['padding']!r}")
        if wrong:
            raise ValueError(
                f"layer {layer.name!r} has {', '.join(wrong)}, which Keras' layers do not have. Save the "
                f"model as .npz."
            )


def _jsonable(value: Any) -> Any:
    """Plain data as JSON has it: lists for tuples, numbers for NumPy's."""
    if isinstance(value, Mapping):
        return {str(k): _jsonable(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_jsonable(v) for v in value]
    return value.item() if hasattr(value, "item") else value
