"""Files of Keras and TensorFlow.js: what is read, what is refused and in which words."""

from __future__ import annotations

import io
import json
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest

from convtranspose import FormatError, formats, layers, load
from convtranspose.dialects import KERAS3, TF_KERAS_2_4, TF_KERAS_2_9, TFJS
from convtranspose.errors import MissingDependencyError
from convtranspose.formats import tfjs
from convtranspose.formats._hdf5 import File
from convtranspose.initializers import HeNormal
from convtranspose.layers import (
    BatchNormalization,
    Conv1DTranspose,
    Conv2DTranspose,
    Dense,
    InputLayer,
    ReLU,
    Sequential,
)
from convtranspose.layers.base import layer_class

h5py = pytest.importorskip("h5py", reason="Keras files are written with h5py")

ENDINGS = [".npz", ".keras", ".h5", ".json"]


def small(dialect=KERAS3):
    first = {"kernel_initializer": "ones"}  # a name that every generation has
    model = Sequential.in_dialect(dialect)(name="small")
    model.add(InputLayer.in_dialect(dialect)(batch_shape=(None, 3, 5, 2), name="image"))
    model.add(Conv2DTranspose.in_dialect(dialect)(3, (3, 2), strides=2, name="up", **first))
    model.add(BatchNormalization.in_dialect(dialect)(name="norm"))
    model.add(ReLU.in_dialect(dialect)(name="act"))
    model.add(Dense.in_dialect(dialect)(2, name="out", **first))
    dice = np.random.default_rng(0)
    model.set_weights([dice.standard_normal(w.shape) ** 2 for w in model.weights])
    return model


def same(one, other):
    x = np.random.default_rng(1).standard_normal((2, 3, 5, 2)).astype("float32")
    np.testing.assert_array_equal(one(x), other(x))


# There and back


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("dialect", [KERAS3, TF_KERAS_2_4, TF_KERAS_2_9, TFJS], ids=lambda d: d.name)
def test_there_and_back(dialect, ending, tmp_path):
    model = small(dialect)
    model.save(tmp_path / f"model{ending}")
    again = load(tmp_path / f"model{ending}")
    same(again, model)
    assert again.dialect.family == {(TFJS, ".h5"): "keras3", (TFJS, ".keras"): "keras3"}.get(
        (dialect, ending), "tfjs" if (dialect, ending) == (KERAS3, ".json") else dialect.family
    )
    assert [layer.name for layer in again.layers] == ["up", "norm", "act", "out"]
    other = small(dialect)
    other.set_weights([0 * w.value for w in other.weights])
    other.load_weights(tmp_path / f"model{ending}")
    same(other, model)


@pytest.mark.parametrize("ending", [".weights.h5", ".h5", ".hdf5"])
def test_weights_there_and_back(ending, tmp_path):
    model, other = small(), small()
    model.save_weights(tmp_path / f"w{ending}")
    other.set_weights([0 * w.value for w in other.weights])
    other.load_weights(tmp_path / f"w{ending}")
    same(other, model)


@pytest.mark.parametrize("ending", [".weights.h5", ".h5", ".keras", ".json", ".npz"])
def test_a_single_layer(ending, tmp_path):
    layer = Conv2DTranspose(3, (3, 2), name="up")
    with pytest.raises(ValueError, match="'up' is not built yet"):
        layer.save(tmp_path / "one.keras")
    layer.build((None, 3, 5, 2))
    layer.save(tmp_path / f"one{ending}")
    if ending != ".weights.h5":
        model = load(tmp_path / f"one{ending}")
        same(model, layer)
        assert model.layers[0].name == "up"
    other = Conv2DTranspose(3, (3, 2), name="up")
    with pytest.raises(ValueError, match="is not built yet"):
        other.load_weights(tmp_path / f"one{ending}")
    other.build((None, 3, 5, 2))
    other.load_weights(tmp_path / f"one{ending}")
    same(other, layer)


@pytest.mark.parametrize("ending", ENDINGS)
def test_the_name_does_not_matter_when_it_is_read(ending, tmp_path):
    small().save(tmp_path / f"model{ending}")
    (tmp_path / f"model{ending}").rename(tmp_path / "model.bin")
    same(load(tmp_path / "model.bin"), small())


def test_one_generation_becomes_another(tmp_path):
    small(TF_KERAS_2_9).save(tmp_path / "old.h5")
    old = load(tmp_path / "old.h5")
    old.save(tmp_path / "new.keras", dialect="keras3")
    new = load(tmp_path / "new.keras")
    assert (old.dialect, new.dialect) == (TF_KERAS_2_9, KERAS3)
    same(old, new)
    old.assigned = [w.assign(2 * w.value) for w in old.weights]
    same(load(tmp_path / "new.keras"), new)  # files share nothing with models


