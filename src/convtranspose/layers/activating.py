"""Activations as layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from convtranspose import activations, constraints, initializers, regularizers
from convtranspose.layers.base import Array, Gradients, InputSpec, Pullback, Shape
from convtranspose.layers.configured import ElementwiseLayer, plain_pullback, pulled
from convtranspose.layers.variable import Variable

__all__ = ["ELU", "Activation", "LeakyReLU", "PReLU", "ReLU", "Softmax"]


class Activation(ElementwiseLayer):
    """An activation by name, or any function of an array.

    Parameters
    ----------
    activation : str, callable or dict
        See :mod:`convtranspose.activations`.
    **kwargs
        ``name``, ``dtype``, ``trainable`` and ``input_shape``, as in :class:`Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from convtranspose.layers import Activation
    >>> Activation("relu")(np.array([[-1, 2]], "float32"))
    array([[0., 2.]], dtype=float32)
    """

    keys = "activation"

    def __init__(self, activation: Any, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.activation = activations.get(activation, self.dialect)

    def _function(self) -> Any:
        return self.activation

    def call(self, inputs: Array) -> Array:
        """The function of the inputs."""
        return np.asarray(self._function()(inputs), inputs.dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The shape itself; ``glu`` halves its last axis."""
        shape = tuple(input_shape)
        if getattr(self._function(), "name", None) == "glu" and shape[-1] is not None:
            return *shape[:-1], shape[-1] // 2
        return shape

    def vjp(self, inputs: Any) -> tuple[Array, Pullback]:
        """Outputs and a pullback."""
        outputs, back = activations.vjp(self._function(), self.prepare(inputs))
        return outputs, plain_pullback(outputs, back)


def _number(value: Any, name: str, least: float | None = None) -> Any:
    if isinstance(value, np.ndarray) and value.ndim == 0:
        value = value.item()
    number = isinstance(value, (int, float, np.number)) and not isinstance(value, bool)
    if not number or not np.isfinite(value) or (least is not None and value < least):
        rule = "a number" if least is None else f"a number of at least {least:g}"
        raise ValueError(f"{name} must be {rule}. Got {name}={value!r}.")
    return value


class _Fixed(Activation):
    """A layer that binds the parameters of one activation."""

    def __init__(self, function: str, parameters: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(getattr(activations, function).bind(**parameters), **kwargs)


class ReLU(_Fixed):
    """``x`` above the threshold, ``negative_slope * (x - threshold)`` below, at most ``max_value``.

    Parameters
    ----------
    max_value : float, optional
        The most an output can be.
    negative_slope : float, default 0
        Slope below the threshold.
    threshold : float, default 0
        Where the outputs begin.
    **kwargs
        As in :class:`Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from convtranspose.layers import ReLU
    >>> ReLU(max_value=6)(np.array([[-1, 2, 9]], "float32"))
    array([[0., 2., 6.]], dtype=float32)
    """

    keys = "max_value negative_slope threshold"
    family_keys: ClassVar[Mapping[str, str]] = {"tfjs": "max_value"}

    def __init__(
        self, max_value: Any = None, negative_slope: Any = 0.0, threshold: Any = 0.0, **kwargs: Any
    ) -> None:
        self.max_value = None if max_value is None else _number(max_value, "max_value", 0)
        self.negative_slope = _number(0.0 if negative_slope is None else negative_slope, "negative_slope", 0)
        self.threshold = _number(0.0 if threshold is None else threshold, "threshold", 0)
        own = {key: getattr(self, key) for key in ReLU.keys.split()}
        super().__init__("relu", own, **kwargs)


class LeakyReLU(_Fixed):
    """``x`` where it is positive, ``negative_slope * x`` elsewhere.

    Parameters
    ----------
    negative_slope : float, default 0.3
        Slope below zero.
    alpha : float, optional
        Its name before Keras 3.
    **kwargs
        As in :class:`Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from convtranspose.layers import LeakyReLU
    >>> LeakyReLU(0.5)(np.array([[-1, 2]], "float32"))
    array([[-0.5,  2. ]], dtype=float32)
    """

    keys = "negative_slope"
    family_keys: ClassVar[Mapping[str, str]] = {
        "tf_keras": "alpha=negative_slope",
        "tfjs": "alpha=negative_slope",
    }

    def __init__(self, negative_slope: Any = 0.3, *, alpha: Any = None, **kwargs: Any) -> None:
        self.negative_slope = _number(negative_slope if alpha is None else alpha, "negative_slope", 0)
        super().__init__("leaky_relu", {"negative_slope": self.negative_slope}, **kwargs)


class ELU(_Fixed):
    """``x`` where it is positive, ``alpha * (exp(x) - 1)`` elsewhere.

    Parameters
    ----------
    alpha : float, default 1
        Where the outputs end below.
    **kwargs
        As in :class:`Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from convtranspose.layers import ELU
    >>> ELU(alpha=2.0)(np.array([[-100.0, 3.0]], "float32"))
    array([[-2.,  3.]], dtype=float32)
    """

    keys = "alpha"

    def __init__(self, alpha: Any = 1.0, **kwargs: Any) -> None:
        self.alpha = _number(alpha, "alpha")
        super().__init__("elu", {"alpha": self.alpha}, **kwargs)


class Softmax(_Fixed):
    """Positive outputs whose sum along an axis is one.

    Parameters
    ----------
    axis : int or sequence of int, default -1
        Along which.
    **kwargs
        As in :class:`Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from convtranspose.layers import Softmax
    >>> Softmax()(np.array([[1.0, 1.0]], "float32"))
    array([[0.5, 0.5]], dtype=float32)
    """

    keys = "axis"

    def __init__(self, axis: int | Sequence[int] = -1, **kwargs: Any) -> None:
        self.axis = axis if isinstance(axis, int) else tuple(int(n) for n in axis)
        super().__init__("softmax", {"axis": self.axis}, **kwargs)


class PReLU(ElementwiseLayer):
    """``x`` where it is positive, ``alpha * x`` elsewhere, with a learned ``alpha`` per place.

    Parameters
    ----------
    alpha_initializer : str, callable or dict, default "zeros"
        First value of the slopes.
    alpha_regularizer : str, callable or dict, optional
        Penalty on the slopes.
    alpha_constraint : str, callable or dict, optional
        Constraint of the slopes.
    shared_axes : sequence of int, optional
        Axes (the batch is 0) along which one slope serves all: ``(1, 2)`` gives one per channel.
    **kwargs
        As in :class:`Layer`.

    Examples
    --------
    >>> from convtranspose.layers import PReLU
    >>> layer = PReLU(shared_axes=(1, 2))
    >>> layer.build((None, 5, 7, 2))
    >>> layer.alpha.shape
    (1, 1, 2)
    """

    keys = "alpha_initializer alpha_regularizer alpha_constraint shared_axes"
    alpha: Variable

    def __init__(
        self,
        alpha_initializer: Any = "zeros",
        alpha_regularizer: Any = None,
        alpha_constraint: Any = None,
        shared_axes: int | Sequence[int] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        record = self.dialect
        self.alpha_initializer = initializers.get(alpha_initializer, record)
        self.alpha_regularizer = regularizers.get(alpha_regularizer, record)
        self.alpha_constraint = constraints.get(alpha_constraint, record)
        axes = (shared_axes,) if isinstance(shared_axes, int) else shared_axes
        self.shared_axes = None if axes is None else [int(n) for n in axes]

    def build(self, input_shape: Shape) -> None:
        """Make one slope per place of an input."""
        shape = list(input_shape[1:])
        for axis in self.shared_axes or ():
            if not 1 <= axis <= len(shape):
                raise ValueError(
                    f"shared_axes must lie between 1 and {len(shape)}. Got shared_axes={self.shared_axes} "
                    f"for inputs of shape {tuple(input_shape)}."
                )
            shape[axis - 1] = 1
        if None in shape:
            raise ValueError(
                f"PReLU must know the lengths of all axes that do not share a slope. Got inputs of shape "
                f"{tuple(input_shape)}, shared_axes={self.shared_axes}."
            )
        self.alpha = self.add_weight(
            "alpha",
            shape,
            self.alpha_initializer,
            regularizer=self.alpha_regularizer,
            constraint=self.alpha_constraint,
        )
        shared = self.shared_axes or ()
        axes = {n: length for n, length in enumerate(shape, 1) if n not in shared}
        self.input_spec = InputSpec(ndim=len(input_shape), axes={n: int(k) for n, k in axes.items() if k})

    def call(self, inputs: Array) -> Array:
        """Compute; ``inputs`` has the layer's type."""
        slope = self.alpha.value.astype(inputs.dtype, copy=False)
        return np.where(inputs > 0, inputs, slope * inputs)

    def vjp(self, inputs: Any) -> tuple[Array, Pullback]:
        """Outputs and a pullback to the inputs and the slopes."""
        x = self.prepare(inputs)
        outputs = self.call(x)

        def pullback(gradient: Any) -> Gradients:
            dy = pulled(gradient, outputs)
            slope = self.alpha.value.astype(x.dtype, copy=False)
            dx = np.where(x > 0, dy, slope * dy)
            below = np.where(x > 0, 0, x * dy).sum(axis=0)
            shared = tuple(n - 1 for n in self.shared_axes or ())
            dw = below.sum(axis=shared, keepdims=True) if shared else below
            trained = (dw.astype(self.alpha.dtype),) if self.trainable_weights else ()
            return Gradients(dx, trained)

        return outputs, pullback
