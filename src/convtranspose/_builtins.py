"""How built-ins are found by name and written into configurations, the same for initializers,
regularizers and constraints: each of those modules owns its tables, this file reads them.

Rule of this file: it knows the forms of the generations (which keys a serialized object carries,
how an unknown name is refused) and no built-in by itself.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from convtranspose.dialects import KERAS3, Dialect

__all__ = ["Builtin", "Registry", "camel_case", "camel_keys", "snake_case", "snake_keys", "unknown_name"]

Form = tuple[str, str]
"""Class name and the keys of the configuration in their order, separated by spaces. ``key=name``
takes the value from the attribute ``name``; ``key?`` is written only when the value is not ``None`` or
``obj.named`` holds the key; ``key~`` is rounded to float32 first."""

# The first words of a refusal, as each generation says them; {what} is the kind of object.
_UNKNOWN = {
    "keras3": "Could not interpret {what} identifier: {name}",
    "tf_keras": "Unknown {what}: {name}",
    "tfjs": "Unknown {what}: {name}",
}


def snake_case(name: str) -> str:
    """``"fanAvg"`` to ``"fan_avg"``.

    Examples
    --------
    >>> snake_case("maxValue"), snake_case("glorotUniform"), snake_case("seed")
    ('max_value', 'glorot_uniform', 'seed')
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def camel_case(name: str) -> str:
    """``"fan_avg"`` to ``"fanAvg"``.

    Examples
    --------
    >>> camel_case("max_value"), camel_case("seed")
    ('maxValue', 'seed')
    """
    return re.sub(r"_(\w)", lambda match: match[1].upper(), name)


