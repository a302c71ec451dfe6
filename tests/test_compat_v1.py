"""The compat.v1 face: what it is beside the recorded cases, which are in tests/golden."""

from __future__ import annotations

import copy
import inspect
import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import convtranspose.layers
from convtranspose import config, initializers, reference, tf_keras
from convtranspose.compat import v1
from convtranspose.dialects import KERAS3, TF_KERAS_2_4, TF_KERAS_2_9, TF_KERAS_2_21, TFJS, Dialect
from convtranspose.layers import clear_session

X = np.arange(1 * 2 * 3 * 5, dtype="float32").reshape(1, 2, 3, 5)
V = X.reshape(1, 2, 3, 5, 1)


@pytest.fixture(autouse=True)
def graph() -> Iterator[v1.Graph]:
    clear_session()
    with v1.Graph().as_default() as opened:
        yield opened


def names() -> list[str]:
    return [variable.name for variable in v1.global_variables()]


def test_defaults_of_the_functions() -> None:
    order = [
        *("inputs", "filters", "kernel_size", "strides", "padding", "data_format", "activation", "use_bias"),
        *("kernel_initializer", "bias_initializer", "kernel_regularizer", "bias_regularizer"),
        *("activity_regularizer", "kernel_constraint", "bias_constraint", "trainable", "name", "reuse"),
    ]
    for function, rank in ((v1.layers.conv2d_transpose, 2), (v1.layers.conv3d_transpose, 3)):
        found = inspect.signature(function).parameters
        assert list(found) == order
        assert found["strides"].default == (1,) * rank
        assert type(found["bias_initializer"].default).__name__ == "Zeros"
        assert found["kernel_initializer"].default is None
    taken = list(inspect.signature(v1.layers.Conv2DTranspose).parameters)
    assert taken == [*order[1:-1], "kwargs"]


def test_arguments_that_pass_through() -> None:
    given = {"output_padding": 1, "strides": 2, "groups": 2, "dtype": "float64", "input_shape": (4, 4, 3)}
    made = v1.layers.Conv2DTranspose(2, 3, **given).get_config()
    assert (made["output_padding"], made["groups"], made["dtype"]) == ((1, 1), 2, "float64")
    assert v1.layers.Conv2DTranspose(2, 3, dilation_rate=2).dilation_rate == (2, 2)
    for record in (TF_KERAS_2_4, TF_KERAS_2_9):
        with pytest.raises(TypeError, match="unknown keyword arguments: flavour"):
            v1.layers.Conv2DTranspose.in_dialect(record)(2, 3, flavour=1)


def test_data_format_is_not_that_of_the_configuration() -> None:
    before = config.image_data_format()
    config.set_image_data_format("channels_first")
    try:
        assert v1.layers.Conv2DTranspose(2, 3).data_format == "channels_last"
        assert v1.layers.Conv2DTranspose(2, 3, data_format=None).data_format == "channels_first"
    finally:
        config.set_image_data_format(before)


@pytest.mark.parametrize("given", [np.float16, np.float32, np.float64])
def test_the_first_input_decides_the_type(given: type) -> None:
    layer = v1.layers.Conv2DTranspose(2, 3)
    assert layer.dtype is None
    assert layer.get_config()["dtype"] is None
    outputs = layer(X.astype(given))
    name = np.dtype(given).name
    assert [outputs.dtype.name, layer.dtype, *(w.dtype.name for w in layer.weights)] == [name] * 4
    other = "float32" if name == "float64" else "float64"
    with pytest.raises(ValueError, match=f"inputs must be {name}, the type of the layer.* Got {other}"):
        layer(X.astype(other))


def test_types_without_an_array() -> None:
    place = tf_keras.layers.Input(batch_shape=(None, 4, None, 3), dtype="float64")
    layer = v1.layers.Conv2DTranspose(2, 3, strides=2)
    outputs = layer(place)
    assert (layer.dtype, outputs.dtype, outputs.shape) == ("float64", "float64", (None, 9, None, 2))
    with pytest.raises(ValueError, match=r"inputs must be float32.* Got float64"):
        v1.layers.Conv2DTranspose(2, 3, dtype="float32")(place)
    built = v1.layers.Conv2DTranspose(2, 3)
    built.build((None, None, None, 3))
    assert built.dtype == config.floatx()
    listed = v1.layers.Conv2DTranspose(2, 3)
    assert listed(X.tolist()).dtype == config.floatx()
    with pytest.raises(TypeError, match="int64"):
        v1.layers.Conv2DTranspose(2, 3)(X.astype("int64"))
    assert v1.layers.Conv2DTranspose(2, 3, dtype="float32", autocast=True)(X.astype("float64")).dtype == "f4"


