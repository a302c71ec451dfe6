import math

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

import golden_builtins
import golden_cases
from convtranspose import initializers
from convtranspose.dialects import DIALECTS, KERAS3, TF_KERAS_2_4, TF_KERAS_2_9, TF_KERAS_2_21, TFJS
from convtranspose.initializers import (
    STFT,
    Constant,
    GlorotUniform,
    HeNormal,
    HeUniform,
    Identity,
    LecunUniform,
    Orthogonal,
    RandomNormal,
    RandomUniform,
    TruncatedNormal,
    VarianceScaling,
    compute_fans,
)

KERNEL = (3, 5, 50, 2)  # fan_in 750 and fan_out 30 as Keras counts
RANDOM = [
    *("GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "LecunNormal", "LecunUniform"),
    *("Orthogonal", "RandomNormal", "RandomUniform", "TruncatedNormal", "VarianceScaling"),
]


@golden_builtins.parameters("init_")
def test_recorded(case):
    def same(case, made):
        wanted = case["expect"]["value"]
        dialect, shape = golden_builtins.dialect(case), case["args"]["shape"]
        found = golden_builtins.serialized_difference(
            case, initializers.serialize(made, dialect), wanted["serialized"]
        )
        if found is None and type(made).__name__ != wanted["class"]:
            found = f"class {type(made).__name__}, recorded {wanted['class']}"
        if found is not None or "call_raises" in wanted:
            return found if found is not None else refusal(made, shape, *wanted["call_raises"])
        first, second = made(shape), made(shape)
        if first.dtype.name != wanted["dtype"]:
            return f"type {first.dtype}, recorded {wanted['dtype']}"
        if np.array_equal(first, second) != wanted["same_every_call"]:
            return f"two calls give the same: {not wanted['same_every_call']}"
        if wanted["constant"] is not None:
            return None if (first == wanted["constant"]).all() else f"{first}, recorded {wanted['constant']}"
        return statistics_difference(case, wanted["observed"])

    golden_cases.check(
        case,
        lambda: initializers.get(case["args"]["identifier"], golden_builtins.dialect(case)),
        same=same,
        gist=golden_builtins.gist(case),
    )


def refusal(made, shape, kind, message):
    try:
        made(shape)
    except Exception as error:
        return golden_cases.error_difference(error, {"type": kind, "message": message})
    return f"a result, recorded {kind}: {message}"


def statistics_difference(case, observed):
    """Spread and largest value of one recorded draw of 180 numbers against many of ours."""
    dialect, shape = golden_builtins.dialect(case), case["args"]["shape"]
    config = {"class_name": case["args"]["identifier"], "config": {"seed": 0}}
    draws = []
    for seed in range(60):
        config["config"]["seed"] = seed
        draws.append(initializers.get(config, dialect)(shape))
    ours, count = np.stack(draws), math.prod(shape)
    # Five standard errors of the mean and of the spread of as many numbers as were recorded.
    if abs(observed["mean"] - ours.mean()) > 5 * ours.std() / math.sqrt(count):
        return f"mean {ours.mean():g}, recorded {observed['mean']:g}"
    if abs(observed["std"] / ours.std() - 1) > 5 / math.sqrt(2 * count):
        return f"spread {ours.std():g}, recorded {observed['std']:g}"
    largest = np.abs(ours).max()
    if not 0.5 * largest < observed["max_abs"] < 1.1 * largest:
        return f"largest {largest:g}, recorded {observed['max_abs']:g}"
    return None


@golden_builtins.parameters("initializers.Zeros", "initializers.Ones")
def test_recorded_objects(case):
    golden_builtins.check(case, initializers, lambda made, shape: made(shape))


def test_fans():
    assert compute_fans(KERNEL) == (750, 30)
    assert compute_fans(KERNEL, fan="transposed") == (30, 750)
    assert compute_fans(KERNEL, [0, 1, 3], [0, 1, 2]) == (30, 750)
    assert compute_fans((7, 5)) == compute_fans((7, 5), fan="transposed") == (7, 5)
    assert compute_fans((7,)) == (7, 7)
    assert compute_fans(()) == (1, 1)


@pytest.mark.parametrize("axes", [{}, {"input_axes": (0, 1, 3), "output_axes": (0, 1, 2)}])
@pytest.mark.parametrize("make", [HeNormal, HeUniform, LecunUniform, GlorotUniform])
def test_fans_of_a_kernel_in_words_of_keras(make, axes):
    ours = make(seed=3, fan="transposed", **axes)
    theirs = ours.in_words_of_keras()
    assert type(theirs) is VarianceScaling
    assert "fan" not in initializers.serialize(theirs)["config"]
    assert_array_equal(theirs(KERNEL), ours(KERNEL))
    if not axes:
        assert_array_equal(ours.in_words_of_keras(swapped=False)((7, 5)), ours((7, 5)))
    assert theirs.in_words_of_keras() is theirs


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("glorot_uniform", lambda fi, fo: math.sqrt(6 / (fi + fo))),
        ("he_uniform", lambda fi, fo: math.sqrt(6 / fi)),
        ("lecun_uniform", lambda fi, fo: math.sqrt(3 / fi)),
    ],
)
@pytest.mark.parametrize(("fan", "fans"), [("keras", (750, 30)), ("transposed", (30, 750))])
def test_limits_of_the_uniform_ones(name, limit, fan, fans):
    made = type(initializers.get(name))(seed=1, fan=fan)
    values = made(KERNEL, "float64")
    bound = limit(*fans)
    assert np.abs(values).max() < bound
    assert np.abs(values).max() > 0.99 * bound
    assert_allclose(values.std(), bound / math.sqrt(3), rtol=0.05)  # 1500 numbers


