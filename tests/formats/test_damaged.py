"""A damaged file ends in one FormatError, or loads; never in another error, and never half.

All truncations and tens of thousands of changes of each kind were tried once; here runs a sample.
"""

from __future__ import annotations

import random
import shutil
import warnings
from pathlib import Path

import numpy as np
import pytest

from convtranspose import FormatError, load
from convtranspose.layers import Sequential

DATA = Path(__file__).parents[1] / "data"
FILES = [
    "dcgan_tf_keras.h5",
    "vae_keras.keras",
    "vae_tf_keras.keras",
    "vae_keras.h5",
    "tfjs_decoder/model.json",
]
TIMES = 150


def cut(dice, data):
    return data[: dice.randrange(len(data))]


def flip(dice, data):
    found = bytearray(data)
    for _ in range(dice.choice([1, 1, 3])):
        found[dice.randrange(len(found))] = dice.choice([0, 255, dice.randrange(256)])
    return bytes(found)


def move(dice, data):
    found, count = bytearray(data), dice.choice([1, 8, 100])
    here, there = dice.randrange(len(found)), dice.randrange(len(found))
    found[there : there + count] = found[here : here + count]
    return bytes(found)


def at_the_front(change):
    """Change the first kilobytes, where the structure stands."""
    return lambda dice, data: change(dice, data[:4096]) + data[4096:]


@pytest.fixture
def copies(tmp_path):
    shutil.copytree(DATA / "tfjs_decoder", tmp_path / "tfjs_decoder")
    return tmp_path


@pytest.mark.parametrize(
    "change", [cut, flip, move, at_the_front(flip)], ids=["cut", "flip", "move", "front"]
)
@pytest.mark.parametrize("name", FILES)
def test_a_damaged_file(name, change, copies):
    whole, dice = (DATA / name).read_bytes(), random.Random(name)
    path, refused = copies / name, 0
    for _ in range(TIMES // 5 if change is cut else TIMES // 3):
        path.write_bytes(change(dice, whole))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # numbers that are none make NumPy warn
            try:
                model = load(path)
            except FormatError:
                refused += 1
                continue
        assert model.built
        assert change is not cut, "no part of a file is a model"
    assert refused > 0


@pytest.mark.parametrize("change", [cut, flip])
def test_damaged_shards(change, copies):
    path, dice = copies / "tfjs_decoder" / "weights.bin", random.Random(1)
    whole = path.read_bytes()
    for _ in range(20):
        path.write_bytes(change(dice, whole))
        if change is cut:
            with pytest.raises(FormatError, match=r"its shards have \d+ bytes, but its weights 5708"):
                load(copies / "tfjs_decoder")
        else:
            assert load(copies / "tfjs_decoder").built  # nothing protects the numbers themselves


@pytest.mark.parametrize("name", ["vae_keras.weights.h5", "vae_keras.h5", "vae_keras.keras"])
def test_a_model_keeps_its_weights(name, copies):
    model = load(DATA / "vae_keras.keras")
    assert isinstance(model, Sequential)
    before, dice = model.get_weights(), random.Random(2)
    whole, path = (DATA / name).read_bytes(), copies / name
    refused = 0
    for _ in range(60):
        change = (
            flip if name.endswith(".keras") else at_the_front(flip)
        )  # a checksum guards all of an archive
        path.write_bytes(change(dice, whole))
        try:
            model.load_weights(path)
        except FormatError:
            refused += 1
            for own, old in zip(model.get_weights(), before, strict=True):
                np.testing.assert_array_equal(own, old)
        else:
            model.set_weights(before)
    assert refused > 0


def test_an_archive_with_names_that_disagree_is_refused_in_one_line(tmp_path):
    """``zipfile`` quotes all bytes that stand at the place of a name, and their number is in the file."""
    data = bytearray((DATA / "vae_keras.keras").read_bytes())
    assert data[:4] == b"PK\x03\x04"
    data[26:28] = b"\xff\x1f"  # the length of the first member's name
    (tmp_path / "long.keras").write_bytes(data)
    with pytest.raises(FormatError, match=r"is damaged: File name in directory") as caught:
        load(tmp_path / "long.keras")
    assert len(str(caught.value)) < 600 + len(str(tmp_path))
