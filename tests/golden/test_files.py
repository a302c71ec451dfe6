"""Every recorded file of Keras and TensorFlow.js: read, computed with, and written the same way again."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convtranspose import formats, load
from convtranspose._builtins import snake_case
from convtranspose.dialects import KERAS3, TF_KERAS_2_4, TF_KERAS_2_9, TF_KERAS_2_21, TFJS, Dialect
from convtranspose.formats._hdf5 import File, Node
from convtranspose.layers import Functional, InputLayer, Sequential
from convtranspose.layers.base import layer_class
from golden_cases import (
    Case,
    array,
    array_difference,
    cases,
    check,
    error_difference,
    inputs,
    key,
    plain,
)

pytest.importorskip("h5py", reason="Keras files are written with h5py")

KERAS: dict[str, Dialect] = {
    "files_tf24": TF_KERAS_2_4,
    "files_tf29": TF_KERAS_2_9,
    "files_tfkeras221": TF_KERAS_2_21,
    "files_keras3": KERAS3,
}
FILES = [case for source in KERAS for case in cases(source) if case["api"] == "model file"]
JSON = [case for source in KERAS for case in cases(source) if case["api"] == "model.to_json"]
CONVERTED = cases("files_tfjs_converter")
LOADED = cases("tfjs_load")
SAVED = [case for case in cases("tfjs") if case["key"].startswith("model_")]


def made(case: Case, dialect: Dialect) -> Sequential:
    """The model that a case describes, built, with weights of its own."""
    args, functional = case["args"], case["args"]["kind"] == "functional"
    letter = case["key"].split("_")[1]
    cls = Functional if functional else Sequential
    model = cls.in_dialect(dialect)(name=f"{'m' if functional else 's'}_{letter}")
    model.add(InputLayer.in_dialect(dialect)(batch_shape=(None, *args["input_shape"]), name="img"))
    for n, (kind, options) in enumerate(args["layers"]):
        automatic = {"name": f"conv2d_transpose_{n}" if n else "conv2d_transpose"}
        model.add(layer_class(kind, dialect)(**{**automatic, **options}))
    return model


def read(case: Case, folder: Path) -> Sequential:
    """The model of a recorded file."""
    path = folder / case["args"]["file_name"]
    path.write_bytes(inputs(case)["file"].tobytes())
    if "weights" not in case["args"]["format"]:
        return load(path)
    model = made(case, KERAS[case["source"]])
    model.load_weights(path)
    return model


def computed(model: Sequential, case: Case) -> str | None:
    """What is wrong with the weights or the outputs of a model."""
    wanted = [
        array(case, ref) for name, ref in case["expect"].items() if name.removeprefix("weight").isdigit()
    ]
    for own, recorded in zip(model.get_weights(), wanted, strict=True):
        np.testing.assert_array_equal(own, recorded)
    return array_difference(model(inputs(case)["x"]), array(case, case["expect"]["output"]), exact=False)


@pytest.mark.parametrize("case", FILES, ids=lambda c: f"{c['source']}-{c['key']}")
def test_a_recorded_file_is_read(case: Case, tmp_path: Path) -> None:
    check(case, lambda: read(case, tmp_path), same=lambda c, model: computed(model, c))


def tree(data: bytes) -> list[Any]:
    """The structure of an HDF5 file as the records have it."""
    rows: list[Any] = []

    def attributes(node: Node) -> dict[str, Any]:
        names = ("backend", "keras_version", "layer_names", "model_config", "name", "weight_names")
        found = {name: node.attribute(name) for name in names}
        return {name: value for name, value in found.items() if value is not None}

    def walk(node: Node) -> None:
        if node.is_dataset:
            rows.append([node.path, ["dataset", list(node.shape), str(node.read().dtype)], {}])
            return
        rows.append([node.path or "/", "group", attributes(node)])
        for name in sorted(node.members):
            child = node.get(name)
            assert child is not None
            walk(child)

    walk(File(io.BytesIO(data)).root)
    return rows


def without_moment(value: Any) -> Any:
    """Recorded structures without what belongs to the machine and the moment."""
    if isinstance(value, dict):
        passing = ("shared_object_id", "backend", "model_config")
        return {k: without_moment(v) for k, v in value.items() if k not in passing}
    return [without_moment(v) for v in value] if isinstance(value, list) else value


@pytest.mark.parametrize("case", FILES, ids=lambda c: f"{c['source']}-{c['key']}")
def test_a_file_is_written_with_the_recorded_structure(case: Case, tmp_path: Path) -> None:
    model, expect = read(case, tmp_path), case["expect"]
    again = tmp_path / "again" / case["args"]["file_name"]
    again.parent.mkdir()
    if "weights" in case["args"]["format"]:
        model.save_weights(again)
    else:
        model.save(again)
    assert [layer.name for layer in model.layers] == expect["layer_names"]
    assert [w.name for w in model.weights] == expect["weight_names"]
    data = again.read_bytes()
    if case["args"]["format"] == "keras_v3":
        with zipfile.ZipFile(again) as archive:
            assert [[i.filename, i.compress_type] for i in archive.infolist()] == expect["zip"]
            assert sorted(json.loads(archive.read("metadata.json"))) == expect["metadata_keys"]
            config = json.loads(archive.read("config.json"))
            data = archive.read("model.weights.h5")
        assert without_moment(config) == without_moment(expect["config"])
    assert without_moment(tree(data)) == without_moment(sorted(expect["h5_tree"], key=lambda row: row[0]))
    if case["args"]["format"] == "h5_model":
        recorded = File(io.BytesIO(inputs(case)["file"].tobytes())).root.attribute("model_config")
        assert json.loads(File(io.BytesIO(data)).root.attribute("model_config")) == json.loads(recorded)
    assert computed(load(again) if "weights" not in case["args"]["format"] else model, case) is None


@pytest.mark.parametrize("case", JSON, ids=lambda c: f"{c['source']}-{c['key']}")
def test_json_is_as_recorded(case: Case) -> None:
    def same(_: Case, text: str) -> str | None:
        value = case["expect"]["value"]
        wanted = without_moment(json.loads(value) if isinstance(value, str) else value)
        found = without_moment(json.loads(text))
        again = without_moment(json.loads(formats.from_json(text).to_json()))
        assert again == found
        return None if found == wanted else f"{found}, recorded {wanted}"

    check(case, lambda: made(case, KERAS[case["source"]]).to_json(), same=same)


def converted(case: Case, folder: Path) -> Sequential:
    """The model of recorded output of TensorFlow.js' converter."""
    (folder / "model.json").write_text(json.dumps(case["expect"]["model_json"]))
    for n, name in enumerate(case["expect"]["shard_files"]):
        (folder / name).write_bytes(inputs(case)[f"shard{n}"].tobytes())
    return load(folder)


