"""The tf_keras face: what it is beside the recorded cases, which are in tests/golden."""

from __future__ import annotations

import numpy as np
import pytest

from convtranspose import layers, reference, tf_keras
from convtranspose.dialects import DIALECTS, KERAS3, TF_KERAS_2_4, TF_KERAS_2_9, TF_KERAS_2_21


def test_one_face_three_generations() -> None:
    assert tf_keras.layers.Conv2DTranspose.dialect is TF_KERAS_2_9
    assert tf_keras.layers.Convolution2DTranspose is tf_keras.layers.Conv2DTranspose
    assert tf_keras.generation("2.9").layers.Conv3DTranspose is tf_keras.layers.Conv3DTranspose
    for version, record in (("2.4", TF_KERAS_2_4), ("2.21", TF_KERAS_2_21)):
        face = tf_keras.generation(version)
        assert face.dialect is face.layers.Conv1DTranspose.dialect is record
        assert issubclass(face.layers.Conv1DTranspose, layers.Conv1DTranspose)
        assert face.layers.Sequential.dialect is record
    with pytest.raises(ValueError, match=r"version must be one of 2.4, 2.9, 2.21. Got '1.15'"):
        tf_keras.generation("1.15")


def test_names_are_those_of_the_layers() -> None:
    assert set(tf_keras.layers.__all__) <= set(layers.__all__)
    assert dir(tf_keras.generation("2.4").layers) == sorted(layers.__all__)
    with pytest.raises(AttributeError, match=r"tf_keras.layers has no 'Lambda'. It has: .*Conv2DTranspose"):
        _ = tf_keras.layers.Lambda
    with pytest.raises(AttributeError, match="__wrapped__"):
        _ = tf_keras.generation("2.4").layers.__wrapped__


def test_records_survive_copies() -> None:
    import copy
    import pickle

    for record in DIALECTS.values():
        assert copy.deepcopy(record) is record
        assert pickle.loads(pickle.dumps(record)) is record


def test_first_weights() -> None:
    given = [np.ones((3, 2, 1), "float32"), np.arange(2, dtype="float32")]
    layer = tf_keras.layers.Conv1DTranspose(2, 3, weights=given)
    layer.build((None, 5, 1))
    for array, wanted in zip(layer.get_weights(), given, strict=True):
        np.testing.assert_array_equal(array, wanted)


def test_extensions_of_keras3_are_unknown() -> None:
    with pytest.raises(TypeError, match="unknown keyword arguments: allow_strided_dilation"):
        tf_keras.layers.Conv2DTranspose(2, 3, allow_strided_dilation=True)
    with pytest.raises(ValueError, match="padding must be 'valid' or 'same'"):
        tf_keras.layers.Conv2DTranspose(2, 3, padding=((1, 1), (1, 1)))


def test_groups_are_recorded_and_ignored() -> None:
    layer = tf_keras.layers.Conv2DTranspose(4, 3, groups=2)
    layer.build((1, 5, 5, 3))
    assert (layer.groups, layer.kernel.shape) == (2, (3, 3, 4, 3))


def test_dilation_in_three_dimensions_comes_back() -> None:
    layer = tf_keras.layers.Conv3DTranspose(2, 3, dilation_rate=(1, 2, 1))
    again = tf_keras.layers.Conv3DTranspose.from_config(layer.get_config())
    assert again.dilation_rate == (1, 2, 1)
    assert "dilation_rate" not in tf_keras.layers.Conv3DTranspose(2, 3).get_config()