def test_what_one_generation_cannot_say_is_refused(tmp_path):
    model = Sequential([Conv1DTranspose(2, 3, activation="celu", input_shape=(5, 1))])
    with pytest.raises(ValueError, match="tf_keras_2_9 has no name for <activation celu>"):
        model.save(tmp_path / "model.h5", dialect="tf_keras_2_9")
    for options in ({"groups": 2}, {"padding": ((1, 2),)}, {"dilation_rate": 2, "strides": 2}):
        extra = {"allow_strided_dilation": True} if "strides" in options else {}
        model = Sequential([Conv1DTranspose(2, 3, **options, **extra, input_shape=(5, 2))])
        with pytest.raises(ValueError, match=r"which Keras' layers do not have\. Save the model as \.npz"):
            model.save(tmp_path / "model.keras")
        model.save(tmp_path / "model.npz")
        x = np.ones((1, 5, 2), "float32")
        np.testing.assert_array_equal(load(tmp_path / "model.npz")(x), model(x))
    assert not (tmp_path / "model.keras").exists()


def test_bfloat16_is_written_as_float32(tmp_path):
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="it brings the type")
    layer = Conv1DTranspose(2, 3, dtype="bfloat16", input_shape=(5, 1))
    model = Sequential([layer])
    for ending in ENDINGS[:3]:
        model.save(tmp_path / f"model{ending}")
        again = load(tmp_path / f"model{ending}")
        assert again.weights[0].dtype == ml_dtypes.bfloat16
        np.testing.assert_array_equal(again.weights[0].value, layer.kernel.value)


def test_your_own_layers(tmp_path):
    class Doubled(layers.ReLU):
        def call(self, inputs):
            return 2 * super().call(inputs)

    own = Doubled()
    model = Sequential([Conv2DTranspose(2, 3, input_shape=(5, 3, 1)), own])
    for ending in (".keras", ".h5", ".json"):
        model.save(tmp_path / f"model{ending}")
        with pytest.raises(FormatError, match=r"unknown layer class 'Doubled'\. Known are: Activation, "):
            load(tmp_path / f"model{ending}")
        again = load(tmp_path / f"model{ending}", custom_objects={"Doubled": Doubled})
        x = np.ones((1, 5, 3, 1), "float32")
        np.testing.assert_array_equal(again(x), model(x))


@pytest.mark.parametrize("dialect", ["keras3", "tf_keras_2_9", "tfjs"])
def test_corrected_fans_are_written_in_words_of_keras(dialect, tmp_path):
    """Keras reads no 'fan'; the same distribution has another name there."""
    model = Sequential(
        [
            layers.Dense(30, kernel_initializer=HeNormal(seed=3, fan="transposed"), input_shape=(7,)),
            layers.Reshape((3, 5, 2)),
            Conv2DTranspose(5, (3, 2), kernel_initializer=HeNormal(seed=3, fan="transposed")),
            Conv2DTranspose(5, (3, 2), kernel_initializer=HeNormal(seed=3)),
        ]
    )
    config = model.layers[2].get_config()
    assert config["kernel_initializer"]["config"]["fan"] == "transposed"
    ending = {"keras3": ".keras", "tf_keras_2_9": ".h5", "tfjs": ".json"}[dialect]
    model.save(tmp_path / f"model{ending}", dialect=dialect)
    again = load(tmp_path / f"model{ending}")
    assert "transposed" not in again.to_json()
    modes = [again.layers[n].kernel_initializer.mode for n in (0, 2, 3)]
    assert modes == ["fan_in", "fan_out", "fan_in"]
    if dialect != "tfjs":  # which cuts off without widening
        for own, new in zip(model.layers, again.layers, strict=True):
            for weight in own.weights[:1]:
                np.testing.assert_array_equal(new.kernel_initializer(weight.shape), weight.value)


def test_layers_that_hold_layers_are_saved_as_weights(tmp_path):
    class Block(layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**kwargs)
            self.inside = Conv2DTranspose(2, 3)

        def call(self, inputs):
            return self.inside(inputs)

        def compute_output_shape(self, input_shape):
            return self.inside.compute_output_shape(input_shape)

    model, other, x = Sequential([Block()]), Sequential([Block()]), np.ones((1, 5, 3, 1), "float32")
    wanted = model(x)
    assert (other(x) != wanted).any()
    for ending in (".keras", ".h5", ".npz", ".json"):
        with pytest.raises(ValueError, match=r"layer 'block\w*' holds layers of its own, .*save_weights"):
            model.save(tmp_path / f"model{ending}")
    for ending in (".h5", ".weights.h5"):
        model.save_weights(tmp_path / f"weights{ending}")
        other.set_weights([np.zeros(w.shape) for w in other.weights])
        other.load_weights(tmp_path / f"weights{ending}")
        np.testing.assert_array_equal(other(x), wanted)


