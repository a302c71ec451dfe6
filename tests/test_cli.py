"""The command line, called as a function; once as a program."""

import builtins
import os
import re
import signal
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from convtranspose import models
from convtranspose.cli import bands, describe, main, pictures
from convtranspose.cli import run as running
from convtranspose.formats import load, npz, save
from convtranspose.layers import Conv1DTranspose, Conv2DTranspose, Conv3DTranspose, Sequential


def integers(seed):
    """An initializer of small integers: sums are exact in float32 in any order."""
    random = np.random.default_rng(seed)
    return lambda shape, dtype=None: random.integers(-2, 3, shape).astype(dtype)


def with_weights(layers, seed=0):
    model = Sequential(layers)
    fill = integers(seed)
    model.set_weights([fill(w.shape, "float32") for w in model.weights])
    return model


@pytest.fixture
def nearest(tmp_path):
    """A model file that repeats every sample in blocks of 2 rows and 3 columns."""
    layer = Conv2DTranspose(
        1, (2, 3), strides=(2, 3), kernel_initializer="ones", name="repeat", input_shape=(None, None, 1)
    )
    path = tmp_path / "nearest.npz"
    save(Sequential([layer], name="nearest"), path)
    return path


def repeat(a):
    return a.repeat(2, axis=0).repeat(3, axis=1)


def picture(mode, shape=(11, 7), seed=0):
    random = np.random.default_rng(seed)
    channels = len(Image.new(mode, (1, 1)).getbands())
    return Image.fromarray(random.integers(0, 256, (*shape, channels)).astype(np.uint8).squeeze(), mode=None)


# run: arrays


@pytest.mark.parametrize("shape", [(1, 5, 7, 1), (3, 97, 2, 1), (2, 1, 1, 1)])
def test_arrays_go_straight_through(tmp_path, nearest, shape, capsys):
    x = np.random.default_rng(0).integers(-9, 9, shape).astype("float32")
    np.save(tmp_path / "x.npy", x)
    assert main(["run", str(nearest), str(tmp_path / "x.npy"), str(tmp_path / "y.npy")]) == 0
    y = np.load(tmp_path / "y.npy")
    assert y.dtype == np.float32
    np.testing.assert_array_equal(y, load(nearest)(x))
    out = capsys.readouterr().out
    assert "nearest: 1 layer, 7 parameters" in out
    assert re.search(r"kernels, \d+ threads", out)
    assert re.search(r"multiply-adds in \d+\.\d+ s, ", out)
    assert f"wrote {tmp_path / 'y.npy'} in" in out


@pytest.mark.parametrize("dtype", ["int16", "uint8", "bool", "float16", "float64"])
def test_numbers_of_every_kind(tmp_path, nearest, dtype):
    x = (np.arange(35).reshape(1, 5, 7, 1) % 2).astype(dtype)
    np.save(tmp_path / "x.npy", x)
    assert main(["run", str(nearest), str(tmp_path / "x.npy"), str(tmp_path / "y.npy")]) == 0
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy")[0, ..., 0], repeat(x[0, ..., 0]))


@pytest.mark.parametrize(
    ("layer", "shape"),
    [(Conv1DTranspose, (67, 5, 3)), (Conv3DTranspose, (2, 3, 5, 2, 3))],
)
def test_other_ranks_run_in_batches(tmp_path, layer, shape):
    model = with_weights([layer(2, 3, strides=2, input_shape=shape[1:]), layer(1, 2, padding="same")])
    save(model, tmp_path / "m.npz")
    x = integers(1)(shape, "float32")
    np.save(tmp_path / "x.npy", x)
    assert main(["run", str(tmp_path / "m.npz"), str(tmp_path / "x.npy"), str(tmp_path / "y.npy")]) == 0
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), model(x))


# run: pictures


def test_a_grey_picture(tmp_path, nearest):
    picture("L").save(tmp_path / "x.png")
    assert main(["run", str(nearest), str(tmp_path / "x.png"), str(tmp_path / "y.png")]) == 0
    with Image.open(tmp_path / "y.png") as image:
        assert image.mode == "L"
        np.testing.assert_array_equal(np.asarray(image), repeat(np.asarray(picture("L"))))


