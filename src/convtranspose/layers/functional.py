"""Models as a graph, where the graph is a chain: what ``Model(inputs, outputs)`` makes.

Keras writes such a model with the name of every place that feeds a layer. Here the graph must be one
line from its input to its output; where it branches, or a layer is used twice, reading it says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Self

from convtranspose.layers.base import Layer, Shape, SymbolicTensor
from convtranspose.layers.naming import unique_name
from convtranspose.layers.sequential import InputLayer, Sequential
from convtranspose.layers.serialization import deserialize, serialize

__all__ = ["Functional", "Model", "chain"]


class Functional(Sequential):
    """A chain of layers that begins with an input layer; made by :func:`Model`.

    It computes as :class:`Sequential` does. As in Keras, its input layer is among ``layers``, and its
    configuration is a graph.

    Parameters
    ----------
    layers : iterable of Layer, optional
        An :class:`InputLayer` and those that follow it.
    trainable : bool, default True
        Whether an optimizer changes the weights.
    name : str, optional
        Its name; an automatic one where it is left out.

    Examples
    --------
    >>> from convtranspose.layers import Conv1DTranspose, Functional, InputLayer
    >>> Functional([InputLayer((5, 1)), Conv1DTranspose(2, 4, strides=2, padding="same")]).output_shape
    (None, 10, 2)
    """

    keras_modules: ClassVar[Mapping[str, str]] = {
        "keras3": "keras.src.models.functional",
        "tf_keras": "tf_keras.src.engine.functional",
    }

    def _automatic_name(self) -> str:
        return unique_name("functional" if self.dialect.build_scoped else "model", self.dialect.family)

    @property
    def layers(self) -> list[Layer]:
        """The input layer and the chain."""
        return [*([] if self._input is None else [self._input]), *self._chain]

    def get_config(self) -> dict[str, Any]:
        """Name and graph as plain data, in the form of the model's generation."""
        record, items = self.dialect, []
        node, place = _FORMS[record.family]
        before: Layer | None = None
        shape = self.input_shape
        for layer in self.layers:
            fed: list[Any] = [] if before is None else [node(before, shape)]
            items.append({**serialize(layer), "name": layer.name, "inbound_nodes": fed})
            shape = None if shape is None else layer.compute_output_shape(shape)
            before = layer
        ends = self.layers
        trainable = {"trainable": self.trainable} if record.objects_named_by_module else {}
        return {
            "name": self.name,
            **trainable,
            "layers": items,
            "input_layers": place(ends[0]) if ends else [],
            "output_layers": place(ends[-1]) if ends else [],
        }

    @classmethod
    def from_config(
        cls,
        config: dict[str, Any] | list[dict[str, Any]],
        custom_objects: Mapping[str, type[Layer]] | None = None,
    ) -> Self:
        """A model with the graph that :meth:`get_config` gave, in any generation's form.

        Raises
        ------
        ValueError
            If the graph is not one line.
        """
        if isinstance(config, list):
            raise ValueError("a functional model's configuration must be a dictionary, not a list.")
        items = chain(config)
        layers = [deserialize(item, custom_objects, dialect=cls.dialect) for item in items]
        return cls(layers, trainable=config.get("trainable", True), name=config.get("name"))


def _keras2_place(layer: Layer) -> list[Any]:
    return [layer.name, int(layer.holds_layers), 0]  # a model's own graph is its use number 0 there


def _keras2_node(before: Layer, _: Shape | None) -> list[Any]:
    return [[*_keras2_place(before), {}]]


def _tfjs_node(before: Layer, _: Shape | None) -> list[Any]:
    return [[before.name, 0, 0, {}]]


def _keras3_node(before: Layer, shape: Shape | None) -> dict[str, Any]:
    tensor = {"shape": shape, "dtype": before.compute_dtype, "keras_history": [before.name, 0, 0]}
    return {"args": [{"class_name": "__keras_tensor__", "config": tensor}], "kwargs": {}}


_FORMS: Mapping[str, tuple[Any, Any]] = {
    "keras3": (_keras3_node, lambda layer: [layer.name, 0, 0]),
    "tf_keras": (_keras2_node, lambda layer: [_keras2_place(layer)]),
    "tfjs": (_tfjs_node, lambda layer: [[layer.name, 0, 0]]),
}
"""How a family writes what feeds a layer, and where a model begins and ends."""