def test_json_without_weights():
    text = small().to_json()
    assert json.loads(text)["class_name"] == "Sequential"
    assert formats.from_json(text).output_shape == small().output_shape
    for wrong, message in (
        ("[", "not valid JSON"),
        ("[1]", "it must be a JSON object"),
        ('{"a": 1, "a": 2}', "twice"),
    ):
        with pytest.raises(FormatError, match=message):
            formats.from_json(wrong)


# Arguments


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda p: load(p / "none.keras"), FileNotFoundError, "none.keras"),
        (lambda p: small().save(p / "model.onnx"), ValueError, r"a model file ends in \.npz, \.keras"),
        (lambda p: small().save(p / "model.keras", dialect="keras1"), ValueError, "dialect must be one of"),
        (lambda p: formats.save(3, p / "model.keras"), TypeError, "a model or a layer, not a int"),
        (lambda p: Sequential([Dense(2)]).save(p / "model.h5"), ValueError, "is not built yet"),
        (lambda p: small().save_weights(p / "model.keras"), ValueError, r"ends in \.weights\.h5 or \.h5"),
        (lambda p: Sequential([Dense(2)]).save_weights(p / "w.h5"), ValueError, "is not built yet"),
        (lambda p: small().save(p / "no" / "model.keras"), FileNotFoundError, "no"),
    ],
)
def test_wrong_arguments(call, error, message, tmp_path):
    with pytest.raises(error, match=message):
        call(tmp_path)
    assert not list(tmp_path.iterdir())


def test_without_h5py_files_are_read(tmp_path, monkeypatch):
    small().save(tmp_path / "model.keras")
    small().save(tmp_path / "model.h5")
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    same(load(tmp_path / "model.keras"), load(tmp_path / "model.h5"))
    with pytest.raises(
        MissingDependencyError, match=r"h5py is needed to write Keras files.*convtranspose\[files\]"
    ):
        small().save(tmp_path / "other.keras")


# Keras archives


def rewritten(path, changes, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for name, change in changes.items():
        new = change(members.get(name))
        members.pop(name, None)
        if new is not None:
            members[name] = new
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)


def in_config(change):
    def changed(data):
        config = json.loads(data)
        change(config)
        return json.dumps(config).encode()

    return {"config.json": changed}


def layer_config(config, number=1):
    return config["config"]["layers"][number]["config"]


def test_compressed_archives_are_read(tmp_path):
    small().save(tmp_path / "model.keras")
    rewritten(tmp_path / "model.keras", {}, zipfile.ZIP_DEFLATED)
    same(load(tmp_path / "model.keras"), small())


