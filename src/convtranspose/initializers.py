"""Keras initializers by name: the values that weights start from.

An initializer is called with a shape and a type. Distributions and fans are those of Keras
(``keras.initializers``), drawn with NumPy's generators: the statistics agree, the single numbers do
not. The tables at the end say which names each generation accepts and how it writes them.

Fans. Keras counts ``fan_in = prod(k) * shape[-2]`` and ``fan_out = prod(k) * shape[-1]``, right for
kernels ``(*k, in, out)``. A transposed kernel is ``(*k, filters, in_channels)``, so there Keras
takes the two for each other: ``he_*`` and ``lecun_*`` scale by the number of filters. That is the
default here too; ``fan="transposed"`` counts them right. ``glorot_*`` uses their mean and is the same
both ways.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from convtranspose._builtins import Form, Registry
from convtranspose._initializer_classes import (
    STFT,
    Constant,
    GlorotNormal,
    GlorotUniform,
    HeNormal,
    HeUniform,
    Identity,
    Initializer,
    LecunNormal,
    LecunUniform,
    Ones,
    Orthogonal,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    Values,
    VarianceScaling,
    Zeros,
    compute_fans,
)
from convtranspose.dialects import KERAS3, Dialect

__all__ = [
    "STFT",
    "Constant",
    "GlorotNormal",
    "GlorotUniform",
    "HeNormal",
    "HeUniform",
    "Identity",
    "Initializer",
    "LecunNormal",
    "LecunUniform",
    "Ones",
    "Orthogonal",
    "RandomNormal",
    "RandomUniform",
    "TruncatedNormal",
    "VarianceScaling",
    "Zeros",
    "classes",
    "compute_fans",
    "deserialize",
    "get",
    "serialize",
]

_CONSTANTS: Mapping[str, Callable[..., Any]] = {
    "Constant": Constant,
    "Identity": Identity,
    "Initializer": Initializer,
    "Ones": Ones,
    "Zeros": Zeros,
}
_RANDOM: Mapping[str, Callable[..., Any]] = {
    "GlorotNormal": GlorotNormal,
    "GlorotUniform": GlorotUniform,
    "HeNormal": HeNormal,
    "HeUniform": HeUniform,
    "LecunNormal": LecunNormal,
    "LecunUniform": LecunUniform,
    "Orthogonal": Orthogonal,
    "RandomNormal": RandomNormal,
    "RandomUniform": RandomUniform,
    "TruncatedNormal": TruncatedNormal,
    "VarianceScaling": VarianceScaling,
}
# Function name to class name, the same in Keras 2 and 3.
_SNAKE = {
    "constant": "Constant",
    "glorot_normal": "GlorotNormal",
    "glorot_uniform": "GlorotUniform",
    "he_normal": "HeNormal",
    "he_uniform": "HeUniform",
    "identity": "Identity",
    "initializer": "Initializer",
    "lecun_normal": "LecunNormal",
    "lecun_uniform": "LecunUniform",
    "normal": "RandomNormal",
    "one": "Ones",
    "ones": "Ones",
    "orthogonal": "Orthogonal",
    "random_normal": "RandomNormal",
    "random_uniform": "RandomUniform",
    "truncated_normal": "TruncatedNormal",
    "uniform": "RandomUniform",
    "variance_scaling": "VarianceScaling",
    "zero": "Zeros",
    "zeros": "Zeros",
}


def _with_snake(made: Mapping[str, Callable[..., Any]]) -> dict[str, Callable[..., Any]]:
    return {**made, **{snake: made[name] for snake, name in _SNAKE.items()}}


def _zero(value: Any = 0) -> Constant:
    """The constant of tf.keras, by default 0 as an integer: configurations show it."""
    return Constant(value)


def _keras2(repeat: bool) -> dict[str, Callable[..., Any]]:
    """The names of tf.keras: classes, functions, and both again with the suffix V2."""
    random = {name: partial(make, repeat=repeat) for name, make in _RANDOM.items()}
    made = _with_snake({**_CONSTANTS, **random, "Constant": _zero})
    doubled = [name for name in (*_CONSTANTS, *_RANDOM) if name != "Initializer"]
    doubled += [name for name in made if name.startswith(("glorot_", "he_", "lecun_"))]
    return {**made, **{f"{name}V2": made[name] for name in doubled}}


def _with_value(error: type[Exception], *arguments: Any, **config: Any) -> Constant:
    """A constant of Keras 3 or TensorFlow.js, where the bare name is not enough."""
    if not arguments and "value" not in config:
        raise error(
            f"Constant: config must have value set but got {config}. Give the object with its value, or "
            "the name 'zeros' or 'ones'."
        )
    return Constant(*arguments, **config)


def _naming(make: Callable[..., Any], *arguments: Any, **config: Any) -> Any:
    """Make an object of TensorFlow.js, which writes a null that was given and omits one that was not."""
    made = make(*arguments, **config)
    made.named = frozenset(config)
    return made


def _tfjs() -> dict[str, Callable[..., Any]]:
    """The names of TensorFlow.js; its normal distribution is cut off but not widened."""
    scaled = {
        name: partial(_naming, partial(_RANDOM[name], repeat=None, corrected=False))
        for name in _RANDOM
        if issubclass(_RANDOM[name], VarianceScaling)  # type: ignore[arg-type]
    }
    plain = {
        name: partial(_naming, partial(make, repeat=None))
        for name, make in _RANDOM.items()
        if name not in scaled
    }
    made: dict[str, Callable[..., Any]] = {
        **_CONSTANTS,
        **plain,
        **scaled,
        "Constant": partial(_with_value, ValueError),
    }
    del made["Initializer"]
    made["LeCunNormal"], made["LeCunUniform"] = made.pop("LecunNormal"), made.pop("LecunUniform")
    return {**made, **{name[0].lower() + name[1:]: make for name, make in made.items()}}


_SCALED_CLASSES = (GlorotNormal, GlorotUniform, HeNormal, HeUniform, LecunNormal, LecunUniform)
_SIMPLE: Mapping[type, Form] = {
    Constant: ("Constant", "value=plain_value"),
    Ones: ("Ones", ""),
    Zeros: ("Zeros", ""),
}
_AXES = "input_axes output_axes fan=other_fan?"
_KERAS3_FORMS: Mapping[type, Form] = {
    **_SIMPLE,
    **{made: (made.__name__, f"seed {_AXES}") for made in _SCALED_CLASSES},
    Constant: ("Constant", "value=keras3_value"),
    Identity: ("Identity", "gain=other_gain?"),
    Initializer: ("Initializer", ""),
    Orthogonal: ("Orthogonal", "seed gain"),
    RandomNormal: ("RandomNormal", "seed mean stddev"),
    RandomUniform: ("RandomUniform", "seed minval maxval"),
    STFT: ("STFT", "side window periodic scaling"),
    TruncatedNormal: ("TruncatedNormal", "seed mean stddev"),
    VarianceScaling: ("VarianceScaling", f"seed scale mode distribution {_AXES}"),
}
_KERAS2_AXES = "input_axes? output_axes? fan=other_fan?"
_KERAS2_FORMS: Mapping[type, Form] = {
    **_SIMPLE,
    **{made: (made.__name__, f"seed {_KERAS2_AXES}") for made in _SCALED_CLASSES},
    Identity: ("Identity", "gain"),
    Initializer: ("Initializer", ""),
    Orthogonal: ("Orthogonal", "gain seed"),
    RandomNormal: ("RandomNormal", "mean stddev seed"),
    RandomUniform: ("RandomUniform", "minval maxval seed"),
    TruncatedNormal: ("TruncatedNormal", "mean stddev seed"),
    VarianceScaling: ("VarianceScaling", f"scale mode distribution seed {_KERAS2_AXES}"),
}
_TFJS_FORMS: Mapping[type, Form] = {
    **_SIMPLE,
    **dict.fromkeys(_SCALED_CLASSES, ("VarianceScaling", "scale mode distribution=short_distribution seed")),
    Identity: ("Identity", "gain"),
    Orthogonal: ("Orthogonal", "gain seed?"),
    RandomNormal: ("RandomNormal", "mean stddev seed?"),
    RandomUniform: ("RandomUniform", "minval maxval seed?"),
    TruncatedNormal: ("TruncatedNormal", "mean stddev seed?"),
    VarianceScaling: ("VarianceScaling", "scale mode distribution=short_distribution seed?"),
}
_REGISTRY = Registry(
    what="initializer",
    names={
        "keras3": {
            **_with_snake({**_CONSTANTS, **_RANDOM, "Constant": partial(_with_value, KeyError)}),
            "IdentityInitializer": Identity,
            "OrthogonalInitializer": Orthogonal,
            "STFT": STFT,
            "STFTInitializer": STFT,
            "stft": STFT,
        },
        "tf_keras_2_4": _keras2(repeat=False),
        "tf_keras_2_9": _keras2(repeat=False),
        "tf_keras_2_21": _keras2(repeat=True),
        "tfjs": _tfjs(),
    },
    forms={"keras3": _KERAS3_FORMS, "tf_keras": _KERAS2_FORMS, "tfjs": _TFJS_FORMS},
)
Initializer._registry = _REGISTRY


def get(identifier: Any, dialect: Dialect = KERAS3) -> Any:
    """An initializer from what Keras accepts as one.

    Parameters
    ----------
    identifier : None, str, dict, class, callable or ndarray
        ``None`` stays ``None``; a name of this generation; a configuration; a class is instantiated; a
        callable ``f(shape, dtype)`` is returned as it is; an array gives itself (Keras 3).
    dialect : Dialect, optional
        The generation whose names count.

    Returns
    -------
    callable or None

    Raises
    ------
    ValueError
        If it is unknown in this generation.

    Examples
    --------
    >>> get("he_normal")
    HeNormal(seed=None, input_axes=None, output_axes=None)
    """
    if dialect.family == "keras3" and isinstance(identifier, (np.ndarray, np.generic)):
        return Values(np.asarray(identifier))
    return _REGISTRY.get(identifier, dialect)


def serialize(initializer: Any, dialect: Dialect = KERAS3) -> Any:
    """What a generation writes for an initializer inside the configuration of a layer.

    Examples
    --------
    >>> from convtranspose.dialects import TF_KERAS_2_9
    >>> serialize(RandomNormal(stddev=0.5, seed=3), TF_KERAS_2_9)
    {'class_name': 'RandomNormal', 'config': {'mean': 0.0, 'stddev': 0.5, 'seed': 3}}
    """
    return _REGISTRY.serialize(initializer, dialect)


def deserialize(
    config: Any,
    custom_objects: Mapping[str, Callable[..., Any]] | None = None,
    *,
    dialect: Dialect = KERAS3,
) -> Any:
    """An initializer from what :func:`serialize` wrote.

    Examples
    --------
    >>> deserialize({"class_name": "Constant", "config": {"value": 2.0}})
    Constant(value=2.0)
    """
    return _REGISTRY.deserialize(config, custom_objects, dialect)


def classes(dialect: Dialect = KERAS3) -> Mapping[str, Callable[..., Any]]:
    """Everything a generation knows by name: name to what makes the object.

    >>> classes()["constant"](3.0)((2,))
    array([3., 3.], dtype=float32)
    """
    return _REGISTRY.names[dialect.name]
