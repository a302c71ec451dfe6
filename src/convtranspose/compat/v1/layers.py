"""``tf.compat.v1.layers``: transposed convolutions whose variables are named and shared by scopes.

Arithmetic, checks and configurations are those of ``tf_keras``; this face adds its own defaults, the
two numberings of names, and ``reuse``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any, ClassVar, Self

from convtranspose import arguments as args
from convtranspose import config, initializers, regularizers
from convtranspose import layers as _layers
from convtranspose.compat.v1 import scopes
from convtranspose.compat.v1.scopes import Graph, Reuse, VariableScope, variable_scope
from convtranspose.dialects import TF_KERAS_2_9, Dialect
from convtranspose.layers.base import Array, Shape, SymbolicTensor
from convtranspose.layers.conv_transpose import BaseConvTranspose
from convtranspose.layers.naming import snake_case, unique_name
from convtranspose.layers.specs import policy
from convtranspose.layers.variable import Variable

__all__ = [
    "Conv2DTranspose",
    "Conv3DTranspose",
    "conv2d_transpose",
    "conv3d_transpose",
    "equivalent_layer",
]


class Zeros(initializers.Zeros):
    """``tf.compat.v1.zeros_initializer``: all 0, of a type that its configuration names."""

    def __init__(self, dtype: str = "float32") -> None:
        super().__init__()
        self.dtype = dtype

    def get_config(self) -> dict[str, Any]:
        """Its type."""
        return {"dtype": self.dtype}


_ZEROS = Zeros()


class _Scoped(BaseConvTranspose, abstract=True):
    """A layer whose variables belong to a graph and are named by the scope of its first call."""

    dialect: ClassVar[Dialect] = TF_KERAS_2_9

    def __init__(
        self,
        filters: int,
        kernel_size: int | tuple[int, ...],
        strides: int | tuple[int, ...] = 1,
        padding: Any = "valid",
        data_format: str | None = "channels_last",
        activation: Any = None,
        use_bias: bool = True,
        kernel_initializer: Any = None,
        bias_initializer: Any = _ZEROS,
        kernel_regularizer: Any = None,
        bias_regularizer: Any = None,
        activity_regularizer: Any = None,
        kernel_constraint: Any = None,
        bias_constraint: Any = None,
        trainable: bool = True,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        self._scope: VariableScope | None = None
        self._graph: Graph | None = None
        self._shared: set[int] = set()  # which of its variables other layers made
        self._reuse: Reuse = kwargs.pop("_reuse", None)
        scope = kwargs.pop("_scope", None)
        self._dtype_open = kwargs.get("dtype") is None
        kwargs.setdefault("autocast", False)
        super().__init__(
            filters,
            kernel_size,
            strides,
            padding,
            data_format=data_format,
            activation=activation,
            use_bias=use_bias,
            kernel_initializer=kernel_initializer,
            bias_initializer=bias_initializer,
            kernel_regularizer=kernel_regularizer,
            bias_regularizer=bias_regularizer,
            activity_regularizer=activity_regularizer,
            kernel_constraint=kernel_constraint,
            bias_constraint=bias_constraint,
            trainable=trainable,
            name=name,
            **kwargs,
        )
        self._base_name = name or snake_case(type(self).__name__)
        if scope:
            with variable_scope(scope) as self._scope:
                pass

    # Names

    def _checked_name(self, name: Any) -> str:
        return name if name else self._automatic_name()  # one that is no string fails as a scope

    def _automatic_name(self) -> str:
        graph, _ = scopes.current()
        return unique_name(snake_case(type(self).__name__), graph.family, first=1)

    @property
    def scope_name(self) -> str:
        """Name of the scope its variables are in.

        Raises
        ------
        ValueError
            If there is none yet: the first call or build decides.
        """
        if self._scope is None:
            raise ValueError(
                f"layer {self.name!r} has no scope yet: the first call decides, by the scope that is open "
                f"then. Call the layer first, or build it."
            )
        return self._scope.name

    @property
    def graph(self) -> None:
        """Deprecated, as in TensorFlow: ``None`` inside a graph.

        Raises
        ------
        RuntimeError
            If no graph was opened.
        """
        if scopes.in_default_graph():
            raise RuntimeError("graph is not supported outside of a graph. Open one: Graph().as_default().")
        warnings.warn("the attribute graph of layers is deprecated, and None.", DeprecationWarning, 2)

    # The type of the first input

    @property
    def dtype(self) -> str | None:  # type: ignore[override]
        """Type of its weights, by name; ``None`` until the first input decides."""
        return None if self._dtype_open else super().dtype

    def _dtype_config(self) -> Any:
        return None if self._dtype_open else super()._dtype_config()

    def _take_dtype(self, dtype: Any) -> None:
        if self._dtype_open and not self.built:
            self._policy = policy(dtype, self.dialect)
        self._dtype_open = False

    # Building and calling

    def _enter(self) -> tuple[Graph, VariableScope]:
        graph, _ = scopes.current()
        if self._graph is None:
            self._graph = graph
        elif self._graph is not graph:
            raise ValueError(
                f"the variables of layer {self.name!r} must be from the same graph as its inputs, but the "
                f"layer was built in another one. Call it there, or make a new layer."
            )
        if self._scope is None:
            if not isinstance(self._base_name, str):
                raise ValueError(
                    f"name must be a string, because a scope is called so. Got {self._base_name!r}."
                )
            with variable_scope(self._base_name if self._reuse else None, self._base_name) as self._scope:
                pass
        return graph, self._scope

    def prepare(self, inputs: Any) -> Array:
        """Inputs as the layer's ``call`` takes them; the first ones decide its type and its scope."""
        if not hasattr(inputs, "dtype"):  # numbers of Python have the type that is asked for
            asked = config.floatx() if self._dtype_open else self.compute_dtype
            inputs = args.array(inputs, "inputs").astype(asked)
        if self._dtype_open:
            self._take_dtype(args.array(inputs, "inputs").dtype.name)
        if self._graph is not scopes.current()[0]:
            self._enter()
        return super().prepare(inputs)

    def _cast(self, inputs: Any) -> Array:
        array = args.array(inputs, "inputs")
        if not self._autocast and array.dtype != self._policy.compute:
            raise _wrong_type(array.dtype, self.compute_dtype)
        return super()._cast(array)

    def _placed(self, inputs: SymbolicTensor) -> SymbolicTensor:
        self._take_dtype(inputs.dtype)
        self._enter()
        if not self._autocast and inputs.dtype != self.compute_dtype:
            raise _wrong_type(inputs.dtype, self.compute_dtype)
        return super()._placed(inputs)

    def build_for(self, input_shape: Shape) -> None:
        """Build as a call does."""
        if not self.built:
            self.build(input_shape)

    def build(self, input_shape: Shape) -> None:
        """Make or share kernel and bias for inputs of this shape; only its channels matter.

        Raises
        ------
        ValueError
            If the rank is wrong, the channels are unknown, or ``reuse`` forbids what it would do.
        """
        self._shared.clear()
        graph, _ = self._enter()
        with graph.undone_after_error():
            super().build(input_shape)
            if self.activity_regularizer is not None:
                graph.penalties.append(lambda: list(self._losses))

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
        """Make a weight in the layer's scope, or share the one that is there."""
        self._take_dtype(None)
        graph, scope = self._enter()
        if None in shape:
            raise ValueError(f"the shape of weight {name!r} must hold integers. Got {tuple(shape)}.")
        path = f"{scope.name}/{name}" if scope.name else name
        kind = self.variable_dtype if dtype is None else str(dtype)
        made = graph.shared(path, tuple(shape), kind, self._reuse or scope.reuse)
        if made is not None:
            self._shared.add(len(self._variables))
            self._variables.append(made)
            return made
        trainable = trainable and self.trainable  # for good: setting it later changes nothing
        made = super().add_weight(
            name,
            shape,
            initializer or initializers.get(scope.initializer, self.dialect),
            dtype=dtype,
            trainable=trainable,
            regularizer=regularizer,
            constraint=constraint,
        )
        made.name = made.path = path + self.dialect.weight_suffix
        graph.variables[path] = made
        if not trainable:
            graph.frozen.add(path)
        for penalty in (regularizers.get(scope.regularizer, self.dialect), regularizer):
            if penalty is not None:
                graph.penalties.append(_penalty(penalty, made))
        return made

    @property
    def losses(self) -> list[Any]:
        """Losses of the last call, then penalties of the weights it made; those of a scope are not here."""
        own = (v for i, v in enumerate(self._variables) if i not in self._shared)
        return [*self._losses, *(v.regularizer(v.value) for v in own if v.regularizer is not None)]

    def apply(self, inputs: Any) -> Any:
        """The same as a call."""
        return self(inputs)

    @property
    def updates(self) -> list[Any]:
        """None: these layers change nothing when they are called."""
        return []

    def get_config(self) -> dict[str, Any]:
        """All arguments as plain data; files of Keras hold it, and load as layers of Keras."""
        found = super().get_config()
        if self.dialect.family != "tf_keras":  # written for another generation: no initializer has a type
            for name in ("kernel_initializer", "bias_initializer"):
                if isinstance(getattr(self, name), Zeros):
                    found[name] = initializers.serialize(initializers.Zeros(), self.dialect)
        return found

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Self:
        """A layer with the arguments that :meth:`get_config` gave."""
        return cls(
            **{key: _typeless(value) if "initializer" in key else value for key, value in config.items()}
        )

    def __getstate__(self) -> dict[str, Any]:
        # A copy has variables of its own, outside of all graphs.
        scope = None if self._scope is None else VariableScope(self._scope.name)
        return {**super().__getstate__(), "_graph": None, "_scope": scope}