def _respell(value: Any, spell: Callable[[str], str]) -> Any:
    if isinstance(value, Mapping):
        kept = ("name", "class_name", "className")
        return {spell(k): v if k in kept else _respell(v, spell) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [_respell(v, spell) for v in value]
    return spell(value) if isinstance(value, str) else value


def snake_keys(config: Mapping[str, Any]) -> dict[str, Any]:
    """A TensorFlow.js configuration in the spelling of its files: keys and enumerations in snake case.

    Names and class names are left alone, as TensorFlow.js leaves them.

    Examples
    --------
    >>> snake_keys({"className": "VarianceScaling", "config": {"mode": "fanAvg"}})
    {'class_name': 'VarianceScaling', 'config': {'mode': 'fan_avg'}}
    """
    spelled: dict[str, Any] = _respell(config, snake_case)
    return spelled


def camel_keys(config: Mapping[str, Any]) -> dict[str, Any]:
    """The reverse of :func:`snake_keys`.

    Examples
    --------
    >>> camel_keys({"class_name": "VarianceScaling", "config": {"mode": "fan_avg"}})
    {'className': 'VarianceScaling', 'config': {'mode': 'fanAvg'}}
    """
    spelled: dict[str, Any] = _respell(config, camel_case)
    return spelled


def unknown_name(what: str, name: object, dialect: Dialect, known: Iterable[str]) -> ValueError:
    """The error for an unknown name, with the names that would do."""
    from difflib import get_close_matches  # only for messages, and slow to import

    names = sorted(set(known), key=lambda known: (known.lower(), known))
    close = get_close_matches(str(name), names, n=3)
    way_out = f"Did you mean {' or '.join(map(repr, close))}?" if close else f"Known: {', '.join(names)}."
    words = _UNKNOWN[dialect.family].format(what=what, name=name)
    return ValueError(f"{words}. {dialect.name} has none of that name. {way_out} Your own can be a callable.")


class Builtin:
    """What initializers, regularizers and constraints share: a configuration."""

    _registry: Registry
    named: frozenset[str] = frozenset()
    """Arguments that were given by name, in generations that write those even when they are null."""

    def get_config(self) -> dict[str, Any]:
        """Constructor arguments as Keras 3 writes them."""
        return self._registry.config(self, KERAS3)[1]

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Any:
        """An object from :meth:`get_config`."""
        return cls(**config)

    def __repr__(self) -> str:
        arguments = ", ".join(f"{k}={v!r}" for k, v in self.get_config().items())
        return f"{type(self).__name__}({arguments})"


def _emit(obj: Any, key: str) -> tuple[str, Any]:
    name, _, attribute = key.rstrip("?~").partition("=")
    value = getattr(obj, attribute or name)
    if key.endswith("~"):
        value = float(np.float32(value))
    return name, value


@dataclass(frozen=True)
class Registry:
    """The built-ins of one kind.

    Parameters
    ----------
    what : str
        The kind in messages, for instance ``"initializer"``.
    names : mapping of dialect name to mapping of str to callable
        Accepted strings and what makes the object of them.
    forms : mapping of dialect family to mapping of class to Form
        How an object is written.
    classes_as_given : frozenset of str, optional
        Families that take a class for a callable and do not instantiate it.
    """

    what: str
    names: Mapping[str, Mapping[str, Callable[..., Any]]]
    forms: Mapping[str, Mapping[type, Form]]
    classes_as_given: frozenset[str] = frozenset()

    def get(self, identifier: Any, dialect: Dialect) -> Any:
        """An object from ``None``, a name, a configuration, a class or a callable."""
        if identifier is None:
            return None
        if isinstance(identifier, str):
            return self._make(identifier, {}, dialect, {}, identifier)
        if isinstance(identifier, Mapping):
            return self.deserialize(identifier, None, dialect)
        if callable(identifier):
            made = inspect.isclass(identifier) and dialect.family not in self.classes_as_given
            return identifier() if made else identifier
        if dialect.family == "tfjs":
            raise ValueError(
                f"{self.what}: Improper config format: {identifier!r}. 'className' and 'config' must be set."
            )
        raise ValueError(
            f"Could not interpret {self.what} identifier: {identifier!r}. "
            "It must be None, a name, a configuration, a class or a callable."
        )

    def deserialize(
        self, config: Any, custom_objects: Mapping[str, Callable[..., Any]] | None, dialect: Dialect
    ) -> Any:
        """An object from its serialized form: a name or a dictionary."""
        if config is None or isinstance(config, str):
            if isinstance(config, str) and custom_objects and config in custom_objects:
                return custom_objects[config]
            return self.get(config, dialect)
        name = config.get("class_name", config.get("className"))
        inner = config.get("config", {})
        if name == "function" and isinstance(inner, str):
            return self.deserialize(inner, custom_objects, dialect)
        if not isinstance(name, str) or not isinstance(inner, Mapping):
            raise ValueError(
                f"{self.what}: Improper config format: {config!r}. 'class_name' must be a string and "
                "'config' a dictionary."
            )
        if dialect.family == "tfjs":
            inner = snake_keys(inner)
        # Files of TensorFlow 1 style layers carry a dtype here; the layer decides it.
        arguments = {key: value for key, value in inner.items() if key != "dtype"}
        return self._make(name, arguments, dialect, custom_objects or {}, config)

    def _make(
        self,
        name: str,
        arguments: Mapping[str, Any],
        dialect: Dialect,
        custom_objects: Mapping[str, Callable[..., Any]],
        given: object,
    ) -> Any:
        if name in custom_objects:
            own = custom_objects[name]
            return own.from_config(arguments) if hasattr(own, "from_config") else own(**arguments)
        makers = self.names[dialect.name]
        if name not in makers:
            raise unknown_name(self.what, given, dialect, makers)
        return makers[name](**arguments)

    def config(self, obj: Any, dialect: Dialect) -> tuple[str, dict[str, Any]]:
        """Class name and configuration of an object in the spelling of a generation."""
        form = self.forms[dialect.family].get(type(obj))
        if form is None:
            if any(type(obj) in known for known in self.forms.values()):
                raise ValueError(
                    f"{dialect.name} has no {self.what} {type(obj).__name__}, so it cannot be written there."
                )
            return type(obj).__name__, dict(obj.get_config())
        class_name, keys = form
        pairs = [(key, *_emit(obj, key)) for key in keys.split()]
        return class_name, {
            name: value
            for key, name, value in pairs
            if value is not None or not key.endswith("?") or name in obj.named
        }

    def serialize(self, obj: Any, dialect: Dialect) -> Any:
        """The form that stands inside the configuration of a layer."""
        if obj is None or isinstance(obj, str):
            return obj
        if inspect.isclass(obj):
            raise TypeError(
                f"get_config() of the {self.what} needs an object, but it is the class {obj.__name__}. "
                f"Give an instance: {obj.__name__}()."
            )
        if not hasattr(obj, "get_config"):
            return function_form(obj, self.what, dialect)
        class_name, config = self.config(obj, dialect)
        return object_form(f"keras.{self.what}s", obj, class_name, config, dialect)


def object_form(
    module: str, obj: Any, class_name: str, config: dict[str, Any], dialect: Dialect
) -> dict[str, Any]:
    """A configuration with what the generation writes around it."""
    if dialect.family == "tfjs":
        return {"className": class_name, "config": camel_keys(config)}
    if not dialect.objects_named_by_module:
        return {"class_name": class_name, "config": config}
    own = not type(obj).__module__.startswith("convtranspose.")
    return {
        "module": type(obj).__module__ if own else module,
        "class_name": class_name,
        "config": config,
        "registered_name": class_name if own else None,
    }


def function_form(function: Any, what: str, dialect: Dialect) -> Any:
    """A plain function as configuration: its name, which the reader must know."""
    name = getattr(function, "__name__", None)
    if name is not None and dialect.family == "tf_keras":
        return name
    if name is None or name == "<lambda>" or dialect.family == "tfjs":
        raise ValueError(
            f"A configuration is data, and the {what} {function!r} has no name to write there. "
            "Define it with def, or as a class with get_config(), and pass it as custom object on reading."
        )
    return {"module": "builtins", "class_name": "function", "config": name, "registered_name": "function"}