def test_a_bomb_does_not_go_off(tmp_path):
    path = tmp_path / "model.keras"
    small().save(path)
    rewritten(path, {"model.weights.h5": lambda data: data + bytes(2**26)}, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 2**18
    with pytest.raises(FormatError, match=r"claims 67\d+ bytes, more than the 16\d+ that can be"):
        load(path)
    with pytest.raises(FormatError, match=r"claims 67\d+ bytes, more than the 16\d+ that can be"):
        small().load_weights(path)
    small().save(path)
    rewritten(path, {"config.json": lambda _: bytes(2**27)}, zipfile.ZIP_DEFLATED)
    with pytest.raises(FormatError, match="claims 134217728 bytes, more than the 16777216"):
        load(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metadata.json": lambda _: None}, r"it holds no metadata\.json"),
        ({"model.weights.h5": lambda _: None}, r"it holds no model\.weights\.h5"),
        ({"metadata.json": lambda _: b'{"keras_version": "4x"}'}, "unknown version of Keras: '4x'"),
        ({"config.json": lambda data: data[:-5]}, "config.json is not valid JSON"),
        ({"config.json": lambda _: b"[" * 10**6}, "config.json is not valid JSON"),
        ({"config.json": lambda _: b"[]"}, "config.json must be a JSON object"),
        (in_config(lambda c: c.update(class_name="Lambda")), "unknown layer class 'Lambda'"),
        (in_config(lambda c: c.update(class_name=3)), "must have a class_name"),
        (in_config(lambda c: c.update(config=[])), "must have a name and a list of layers"),
        (in_config(lambda c: c["config"].update(layers=[])), "must have a name and a list of layers"),
        (in_config(lambda c: c["config"]["layers"].append(7)), "must have a class_name"),
        (in_config(lambda c: c["config"]["layers"][1].update(class_name="os.system")), "unknown layer class"),
        (
            in_config(lambda c: c["config"]["layers"][3].update(class_name="Embedding")),
            "Known are: Activation, ",
        ),
        (
            in_config(lambda c: layer_config(c).update(filters=4)),
            r"weight 'kernel' of layer 'up' has the shape",
        ),
        (
            in_config(lambda c: layer_config(c).update(filters=2**62)),
            "weight 'kernel' of layer 'up'|too big|2\\*\\*46",
        ),
        (
            in_config(lambda c: layer_config(c).update(filters="4")),
            "layer 'up' of class Conv2DTranspose cannot be",
        ),
        (in_config(lambda c: layer_config(c).update(surprise=1)), "unknown keyword arguments: surprise"),
        (in_config(lambda c: layer_config(c).update(activation="os.system")), "os.system"),
        (in_config(lambda c: layer_config(c).update(activation={"class_name": "Lambda"})), "Lambda"),
        (in_config(lambda c: layer_config(c).update(strides=[1, 2, 3])), "strides"),
        (
            in_config(lambda c: layer_config(c, 0).update(batch_shape=[None, 3, "5", 2])),
            "a shape must be a list",
        ),
        (
            in_config(lambda c: layer_config(c, 0).update(batch_shape=[None, 3, -5, 2])),
            "a shape must be a list",
        ),
        (
            in_config(lambda c: layer_config(c, 0).update(batch_shape=[None, 3, 5])),
            "must have 4 axes|expected",
        ),
        (in_config(lambda c: layer_config(c, 0).update(batch_shape=[None, None, None, None])), "channels"),
        (
            in_config(lambda c: c["config"]["layers"].pop(4)),
            "weights of layers that the model does not have: dense",
        ),
        (in_config(lambda c: c["config"]["layers"].append(c["config"]["layers"][4])), "different names"),
        (in_config(lambda c: layer_config(c, 2).update(axis=[1, 2])), "axis must be one int"),
    ],
)
def test_wrong_archives(changes, message, tmp_path):
    path = tmp_path / "model.keras"
    small().save(path)
    rewritten(path, changes)
    with pytest.raises(FormatError, match=message) as caught:
        load(path)
    assert str(caught.value).startswith(f"{path} is not a usable model file: ")


def test_members_twice_and_paths_outside(tmp_path):
    path = tmp_path / "model.keras"
    small().save(path)
    rewritten(path, {"../../evil.txt": lambda _: b"no", "/etc/evil": lambda _: b"no"})
    same(load(path), small())  # what is not asked for is not touched
    assert not (tmp_path.parent / "evil.txt").exists()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("config.json", b"{}")
    with pytest.raises(FormatError, match="two members of one name"):
        load(path)


def test_models_inside_models_end(tmp_path):
    path = tmp_path / "model.keras"
    small().save(path)

    def nest(config):
        inner = config["config"]["layers"][1]
        for _ in range(40):
            inner = {"class_name": "Sequential", "config": {"name": "n", "layers": [inner]}}
        config["config"]["layers"][1] = inner

    rewritten(path, in_config(nest))
    with pytest.raises(FormatError, match="models inside models reach deeper than 16"):
        load(path)


def test_harmless_keys_of_other_versions(tmp_path):
    path = tmp_path / "model.keras"
    small().save(path)

    def change(config):
        layer_config(config).update(groups=1)
        layer_config(config, 2).update(
            renorm=False, renorm_clipping=None, renorm_momentum=0.9, synchronized=False
        )
        layer_config(config, 4).update(quantization_config=None, lora_rank=None)

    rewritten(path, in_config(change))
    same(load(path), small())
    rewritten(path, in_config(lambda c: layer_config(c, 2).update(renorm=True)))
    with pytest.raises(FormatError, match="unknown keyword arguments: renorm"):
        load(path)


# Legacy files


def edited(path, change):
    with h5py.File(path, "r+") as file:
        change(file)