def test_two_numberings() -> None:
    first, second = v1.layers.Conv2DTranspose(2, 3), v1.layers.Conv2DTranspose(2, 3)
    second(X)
    first(X)
    assert [first.name, second.name] == ["conv2d_transpose_1", "conv2d_transpose_2"]
    assert [first.scope_name, second.scope_name] == ["conv2d_transpose_1", "conv2d_transpose"]
    with v1.Graph().as_default():
        assert v1.layers.Conv2DTranspose(2, 3).name == "conv2d_transpose_1"


def test_names_are_counted_with_those_of_keras_outside_of_graphs() -> None:
    with v1.Graph().as_default():
        pass
    token = v1.scopes._place.set(None)
    try:
        assert tf_keras.layers.Conv2DTranspose(2, 3).name == "conv2d_transpose"
        layer = v1.layers.Conv2DTranspose(2, 3)
        assert layer.name == "conv2d_transpose_2"
        layer(X)
        assert names() == ["conv2d_transpose/kernel:0", "conv2d_transpose/bias:0"]
        with pytest.raises(RuntimeError, match=r"graph is not supported outside of a graph"):
            _ = layer.graph
        v1.reset_default_graph()
        assert names() == []
        v1.layers.conv2d_transpose(X, 2, 3)
        clear_session()
        assert names() == []
    finally:
        v1.scopes._place.reset(token)


def test_scope_name_is_known_after_the_first_call() -> None:
    layer = v1.layers.Conv2DTranspose(2, 3, name="up")
    with pytest.raises(ValueError, match="layer 'up' has no scope yet"):
        _ = layer.scope_name
    layer.build((None, None, None, 5))
    assert layer.scope_name == "up"
    twin = v1.layers.Conv2DTranspose(2, 3, name="up")
    twin(X)
    assert (twin.name, twin.scope_name, twin.kernel.name) == ("up", "up_1", "up_1/kernel:0")
    assert v1.layers.Conv2DTranspose(2, 3, _scope="sc").scope_name == "sc"
    with pytest.raises(ValueError, match=r"name must be a string, because a scope is called so. Got 3"):
        v1.layers.Conv2DTranspose(2, 3, name=3)(X)


def test_graph_is_none_and_deprecated() -> None:
    with pytest.warns(DeprecationWarning, match="the attribute graph of layers is deprecated"):
        assert v1.layers.Conv2DTranspose(2, 3).graph is None


def test_name_scopes_do_not_name_variables() -> None:
    with convtranspose.layers.name_scope("ns"):
        v1.layers.conv2d_transpose(X, 2, 3)
    assert names() == ["conv2d_transpose/kernel:0", "conv2d_transpose/bias:0"]


def test_layers_share_by_scope() -> None:
    first = v1.layers.Conv2DTranspose(2, 3, _scope="sc")
    second = v1.layers.Conv2DTranspose(2, 3, _scope="sc", _reuse=True)
    outputs = first(X)
    np.testing.assert_array_equal(second(X), outputs)
    assert second.kernel is first.kernel
    first.kernel.assign(np.ones(first.kernel.shape))
    wanted = reference.conv_transpose(X, np.ones(first.kernel.shape, "float32"))
    np.testing.assert_array_equal(second(X), wanted)
    assert names() == ["sc/kernel:0", "sc/bias:0"]


def test_reuse_follows_the_scope() -> None:
    missing = "variable s/up/kernel does not exist, but reuse=True"
    with v1.variable_scope("s", reuse=True), pytest.raises(ValueError, match=missing):
        v1.layers.conv2d_transpose(X, 2, 3, name="up")
    assert names() == []
    for _ in range(2):
        with v1.variable_scope("s", reuse=v1.AUTO_REUSE), v1.variable_scope("inner"):
            v1.layers.conv3d_transpose(V, 2, 3)
    assert names() == ["s/inner/conv3d_transpose/kernel:0", "s/inner/conv3d_transpose/bias:0"]
    with v1.variable_scope("s") as scope:
        pass
    with v1.variable_scope("elsewhere"), v1.variable_scope(scope, reuse=True), v1.variable_scope("inner"):
        v1.layers.conv3d_transpose(V, 2, 3)
    assert len(names()) == 2


