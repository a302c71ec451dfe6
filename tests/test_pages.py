"""The pages say what is: README's blocks print what stands below them, links lead somewhere, tables agree."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re
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
