"""The recorded snippets that use layers, and what ``keras.json`` does to them, in four generations.

The snippets of ``tf.compat.v1`` belong to the tests of that face.
"""

from __future__ import annotations

import functools
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import convtranspose.layers
from convtranspose import activations, config, constraints, initializers, regularizers, tf_keras
from convtranspose.dialects import KERAS3
from convtranspose.layers import clear_session
from golden_cases import Case, cases, check, listed

FACES: dict[str, Any] = {
    "misc_tf24": tf_keras.generation("2.4"),
    "misc_tf29": tf_keras.generation("2.9"),
    "misc_tfkeras221": tf_keras.generation("2.21"),
    "misc_keras3": SimpleNamespace(layers=convtranspose.layers, dialect=KERAS3),
}


GISTS = {
    "scen_convolution_op_direct_wrong_channels": r"no attribute 'convolution_op'|2 .* but inputs has 3",
    "scen_deserialize_keras1_names": r"unknown layer class 'Deconvolution2D'",
    "scen_regularizer_class": r"get_config\(\) of the regularizer needs an object, but it is the class L2",
}


def keras(source: str) -> SimpleNamespace:
    """What the snippets call ``K``."""
    face = FACES[source]
    found = {"layers": face.layers, "backend": SimpleNamespace(clear_session=clear_session)}
    for module in (activations, initializers, regularizers, constraints):
        bound = SimpleNamespace(**vars(module))
        bound.get = functools.partial(module.get, dialect=face.dialect)
        found[module.__name__.rpartition(".")[2]] = bound
    layers = face.layers
    return SimpleNamespace(**found, Input=layers.Input, Model=layers.Model, Sequential=layers.Sequential)


def chosen(prefix: str) -> list[Any]:
    return [
        pytest.param(case, id=f"{source}-{case['key']}")
        for source in FACES
        for case in cases(source)
        if case["key"].startswith(prefix) and not case["key"].startswith("scen_v1")
    ]


@pytest.mark.parametrize("case", chosen("scen_"))
def test_snippet(case: Case) -> None:
    clear_session()
    names: dict[str, Any] = {"np": np, "K": keras(case["source"])}

    def run() -> Any:
        exec(case["code"], names)  # a snippet that stands in this repository
        return names["result"]

    gist = GISTS.get(case["key"])
    agreeing = case["expect"]["kind"] == "raises" and case["key"] not in listed(case["source"])
    assert gist is not None or not agreeing, "what should the message say?"
    check(case, run, gist=gist)


@pytest.mark.parametrize("case", chosen("kerasjson_"))
def test_keras_json(case: Case, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    where, content = case["args"]["where"], case["args"]["content"]
    at_home = where.startswith("HOME/")
    file = tmp_path / (".keras/keras.json" if at_home else "keras.json")
    file.parent.mkdir(exist_ok=True)
    if content is not None:
        file.write_text(json.dumps(content), encoding="utf-8")
    monkeypatch.setenv("HOME", str(tmp_path if at_home else tmp_path / "elsewhere"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path if at_home else tmp_path / "elsewhere"))
    monkeypatch.delenv("KERAS_HOME", raising=False)
    if not at_home:
        monkeypatch.setenv("KERAS_HOME", str(tmp_path))

    def run() -> dict[str, Any]:
        layer = FACES[case["source"]].layers.Conv2DTranspose(1, 2)
        return {
            "data_format": layer.data_format,
            "layer_dtype": layer.dtype,
            "floatx": config.floatx(),
            "image_data_format": config.image_data_format(),
            "file_afterwards": file.read_text(encoding="utf-8") if file.exists() else None,
        }

    config.reload()
    try:
        check(case, run)
    finally:
        monkeypatch.undo()
        config.reload()
