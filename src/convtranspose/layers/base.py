"""What all layers share: names, types, weights, losses, configurations, the call.

A layer of another kind is a subclass with ``build`` (make weights with :meth:`Layer.add_weight`),
``call``, ``compute_output_shape``, ``get_config`` and, where it can, ``vjp``. Everything that differs
between generations of Keras is asked of ``self.dialect``.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable, Mapping, Sequence, ValuesView
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np

from convtranspose import arguments as args
from convtranspose import initializers, regularizers
from convtranspose.dialects import KERAS3, Dialect
from convtranspose.layers.naming import name_scope, scoped, snake_case, unique_name
from convtranspose.layers.specs import InputSpec, Shape, policy
from convtranspose.layers.variable import Array, Variable
from convtranspose.plans import Plan

__all__ = ["Array", "Gradients", "InputSpec", "Layer", "Pullback", "Shape", "SymbolicTensor", "layer_class"]

_KNOWN: dict[str, type[Layer]] = {}
_VARIANTS: dict[tuple[type[Layer], Dialect], type[Layer]] = {}
_MOST_SHAPES = 256  # lengths that change at every call must not pile up


@dataclass(frozen=True)
class Gradients:
    """What a pullback returns.

    Attributes
    ----------
    inputs : ndarray
        Shaped like the inputs.
    weights : tuple of ndarray
        One per entry of the layer's ``trainable_weights``, in their order.
    """

    inputs: Array
    weights: tuple[Array, ...] = ()


Pullback = Callable[[Any], Gradients]


@dataclass(frozen=True)
class SymbolicTensor:
    """The place of an array in a model: its shape, and the layers it has come through.

    Attributes
    ----------
    shape : tuple of int or None
        Its shape; open lengths are ``None``.
    dtype : str
        Its type, by name.
    layer : Layer
        The layer it comes out of.
    source : SymbolicTensor or None
        What went into that layer.
    """

    shape: Shape
    dtype: str
    layer: Layer
    source: SymbolicTensor | None = None


class Layer:
    """A step of a model: weights, and a function of an array.

    Parameters
    ----------
    name : str, optional
        Its name; an automatic one where it is left out.
    dtype : str or dtype, optional
        Type of weights, computation and outputs; ``config.floatx()`` where it is left out.
        ``"mixed_float16"`` and ``"mixed_bfloat16"`` keep float32 weights.
    trainable : bool, default True
        Whether an optimizer changes its weights.
    activity_regularizer : str, callable or dict, optional
        From the outputs to a penalty; divided by the batch size, it joins ``losses`` at each call.
    **kwargs
        ``input_shape`` (without the batch); ``autocast`` (whether inputs are cast to the layer's type,
        default true) and, as the dialect has them, ``batch_input_shape``, ``batch_size``, ``input_dim``,
        ``weights``.

    Attributes
    ----------
    dialect : Dialect
        The generation of Keras whose names, defaults and checks it follows; see :meth:`in_dialect`.
    built : bool
        Whether it has its weights.
    input_spec : InputSpec or None
        What it wants of its input.

    Examples
    --------
    >>> import numpy as np
    >>> from convtranspose.layers import Layer
    >>> class Twice(Layer):
    ...     def call(self, inputs):
    ...         return 2 * inputs
    >>> Twice()(np.ones((1, 2), "float32"))
    array([[2., 2.]], dtype=float32)
    """

    dialect: ClassVar[Dialect] = KERAS3
    inference_only: ClassVar[bool] = False  # True where training would compute something else
    holds_layers: ClassVar[bool] = False  # True where the configuration holds those of other layers
    keras_modules: ClassVar[Mapping[str, str]] = {}  # where a family has the class; else keras.layers
    _calls_layers: ClassVar[bool] = False  # True for classes of others, whose call may build layers inside

    def __init__(
        self,
        *,
        name: str | None = None,
        dtype: Any = None,
        trainable: bool = True,
        activity_regularizer: Any = None,
        **kwargs: Any,
    ) -> None:
        record = self.dialect
        unknown = sorted(kwargs.keys() - record.extra_arguments)
        if unknown:
            raise record.errors["argument"](
                f"unknown keyword arguments: {', '.join(unknown)}. {type(self).__name__} also takes name, "
                f"dtype, trainable, {', '.join(sorted(record.extra_arguments))}."
            )
        self._name = self._checked_name(name)
        self._policy = policy(dtype, record)
        self._autocast = bool(kwargs.get("autocast", True))
        self._trainable = bool(trainable)
        self.activity_regularizer = regularizers.get(activity_regularizer, record)
        self.built = False
        self.input_spec: InputSpec | None = None
        self._variables: list[Variable] = []
        self._losses: list[Any] = []
        self._admitted: set[Shape] = set()
        self._building = False
        self._first_weights = kwargs.get("weights")
        self.build_shape: Shape | None = None
        self.batch_input_shape = _batch_input_shape(kwargs)

    def __init_subclass__(cls, abstract: bool = False, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        own = cls.__module__.partition(".")[0] == "convtranspose"  # a file can name only the package's
        named = not (abstract or cls.__name__.startswith("_") or "_origin" in cls.__dict__)
        cls._calls_layers = cls._calls_layers or not own
        if own and named:
            _KNOWN.setdefault(cls.__name__, cls)
        if "build" in cls.__dict__:
            cls.build = _building(cls.build)  # type: ignore[method-assign]

    @classmethod
    def in_dialect(cls, dialect: Dialect) -> type[Self]:
        """The same class under another generation's record: a subclass of the same name.

        Examples
        --------
        >>> from convtranspose.dialects import TF_KERAS_2_9
        >>> from convtranspose.layers import Conv2DTranspose
        >>> layer = Conv2DTranspose.in_dialect(TF_KERAS_2_9)(2, 3)
        >>> layer.build((None, 5, 7, 1)); layer.weights[0].name
        'kernel:0'
        """
        if dialect is cls.dialect:
            return cls
        found: type[Self] = _under(cls, dialect)
        return found

    def _checked_name(self, name: Any) -> str:
        record = self.dialect
        if name is None or (name == "" and not record.empty_name):
            return self._automatic_name()
        wrong = None
        if not isinstance(name, str):
            wrong = record.errors.get("name type")
        elif "/" in name:
            wrong = record.errors.get("name slash")
        if wrong is not None:
            raise wrong(f"name must be a string without '/'. Got {name!r}.")
        return name  # type: ignore[no-any-return]

    def _automatic_name(self) -> str:
        record, kind = self.dialect, type(self).__name__
        base = snake_case(kind)
        if not record.class_in_name:
            return unique_name(base, record.family)
        if self.holds_layers:
            return unique_name(base, record.family, first=1)
        return unique_name(f"{base}_{kind}", record.family, first=1, joint="")

    # Names, types, weights

    @property
    def name(self) -> str:
        """Its name."""
        return self._name

    @property
    def dtype(self) -> str:
        """Type of its weights, by name."""
        return self._policy.variable.name

    @property
    def variable_dtype(self) -> str:
        """Type of its weights, by name."""
        return self._policy.variable.name

    @property
    def compute_dtype(self) -> str:
        """Type of its computation and outputs, by name."""
        return self._policy.compute.name

    @property
    def trainable(self) -> bool:
        """Whether an optimizer changes its weights."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = bool(value)
        for layer in self._sublayers():
            layer.trainable = value

    def _sublayers(self) -> Sequence[Layer]:
        """The layers directly inside this one, in order: in attributes, and in their lists and dicts."""
        found: dict[int, Layer] = {}
        for value in vars(self).values():
            inside = value.values() if isinstance(value, dict) else value
            for part in inside if isinstance(inside, (list, tuple, ValuesView)) else (value,):
                if isinstance(part, Layer):
                    found.setdefault(id(part), part)
        return tuple(found.values())

    @property
    def submodules(self) -> tuple[Layer, ...]:
        """All layers inside this one, at any depth."""
        inside: list[Layer] = []
        for layer in self._sublayers():
            inside += (layer, *layer.submodules)
        return tuple(inside)

    @property
    def weights(self) -> list[Variable]:
        """All its weights, in the order of :meth:`get_weights`."""
        found = self._weights_by_layer()
        record = self.dialect
        if record.models_trainable_first if self.holds_layers else record.layers_trainable_first:
            first = {id(v) for v in self.trainable_weights}
            found.sort(key=lambda v: id(v) not in first)  # the rest stays in its order
        return found

    def _weights_by_layer(self) -> list[Variable]:
        own = sorted(self._variables, key=lambda v: not v.trainable)
        return [*own, *(w for layer in self._sublayers() for w in layer._weights_by_layer())]

    @property
    def variables(self) -> list[Variable]:
        """All its weights."""
        return self.weights

    @property
    def trainable_weights(self) -> list[Variable]:
        """The weights that an optimizer changes; none where ``trainable`` is false."""
        own = [v for v in self._variables if v.trainable] if self._trainable else []
        return [*own, *(w for layer in self._sublayers() for w in layer.trainable_weights)]

    @property
    def trainable_variables(self) -> list[Variable]:
        """The weights that an optimizer changes."""
        return self.trainable_weights

    @property
    def non_trainable_weights(self) -> list[Variable]:
        """The other weights."""
        changed = {id(v) for v in self.trainable_weights}
        return [v for v in self.weights if id(v) not in changed]

    @property
    def non_trainable_variables(self) -> list[Variable]:
        """The other weights."""
        return self.non_trainable_weights

    def add_weight(
        self,
        name: str,
        shape: Sequence[Any],
        initializer: Any = None,
        *,
        dtype: Any = None,
        trainable: bool = True,
        regularizer: Any = None,
        constraint: Any = None,
    ) -> Variable:
        """Make a weight: what ``build`` calls.

        Parameters
        ----------
        name : str
            Its name inside the layer.
        shape : sequence of int
            Its shape.
        initializer : callable, optional
            From ``(shape, dtype)`` to the first value; ``None`` is Keras' default, glorot_uniform.
        dtype : dtype, optional
            The layer's where it is left out.
        trainable : bool, default True
            Whether an optimizer changes it.
        regularizer, constraint : callable, optional
            See :class:`Variable`.

        Returns
        -------
        Variable
            The weight, already among ``weights``.

        Raises
        ------
        ValueError, TypeError
            If the shape holds something that is not a length, or the type is not floating-point.
        """
        record = self.dialect
        kind = self._policy.variable if dtype is None else np.dtype(dtype)
        lengths = tuple(_length(n, name, shape, record) for n in shape)
        try:
            args.compute_dtype(kind, "dtype")
        except TypeError:
            raise ValueError(
                f"weight {name!r} must be of a floating-point type, but the layer's dtype is {kind}. "
                f"Give dtype='float32'."
            ) from None
        first = initializer or initializers.get("glorot_uniform", record)
        value = np.asarray(first(lengths, dtype=kind.name))
        if value.shape != lengths:
            raise ValueError(
                f"initializer of {name!r} must return the shape {lengths}, but it returned {value.shape}."
            )
        path = scoped(name)
        made = Variable(
            value,
            (path if record.named_by_path else name) + record.weight_suffix,
            path + record.weight_suffix,
            trainable,
            regularizer,
            constraint,
            kind,
        )
        self._variables.append(made)
        return made

    def get_weights(self) -> list[Array]:
        """Copies of all weights."""
        return [w.value.copy() for w in self.weights]

    def set_weights(self, weights: Sequence[Any]) -> None:
        """Replace all weights.

        Raises
        ------
        ValueError
            If their number or a shape differs; nothing has changed then.
        """
        own = self.weights
        new = [np.asarray(w) for w in weights]
        if len(new) != len(own):
            hint = "" if self.built else " Build it first: layer.build(input_shape)."
            raise ValueError(
                f"set_weights got {len(new)} arrays, but layer {self.name!r} has {len(own)} weights.{hint}"
            )
        for variable, array in zip(own, new, strict=True):
            if array.shape != variable.shape:
                raise ValueError(
                    f"weight {variable.path!r} of layer {self.name!r} has the shape {variable.shape}, but "
                    f"set_weights got {array.shape} for it."
                )
        for variable, array in zip(own, new, strict=True):
            variable.assign(array)

    def count_params(self) -> int:
        """Numbers in all weights.

        Raises
        ------
        ValueError
            If the layer is not built.
        """
        if not self.built:
            raise ValueError(
                f"layer {self.name!r} has no weights to count yet. Build it first: layer.build(input_shape)."
            )
        return sum(w.value.size for w in self.weights)

    def apply_constraints(self) -> None:
        """Apply the constraints of all trainable weights: what an optimizer calls after an update."""
        for variable in self.trainable_weights:
            variable.constrain()

    # Losses

    def add_loss(self, losses: Any) -> None:
        """Add a loss, or a list of them, to ``losses`` until the next call."""
        self._losses += losses if isinstance(losses, (list, tuple)) else [losses]

    @property
    def losses(self) -> list[Any]:
        """Losses of the last call (``add_loss``, activity), then penalties of the weights."""
        counted = self._variables if self.dialect.frozen_regularized or self._trainable else []
        own = [v.regularizer(v.value) for v in counted if v.regularizer is not None and v.trainable]
        return [*self._losses, *own, *(loss for layer in self._sublayers() for loss in layer.losses)]

    # Building and calling

    def build(self, input_shape: Shape) -> None:
        """Make the weights for inputs of this shape; ``None`` stands for an open length."""
        self.built, self.build_shape = True, tuple(input_shape)

    def build_for(self, input_shape: Shape) -> None:
        """Build as a call does: in Keras 2 that puts the layer's name into those of its weights."""
        if not self.built:
            with nullcontext() if self.dialect.build_scoped else name_scope(self.name):
                self.build(input_shape)

    def call(self, inputs: Array) -> Array:
        """Compute; ``inputs`` has the layer's type."""
        raise NotImplementedError(f"{type(self).__name__} must define call.")

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Shape of the outputs for inputs of this shape; open lengths stay ``None``."""
        raise NotImplementedError(f"{type(self).__name__} must define compute_output_shape.")

    def plan_for(self, input_shape: Shape) -> Plan | None:
        """The plan that computes inputs of this shape, once built; ``None`` where no convolution does."""
        return None

    def multiply_adds(self, input_shape: tuple[int, ...]) -> int:
        """Multiplications of a call by the layer's definition; 0 for layers that multiply no weights.

        Examples
        --------
        >>> from convtranspose.layers import Dense
        >>> layer = Dense(4)
        >>> layer.build((None, 3))
        >>> layer.multiply_adds((2, 5, 3))
        120
        """
        plan = self.plan_for(input_shape)
        return 0 if plan is None else plan.problem(tuple(input_shape)).multiply_adds

    def vjp(self, inputs: Any) -> tuple[Array, Pullback]:
        """Outputs and a pullback, in the style of ``jax.vjp``.

        Returns
        -------
        outputs : ndarray
            What the call returns.
        pullback : callable
            From gradients to the outputs to :class:`Gradients`.
        """
        raise NotImplementedError(f"{type(self).__name__} has no gradient.")

    def __call__(self, inputs: Any, training: bool | None = None) -> Any:
        """Cast the inputs, build at the first call, compute, regularize.

        Parameters
        ----------
        inputs : array_like or SymbolicTensor
            Floating-point arrays are cast to the layer's type. A place in a model, made by ``Input``,
            gives the place after this layer.
        training : bool, optional
            Accepted as in Keras; true is refused by layers that would compute something else then.

        Returns
        -------
        ndarray or SymbolicTensor
            In the layer's computing type.

        Raises
        ------
        TypeError
            If the inputs are not of a floating-point type.
        ValueError
            If their shape does not fit.
        """
        if training and self.inference_only:
            raise ValueError(f"{type(self).__name__} is here in its inference form only: training=False.")
        if type(inputs) is SymbolicTensor:
            return self._placed(inputs)
        x = self.prepare(inputs)
        if self._losses:
            self._losses.clear()
        if self._calls_layers:
            with name_scope(self.name):
                outputs = self.call(x)
        else:
            outputs = self.call(x)
        if self.activity_regularizer is not None:
            self._losses.append(self.activity_regularizer(outputs) / max(len(outputs), 1))
        return outputs

    def _placed(self, inputs: SymbolicTensor) -> SymbolicTensor:
        if self.input_spec is not None:
            self.input_spec.check(inputs.shape, self.name)
        self.build_for(inputs.shape)
        return SymbolicTensor(self.compute_output_shape(inputs.shape), self.compute_dtype, self, inputs)

    def prepare(self, inputs: Any) -> Array:
        """Inputs as the layer's ``call`` takes them: cast, checked; the layer is built afterwards."""
        if type(inputs) is not np.ndarray or inputs.dtype != self._policy.compute:
            inputs = self._cast(inputs)
        shape = inputs.shape
        if shape not in self._admitted:
            self._admit(shape)
        return inputs  # type: ignore[no-any-return]

    def _cast(self, inputs: Any) -> Array:
        array = args.array(inputs, "inputs")
        return array.astype(self._policy.compute, copy=False) if self._autocast else array

    def _admit(self, shape: tuple[int, ...]) -> None:
        if self.input_spec is not None:
            self.input_spec.check(shape, self.name)
        if not self.built:
            self.build_for(shape)
        if len(self._admitted) >= _MOST_SHAPES:
            self._admitted.clear()
        self._admitted.add(shape)

    @property
    def input_shape(self) -> Shape | None:
        """Shape of the inputs that it was built for; ``None`` inside is open.

        Raises
        ------
        AttributeError
            If it is not built yet.
        """
        if self.build_shape is None:
            raise AttributeError(f"layer {self.name!r} has no shapes yet. Call it first, or build it.")
        return self.build_shape

    @property
    def output_shape(self) -> Shape:
        """Shape of the outputs for inputs of ``input_shape``.

        Raises
        ------
        AttributeError
            If it is not built yet.
        """
        shape = self.input_shape
        assert shape is not None
        return self.compute_output_shape(shape)

    # Scopes of Keras 2

    def name_scope(self) -> AbstractContextManager[None]:
        """A scope of the layer's name, for weights made inside it."""
        return name_scope(self.name)

    @classmethod
    def with_name_scope(cls, method: Callable[..., Any]) -> Callable[..., Any]:
        """Decorate a method so that weights it makes are named inside the layer's scope."""

        @functools.wraps(method)
        def inside(self: Layer, *args: Any, **kwargs: Any) -> Any:
            with self.name_scope():
                return method(self, *args, **kwargs)

        return inside

    # Configuration

    def get_config(self) -> dict[str, Any]:
        """All arguments as plain data, in the order and form of the layer's generation."""
        values = {
            "name": self.name,
            "trainable": self._trainable,
            "batch_input_shape": self.batch_input_shape,
            "dtype": self._dtype_config(),
        }
        keys = self.dialect.layer_keys
        return {k: values[k] for k in keys if k != "batch_input_shape" or values[k] is not None}

    def _dtype_config(self) -> Any:
        record, name = self.dialect, self._policy.name
        if record.dtype_as_name and name == self._policy.variable.name:
            return name
        module, class_name = record.dtype_policy
        named = {"class_name": class_name, "config": {"name": name}}
        if not record.objects_named_by_module:
            return named
        return {"module": module, **named, "registered_name": None}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """A layer with the arguments that :meth:`get_config` gave."""
        return cls(**config)

    # Files

    def save(self, path: str | os.PathLike[str], dialect: Any = None) -> None:
        """Write it to a file: ``.npz``, ``.keras``, ``.h5`` or TensorFlow.js' ``.json``.

        See :func:`convtranspose.formats.save`.
        """
        from convtranspose import formats

        formats.save(self, path, dialect)

    def save_weights(self, path: str | os.PathLike[str]) -> None:
        """Write its weights alone: ``.weights.h5`` or legacy ``.h5``.

        See :func:`convtranspose.formats.save_weights`.
        """
        from convtranspose import formats

        formats.save_weights(self, path)

    def load_weights(self, path: str | os.PathLike[str]) -> None:
        """Take its weights from a file of any kind: all of them, or none after an error.

        See :func:`convtranspose.formats.load_weights`.
        """
        from convtranspose import formats

        formats.load_weights(self, path)

    # Copies

    def __getstate__(self) -> dict[str, Any]:
        return dict(self.__dict__)

    def __reduce__(self) -> tuple[Any, ...]:
        # A class made by in_dialect has no name to be found by; its origin has.
        return _revive, (_origin(type(self)), self.dialect), self.__getstate__()

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"


