"""Keras activations by name (placeholder module being extended)."""
from __future__ import annotations
from typing import Any


def get(identifier: Any) -> Any:
    if callable(identifier):
        return identifier
    raise ValueError(f"Unknown activation {identifier!r}.")