def with_config(change):
    def edit(file):
        config = json.loads(file.attrs["model_config"])
        change(config)
        file.attrs["model_config"] = json.dumps(config)

    return edit


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.attrs.__delitem__("model_config"), "holds weights and no layers"),
        (lambda f: f.attrs.__setitem__("model_config", 3), "holds weights and no layers"),
        (lambda f: f.attrs.__setitem__("model_config", "{"), "model_config is not valid JSON"),
        (lambda f: f["model_weights"].attrs.__delitem__("layer_names"), "no list of layers"),
        (lambda f: f["model_weights"].attrs.__setitem__("layer_names", [1, 2]), "must be a list of names"),
        (
            lambda f: f["model_weights"].attrs.__setitem__("layer_names", ["up", "no"]),
            "'no' is in the list of layers",
        ),
        (
            lambda f: f["model_weights"].attrs.__setitem__("layer_names", ["up"]),
            "the model has 3 layers with weights",
        ),
        (
            lambda f: f["model_weights/up"].attrs.__setitem__("weight_names", ["up/no"]),
            "'up/no' of layer 'up' is in",
        ),
        (
            lambda f: f["model_weights/up"].attrs.__setitem__("weight_names", ["small/up/kernel"]),
            "weight 'bias' of layer 'up' is not in the file",
        ),
        (
            lambda f: f["model_weights/up"].attrs.__setitem__(
                "weight_names", 2 * ["small/up/kernel"] + ["small/up/bias"]
            ),
            r"weight 'bias' of layer 'up' has the shape \(3,\)",
        ),
        (
            lambda f: f["model_weights/act"].attrs.__setitem__("weight_names", ["../up/small/up/bias"]),
            "is in its list, but not in the file",
        ),
        (
            with_config(lambda c: c["config"]["layers"].pop()),
            "the model has 2 layers with weights .up, norm., but the",
        ),
        (
            with_config(lambda c: layer_config(c, 4).update(use_bias=False)),
            "that the model has no weights for: small",
        ),
        (
            with_config(lambda c: layer_config(c, 4).update(units=10**13)),
            r"has the shape \(3, 10000000000000\)",
        ),
    ],
)
def test_wrong_legacy_files(change, message, tmp_path):
    path = tmp_path / "model.h5"
    small().save(path)
    edited(path, change)
    with pytest.raises(FormatError, match=message):
        load(path)


def test_integers_are_no_weights(tmp_path):
    path = tmp_path / "model.h5"
    small().save(path)

    def change(file):
        group = file["model_weights/up/small/up"]
        del group["bias"]
        group["bias"] = np.arange(3)

    edited(path, change)
    with pytest.raises(FormatError, match="holds no floating-point numbers of shape"):
        load(path)


def test_long_lists_of_names_stand_in_pieces(tmp_path):
    model = Sequential([InputLayer((2,))], name="many")
    for n in range(3):
        model.add(Dense(2, name=f"{n}{'x' * 30_000}"))
    model.save_weights(tmp_path / "w.h5")
    with h5py.File(tmp_path / "w.h5") as file:
        assert "layer_names" not in file.attrs
        assert len(file.attrs["layer_names0"]) + len(file.attrs["layer_names1"]) == 3
    other = Sequential([InputLayer((2,)), Dense(2), Dense(2), Dense(2)])
    other.load_weights(tmp_path / "w.h5")
    for own, wanted in zip(other.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(own, wanted)


@pytest.mark.parametrize("version", [None, "1", "1.2.2"])
@pytest.mark.parametrize(
    ("kind", "options", "shape", "old"),
    [
        ("Conv2DTranspose", {}, (5, 7, 2), (0, 1, 3, 2)),
        ("Conv2DTranspose", {"data_format": "channels_first"}, (2, 5, 7), (2, 3, 0, 1)),
        ("Conv2D", {"data_format": "channels_first"}, (2, 5, 7), (2, 3, 1, 0)),
        ("Conv2D", {}, (5, 7, 2), (0, 1, 2, 3)),
        ("Conv3D", {"data_format": "channels_first"}, (2, 5, 7, 4), (2, 3, 4, 1, 0)),
        ("Conv3DTranspose", {}, (5, 7, 4, 2), (0, 1, 2, 3, 4)),
    ],
)
def test_kernels_of_keras_1(kind, options, shape, old, version, tmp_path):
    """Our kernel is the one in the file with its axes in the order ``old``."""
    layer = layer_class(kind, TF_KERAS_2_4)(3, (4, 1, 2)[: len(shape) - 1], name="conv", **options)
    layer.build((None, *shape))
    kernel = np.random.default_rng(0).standard_normal(layer.kernel.shape).astype("float32")
    back = np.argsort(old)
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.attrs["layer_names"] = [b"conv"]
        if version is not None:
            file.attrs["keras_version"] = version
        group = file.create_group("conv")
        group.attrs["weight_names"] = [b"conv_W", b"conv_b"]
        group["conv_W"] = kernel.transpose(back)
        group["conv_b"] = np.arange(3, dtype="f4")
    layer.load_weights(tmp_path / "w.h5")
    np.testing.assert_array_equal(layer.kernel.value, kernel)


@pytest.mark.parametrize("order", ["1.0", "1.1"])
def test_kernels_of_one_dimension_of_keras_1(order, tmp_path):
    layer = layers.Conv1D(3, 4)
    layer.build((None, 9, 2))
    kernel = np.random.default_rng(0).standard_normal((4, 2, 3)).astype("float32")
    stored = kernel[:, None] if order == "1.1" else kernel[:, None].transpose(3, 2, 0, 1)
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.attrs["layer_names"] = [b"conv"]
        group = file.create_group("conv")
        group.attrs["weight_names"] = [b"conv_W", b"conv_b"]
        group["conv_W"], group["conv_b"] = stored, np.arange(3, dtype="f4")
    layer.load_weights(tmp_path / "w.h5")
    np.testing.assert_array_equal(layer.kernel.value, kernel)


def test_a_kernel_in_the_order_of_theano(tmp_path):
    layer = Conv2DTranspose.in_dialect(TF_KERAS_2_9)(3, (4, 1), name="conv", use_bias=False)
    layer.build((None, 5, 7, 2))
    kernel = np.random.default_rng(0).standard_normal((4, 1, 3, 2)).astype("float32")
    layer.save_weights(tmp_path / "w.h5")
    with h5py.File(tmp_path / "w.h5", "r+") as file:
        del file["conv/conv/kernel:0"]
        file["conv/conv/kernel:0"] = kernel.transpose(2, 3, 1, 0)
    layer.load_weights(tmp_path / "w.h5")
    np.testing.assert_array_equal(layer.kernel.value, kernel)


# Weights of Keras 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda f: f["layers/dense/vars"].__delitem__("1"),
            "weight 'bias' of layer 'out' is not in the file",
        ),
        (lambda f: f["layers/dense/vars"].move("1", "2"), "must hold arrays 0, 1, ..."),
        (lambda f: f["layers/dense/vars"].create_group("2"), "must hold arrays 0, 1, ..."),
        (
            lambda f: f["layers/dense/vars"].create_dataset("2", data=[1.0]),
            "has no weights for: layers/dense/vars/2",
        ),
        (lambda f: f["layers"].__delitem__("dense"), "weight 'kernel' of layer 'out' is not in the file"),
        (lambda f: f["layers"].copy("dense", "dense_1"), "layers that the model does not have: dense_1"),
        (lambda f: f.__delitem__("layers"), "weight 'kernel' of layer 'up' is not in the file"),
    ],
)
def test_wrong_weights_files(change, message, tmp_path):
    path = tmp_path / "w.weights.h5"
    model = small()
    model.save_weights(path)
    edited(path, change)
    before = model.get_weights()
    with pytest.raises(FormatError, match=message):
        model.load_weights(path)
    for own, old in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(own, old)