@pytest.mark.parametrize(
    ("name", "stddev"),
    [
        ("glorot_normal", lambda fi, fo: math.sqrt(2 / (fi + fo))),
        ("he_normal", lambda fi, fo: math.sqrt(2 / fi)),
        ("lecun_normal", lambda fi, fo: math.sqrt(1 / fi)),
    ],
)
@pytest.mark.parametrize(("fan", "fans"), [("keras", (750, 30)), ("transposed", (30, 750))])
def test_spread_of_the_normal_ones(name, stddev, fan, fans):
    values = type(initializers.get(name))(seed=1, fan=fan)(KERNEL, "float64")
    # Widened before the cut at two, so that the spread after it is as said.
    assert_allclose(values.std(), stddev(*fans), rtol=0.08)  # 1500 numbers
    bound = 2 * stddev(*fans) / 0.87962566
    assert 0.95 * bound < np.abs(values).max() < bound


def test_tensorflow_js_does_not_widen():
    config = {
        "className": "VarianceScaling",
        "config": {"mode": "fanIn", "distribution": "normal", "seed": 1},
    }
    values = initializers.get(config, TFJS)(KERNEL, "float64")
    assert 1.9 / math.sqrt(750) < np.abs(values).max() < 2 / math.sqrt(750)
    assert_allclose(values.std(), 0.87962566 / math.sqrt(750), rtol=0.08)


def test_untruncated_normal():
    values = VarianceScaling(3.0, "fan_out", "untruncated_normal", seed=1)((3, 5, 200, 7), "float64")
    assert_allclose(values.std(), math.sqrt(3 / 105), rtol=0.03)
    assert np.abs(values).max() > 2.5 * math.sqrt(3 / 105)
    with pytest.raises(ValueError, match="tfjs has no distribution 'untruncated_normal'"):
        initializers.serialize(VarianceScaling(distribution="untruncated_normal"), TFJS)


def test_means_and_spreads_of_the_plain_ones():
    shape = (199, 101)
    normal = RandomNormal(2.0, 0.5, seed=1)(shape, "float64")
    assert_allclose([normal.mean(), normal.std()], [2, 0.5], rtol=0.02)
    truncated = TruncatedNormal(2.0, 0.5, seed=1)(shape, "float64")
    assert_allclose([truncated.mean(), truncated.std()], [2, 0.5 * 0.87962566], rtol=0.02)
    assert np.abs(truncated - 2).max() <= 1
    uniform = RandomUniform(1.0, 3.0, seed=1)(shape, "float64")
    assert_allclose([uniform.mean(), uniform.std()], [2, 1 / math.sqrt(3)], rtol=0.02)
    assert uniform.min() >= 1
    assert uniform.max() < 3


@pytest.mark.parametrize("shape", [(7, 5), (5, 7), (3, 2, 4, 5), (2, 3, 31)])
def test_orthogonal(shape):
    w = Orthogonal(gain=3.0, seed=2)(shape, "float64").reshape(-1, shape[-1])
    product = w.T @ w if w.shape[0] >= w.shape[1] else w @ w.T
    assert_allclose(product, 9 * np.eye(min(w.shape)), atol=1e-13)
    assert Orthogonal()(shape).flags.c_contiguous