def test_sixteen_bits_stay_sixteen(tmp_path, nearest):
    deep = np.arange(77, dtype=np.uint16).reshape(11, 7) * 851
    Image.fromarray(deep).save(tmp_path / "x.png")
    assert main(["run", str(nearest), str(tmp_path / "x.png"), str(tmp_path / "y.png")]) == 0
    with Image.open(tmp_path / "y.png") as image:
        np.testing.assert_array_equal(np.asarray(image).astype(np.uint16), repeat(deep))


def test_colour_by_channels(tmp_path, nearest, capsys):
    picture("RGB").save(tmp_path / "x.png")
    given = [str(nearest), str(tmp_path / "x.png"), str(tmp_path / "y.png")]
    assert main(["run", *given, "--colour", "channels"]) == 0
    with Image.open(tmp_path / "y.png") as image:
        np.testing.assert_array_equal(np.asarray(image), repeat(np.asarray(picture("RGB"))))
    assert (
        "7 × 11 pixels -> 21 × 22 pixels (red, green and blue as a batch of three)" in capsys.readouterr().out
    )


def test_colour_by_luma(tmp_path, nearest, capsys):
    x = picture("RGB")
    x.save(tmp_path / "x.png")
    assert main(["run", str(nearest), str(tmp_path / "x.png"), str(tmp_path / "y.npy")]) == 0
    y = np.load(tmp_path / "y.npy")[0]
    luma = pictures.luma_and_chroma(np.asarray(x, np.float32) / 255)[0]
    drawn, chroma = pictures.luma_and_chroma(y)
    # float32 arithmetic there and back between colour spaces
    np.testing.assert_allclose(drawn[..., 0], repeat(luma[..., 0]), atol=1e-6)
    red = Image.fromarray(pictures.luma_and_chroma(np.asarray(x, np.float32) / 255)[1][..., 0].copy())
    np.testing.assert_allclose(chroma[..., 0], np.asarray(red.resize((21, 22), Image.BICUBIC)), atol=1e-6)
    assert "luma through the model, chroma by bicubic interpolation" in capsys.readouterr().out


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_model_of_three_channels(tmp_path, mode):
    def swap(shape, dtype=None):  # red becomes blue
        return np.eye(3)[::-1].reshape(shape).astype(dtype)

    model = Sequential([Conv2DTranspose(3, 1, kernel_initializer="zeros", input_shape=(None, None, 3))])
    model.layers[0].kernel.assign(swap((1, 1, 3, 3)))
    save(model, tmp_path / "m.npz")
    picture(mode).save(tmp_path / "x.png")
    assert main(["run", str(tmp_path / "m.npz"), str(tmp_path / "x.png"), str(tmp_path / "y.png")]) == 0
    with Image.open(tmp_path / "y.png") as image:
        np.testing.assert_array_equal(np.asarray(image), np.asarray(picture(mode).convert("RGB"))[..., ::-1])


def test_channels_first(tmp_path):
    layer = Conv2DTranspose(
        1, 2, 2, data_format="channels_first", kernel_initializer="ones", input_shape=(1, None, None)
    )
    save(Sequential([layer]), tmp_path / "m.npz")
    picture("L").save(tmp_path / "x.png")
    assert main(["run", str(tmp_path / "m.npz"), str(tmp_path / "x.png"), str(tmp_path / "y.png")]) == 0
    with Image.open(tmp_path / "y.png") as image:
        expected = np.asarray(picture("L")).repeat(2, axis=0).repeat(2, axis=1)
        np.testing.assert_array_equal(np.asarray(image), expected)


def test_transparency_is_kept_and_no_jpeg(tmp_path, nearest, capsys):
    x = picture("RGBA")
    x.putalpha(128)
    x.save(tmp_path / "x.png")
    assert main(["run", str(nearest), str(tmp_path / "x.png"), str(tmp_path / "y.png")]) == 0
    with Image.open(tmp_path / "y.png") as image:
        assert image.mode == "RGBA"
        assert image.getchannel("A").getextrema() == (128, 128)
    assert main(["run", str(nearest), str(tmp_path / "x.png"), str(tmp_path / "y.jpg")]) == 1
    assert "JPEG files have no transparency" in capsys.readouterr().err
    assert not (tmp_path / "y.jpg").exists()