def layer_class(name: str, dialect: Dialect = KERAS3) -> type[Layer]:
    """The layer class of this name, in a dialect: what reads configurations.

    Raises
    ------
    ValueError or TypeError
        As the dialect has it, if there is none; the message lists all there are.
    """
    known = _KNOWN.keys() - dialect.lacking
    if name not in known:
        raise dialect.errors["layer"](f"unknown layer class {name!r}. Known are: {', '.join(sorted(known))}.")
    return _KNOWN[name].in_dialect(dialect)


def _under(cls: type[Layer], dialect: Dialect) -> Any:
    origin = _origin(cls)
    if origin.dialect is dialect:
        return origin
    if (origin, dialect) not in _VARIANTS:
        _VARIANTS[origin, dialect] = _variant(origin, dialect)
    return _VARIANTS[origin, dialect]


def _variant(origin: type[Layer], dialect: Dialect) -> type[Layer]:
    body = {"dialect": dialect, "__doc__": origin.__doc__, "__module__": origin.__module__, "_origin": origin}
    return type(origin.__name__, (origin,), body)


def _origin(cls: type[Layer]) -> type[Layer]:
    found: type[Layer] = cls.__dict__.get("_origin", cls)
    return found


def _revive(cls: type[Layer], dialect: Dialect) -> Layer:
    return object.__new__(cls.in_dialect(dialect))


