"""Decoders that real programs saved compute here what they computed there."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convtranspose import FormatError, load
from convtranspose.layers import (
    BatchNormalization,
    Conv2DTranspose,
    Dense,
    Functional,
    Input,
    LeakyReLU,
    Model,
    Reshape,
    Sequential,
)

DATA = Path(__file__).parents[1] / "data"
MODELS = sorted(p for p in DATA.iterdir() if p.suffix in (".keras", ".h5") and ".weights" not in p.name)


def expected(path: Path) -> tuple[Any, Any]:
    with np.load(DATA / f"{path.name.split('.')[0]}.npz") as arrays:
        return arrays["inputs"], arrays["outputs"]


def same(found: Any, wanted: Any) -> None:
    assert found.shape == wanted.shape
    # Sums run in another order there; 1e-5 of the largest number is the agreement that is asked for.
    np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5 * np.abs(wanted).max())


def test_there_are_decoders() -> None:
    assert len(MODELS) == 8


@pytest.mark.parametrize("path", MODELS, ids=lambda p: p.name)
def test_a_decoder_computes_as_its_writer_did(path: Path) -> None:
    inputs, outputs = expected(path)
    model = load(path)
    same(model(inputs), outputs)
    assert type(model).__name__ == ("Functional" if path.name.startswith("vae") else "Sequential")
    assert np.ptp(outputs) > 0.1  # it shows something


@pytest.mark.parametrize("path", MODELS, ids=lambda p: p.name)
@pytest.mark.parametrize("ending", [".keras", ".h5", ".npz", ".json"])
@pytest.mark.filterwarnings("ignore:layer .*, which TensorFlow.js")
def test_a_decoder_is_the_same_in_every_kind_of_file(path: Path, ending: str, tmp_path: Path) -> None:
    if ending != ".npz":
        pytest.importorskip("h5py", reason="Keras files are written with h5py")
    inputs, outputs = expected(path)
    again = tmp_path / f"again{ending}"
    model = load(path)
    if (path.name, ending) == ("volumes_keras.keras", ".json"):
        with pytest.raises(ValueError, match=r"is a UpSampling3D, which TensorFlow\.js does not have"):
            model.save(again)
        return
    model.save(again)
    copy = load(again)
    for one, other in zip(
        copy.layers, model.layers, strict=True
    ):  # models order their weights each in its way
        assert [w.shape for w in one.weights] == [w.shape for w in other.weights]
    same(copy(inputs), outputs)


def test_weights_go_into_a_model_made_in_code() -> None:
    x = latent = Input((2,))
    x = Dense(7 * 7 * 5, activation="relu")(x)
    x = Reshape((7, 7, 5))(x)
    x = Conv2DTranspose(5, 3, activation="relu", strides=2, padding="same")(x)
    x = Conv2DTranspose(3, 3, activation="relu", strides=2, padding="same")(x)
    x = Conv2DTranspose(1, 3, activation="sigmoid", padding="same")(x)
    path = DATA / "vae_keras.weights.h5"
    inputs, outputs = expected(path)
    for files in (path, DATA / "vae_keras.keras"):
        model = Model(latent, x)
        model.set_weights([np.zeros(w.shape) for w in model.weights])
        model.load_weights(files)
        same(model(inputs), outputs)
    with pytest.raises(FormatError, match=r"holds weights and no layers\. Make the model in code"):
        load(path)


def test_weights_go_by_order_in_legacy_files() -> None:
    model = Sequential(
        [
            Dense(7 * 7 * 4, use_bias=False, input_shape=(11,)),
            BatchNormalization(),
            LeakyReLU(0.3),
            Reshape((7, 7, 4)),
            Conv2DTranspose(5, 5, padding="same", use_bias=False),
            BatchNormalization(),
            LeakyReLU(0.3),
            Conv2DTranspose(3, 5, strides=2, padding="same", use_bias=False),
            BatchNormalization(),
            LeakyReLU(0.3),
            Conv2DTranspose(1, 5, strides=2, padding="same", use_bias=False, activation="tanh"),
        ]
    )
    path = DATA / "dcgan_tf_keras.h5"
    inputs, outputs = expected(path)
    model.load_weights(path)
    same(model(inputs), outputs)


def test_a_decoder_of_tfjs() -> None:
    record = json.loads((DATA / "tfjs_decoder" / "expected.json").read_text())
    inputs, outputs = (
        np.array(record[name]["data"], "float32").reshape(record[name]["shape"])
        for name in ("inputs", "outputs")
    )
    for path in (DATA / "tfjs_decoder", DATA / "tfjs_decoder" / "model.json"):
        model = load(path)
        same(model(inputs), outputs)
    assert model.dialect.name == "tfjs"
    assert model.layers[-1].activation(np.float32(1)) == np.float32(0.7)  # its own hard sigmoid


def test_a_functional_model_keeps_its_input() -> None:
    model = load(DATA / "vae_tf_keras.h5")
    assert isinstance(model, Functional)
    assert model.layers[0].name == "latent"
    assert model.output_shape == (None, 28, 28, 1)
