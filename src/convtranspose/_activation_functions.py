"""The activation functions with their derivatives; :mod:`convtranspose.activations` names them.

Formulas are those of Keras 3. Where a function has a kink, the derivative is the one TensorFlow takes
there. float32 stays float32 and float64 stays float64; float16 and bfloat16 are computed in float32
and returned in their own type; integers become float32.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from convtranspose._erf import erfc

Array = np.ndarray[Any, np.dtype[Any]]
Pullback = Callable[[Any], Array]
"""Takes the gradient to the outputs, gives the gradient to the inputs."""


@dataclass(frozen=True, eq=False, repr=False)
class Activation:
    """A function of an array together with its derivative.

    Parameters
    ----------
    name : str
        Its canonical name, also found as ``__name__``.
    function : callable
        ``function(x, **parameters)``, an array of the same shape (half of one axis for ``glu``).
    pullback : callable
        ``pullback(g, x, y, **parameters)``: the gradient to ``x`` from the gradient ``g`` to
        ``y = function(x, **parameters)``.
    parameters : mapping of str to object, optional
        Fixed arguments.

    Examples
    --------
    >>> import numpy as np
    >>> sine = Activation("sine", np.sin, lambda g, x, y: g * np.cos(x))
    >>> y, pullback = sine.vjp(np.zeros(3))
    >>> pullback(np.ones(3))
    array([1., 1., 1.])
    """

    name: str
    function: Callable[..., Array]
    pullback: Callable[..., Array]
    parameters: Mapping[str, Any] = field(default_factory=dict)
    module_name: str | None = None
    """Under which name this module holds it; ``None`` for activations from elsewhere."""

    @property
    def __name__(self) -> str:
        return self.name

    def __call__(self, x: Any, **parameters: Any) -> Array:
        """Apply the activation.

        Parameters
        ----------
        x : array_like
            Floating point of any precision; integers are taken as float32.
        **parameters
            Arguments of the function, for instance ``negative_slope`` of ``leaky_relu``.

        Returns
        -------
        ndarray
            A new array in the type of ``x``.
        """
        x, dtype = _floats(x)
        given = {**self.parameters, **parameters} if parameters else self.parameters
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            return _as_type(self.function(x, **given), dtype)

    def vjp(self, x: Any, **parameters: Any) -> tuple[Array, Pullback]:
        """Apply the activation and keep what its derivative needs.

        Parameters
        ----------
        x : array_like
            As for a call.
        **parameters
            As for a call.

        Returns
        -------
        outputs : ndarray
        pullback : callable
            From the gradient to the outputs to the gradient to ``x``.
        """
        x, dtype = _floats(x)
        given = {**self.parameters, **parameters}
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            y = self.function(x, **given)
            outputs = _as_type(y, dtype)

        def pullback(gradient: Any) -> Array:
            g = np.asarray(gradient, dtype=y.dtype)
            if g.shape != y.shape:
                raise ValueError(
                    f"The gradient must have the shape of the outputs of {self.name}, {y.shape}. "
                    f"Got {g.shape}."
                )
            with np.errstate(over="ignore", under="ignore", invalid="ignore"):
                return _as_type(self.pullback(g, x, y, **given), dtype)

        return outputs, pullback

    def bind(self, **parameters: Any) -> Activation:
        """The same activation with some of its arguments fixed.

        Examples
        --------
        >>> leaky_relu.bind(negative_slope=0.5)([-1.0, 1.0])
        array([-0.5,  1. ])
        """
        unknown = set(parameters) - set(inspect.signature(self.function).parameters)
        if unknown:
            raise TypeError(f"{self.name} has no argument {', '.join(sorted(unknown))}.")
        return replace(self, parameters={**self.parameters, **parameters})

    def __repr__(self) -> str:
        arguments = "".join(f", {k}={v!r}" for k, v in self.parameters.items())
        return f"<activation {self.name}{arguments}>"

    # A copy and an unpickled one are the same object again, so that they keep their name in files.
    def __reduce__(self) -> Any:
        if self.module_name is None:
            return Activation, (self.name, self.function, self.pullback, dict(self.parameters))
        return _restore, (self.module_name, dict(self.parameters))

    def __copy__(self) -> Activation:
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> Activation:
        return self


def _restore(module_name: str, parameters: dict[str, Any]) -> Activation:
    found: Activation = globals()[module_name]
    return found.bind(**parameters) if parameters != dict(found.parameters) else found


def _floats(x: Any) -> tuple[Array, np.dtype[Any]]:
    """The array in the type to compute in, and the type to return."""
    x = np.asarray(x)
    if x.dtype.char in "fd":  # float32 and float64, the usual ones, at once
        return x, x.dtype
    if x.dtype.name in ("float16", "bfloat16"):
        return x.astype(np.float32), x.dtype
    if x.dtype.kind in "biu":
        x = x.astype(np.float32)
    if x.dtype.kind != "f":
        raise TypeError(f"An activation needs real numbers, but x is {x.dtype}. Convert it to float32.")
    return x, x.dtype


def _as_type(values: Any, dtype: np.dtype[Any]) -> Array:
    y: Array = np.asarray(values)
    return y if y.dtype is dtype else y.astype(dtype, copy=False)


def _activation(pullback: Callable[..., Array]) -> Callable[[Callable[..., Array]], Activation]:
    """Make the decorated function an activation with this pullback."""

    def make(function: Callable[..., Array]) -> Activation:
        name = function.__name__
        made = Activation(name, function, pullback, module_name=name)
        object.__setattr__(made, "__doc__", function.__doc__)
        return made

    return make


def _elementwise(derivative: Callable[..., Any]) -> Callable[[Callable[..., Array]], Activation]:
    """Make the decorated function an activation with this derivative ``derivative(x, y)``."""
    return _activation(lambda g, x, y, **parameters: g * derivative(x, y, **parameters))


@_elementwise(lambda x, y: np.ones_like(x))
def linear(x: Array) -> Array:
    """``x``."""
    return x.copy()


def _relu_slope(
    x: Array, y: Array, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0
) -> Array:
    top = np.inf if max_value is None else max_value
    return np.where(x <= threshold, negative_slope, np.where(x < top, 1, 0))


@_elementwise(_relu_slope)
def relu(
    x: Array, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0
) -> Array:
    """``min(x, max_value)`` above the threshold, ``negative_slope * (x - threshold)`` below."""
    y = np.maximum(x, 0) if threshold == 0 else np.where(x > threshold, x, 0)
    if max_value is not None:
        y = np.clip(y, 0, max_value)
    return y + negative_slope * np.minimum(x - threshold, 0) if negative_slope else y


@_elementwise(lambda x, y: (x > 0) & (x < 6))
def relu6(x: Array) -> Array:
    """``min(max(x, 0), 6)``."""
    return np.clip(x, 0, 6)


@_elementwise(lambda x, y, negative_slope=0.2: np.where(x > 0, 1, negative_slope))
def leaky_relu(x: Array, negative_slope: float = 0.2) -> Array:
    """``x`` where positive, else ``negative_slope * x``."""
    return np.where(x > 0, x, negative_slope * x)


@_elementwise(lambda x, y, alpha=1.0: np.where(x > 0, 1, y + alpha))
def elu(x: Array, alpha: float = 1.0) -> Array:
    """``x`` where positive, else ``alpha * (exp(x) - 1)``. Clevert et al., arXiv 1511.07289."""
    return np.where(x > 0, x, alpha * np.expm1(np.minimum(x, 0)))


# Klambauer et al., arXiv 1706.02515, equation 14.
_SELU_ALPHA, _SELU_SCALE = 1.6732632423543772, 1.0507009873554805


@_elementwise(lambda x, y: np.where(x >= 0, _SELU_SCALE, y + _SELU_SCALE * _SELU_ALPHA))
def selu(x: Array) -> Array:
    """``scale * elu(x, alpha)`` with the constants of Klambauer et al., arXiv 1706.02515."""
    return _SELU_SCALE * np.where(x > 0, x, _SELU_ALPHA * np.expm1(np.minimum(x, 0)))


@_elementwise(lambda x, y, alpha=1.0: np.where(x > 0, 1, y / alpha + 1))
def celu(x: Array, alpha: float = 1.0) -> Array:
    """``max(x, 0) + alpha * (exp(min(x, 0) / alpha) - 1)``. Barron, arXiv 1704.07483."""
    return np.maximum(x, 0) + alpha * np.expm1(np.minimum(x, 0) / alpha)


def _sigmoid(x: Array) -> Array:
    z = np.exp(-np.abs(x))
    y: Array = np.where(x >= 0, 1, z) / (1 + z)
    return y


def _softplus(x: Array) -> Array:
    return np.maximum(x, 0) + np.log1p(np.exp(-np.abs(x)))


@_elementwise(lambda x, y: _sigmoid(x))
def softplus(x: Array) -> Array:
    """``log(1 + exp(x))``."""
    return _softplus(x)


@_elementwise(lambda x, y: 1 / np.square(1 + np.abs(x)))
def softsign(x: Array) -> Array:
    """``x / (1 + |x|)``."""
    y: Array = x / (1 + np.abs(x))
    return y


def _softmax(x: Array, axis: int) -> Array:
    e = np.exp(x - np.max(x, axis=axis, keepdims=True, initial=-np.inf))
    y: Array = e / np.sum(e, axis=axis, keepdims=True)
    return y


@_activation(lambda g, x, y, axis=-1: y * (g - np.sum(g * y, axis=axis, keepdims=True)))
def softmax(x: Array, axis: int = -1) -> Array:
    """``exp(x) / sum(exp(x))`` along an axis."""
    return _softmax(x, axis)


@_activation(lambda g, x, y, axis=-1: g - np.exp(y) * np.sum(g, axis=axis, keepdims=True))
def log_softmax(x: Array, axis: int = -1) -> Array:
    """``log(softmax(x))`` along an axis."""
    z = x - np.max(x, axis=axis, keepdims=True, initial=-np.inf)
    y: Array = z - np.log(np.sum(np.exp(z), axis=axis, keepdims=True))
    return y


@_elementwise(lambda x, y: y * (1 - y))
def sigmoid(x: Array) -> Array:
    """``1 / (1 + exp(-x))``."""
    return _sigmoid(x)


@_elementwise(lambda x, y: _sigmoid(-x))
def log_sigmoid(x: Array) -> Array:
    """``log(sigmoid(x))``."""
    return -_softplus(-x)


@_elementwise(lambda x, y: np.where(np.abs(x) < 3, 1 / 6, 0))
def hard_sigmoid(x: Array) -> Array:
    """``relu6(x + 3) / 6``: the function of this name in Keras 3."""
    y: Array = np.clip(x + 3, 0, 6) / 6
    return y


@_elementwise(lambda x, y: np.where(np.abs(x) <= 2.5, 0.2, 0))
def hard_sigmoid_fifth(x: Array) -> Array:
    """``min(max(0.2 * x + 0.5, 0), 1)``: ``hard_sigmoid`` of tf.keras and TensorFlow.js."""
    return np.clip(0.2 * x + 0.5, 0, 1)


object.__setattr__(hard_sigmoid_fifth, "name", "hard_sigmoid")


@_elementwise(lambda x, y: np.where(np.abs(x) < 3, x / 3 + 0.5, x > 0))
def hard_silu(x: Array) -> Array:
    """``x * relu6(x + 3) / 6``. Howard et al., arXiv 1905.02244."""
    y: Array = x * (np.clip(x + 3, 0, 6) / 6)
    return y


@_elementwise(lambda x, y: np.abs(x) <= 1)
def hard_tanh(x: Array) -> Array:
    """``min(max(x, -1), 1)``."""
    return np.clip(x, -1, 1)


@_elementwise(lambda x, y, threshold=0.5: np.abs(x) > threshold)
def hard_shrink(x: Array, threshold: float = 0.5) -> Array:
    """``x`` where ``|x|`` is above the threshold, else 0."""
    return np.where(np.abs(x) > threshold, x, 0)


@_elementwise(lambda x, y, threshold=0.5: np.abs(x) > threshold)
def soft_shrink(x: Array, threshold: float = 0.5) -> Array:
    """``sign(x) * max(|x| - threshold, 0)``."""
    return np.copysign(np.maximum(np.abs(x) - threshold, 0), x)


@_elementwise(lambda x, y: 1 - np.square(y))
def tanh(x: Array) -> Array:
    """Hyperbolic tangent."""
    return np.tanh(x)


@_elementwise(lambda x, y: np.square(np.tanh(x)))
def tanh_shrink(x: Array) -> Array:
    """``x - tanh(x)``."""
    return x - np.tanh(x)


@_elementwise(lambda x, y: y)
def exponential(x: Array) -> Array:
    """``exp(x)``; infinity where that is too large."""
    return np.exp(x)


_ROOT_HALF = 0.5**0.5
_GELU_TANH = (2 / np.pi) ** 0.5
_GELU_CUBE = 0.044715


def _gelu_tanh_argument(x: Array) -> Array:
    y: Array = _GELU_TANH * (x + _GELU_CUBE * x**3)
    return y


def _gelu_slope(x: Array, y: Array, approximate: bool = False) -> Array:
    if approximate:
        t = np.tanh(_gelu_tanh_argument(x))
        bend = _GELU_TANH * (1 + 3 * _GELU_CUBE * x**2)
        return 0.5 * (1 + t) + np.where(np.abs(t) == 1, 0, 0.5 * x * (1 - t * t) * bend)
    density = np.exp(-0.5 * np.square(x)) / (2 * np.pi) ** 0.5
    return 0.5 * erfc(-x * _ROOT_HALF) + np.where(density == 0, 0, x * density)


@_elementwise(_gelu_slope)
def gelu(x: Array, approximate: bool = False) -> Array:
    """``x * Phi(x)``, ``Phi`` the normal distribution function (or its tanh approximation).

    Hendrycks and Gimpel, arXiv 1606.08415.
    """
    if approximate:
        y: Array = 0.5 * x * (1 + np.tanh(_gelu_tanh_argument(x)))
        return y
    # erfc keeps its digits where 1 + erf would lose them; the maximum keeps -inf * 0 out.
    return np.where(x < -40, -0.0, 0.5 * x * erfc(-x * _ROOT_HALF))


@_elementwise(lambda x, y: _silu_slope(x))
def silu(x: Array) -> Array:
    """``x * sigmoid(x)``, also called swish. Ramachandran et al., arXiv 1710.05941."""
    return x * _sigmoid(x)


def _silu_slope(x: Array) -> Array:
    s = _sigmoid(x)
    y: Array = s * (1 + x * _sigmoid(-x))
    return y


def _mish_slope(x: Array, y: Array) -> Array:
    t = np.tanh(_softplus(x))
    slope: Array = t + x * (1 - np.square(t)) * _sigmoid(x)
    return slope


@_elementwise(_mish_slope)
def mish(x: Array) -> Array:
    """``x * tanh(softplus(x))``. Misra, arXiv 1908.08681."""
    return x * np.tanh(_softplus(x))


def _glu_pullback(g: Array, x: Array, y: Array, axis: int = -1) -> Array:
    a, b = np.split(x, 2, axis=axis)
    s = _sigmoid(b)
    return np.concatenate([g * s, g * a * s * _sigmoid(-b)], axis=axis)


@_activation(_glu_pullback)
def glu(x: Array, axis: int = -1) -> Array:
    """``a * sigmoid(b)`` for the halves ``a, b`` of an axis. Dauphin et al., arXiv 1612.08083."""
    if x.shape[axis] % 2:
        raise ValueError(
            f"axis size must be divisible by 2, but on axis {axis} it is {x.shape[axis]}. "
            f"Got x of shape {x.shape}."
        )
    a, b = np.split(x, 2, axis=axis)
    return a * _sigmoid(b)


@_elementwise(lambda x, y, b=4: 0.5 + 0.5 * x / np.hypot(x, np.sqrt(b)))
def squareplus(x: Array, b: float = 4) -> Array:
    """``(x + sqrt(x^2 + b)) / 2``. Barron, arXiv 2112.11687."""
    root = np.hypot(x, np.asarray(b, x.dtype) ** 0.5)
    # The second form is the first times its conjugate: no cancellation for negative x.
    return np.where(x >= 0, 0.5 * x + 0.5 * root, 0.5 * b / (root + np.abs(x)))


@_elementwise(lambda x, y: np.clip(0.5 * (x + 1), 0, 1))
def sparse_plus(x: Array) -> Array:
    """``0`` below -1, ``x`` above 1, ``(x + 1)^2 / 4`` between."""
    return np.where(x >= 1, x, 0.25 * np.square(np.clip(x, -1, 1) + 1))


@_elementwise(lambda x, y: np.where(np.abs(x) < 1, 0.5, 0))
def sparse_sigmoid(x: Array) -> Array:
    """``min(max((x + 1) / 2, 0), 1)``."""
    return np.clip(0.5 * (x + 1), 0, 1)


def _sparsemax_pullback(g: Array, x: Array, y: Array, axis: int = -1) -> Array:
    support = y > 0
    mean = np.sum(g * support, axis=axis, keepdims=True) / np.sum(support, axis=axis, keepdims=True)
    return np.where(support, g - mean, 0)


@_activation(_sparsemax_pullback)
def sparsemax(x: Array, axis: int = -1) -> Array:
    """Euclidean projection onto the probability simplex. Martins and Astudillo, arXiv 1602.02068."""
    z = np.moveaxis(x, axis, -1)
    z = z - np.max(z, axis=-1, keepdims=True, initial=-np.inf)
    falling = -np.sort(-z, axis=-1)
    sums = np.cumsum(falling, axis=-1)
    count = np.arange(1, z.shape[-1] + 1, dtype=x.dtype)
    size = np.sum(1 + count * falling > sums, axis=-1, keepdims=True)
    tau = (np.take_along_axis(sums, size - 1, axis=-1) - 1) / size
    return np.moveaxis(np.maximum(z - tau, 0), -1, axis)


def _threshold_slope(x: Array, y: Array, threshold: float, default_value: float) -> Array:
    return x > threshold


@_elementwise(_threshold_slope)
def threshold(x: Array, threshold: float, default_value: float) -> Array:
    """``x`` where it is above ``threshold``, else ``default_value``."""
    return np.where(x > threshold, x, default_value)
