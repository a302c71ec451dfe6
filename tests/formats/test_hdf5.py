"""The reader of HDF5 files against what h5py writes, and against damage."""

from __future__ import annotations

import io
import random

import numpy as np
import pytest

from convtranspose.errors import FormatError
from convtranspose.formats._hdf5 import File

h5py = pytest.importorskip("h5py", reason="h5py writes what is read")


def written(fill, **options):
    into = io.BytesIO()
    with h5py.File(into, "w", **options) as file:
        fill(file)
    return into.getvalue()


def opened(fill, **options):
    return File(io.BytesIO(written(fill, **options))).root


ARRAYS = {
    "float32": np.arange(30, dtype="f4").reshape(5, 3, 2),
    "float64": np.arange(30, dtype="f8").reshape(5, 6),
    "float16": np.arange(7, dtype="f2"),
    "big_endian": np.arange(7, dtype=">f4"),
    "bytes": np.arange(7, dtype="u1"),
    "negative": np.arange(-7, 7, dtype="<i8"),
    "bool": np.array([True, False, True]),
    "scalar": np.float32(3.5),
    "empty": np.zeros((0, 3), "f4"),
}


@pytest.mark.parametrize("libver", ["earliest", "latest"])
@pytest.mark.parametrize("name", ARRAYS)
def test_arrays(name, libver):
    node = opened(lambda file: file.create_dataset("a", data=ARRAYS[name]), libver=libver).get("a")
    found = node.read()
    assert node.is_dataset
    assert node.shape == ARRAYS[name].shape
    assert found.dtype.isnative
    np.testing.assert_array_equal(found, ARRAYS[name])


@pytest.mark.parametrize(
    "options",
    [
        {"chunks": (4, 3, 2)},
        {"chunks": (5, 7, 2), "compression": "gzip"},
        {"chunks": (3, 2, 3), "compression": "gzip", "shuffle": True},
        {"chunks": (3, 2, 3), "fletcher32": True, "shuffle": True},
        {"chunks": (1, 1, 1)},  # so many that the tree of chunks has levels
    ],
)
def test_chunks(options):
    data = np.random.default_rng(0).standard_normal((11, 7, 5)).astype("f4")
    node = opened(lambda file: file.create_dataset("a", data=data, **options)).get("a")
    np.testing.assert_array_equal(node.read(), data)


def test_compact_arrays():
    def fill(file):
        space = h5py.h5s.create_simple((3,))
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_layout(h5py.h5d.COMPACT)
        found = h5py.h5d.create(file.id, b"a", h5py.h5t.IEEE_F32LE, space, plist)
        found.write(h5py.h5s.ALL, h5py.h5s.ALL, np.arange(3, dtype="f4"))

    np.testing.assert_array_equal(opened(fill).get("a").read(), [0, 1, 2])


def test_bfloat16_becomes_float32():
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="it brings the type")
    values = np.array([1.5, -2.0, 3e30], ml_dtypes.bfloat16)

    def fill(file):
        file.create_dataset("a", data=values.view("V2")).attrs["dtype"] = "bfloat16"
        file.create_dataset("b", data=values.view("V2"))

    root = opened(fill)
    np.testing.assert_array_equal(root.get("a").read(), values.astype("f4"))
    with pytest.raises(FormatError, match="'b' does not hold numbers"):
        root.get("b").read()


@pytest.mark.parametrize("libver", ["earliest", "latest"])
def test_attributes(libver):
    long = "ä" * 100_000

    def fill(file):
        file.attrs["text"] = "grün"
        file.attrs["long"] = long
        file.attrs["bytes"] = b"plain"
        file.attrs["fixed"] = np.array([b"one", b"three"])
        file.attrs["names"] = ["one", "drei"]
        file.attrs["none"] = []
        file.attrs["number"] = 3
        file.attrs["numbers"] = np.array([1.5, 2.5])
        file.create_group("g").attrs["empty"] = ""

    root = opened(fill, libver=libver)
    wanted = {
        "text": "grün",
        "long": long,
        "bytes": "plain",
        "fixed": ["one", "three"],
        "names": ["one", "drei"],
        "none": [],
        "number": 3,
        "numbers": [1.5, 2.5],
        "other": None,
    }
    assert {name: root.attribute(name) for name in wanted} == wanted
    assert root.get("g").attribute("empty") == ""


def test_many_new_attributes_are_refused():
    def fill(file):
        for n in range(9):
            file.attrs[f"a{n}"] = n

    with pytest.raises(FormatError, match=r"stored densely.*write it again without them"):
        opened(fill, libver="latest").attribute("a0")
    assert opened(fill).attribute("a8") == 8


@pytest.mark.parametrize("count", [0, 3, 1000])
def test_members(count):
    def fill(file):
        for n in range(count):
            file[f"group/member{n}"] = np.float32(n)
        file.require_group("group")

    group = opened(fill).get("group")
    assert sorted(group.members) == sorted(f"member{n}" for n in range(count))
    for n in range(0, count, 97):
        assert group.get(f"./member{n}").read() == n
    assert group.get("nobody") is None
    assert group.get("member1/below") is None


