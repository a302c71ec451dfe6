"""A chain of layers as one model."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Self

import numpy as np

from convtranspose import arguments as args
from convtranspose.layers.base import Array, Gradients, Layer, Pullback, Shape, SymbolicTensor
from convtranspose.layers.naming import unique_name
from convtranspose.layers.serialization import deserialize, serialize

__all__ = ["Input", "InputLayer", "Sequential"]


class InputLayer(Layer):
    """The shape of a model's inputs, as a layer without effect.

    Parameters
    ----------
    shape : tuple of int or None
        Shape of an input without the batch.
    batch_size : int, optional
        Length of the batch.
    dtype : str, optional
        Type of the inputs.
    name : str, optional
        Its name.
    batch_shape, batch_input_shape : tuple, optional
        Shape with the batch, instead of ``shape``: the spellings of Keras 3 and Keras 2 files.

    Examples
    --------
    >>> from convtranspose.layers import Conv1DTranspose, InputLayer, Sequential
    >>> Sequential([InputLayer((5, 1)), Conv1DTranspose(2, 4, strides=2)]).output_shape
    (None, 12, 2)
    """

    def __init__(
        self,
        shape: Sequence[int | None] | None = None,
        batch_size: int | None = None,
        dtype: Any = None,
        name: str | None = None,
        *,
        batch_shape: Sequence[int | None] | None = None,
        batch_input_shape: Sequence[int | None] | None = None,
        **kwargs: Any,
    ) -> None:
        for ignored in ("sparse", "ragged", "optional"):  # no such inputs here, but files name them
            kwargs.pop(ignored, None)
        super().__init__(name=name, dtype=dtype, **kwargs)
        whole = batch_shape if batch_shape is not None else batch_input_shape
        if whole is None and shape is None:
            raise ValueError("InputLayer needs shape=(...), without the batch, or batch_shape=(...).")
        self.batch_shape: Shape = tuple(whole) if whole is not None else (batch_size, *(shape or ()))
        self.built = True

    @property
    def input_shape(self) -> Shape:
        """Its shape."""
        return self.batch_shape

    def _automatic_name(self) -> str:
        record = self.dialect
        if record.build_scoped:
            return unique_name("input_layer", record.family)
        return unique_name("input", record.family, first=1)

    def call(self, inputs: Array) -> Array:
        """The inputs themselves."""
        return inputs

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """The shape itself."""
        return tuple(input_shape)

    def vjp(self, inputs: Any) -> tuple[Array, Pullback]:
        """Outputs and a pullback that returns its argument."""
        x = self.prepare(inputs)
        return x, lambda gradient: Gradients(np.asarray(gradient, x.dtype))

    def get_config(self) -> dict[str, Any]:
        """All arguments as plain data."""
        values = {
            "batch_shape": self.batch_shape,
            "batch_input_shape": self.batch_shape,
            "dtype": self.dtype,
            "sparse": False,
            "ragged": False,
            "name": self.name,
            "optional": False,
        }
        return {key: values[key] for key in self.dialect.input_keys}


class Sequential(Layer):
    """A chain of layers, each fed with the outputs of the one before.

    Parameters
    ----------
    layers : iterable of Layer, optional
        The chain. With ``input_shape`` on its first layer, or an :class:`InputLayer`, the model is
        built at once; else by ``build`` or the first call.
    trainable : bool, default True
        Whether an optimizer changes the weights.
    name : str, optional
        Its name; an automatic one where it is left out.

    Examples
    --------
    >>> import numpy as np
    >>> from convtranspose.layers import Conv1DTranspose, Sequential
    >>> model = Sequential([
    ...     Conv1DTranspose(2, 3, strides=2, padding="same", activation="relu", input_shape=(5, 1)),
    ...     Conv1DTranspose(1, 3, strides=2, padding="same"),
    ... ])
    >>> model.output_shape, model.count_params()
    ((None, 20, 1), 15)
    >>> model.predict(np.ones((3, 5, 1), "float32"), batch_size=2).shape
    (3, 20, 1)
    """

    holds_layers: ClassVar[bool] = True
    keras_modules: ClassVar[Mapping[str, str]] = {"keras3": "keras", "tf_keras": "keras"}

    def __init__(
        self,
        layers: Iterable[Layer] | None = None,
        trainable: bool = True,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, trainable=trainable, **kwargs)
        self._chain: list[Layer] = []
        self._input: InputLayer | None = None
        names: set[str] = set()
        for layer in layers or ():
            self._append(layer, names)
            names.add(layer.name)
        self._build_if_told()

    @property
    def layers(self) -> list[Layer]:
        """The chain, without the input layer."""
        return list(self._chain)

    def _sublayers(self) -> Sequence[Layer]:
        return self._chain

    @property
    def input_shape(self) -> Shape | None:
        """Shape of the inputs, or ``None`` where it is not known yet; ``None`` inside is open."""
        return None if self._input is None else self._input.batch_shape

    def add(self, layer: Layer) -> None:
        """Append a layer.

        Raises
        ------
        TypeError
            If it is no layer.
        ValueError
            If a layer of its name is there already, or an input layer comes late.
        """
        self._append(layer, {known.name for known in self._chain})
        self._build_if_told()

    def _append(self, layer: Layer, names: Collection[str]) -> None:
        if not isinstance(layer, Layer):
            raise TypeError(f"Sequential.add takes a layer, but {layer!r} is a {type(layer).__name__}.")
        if layer.name in names:
            raise ValueError(
                f"layers of a model must have different names, but {layer.name!r} is there twice. "
                f"Give one another name: name='...'."
            )
        if isinstance(layer, InputLayer):
            if self._chain or self._input is not None:
                raise ValueError("an input layer must come first in Sequential, and only once.")
            self._input = layer
        else:
            self._chain.append(layer)

    def _build_if_told(self) -> None:
        """Build, if an input layer or the first layer says the shape of the inputs."""
        if self._chain:
            shape = self._chain[0].batch_input_shape if self._input is None else self.input_shape
            if shape is not None:
                self.build(shape)

    def pop(self) -> Layer:
        """Remove the last layer and return it."""
        if not self._chain:
            raise ValueError("there is no layer to remove.")
        self.built = self.built and len(self._chain) > 1
        return self._chain.pop()

    def get_layer(self, name: str | None = None, index: int | None = None) -> Layer:
        """The layer of this name, or at this place."""
        if index is not None:
            return self.layers[index]
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise ValueError(f"no layer {name!r}. There are: {', '.join(la.name for la in self.layers)}.")

    # Building and calling

    def build(self, input_shape: Shape) -> None:
        """Build all layers for inputs of this shape; ``None`` stands for an open length."""
        shape: Shape = tuple(input_shape)
        if self._input is None or self._input.batch_shape != shape:
            name = f"{self._chain[0].name}_input" if self._chain and not self.dialect.build_scoped else None
            self._input = InputLayer.in_dialect(self.dialect)(batch_shape=shape, name=name)
        for layer in self._chain:
            layer.build_for(shape)
            shape = layer.compute_output_shape(shape)

    def build_for(self, input_shape: Shape) -> None:
        """Build as a call does; no generation puts a model's name into those of its weights here."""
        if not self.built:
            self.build(input_shape)

    @property
    def output_shape(self) -> Shape:
        """Shape of the outputs; ``None`` stands for an open length.

        Raises
        ------
        ValueError
            If the model is not built.
        """
        if self.input_shape is None:
            raise ValueError(f"model {self.name!r} is not built yet: model.build(input_shape).")
        return self.compute_output_shape(self.input_shape)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """Shape of the outputs for inputs of this shape."""
        shape: Shape = tuple(input_shape)
        for layer in self._chain:
            shape = layer.compute_output_shape(shape)
        return shape

    def prepare(self, inputs: Any) -> Array:
        """Inputs as an array; their type is the business of the first layer."""
        x = args.array(inputs, "inputs")
        if not self.built:
            self.build_for(x.shape)
        return x

    def call(self, inputs: Array) -> Array:
        """Call all layers in order."""
        for layer in self._chain:
            inputs = layer(inputs)
        return inputs

    def vjp(self, inputs: Any) -> tuple[Array, Pullback]:
        """Outputs and a pullback through all layers.

        Returns
        -------
        outputs : ndarray
            What the call returns.
        pullback : callable
            From gradients to the outputs to :class:`Gradients`, whose ``weights`` stand in the order
            of ``trainable_weights``.
        """
        x = self.prepare(inputs)
        steps = []
        for layer in self._chain:
            x, step = layer.vjp(x)
            steps.append(step)

        def pullback(gradient: Any) -> Gradients:
            weights: list[tuple[Array, ...]] = []
            for step in reversed(steps):
                gradients = step(gradient)
                gradient = gradients.inputs
                weights.append(gradients.weights)
            return Gradients(gradient, tuple(g for own in reversed(weights) for g in own))

        return x, pullback

    def predict(self, x: Any, batch_size: int | None = None, verbose: int | str = 0) -> Array:
        """Outputs for all of ``x``, computed in batches.

        Parameters
        ----------
        x : array_like, shape (n, ...)
            The inputs.
        batch_size : int, default 32
            Inputs per batch: bounds the memory, never changes the result.
        verbose : {0, 1, 2, "auto"}, default 0
            1 shows progress, 2 one line at the end, ``"auto"`` progress on a terminal.

        Returns
        -------
        ndarray, shape (n, ...)
            The outputs.
        """
        array = args.array(x, "x")
        size = 32 if batch_size is None else args.integers(batch_size, 1, "batch_size", minimum=1)[0]
        if verbose == "auto":
            verbose = int(sys.stdout.isatty())
        if len(array) <= size and not verbose:
            return np.asarray(self(array))
        started, total = time.perf_counter(), -(-len(array) // size)
        parts = []
        for number in range(total):
            parts.append(self(array[number * size : (number + 1) * size]))
            if verbose == 1:
                print(f"\r{number + 1}/{total}", end="", flush=True)
        if verbose:
            print(f"{chr(13) if verbose == 1 else ''}{total}/{total} {time.perf_counter() - started:.2f} s")
        return np.concatenate(parts) if parts else np.asarray(self(array))

    # Description

    def summary(self, print_fn: Callable[[str], Any] = print) -> None:
        """Print a table of the layers: kind, output shape, parameters.

        Parameters
        ----------
        print_fn : callable, default print
            Takes one line at a time.
        """
        rows = [("Layer (type)", "Output shape", "Params")]
        shape = self.input_shape
        for layer in self._chain:
            shape = None if shape is None else layer.compute_output_shape(shape)
            count = f"{layer.count_params():,}" if layer.built else "?"
            rows.append(
                (f"{layer.name} ({type(layer).__name__})", "?" if shape is None else str(shape), count)
            )
        widths = [max(len(row[n]) for row in rows) for n in range(3)]
        lines = [f"{a:<{widths[0]}}  {b:<{widths[1]}}  {c:>{widths[2]}}" for a, b, c in rows]
        rule = "-" * len(lines[0])
        total, trained = (sum(w.value.size for w in ws) for ws in (self.weights, self.trainable_weights))
        foot = f"Total {total:,}, trainable {trained:,}, non-trainable {total - trained:,}"
        for line in (f"Model {self.name}", rule, lines[0], rule, *lines[1:], rule, foot):
            print_fn(line)

    def get_config(self) -> dict[str, Any]:
        """Name and layers as plain data, in the form of the model's generation."""
        first = [] if self._input is None else [self._input]
        values = {
            "name": self.name,
            "trainable": self.trainable,
            "dtype": self._dtype_config(),
            "layers": [serialize(layer) for layer in (*first, *self._chain)],
            "build_input_shape": self.input_shape,
        }
        keys = self.dialect.model_keys
        return {k: values[k] for k in keys if k != "build_input_shape" or values[k] is not None}

    def to_json(self) -> str:
        """The configuration as JSON text, as the model's generation writes it; no weights.

        :func:`convtranspose.formats.from_json` reads it.
        """
        from convtranspose import formats

        return formats.to_json(self)

    @classmethod
    def from_config(
        cls,
        config: dict[str, Any] | list[dict[str, Any]],
        custom_objects: Mapping[str, type[Layer]] | None = None,
    ) -> Self:
        """A model with the layers that :meth:`get_config` gave, in any generation's form."""
        if isinstance(config, list):  # the form before Keras 2.2
            config = {"layers": config}
        made = cls(**{key: config[key] for key in ("name", "trainable", "dtype") if key in config})
        for item in config["layers"]:
            made.add(deserialize(item, custom_objects, dialect=cls.dialect))
        shape = config.get("build_input_shape")
        if shape is not None and not made.built:
            made.build(tuple(shape))
        return made


def Input(  # noqa: N802 - Keras' name
    shape: Sequence[int | None] | None = None,
    batch_size: int | None = None,
    dtype: Any = None,
    name: str | None = None,
    *,
    batch_shape: Sequence[int | None] | None = None,
    layer: type[InputLayer] = InputLayer,
) -> SymbolicTensor:
    """The place where a model begins.

    Parameters
    ----------
    shape : tuple of int or None
        Shape of an input without the batch; ``None`` stands for an open length.
    batch_size : int, optional
        Length of the batch.
    dtype, name
        As in :class:`InputLayer`.
    batch_shape : tuple of int or None, optional
        Shape with the batch, instead of ``shape``.
    layer : type, default InputLayer
        The input layer of a generation.

    Returns
    -------
    SymbolicTensor
        Call layers on it; :class:`Model` makes the model.

    Examples
    --------
    >>> from convtranspose.layers import Conv1DTranspose, Input, Model
    >>> x = Input((None, 3))
    >>> y = Conv1DTranspose(2, 3, strides=2, padding="same")(x)
    >>> y.shape, Model(x, y).count_params()
    ((None, None, 2), 20)
    """
    first = layer(shape, batch_size, dtype, name, batch_shape=batch_shape)
    return SymbolicTensor(first.batch_shape, first.dtype, first)