@pytest.mark.parametrize("mode", ["1", "P", "LA", "CMYK"])
def test_other_modes_are_read_as_what_they_show(tmp_path, nearest, mode):
    suffix = "jpg" if mode == "CMYK" else "png"
    shown = Image.new("RGB", (7, 11), (255, 255, 255)).convert("L" if mode == "LA" else "RGB").convert(mode)
    shown.save(tmp_path / f"x.{suffix}")
    assert main(["run", str(nearest), str(tmp_path / f"x.{suffix}"), str(tmp_path / "y.png")]) == 0
    with Image.open(tmp_path / "y.png") as image:
        assert image.size == (21, 22)
        assert image.convert("L").getextrema() == (255, 255)


def test_pictures_are_turned_upright_and_keep_their_profile(tmp_path, nearest):
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held on its side
    picture("L").save(tmp_path / "x.jpg", exif=exif, icc_profile=b"a profile", quality=95)
    assert main(["run", str(nearest), str(tmp_path / "x.jpg"), str(tmp_path / "y.jpg")]) == 0
    with Image.open(tmp_path / "y.jpg") as image:
        assert image.size == (33, 14)
        assert image.info["icc_profile"] == b"a profile"


def test_arrays_become_pictures_where_they_can(tmp_path, nearest, capsys):
    x = np.array([-1, 0, 0.5, 2, np.nan, np.inf], "float32").reshape(1, 2, 3, 1)
    np.save(tmp_path / "x.npy", x)
    assert main(["run", str(nearest), str(tmp_path / "x.npy"), str(tmp_path / "y.png")]) == 0
    with Image.open(tmp_path / "y.png") as image:
        np.testing.assert_array_equal(np.asarray(image)[::2, ::3], [[0, 0, 128], [255, 0, 255]])
    np.save(tmp_path / "x.npy", np.ones((2, 5, 7, 1), "float32"))
    assert main(["run", str(nearest), str(tmp_path / "x.npy"), str(tmp_path / "y.png")]) == 1
    assert "only an array of shape (1, h, w, 1) or (1, h, w, 3) makes a picture" in capsys.readouterr().err


# run: pieces, progress, interruption


def chain():
    return with_weights(
        [
            Conv2DTranspose(3, (5, 3), padding="same", activation="relu", input_shape=(None, None, 1)),
            Conv2DTranspose(2, (4, 2), strides=(2, 1), padding="same"),
            Conv2DTranspose(1, (9, 5), strides=3, padding="same"),
        ]
    )


