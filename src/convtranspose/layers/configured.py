"""What the small layers share: a configuration that is a table of keys.

Rule of this file: it knows how a value becomes plain data, and no layer by itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from convtranspose import activations, constraints, initializers, regularizers
from convtranspose.layers.base import Array, Gradients, Layer, Pullback, Shape

__all__ = ["ConfiguredLayer", "ElementwiseLayer"]

_OBJECTS = {
    "activation": activations,
    "initializer": initializers,
    "regularizer": regularizers,
    "constraint": constraints,
}


class ConfiguredLayer(Layer, abstract=True):
    """A layer whose configuration is a list of its attributes.

    Attributes
    ----------
    keys : str
        The keys of its configuration after those of every layer, separated by spaces.
    family_keys : mapping of str to str
        The same for a family of generations that has others; ``key=attribute`` where the attribute
        has another name.
    only : mapping of str to tuple of str
        Which of the keys of every layer a family writes, where it does not write all.
    """

    keys: ClassVar[str] = ""
    family_keys: ClassVar[Mapping[str, str]] = {}
    only: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    def build(self, input_shape: Shape) -> None:
        """Layers of most kinds have no weights to make."""

    def get_config(self) -> dict[str, Any]:
        """All arguments as plain data, in the form of the layer's generation."""
        family = self.dialect.family
        config = super().get_config()
        if family in self.only:
            config = {key: config[key] for key in self.only[family]}
        for key in self.family_keys.get(family, self.keys).split():
            name, _, attribute = key.partition("=")
            config[name] = self._plain(name, getattr(self, attribute or name))
        return config

    def _plain(self, key: str, value: Any) -> Any:
        module: Any = _OBJECTS.get(key.rpartition("_")[2])
        if module is not None:
            return module.serialize(value, self.dialect)
        return value.item() if isinstance(value, np.generic) else value


class ElementwiseLayer(ConfiguredLayer, abstract=True):
    """A layer whose outputs have the shape of its inputs."""

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The shape itself."""
        return tuple(input_shape)


def pulled(gradient: Any, outputs: Array) -> Array:
    """A gradient to outputs, checked."""
    dy = np.asarray(gradient, outputs.dtype)
    if dy.shape != outputs.shape:
        raise ValueError(f"gradient must have the shape {outputs.shape} of the outputs. Got {dy.shape}.")
    return dy


def plain_pullback(outputs: Array, back: Any) -> Pullback:
    """The pullback of a layer without weights."""
    return lambda gradient: Gradients(back(pulled(gradient, outputs)))