def test_orthogonal_needs_a_matrix():
    with pytest.raises(ValueError, match=r"at least two-dimensional\. Got shape=\(3,\) of rank 1"):
        Orthogonal()((3,))


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("name", [*RANDOM, "Zeros", "Ones"])
def test_type_and_shape(name, dtype):
    values = initializers.get(name)((3, 2, 5), dtype)
    assert (values.dtype, values.shape) == (np.dtype(dtype), (3, 2, 5))
    assert initializers.get(name)([3, 2, 5]).dtype == np.float32


@pytest.mark.parametrize("name", RANDOM)
def test_seeds(name):
    shape = (3, 7)

    def made(seed, dialect=KERAS3):
        return initializers.deserialize({"class_name": name, "config": {"seed": seed}}, dialect=dialect)

    assert_array_equal(made(5)(shape), made(5)(shape))
    assert (made(5)(shape) != made(6)(shape)).any()
    assert (made(None)(shape) != made(None)(shape)).any()
    # Keras 3 and tf_keras 2.21 repeat themselves, older ones go on.
    for dialect in (KERAS3, TF_KERAS_2_21):
        again = made(None, dialect)
        assert_array_equal(again(shape), again(shape))
    for dialect in (TF_KERAS_2_4, TF_KERAS_2_9):
        once, twice = made(5, dialect), made(5, dialect)
        first = once(shape)
        assert (first != once(shape)).any()
        assert_array_equal(first, twice(shape))


def test_seeds_of_tensorflow_js():
    free, bound = (
        initializers.get({"className": "RandomNormal", "config": c}, TFJS) for c in ({}, {"seed": 4})
    )
    assert (free((3, 7)) != free((3, 7))).any()
    assert_array_equal(bound((3, 7)), bound((3, 7)))


def test_negative_and_strange_seeds():
    assert_array_equal(RandomNormal(seed=-3)((5,)), RandomNormal(seed=-3)((5,)))
    assert RandomNormal(seed=np.int64(3)).seed == 3
    generator = {"module": "keras.random", "class_name": "SeedGenerator", "config": {"seed": 3}}
    assert RandomNormal(seed=generator).seed == 3
    for seed in ("a", 2.5, True):
        with pytest.raises(ValueError, match="seed must be an integer or None"):
            RandomNormal(seed=seed)


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=lambda d: d.name)
def test_configurations_keep_what_was_given(dialect):
    for made in (RandomNormal(1.0, 0.5, 3), RandomUniform(-1.0, 2.0, 3), Orthogonal(2.0, 3), Constant(4.0)):
        written = initializers.serialize(made, dialect)
        again = initializers.deserialize(written, dialect=dialect)
        assert again.get_config() == made.get_config()
        assert type(again) is type(made)


def test_the_corrected_fan_survives_its_configuration():
    made = HeNormal(seed=3, fan="transposed")
    assert made.get_config() == {"seed": 3, "input_axes": None, "output_axes": None, "fan": "transposed"}
    for dialect in (KERAS3, TF_KERAS_2_9):
        again = initializers.deserialize(initializers.serialize(made, dialect), dialect=dialect)
        assert again.fan == "transposed"
    with pytest.raises(ValueError, match=r"Invalid fan argument: use keras or transposed\. Got fan='true'"):
        HeUniform(fan="true")


def test_glorot_is_the_same_both_ways():
    a, b = (GlorotUniform(seed=3, fan=fan)(KERNEL) for fan in ("keras", "transposed"))
    assert_array_equal(a, b)
    c = LecunUniform(seed=3, fan="transposed")(KERNEL)
    assert_array_equal(c, LecunUniform(seed=3, input_axes=[0, 1, 3], output_axes=[0, 1, 2])(KERNEL))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"scale": 0}, "scale must be a positive float. Got scale=0"),
        ({"scale": float("nan")}, "scale must be a positive float. Got scale=nan"),
        ({"mode": "fan"}, "Invalid mode argument: use fan_in, fan_out or fan_avg. Got mode='fan'"),
        (
            {"distribution": "x"},
            "Invalid distribution argument: use truncated_normal, .*Got distribution='x'",
        ),
    ],
)
def test_variance_scaling_refuses(given, message):
    with pytest.raises(ValueError, match=message):
        VarianceScaling(**given)