@pytest.mark.parametrize("height", [1, 2, 31, 97])
def test_bands_give_the_whole(monkeypatch, height):
    monkeypatch.setattr(bands, "_BAND_BYTES", 1)
    model, x = chain(), integers(3)((2, height, 5, 1), "float32")
    told = []
    np.testing.assert_array_equal(bands.apply(model, x, lambda *seen: told.append(seen)), model(x))
    assert told == [(n + 1, len(told)) for n in range(len(told))]
    assert len(told) == 2 * -(-height // 32)  # reach 4: bands of 32 rows


def test_what_a_model_looks_at_is_its_reach():
    model = chain()
    known = bands.enlargement(model)
    assert (known.scale, known.width) == ((6, 3), 18)
    x = np.zeros((1, 31, 29, 1), "float32")
    x[0, 15, 14, 0] = 1
    for w in model.weights:
        w.assign(np.ones(w.shape) if w.ndim > 1 else np.zeros(w.shape))
    _, rows, columns, _ = np.nonzero(model(x))
    # The sample reaches no further than the model looks back at it, in blocks of outputs ...
    assert 15 - rows.min() // 6 <= known.reach[0]
    assert rows.max() // 6 - 15 <= known.reach[0]
    assert 14 - columns.min() // 3 <= known.reach[1]
    assert columns.max() // 3 - 14 <= known.reach[1]
    # ... and it is no guess: both sides and every layer rounded up make one sample too many at most.
    assert rows.max() // 6 - rows.min() // 6 >= 2 * known.reach[0] - 2
    assert columns.max() // 3 - columns.min() // 3 >= 2 * known.reach[1] - 2


def test_borders_are_continued_by_mirrors():
    model = chain()
    whole = integers(5)((1, 41, 43, 1), "float32")
    x = whole[:, :17, :19]
    mirrored = np.pad(x, ((0, 0), (40, 40), (40, 40), (0, 0)), mode="symmetric")
    np.testing.assert_array_equal(
        bands.upscale(model, x), model(mirrored)[:, 240 : 240 + 102, 120 : 120 + 57]
    )


def test_models_that_lose_their_place_run_whole():
    model = with_weights([Conv2DTranspose(1, 3, strides=2, input_shape=(None, None, 1))])
    assert bands.enlargement(model) is None
    x = integers(6)((1, 5, 7, 1), "float32")
    np.testing.assert_array_equal(bands.upscale(model, x), model(x))


def test_interrupt(tmp_path, nearest, capsys, monkeypatch):
    def interrupted(*given):
        raise KeyboardInterrupt

    (tmp_path / "y.png").write_bytes(b"older")
    picture("L").save(tmp_path / "x.png")
    monkeypatch.setattr(bands, "upscale", interrupted)
    assert main(["run", str(nearest), str(tmp_path / "x.png"), str(tmp_path / "y.png")]) == 130
    assert "interrupted; nothing was written" in capsys.readouterr().err
    assert (tmp_path / "y.png").read_bytes() == b"older"


def test_interrupt_while_writing(tmp_path, nearest, capsys, monkeypatch):
    def interrupted(image, file, *given, **options):
        file.write(b"half")
        raise KeyboardInterrupt

    (tmp_path / "y.png").write_bytes(b"older")
    picture("L").save(tmp_path / "x.png")
    monkeypatch.setattr(Image.Image, "save", interrupted)
    assert main(["run", str(nearest), str(tmp_path / "x.png"), str(tmp_path / "y.png")]) == 130
    assert (tmp_path / "y.png").read_bytes() == b"older"
    assert sorted(f.name for f in tmp_path.iterdir()) == ["nearest.npz", "x.png", "y.png"]
    assert "interrupted" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pseudo-terminals")
def test_progress_and_ctrl_c_on_a_terminal(tmp_path):
    import pty

    np.save(tmp_path / "x.npy", np.zeros((1, 3001, 2999, 1), "float32"))
    command = [sys.executable, "-m", "convtranspose", "run", "upscale-x3"]
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*command, str(tmp_path / "x.npy"), str(tmp_path / "y.npy")],
        stdout=subprocess.PIPE,
        stderr=theirs,
        env=os.environ | {"TERM": "xterm", "COLUMNS": "80"},
    )
    os.close(theirs)
    seen = b""
    while not re.search(rb"upscale-x3.*[1-9]\d?%", seen):  # the first bands are done
        seen += os.read(ours, 4096)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    while b"interrupted; nothing was written" not in seen:
        seen += os.read(ours, 4096)
    os.close(ours)
    assert process.returncode == 130
    assert out == b""
    assert b"Traceback" not in seen
    assert [f.name for f in tmp_path.iterdir()] == ["x.npy"]


def test_threads_last_as_long_as_the_command(tmp_path, nearest, monkeypatch):
    seen = []
    monkeypatch.setenv("CONVTRANSPOSE_NUM_THREADS", "3")
    name = "CONVTRANSPOSE_NUM_THREADS"
    monkeypatch.setattr(running, "load", lambda path: seen.append(os.environ[name]) or load(path))
    np.save(tmp_path / "x.npy", np.ones((1, 5, 7, 1), "float32"))
    given = [str(nearest), str(tmp_path / "x.npy"), str(tmp_path / "y.npy")]
    assert main(["run", *given, "--threads", "2"]) == 0
    assert main(["run", *given]) == 0
    assert seen == ["2", "3"]


# Errors


def wrong(tmp_path, content, name):
    (tmp_path / name).write_bytes(content)
    return str(tmp_path / name)