def test_one_dilation_rate_in_two_dimensions() -> None:
    x = np.ones((1, 5, 5, 2), "float32")
    with pytest.raises(ValueError, match=r"dilation_rate must be the same on both axes .*\(1, 2\)"):
        tf_keras.layers.Conv2DTranspose(2, 3, dilation_rate=(1, 2))(x)
    early = tf_keras.generation("2.4").layers.Conv2DTranspose(2, 3, dilation_rate=(1, 2))
    assert early(x).shape == (1, 7, 9, 2)


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize("data_format", ["channels_last", "channels_first"])
def test_convolution_op_is_the_forward_convolution(padding: str, data_format: str) -> None:
    # 8 and 7 samples: with stride 2 and 3 taps, "valid" leaves samples over in one of them.
    layer = tf_keras.layers.Conv2DTranspose(2, 3, strides=2, padding=padding, data_format=data_format)
    rng = np.random.default_rng(0)
    x = rng.integers(-4, 5, (1, 8, 7, 2)).astype("float32")
    kernel = rng.integers(-4, 5, (3, 3, 2, 5)).astype("float32")
    before, after = (0, 0) if padding == "valid" else ((0, 1), (1, 1))
    padded = x if padding == "valid" else np.pad(x, ((0, 0), before, after, (0, 0)))
    wanted = np.zeros((1, (padded.shape[1] - 3) // 2 + 1, (padded.shape[2] - 3) // 2 + 1, 5), "float32")
    for i in range(wanted.shape[1]):
        for j in range(wanted.shape[2]):
            window = padded[0, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
            wanted[0, i, j] = np.einsum("abc,abcd->d", window, kernel)
    if data_format == "channels_first":
        x, wanted = x.transpose(0, 3, 1, 2), wanted.transpose(0, 3, 1, 2)
    np.testing.assert_array_equal(layer.convolution_op(x, kernel), wanted)
    for face in (layers, tf_keras.generation("2.4").layers):
        assert not hasattr(face.Conv2DTranspose(2, 3), "convolution_op")


def test_convolution_op_errors() -> None:
    layer = tf_keras.layers.Conv2DTranspose(2, 3)
    layer.build((1, 4, 4, 3))
    with pytest.raises(ValueError, match="2 output channels, but inputs has 3"):
        layer.convolution_op(np.ones((1, 4, 4, 3), "float32"), layer.kernel)
    with pytest.raises(ValueError, match="inputs must have 4 axes"):
        layer.convolution_op(np.ones((4, 4, 2), "float32"), layer.kernel)


def test_an_even_kernel_with_same_and_no_output_padding_is_computed() -> None:
    layer = tf_keras.layers.Conv2DTranspose(2, 4, strides=2, padding="same", output_padding=0)
    x = np.random.default_rng(0).integers(-4, 5, (1, 5, 3, 2)).astype("float32")
    layer.build(x.shape)
    layer.kernel.assign(np.random.default_rng(1).integers(-4, 5, layer.kernel.shape))
    wanted = reference.conv_transpose(x, layer.kernel.value, 2, "same", 0)
    np.testing.assert_array_equal(layer(x), wanted.astype("float32"))


def test_with_name_scope() -> None:
    class Up(tf_keras.layers.Layer):  # type: ignore[misc]
        @tf_keras.layers.Layer.with_name_scope
        def make(self) -> str:
            return str(self.add_weight("w", (2,), lambda shape, dtype: np.zeros(shape)).name)

    assert Up(name="up").make() == "up/w:0"


def test_frozen_weights_are_still_regularized_in_keras2() -> None:
    for face, count in ((tf_keras.layers, 1), (layers, 0)):
        layer = face.Conv1DTranspose(2, 3, kernel_regularizer="l2", trainable=False)
        layer.build((None, 5, 1))
        assert len(layer.losses) == count
    assert layers.Conv1DTranspose.dialect is KERAS3


def test_a_model_by_places_and_in_a_row_is_the_same() -> None:
    face = tf_keras.layers
    place = face.Input((5, 1))
    chain = [face.Conv1DTranspose(2, 3), face.Conv1DTranspose(1, 2)]
    end = chain[1](chain[0](place))
    model = face.Model(place, end)
    x = np.random.default_rng(0).standard_normal((2, 5, 1)).astype("float32")
    np.testing.assert_array_equal(model(x), chain[1](chain[0](x)))
    assert model.dialect is TF_KERAS_2_9
    assert end.shape == (None, 8, 1)
    assert model.weights[0].name == f"{chain[0].name}/kernel:0"
