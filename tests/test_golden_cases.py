"""The helper of the golden tests: new differences fail, repaired ones fail, lists are read as written."""

from __future__ import annotations

import numpy as np
import pytest

import golden_cases
from golden_cases import ALIKE, array_difference, check, difference, error_difference, plain

SOURCE = "keras3_ops_jax"


def case(**expect):
    return {"key": "k_1", "source": "made_up", "expect": expect}


def fails():
    raise ValueError("output_padding must be smaller than the stride")


@pytest.fixture
def listed(monkeypatch):
    monkeypatch.setattr(golden_cases, "deviations", lambda source: {"k_1": "a good reason"})


@pytest.fixture
def unlisted(monkeypatch):
    monkeypatch.setattr(golden_cases, "deviations", lambda source: {})


def test_agreement_passes_and_a_new_difference_fails(unlisted):
    check(case(kind="value", value=[1, 2]), lambda: (1, np.int64(2)))
    with pytest.raises(AssertionError, match=r"made_up: k_1: \[1, 3\], recorded \[1, 2\]"):
        check(case(kind="value", value=[1, 2]), lambda: (1, 3))


def test_a_listed_difference_passes_and_a_repaired_one_fails(listed):
    check(case(kind="value", value=[1, 2]), lambda: (1, 3))
    with pytest.raises(AssertionError, match="agrees now; it is listed as: a good reason"):
        check(case(kind="value", value=[1, 2]), lambda: (1, 2))


def test_errors():
    recorded = case(kind="raises", type="ValueError", message="bad")
    assert difference(recorded, fails) is None
    assert difference(recorded, fails, gist="smaller than") is None
    assert "does not say" in difference(recorded, fails, gist="larger than")
    assert "a result, recorded ValueError" in difference(recorded, lambda: 1)
    assert "recorded TypeError" in difference(case(kind="raises", type="TypeError", message=""), fails)
    assert "recorded value" in difference(case(kind="value", value=1), fails)


def test_classes_that_say_the_same():
    foreign = {"kind": "raises", "type": "InvalidArgumentError", "message": ""}
    assert error_difference(ValueError("no"), foreign) is None
    assert error_difference(TypeError("no"), foreign) is not None
    assert (
        error_difference(TypeError("no"), foreign, alike={**ALIKE, "InvalidArgumentError": ("TypeError",)})
        is None
    )
    assert error_difference(FileNotFoundError("no"), {"type": "OSError", "message": ""}) is None  # a subclass


def test_arrays():
    one = np.ones((2, 3), "float32")
    assert array_difference(one, one, exact=True) is None
    assert "shape" in array_difference(one.T, one, exact=True)
    assert "type" in array_difference(one.astype("float64"), one, exact=True)
    near = one + np.float32(1e-6)
    assert "recorded as exact" in array_difference(near, one, exact=True)
    assert array_difference(near, one, exact=False) is None
    assert "values differ" in array_difference(one * 1.001, one, exact=False)
    assert "values differ" in array_difference(one * np.nan, one, exact=False)
    assert array_difference(one[:0], one[:0], exact=True) is None


def test_plain():
    assert plain({"a": (1, np.float32(2)), 3: None}) == {"a": [1, 2.0], "3": None}


def test_patterns(tmp_path, monkeypatch):
    (tmp_path / "deviations").mkdir()
    (tmp_path / "deviations" / f"{SOURCE}.toml").write_text(
        """
        [a]
        keys = ["vo_op1_s3_[1,1]_*", "no such *"]
        [b]
        keys = ["vo_strides*"]
        messages = ["All dilations must be positive"]
        """,
        encoding="utf-8",
    )
    golden_cases.cases(SOURCE)  # read from where they are, once for all
    monkeypatch.setattr(golden_cases, "GOLDEN", tmp_path)
    monkeypatch.setattr(golden_cases, "_tables", golden_cases._tables.__wrapped__)
    monkeypatch.setattr(
        golden_cases, "reasons", lambda: {"a": {"reason": "by key"}, "b": {"reason": "by text"}}
    )
    monkeypatch.setattr(golden_cases, "listed", golden_cases.listed.__wrapped__)
    found = golden_cases.deviations.__wrapped__(SOURCE)
    by_key = {key for key, reason in found.items() if reason == "by key"}
    assert by_key == {"vo_op1_s3_[1,1]_valid", "vo_op1_s3_[1,1]_same"}
    by_message = {key for key, reason in found.items() if reason == "by text"}
    assert by_message == {"vo_strides1_-1", "vo_strides1_[0]", "vo_strides2_0", "vo_strides3_-1"}
    assert golden_cases.unused_patterns(SOURCE) == ["no such *"]
    monkeypatch.setattr(golden_cases, "reasons", lambda: {"a": {}})
    with pytest.raises(KeyError, match=r"\[b\] of keras3_ops_jax.toml is no entry of reasons.toml"):
        golden_cases.listed(SOURCE)
