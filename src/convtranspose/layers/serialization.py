"""Layers as plain data and back: the forms that stand inside the configurations of models."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from convtranspose.dialects import KERAS3, Dialect
from convtranspose.layers.base import Layer, layer_class

__all__ = ["deserialize", "serialize"]


def serialize(layer: Layer) -> dict[str, Any]:
    """A layer as its generation writes it: class, configuration and, in later ones, module and shape.

    Parameters
    ----------
    layer : Layer
        Also a whole model.

    Returns
    -------
    dict
        Plain data; :func:`deserialize` reads it.

    Examples
    --------
    >>> from convtranspose.layers import Conv2DTranspose, deserialize, serialize
    >>> deserialize(serialize(Conv2DTranspose(4, 3, name="up"))).name
    'up'
    """
    name = type(layer).__name__
    data: dict[str, Any] = {"class_name": name, "config": layer.get_config()}
    if layer.dialect.objects_named_by_module:
        module = layer.keras_modules.get(layer.dialect.family, "keras.layers")
        data = {"module": module, **data, "registered_name": name if ".src." in module else None}
        if layer.build_shape is not None:
            data["build_config"] = {"input_shape": layer.build_shape}
    return data


def deserialize(
    config: Mapping[str, Any],
    custom_objects: Mapping[str, type[Layer]] | None = None,
    *,
    dialect: Dialect = KERAS3,
) -> Layer:
    """A layer from what :func:`serialize` wrote, in any generation's form.

    Weights are not part of it. Nothing is looked up by module: a class is one of this library's, or one
    of ``custom_objects``.

    Parameters
    ----------
    config : mapping
        With ``class_name`` and ``config``.
    custom_objects : mapping of str to class, optional
        Layer classes of your own, by name.
    dialect : Dialect, optional
        The generation that wrote it.

    Returns
    -------
    Layer
        Not built.

    Raises
    ------
    ValueError or TypeError
        If the class is unknown, as the generation has it, or an argument breaks its rule.

    Examples
    --------
    >>> from convtranspose.layers import Conv1DTranspose, deserialize, serialize
    >>> deserialize(serialize(Conv1DTranspose(2, 4, strides=2))).strides
    (2,)
    """
    name = config.get("class_name")
    inner = config.get("config")
    if not isinstance(name, str) or not isinstance(inner, (Mapping, list)):
        raise ValueError(f"a layer's data must hold class_name and config. Got {str(dict(config))[:200]}.")
    made: Any = (custom_objects or {}).get(name) or layer_class(name, dialect)
    if made.holds_layers:
        return made.from_config(inner, custom_objects)  # type: ignore[no-any-return]
    return made.from_config(inner)  # type: ignore[no-any-return]
