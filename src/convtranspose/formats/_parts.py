"""Models in pieces: what all readers and writers of model files share.

A model is a tree of :class:`Part`: its layers by class and name, before they have weights. A reader
makes it from a configuration, says which :class:`Stored` arrays belong to which layer, and
:func:`joined` builds the model. Every array is compared with the shape its layer asks for before it is
read, so that nothing a file claims is believed, and a model appears whole or not at all.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from convtranspose.errors import FormatError, MissingDependencyError
from convtranspose.layers import Layer, Variable
from convtranspose.layers import Sequential as Chain

__all__ = [
    "Part",
    "Place",
    "Stored",
    "Supply",
    "counted",
    "fill",
    "joined",
    "named",
    "of_model",
    "ordered",
    "parsed",
    "plain_array",
    "reading",
    "reason",
    "short_name",
    "weight_paths",
]

Array = np.ndarray[Any, np.dtype[Any]]
Shape = tuple[int, ...]

MOST_TEXT = 2**24
"""The most bytes a configuration may have: ten thousand layers."""

MOST_REASON = 300
"""The most characters of a message of ``zipfile`` that are passed on."""


@dataclass(frozen=True)
class Stored:
    """An array in a file that has not been read yet.

    Parameters
    ----------
    name : str
        What the file calls it.
    shape : tuple of int
        Its shape.
    read : callable
        Reads it; called when the shape is the wanted one.
    otherwise : Stored, optional
        What to take if the shape is not the wanted one.
    """

    name: str
    shape: Shape
    read: Callable[[], Array]
    otherwise: Stored | None = None

    def transposed(self, order: Sequence[int]) -> Stored:
        """The same array with its axes in another order."""
        return Stored(self.name, tuple(self.shape[n] for n in order), lambda: self.read().transpose(order))

    def without(self, axis: int) -> Stored:
        """The same array without an axis of length one."""
        shape = (*self.shape[:axis], *self.shape[axis + 1 :])
        return Stored(self.name, shape, lambda: self.read().reshape(shape))

    def wanted(self, shape: Shape, by: str) -> Array:
        """The array, if it has the shape that a layer asks for."""
        if self.shape != shape and self.otherwise is not None and self.otherwise.shape == shape:
            return self.otherwise.wanted(shape, by)
        if self.shape != shape:
            raise FormatError(f"{by} has the shape {shape}, but {self.name!r} in the file has {self.shape}.")
        array = self.read()
        if array.shape != shape or array.dtype.kind != "f":
            raise FormatError(f"{self.name!r} holds no floating-point numbers of shape {shape}.")
        return array


@dataclass
class Part:
    """A layer or a model inside a model, without weights yet.

    Parameters
    ----------
    kind : str
        Name of its class.
    name : str
        Its name.
    layer : Layer or None
        The layer itself; ``None`` for a model.
    parts : list of Part
        The layers of a model, in order; the input layer among them where the model lists it.
    join : callable, optional
        Makes the model of its layers.
    """

    kind: str
    name: str
    layer: Layer | None = None
    parts: list[Part] = field(default_factory=list)
    join: Callable[[], Chain] | None = None

    def leaves(self) -> Iterator[Part]:
        """The layers, at any depth, in order."""
        if self.layer is not None:
            yield self
        for part in self.parts:
            yield from part.leaves()


class Supply:
    """The arrays of one layer: in the order of its weights, or by their names."""

    def __init__(self, arrays: Sequence[Stored] | Mapping[str, Stored]) -> None:
        self._by_name = dict(arrays) if isinstance(arrays, Mapping) else None
        self._in_order = [] if isinstance(arrays, Mapping) else list(arrays)

    def take(self, weight: str, layer: str) -> Stored:
        """The array of the next weight."""
        if self._by_name is None and self._in_order:
            return self._in_order.pop(0)
        if self._by_name is not None and weight in self._by_name:
            return self._by_name.pop(weight)
        raise FormatError(f"weight {weight!r} of layer {layer!r} is not in the file.")

    def rest(self) -> list[str]:
        """What nobody took."""
        return [stored.name for stored in (self._by_name or {}).values()] + [s.name for s in self._in_order]


Place = Callable[[Part], "dict[int, Supply]"]
"""From the parts of a model to the arrays of its layers, by the identity of the leaf."""


def ordered(pairs: Iterable[tuple[Part, Sequence[Stored]]]) -> dict[int, Supply]:
    """Supplies of leaves whose arrays stand in the order of their weights."""
    return {id(leaf): Supply(arrays) for leaf, arrays in pairs}


def named(arrays: Sequence[Stored], leaves: Iterable[Part]) -> dict[int, Supply]:
    """Supplies of leaves whose arrays are called ``.../layer/weight``."""
    leaves = list(leaves)
    found: dict[str, dict[str, Stored]] = {leaf.name: {} for leaf in leaves}
    for stored in arrays:
        owner, _, weight = stored.name.removesuffix(":0").rpartition("/")
        while owner not in found and "/" in owner:  # a layer may be called "a/b", and another "b"
            owner = owner.partition("/")[2]
        if owner not in found or weight in found[owner]:
            raise FormatError(f"array {stored.name!r} belongs to no layer of the model, or to a layer twice.")
        found[owner][weight] = stored
    return {id(leaf): Supply(found[leaf.name]) for leaf in leaves}


def short_name(variable: Variable) -> str:
    """The name of a weight inside its layer.

    >>> short_name(Variable([0.0], "up/kernel:0"))
    'kernel'
    """
    return variable.path.rpartition("/")[2].removesuffix(":0")


def weight_paths(layer: Layer, model: Layer | None = None) -> Iterator[tuple[str, Variable]]:
    """What the weights of a layer are called in the file of a model.

    Keras 3 puts the names of ``Sequential`` models before that of the layer; Keras 2 ends all with
    ``:0``. Names are made of the layers' names, so they do not depend on how a model came to be.
    """
    record = layer.dialect
    outer = (model.name,) if model is not None and type(model).__name__ == "Sequential" else ()

    def walk(one: Layer, above: tuple[str, ...]) -> Iterator[tuple[str, Variable]]:
        if isinstance(one, Chain):
            inside = (*above, one.name) if type(one).__name__ == "Sequential" else above
            for sub in one._sublayers():
                yield from walk(sub, inside)
            return
        for variable in one.weights:
            before = above if record.family == "keras3" else ()
            yield "/".join((*before, one.name, short_name(variable))) + record.weight_suffix, variable

    return walk(layer, outer)


def joined(part: Part, place: Place) -> Chain:
    """The model of which ``part`` is the tree, built with the arrays of a file."""
    supplies = place(part)
    for leaf in part.leaves():
        _hook(leaf, supplies.get(id(leaf)) or Supply(()))
    assert part.join is not None
    model = part.join()
    if not model.built:
        raise FormatError(
            "it does not say the shape of the inputs. Make the model in code, build it, and read the weights "
            "alone: model.load_weights(path)."
        )
    for leaf in part.leaves():
        assert leaf.layer is not None
        leaf.layer.__dict__.pop("add_weight", None)
    _all_used(supplies)
    return model


def counted(part: Part) -> int:
    """How many numbers the weights of a model have, without making them. The parts are used up."""
    total = 0

    def add_weight(name: str, shape: Sequence[int], *_: Any, **__: Any) -> Variable:
        nonlocal total
        total += math.prod(shape)
        return Variable(np.zeros((), np.float32), name)

    for leaf in part.leaves():
        assert leaf.layer is not None
        leaf.layer.add_weight = add_weight  # type: ignore[method-assign]
    assert part.join is not None
    part.join()
    return total


def _hook(leaf: Part, supply: Supply) -> None:
    """Let a layer take its first weights from a file when it is built."""
    layer = leaf.layer
    assert layer is not None
    add = layer.add_weight

    def add_weight(name: str, shape: Any, initializer: Any = None, **options: Any) -> Variable:
        def value(lengths: Shape, dtype: Any = None) -> Array:
            by = f"weight {name!r} of layer {leaf.name!r}"
            return supply.take(name, leaf.name).wanted(tuple(lengths), by)

        return add(name, shape, value, **options)

    layer.add_weight = add_weight  # type: ignore[method-assign]


def _all_used(supplies: Mapping[int, Supply]) -> None:
    rest = [name for supply in supplies.values() for name in supply.rest()]
    if rest:
        raise FormatError(f"it holds arrays that the model has no weights for: {', '.join(rest[:8])}.")


def of_model(model: Layer) -> Part:
    """The parts of a model that exists, or of a single layer."""

    def part(layer: Layer) -> Part:
        inside = [part(one) for one in getattr(layer, "layers", ())] if layer.holds_layers else []
        own = None if layer.holds_layers else layer
        return Part(type(layer).__name__, layer.name, own, inside)

    return part(model) if model.holds_layers else Part("Sequential", "", None, [part(model)])


def fill(model: Layer, place: Place) -> None:
    """Give a built model the arrays of a file: all of them, or none after an error."""
    tree = of_model(model)
    supplies = place(tree)
    found = []
    for leaf in tree.leaves():
        assert leaf.layer is not None
        supply = supplies.get(id(leaf)) or Supply(())
        for variable in leaf.layer.weights:
            stored = supply.take(short_name(variable), leaf.name)
            found.append((variable, stored.wanted(variable.shape, f"weight {variable.path!r}")))
    _all_used(supplies)
    for variable, array in found:
        variable.assign(array)


def plain_array(value: Array) -> Array:
    """A weight in a type that every reader knows: bfloat16 becomes float32, which holds its values."""
    return value if value.dtype.kind == "f" and value.dtype.isbuiltin == 1 else value.astype(np.float32)


def parsed(text: bytes | str, what: str) -> dict[str, Any]:
    """A JSON object.

    Raises
    ------
    FormatError
        If it is none, too long, too deep, or says something twice.
    """
    if len(text) > MOST_TEXT:
        raise FormatError(f"{what} has {len(text)} bytes, more than the {MOST_TEXT} that are read.")
    try:
        found = json.loads(text, object_pairs_hook=_once)
    except (ValueError, RecursionError) as error:
        raise FormatError(f"{what} is not valid JSON: {error}.") from None
    if not isinstance(found, dict):
        raise FormatError(f"{what} must be a JSON object, but it is a {type(found).__name__}.")
    return found


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def reason(error: Exception) -> str:
    """What an error says, at a length that can be read: ``zipfile`` quotes what stands in place of a name."""
    text = str(error) or type(error).__name__
    return text if len(text) <= MOST_REASON else f"{text[:MOST_REASON]} ..."


@contextmanager
def reading(path: str | os.PathLike[str]) -> Iterator[None]:
    """Turn whatever a damaged file causes into one :class:`FormatError` that names the file."""
    try:
        yield
    except FormatError as error:
        raise FormatError(f"{os.fspath(path)} is not a usable model file: {error}") from None
    except (OSError, MissingDependencyError):
        raise
    except Exception as error:  # what a constructor makes of arguments that nobody wrote on purpose
        raise FormatError(
            f"{os.fspath(path)} is not a usable model file: its configuration does not make a model: "
            f"{type(error).__name__}: {error}"
        ) from error
