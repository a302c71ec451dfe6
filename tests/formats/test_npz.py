"""The package's own model files: what is written is read, and nothing else is."""

import io
import json
import struct
import zipfile

import numpy as np
import pytest

from convtranspose.dialects import TF_KERAS_2_9
from convtranspose.errors import FormatError
from convtranspose.formats import load, npz, save
from convtranspose.layers import Conv1DTranspose, Conv2DTranspose, Sequential


def small_model():
    return Sequential(
        [
            Conv2DTranspose(
                3, (5, 3), padding="same", activation="relu", name="a", input_shape=(None, None, 1)
            ),
            Sequential([Conv2DTranspose(2, 3, strides=(2, 1), use_bias=False, name="b")], name="inside"),
            Conv2DTranspose(
                1, 7, strides=3, padding="same", bias_initializer="ones", name="c", trainable=False
            ),
        ],
        name="small",
    )


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "small.npz"
    npz.write(small_model(), path, {"licence": "CC0"})
    return path


def members(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewrite(path, contents, compression=zipfile.ZIP_STORED):
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in contents.items():
            archive.writestr(name, data)


def as_npy(array):
    into = io.BytesIO()
    np.save(into, array)
    return into.getvalue()


def change_config(path, change):
    contents = members(path)
    document = json.loads(np.load(io.BytesIO(contents["config.npy"])).tobytes())
    change(document)
    contents["config.npy"] = as_npy(np.frombuffer(json.dumps(document).encode(), np.uint8))
    rewrite(path, contents)


def test_round_trip(file):
    model, read = small_model(), load(file)
    read_weights = read.get_weights()
    model.set_weights(read_weights)
    x = np.arange(2 * 5 * 7, dtype="float32").reshape(2, 5, 7, 1)
    np.testing.assert_array_equal(read(x), model(x))
    assert read.name == "small"
    assert [w.name for w in read.weights] == [w.name for w in model.weights]
    assert not read.layers[-1].trainable
    assert read_weights[-1] == 1
    assert npz.metadata(file) == {"licence": "CC0"}


def test_what_is_read_can_be_trained_and_built_upon(file):
    read = load(file)
    read.weights[0].assign(np.zeros((5, 3, 3, 1)))
    read.add(Conv2DTranspose(1, 1))
    assert read(np.ones((1, 5, 7, 1), "float32")).shape == (1, 33, 27, 1)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64"])
def test_types(tmp_path, dtype):
    if dtype == "bfloat16":
        pytest.importorskip("ml_dtypes", reason="bfloat16 needs ml_dtypes")
    model = Sequential([Conv1DTranspose(2, 3, dtype=dtype, input_shape=(None, 5))])
    save(model, tmp_path / "a.npz")
    read = load(tmp_path / "a.npz")
    for a, b in zip(read.weights, model.weights, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a.value, b.value)


def test_the_generation_is_kept(tmp_path):
    kind = Sequential.in_dialect(TF_KERAS_2_9)
    layer = Conv2DTranspose.in_dialect(TF_KERAS_2_9)(2, 3, input_shape=(5, 7, 3))
    save(kind([layer]), tmp_path / "a.npz")
    read = load(tmp_path / "a.npz")
    assert read.dialect is TF_KERAS_2_9
    assert read.layers[0].dialect is TF_KERAS_2_9


def test_the_same_model_gives_the_same_bytes(tmp_path, file):
    npz.write(load(file), tmp_path / "again.npz", npz.metadata(file))
    assert (tmp_path / "again.npz").read_bytes() == file.read_bytes()


def test_only_built_sequential_models_of_plain_data_are_written(tmp_path):
    path = tmp_path / "a.npz"
    with pytest.raises(TypeError, match=r"holds a Sequential model, but this is a Conv2DTranspose"):
        npz.write(Conv2DTranspose(1, 3), path)
    with pytest.raises(ValueError, match=r"'unbuilt' is not built yet"):
        npz.write(Sequential([Conv2DTranspose(1, 3)], name="unbuilt"), path)
    with pytest.raises(ValueError, match=r"not plain data: .*Use built-in activations"):
        npz.write(small_model(), path, {"a": object()})
    with pytest.raises(ValueError, match=r"ends in .*\.npz.*Got 'model.doc'"):
        save(small_model(), "model.doc")
    assert list(tmp_path.iterdir()) == []


def test_an_older_file_survives_a_failure(file):
    before = file.read_bytes()
    with pytest.raises(ValueError, match="not plain data"):
        npz.write(small_model(), file, {"a": object()})
    assert file.read_bytes() == before


def test_a_folder_that_is_missing_is_named_by_the_file_that_was_asked_for(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere[/\\]+small\.npz'"):
        small_model().save(tmp_path / "nowhere" / "small.npz")


def test_a_folder_is_no_model(tmp_path):
    with pytest.raises(FormatError, match=r"is a folder without a model\.json"):
        load(tmp_path)


def test_absent_and_foreign_files(tmp_path, file):
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "nothing.npz")
    for content in (b"", b"PK", b"hello" * 100):
        file.write_bytes(content)
        with pytest.raises(FormatError, match=r"small\.npz is of no kind that can be read"):
            load(file)
        with pytest.raises(FormatError, match=r"small\.npz is not a usable model file"):
            npz.read(file)


def test_every_truncation_is_refused(file):
    whole = file.read_bytes()
    for length in range(0, len(whole), 101):
        file.write_bytes(whole[:length])
        with pytest.raises(FormatError):
            load(file)


def test_damaged_bytes_never_change_a_weight(file):
    """A changed byte is refused, or is one that nobody reads."""
    whole, weights = file.read_bytes(), load(file).get_weights()
    refused = 0
    for place in range(0, len(whole), 17):
        damaged = bytearray(whole)
        damaged[place] ^= 0x41
        file.write_bytes(damaged)
        try:
            read = load(file).get_weights()
        except FormatError:
            refused += 1
        else:
            for a, b in zip(read, weights, strict=True):
                np.testing.assert_array_equal(a, b)
    assert refused > 0.5 * len(range(0, len(whole), 17))


def test_compressed_members_are_refused(file):
    rewrite(file, members(file), zipfile.ZIP_DEFLATED)
    with pytest.raises(FormatError, match="compressed or encrypted members"):
        load(file)


def test_members_larger_than_the_file_are_refused(file):
    whole = bytearray(file.read_bytes())
    place = whole.rindex(b"PK\x01\x02")  # the last entry of the directory: sizes at 20 and 24
    whole[place + 20 : place + 28] = struct.pack("<II", 2**31, 2**31)
    file.write_bytes(whole)
    with pytest.raises(FormatError, match="claim to be larger than the file"):
        load(file)


@pytest.mark.parametrize(
    ("member", "data", "message"),
    [
        (
            "0/kernel.npy",
            as_npy(np.zeros((5, 3, 3, 2), "f")),
            r"has the shape \(5, 3, 3, 1\), but '0/kernel' in the file has \(5, 3, 3, 2\)",
        ),
        ("0/kernel.npy", as_npy(np.zeros((5, 3, 3, 1), "i4")), r"claims int32"),
        ("0/kernel.npy", as_npy(np.array(["a"], object)), r"claims object"),
        ("0/kernel.npy", as_npy(np.zeros((5, 3, 3, 1), "f"))[:-4], r"claims float32 .* has 176 bytes"),
        ("0/keel.npy", as_npy(np.zeros(1, "f")), r"arrays that the model has no weights for: 0/keel"),
        ("3/bias.npy", as_npy(np.zeros(1, "f")), r"arrays that no layer asks for: 3/bias"),
        (
            "config.npy",
            as_npy(np.frombuffer(b"[1]", np.uint8)),
            "config must be a JSON object, but it is a list",
        ),
        (
            "config.npy",
            as_npy(np.frombuffer(b"{}", np.uint8)),
            "not a document of this format",
        ),
        ("config.npy", as_npy(np.frombuffer(b"{", np.uint8)), "Expecting property name"),
        ("config.npy", as_npy(np.frombuffer(b"[" * 100_000, np.uint8)), "is not a usable model file"),
        ("config.npy", as_npy(np.zeros(3, "f")), "must hold config, which is bytes"),
    ],
)
def test_wrong_members(file, member, data, message):
    rewrite(file, members(file) | {member: data})
    with pytest.raises(FormatError, match=message):
        load(file)


def test_pickles_are_not_opened(file):
    class Bomb:
        def __reduce__(self):
            return exec, ("raise SystemExit('executed')",)

    rewrite(file, members(file) | {"0/kernel.npy": as_npy(np.array([Bomb()], object))})
    with pytest.raises(FormatError, match="claims object"):
        load(file)


def first_layer(document):
    return document["model"]["layers"][1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.update(version=2), "version 2 of the format, and this release reads version 1"),
        (lambda d: d.update(dialect="keras9"), "'keras9'"),
        (lambda d: d.update(model=[]), "does not make a model"),
        (lambda d: d["model"].pop("layers"), "must have a name and a list of layers"),
        (
            lambda d: (d["model"]["layers"].pop(0), d["model"].pop("build_input_shape")),
            "does not say the shape of the inputs",
        ),
        (lambda d: first_layer(d).update(class_name="Lambda"), "unknown layer class 'Lambda'"),
        (lambda d: first_layer(d).update(class_name="os.system"), "unknown layer class"),
        (lambda d: first_layer(d)["config"].update(filters=-1), "filters"),
        (lambda d: first_layer(d)["config"].update(surprise=1), "surprise"),
        (lambda d: first_layer(d)["config"].update(activation="eval"), "eval"),
        # Far more than any memory: must be seen before it is allocated.
        (
            lambda d: first_layer(d)["config"].update(filters=2**40),
            r"has the shape \(5, 3, 1099511627776, 1\)",
        ),
        (
            lambda d: first_layer(d)["config"].update(kernel_size=[2**30, 2**30]),
            r"but '0/kernel' in the file has",
        ),
        (lambda d: d.update(metadata=3), None),
    ],
)
def test_wrong_configurations(file, change, message):
    change_config(file, change)
    if message is None:
        with pytest.raises(FormatError, match="metadata is not a JSON object"):
            npz.metadata(file)
        return
    with pytest.raises(FormatError, match=message):
        load(file)


def test_models_nested_without_end_are_refused(file):
    def nest(document):
        for _ in range(40):
            inner = {"class_name": "Sequential", "config": document["model"]}
            document["model"] = {"name": "outer", "layers": [inner]}

    change_config(file, nest)
    with pytest.raises(FormatError, match="deeper than 16"):
        load(file)