def _building(build: Callable[..., None]) -> Callable[..., None]:
    """Wrap ``build``: the layer's scope, initial weights, ``built``; once where super() is called."""

    @functools.wraps(build)
    def built(self: Layer, input_shape: Shape) -> None:
        if self._building:
            build(self, input_shape)
            return
        if self.built and self._variables:
            raise ValueError(
                f"layer {self.name!r} has its weights already, made for inputs of shape {self.build_shape}. "
                f"Make another layer: type(layer).from_config(layer.get_config())."
            )
        self._building, before = True, len(self._variables)
        try:
            with name_scope(self.name) if self.dialect.build_scoped else nullcontext():
                build(self, tuple(input_shape))
            if self._first_weights is not None:
                self.set_weights(self._first_weights)
                self._first_weights = None
        except BaseException:
            del self._variables[before:]  # a layer has all its weights or none
            self.built = False
            raise
        finally:
            self._building = False
        self.built = True
        self.build_shape = tuple(input_shape)

    return built


def _length(value: Any, name: str, shape: Sequence[Any], record: Dialect) -> int:
    try:
        length = int(value.__index__())
    except AttributeError:
        raise record.errors["weight shape"](
            f"the shape of weight {name!r} must hold integers, but {value!r} is a "
            f"{type(value).__name__}. Got {tuple(shape)}."
        ) from None
    if length < 0:
        raise ValueError(f"the shape of weight {name!r} must not be negative. Got {tuple(shape)}.")
    return length


def _batch_input_shape(given: dict[str, Any]) -> Shape | None:
    if given.get("batch_input_shape") is not None:
        return tuple(given["batch_input_shape"])
    if given.get("input_shape") is not None:
        return (given.get("batch_size"), *given["input_shape"])
    if given.get("input_dim") is not None:
        return (given.get("batch_size"), given["input_dim"])
    return None
