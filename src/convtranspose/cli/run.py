"""Applying a model to a file: ``convtranspose run`` and ``convtranspose demo``."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from convtranspose import models
from convtranspose._files import replacing
from convtranspose.cli import bands, describe, pictures
from convtranspose.cli.pictures import Picture
from convtranspose.errors import MissingDependencyError
from convtranspose.formats import load
from convtranspose.layers import Layer

__all__ = ["command", "demo", "find"]

Array = np.ndarray[Any, np.dtype[Any]]


def find(name: str) -> Path:
    """The file of a model: a path, or the name of a packaged model.

    Raises
    ------
    ValueError
        If there is neither.
    """
    path = Path(name)
    if name in models.names() and not path.is_file():
        return models.path(name)
    if path.exists():  # some kinds of models are folders
        return path
    raise ValueError(
        f"MODEL must be a model file or the name of a packaged model ({', '.join(models.names())}). "
        f"There is no file {name!r}."
    )


def demo(folder: Path, *, verbose: bool = False) -> None:
    """Enlarge the packaged photograph by the packaged model."""
    print("photograph: Chelsea the cat, by Stefan van der Walt (CC0 1.0)")
    folder.mkdir(parents=True, exist_ok=True)
    command("upscale-x3", models.photograph(), folder / "upscaled.png", verbose=verbose)


def command(model: str, source: Path, target: Path, *, colour: str = "luma", verbose: bool = False) -> None:
    """Apply ``model`` to the file ``source``, write ``target``, print what ran."""
    begun = time.perf_counter()
    path = find(model)
    _check_files(source, target)
    network = load(path)
    given = read(source)
    with _progress(f"{network.name}") as progress:
        run = Run(network, progress)
        result = run.array(given) if not isinstance(given, Picture) else run.picture(given, colour)
    write(result, target)
    _print_report(run, given, result, verbose)
    print(f"wrote {target} in {time.perf_counter() - begun:.2f} s, reading and writing included")


def _check_files(source: Path, target: Path) -> None:
    """Everything that can be refused before the work begins."""
    known = (*pictures.SUFFIXES, ".npy")
    for role, path in (("INPUT", source), ("OUTPUT", target)):
        if path.suffix.lower() not in known:
            raise ValueError(f"{role} must end in {', '.join(known[:-1])} or {known[-1]}. Got {str(path)!r}.")
    if not target.absolute().parent.is_dir():
        raise ValueError(f"OUTPUT must be in a folder that exists, and {target.parent} does not.")
    if target.is_dir():
        raise ValueError(f"OUTPUT must be a file, and {target} is a folder.")
    if target.exists() and source.exists() and target.samefile(source):
        raise ValueError(f"OUTPUT must be another file than INPUT. Got {target} for both.")


@dataclass
class Run:
    """One application of a model, and what there is to say about it afterwards.

    Attributes
    ----------
    model : Layer
        The model.
    progress : callable
        Is told of every piece.
    seconds : float
        Time in the model.
    input_shape : tuple of int
        What the model was given.
    remark : str
        How a picture was treated.
    """

    model: Layer
    progress: Callable[[int, int], None]
    seconds: float = 0.0
    input_shape: tuple[int, ...] = ()
    remark: str = ""

    def _timed(self, function: Callable[..., Array], inputs: Array) -> Array:
        begun = time.perf_counter()
        outputs = function(self.model, inputs, self.progress)
        self.seconds = time.perf_counter() - begun
        self.input_shape = inputs.shape
        return outputs

    def array(self, inputs: Array) -> Array:
        """The model on an array, straight through."""
        return self._timed(bands.apply, inputs)

    def picture(self, given: Picture, colour: str) -> Picture:
        """The model on a picture, by its number of input channels."""
        samples = given.samples
        channels, coloured = self._channels(), samples.shape[-1] == 3
        if channels == 3:
            self.remark = "red, green and blue together"
            drawn = self._drawn(np.broadcast_to(samples, (*samples.shape[:2], 3))[None])[0]
        elif channels != 1:
            raise ValueError(
                f"pictures take a model with 1 or 3 input channels, and {self.model.name} has {channels}. "
                f"Give it an array (.npy)."
            )
        elif not coloured:
            self.remark = "grey"
            drawn = self._drawn(samples[None])[0]
        elif colour == "channels":
            self.remark = "red, green and blue as a batch of three"
            drawn = np.moveaxis(self._drawn(np.moveaxis(samples, -1, 0)[..., None])[..., 0], 0, -1)
        else:
            self.remark = "luma through the model, chroma by bicubic interpolation"
            luma, chroma = pictures.luma_and_chroma(samples)
            larger = self._drawn(luma[None])[0]
            drawn = larger
            if larger.shape[-1] == 1:
                drawn = pictures.from_luma_and_chroma(larger, pictures.bicubic(chroma, *larger.shape[:2]))
        if drawn.shape[-1] not in (1, 3):
            raise ValueError(
                f"a model for pictures must give 1 or 3 channels, and {self.model.name} gives "
                f"{drawn.shape[-1]}. Give it an array (.npy)."
            )
        alpha = given.alpha if given.alpha is None else pictures.bicubic(given.alpha, *drawn.shape[:2])
        return replace(given, samples=drawn, alpha=alpha)

    def _channels(self) -> int | None:
        shape = self._input_shape()
        return shape[1] if self._channels_first() else shape[-1]

    def _input_shape(self) -> tuple[int | None, ...]:
        shape: tuple[int | None, ...] | None = getattr(self.model, "input_shape", None)
        if shape is None or len(shape) != 4:
            raise ValueError(
                f"pictures take a model with inputs of 4 axes (n, h, w, c), and the inputs of "
                f"{self.model.name} are {shape}. Give it an array (.npy)."
            )
        return shape

    def _channels_first(self) -> bool:
        formats = [getattr(layer, "data_format", None) for layer in bands.chain(self.model)]
        return next((f for f in formats if f), "channels_last") == "channels_first"

    def _drawn(self, planes: Array) -> Array:
        """The model on pictures (n, h, w, c) of float32."""
        if not self._channels_first():
            drawn = self._timed(bands.upscale, planes)
        else:
            drawn = np.moveaxis(self._timed(bands.apply, np.moveaxis(planes, -1, 1)), 1, -1)
        if drawn.ndim != 4:
            raise ValueError(
                f"a model for pictures must give 4 axes (n, h, w, c), and {self.model.name} gives "
                f"{drawn.shape}. Give it an array (.npy)."
            )
        return drawn.astype(np.float32, copy=False)


def read(path: Path) -> Picture | Array:
    """A picture, or the array of an ``.npy`` file as floating-point numbers.

    Raises
    ------
    ValueError
        If the file is damaged or holds something else.
    """
    if path.suffix.lower() != ".npy":
        return pictures.read(path)
    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError) as error:
        raise ValueError(f"{path} is no usable .npy file: {error}") from None
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "fiub":
        kind = array.dtype if isinstance(array, np.ndarray) else "an archive"
        raise ValueError(f"{path} must hold an array of real numbers, not {kind}.")
    return array if array.dtype.kind == "f" else array.astype(np.float32)


def write(result: Picture | Array, path: Path) -> None:
    """Write a picture or an array as the ending of ``path`` says.

    Raises
    ------
    ValueError
        If an array has no form of a picture.
    """
    if path.suffix.lower() == ".npy":
        array = result if not isinstance(result, Picture) else _array(result)
        with replacing(path) as file:
            np.save(file, array, allow_pickle=False)
        return
    if not isinstance(result, Picture):
        if result.ndim != 4 or result.shape[0] != 1 or result.shape[-1] not in (1, 3):
            raise ValueError(
                f"only an array of shape (1, h, w, 1) or (1, h, w, 3) makes a picture, and the model gave "
                f"{result.shape}. Write an array (.npy)."
            )
        result = Picture(result[0].astype(np.float32))
    pictures.write(result, path)


def _array(picture: Picture) -> Array:
    planes = [picture.samples] if picture.alpha is None else [picture.samples, picture.alpha]
    return np.concatenate(planes, axis=-1)[None]


@contextmanager
def _progress(title: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on the terminal for work of more than one piece; nothing where nobody watches."""
    try:
        from rich.console import Console
        from rich.progress import Progress
    except ImportError:
        raise MissingDependencyError("rich", "cli", "to show progress") from None
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(title, total=None, visible=False)

        def tell(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total, visible=total > 1)

        yield tell


