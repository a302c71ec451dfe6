"""One record per generation of the API: the same operation under the names, defaults, checks and
serialized forms of its time. A generation is data here, never a second implementation.

Rule of this file: what differs between generations stands here as a field, and whoever needs the
difference asks the record of the object at hand; nobody compares names of generations.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

__all__ = ["DIALECTS", "KERAS3", "TFJS", "TF_KERAS_2_4", "TF_KERAS_2_9", "TF_KERAS_2_21", "Dialect"]

_CONV_HEAD = ("filters", "kernel_size", "strides", "padding")
_CONV_TAIL = (
    "activation",
    "use_bias",
    "kernel_initializer",
    "bias_initializer",
    "kernel_regularizer",
    "bias_regularizer",
    "activity_regularizer",
    "kernel_constraint",
    "bias_constraint",
)
_KERAS2_ARGUMENTS = frozenset(
    {"autocast", "batch_input_shape", "batch_size", "dynamic", "input_dim", "input_shape", "weights"}
)
_KERAS3_ERRORS = {
    "argument": ValueError,
    "dtype": ValueError,
    "layer": TypeError,
    "name type": ValueError,
    "name slash": ValueError,
    "weight shape": ValueError,
}
_KERAS2_ERRORS = {
    "bool kernel_size": ValueError,
    "argument": TypeError,
    "dtype": TypeError,
    "layer": ValueError,
    "weight shape": TypeError,
}
_TFJS_ERRORS = {
    "argument": ValueError,
    "dtype": ValueError,
    "layer": ValueError,
    "name type": ValueError,
    "weight shape": ValueError,
}


@dataclass(frozen=True, slots=True, eq=False)
class Dialect:
    """A generation of the API.

    Records are compared and hashed by identity, and survive copies and pickles as themselves.

    Parameters
    ----------
    name : str
        Short name, also what files record.
    family : {"keras3", "tf_keras", "tfjs"}
        Which line it belongs to.
    version : str
        The version of the program whose behaviour this is.
    errors : mapping of str to exception class
        Which class a broken rule raises, where the generations disagree. A rule that is absent is
        not checked: ``"argument"`` unknown keyword argument, ``"dtype"`` unknown type, ``"layer"``
        unknown class in a configuration, ``"name type"`` a name that is no string, ``"name slash"``
        a slash in a name, ``"weight shape"`` a weight shape that holds no integers, ``"bool filters"``
        and ``"bool kernel_size"`` a bool instead of an integer.
    sizes_checked : bool
        Whether the constructor wants positive sizes (else they fail where they are used).
    filters_truncated : bool
        Whether ``filters=2.5`` means 2.
    empty_name : bool
        Whether ``""`` is a name (else it asks for an automatic one).
    mixed_precision : bool
        Whether ``dtype`` may be ``"mixed_float16"`` or ``"mixed_bfloat16"``.
    extra_arguments : frozenset of str
        Keyword arguments of layers beyond ``name``, ``dtype``, ``trainable``.
    grouped : bool
        Whether ``groups`` has an effect. In Keras 2 the argument is accepted, recorded, and ignored.
    crops : bool
        Whether ``padding`` may be a crop ``(lo, hi)`` per axis.
    equal_dilation : bool
        Whether a 2-D layer wants one dilation rate for both axes, as its page says.
    ndim_exact : bool
        Whether a built layer insists on the rank of its input (else on the least rank).
    channel_axis_negative : bool
        How the input specification names the channel axis of ``channels_first``.
    weight_suffix : str
        Follows the name of a weight: ``":0"`` in Keras 2.
    named_by_path : bool
        Whether a weight's ``name`` is its path; in Keras 3 ``path`` is separate.
    build_scoped : bool
        Whether ``build`` names weights inside the layer's scope (else only a call does).
    class_in_name : bool
        Whether automatic names of layers end in their class and a number that counts from 1.
    frozen_regularized : bool
        Whether ``losses`` counts the regularizers of weights that are not trainable.
    layers_trainable_first, models_trainable_first : bool
        Whether ``weights`` begins with all that are trainable, those of layers inside among them (else the
        weights of one layer follow those of another).
    layer_keys : tuple of str
        The keys every layer configuration begins with, in order; absent values are left out.
    conv_keys : tuple of str
        The keys of a transposed convolution, in order.
    model_keys : tuple of str
        The keys of a ``Sequential`` model, in order.
    input_keys : tuple of str
        The keys of an input layer, in order.
    objects_named_by_module : bool
        Whether nested objects carry ``module`` and ``registered_name`` beside their class.
    dtype_policy : tuple of (str, str)
        Module and class of the object that stands for a type in a configuration.
    dtype_as_name : bool
        Whether a plain type is written as its name and only mixed ones as an object.
    forward_convolution : bool
        Whether layers have ``convolution_op``.
    top_level_weights : bool
        Whether legacy ``.h5`` files have a group for weights of the model itself.
    lacking : frozenset of str
        Layer classes of this library that the generation does not have.
    """

    name: str
    family: str
    version: str = ""
    errors: Mapping[str, type[Exception]] = field(default_factory=lambda: MappingProxyType(_KERAS3_ERRORS))
    sizes_checked: bool = True
    filters_truncated: bool = False
    empty_name: bool = True
    mixed_precision: bool = True
    extra_arguments: frozenset[str] = frozenset({"autocast", "input_dim", "input_shape"})
    grouped: bool = True
    crops: bool = True
    equal_dilation: bool = False
    ndim_exact: bool = False
    channel_axis_negative: bool = False
    weight_suffix: str = ""
    named_by_path: bool = False
    build_scoped: bool = True
    class_in_name: bool = False
    frozen_regularized: bool = False
    layers_trainable_first: bool = False
    models_trainable_first: bool = False
    layer_keys: tuple[str, ...] = ("name", "trainable", "dtype")
    conv_keys: tuple[str, ...] = (*_CONV_HEAD, "output_padding", "data_format", "dilation_rate", *_CONV_TAIL)
    model_keys: tuple[str, ...] = ("name", "trainable", "dtype", "layers", "build_input_shape")
    input_keys: tuple[str, ...] = ("batch_shape", "dtype", "sparse", "ragged", "name", "optional")
    objects_named_by_module: bool = True
    dtype_policy: tuple[str, str] = ("keras", "DTypePolicy")
    dtype_as_name: bool = False
    forward_convolution: bool = False
    top_level_weights: bool = True
    lacking: frozenset[str] = frozenset()

    def __reduce__(self) -> tuple[object, ...]:
        return _named, (self.name,)


def _named(name: str) -> Dialect:
    return DIALECTS[name]


def _keras2(name: str, version: str, errors: Mapping[str, type[Exception]], **changes: object) -> Dialect:
    fields: dict[str, object] = {
        "filters_truncated": True,
        "extra_arguments": _KERAS2_ARGUMENTS,
        "grouped": False,
        "crops": False,
        "equal_dilation": True,
        "ndim_exact": True,
        "channel_axis_negative": True,
        "weight_suffix": ":0",
        "named_by_path": True,
        "build_scoped": False,
        "frozen_regularized": True,
        "layers_trainable_first": True,
        "layer_keys": ("name", "trainable", "batch_input_shape", "dtype"),
        "conv_keys": (
            *(*_CONV_HEAD, "data_format", "dilation_rate", "groups"),
            *(*_CONV_TAIL, "output_padding"),
        ),
        "model_keys": ("name", "layers"),
        "input_keys": ("batch_input_shape", "dtype", "sparse", "ragged", "name"),
        "objects_named_by_module": False,
        "dtype_policy": ("keras.mixed_precision", "Policy"),
        "dtype_as_name": True,
        "forward_convolution": True,
    }
    merged = MappingProxyType({**_KERAS2_ERRORS, **errors})
    return Dialect(name, "tf_keras", version, merged, **{**fields, **changes})  # type: ignore[arg-type]


KERAS3 = Dialect("keras3", "keras3", "3.15.1")
TF_KERAS_2_4 = _keras2(
    "tf_keras_2_4",
    "2.4.0",
    {},
    sizes_checked=False,
    empty_name=False,
    mixed_precision=False,
    equal_dilation=False,
    forward_convolution=False,
    top_level_weights=False,
)
TF_KERAS_2_9 = _keras2("tf_keras_2_9", "2.9.0", {"name type": TypeError})
TF_KERAS_2_21 = _keras2(
    "tf_keras_2_21",
    "2.21.0",
    {"name type": TypeError, "bool filters": TypeError},
    layer_keys=("name", "trainable", "dtype", "batch_input_shape"),
    input_keys=("batch_input_shape", "dtype", "sparse", "ragged", "name", "optional"),
    objects_named_by_module=True,
)
TFJS = Dialect(
    "tfjs",
    "tfjs",
    "4.22.0",
    MappingProxyType(_TFJS_ERRORS),
    sizes_checked=False,
    mixed_precision=False,
    extra_arguments=frozenset({"batch_input_shape", "batch_size", "input_dtype", "input_shape", "weights"}),
    crops=False,
    ndim_exact=True,
    named_by_path=True,
    build_scoped=False,
    class_in_name=True,
    layers_trainable_first=True,
    models_trainable_first=True,
    layer_keys=("name", "trainable", "batch_input_shape", "dtype"),
    conv_keys=(
        *("filters", "kernel_initializer", "kernel_regularizer", "kernel_constraint", "kernel_size"),
        *("strides", "padding", "data_format", "activation", "use_bias", "bias_initializer"),
        *("bias_regularizer", "activity_regularizer", "bias_constraint"),
    ),
    model_keys=("name", "layers"),
    input_keys=("batch_input_shape", "dtype", "sparse", "name"),
    objects_named_by_module=False,
    dtype_as_name=True,
    lacking=frozenset(
        (
            *("ActivityRegularization", "Conv1DTranspose", "Cropping1D", "Cropping3D", "Identity"),
            *("SpatialDropout2D", "SpatialDropout3D", "UpSampling1D", "UpSampling3D"),
            *("ZeroPadding1D", "ZeroPadding3D"),
        )
    ),
)

DIALECTS = {d.name: d for d in (KERAS3, TF_KERAS_2_4, TF_KERAS_2_9, TF_KERAS_2_21, TFJS)}