def test_groups_without_weights_may_be_missing(tmp_path):
    path = tmp_path / "w.weights.h5"
    model = small()
    model.save_weights(path)
    edited(path, lambda file: file["layers"].__delitem__("re_lu"))
    model.load_weights(path)


def test_the_other_container_of_keras_2_13(tmp_path):
    path = tmp_path / "w.weights.h5"
    model, other = small(), small()
    model.save_weights(path)
    edited(path, lambda file: file.move("layers", "_layer_checkpoint_dependencies"))
    other.set_weights([0 * w.value for w in other.weights])
    other.load_weights(path)
    same(other, model)


def test_weights_of_another_model(tmp_path):
    other = Sequential([Dense(2, input_shape=(3,))])
    for ending in (".weights.h5", ".h5", ".keras", ".json", ".npz"):
        small().save(tmp_path / f"w{ending}")
        with pytest.raises(FormatError, match=r"weight|layers|belongs to no layer"):
            other.load_weights(tmp_path / f"w{ending}")


# TensorFlow.js


def test_shards_of_four_mebibytes(tmp_path):
    model = Sequential([Dense(1500, use_bias=False, input_shape=(1000,)), Dense(3)])
    model.save(tmp_path / "model.json")
    sizes = [(tmp_path / f"group1-shard{n}of2.bin").stat().st_size for n in (1, 2)]
    assert sizes == [tfjs.SHARD_BYTES, 4 * model.count_params() - tfjs.SHARD_BYTES]
    for own, wanted in zip(load(tmp_path).get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(own, wanted)


def quantized(dtype, shape=(2, 3)):
    values = np.random.default_rng(0).integers(0, 2 ** (8 if dtype == "uint8" else 16), shape)
    scale, least = 0.03125, -4.0
    return values.astype(dtype), {"dtype": dtype, "scale": scale, "min": least}, values * scale + least


def folder_with(folder, spec, data, paths=("weights.bin",)):
    model = Sequential([Dense(3, use_bias=False, name="out", input_shape=(2,))])
    model.save(folder / "model.json")
    document = json.loads((folder / "model.json").read_text())
    document["weightsManifest"] = [{"paths": list(paths), "weights": [spec]}]
    (folder / "model.json").write_text(json.dumps(document))
    (folder / "weights.bin").write_bytes(data)
    return folder


@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_quantized_weights(dtype, tmp_path):
    stored, quantization, wanted = quantized(dtype)
    spec = {"name": "out/kernel", "shape": [2, 3], "dtype": "float32", "quantization": quantization}
    model = load(folder_with(tmp_path, spec, stored.tobytes()))
    np.testing.assert_array_equal(model.get_weights()[0], wanted.astype("float32"))


def test_half_precision_weights(tmp_path):
    values = np.array([[1.5, -2.25, 3e-5], [65504, 0, 6e-8]], "<f2")
    spec = {"name": "out/kernel:0", "shape": [2, 3], "dtype": "float32", "quantization": {"dtype": "float16"}}
    model = load(folder_with(tmp_path, spec, values.tobytes()))
    np.testing.assert_array_equal(model.get_weights()[0], values.astype("float32"))


SPEC = {"name": "out/kernel", "shape": [2, 3], "dtype": "float32"}


@pytest.mark.parametrize(
    ("spec", "data", "paths", "message"),
    [
        (SPEC, bytes(23), ["weights.bin"], "its shards have 23 bytes, but its weights 24"),
        (SPEC, bytes(25), ["weights.bin"], "its shards have 25 bytes, but its weights 24"),
        (SPEC, bytes(24), ["gone.bin"], "shard 'gone.bin' is missing"),
        (SPEC, bytes(24), ["../weights.bin"], "a shard must be a file beside"),
        (SPEC, bytes(24), ["/etc/passwd"], "a shard must be a file beside"),
        (SPEC, bytes(24), ["C:\\weights.bin"], "a shard must be a file beside"),
        (SPEC, bytes(24), ["https://example.org/weights.bin"], "a shard must be a file beside"),
        (SPEC, bytes(24), [3], "a shard must be a file beside"),
        (SPEC, bytes(24), [""], "a shard must be a file beside"),
        (SPEC, bytes(24), ["."], "a shard must be a file beside|is missing"),
        ({**SPEC, "shape": [3, 2]}, bytes(24), ["weights.bin"], r"has the shape \(2, 3\), but 'out/kernel'"),
        ({**SPEC, "shape": "23"}, bytes(24), ["weights.bin"], "must have a shape"),
        ({**SPEC, "shape": [-2, -3]}, bytes(24), ["weights.bin"], "must have a shape"),
        ({**SPEC, "shape": [2**40, 2**40]}, bytes(24), ["weights.bin"], "its shards have 24 bytes"),
        ({**SPEC, "dtype": "string"}, bytes(24), ["weights.bin"], "is of type 'string'. Read are float32"),
        ({**SPEC, "dtype": ["float32"]}, bytes(24), ["weights.bin"], "is of type|unhashable"),
        ({**SPEC, "dtype": "int32"}, bytes(24), ["weights.bin"], "holds no floating-point numbers"),
        (
            {**SPEC, "name": "out/bias"},
            bytes(24),
            ["weights.bin"],
            "weight 'kernel' of layer 'out' is not in",
        ),
        ({**SPEC, "name": "no/kernel"}, bytes(24), ["weights.bin"], "'no/kernel' belongs to no layer"),
        ({**SPEC, "name": 3}, bytes(24), ["weights.bin"], "a weight must have a name"),
        (3, bytes(24), ["weights.bin"], "a weight must have a name"),
        (
            {**SPEC, "quantization": {"dtype": "uint4"}},
            bytes(6),
            ["weights.bin"],
            "quantized in an unknown way",
        ),
        (
            {**SPEC, "quantization": {"dtype": "uint8"}},
            bytes(6),
            ["weights.bin"],
            "quantized in an unknown way",
        ),
        ({**SPEC, "quantization": 8}, bytes(6), ["weights.bin"], "quantized in an unknown way"),
    ],
)
def test_wrong_manifests(spec, data, paths, message, tmp_path):
    with pytest.raises(FormatError, match=message):
        load(folder_with(tmp_path, spec, data, paths))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(modelTopology=3), "modelTopology is not an object"),
        (lambda d: d["modelTopology"].update(model_config=3), "model_config is not an object"),
        (lambda d: d.update(weightsManifest={}), "has no modelTopology or no weightsManifest"),
        (lambda d: d.update(weightsManifest=[3]), "must have paths and weights"),
        (lambda d: d.update(format="graph-model"), "only layers models are read, not a 'graph-model'"),
        (lambda d: d["modelTopology"].update(class_name="Lambda"), "unknown layer class 'Lambda'"),
        (
            lambda d: d["weightsManifest"].append(d["weightsManifest"][0]),
            "belongs to no layer of the model, or",
        ),
    ],
)
def test_wrong_documents(change, message, tmp_path):
    small().save(tmp_path / "model.json")
    document = json.loads((tmp_path / "model.json").read_text())
    change(document)
    (tmp_path / "model.json").write_text(json.dumps(document))
    with pytest.raises(FormatError, match=message):
        load(tmp_path / "model.json")


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda d: Conv1DTranspose.in_dialect(d)(2, 3),
            "is a Conv1DTranspose, which TensorFlow.js does not have",
        ),
        (
            lambda d: layers.UpSampling1D.in_dialect(d)(2),
            "is a UpSampling1D, which TensorFlow.js does not have",
        ),
        (lambda d: layers.Conv1D.in_dialect(d)(2, 3, groups=2), "has groups=2, which TensorFlow.js drops"),
        (lambda d: layers.ELU.in_dialect(d)(0.5), "has alpha=0.5, which TensorFlow.js drops"),
    ],
)
def test_what_tfjs_cannot(make, message, tmp_path):
    for dialect in (KERAS3, TF_KERAS_2_9):
        model = Sequential.in_dialect(dialect)([InputLayer.in_dialect(dialect)((5, 2)), make(dialect)])
        if dialect is KERAS3:
            with pytest.raises(ValueError, match=message):
                model.save(tmp_path / "model.json")
            assert not (tmp_path / "model.json").exists()
            continue
        with pytest.warns(UserWarning, match=message):
            model.save(tmp_path / "model.json")
        x = np.ones((1, 5, 2), "float32")
        np.testing.assert_array_equal(load(tmp_path)(x), model(x))


