"""Defaults that Keras reads from ``keras.json``: the floating-point type and the data format.

The file is read at the first question, never at import, from ``$KERAS_HOME/keras.json`` where that
variable is set, else from ``~/.keras/keras.json``. It is never written: this library leaves no files
in anybody's home. A file that is absent or does not parse counts as empty, as in Keras.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = [
    "backend",
    "epsilon",
    "floatx",
    "image_data_format",
    "reload",
    "set_epsilon",
    "set_floatx",
    "set_image_data_format",
]

_FLOATS = ("float16", "bfloat16", "float32", "float64")
_LAYOUTS = ("channels_last", "channels_first")


@dataclass
class _Values:
    floatx: str = "float32"
    epsilon: float = 1e-7
    image_data_format: str = "channels_last"


_values: _Values | None = None


def _one_of(name: str, value: Any, accepted: tuple[str, ...], where: str = "") -> str:
    if not isinstance(value, str) or value not in accepted:
        raise ValueError(f"{name} must be one of {', '.join(accepted)}. Got {value!r}{where}.")
    return value


def _number(name: str, value: Any, where: str = "") -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ValueError(f"{name} must be a number. Got {value!r}{where}.")
    return float(value)


def _read() -> _Values:
    try:
        home = os.environ.get("KERAS_HOME")
        path = (Path(home) if home else Path.home() / ".keras") / "keras.json"
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RuntimeError):  # RuntimeError: there is no home directory
        return _Values()
    values = _Values()
    if isinstance(found, dict):
        where = f" in {path}"
        values.floatx = _one_of("floatx", found.get("floatx", values.floatx), _FLOATS, where)
        values.epsilon = _number("epsilon", found.get("epsilon", values.epsilon), where)
        layout = found.get("image_data_format", values.image_data_format)
        values.image_data_format = _one_of("image_data_format", layout, _LAYOUTS, where)
    return values


def _current() -> _Values:
    global _values
    if _values is None:
        _values = _read()
    return _values


def reload() -> None:
    """Forget what was read or set; the next question reads ``keras.json`` again.

    >>> reload()
    """
    global _values
    _values = None


def floatx() -> str:
    """The type of layers that are given none.

    >>> set_floatx("float64"); floatx()
    'float64'
    >>> set_floatx("float32")
    """
    return _current().floatx


def set_floatx(value: str) -> None:
    """Set the default type: ``"float16"``, ``"bfloat16"``, ``"float32"`` or ``"float64"``.

    Raises
    ------
    ValueError
        If it is none of them.

    Examples
    --------
    >>> set_floatx("float64"); floatx()
    'float64'
    >>> set_floatx("float32")
    """
    _current().floatx = _one_of("floatx", value, _FLOATS)


def image_data_format() -> str:
    """The data format of whatever is given ``data_format=None``.

    >>> set_image_data_format("channels_first"); image_data_format()
    'channels_first'
    >>> set_image_data_format("channels_last")
    """
    return _current().image_data_format


def set_image_data_format(value: str) -> None:
    """Set the default data format: ``"channels_last"`` or ``"channels_first"``.

    Raises
    ------
    ValueError
        If it is none of them.

    Examples
    --------
    >>> set_image_data_format("channels_first"); image_data_format()
    'channels_first'
    >>> set_image_data_format("channels_last")
    """
    _current().image_data_format = _one_of("image_data_format", value, _LAYOUTS)


def epsilon() -> float:
    """The small number that keeps norms away from zero.

    >>> epsilon()
    1e-07
    """
    return _current().epsilon


def set_epsilon(value: float) -> None:
    """Set the small number.

    Raises
    ------
    ValueError
        If it is no number.

    Examples
    --------
    >>> set_epsilon(1e-3); epsilon()
    0.001
    >>> set_epsilon(1e-7)
    """
    _current().epsilon = _number("epsilon", value)


def backend() -> str:
    """What computes: ``"numpy"``, whatever ``keras.json`` says.

    >>> backend()
    'numpy'
    """
    return "numpy"