def test_constant():
    assert_array_equal(Constant([1, 2])((3, 2)), [[1, 2]] * 3)
    assert_array_equal(Constant([1, 2, 3, 4])((2, 2)), [[1, 2], [3, 4]])
    with pytest.raises(
        ValueError, match=r"broadcastable .* value of shape \(3,\), a weight of shape \(2, 2\)"
    ):
        Constant([1, 2, 3])((2, 2))
    written = initializers.serialize(Constant(np.array([1.0, 2.0], "float32")))
    tensor = {"class_name": "__tensor__", "config": {"value": [1.0, 2.0], "dtype": "float32"}}
    assert written["config"] == {"value": tensor}
    assert_array_equal(initializers.deserialize(written)((2,)), [1, 2])
    assert initializers.serialize(Constant(np.float32(2)), TF_KERAS_2_9)["config"] == {"value": 2.0}


@pytest.mark.parametrize(("dialect", "error"), [(KERAS3, KeyError), (TFJS, ValueError)])
@pytest.mark.parametrize("identifier", ["constant", {"class_name": "Constant", "config": {}}])
def test_a_constant_by_bare_name(identifier, dialect, error):
    with pytest.raises(error, match="config must have value set"):
        initializers.get(identifier, dialect)


def test_a_constant_by_bare_name_in_tf_keras():
    made = initializers.get("constant", TF_KERAS_2_9)
    assert made.get_config() == {"value": 0}


def test_identity():
    assert_array_equal(Identity(2.0)((2, 3)), [[2, 0, 0], [0, 2, 0]])
    assert Identity().get_config() == {}
    assert Identity(2.0).get_config() == {"gain": 2.0}
    with pytest.raises(ValueError, match=r"2D matrices\. Got shape=\(3, 3, 2\) of rank 3"):
        Identity()((3, 3, 2))


def test_an_array_is_its_own_initializer():
    values = np.arange(6).reshape(2, 3)
    made = initializers.get(values)
    assert made((2, 3)).dtype == np.float32
    assert_array_equal(made((2, 3)), values)
    with pytest.raises(ValueError, match=r"Expected shape to be \(2, 3\).*Got shape=\(3, 2\)"):
        made((3, 2))
    with pytest.raises(ValueError, match=r"no configuration; use Constant\(array\)"):
        initializers.serialize(made)
    with pytest.raises(ValueError, match="Could not interpret initializer identifier"):
        initializers.get(values, TF_KERAS_2_9)


def test_the_base_class():
    with pytest.raises(NotImplementedError, match=r"Initializer must implement the __call__\(\) method"):
        initializers.get("Initializer")((2,))


def test_stft_is_the_fourier_transform_of_a_windowed_frame():
    length, bins = 9, 7  # 12 frequencies
    frame = np.random.default_rng(1).normal(size=length)
    spectrum = np.fft.rfft(frame * np.hanning(length), n=12)
    for side, expected in (("real", spectrum.real), ("imag", spectrum.imag)):
        kernel = STFT(side, scaling=None)((length, 1, bins), "float64")
        assert_allclose(frame @ kernel[:, 0], expected, atol=1e-14)


@pytest.mark.parametrize("scaling", ["density", "spectrum"])
def test_stft_windows(scaling):
    window = np.hamming(10)[:9]
    norm = np.sqrt(np.sum(window**2)) if scaling == "density" else window.sum()
    named = STFT("real", "hamming", scaling, periodic=True)((9, 1, 5), "float64")
    assert_allclose(named[:, 0, 0], window / norm, rtol=1e-14)
    assert_array_equal(STFT("real", window, scaling)((9, 1, 5), "float64"), named)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"side": "left"}, "side must be 'real' or 'imag'. Got side='left'"),
        ({"window": "tukey"}, "window must be one of bartlett, .*Got window='tukey'"),
        ({"scaling": "x"}, "scaling must be None, 'density' or 'spectrum'. Got scaling='x'"),
    ],
)
def test_stft_refuses(given, message):
    with pytest.raises(ValueError, match=message):
        STFT(**given)


def test_stft_needs_three_axes_and_a_window_of_the_frame():
    with pytest.raises(ValueError, match=r"STFT needs a shape of 3 numbers.*Got shape=\(3, 3, 4, 5\)"):
        STFT()((3, 3, 4, 5))
    with pytest.raises(ValueError, match=r"The window must have shape \(9,\), the frame length. Got \(4,\)"):
        STFT(window=np.ones(4))((9, 1, 5))
