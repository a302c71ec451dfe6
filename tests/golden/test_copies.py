"""The copies of the recorded results are complete, and every list of deviations is in order."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest

from golden_cases import (
    GOLDEN,
    array,
    cases,
    copy_golden,
    document,
    listed,
    raw,
    reasons,
    sources,
    unused_patterns,
)

ORIGINAL = Path(__file__).parents[2].parent / "shared" / "golden"
needs_original = pytest.mark.skipif(
    not ORIGINAL.is_dir(), reason="the original folder, ../shared/golden, does not lie beside this checkout"
)


@needs_original
def test_no_source_is_missing():
    assert sources() == sorted(path.stem for path in ORIGINAL.glob("*.json"))
    assert (
        (GOLDEN / "README.md")
        .read_text(encoding="utf-8")
        .startswith((ORIGINAL / "README.md").read_text(encoding="utf-8").rstrip())
    )


@needs_original
@pytest.mark.parametrize("source", sources())
def test_copy_equals_original(source):
    assert raw(source, "json") == (ORIGINAL / f"{source}.json").read_bytes()
    copied = np.load(io.BytesIO(raw(source, "npz")))
    original = np.load(ORIGINAL / f"{source}.npz")
    assert copied.files == original.files
    for name in original.files:
        assert copied[name].dtype == original[name].dtype
        assert copied[name].tobytes() == original[name].tobytes()


@pytest.mark.parametrize("source", sources())
def test_every_array_lies_inside_the_numbers(source):
    def walk(tree):
        if isinstance(tree, dict):
            if set(tree) == {"dtype", "at", "shape"}:
                assert array(source, tree).shape == tuple(tree["shape"])
            else:
                for part in tree.values():
                    walk(part)
        elif isinstance(tree, list):
            for part in tree:
                walk(part)

    walk(document(source)["cases"])
    assert len({case["key"] for case in cases(source)}) == len(cases(source)) == document(source)["count"]


def test_archives_are_small():
    sizes = [path.stat().st_size for path in GOLDEN.glob("*.tar.xz")]
    assert len(sizes) == len(copy_golden.ARCHIVES)
    assert max(sizes) < 2**20
    assert sum(sizes) < 3 * 2**20


DIFFERING = sorted({path.stem for path in (GOLDEN / "deviations").glob("*.toml")} - {"reasons"})


@pytest.mark.parametrize("source", DIFFERING)
def test_deviations_name_cases_that_exist(source):
    assert source in sources()
    assert unused_patterns(source) == []
    assert listed(source)


def test_reasons_are_told_and_used():
    used = {name for source in DIFFERING for name in listed(source).values()}
    assert used == reasons().keys()
    for entry in reasons().values():
        assert entry["sort"] in {"computed", "page", "numbers", "refused", "error", "absent"}
        assert len(entry["reason"]) > 20
        assert entry["title"]


def test_a_copy_of_a_folder_gives_the_same_answers(tmp_path):
    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "README.md").write_text("# Results\n", encoding="utf-8")
    (folder / "torch.json").write_text(json.dumps({"count": 0, "cases": []}), encoding="utf-8")
    np.savez_compressed(folder / "torch.npz", f4=np.arange(5, dtype="f4"))
    for target in (tmp_path / "a", tmp_path / "b"):
        target.mkdir()
        copy_golden.copy(folder, target)
    first, second = ((tmp_path / n / "neighbours.tar.xz").read_bytes() for n in "ab")
    assert first == second