def _wrong_type(given: Any, wanted: str) -> ValueError:
    return ValueError(
        f"inputs must be {wanted}, the type of the layer, which casts nothing. Got {given}. Convert them: "
        f"inputs.astype({wanted!r})."
    )


def _penalty(regularizer: Callable[[Any], Any], variable: Variable) -> Callable[[], list[Any]]:
    return lambda: [regularizer(variable.value)]


def _typeless(initializer: Any) -> Any:
    """An initializer's configuration without the type that those of TensorFlow 1 name."""
    if not (isinstance(initializer, dict) and "dtype" in initializer.get("config", {})):
        return initializer
    options = {key: value for key, value in initializer["config"].items() if key != "dtype"}
    if initializer["class_name"] == "Zeros" and not options:
        return Zeros(initializer["config"]["dtype"])
    return {**initializer, "config": options}


class Conv2DTranspose(_Scoped, _layers.Conv2DTranspose, abstract=True):
    """Transposed convolution of images, with the constructor of ``tf.compat.v1.layers``.

    Parameters
    ----------
    filters, kernel_size, strides, padding, activation, use_bias
        As in :class:`convtranspose.layers.Conv2DTranspose`.
    data_format : {"channels_last", "channels_first"}, default "channels_last"
        Where the channels stand, whatever ``keras.json`` says.
    kernel_initializer : str, callable or dict, optional
        ``None`` asks the open variable scope, and that Keras' default, glorot_uniform.
    bias_initializer : str, callable or dict, default zeros
        ``None`` means the same as for the kernel: a bias that is not zero.
    kernel_regularizer, bias_regularizer, activity_regularizer : str, callable or dict, optional
        As in :class:`convtranspose.layers.Conv2DTranspose`; they also join
        :func:`~convtranspose.compat.v1.get_regularization_losses`.
    kernel_constraint, bias_constraint : str, callable or dict, optional
        Applied by :meth:`apply_constraints`.
    trainable : bool, default True
        Whether its variables join :func:`~convtranspose.compat.v1.trainable_variables`: for good.
    name : str, optional
        Its name, and that of its scope where that is free.
    **kwargs
        ``output_padding``, ``dilation_rate``, ``groups``, ``dtype``, ``input_shape`` and the like, as in
        ``tf_keras``; ``_scope``, the name of its scope; ``_reuse``, whether it shares the variables there.

    Raises
    ------
    ValueError, TypeError
        If an argument breaks its rule.

    Notes
    -----
    Automatic names begin with ``conv2d_transpose_1``; scopes are counted for themselves, in the order of
    first calls, and begin with ``conv2d_transpose``. Inputs, outputs and kernel are shaped as in
    :class:`convtranspose.layers.Conv2DTranspose`, and inputs are not cast: the first ones decide the type.
    Source: https://www.tensorflow.org/api_docs/python/tf/compat/v1/layers/Conv2DTranspose

    Examples
    --------
    >>> import numpy as np
    >>> from convtranspose.compat import v1
    >>> with v1.Graph().as_default(), v1.variable_scope("decoder"):
    ...     layer = v1.layers.Conv2DTranspose(2, 3, strides=2, padding="same")
    ...     layer(np.ones((1, 5, 7, 3))).shape, layer.dtype, layer.name, layer.scope_name
    ((1, 10, 14, 2), 'float64', 'conv2d_transpose_1', 'decoder/conv2d_transpose')
    """