def chain(config: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The layers of a functional configuration in order, if its graph is one line.

    Parameters
    ----------
    config : mapping
        With ``layers``, ``input_layers`` and ``output_layers``, in any generation's form.

    Returns
    -------
    list of mapping
        The items of ``layers``, the input layer first.

    Raises
    ------
    ValueError
        If the graph branches, or a layer is used more than once or not at all.
    """
    items = {_name_of(item): item for item in config["layers"]}
    if len(items) != len(config["layers"]):
        raise ValueError("two layers of the model have the same name.")
    begins, ends = _ends(config, "input_layers"), _ends(config, "output_layers")
    if len(begins) != 1 or len(ends) != 1:
        raise ValueError(
            f"only models with one input and one output are read, but this one has {len(begins)} and "
            f"{len(ends)}: {', '.join(begins)}; {', '.join(ends)}."
        )
    before: dict[str, str] = {}
    for name, item in items.items():
        nodes = item.get("inbound_nodes") or []
        sources = [source for node in nodes for source in _sources(node, name)]
        if len(nodes) > 1 or len(sources) > 1:
            found = (
                f"is used {len(nodes)} times, after" if len(nodes) > 1 else f"takes {len(sources)} inputs:"
            )
            raise ValueError(
                f"only models that are one line of layers are read, but layer {name!r} {found} "
                f"{', '.join(sources)}."
            )
        if sources:
            before[name] = sources[0]
    line: list[Mapping[str, Any]] = []
    name = ends[0]
    while name in items and len(line) <= len(items):
        line.append(items[name])
        if name == begins[0]:
            break
        name = before.get(name, "")
    if not line or name != begins[0]:
        raise ValueError(f"the output {ends[0]!r} does not come from the input {begins[0]!r}.")
    if len(line) != len(items):
        unused = sorted(items.keys() - {_name_of(item) for item in line})
        raise ValueError(
            f"only models that are one line of layers are read, but these stand beside it: "
            f"{', '.join(unused)}."
        )
    return line[::-1]


def _name_of(item: Mapping[str, Any]) -> str:
    name = item.get("name", item["config"].get("name") if isinstance(item["config"], Mapping) else None)
    if not isinstance(name, str):
        raise ValueError("a layer of the model has no name.")
    return name


def _ends(config: Mapping[str, Any], key: str) -> list[str]:
    given = config[key]
    if isinstance(given, list) and len(given) == 3 and isinstance(given[0], str):
        given = [given]
    if not isinstance(given, list) or any(not _is_place(place) for place in given):
        raise ValueError(f"{key} must be a list of places [layer, node, tensor]. Got {str(given)[:100]}.")
    return [place[0] for place in given]


def _is_place(place: Any) -> bool:
    return (
        isinstance(place, list)
        and len(place) in (3, 4)
        and isinstance(place[0], str)
        and type(place[1]) is int  # which use of the layer; that there is only one is checked elsewhere
        and place[2] == 0
    )


def _sources(node: Any, name: str) -> list[str]:
    """Names of the layers that feed one use of a layer."""
    if isinstance(node, Mapping):  # Keras 3: the arguments of the call
        tensors = _tensors([node.get("args", []), node.get("kwargs", {})])
        places: Any = [tensor["config"]["keras_history"] for tensor in tensors]
    elif isinstance(node, list) and len(node) in (3, 4) and isinstance(node[0], str):
        places = [node]
    else:
        places = node
    if not isinstance(places, list) or any(not _is_place(place) for place in places):
        raise ValueError(f"what feeds layer {name!r} is not the first output of a layer that is used once.")
    return [place[0] for place in places]


def _tensors(value: Any, depth: int = 8) -> list[Mapping[str, Any]]:
    """The places that stand anywhere in the arguments of a Keras 3 call."""
    if depth < 0:
        raise ValueError("the arguments of a layer are nested too deeply.")
    if isinstance(value, Mapping):
        if value.get("class_name") == "__keras_tensor__":
            return [value]
        value = list(value.values())
    if isinstance(value, list):
        return [tensor for item in value for tensor in _tensors(item, depth - 1)]
    return []


def Model(  # noqa: N802 - Keras' name
    inputs: SymbolicTensor, outputs: SymbolicTensor, name: str | None = None
) -> Functional:
    """The model between two places: the layers from one to the other.

    Parameters
    ----------
    inputs, outputs : SymbolicTensor
        Where it begins, made by :func:`Input`, and where it ends.
    name : str, optional
        Its name.

    Returns
    -------
    Functional
        Built, with these very layers.

    Raises
    ------
    ValueError
        If ``outputs`` does not come from ``inputs``.

    Examples
    --------
    >>> from convtranspose.layers import Conv1DTranspose, Input, Model
    >>> x = Input((5, 1))
    >>> Model(x, Conv1DTranspose(2, 4, strides=2, padding="same")(x)).output_shape
    (None, 10, 2)
    """
    line: list[Layer] = []
    place: SymbolicTensor | None = outputs
    while place is not None and place is not inputs:
        line.append(place.layer)
        place = place.source
    if place is None:
        raise ValueError(
            f"outputs must come from inputs through layers, but the chain of outputs begins elsewhere. "
            f"Got inputs of shape {inputs.shape}, outputs of shape {outputs.shape}."
        )
    first = inputs.layer
    assert isinstance(first, InputLayer)
    return Functional.in_dialect(first.dialect)([first, *reversed(line)], name=name)
