"""Keras activations by name, with their derivatives.

Every activation is an :class:`Activation`: call it on an array, or ask it for a
vector-Jacobian product with :func:`vjp`. :func:`get` finds them by the names that a generation of
Keras accepts, :func:`serialize` writes the name that this generation writes. Those of Keras 3 are
also attributes of this module: ``activations.relu``.

The tables in this file say which name exists where, and which two generations mean different
functions by one name (``hard_sigmoid``).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from convtranspose._activation_functions import (
    Activation,
    Pullback,
    celu,
    elu,
    exponential,
    gelu,
    glu,
    hard_shrink,
    hard_sigmoid,
    hard_sigmoid_fifth,
    hard_silu,
    hard_tanh,
    leaky_relu,
    linear,
    log_sigmoid,
    log_softmax,
    mish,
    relu,
    relu6,
    selu,
    sigmoid,
    silu,
    soft_shrink,
    softmax,
    softplus,
    softsign,
    sparse_plus,
    sparse_sigmoid,
    sparsemax,
    squareplus,
    tanh,
    tanh_shrink,
    threshold,
)
from convtranspose._builtins import function_form, object_form, snake_keys, unknown_name
from convtranspose.dialects import KERAS3, Dialect

__all__ = [
    "Activation",
    "Pullback",
    "celu",
    "deserialize",
    "elu",
    "exponential",
    "gelu",
    "get",
    "glu",
    "hard_shrink",
    "hard_sigmoid",
    "hard_silu",
    "hard_tanh",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "log_softmax",
    "mish",
    "names",
    "relu",
    "relu6",
    "selu",
    "serialize",
    "sigmoid",
    "silu",
    "soft_shrink",
    "softmax",
    "softplus",
    "softsign",
    "sparse_plus",
    "sparse_sigmoid",
    "sparsemax",
    "squareplus",
    "tanh",
    "tanh_shrink",
    "threshold",
    "vjp",
]

Array = np.ndarray[Any, np.dtype[Any]]

_KERAS2 = {
    "elu": elu,
    "exponential": exponential,
    "gelu": gelu,
    "hard_sigmoid": hard_sigmoid_fifth,
    "linear": linear,
    "relu": relu,
    "selu": selu,
    "sigmoid": sigmoid,
    "softmax": softmax,
    "softplus": softplus,
    "softsign": softsign,
    "swish": silu,
    "tanh": tanh,
}
_KERAS2_9 = {
    **_KERAS2,
    "leaky_relu": leaky_relu,
    "log_softmax": log_softmax,
    "relu6": relu6,
    "silu": silu,
}
_KERAS3 = {
    made.name: made
    for made in (
        *(celu, elu, exponential, gelu, glu, hard_shrink, hard_sigmoid, hard_silu, hard_tanh, leaky_relu),
        *(linear, log_sigmoid, log_softmax, mish, relu, relu6, selu, sigmoid, silu, soft_shrink, softmax),
        *(softplus, softsign, sparse_plus, sparse_sigmoid, sparsemax, squareplus, tanh, tanh_shrink),
        threshold,
    )
}
_TFJS = {
    "elu": elu,
    "gelu": gelu,
    "gelu_new": gelu.bind(approximate=True),
    "hardSigmoid": hard_sigmoid_fifth,
    "linear": linear,
    "logSoftmax": log_softmax,
    "mish": mish,
    "relu": relu,
    "relu6": relu6,
    "selu": selu,
    "sigmoid": sigmoid,
    "softmax": softmax,
    "softplus": softplus,
    "softsign": softsign,
    "swish": silu,
    "tanh": tanh,
}
_NAMES: Mapping[str, Mapping[str, Activation]] = {
    "keras3": {**_KERAS3, "hard_swish": hard_silu, "swish": silu},
    "tf_keras_2_4": _KERAS2,
    # The real 2.9 writes log_softmax_v2 and cannot read it; here its own configurations come back.
    "tf_keras_2_9": {**_KERAS2_9, "log_softmax_v2": log_softmax},
    "tf_keras_2_21": {**_KERAS2_9, "mish": mish},
    "tfjs": _TFJS,
}
# Where two names are accepted, the one that is written.
_WRITTEN: Mapping[str, Mapping[str, str]] = {
    "keras3": {"silu": "silu", "hard_silu": "hard_silu"},
    "tf_keras_2_4": {},
    "tf_keras_2_9": {"silu": "swish", "log_softmax": "log_softmax_v2"},
    "tf_keras_2_21": {"silu": "swish", "log_softmax": "log_softmax"},
    "tfjs": {},
}


# Activation layers used as activations. Class: the function, the automatic name of such a layer, and
# argument of the layer -> (argument of the function, default).
_LAYERS: Mapping[str, tuple[Activation, str, Mapping[str, tuple[str, Any]]]] = {
    "ReLU": (
        relu,
        "re_lu",
        {
            "max_value": ("max_value", None),
            "negative_slope": ("negative_slope", 0.0),
            "threshold": ("threshold", 0.0),
        },
    ),
    "LeakyReLU": (leaky_relu, "leaky_re_lu", {"alpha": ("negative_slope", 0.3)}),
    "ELU": (elu, "elu", {"alpha": ("alpha", 1.0)}),
    "Softmax": (softmax, "softmax", {"axis": ("axis", -1)}),
    "ThresholdedReLU": (relu, "thresholded_re_lu", {"theta": ("threshold", 1.0)}),
    # Its slopes are weights that start at 0. An activation has no weights, so here they stay there.
    "PReLU": (relu, "p_re_lu", {}),
}
# What else PReLU writes. The initializer is written as the generation writes initializers.
_PRELU = ("alpha_initializer", "alpha_regularizer", "alpha_constraint", "shared_axes")
# The generations that accept them by class name; as configurations all but TensorFlow.js do.
_CLASS_NAMES = {"tf_keras_2_9": tuple(_LAYERS), "tf_keras_2_21": tuple(_LAYERS)}


@dataclass(frozen=True, eq=False, repr=False)
class _LayerActivation(Activation):
    """An activation layer used as an activation: computes in float32, its type."""

    class_name: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, x: Any, **parameters: Any) -> Array:
        return super().__call__(np.asarray(x).astype(np.float32, copy=False), **parameters)

    def vjp(self, x: Any, **parameters: Any) -> tuple[Array, Pullback]:
        return super().vjp(np.asarray(x).astype(np.float32, copy=False), **parameters)

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "trainable": True, "dtype": "float32", **self.config}

    def __reduce__(self) -> Any:
        return _layer, (self.class_name, self.get_config())


def _layer(class_name: str, config: Mapping[str, Any]) -> Activation:
    """An activation layer from its configuration, in the words of Keras 2 or Keras 3."""
    base, name, arguments = _LAYERS[class_name]
    written: dict[str, Any] = {}
    bound: dict[str, Any] = {}
    for argument, (parameter, default) in arguments.items():
        value = config.get(argument, config.get(parameter, default))
        # The layers round to their type, and so must the configuration that is written.
        value = float(np.float32(value)) if isinstance(value, float) else value
        written[argument] = bound[parameter] = value
    unknown = set(config) - set(arguments) - set(bound) - {"name", "trainable", "dtype", "build_config"}
    unknown -= set(_PRELU if class_name == "PReLU" else ())
    if unknown:
        raise TypeError(f"{class_name} has no argument {', '.join(sorted(unknown))}.")
    return _LayerActivation(
        config.get("name", name), base.function, base.pullback, bound, None, class_name, written
    )


def names(dialect: Dialect = KERAS3) -> tuple[str, ...]:
    """The activation names that a generation accepts, in alphabetical order.

    Examples
    --------
    >>> from convtranspose.dialects import TFJS
    >>> names(TFJS)[:4]
    ('elu', 'gelu', 'gelu_new', 'hardSigmoid')
    """
    return tuple(sorted(_NAMES[dialect.name]))


def get(identifier: Any, dialect: Dialect = KERAS3) -> Any:
    """An activation from what Keras accepts as one.

    Parameters
    ----------
    identifier : None, str, dict or callable
        ``None`` is ``linear``; a name of this generation; a serialized activation; a callable is
        returned as it is.
    dialect : Dialect, optional
        The generation whose names count.

    Returns
    -------
    Activation or callable

    Raises
    ------
    ValueError
        If the name is unknown in this generation.
    TypeError
        tf.keras: if it is neither a name nor callable (a ``ValueError`` in the others).

    Examples
    --------
    >>> from convtranspose.dialects import TF_KERAS_2_9
    >>> float(get("hard_sigmoid")(2.75)), float(get("hard_sigmoid", TF_KERAS_2_9)(2.75))
    (0.9583333333333334, 1.0)
    """
    if identifier is None:
        return linear
    if isinstance(identifier, (str, Mapping)):
        return deserialize(identifier, dialect=dialect)
    if callable(identifier):
        return identifier
    if dialect.family == "tfjs":
        raise ValueError(
            f"activation: Improper config format: {identifier!r}. 'className' and 'config' must be set."
        )
    kind = TypeError if dialect.family == "tf_keras" else ValueError
    raise kind(
        f"Could not interpret activation function identifier: {identifier!r}. "
        "It must be None, a name or a callable."
    )


def deserialize(
    config: Any,
    custom_objects: Mapping[str, Callable[..., Any]] | None = None,
    *,
    dialect: Dialect = KERAS3,
) -> Any:
    """An activation from what :func:`serialize` wrote.

    Parameters
    ----------
    config : str or dict
        A name, or the configuration of an activation layer or of a named function.
    custom_objects : mapping of str to callable, optional
        Names of your own.
    dialect : Dialect, optional
        The generation whose names count.

    Returns
    -------
    Activation or callable

    Raises
    ------
    ValueError
        If the name is unknown in this generation.
    TypeError
        Keras 3: if a configuration names an unknown class.

    Examples
    --------
    >>> deserialize({"class_name": "LeakyReLU", "config": {"negative_slope": 0.5}})(-2.0)
    array(-1., dtype=float32)
    """
    if isinstance(config, Mapping):
        name, inner = config.get("class_name", config.get("className")), config.get("config", {})
        if name == "function" and isinstance(inner, str):
            return deserialize(inner, custom_objects, dialect=dialect)
        if not isinstance(name, str) or not isinstance(inner, Mapping):
            raise ValueError(
                f"activation: Improper config format: {config!r}. 'class_name' must be a string and "
                "'config' a dictionary."
            )
        inner = snake_keys(inner) if dialect.family == "tfjs" else inner
    else:
        name, inner = str(config), {}
    if custom_objects and name in custom_objects:
        own = custom_objects[name]
        return own.from_config(inner) if hasattr(own, "from_config") else own
    known = _NAMES[dialect.name]
    if name in known:
        return known[name].bind(**inner) if inner else known[name]
    by_class = _CLASS_NAMES.get(dialect.name, ())
    if name in by_class or (name in _LAYERS and isinstance(config, Mapping)):
        return _layer(name, inner)
    if isinstance(config, Mapping) and dialect.family == "keras3":
        raise TypeError(
            f"Could not locate class {name!r}. An activation can be a function by its name or one of "
            f"{', '.join(_LAYERS)}; pass your own in custom_objects."
        )
    what = "activation" if dialect.family == "tfjs" else "activation function"
    raise unknown_name(what, name, dialect, [*known, *by_class])


def serialize(activation: Any, dialect: Dialect = KERAS3) -> Any:
    """What a generation writes for an activation inside the configuration of a layer.

    Parameters
    ----------
    activation : Activation, callable or None
        ``None`` is ``linear``.
    dialect : Dialect, optional
        The generation to write for.

    Returns
    -------
    str or dict

    Raises
    ------
    ValueError
        If the generation has no name for it: the reader would compute something else.

    Examples
    --------
    >>> from convtranspose.dialects import TF_KERAS_2_9
    >>> serialize(get("swish")), serialize(get("swish"), TF_KERAS_2_9)
    ('silu', 'swish')
    """
    if activation is None:
        activation = linear
    if isinstance(activation, Activation) and activation.module_name is not None:
        found = [name for name, known in _NAMES[dialect.name].items() if _same(known, activation)]
        if not found:
            raise ValueError(
                f"{dialect.name} has no name for {activation!r}, so it cannot be written there. "
                "Keep to the names of that generation, or pass a function of your own."
            )
        return _WRITTEN[dialect.name].get(activation.name, found[0])
    if hasattr(activation, "get_config"):
        class_name = getattr(activation, "class_name", type(activation).__name__)
        config = dict(activation.get_config())
        if class_name == "PReLU" and isinstance(activation, _LayerActivation):
            config |= dict.fromkeys(_PRELU)
            zeros = object_form("keras.initializers", activation, "Zeros", {}, dialect)
            config["alpha_initializer"] = zeros
        return object_form("keras.layers", activation, class_name, config, dialect)
    if not callable(activation):
        raise ValueError(f"Cannot serialize the activation {activation!r}: it is not callable.")
    return function_form(activation, "activation", dialect)


def _same(a: Activation, b: Activation) -> bool:
    return a.module_name == b.module_name and dict(a.parameters) == dict(b.parameters)


def vjp(activation: Any, x: Any) -> tuple[Array, Pullback]:
    """Apply an activation and get its vector-Jacobian product.

    Parameters
    ----------
    activation : Activation, str or None
        Or any object with a method ``vjp(x)`` of this meaning.
    x : array_like

    Returns
    -------
    outputs : ndarray
        ``activation(x)``.
    pullback : callable
        From the gradient to the outputs to the gradient to ``x``.

    Raises
    ------
    TypeError
        If the activation is a plain callable, of which the derivative is not known.

    Examples
    --------
    >>> y, pullback = vjp("relu", [-1.0, 2.0])
    >>> y, pullback([10.0, 10.0])
    (array([0., 2.]), array([ 0., 10.]))
    """
    found = get(activation) if activation is None or isinstance(activation, str) else activation
    own = getattr(found, "vjp", None)
    if own is None:
        name = getattr(found, "__name__", repr(found))
        raise TypeError(
            f"The derivative of the activation {name} is not known. Give it together with the function: "
            "convtranspose.activations.Activation(name, function, pullback)."
        )
    result: tuple[Array, Pullback] = own(x)
    return result