def test_tfjs_reads_in_its_own_way(tmp_path):
    first = InputLayer.in_dialect(TF_KERAS_2_9)((5, 3, 2))
    up = Conv2DTranspose.in_dialect(TF_KERAS_2_9)(2, 3, 2, output_padding=1, name="up")
    model = Sequential.in_dialect(TF_KERAS_2_9)([first, up])
    with pytest.warns(UserWarning, match="has output_padding="):
        model.save(tmp_path / "model.json")
    assert load(tmp_path).output_shape == (None, 12, 8, 2)
    with pytest.warns(UserWarning, match=r"ignores output_padding=\[1, 1\] of layer 'up'"):
        assert load(tmp_path, dialect="tfjs").output_shape == (None, 11, 7, 2)


# Names that contain one another


def test_layers_whose_names_end_alike(tmp_path):
    record = TF_KERAS_2_9
    model = Sequential.in_dialect(record)([InputLayer.in_dialect(record)((3,))])
    for n, name in enumerate(("b", "a/b", "ab")):
        model.add(Dense.in_dialect(record)(2 + n, name=name))
    for ending in (".json", ".h5", ".keras"):
        model.save(tmp_path / f"model{ending}")
        for own, wanted in zip(
            load(tmp_path / f"model{ending}").get_weights(), model.get_weights(), strict=True
        ):
            np.testing.assert_array_equal(own, wanted)