def test_what_cannot_be_shared() -> None:
    v1.layers.conv2d_transpose(X, 2, 3, name="up")
    with pytest.raises(ValueError, match="variable up/kernel already exists, disallowed without reuse"):
        v1.layers.conv2d_transpose(X, 2, 3, name="up")
    with pytest.raises(ValueError, match=r"share variable up/kernel, but shape \(7, 7, 2, 5\)"):
        v1.layers.conv2d_transpose(X, 2, 7, name="up", reuse=True)
    with pytest.raises(ValueError, match=r"share variable up/kernel, .* float64 .* dtype float32"):
        v1.layers.conv2d_transpose(X.astype("float64"), 2, 3, name="up", reuse=True)


def test_a_failed_build_leaves_nothing() -> None:
    with v1.variable_scope("s"):
        bad = v1.layers.Conv2DTranspose(
            *(2, 3),
            bias_initializer=lambda shape, dtype: np.zeros(7),
            trainable=False,
            kernel_regularizer="l2",
        )
        with pytest.raises(ValueError, match=r"initializer of 'bias' must return the shape \(2,\)"):
            bad(X)
    assert (names(), bad.weights, v1.get_regularization_losses(), v1.trainable_variables()) == (
        [],
        [],
        [],
        [],
    )


def test_variable_scope_wants_a_name() -> None:
    with pytest.raises(ValueError, match="variable_scope needs a name or a default_name"):
        v1.variable_scope(None).__enter__()
    with pytest.raises(TypeError, match=r"name of a variable_scope must be a string. Got 3"):
        v1.variable_scope(3).__enter__()  # type: ignore[arg-type]
    with v1.variable_scope(None, "up") as first, v1.variable_scope(None, "up") as inner:
        assert (first.name, inner.name) == ("up", "up/up")
    with v1.variable_scope(None, "up") as second:
        assert second.name == "up_1"


def test_the_scope_initializes_and_regularizes() -> None:
    with v1.variable_scope("s", initializer=initializers.Constant(3), regularizer=np.sum):
        layer = v1.layers.Conv2DTranspose(1, 2, bias_initializer=None)
        own = v1.layers.Conv2DTranspose(1, 2, kernel_initializer="ones")
        layer(X)
        own(X)
    np.testing.assert_array_equal(layer.kernel.value, np.full((2, 2, 1, 5), 3))
    np.testing.assert_array_equal(layer.bias.value, [3])  # None is no zero here
    assert [float(loss) for loss in v1.get_regularization_losses()] == [60, 3, 20, 0]
    assert layer.losses == []
    new = v1.layers.equivalent_layer(layer)
    assert new.bias_initializer is new.kernel_initializer
    random = v1.layers.Conv2DTranspose(64, 2, bias_initializer=None)
    random(X)
    assert random.bias.value.any()


def test_a_scope_takes_names_of_initializers_and_regularizers() -> None:
    with v1.variable_scope("s", initializer="ones", regularizer="l1"):
        layer = v1.layers.Conv2DTranspose(2, 3)
        layer(X)
    assert (layer.kernel.value == 1).all()
    np.testing.assert_allclose(v1.get_regularization_losses(), [0.9, 0], rtol=1e-6)  # 0.01 as a float32
    assert (v1.layers.equivalent_layer(layer).kernel_initializer((2,)) == 1).all()


def test_weights_can_be_added_before_a_build() -> None:
    layer = v1.layers.Conv2DTranspose(2, 3, name="up")
    assert layer.add_weight("scale", (3,)).name == "up/scale:0"
    assert names() == ["up/scale:0"]


def test_penalties_of_scope_and_layer_both_count() -> None:
    with v1.variable_scope("s", regularizer=np.max, reuse=v1.AUTO_REUSE):
        made = v1.layers.Conv2DTranspose(
            2, 3, kernel_initializer="ones", kernel_regularizer=np.sum, name="up"
        )
        made(X)
    with v1.variable_scope("s", regularizer=np.max, reuse=True):
        sharing = v1.layers.Conv2DTranspose(2, 3, kernel_regularizer=np.sum, _reuse=True, name="up")
        sharing(X)
    assert sharing.kernel is made.kernel
    assert [float(loss) for loss in v1.get_regularization_losses()] == [1, 90, 0]
    assert [float(loss) for loss in made.losses] == [90]
    assert sharing.losses == []


