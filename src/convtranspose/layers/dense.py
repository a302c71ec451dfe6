"""The fully connected layer."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from convtranspose import activations, constraints, initializers, regularizers
from convtranspose import arguments as args
from convtranspose.layers.base import Array, Gradients, InputSpec, Pullback, Shape
from convtranspose.layers.configured import ConfiguredLayer, pulled
from convtranspose.layers.variable import Variable

__all__ = ["Dense"]


class Dense(ConfiguredLayer):
    """``activation(inputs @ kernel + bias)`` along the last axis.

    Parameters
    ----------
    units : int
        Length of the last axis of the outputs.
    activation : str, callable or dict, optional
        Applied to the outputs; see :mod:`convtranspose.activations`.
    use_bias : bool, default True
        Whether a bias is added.
    kernel_initializer : str, callable or dict, default "glorot_uniform"
        First value of the kernel.
    bias_initializer : str, callable or dict, default "zeros"
        First value of the bias.
    kernel_regularizer, bias_regularizer, activity_regularizer : str, callable or dict, optional
        Penalties that join ``losses``.
    kernel_constraint, bias_constraint : str, callable or dict, optional
        Applied by :meth:`apply_constraints`.
    **kwargs
        ``name``, ``dtype``, ``trainable`` and ``input_shape``, as in :class:`Layer`.

    Examples
    --------
    >>> import numpy as np
    >>> from convtranspose.layers import Dense
    >>> Dense(2, kernel_initializer="ones")(np.ones((1, 3), "float32"))
    array([[3., 3.]], dtype=float32)
    """

    keys = (
        "units activation use_bias kernel_initializer bias_initializer kernel_regularizer bias_regularizer "
        "activity_regularizer kernel_constraint bias_constraint"
    )
    family_keys: ClassVar[Mapping[str, str]] = {"keras3": keys.replace("activity_regularizer ", "")}
    kernel: Variable
    bias: Variable | None

    def __init__(
        self,
        units: int,
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(activity_regularizer=activity_regularizer, **kwargs)
        record = self.dialect
        self.units = args.integers(units, 1, "units", minimum=1)[0]
        self.activation = activations.get(activation, record)
        self.use_bias = use_bias
        self.kernel_initializer = initializers.get(kernel_initializer, record)
        self.bias_initializer = initializers.get(bias_initializer, record)
        self.kernel_regularizer = regularizers.get(kernel_regularizer, record)
        self.bias_regularizer = regularizers.get(bias_regularizer, record)
        self.kernel_constraint = constraints.get(kernel_constraint, record)
        self.bias_constraint = constraints.get(bias_constraint, record)
        self.input_spec = InputSpec(min_ndim=2)

    def get_config(self) -> dict[str, Any]:
        """All arguments as plain data, in the form of the layer's generation."""
        config = super().get_config()
        if self.activity_regularizer is not None:
            config["activity_regularizer"] = regularizers.serialize(self.activity_regularizer, self.dialect)
        return config

    def build(self, input_shape: Shape) -> None:
        """Make kernel and bias for inputs of this shape; only its last axis matters."""
        if input_shape[-1] is None:
            raise ValueError(
                f"the last axis of input_shape must be known. Got input_shape={tuple(input_shape)}."
            )
        self.kernel = self.add_weight(
            "kernel",
            (input_shape[-1], self.units),
            self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                "bias",
                (self.units,),
                self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )
        self.input_spec = InputSpec(min_ndim=2, axes={-1: input_shape[-1]})

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The shape with ``units`` as its last length."""
        return *input_shape[:-1], self.units

    def multiply_adds(self, input_shape: tuple[int, ...]) -> int:
        """One per weight and position."""
        return math.prod(input_shape) * self.units

    def _linear(self, x: Array) -> Array:
        outputs = np.asarray(x @ self.kernel.value.astype(x.dtype, copy=False))
        if self.bias is not None:
            outputs += self.bias.value.astype(x.dtype, copy=False)
        return outputs

    def call(self, inputs: Array) -> Array:
        """Compute; ``inputs`` has the layer's type."""
        return np.asarray(self.activation(self._linear(inputs)), inputs.dtype)

    def vjp(self, inputs: Any) -> tuple[Array, Pullback]:
        """Outputs and a pullback to inputs, kernel and bias."""
        x = self.prepare(inputs)
        outputs, back = activations.vjp(self.activation, self._linear(x))

        def pullback(gradient: Any) -> Gradients:
            dy = back(pulled(gradient, outputs))
            rows, sums = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])
            found = [rows.T @ sums] if self.bias is None else [rows.T @ sums, sums.sum(axis=0)]
            own = [g.astype(v.dtype, copy=False) for v, g in zip(self._variables, found, strict=True)]
            trained = {id(v) for v in self.trainable_weights}
            kept = tuple(g for v, g in zip(self._variables, own, strict=True) if id(v) in trained)
            return Gradients(dy @ self.kernel.value.astype(x.dtype, copy=False).T, kept)

        return outputs, pullback