def test_large_new_groups_are_refused():
    def fill(file):
        for n in range(20):
            file[f"member{n}"] = np.float32(n)

    with pytest.raises(FormatError, match=r"stored densely.*libver='latest' or track_order=True"):
        _ = opened(fill, libver="latest").members


def test_small_new_groups_are_read():
    root = opened(lambda file: file.create_dataset("a/b", data=np.float32(2)), libver="latest")
    assert root.get("a/b").read() == 2


# Nothing may lead out of the file, and nothing may grow.


def test_links_are_refused(tmp_path):
    def soft(file):
        file["a"] = np.float32(1)
        file["b"] = h5py.SoftLink("/a")

    def external(file):
        file["b"] = h5py.ExternalLink("/etc/passwd", "/")

    for fill in (soft, external):
        for libver in ("earliest", "latest"):
            with pytest.raises(FormatError, match="link; only plain members are read"):
                _ = opened(fill, libver=libver).members


def test_external_data_is_refused(tmp_path):
    path = tmp_path / "a.h5"
    (tmp_path / "data.raw").write_bytes(b"\0" * 40)
    with h5py.File(path, "w") as file:
        file.create_dataset("a", (10,), "f4", external=[(str(tmp_path / "data.raw"), 0, 40)])
    with path.open("rb") as file, pytest.raises(FormatError, match="has its data in another file"):
        File(file).root.get("a").read()


def test_virtual_arrays_are_refused():
    def fill(file):
        layout = h5py.VirtualLayout((3,), "f4")
        layout[:] = h5py.VirtualSource("other.h5", "a", (3,))
        file.create_virtual_dataset("a", layout)

    with pytest.raises(FormatError, match="has an unknown layout"):
        opened(fill, libver="latest").get("a").read()


def test_arrays_that_were_never_written_are_refused():
    def fill(file):
        file.create_dataset(
            "chunks", (2**20, 2**20, 2**10), "f4", chunks=(2**5, 2**5, 2**5), compression="gzip"
        )
        file.create_dataset("nothing", (2**20, 2**20), "f4", chunks=(2**5, 2**5))
        file.create_dataset("late", (2**20, 2**20), "f4")

        file["chunks"][:32, :32, :32] = 1

    root = opened(fill)
    assert root.get("chunks").shape == (2**20, 2**20, 2**10)
    for name in ("chunks", "late", "nothing"):
        with pytest.raises(FormatError, match=f"'{name}' (is not complete|has never been written)"):
            root.get(name).read()


def test_text_and_objects_are_no_arrays():
    def fill(file):
        file["a"] = "text"
        file["b"] = np.zeros(2, [("x", "f4"), ("y", "f4")])
        file["c"] = np.zeros(2, "c8")

    root = opened(fill)
    for name in "abc":
        with pytest.raises(FormatError, match=f"'{name}' does not hold numbers"):
            root.get(name).read()


def test_unknown_filters_are_refused():
    def fill(file):
        file.create_dataset("a", data=np.zeros(100, "f4"), compression="lzf")

    with pytest.raises(FormatError, match="compressed by the unknown filter 32000"):
        opened(fill).get("a").read()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "does not begin like an HDF5 file"),
        (b"PK\3\4" + b"\0" * 100, "does not begin like an HDF5 file"),
        (b"\x89HDF\r\n\x1a\n" + b"\x09" + b"\0" * 100, "unknown version 9"),
        (b"\x89HDF\r\n\x1a\n" + b"\0" * 100, "sizes of HDF5 offsets and lengths"),
    ],
)
def test_other_files(data, message):
    with pytest.raises(FormatError, match=message):
        File(io.BytesIO(data))


def everything(file):
    """Visit all that a file holds."""

    def walk(node, depth):
        for name in ("a", "names", "long"):
            node.attribute(name)
        if node.is_dataset:
            if np.prod(node.shape, dtype=float) < 2**20:  # who reads has compared the shape
                node.read()
            return
        for name in node.members if depth else ():
            walk(node.get(name), depth - 1)

    walk(file.root, 5)


def test_damage_ends_in_one_kind_of_error():
    def fill(file):
        file.attrs["names"] = ["one", "two"]
        file.attrs["long"] = "a" * 5000
        file["a/b"] = np.arange(30, dtype="f4")
        file["a/c"] = np.float32(1)
        file["a"].attrs["names"] = np.array([b"x", b"y"])
        file.create_dataset("d", data=np.arange(1000.0), chunks=(100,), compression="gzip", shuffle=True)

    whole = written(fill)
    everything(File(io.BytesIO(whole)))
    dice = random.Random(0)
    refused = 0
    for _ in range(1500):
        data = bytearray(whole)
        for _ in range(dice.choice([1, 1, 4])):
            data[dice.randrange(len(data))] = dice.choice([0, 255, dice.randrange(256)])
        try:
            everything(File(io.BytesIO(data)))
        except FormatError:
            refused += 1
    assert refused > 100
    for length in range(0, len(whole), 41):
        with pytest.raises(FormatError):
            everything(File(io.BytesIO(whole[:length])))