def test_errors_are_one_line_and_status_1(tmp_path, nearest, capsys):
    good, out = str(tmp_path / "good.png"), str(tmp_path / "y.png")
    picture("L").save(good)
    with open(good, "rb") as file:
        whole = file.read()
    wide = Sequential([Conv2DTranspose(1, 3, input_shape=(None, None, 5))])
    save(wide, tmp_path / "wide.npz")
    np.save(tmp_path / "text.npy", np.array(["a"]))
    np.save(tmp_path / "flat.npy", np.ones(3, "float32"))
    model, folder = str(nearest), str(tmp_path / "folder.png")
    os.mkdir(folder)
    cases = [
        (["run", "upscale-x7", good, out], r"MODEL must be a model file .*There is no file 'upscale-x7'"),
        (["run", good, good, out], r"good\.png is of no kind that can be read"),
        (["run", model, str(tmp_path / "absent.png"), out], r"there is no file .*absent\.png"),
        (["run", model, folder, out], r"folder\.png: Is a directory"),
        (["run", model, wrong(tmp_path, b"", "empty.png"), out], r"empty\.png is neither a PNG nor a JPEG"),
        (["run", model, wrong(tmp_path, whole[:50], "half.png"), out], r"half\.png is a damaged picture"),
        (["run", model, wrong(tmp_path, b"\x93NUMPY", "x.npy"), out], r"x\.npy is no usable \.npy file"),
        (["run", model, str(tmp_path / "text.npy"), out], r"must hold an array of real numbers"),
        (["run", model, str(tmp_path / "flat.npy"), out], r"min_ndim=4"),
        (["run", model, good, str(tmp_path / "y.gif")], r"OUTPUT must end in .png, .jpg, .jpeg or .npy"),
        (["run", model, str(tmp_path / "x.doc"), out], r"INPUT must end in"),
        (["run", model, good, good], r"OUTPUT must be another file than INPUT"),
        (["run", model, good, str(tmp_path / "no" / "y.png")], r"OUTPUT must be in a folder that exists"),
        (["run", str(tmp_path / "wide.npz"), good, out], r"1 or 3 input channels, and .* has 5"),
        (["info", model, "--size", "7"], r"--size must have one length for each open axis"),
    ]
    for arguments, message in cases:
        assert main(arguments) == 1, arguments
        captured = capsys.readouterr()
        assert re.search(message, captured.err), captured.err
        assert captured.err.startswith("convtranspose: ")
        assert captured.err.count("\n") == 1
    assert not (tmp_path / "y.png").exists()


