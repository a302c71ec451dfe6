"""Docstrings: every example runs and prints what it says, and the public names have all their sections."""

from __future__ import annotations

import doctest
import importlib
import inspect
import pkgutil
import re

import pytest

import convtranspose

MODULES = [
    "convtranspose",
    *(
        found.name
        for found in pkgutil.walk_packages(convtranspose.__path__, "convtranspose.")
        if found.name.rpartition(".")[2] not in ("__main__", "_core")
    ),
]

PUBLIC = ["convtranspose", "convtranspose.layers"]
"""Modules whose names have numpydoc sections."""

WITH_EXAMPLES = [
    *PUBLIC,
    *(f"convtranspose.{name}" for name in ("activations", "config", "geometry", "info", "regularizers")),
    *(f"convtranspose.{name}" for name in ("constraints", "initializers", "models")),
]
"""Modules whose every function and class shows at least one example."""


def public(modules):
    """Functions and classes by the names under which ``modules`` export them, each once."""
    found = {}
    for module in map(importlib.import_module, modules):
        for name in module.__all__:
            item = getattr(module, name)
            if inspect.isfunction(item) or inspect.isclass(item):
                found.setdefault(item, f"{module.__name__}.{name}")
    return {name: item for item, name in found.items()}


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    module = importlib.import_module(name)
    failures, _ = doctest.testmod(module, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    assert failures == 0


@pytest.mark.parametrize("name", MODULES)
def test_modules_say_what_they_are(name):
    assert (importlib.import_module(name).__doc__ or "").strip()


def sections(text):
    """Names of the numpydoc sections of a docstring."""
    return re.findall(r"^([A-Z]\w+)\n-{3,}$", text, re.MULTILINE)


def parameters(item):
    """Names a caller may pass, as they stand in the signature."""
    found = inspect.signature(item).parameters.values()
    return [p.name for p in found if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]


def documentation(item):
    """Own docstring; a class may leave its parameters to the class that it is built on."""
    texts = [item.__doc__ or ""]
    if inspect.isclass(item):
        texts += [
            base.__doc__ or "" for base in item.__mro__[1:] if base.__module__.startswith("convtranspose")
        ]
    return [inspect.cleandoc(text) for text in texts]


def is_error(item):
    """Raised by us, not made by the reader."""
    return inspect.isclass(item) and issubclass(item, BaseException)


def is_record(item):
    """Handed out by us, with its fields under Attributes."""
    fields = hasattr(item, "_fields") or hasattr(item, "__dataclass_fields__")
    return inspect.isclass(item) and fields and "Attributes" in sections(inspect.cleandoc(item.__doc__ or ""))


@pytest.mark.parametrize("name", public(PUBLIC))
def test_public_names_are_documented(name):
    item = public(PUBLIC)[name]
    texts = documentation(item)
    assert texts[0], f"{name} has no docstring"
    if not is_error(item):
        lines = r"^[\w, *]*\b{}\b[\w, *]*( : |$)"
        missing = [
            p for p in parameters(item) if not re.search(lines.format(p), "\n".join(texts), re.MULTILINE)
        ]
        assert not missing, f"{name} does not document {missing}"
    if inspect.isfunction(item):
        assert "Returns" in sections(texts[0]) or item.__annotations__.get("return") in (None, "None"), name


@pytest.mark.parametrize("name", public(WITH_EXAMPLES))
def test_public_names_have_an_example(name):
    item = public(WITH_EXAMPLES)[name]
    assert ">>> " in (item.__doc__ or "") or is_error(item) or is_record(item), f"{name} shows no example"
