"""``tf.layers`` of TensorFlow.js: ``conv2dTranspose``, ``conv3dTranspose``, and a chain of layers.

The layers are those of :mod:`convtranspose.layers` under the record of TensorFlow.js, which also have
its names for their methods. Arguments, defaults and errors are its own; a plain ``Error`` there is a
``ValueError`` here. What it would silently ignore (``outputPadding``, ``dilationRate``, ``groups``, an
unknown key) is ignored with a warning. ``padding="same"`` of volumes follows the documented rule, and so
that of images, where the program shifts the result of a stride larger than the kernel.

>>> from convtranspose.tfjs import layers
>>> layer = layers.conv2dTranspose({"filters": 4, "kernelSize": 3, "padding": "same"})
>>> layer.computeOutputShape((None, 5, 7, 2))
(None, 5, 7, 4)
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, Self

import numpy as np

from convtranspose import activations
from convtranspose import layers as _layers
from convtranspose._builtins import camel_case, snake_case, snake_keys
from convtranspose.dialects import TFJS
from convtranspose.layers.base import Array, Layer, Shape
from convtranspose.layers.conv_transpose import BaseConvTranspose
from convtranspose.layers.naming import unique_name
from convtranspose.layers.specs import InputSpec
from convtranspose.layers.variable import Variable
from convtranspose.tfjs.core import float32

__all__ = [
    "Conv2DTranspose",
    "Conv3DTranspose",
    "Sequential",
    "conv2dTranspose",
    "conv3dTranspose",
    "deserialize",
    "sequential",
    "serialize",
]

_SPELLED = {
    **{camel_case(key): key for key in (*TFJS.conv_keys, "name", "trainable", *TFJS.extra_arguments)},
    "dtype": "dtype",
    "inputDType": "input_dtype",
}
del _SPELLED["inputDtype"]
_IGNORED = {"outputPadding": None, "dilationRate": 1, "groups": 1}  # and what changes nothing


class _Spelled(Layer, abstract=True):
    """A layer with TensorFlow.js' names for its methods."""

    dialect = TFJS

    def apply(self, inputs: Any) -> Any:
        """Compute, building first where that is due: a call."""
        return self(inputs)

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Replace all weights, and apply their constraints, as TensorFlow.js does.

        Raises
        ------
        ValueError
            If their number or a shape differs; nothing has changed then.
        """
        super().set_weights(weights)
        for variable in self.weights:
            variable.constrain()

    def getWeights(self) -> list[Array]:
        """Copies of all weights."""
        return self.get_weights()

    def setWeights(self, weights: Sequence[Any]) -> None:
        """Replace all weights, and apply their constraints."""
        self.set_weights(weights)

    def countParams(self) -> int:
        """Numbers in all weights."""
        return self.count_params()

    def computeOutputShape(self, inputShape: Shape) -> Shape:
        """Shape of the outputs for inputs of this shape; open lengths stay ``None``."""
        return self.compute_output_shape(inputShape)

    def getClassName(self) -> str:
        """Name of its class in files."""
        return type(self).__name__

    def getConfig(self) -> dict[str, Any]:
        """All arguments as plain data, with the keys, order and words of TensorFlow.js."""
        raise NotImplementedError(f"{type(self).__name__} must define getConfig.")

    @property
    def inputSpec(self) -> list[InputSpec | None]:
        """What it wants of its input."""
        return [self.input_spec]

    @property
    def trainableWeights(self) -> list[Variable]:
        """The weights that an optimizer changes."""
        return self.trainable_weights

    @property
    def nonTrainableWeights(self) -> list[Variable]:
        """The other weights."""
        return self.non_trainable_weights

    @property
    def inputShape(self) -> Shape | None:
        """Shape of the inputs that it was built for."""
        return self.input_shape

    @property
    def outputShape(self) -> Shape:
        """Shape of the outputs for these inputs."""
        return self.output_shape

    @property
    def batchInputShape(self) -> Shape | None:
        """Shape of its inputs with the batch, if it was told."""
        return self.batch_input_shape


class _ConvTranspose(_Spelled, BaseConvTranspose, abstract=True):
    """What the two layers share."""

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, ...],
        strides: int | tuple[int, ...] = 1,
        padding: str = "valid",
        *,
        data_format: str = "channels_last",
        kernel_initializer: Any = None,
        bias_initializer: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(
            filters,
            kernel_size,
            strides,
            padding,
            data_format=data_format,
            kernel_initializer="glorotNormal" if kernel_initializer is None else kernel_initializer,
            bias_initializer="zeros" if bias_initializer is None else bias_initializer,
            **{**kwargs, "dtype": "float32"},  # whatever is asked for
        )
        self.input_spec = InputSpec(self.rank + 2)

    @classmethod
    def fromConfig(cls, config: Mapping[str, Any]) -> Self:
        """A layer from what its factory takes and :meth:`getConfig` gives."""
        return cls(**_arguments(config, cls.rank))

    def build(self, input_shape: Shape) -> None:
        """Make kernel and bias for inputs of this shape; only its channels matter.

        Raises
        ------
        ValueError
            If the rank is wrong, the channels are unknown or a size is none.
        """
        super().build(input_shape)
        axis = self._channel_axis % (self.rank + 2)
        self.input_spec = InputSpec(self.rank + 2, axes={axis: self.kernel.shape[-1]})

    def add_weight(self, name: str, shape: Sequence[Any], initializer: Any = None, **kwargs: Any) -> Variable:
        """Make a weight: what ``build`` calls. A name that is in use already gets a number."""
        made = super().add_weight(name, shape, initializer, **kwargs)
        made.name = unique_name(made.name, "tfjs weights")
        return made

    def _cast(self, inputs: Any) -> Array:
        return float32(inputs, "inputs")

    def __call__(self, inputs: Any, training: bool | None = None) -> Any:
        """Compute, building first where that is due; see :class:`convtranspose.layers.Layer`.

        Raises
        ------
        NotImplementedError
            With an ``activityRegularizer``, as in TensorFlow.js.
        """
        if self.activity_regularizer is not None:
            raise NotImplementedError(
                f"TensorFlow.js has no activityRegularizer at a call, but layer {self.name!r} has one. "
                f"convtranspose.layers have it."
            )
        return super().__call__(inputs, training)

    def getConfig(self) -> dict[str, Any]:
        """All arguments as plain data, with the keys, order and words of TensorFlow.js."""
        given = self.get_config()
        keys = [*self.dialect.conv_keys, "name", "trainable"]
        if self.batch_input_shape is not None:
            keys += ["batch_input_shape", "dtype"]
        config = {camel_case(key): given[key] for key in keys}
        config["dataFormat"] = camel_case(given["data_format"])
        return {key: list(part) if isinstance(part, tuple) else part for key, part in config.items()}


class Conv2DTranspose(_ConvTranspose, _layers.Conv2DTranspose):
    """What :func:`conv2dTranspose` makes; its own constructor takes the words of files.

    Parameters
    ----------
    filters, kernel_size, strides, padding, data_format, kernel_initializer, bias_initializer
        As in :class:`convtranspose.layers.Conv2DTranspose`; the kernel begins as ``"glorotNormal"``.
    **kwargs
        Further arguments of it that TensorFlow.js has. ``dtype`` is float32, whatever is asked for.

    Examples
    --------
    >>> from convtranspose.tfjs import layers
    >>> layer = layers.Conv2DTranspose(2, kernel_size=3, name="up")
    >>> layer.getConfig()["kernelSize"]
    [3, 3]
    """


class Conv3DTranspose(_ConvTranspose, _layers.Conv3DTranspose):
    """What :func:`conv3dTranspose` makes; its own constructor takes the words of files.

    Parameters
    ----------
    filters, kernel_size, strides, padding, data_format, kernel_initializer, bias_initializer, **kwargs
        As in :class:`Conv2DTranspose`.

    Examples
    --------
    >>> from convtranspose.tfjs import layers
    >>> layers.Conv3DTranspose(2, kernel_size=(2, 3, 5)).kernel_size
    (2, 3, 5)
    """


class Sequential(_Spelled, _layers.Sequential):
    """What :func:`sequential` makes: a chain of layers as one model.

    Parameters
    ----------
    layers : iterable of Layer, optional
        The chain.
    trainable : bool, default True
        Whether an optimizer changes the weights.
    name : str, optional
        Its name; an automatic one where it is left out.

    Examples
    --------
    >>> from convtranspose.tfjs import layers
    >>> first = layers.conv2dTranspose({"filters": 2, "kernelSize": 3, "inputShape": [5, 7, 1]})
    >>> layers.Sequential([first]).countParams()
    20
    """

    def getLayer(self, nameOrIndex: str | int) -> Layer:
        """The layer of this name, or at this place.

        Raises
        ------
        ValueError
            If there is none of this name; the message lists all.
        """
        if isinstance(nameOrIndex, str):
            return self.get_layer(nameOrIndex)
        return self.get_layer(index=nameOrIndex)

    def toJSON(self) -> str:
        """The configuration as JSON text, as TensorFlow.js writes it; no weights."""
        return self.to_json()

    def getConfig(self) -> dict[str, Any]:
        """Name and layers as plain data, with the keys of TensorFlow.js."""
        inside = [
            {
                "className": type(layer).__name__,
                "config": layer.getConfig() if isinstance(layer, _Spelled) else layer.get_config(),
            }
            for layer in self.layers
        ]
        return {"name": self.name, "layers": inside}


def conv2dTranspose(config: Mapping[str, Any]) -> Conv2DTranspose:
    """Transposed convolution of images: ``tf.layers.conv2dTranspose``.

    Parameters
    ----------
    config : mapping
        ``filters`` and ``kernelSize``; ``strides`` (1), ``padding`` (``"valid"`` or ``"same"``),
        ``dataFormat`` (``"channelsLast"`` or ``"channelsFirst"``), ``activation``, ``useBias`` (true),
        ``kernelInitializer`` (``"glorotNormal"``), ``biasInitializer`` (``"zeros"``),
        ``kernelRegularizer``, ``biasRegularizer``, ``activityRegularizer``, ``kernelConstraint``,
        ``biasConstraint``, ``name``, ``trainable``, ``inputShape``, ``batchInputShape``, ``batchSize``,
        ``weights``. ``None`` is the default.

    Returns
    -------
    Conv2DTranspose
        Not built. Inputs are ``(n, h, w, c_in)`` or ``(n, c_in, h, w)``, the kernel
        ``(kh, kw, filters, c_in)``.

    Raises
    ------
    ValueError
        If an argument breaks its rule.
    AssertionError
        If there is no ``kernelSize``.

    Warns
    -----
    UserWarning
        For what TensorFlow.js ignores: ``outputPadding``, ``dilationRate``, ``groups``, a ``dtype`` other
        than float32, unknown keys.

    Notes
    -----
    Source: https://js.tensorflow.org/api/latest/#layers.conv2dTranspose

    Examples
    --------
    >>> import numpy as np
    >>> from convtranspose.tfjs import layers
    >>> layer = layers.conv2dTranspose({"filters": 1, "kernelSize": [1, 3], "kernelInitializer": "ones"})
    >>> layer.apply(np.ones((1, 1, 3, 1)))[0, 0, :, 0]
    array([1., 2., 3., 2., 1.], dtype=float32)
    """
    return Conv2DTranspose.fromConfig(config)


def conv3dTranspose(config: Mapping[str, Any]) -> Conv3DTranspose:
    """Transposed convolution of volumes: ``tf.layers.conv3dTranspose``.

    Parameters
    ----------
    config : mapping
        As in :func:`conv2dTranspose`, with three numbers per array.

    Returns
    -------
    Conv3DTranspose
        Not built. Inputs are ``(n, d, h, w, c_in)`` or ``(n, c_in, d, h, w)``, the kernel
        ``(kd, kh, kw, filters, c_in)``.

    Raises
    ------
    ValueError, AssertionError
        As :func:`conv2dTranspose`.

    Examples
    --------
    >>> from convtranspose.tfjs import layers
    >>> layer = layers.conv3dTranspose({"filters": 2, "kernelSize": 3, "strides": [1, 2, 3]})
    >>> layer.computeOutputShape((None, 2, 3, 5, 1))
    (None, 4, 7, 15, 2)
    """
    return Conv3DTranspose.fromConfig(config)


def sequential(config: Mapping[str, Any] | None = None) -> Sequential:
    """A chain of layers as one model: ``tf.sequential``.

    Parameters
    ----------
    config : mapping, optional
        ``layers`` and ``name``.

    Returns
    -------
    Sequential
        Built at once where its first layer has an ``inputShape``.

    Examples
    --------
    >>> import numpy as np
    >>> from convtranspose import tfjs
    >>> up = {"filters": 2, "kernelSize": 2, "strides": 2, "inputShape": [3, 5, 1], "name": "grow"}
    >>> model = tfjs.sequential({"layers": [tfjs.layers.conv2dTranspose(up)]})
    >>> model.predict(np.ones((1, 3, 5, 1), "float32")).shape, [w.name for w in model.weights]
    ((1, 6, 10, 2), ['grow/kernel', 'grow/bias'])
    """
    given: Mapping[str, Any] = config or {}
    inside: Iterable[Layer] = given.get("layers") or ()
    return Sequential(inside, name=given.get("name"))


def serialize(layer: _Spelled) -> dict[str, Any]:
    """A layer as TensorFlow.js writes it into files: keys and words in snake case.

    Parameters
    ----------
    layer : layer of this module
        The layer.

    Returns
    -------
    dict
        ``class_name`` and ``config``; :func:`deserialize` reads it.

    Examples
    --------
    >>> from convtranspose.tfjs import layers
    >>> layer = layers.conv2dTranspose({"filters": 4, "kernelSize": 3, "activation": "hardSigmoid"})
    >>> layers.serialize(layer)["config"]["activation"]
    'hard_sigmoid'
    """
    return snake_keys({"class_name": type(layer).__name__, "config": layer.getConfig()})


def deserialize(config: Mapping[str, Any]) -> Layer:
    """A layer from the form in files, also those that Keras 2 wrote for TensorFlow.js.

    Parameters
    ----------
    config : mapping
        ``class_name`` and ``config``.

    Returns
    -------
    Layer
        Not built.

    Raises
    ------
    ValueError
        If the class is unknown or an argument breaks its rule.

    Warns
    -----
    UserWarning
        For what TensorFlow.js ignores, as in :func:`conv2dTranspose`.

    Examples
    --------
    >>> from convtranspose.tfjs import layers
    >>> written = layers.serialize(layers.conv2dTranspose({"filters": 4, "kernelSize": 3, "name": "up"}))
    >>> layers.deserialize(written).name
    'up'
    """
    name = config.get("class_name", config.get("className"))
    own: dict[Any, type[_ConvTranspose]] = {cls.__name__: cls for cls in (Conv2DTranspose, Conv3DTranspose)}
    if name not in own:
        return _layers.deserialize(config, dialect=TFJS)
    given = {camel_case(key): value for key, value in config["config"].items()}
    for key, known in (("dataFormat", ()), ("activation", activations.names(TFJS))):
        if isinstance(given.get(key), str) and given[key] not in known:
            given[key] = camel_case(given[key])
    return own[name].fromConfig(given)


# What the factories accept


def _arguments(config: Mapping[str, Any], rank: int) -> dict[str, Any]:
    """The words of the layers for a configuration of TensorFlow.js, checked as that program checks it."""
    if "kernelSize" not in config:
        raise AssertionError(f"required key 'kernelSize' not in config. Got {', '.join(config) or 'none'}.")
    given = {key: value for key, value in config.items() if value is not None}
    count = given.get("filters")
    if isinstance(count, bool) or not isinstance(count, Real) or not float(count) > 0:
        raise ValueError(f"filters must be a number > 0. Got filters={config.get('filters')!r}.")
    size = config["kernelSize"]
    if not _is_number(size) and not (_is_array(size) and 1 <= len(size) <= 3):
        raise ValueError(
            f"kernelSize must be a number or an array of 1 to 3 numbers. Got kernelSize={size!r}."
        )
    for key in ("kernelSize", "strides", "dilationRate"):
        if key in given:
            given[key] = _per_axis(given[key], rank, key)
    padding = given.get("padding", "valid")
    if padding not in ("valid", "same"):
        causal = " 'causal' has no meaning for a transposed convolution." if padding == "causal" else ""
        raise ValueError(f"padding must be 'valid' or 'same'.{causal} Got padding={padding!r}.")
    layout = given.get("dataFormat", "channelsLast")
    if layout not in ("channelsFirst", "channelsLast"):
        raise ValueError(f"dataFormat must be 'channelsFirst' or 'channelsLast'. Got dataFormat={layout!r}.")
    given["dataFormat"] = snake_case(layout)
    _tell_what_is_ignored(given)
    return {_SPELLED[key]: value for key, value in given.items() if key in _SPELLED and key != "dtype"}


def _is_array(value: Any) -> bool:
    return isinstance(value, (Sequence, np.ndarray)) and not isinstance(value, (str, bytes))


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _per_axis(value: Any, rank: int, name: str) -> tuple[Any, ...]:
    """One number per axis: a single one is not looked at, those of an array must be integers."""
    if _is_number(value):
        return (value,) * rank
    rule = f"{name} must be a number or an array of {rank} integers. Got {name}={value!r}"
    if not _is_array(value) or len(value) != rank:
        raise ValueError(f"{rule}.")
    for number in value:
        whole = isinstance(number, Integral) or (isinstance(number, float) and number.is_integer())
        if isinstance(number, bool) or not whole:
            raise ValueError(f"{rule}, where {number!r} is no integer.")
    return tuple(int(number) for number in value)


def _tell_what_is_ignored(given: Mapping[str, Any]) -> None:
    for key, value in given.items():
        known = camel_case(key)
        if key in _IGNORED:
            heard = all(n == _IGNORED[key] for n in (value if _is_array(value) else (value,)))
            way_out = "convtranspose.layers compute it."
        elif key in ("dtype", "inputDType"):
            heard, way_out = value == "float32", "Its layers are of float32; convtranspose.layers are not."
        else:
            heard = key in _SPELLED
            way_out = f"It says {known!r}." if known != key and known in _SPELLED else "It has no such key."
        if not heard:
            warnings.warn(f"TensorFlow.js ignores {key}={value!r}. {way_out}", UserWarning, stacklevel=5)