def test_frozen_variables_stay_frozen() -> None:
    layer = v1.layers.Conv2DTranspose(2, 3, trainable=False, kernel_regularizer=np.sum)
    layer(X)
    layer.trainable = True
    assert (layer.trainable_weights, len(layer.non_trainable_weights), len(layer.losses)) == ([], 2, 1)
    assert v1.trainable_variables() == []


def test_collections() -> None:
    layer = v1.layers.Conv2DTranspose(
        2, 3, kernel_initializer="ones", kernel_regularizer=np.sum, activity_regularizer=np.sum
    )
    outputs = layer(np.concatenate([X, X]))
    v1.layers.Conv2DTranspose(2, 3, trainable=False)(X)
    assert [v.name for v in v1.trainable_variables()] == names()[:2]
    found = [float(loss) for loss in v1.get_regularization_losses()]
    assert found == [3 * 3 * 2 * 5, outputs.sum() / 2]
    assert [float(loss) for loss in layer.losses] == found[::-1]


def test_a_layer_stays_in_its_graph() -> None:
    layer = v1.layers.Conv2DTranspose(2, 3)
    layer(X)
    with (
        v1.Graph().as_default(),
        pytest.raises(ValueError, match="must be from the same graph as its inputs"),
    ):
        layer(X)
    layer(X)


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda layer: pickle.loads(pickle.dumps(layer))])
def test_copies_have_variables_of_their_own(copied) -> None:
    layer = v1.layers.Conv2DTranspose(2, 3, name="up", kernel_initializer="ones")
    with v1.variable_scope("s", regularizer=lambda w: w.sum()):
        outputs = layer(X)
    twin = copied(layer)
    layer.kernel.assign(np.zeros(layer.kernel.shape))
    with v1.Graph().as_default():
        np.testing.assert_array_equal(twin(X), outputs)
    assert twin.scope_name == "s/up"


def test_configurations_return() -> None:
    layer = v1.layers.Conv2DTranspose(
        *(2, 3, 2, "same"), kernel_initializer=initializers.RandomNormal(seed=3), name="up", output_padding=1
    )
    again = v1.layers.Conv2DTranspose.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert layer.get_config()["bias_initializer"] == {"class_name": "Zeros", "config": {"dtype": "float32"}}
    named = {"class_name": "Constant", "config": {"value": 2, "dtype": "float32"}}
    twos = v1.layers.Conv2DTranspose.from_config({**layer.get_config(), "kernel_initializer": named})
    twos(X)
    assert (twos.kernel.value == 2).all()


def test_properties() -> None:
    layer = v1.layers.Conv2DTranspose(2, 3)
    assert layer.apply(X).shape == (1, 4, 5, 2)
    assert (layer.updates, layer.losses, layer.count_params()) == ([], [], 92)
    assert layer.variables == layer.trainable_variables == layer.weights


@pytest.mark.parametrize("built", [False, True])
@pytest.mark.parametrize("rank", [2, 3])
def test_equivalent_layer(rank: int, built: bool) -> None:
    cls = {2: v1.layers.Conv2DTranspose, 3: v1.layers.Conv3DTranspose}[rank]
    options = {"output_padding": 1, "groups": 2, "kernel_regularizer": "l2", "name": "a/b"}
    old = cls(2, 3, 2, "SAME", "channels_first", "relu", **options)
    x = np.moveaxis(X if rank == 2 else V, -1, 1)
    outputs = old(x) if built else None
    new = v1.layers.equivalent_layer(old)
    assert type(new) is getattr(convtranspose.layers, cls.__name__)
    assert (new.name, new.groups, new.built) == ("a_b", 1, built)
    assert new.kernel_initializer.get_config() == initializers.get("glorot_uniform").get_config()
    if outputs is not None:
        np.testing.assert_array_equal(new(x), outputs)
        assert new.kernel is not old.kernel
        assert new.losses == old.losses != []
    again = type(new).from_config(new.get_config())
    assert again.compute_output_shape(x.shape) == old.compute_output_shape(x.shape)


