"""The command line: ``convtranspose run``, ``info`` and ``demo``."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

__all__ = ["main"]

_RUN = """\
examples:
  convtranspose run upscale-x3 photograph.jpg larger.png     a photograph, three times larger
  convtranspose run generator.keras noise.npy faces.npy      an array through a model of your own
  convtranspose run upscale-x3 map.png map.npy               a picture in, exact numbers out

Pictures (PNG, JPEG) hold samples between 0 and 1. A model with one input channel gets the luma of a
colour picture, and the chroma is enlarged by bicubic interpolation, as is usual in super-resolution:
the eye sees detail in the luma. With --colour channels it gets red, green and blue as a batch of
three. A model with three input channels gets them together. Arrays (.npy) go straight through.
"""
_INFO = """\
examples:
  convtranspose info                            version, CPU, kernels chosen and why, threads
  convtranspose info upscale-x3                 layers, shapes, parameters, arithmetic, memory
  convtranspose info decoder.keras --size 64x48
"""
_DEMO = """\
example:
  convtranspose demo --output pictures          writes pictures/upscaled.png

Enlarges the photograph that ships with the package threefold by the packaged model upscale-x3.
"""


def _size(text: str) -> tuple[int, ...]:
    try:
        numbers = tuple(int(n) for n in text.lower().split("x"))
    except ValueError:
        numbers = ()
    if not numbers or min(numbers) < 1:
        raise argparse.ArgumentTypeError(f"must be like 64x48, lengths of at least 1. Got {text!r}")
    return numbers


def _threads(text: str) -> int:
    from convtranspose import arguments

    try:
        return arguments.threads_count(int(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be between 1 and 1024. Got {text!r}") from None


def _parser() -> argparse.ArgumentParser:
    import convtranspose

    parser = argparse.ArgumentParser(
        prog="convtranspose",
        description="Networks of transposed convolutions on pictures and arrays, without a framework.",
        epilog="example:\n  convtranspose run upscale-x3 photograph.jpg larger.png\n\n"
        "Each command has its own examples: convtranspose run --help.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"convtranspose {convtranspose.__version__}")
    parser.add_argument(
        "--traceback", action="store_true", help="show where in the program an error arose, for reports of it"
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, summary: str, epilog: str) -> argparse.ArgumentParser:
        return commands.add_parser(
            name,
            help=summary,
            description=summary[0].upper() + summary[1:] + ".",
            epilog=epilog,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )

    model_help = "a model file, or the name of a packaged model such as upscale-x3"
    run = command("run", "apply a model to a picture or an array", _RUN)
    run.add_argument("model", metavar="MODEL", help=model_help)
    run.add_argument("input", metavar="INPUT", type=Path, help="a .png, .jpg or .npy file")
    run.add_argument("output", metavar="OUTPUT", type=Path, help="the file to write: .png, .jpg or .npy")
    run.add_argument(
        "--colour",
        choices=("luma", "channels"),
        default="luma",
        help="what a model with one input channel gets of a colour picture (default: luma)",
    )
    info = command("info", "show what this installation runs on, or what a model is made of", _INFO)
    info.add_argument("model", metavar="MODEL", nargs="?", help=model_help)
    info.add_argument(
        "--size", type=_size, metavar="HxW", help="input size to count for, where the model leaves it open"
    )
    demo = command("demo", "enlarge the photograph that ships with the package", _DEMO)
    demo.add_argument(
        "--output",
        type=Path,
        default=Path("demo"),
        metavar="DIR",
        help="folder to write into (default: demo)",
    )
    for sub in (run, demo):
        sub.add_argument("--threads", type=_threads, metavar="N", help="threads to use (default: see info)")
        sub.add_argument("--verbose", action="store_true", help="also list every layer and its kernel")
    return parser


@contextmanager
def _environment(threads: int | None) -> Iterator[None]:
    # The native pool reads the variable at each call; one setting reaches all layers of any model.
    name = "CONVTRANSPOSE_NUM_THREADS"
    before = os.environ.get(name)
    if threads is not None:
        os.environ[name] = str(threads)
    try:
        yield
    finally:
        if threads is not None:
            os.environ.pop(name)
            if before is not None:
                os.environ[name] = before


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments after the program's name; those of this process where left out.

    Returns
    -------
    int
        The exit status: 0, 1 for files and data that do not work, 2 for wrong usage and for packages
        that are missing, 130 after an interrupt.

    Examples
    --------
    >>> main(["demo", "--threads", "0"])
    Traceback (most recent call last):
    SystemExit: 2
    """
    given = _parser().parse_args(argv)
    try:
        with _environment(getattr(given, "threads", None)):
            if given.command == "info":
                from convtranspose.cli import describe

                describe.command(given.model, given.size)
            else:
                from convtranspose.cli import run

                if given.command == "demo":
                    run.demo(given.output, verbose=given.verbose)
                else:
                    run.command(
                        given.model, given.input, given.output, colour=given.colour, verbose=given.verbose
                    )
    except KeyboardInterrupt:
        return _failed("interrupted; nothing was written", 130)
    except BrokenPipeError:  # somebody closed our output, as head does: no reason to complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (ValueError, TypeError, OSError, MemoryError, ImportError, NotImplementedError) as error:
        if given.traceback:
            raise
        text = str(error)
        if isinstance(error, FileNotFoundError) and error.filename is not None:
            text = f"there is no file {os.fspath(error.filename)}"
        elif isinstance(error, OSError) and error.filename is not None:
            text = f"{error.filename}: {error.strerror}"
        return _failed(text or type(error).__name__, 2 if isinstance(error, ImportError) else 1)
    return 0


def _failed(text: str, status: int) -> int:
    sys.stdout.flush()
    print(f"convtranspose: {text}", file=sys.stderr)
    return status