def _shown(result: Picture | Array) -> str:
    if isinstance(result, Picture):
        height, width = result.samples.shape[:2]
        return f"{width} × {height} pixels"
    return f"{'×'.join(map(str, result.shape))} {result.dtype}"


def _print_report(run: Run, given: Picture | Array, result: Picture | Array, verbose: bool) -> None:
    from convtranspose.info import kernels, threads

    rows = describe.rows(run.model, run.input_shape)
    work = sum(row.multiply_adds for row in rows)
    print(f"{_shown(given)} -> {_shown(result)}{f' ({run.remark})' if run.remark else ''}")
    layers = f"{len(rows)} {'layer' if len(rows) == 1 else 'layers'}"
    print(f"{run.model.name}: {layers}, {run.model.count_params():,} parameters")
    print(f"{kernels()[0][0]} kernels, {threads()[0]} threads")
    if verbose:
        body = [(r.name, r.kind, "×".join(map(str, r.output_shape)), r.kernel) for r in rows]
        print("\n".join(describe.table(("layer", "kind", "outputs", "computed by"), body, right=(2,))))
    rate = f", {describe.count(2 * work / run.seconds, 'FLOP/s')}" if work else ""
    print(f"{describe.count(work)} multiply-adds in {run.seconds:.3f} s{rate}")
