"""What this installation is, and what models are made of: ``convtranspose info``."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from convtranspose.layers import Layer

__all__ = ["Row", "command", "rows", "table", "total_multiply_adds"]

_OPEN = {1: 4096, 2: 256, 3: 32}
"""Length taken for open spatial axes of a picture's rank, if nobody says."""


@dataclass(frozen=True)
class Row:
    """A layer at a given input shape.

    Attributes
    ----------
    name, kind : str
        Its name and class, with what matters of its arguments.
    output_shape : tuple of int
        Shape of its outputs.
    parameters, multiply_adds : int
        Numbers in its weights; multiplications by the definition, 0 for layers that only look on.
    output_bytes, workspace_bytes : int
        Memory of its outputs; scratch memory of a run.
    kernel : str
        What computes it, and why.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    multiply_adds: int
    output_bytes: int
    workspace_bytes: int
    kernel: str


def rows(model: Layer, input_shape: Sequence[int]) -> list[Row]:
    """All layers of a built model, for inputs of this shape.

    Examples
    --------
    >>> from convtranspose.layers import Conv1DTranspose
    >>> layer = Conv1DTranspose(2, 3, strides=2, padding="same", name="up")
    >>> layer.build((None, 5, 4))
    >>> row = rows(layer, (1, 5, 4))[0]
    >>> row.kind, row.output_shape, row.parameters, row.multiply_adds
    ('Conv1DTranspose 3, stride 2', (1, 10, 2), 26, 120)
    """
    import numpy as np

    from convtranspose.cli.bands import chain

    found, shape = [], tuple(input_shape)
    for layer in chain(model):
        output: Any = layer.compute_output_shape(shape)
        problem, work, kernel = layer.multiply_adds(shape), 0, ""
        plan = layer.plan_for(shape)
        if plan is not None:
            work, kernel = plan.workspace_bytes(shape), plan.explain(shape)
        size = np.prod(output, dtype=np.int64) * _itemsize(layer)
        count = layer.count_params()
        found.append(Row(layer.name, _kind(layer), tuple(output), count, problem, int(size), work, kernel))
        shape = tuple(output)
    return found


def total_multiply_adds(model: Layer, input_shape: Sequence[int]) -> int:
    """Multiplications of a run by the definition of its layers."""
    return sum(row.multiply_adds for row in rows(model, input_shape))


def _itemsize(layer: Layer) -> int:
    return {"float64": 8, "float16": 2, "bfloat16": 2}.get(layer.compute_dtype, 4)


def _by(numbers: Sequence[int]) -> str:
    return "×".join(map(str, numbers))


def _kind(layer: Any) -> str:
    text = type(layer).__name__
    if not hasattr(layer, "kernel_size"):
        return text
    text += f" {_by(layer.kernel_size)}"
    for word, numbers in (("stride", layer.strides), ("dilation", layer.dilation_rate)):
        if any(n != 1 for n in numbers):
            text += f", {word} {numbers[0] if len(set(numbers)) == 1 else _by(numbers)}"
    if layer.groups != 1:
        text += f", {layer.groups} groups"
    name = getattr(layer.activation, "name", None) or getattr(layer.activation, "__name__", "")
    return text if name in ("", "linear") else f"{text}, {name}"


def table(head: Sequence[str], body: Sequence[Sequence[str]], right: Sequence[int] = ()) -> list[str]:
    """Lines of a table in plain text; the columns in ``right`` stand right.

    >>> for line in table(("layer", "size"), [("up", "7"), ("last", "10")], right=[1]):
    ...     print(line)
    layer  size
    up        7
    last     10
    """
    every = [tuple(head), *map(tuple, body)]
    widths = [max(len(row[n]) for row in every) for n in range(len(head))]
    return [
        "  ".join(
            f"{text:>{width}}" if n in right else f"{text:<{width}}"
            for n, (text, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in every
    ]


def count(number: float, unit: str = "") -> str:
    """A number in thousands, millions and so on.

    >>> count(2520), count(1_250_000_000, "B"), count(12)
    ('2.52 k', '1.25 GB', '12')
    """
    for size, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g} {prefix}{unit}"
    return f"{number:.0f} {unit}".strip()


def command(model: str | None, size: tuple[int, ...] | None) -> None:
    """Print the tables of ``convtranspose info``."""
    if model is None:
        from convtranspose.info import report

        for label, value in report():
            print(f"{label:<14}{value}")
        return
    _describe(model, size)


def _describe(name: str, size: tuple[int, ...] | None) -> None:
    from convtranspose.cli.run import find
    from convtranspose.formats import load, npz

    path = find(name)
    model = load(path)
    shape = _closed(model.input_shape, size)
    found = rows(model, shape)
    print(f"{model.name} ({path})\n")
    body = [
        (
            row.name,
            row.kind,
            _by(row.output_shape),
            f"{row.parameters:,}",
            count(row.multiply_adds) if row.multiply_adds else "",
            count(row.output_bytes, "B"),
            row.kernel.partition(":")[0],
        )
        for row in found
    ]
    head = ("layer", "kind", "outputs", "parameters", "multiply-adds", "memory", "computed by")
    print("\n".join(table(head, body, right=(2, 3, 4, 5))))
    weights = sum(w.value.nbytes for w in model.weights)
    first = 4 * int(shape[0])
    for n in shape[1:]:
        first *= n
    sizes = [first, *(row.output_bytes for row in found)]
    pairs = zip(itertools.pairwise(sizes), found, strict=True)
    peak = max(a + b + row.workspace_bytes for (a, b), row in pairs)
    print(f"\ninputs         {_by(shape)}{_opened(model.input_shape)}")
    print(f"parameters     {model.count_params():,} ({count(weights, 'B')})")
    print(f"arithmetic     {count(sum(row.multiply_adds for row in found))} multiply-adds")
    print(f"memory         {count(peak, 'B')} at most between and inside two layers, beside the weights")
    if npz.recognises(path):
        for key, value in npz.metadata(path).items():
            _print_note(key, value)


def _print_note(key: str, value: Any) -> None:
    if isinstance(value, dict):
        for n, (inner, text) in enumerate(value.items()):
            shown = ", ".join(f"{k} {v}" for k, v in text.items()) if isinstance(text, dict) else text
            print(f"{key if n == 0 else '':<14} {inner}: {shown}")
    else:
        print(f"{key:<14} {value}")


def _opened(shape: Sequence[int | None]) -> str:
    if None not in shape[1:]:
        return ""
    return f" of open {'×'.join('n' if n is None else str(n) for n in shape)}; --size counts for another"


def _closed(shape: Sequence[int | None], size: tuple[int, ...] | None) -> tuple[int, ...]:
    """``shape`` with its open lengths filled in."""
    missing = [axis for axis, n in enumerate(shape) if n is None and axis > 0]
    if size is not None and len(size) != len(missing):
        raise ValueError(
            f"--size must have one length for each open axis, and this model's inputs {shape} "
            f"have {len(missing)} besides the batch. Got {_by(size)}."
        )
    lengths = size or (_OPEN.get(len(shape) - 2, 1),) * len(missing)
    filled = dict(zip(missing, lengths, strict=True))
    return tuple(filled.get(axis, 1) if n is None else n for axis, n in enumerate(shape))