def test_every_file_is_small_and_the_same_twice(tmp_path):
    model = small()
    model.save(tmp_path / "a.h5")
    model.save(tmp_path / "b.h5")
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()
    assert File(io.BytesIO((tmp_path / "a.h5").read_bytes())).root.attribute("keras_version") == "3.15.1"
    assert Path(tmp_path, "a.h5").stat().st_size < 30_000


def test_no_file_takes_forever(tmp_path):
    many = [{"class_name": "ReLU", "config": {"name": f"r{n}"}} for n in range(9_999)]
    first = {"class_name": "InputLayer", "config": {"batch_shape": [None, 2], "name": "i"}}
    model = formats.from_json(
        json.dumps({"class_name": "Sequential", "config": {"name": "m", "layers": [first, *many]}})
    )
    assert len(model.layers) == 9_999
    many += many[:2]
    with pytest.raises(FormatError, match="has 10002 layers, more than the 10000 that are read"):
        formats.from_json(
            json.dumps({"class_name": "Sequential", "config": {"name": "m", "layers": [first, *many]}})
        )


def test_a_graph_that_branches_says_where(tmp_path):
    x = inputs = layers.Input((5,), name="latent")
    model = layers.Model(inputs, Dense(2, name="b")(Dense(3, name="a")(x)), name="graph")
    path = tmp_path / "model.keras"
    model.save(path)

    def change(config):
        (node,) = config["config"]["layers"][2]["inbound_nodes"]
        other = json.loads(json.dumps(node["args"][0]))
        other["config"]["keras_history"][0] = "latent"
        node["args"].append(other)

    rewritten(path, in_config(change))
    with pytest.raises(
        FormatError, match=r"model 'graph': only models that are one line .* 2 inputs: a, latent"
    ):
        load(path)