class Conv3DTranspose(_Scoped, _layers.Conv3DTranspose, abstract=True):
    """Transposed convolution of volumes: :class:`Conv2DTranspose` with three spatial axes.

    Parameters
    ----------
    filters, kernel_size, strides, padding, data_format, activation, use_bias, kernel_initializer
        As in :class:`Conv2DTranspose`, with three numbers per tuple.
    bias_initializer, kernel_regularizer, bias_regularizer, activity_regularizer, kernel_constraint
        As in :class:`Conv2DTranspose`.
    bias_constraint, trainable, name, **kwargs
        As in :class:`Conv2DTranspose`.

    Examples
    --------
    >>> import numpy as np
    >>> from convtranspose.compat import v1
    >>> v1.layers.Conv3DTranspose(2, 3, strides=(1, 2, 2))(np.ones((1, 2, 3, 5, 1), "float32")).shape
    (1, 4, 7, 11, 2)
    """


def conv2d_transpose(
    inputs: Any,
    filters: int,
    kernel_size: int | tuple[int, int],
    strides: int | tuple[int, int] = (1, 1),
    padding: str = "valid",
    data_format: str = "channels_last",
    activation: Any = None,
    use_bias: bool = True,
    kernel_initializer: Any = None,
    bias_initializer: Any = _ZEROS,
    kernel_regularizer: Any = None,
    bias_regularizer: Any = None,
    activity_regularizer: Any = None,
    kernel_constraint: Any = None,
    bias_constraint: Any = None,
    trainable: bool = True,
    name: str | None = None,
    reuse: Reuse = None,
) -> Any:
    """Make a :class:`Conv2DTranspose` and call it: a function with variables.

    Parameters
    ----------
    inputs : array_like, shape (n, h, w, c_in) or (n, c_in, h, w)
        Their type is that of the variables.
    filters, kernel_size, strides, padding, data_format, activation, use_bias, kernel_initializer
        As in :class:`Conv2DTranspose`.
    bias_initializer, kernel_regularizer, bias_regularizer, activity_regularizer, kernel_constraint
        As in :class:`Conv2DTranspose`.
    bias_constraint, trainable
        As in :class:`Conv2DTranspose`.
    name : str, optional
        The scope of its variables; the next free one where it is left out.
    reuse : bool or AUTO_REUSE, optional
        Whether it shares the variables of that scope.

    Returns
    -------
    ndarray, shape (n, *o, filters) or (n, filters, *o)

    Raises
    ------
    ValueError
        If variables of this name exist and ``reuse`` is not set, or it is and they do not.

    Examples
    --------
    >>> import numpy as np
    >>> from convtranspose.compat import v1
    >>> x = np.ones((1, 5, 7, 1), "float32")
    >>> with v1.Graph().as_default():
    ...     y = v1.layers.conv2d_transpose(x, 2, 3, name="up")
    ...     bool((y == v1.layers.conv2d_transpose(x, 2, 3, name="up", reuse=True)).all())
    True
    """
    return _function(Conv2DTranspose, locals())


