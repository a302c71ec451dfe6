"""Defaults from keras.json; what the recorded programs make of the file is in tests/golden."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from convtranspose import config, conv_transpose
from convtranspose.layers import Conv2DTranspose


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    with monkeypatch.context() as patch:
        patch.setenv("KERAS_HOME", str(tmp_path))
        config.reload()
        yield tmp_path
    config.reload()


def test_defaults_without_a_file(own_home: Path) -> None:
    found = (config.floatx(), config.epsilon(), config.image_data_format(), config.backend())
    assert found == ("float32", 1e-7, "channels_last", "numpy")
    assert list(own_home.iterdir()) == []


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", '"text"'])
def test_a_file_that_is_no_object_counts_as_empty(own_home: Path, text: str) -> None:
    (own_home / "keras.json").write_text(text, encoding="utf-8")
    assert config.image_data_format() == "channels_last"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"floatx": "int32"}', r"floatx must be one of float16, .* Got 'int32' in .*keras.json"),
        ('{"image_data_format": 1}', r"image_data_format must be one of .* Got 1 in "),
        ('{"epsilon": "small"}', r"epsilon must be a number. Got 'small' in "),
    ],
)
def test_wrong_values_name_the_file(own_home: Path, text: str, message: str) -> None:
    (own_home / "keras.json").write_text(text, encoding="utf-8")
    with pytest.raises(ValueError, match=message):
        config.floatx()


def test_setters_refuse_what_is_no_choice() -> None:
    with pytest.raises(ValueError, match=r"image_data_format must be one of .* Got 'NHWC'"):
        config.set_image_data_format("NHWC")
    with pytest.raises(ValueError, match=r"floatx must be one of .* Got 'int8'"):
        config.set_floatx("int8")
    with pytest.raises(ValueError, match=r"epsilon must be a number. Got True"):
        config.set_epsilon(True)
    config.set_epsilon(1e-3)
    assert config.epsilon() == 1e-3


def test_layers_and_the_operation_follow_it() -> None:
    x, kernel = np.ones((1, 2, 5, 3), "float32"), np.ones((3, 3, 1, 2), "float32")
    config.set_image_data_format("channels_first")
    config.set_floatx("float64")
    layer = Conv2DTranspose(1, 3)
    assert (layer.data_format, layer.dtype) == ("channels_first", "float64")
    assert conv_transpose(x, kernel).shape == (1, 1, 7, 5)
    config.reload()
    assert (layer.data_format, Conv2DTranspose(1, 3).data_format) == ("channels_first", "channels_last")
    with pytest.raises(ValueError, match="kernel expects 2 input channels, but inputs has 3"):
        conv_transpose(x, kernel)