@pytest.mark.parametrize("case", CONVERTED, ids=key)
def test_a_converted_model_is_read(case: Case, tmp_path: Path) -> None:
    if case["args"].get("quantization_dtype_map") == {"uint8": "*"}:
        # Recorded are weights and outputs before they were quantized: half a step is lost.
        steps = [
            s["quantization"]["scale"] for s in case["expect"]["model_json"]["weightsManifest"][0]["weights"]
        ]
        for n, own in enumerate(converted(case, tmp_path).get_weights()):
            recorded = array(case, case["expect"][f"weight{n}"])
            assert np.abs(own - recorded).max() <= 0.501 * steps[n]
            assert own.size == 1 or np.unique(own).size > 2
        return
    check(case, lambda: converted(case, tmp_path), same=lambda c, model: computed(model, c))


@pytest.mark.parametrize("case", [c for c in CONVERTED if "keras3" not in c["key"]], ids=key)
@pytest.mark.filterwarnings("ignore:layer .* TensorFlow.js")
def test_a_keras2_model_is_written_as_the_converter_does(case: Case, tmp_path: Path) -> None:
    model = converted(case, tmp_path)
    again = tmp_path / "again"
    model.save(again / "model.json")
    found, wanted = json.loads((again / "model.json").read_text()), case["expect"]["model_json"]
    assert found["modelTopology"] == wanted["modelTopology"]
    assert (found["format"], found["generatedBy"]) == (wanted["format"], wanted["generatedBy"])
    specs = [
        {k: v for k, v in s.items() if k != "quantization"} for s in wanted["weightsManifest"][0]["weights"]
    ]
    assert found["weightsManifest"][0]["weights"] == specs
    if len(case["args"]) == 1:  # neither quantized nor cut into many shards
        assert found["weightsManifest"][0]["paths"] == case["expect"]["shard_files"]
        assert (again / "group1-shard1of1.bin").read_bytes() == inputs(case)["shard0"].tobytes()