def conv3d_transpose(
    inputs: Any,
    filters: int,
    kernel_size: int | tuple[int, int, int],
    strides: int | tuple[int, int, int] = (1, 1, 1),
    padding: str = "valid",
    data_format: str = "channels_last",
    activation: Any = None,
    use_bias: bool = True,
    kernel_initializer: Any = None,
    bias_initializer: Any = _ZEROS,
    kernel_regularizer: Any = None,
    bias_regularizer: Any = None,
    activity_regularizer: Any = None,
    kernel_constraint: Any = None,
    bias_constraint: Any = None,
    trainable: bool = True,
    name: str | None = None,
    reuse: Reuse = None,
) -> Any:
    """Make a :class:`Conv3DTranspose` and call it: :func:`conv2d_transpose` for volumes.

    Parameters
    ----------
    inputs : array_like, shape (n, d, h, w, c_in) or (n, c_in, d, h, w)
        Their type is that of the variables.
    filters, kernel_size, strides, padding, data_format, activation, use_bias, kernel_initializer
        As in :func:`conv2d_transpose`, with three numbers per tuple.
    bias_initializer, kernel_regularizer, bias_regularizer, activity_regularizer, kernel_constraint
        As in :func:`conv2d_transpose`.
    bias_constraint, trainable, name, reuse
        As in :func:`conv2d_transpose`.

    Returns
    -------
    ndarray, shape (n, *o, filters) or (n, filters, *o)

    Examples
    --------
    >>> import numpy as np
    >>> from convtranspose.compat import v1
    >>> v1.layers.conv3d_transpose(np.ones((1, 2, 3, 5, 1), "float32"), 2, 3).shape
    (1, 4, 5, 7, 2)
    """
    return _function(Conv3DTranspose, locals())


