"""Automatic names of layers and the scopes that weights are named in."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

__all__ = ["at_clear", "clear_session", "name_scope", "scoped", "snake_case", "unique_name"]

_BOUNDARY = re.compile(r"(?<!^)(?=[A-Z][a-z0-9])|(?<=[a-z])(?=[A-Z])")
_used: Counter[tuple[str, str]] = Counter()
_to_clear: list[Callable[[], None]] = []
_scope: ContextVar[tuple[str, ...]] = ContextVar("_scope", default=())


def snake_case(name: str) -> str:
    """A class name as the beginning of a layer name.

    >>> snake_case("Conv2DTranspose"), snake_case("HTTPUp2x"), snake_case("Deconv2D")
    ('conv2d_transpose', 'http_up2x', 'deconv2d')
    """
    return _BOUNDARY.sub("_", name).lower()


def unique_name(base: str, family: str = "keras3", first: int = 0, joint: str = "_") -> str:
    """The next automatic name of a kind: ``base``, ``base_1``, ``base_2``. Each family counts alone.

    With ``first=1`` the count starts at ``base_1``; ``joint`` stands before the number.

    >>> clear_session()
    >>> unique_name("conv2d_transpose"), unique_name("conv2d_transpose")
    ('conv2d_transpose', 'conv2d_transpose_1')
    """
    number = _used[family, base] + first
    _used[family, base] += 1
    return f"{base}{joint}{number}" if number else base


def clear_session() -> None:
    """Start all automatic names again, as ``keras.backend.clear_session`` does.

    Examples
    --------
    >>> from convtranspose.layers import Conv1DTranspose, clear_session
    >>> clear_session()
    >>> [Conv1DTranspose(1, 1).name for _ in range(2)]
    ['conv1d_transpose', 'conv1d_transpose_1']
    >>> clear_session()
    >>> Conv1DTranspose(1, 1).name
    'conv1d_transpose'
    """
    _used.clear()
    for clear in _to_clear:
        clear()


def at_clear(clear: Callable[[], None]) -> None:
    """Have :func:`clear_session` call this too: for faces that keep names of their own."""
    _to_clear.append(clear)


@contextmanager
def name_scope(name: str) -> Iterator[None]:
    """Name weights that are made inside ``name/...``; scopes nest, an empty name adds nothing.

    Parameters
    ----------
    name : str
        What stands before the slash.

    Returns
    -------
    context manager
        For a ``with`` statement.

    Examples
    --------
    >>> with name_scope("decoder"), name_scope("up"):
    ...     scoped("kernel")
    'decoder/up/kernel'
    """
    token = _scope.set((*_scope.get(), name) if name else _scope.get())
    try:
        yield
    finally:
        _scope.reset(token)


def scoped(name: str) -> str:
    """``name`` inside the scopes that are open."""
    return "/".join((*_scope.get(), name))
