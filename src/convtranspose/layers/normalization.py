"""Batch normalization as a trained model uses it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from convtranspose import constraints, initializers, regularizers
from convtranspose.layers.base import Array, Gradients, InputSpec, Pullback, Shape
from convtranspose.layers.configured import ElementwiseLayer, pulled
from convtranspose.layers.variable import Variable

__all__ = ["BatchNormalization"]


class BatchNormalization(ElementwiseLayer):
    """``gamma * (x - moving_mean) / sqrt(moving_variance + epsilon) + beta`` per channel.

    This is the form that a trained model uses. Training, which would take mean and variance from the
    batch, is refused.

    Parameters
    ----------
    axis : int or sequence of one int, default -1
        Where the channels stand.
    momentum : float, default 0.99
        Weight of the past in the moving averages; recorded.
    epsilon : float, default 0.001
        Added to the variance.
    center, scale : bool, default True
        Whether there is a ``beta``, a ``gamma``.
    beta_initializer, gamma_initializer, moving_mean_initializer, moving_variance_initializer : optional
        First values of the weights.
    beta_regularizer, gamma_regularizer, beta_constraint, gamma_constraint : optional
        As in the other layers.
    **kwargs
        ``name``, ``dtype``, ``trainable`` and ``input_shape``, as in :class:`Layer`.

    Notes
    -----
    Weights stand in the order gamma, beta, moving_mean, moving_variance; the last two are not
    trainable. Source: https://keras.io/api/layers/normalization_layers/batch_normalization/

    Examples
    --------
    >>> import numpy as np
    >>> from convtranspose.layers import BatchNormalization
    >>> layer = BatchNormalization(epsilon=0)
    >>> layer.build((None, 2))
    >>> layer.set_weights([[1, 1], [0, 0], [1, 2], [1, 4]])
    >>> layer(np.array([[3, 4]], "float32"))
    array([[2., 1.]], dtype=float32)
    """

    keys = (
        "axis=_axis momentum epsilon center scale beta_initializer gamma_initializer moving_mean_initializer "
        "moving_variance_initializer beta_regularizer gamma_regularizer beta_constraint gamma_constraint"
    )
    family_keys: ClassVar[Mapping[str, str]] = {"tf_keras": keys.replace("axis=_axis", "axis")}
    inference_only = True

    def __init__(
        self,
        axis: int | Sequence[int] = -1,
        momentum: float = 0.99,
        epsilon: float = 0.001,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        moving_mean_initializer: Any = "zeros",
        moving_variance_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        record = self.dialect
        axes = (axis,) if isinstance(axis, int) else tuple(axis)
        if len(axes) != 1 or not isinstance(axes[0], int) or isinstance(axes[0], bool):
            raise ValueError(f"axis must be one int: channels stand on one axis. Got axis={axis!r}.")
        self.axis: int | list[int] = axis if isinstance(axis, int) else list(axis)  # as Keras 2 writes it
        self._axis = axes[0]
        for name, value in (("momentum", momentum), ("epsilon", epsilon)):
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not value >= 0:
                raise ValueError(f"{name} must be a number of at least 0. Got {name}={value!r}.")
        self.momentum = momentum
        self.epsilon = epsilon
        self.center = bool(center)
        self.scale = bool(scale)
        self.beta_initializer = initializers.get(beta_initializer, record)
        self.gamma_initializer = initializers.get(gamma_initializer, record)
        self.moving_mean_initializer = initializers.get(moving_mean_initializer, record)
        self.moving_variance_initializer = initializers.get(moving_variance_initializer, record)
        self.beta_regularizer = regularizers.get(beta_regularizer, record)
        self.gamma_regularizer = regularizers.get(gamma_regularizer, record)
        self.beta_constraint = constraints.get(beta_constraint, record)
        self.gamma_constraint = constraints.get(gamma_constraint, record)
        self._factors: tuple[tuple[int, ...], Array, Array] | None = None

    def build(self, input_shape: Shape) -> None:
        """Make one number of each kind per channel."""
        n = len(input_shape)
        if not -n <= self._axis < n or self._axis % n == 0:
            raise ValueError(
                f"axis must be one of the axes 1 to {n - 1}, the batch is 0. Got axis={self.axis}, inputs "
                f"of shape {tuple(input_shape)}."
            )
        channels = input_shape[self._axis]
        if channels is None:
            raise ValueError(
                f"the channels of input_shape must be known, but axis {self._axis} is None. Got "
                f"input_shape={tuple(input_shape)}."
            )

        def weight(name: str, trainable: bool) -> Variable:
            return self.add_weight(
                name,
                (channels,),
                getattr(self, f"{name}_initializer"),
                trainable=trainable,
                regularizer=getattr(self, f"{name}_regularizer", None),
                constraint=getattr(self, f"{name}_constraint", None),
            )

        self.gamma = weight("gamma", True) if self.scale else None
        self.beta = weight("beta", True) if self.center else None
        self.moving_mean = weight("moving_mean", False)
        self.moving_variance = weight("moving_variance", False)
        self.input_spec = InputSpec(ndim=n, axes={self._axis: channels})

    def _affine(self, ndim: int, dtype: np.dtype[Any]) -> tuple[Array, Array]:
        """Factor and summand per channel, shaped to meet the inputs; made again when weights change."""
        versions = (ndim, *(v.version for v in self._variables))
        if self._factors is None or self._factors[0] != versions:
            factor = 1 / np.sqrt(self.moving_variance.value + self.moving_variance.dtype.type(self.epsilon))
            if self.gamma is not None:
                factor = factor * self.gamma.value
            summand = -self.moving_mean.value * factor
            if self.beta is not None:
                summand = summand + self.beta.value
            shape = [1] * ndim
            shape[self._axis] = -1
            self._factors = versions, factor.reshape(shape), summand.reshape(shape)
        return self._factors[1].astype(dtype, copy=False), self._factors[2].astype(dtype, copy=False)

    def call(self, inputs: Array) -> Array:
        """Compute; ``inputs`` has the layer's type."""
        factor, summand = self._affine(inputs.ndim, inputs.dtype)
        outputs = inputs * factor
        outputs += summand
        return np.asarray(outputs, inputs.dtype)

    def vjp(self, inputs: Any) -> tuple[Array, Pullback]:
        """Outputs and a pullback to inputs, gamma and beta; the moving averages stand still."""
        x = self.prepare(inputs)
        outputs = self.call(x)

        def pullback(gradient: Any) -> Gradients:
            dy = pulled(gradient, outputs)
            others = tuple(n for n in range(x.ndim) if n != self._axis % x.ndim)
            shape = [1] * x.ndim
            shape[self._axis] = -1
            mean, variance = (v.value.reshape(shape) for v in (self.moving_mean, self.moving_variance))
            normal = (x - mean) / np.sqrt(variance + variance.dtype.type(self.epsilon))
            found = {id(self.gamma): (dy * normal).sum(axis=others), id(self.beta): dy.sum(axis=others)}
            trained = tuple(found[id(v)].astype(v.dtype, copy=False) for v in self.trainable_weights)
            return Gradients(dy * self._affine(x.ndim, x.dtype)[0], trained)

        return outputs, pullback