def _function(cls: type[_Scoped], given: dict[str, Any]) -> Any:
    inputs, reuse = given.pop("inputs"), given.pop("reuse")
    return cls(**given, _reuse=reuse, _scope=given["name"])(inputs)


def equivalent_layer(layer: Any) -> Any:
    """The layer of :mod:`convtranspose.layers` that computes the same, with the same weights.

    Parameters
    ----------
    layer : Conv2DTranspose or Conv3DTranspose
        A layer of this module.

    Returns
    -------
    convtranspose.layers.Conv2DTranspose or convtranspose.layers.Conv3DTranspose
        Built, with copies of the weights, if ``layer`` is built. ``groups``, which Keras 2 records and
        ignores, are 1; a kernel without initializer has Keras' default, glorot_uniform.

    Raises
    ------
    TypeError
        If it is another object.

    Examples
    --------
    >>> import numpy as np
    >>> from convtranspose.compat import v1
    >>> x = np.ones((1, 5, 7, 3), "float32")
    >>> with v1.Graph().as_default():
    ...     old = v1.layers.Conv2DTranspose(2, 3, name="up")
    ...     y = old(x)
    >>> new = v1.layers.equivalent_layer(old)
    >>> new.name, new.weights[0].path, bool((new(x) == y).all())
    ('up', 'up/kernel', True)
    """
    if not isinstance(layer, _Scoped):
        raise TypeError(f"layer must be a layer of compat.v1.layers. Got {type(layer).__name__}.")
    cls = _layers.Conv2DTranspose if layer.rank == 2 else _layers.Conv3DTranspose
    default = None if layer._scope is None else layer._scope.initializer
    initial: dict[str, Any] = {
        name: getattr(layer, name) or default or "glorot_uniform"
        for name in ("kernel_initializer", "bias_initializer")
    }
    same = (
        *("filters", "kernel_size", "strides", "padding", "output_padding", "data_format", "dilation_rate"),
        *("activation", "use_bias", "kernel_regularizer", "bias_regularizer", "activity_regularizer"),
        *("kernel_constraint", "bias_constraint", "trainable", "dtype"),
    )
    options: dict[str, Any] = {name: getattr(layer, name) for name in same}
    if layer.batch_input_shape is not None:
        options["input_shape"] = layer.batch_input_shape[1:]
    made = cls(**options, **initial, name=layer.name.replace("/", "_"))
    if layer.built:
        assert layer.build_shape is not None
        made.build(layer.build_shape)
        made.set_weights(layer.get_weights())
    return made
