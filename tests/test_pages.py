"""The pages say what is: README's blocks print what stands below them, links lead somewhere, tables agree."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import convtranspose

PROJECT = Path(__file__).parents[1]
PAGES = sorted([*PROJECT.glob("*.md"), *PROJECT.glob("docs/*.md"), *PROJECT.glob("benchmarks/*.md")])
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def read(name):
    return (PROJECT / name).read_text(encoding="utf-8")


def test_readme_prints_what_it_says():
    """Python blocks run one after the other; a block without a language below one is its output."""
    namespace: dict[str, object] = {}
    printed, compared = None, 0
    for language, text in BLOCK.findall(read("README.md")):
        if language == "python":
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(compile(text, "README.md", "exec"), namespace)
            printed = out.getvalue()
        elif printed:
            assert text == printed
            printed, compared = None, compared + 1
    assert not printed, f"the output of the last block is missing:\n{printed}"
    assert compared >= 3


def test_errors_in_the_readme_are_real():
    """Line breaks aside."""
    import numpy as np

    quoted = next(text for _, text in BLOCK.findall(read("README.md")) if text.startswith("ValueError: "))
    with pytest.raises(ValueError, match="output_padding must be smaller") as caught:
        convtranspose.conv_transpose(
            np.ones((1, 2, 2, 1), "float32"), np.ones((1, 1, 1, 1), "float32"), 2, output_padding=(0, 2)
        )
    assert quoted.removeprefix("ValueError: ").split() == str(caught.value).split()


@pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(PROJECT)))
def test_links_lead_somewhere(page):
    text = BLOCK.sub("", page.read_text(encoding="utf-8"))
    for target in re.findall(r"\]\(([^)#\s]+)", text):
        if not target.startswith(("http:", "https:")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_the_levels_of_the_design_are_those_that_are_tested():
    spec = importlib.util.spec_from_file_location(
        "architecture", Path(__file__).with_name("test_architecture.py")
    )
    architecture = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(architecture)
    rows = re.findall(r"^\| (\d) \| (.*?) \|", read("docs/design.md"), re.MULTILINE)
    written = {name: int(level) for level, names in rows for name in re.findall(r"`([\w/]+)`", names)}
    assert written == {name: architecture.LEVEL[name] for name in written}
    public = {m.split(".")[0] for m in architecture.MODULES if m and not m.startswith("_")}
    assert public <= written.keys(), "docs/design.md has no level for some modules"


def test_every_word_of_the_makefile_is_explained():
    text = read("Makefile")
    words = re.search(r"^\.PHONY: (.*)$", text, re.MULTILINE)[1].split()
    explained = re.findall(r"^([\w-]+):.*## \S", text, re.MULTILINE)
    assert set(words) - set(explained) <= {"compiler"}
    assert {"demo", "test", "lint", "types", "format", "bench", "bench-quick", "sanitize", "clean"} <= set(
        explained
    )


def test_words_that_are_named_elsewhere_exist():
    words = set(re.findall(r"^([\w-]+):", read("Makefile"), re.MULTILINE))
    for name in ("README.md", "CONTRIBUTING.md", ".ci/run"):
        for line in re.findall(r"(?:^|`)make ((?:[a-z-]+ ?)+)", read(name), re.MULTILINE):
            assert set(line.split()) - {"and"} <= words, f"{name}: make {line}"


def test_version_is_in_the_changelog():
    changelog = read("CHANGELOG.md")
    assert f"## [{convtranspose.__version__}]" in changelog or "## Unreleased" in changelog


@pytest.fixture
def make(tmp_path):
    program = shutil.which("make")
    if program is None:
        pytest.skip("make is not installed")

    def run(*words, **environment):
        return subprocess.run(
            [program, *words, f"VENV={tmp_path / 'venv'}"],
            cwd=PROJECT,
            env={**os.environ, **environment},
            capture_output=True,
            text=True,
        )

    return run


@pytest.mark.parametrize("word", ["demo", "test", "sanitize", "wheel"])
def test_make_says_that_a_compiler_is_missing(make, word):
    done = make(word, CXX="a-compiler-that-is-not-there")
    assert done.returncode != 0
    assert "A C++17 compiler (GCC or Clang) is needed" in done.stdout


def test_make_says_that_environments_cannot_be_made(make, tmp_path):
    python = tmp_path / "python"
    python.write_text(
        f'#!/bin/sh\ntest "$2" = venv && exit 1\nexec "{sys.executable}" "$@"\n', encoding="utf-8"
    )
    python.chmod(0o755)
    done = make("lint", f"PYTHON={python}")
    assert done.returncode != 0
    assert "apt install python3-venv" in done.stdout
    assert not (tmp_path / "venv").exists()


def test_make_says_that_python_is_too_old(make, tmp_path):
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    python.chmod(0o755)
    done = make("lint", f"PYTHON={python}")
    assert done.returncode != 0
    assert "Python 3.11 or newer is needed" in done.stdout


def test_make_help_lists_every_word(make):
    words = re.findall(r"^([\w-]+):.*## ", read("Makefile"), re.MULTILINE)
    listed = re.findall(r"^  make ([\w-]+) +\S", make("help").stdout, re.MULTILINE)
    assert listed == words