def test_traceback_on_demand(nearest, tmp_path):
    with pytest.raises(ValueError, match="MODEL must be a model file"):
        main(["--traceback", "run", "nothing", "x.png", str(tmp_path / "y.png")])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "required: COMMAND"),
        (["walk"], "invalid choice: 'walk'"),
        (["run", "m"], "required: INPUT, OUTPUT"),
        (["run", "m", "a", "b", "--threads", "0"], "must be between 1 and 1024"),
        (["run", "m", "a", "b", "--threads", "many"], "must be between 1 and 1024"),
        (["info", "m", "--size", "3x0"], "must be like 64x48"),
        (["info", "m", "--size", "big"], "must be like 64x48"),
    ],
)
def test_wrong_usage_is_status_2(arguments, message, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(("package", "name"), [("rich", "rich"), ("PIL", "Pillow")])
def test_missing_packages_are_status_2(package, name, nearest, tmp_path, monkeypatch, capsys):
    real = builtins.__import__

    def absent(module, *given, **options):
        if module.split(".")[0] == package:
            raise ImportError(module)
        return real(module, *given, **options)

    picture("L").save(tmp_path / "x.png")
    monkeypatch.setattr(builtins, "__import__", absent)
    assert main(["run", str(nearest), str(tmp_path / "x.png"), str(tmp_path / "y.png")]) == 2
    assert f"{name} is needed" in (error := capsys.readouterr().err)
    assert "pip install 'convtranspose[cli]'" in error


@pytest.mark.parametrize("command", [[], ["run"], ["info"], ["demo"]])
def test_every_help_has_an_example(command, capsys):
    with pytest.raises(SystemExit, match="0"):
        main([*command, "--help"])
    text = capsys.readouterr().out
    assert re.search(rf"examples?:\n  convtranspose {' '.join(command)}", text)


# info


def test_info_without_model(capsys):
    assert main(["info"]) == 0
    text = capsys.readouterr().out
    for label in ("convtranspose", "NumPy", "CPU", "kernels", "threads"):
        assert re.search(rf"^{label} +\S", text, re.MULTILINE)


def test_info_of_a_model(tmp_path, capsys):
    model = Sequential(
        [
            Conv2DTranspose(
                4, 3, padding="same", activation="relu", name="first", input_shape=(None, None, 2)
            ),
            Conv2DTranspose(1, (5, 4), strides=(3, 2), padding="same", name="second"),
        ],
        name="two",
    )
    npz.write(model, tmp_path / "m.npz", {"licence": "CC0", "measured": {"a": 1, "b": {"c": 2}}})
    assert main(["info", str(tmp_path / "m.npz"), "--size", "5x7"]) == 0
    text = capsys.readouterr().out
    assert re.search(r"first +Conv2DTranspose 3×3, relu +1×5×7×4 +76 +2.52 k +560 B", text)
    assert re.search(r"second +Conv2DTranspose 5×4, stride 3×2 +1×15×14×1 +81 +2.8 k +840 B", text)
    assert re.search(r"inputs +1×5×7×2 of open n×n×n×2", text)
    assert re.search(r"parameters +157 \(628 B\)", text)
    assert re.search(r"arithmetic +5.32 k multiply-adds", text)
    assert re.search(r"licence +CC0", text)
    assert re.search(r"measured +a: 1\n +b: c 2", text)


def test_rows_agree_with_the_model():
    model = chain()
    rows = describe.rows(model, (2, 5, 7, 1))
    assert rows[-1].output_shape == model(np.ones((2, 5, 7, 1), "float32")).shape
    assert sum(row.parameters for row in rows) == model.count_params()
    assert rows[1].multiply_adds == 2 * 5 * 7 * 4 * 2 * 3 * 2


# The packaged model


def test_the_packaged_model_needs_numpy_alone_and_little_room():
    assert models.path("upscale-x3").stat().st_size <= 200_000
    assert models.photograph().stat().st_size <= 200_000
    model = load(models.path("upscale-x3"))
    assert model.output_shape == (None, None, None, 1)
    assert {type(layer) for layer in model.layers} == {Conv2DTranspose}
    assert model.layers[-1].kernel_size == (9, 9)
    assert model.layers[-1].strides == (3, 3)
    program = (
        "import sys; sys.modules.update(dict.fromkeys(['PIL', 'rich', 'h5py']))\n"
        "import numpy; from convtranspose import formats, models\n"
        "print(formats.load(models.path('upscale-x3'))(numpy.ones((1, 5, 7, 1), 'float32')).shape)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "(1, 15, 21, 1)\n"
    with pytest.raises(ValueError, match=r"no packaged model 'x'. There are: upscale-x3"):
        models.path("x")


def test_the_packaged_model_says_what_it_was_measured_on():
    notes = npz.metadata(models.path("upscale-x3"))
    assert notes["licence"] == "Apache-2.0"
    assert not set(notes["trained on"]) & set(notes["held out"])
    assert "chelsea" in notes["held out"]
    assert notes["average"]["model dB"] > notes["average"]["bicubic dB"] + 1


def test_the_packaged_model_beats_bicubic_on_a_photograph_it_never_saw():
    with Image.open(models.photograph()) as image:
        large = image.convert("L").crop((60, 60, 360, 210))
    small = large.resize((100, 50), Image.BICUBIC)
    plain = np.asarray(small.resize(large.size, Image.BICUBIC), float)
    model = load(models.path("upscale-x3"))
    drawn = bands.upscale(model, np.asarray(small, np.float32)[None, ..., None] / 255)[0, ..., 0] * 255
    inside = (slice(3, -3), slice(3, -3))
    truth = np.asarray(large, float)
    plain_error, error = (np.mean((a - truth)[inside] ** 2) for a in (plain, np.clip(np.rint(drawn), 0, 255)))
    assert error < 0.92 * plain_error


def test_demo(tmp_path, monkeypatch, capsys):
    small = tmp_path / "small.jpg"
    with Image.open(models.photograph()) as image:
        image.resize((57, 38)).save(small)
    monkeypatch.setattr(models, "photograph", lambda: small)
    for _ in range(2):  # also where the folder and the picture are there already
        assert main(["demo", "--output", str(tmp_path / "new" / "folder"), "--verbose"]) == 0
        target = tmp_path / "new" / "folder" / "upscaled.png"
        with Image.open(target) as image:
            assert (image.size, image.mode) == ((171, 114), "RGB")
        out = capsys.readouterr().out
        assert "57 × 38 pixels -> 171 × 114 pixels" in out
        assert "Conv2DTranspose 9×9, stride 3" in out
        assert f"wrote {target} in" in out


def test_as_a_program():
    done = subprocess.run(
        [sys.executable, "-m", "convtranspose", "info", "upscale-x3"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "Conv2DTranspose 9×9, stride 3" in done.stdout