def test_equivalent_layer_computes_the_functions_of_its_generation() -> None:
    old = v1.layers.Conv2DTranspose(2, 3, activation="hard_sigmoid", trainable=False)
    outputs = old(X / 16)
    new = v1.layers.equivalent_layer(old)
    np.testing.assert_array_equal(new(X / 16), outputs)
    assert not new.trainable
    plain = convtranspose.layers.Conv2DTranspose(2, 3, activation="hard_sigmoid")
    plain.build(X.shape)
    plain.set_weights(old.get_weights())
    assert (plain(X / 16) != outputs).any()


def test_equivalent_layer_keeps_what_is_open() -> None:
    old = v1.layers.Conv2DTranspose(2, 3, input_shape=(4, 4, 3), dtype="float64")
    new = v1.layers.equivalent_layer(old)
    assert (new.batch_input_shape, new.dtype) == ((None, 4, 4, 3), "float64")
    assert v1.layers.equivalent_layer(v1.layers.Conv2DTranspose(2, 3)).dtype == config.floatx()
    with pytest.raises(TypeError, match=r"layer must be a layer of compat.v1.layers. Got Conv2DTranspose"):
        v1.layers.equivalent_layer(new)


# Files


FILED = (TF_KERAS_2_4, TF_KERAS_2_9, TF_KERAS_2_21, KERAS3)


def decoder() -> convtranspose.layers.Sequential:
    """Layers of both faces in one model, which TensorFlow refuses."""
    with v1.variable_scope("decoder"):
        made = tf_keras.layers.Sequential(
            [
                v1.layers.Conv2DTranspose(7, 3, 2, name="up", kernel_regularizer="l2", activation="relu"),
                v1.layers.Conv2DTranspose(2, (3, 2), padding="same", bias_initializer=None),
                tf_keras.layers.Flatten(),
            ],
            name="model",
        )
        made(X)
    return made


def in_a_file(name: str) -> str:
    if name.endswith(("h5", ".keras")):
        pytest.importorskip("h5py", reason="Keras files are written with h5py")
    return name


@pytest.mark.parametrize(
    ("name", "dialect", "read"),
    [
        ("model.npz", None, TF_KERAS_2_9),
        ("model.json", None, TF_KERAS_2_9),
        ("model.json", "tfjs", TFJS),
        *(("model.h5", record.name, record) for record in FILED),
        *(("model.keras", record.name, record) for record in FILED[2:]),  # older ones knew no archives
    ],
)
def test_models_are_files_of_keras(name: str, dialect: str | None, read: Dialect, tmp_path: Path) -> None:
    made = decoder()
    assert made.weights[0].name == "decoder/up/kernel:0"
    made.save(tmp_path / in_a_file(name), dialect=dialect)
    again = convtranspose.load(tmp_path / name)
    assert type(again.layers[0]) is convtranspose.layers.Conv2DTranspose.in_dialect(read)
    assert [layer.name for layer in again.layers] == [layer.name for layer in made.layers]
    np.testing.assert_array_equal(again(X), made(X))
    assert v1.global_variables() == made.weights  # the file's are of no graph


@pytest.mark.parametrize("name", ["weights.h5", "model.weights.h5", "whole.h5", "whole.keras"])
def test_weights_come_back(name: str, tmp_path: Path) -> None:
    made = decoder()
    wanted, path = made(X), tmp_path / in_a_file(name)
    made.save_weights(path) if "weights" in name else made.save(path)
    variables = v1.global_variables()
    for variable in variables:
        variable.assign(np.zeros(variable.shape))
    assert not made(X).any()
    made.load_weights(path)
    np.testing.assert_array_equal(made(X), wanted)
    assert v1.global_variables() == variables  # the same ones, with their old values again


def test_one_layer_is_a_file(tmp_path: Path) -> None:
    layer = v1.layers.Conv3DTranspose(2, (1, 2, 3), name="up")
    outputs = layer(V)
    layer.save(tmp_path / "layer.npz")
    again = convtranspose.load(tmp_path / "layer.npz")
    np.testing.assert_array_equal(again(V), outputs)


def test_initializers_of_keras3_have_no_type() -> None:
    record = v1.layers.Conv2DTranspose.in_dialect(KERAS3)
    assert record(2, 3).get_config()["bias_initializer"]["config"] == {}