def loaded(case: Case, folder: Path, dialect: Dialect | None) -> Sequential:
    """The model of a topology of Keras and its weights, as TensorFlow.js or as its writer understands it."""
    manifest = [{"paths": ["weights.bin"], "weights": case["args"]["weightSpecs"]}]
    document = {"modelTopology": case["args"]["modelTopology"], "weightsManifest": manifest}
    (folder / "model.json").write_text(json.dumps(document))
    (folder / "weights.bin").write_bytes(inputs(case)["weight_file"].tobytes())
    return load(folder, dialect=dialect)


@pytest.mark.parametrize("case", LOADED, ids=key)
@pytest.mark.filterwarnings("ignore:TensorFlow.js ignores output_padding")
def test_a_topology_is_read_as_tfjs_reads_it(case: Case, tmp_path: Path) -> None:
    def same(_: Case, model: Sequential) -> str | None:
        return array_difference(model(inputs(case)["x"]), array(case, case["expect"]["output"]), exact=False)

    gists = {
        "InputLayer": "InputLayer should be passed",
        "layer": "Conv1DTranspose",
        "regularizer": "regularizer",
    }
    message = case["expect"].get("message", "")
    gist = next((gist for word, gist in gists.items() if word in message), None)
    assert gist is not None or not message
    check(case, lambda: loaded(case, tmp_path, TFJS), same=same, gist=gist)


@pytest.mark.parametrize("case", LOADED, ids=key)
def test_a_topology_is_read_as_its_writer_meant_it(case: Case, tmp_path: Path) -> None:
    model = loaded(case, tmp_path, None)
    wanted = array(case, case["expect"]["python_output"])
    assert array_difference(model(inputs(case)["x"]), wanted, exact=False) is None


def saved(case: Case) -> Sequential:
    """A model of TensorFlow.js, made from the arguments it was given there."""
    config = case["expect"]["modelTopology"]["config"]
    model = Sequential.in_dialect(TFJS)(name=config["name"])
    for (kind, given), written in zip(case["args"]["layers"], config["layers"], strict=True):
        options = {snake_case(name): value for name, value in given.items()}
        if "data_format" in options:
            options["data_format"] = snake_case(options["data_format"])
        shape = options.pop("input_shape", None)
        if shape is not None:
            options["batch_input_shape"] = (None, *shape)
        options.setdefault("kernel_initializer", written["config"]["kernel_initializer"])
        model.add(layer_class(kind[0].upper() + kind[1:].replace("d", "D", 1), TFJS)(**options))
    model.set_weights([value for name, value in inputs(case).items() if name.startswith("weight")])
    model.apply_constraints()  # as TensorFlow.js does when weights are set
    return model


@pytest.mark.parametrize("case", SAVED, ids=key)
def test_a_tfjs_model_is_written_as_recorded(case: Case, tmp_path: Path) -> None:
    model, expect = saved(case), case["expect"]
    model.save(tmp_path / "model.json")
    found = json.loads((tmp_path / "model.json").read_text())
    assert found["modelTopology"] == expect["modelTopology"]
    assert json.loads(model.to_json()) == expect["toJSON"]
    assert found["weightsManifest"][0]["weights"] == expect["weightSpecs"]
    assert {k: found[k] for k in ("format", "generatedBy", "convertedBy")} == {
        k: expect[k] for k in ("format", "generatedBy", "convertedBy")
    }
    (shard,) = found["weightsManifest"][0]["paths"]
    numbers = np.frombuffer((tmp_path / shard).read_bytes(), "<f4")
    recorded = np.frombuffer(array(case, expect["weight_file"]).tobytes(), "<f4")
    assert array_difference(numbers, recorded, exact="kernelConstraint" not in str(case["args"])) is None
    for one in (model, load(tmp_path)):
        assert array_difference(one(inputs(case)["x"]), array(case, expect["output"]), exact=False) is None
    again, own = (plain(one.get_config())["layers"][1:] for one in (load(tmp_path), model))
    assert again == own  # the input layers before have automatic names


def test_errors_are_value_errors() -> None:
    """What TensorFlow.js and Keras raise for a file they cannot read is a ValueError here too."""
    with pytest.raises(ValueError, match="is not a usable model file") as caught:
        formats.from_json("{}")
    assert error_difference(caught.value, {"type": "ValueError", "message": ""}) is None
