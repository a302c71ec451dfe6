"""Compare transposed convolutions: ours in every form against every rival that is installed.

See README.md of this folder for what is measured and how. Examples::

    python benchmarks/run.py --quick
    python benchmarks/run.py --threads 1 --problems 'dcgan.*,unet.*' --rivals torch,onnxruntime
    python benchmarks/run.py --operation adjoint --json adjoint.json --markdown adjoint.md
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import tempfile
import time
from importlib.metadata import PackageNotFoundError, version
from math import prod
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
os.environ["CONVTRANSPOSE_NATIVE"] = "0"  # this process computes the truth, its workers the rest
try:
    import convtranspose  # noqa: F401
except ImportError:  # not installed: the sources next door
    sys.path.insert(0, str(HERE.parent / "src"))

import measure
import peak
import report
from problem import OPERATIONS, Problem, load
from rivals import MODULES, OURS, RIVALS

SMOKE = ("tfdcgan.3", "small.7x7", "dilated.1d")


def machine() -> dict[str, Any]:
    """What the figures depend on."""
    cpu = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [
            s.partition(":")[2].strip() for s in info.read_text().splitlines() if s.startswith("model name")
        ]
        cpu = names[0] if names else cpu
    packages = {}
    for name in ("numpy", "convtranspose"):
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            packages[name] = "sources"
    return {
        "cpu": cpu or platform.machine(),
        "processors": len(os.sched_getaffinity(0)),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": packages,
        "date": time.strftime("%Y-%m-%d"),
    }


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--threads", type=int, default=len(os.sched_getaffinity(0)), help="for everybody alike"
    )
    parser.add_argument("--problems", default="*", metavar="PATTERN", help="comma-separated name patterns")
    parser.add_argument("--file", type=Path, default=HERE / "problems.toml", help="the problems")
    parser.add_argument("--operation", choices=OPERATIONS, default="forward")
    parser.add_argument("--rivals", default=",".join(RIVALS), help=f"of {', '.join(RIVALS)}; or none")
    parser.add_argument("--ours", default=",".join(OURS), help=f"of {', '.join(OURS)}; or none")
    parser.add_argument("--rounds", type=int, default=5, help="turns that everybody gets")
    parser.add_argument("--seconds", type=float, default=0.05, help="length of one turn")
    parser.add_argument("--quick", action="store_true", help="a choice of the problems, under two minutes")
    parser.add_argument("--smoke", action="store_true", help="three small problems, no rivals: does it run?")
    parser.add_argument("--no-memory", action="store_true", help="leave out the extra pass for memory")
    parser.add_argument("--json", type=Path, help="write all results")
    parser.add_argument("--markdown", type=Path, help="write the table (default: print it)")
    parser.add_argument("--chart", type=Path, help="write the chart (needs matplotlib)")
    options = parser.parse_args()
    if options.quick:
        options.rounds, options.seconds, options.no_memory = 3, 0.02, True
    if options.smoke:
        options.rounds, options.seconds, options.rivals = 1, 0.002, "none"
    return options


def names(text: str, known: tuple[str, ...], parser_word: str) -> list[str]:
    """The programs asked for."""
    wanted = [] if text == "none" else text.split(",")
    for name in wanted:
        if name not in known:
            raise SystemExit(f"--{parser_word} takes {', '.join(known)} or none. Got {name!r}.")
    return wanted


def choose(options: argparse.Namespace) -> list[Problem]:
    """The problems asked for."""
    problems = load(options.file, ",".join(SMOKE) if options.smoke else options.problems, options.quick)
    if options.operation != "forward":
        problems = [p for p in problems if not p.changing]
    if not problems:
        raise SystemExit(f"no problem in {options.file} matches {options.problems!r}")
    return problems


def say(text: str) -> None:
    """Progress, beside the results."""
    print(text, file=sys.stderr, flush=True)


def main() -> None:
    """Measure, then report; Ctrl-C keeps what has been measured."""
    options = arguments()
    wanted = names(options.rivals, RIVALS, "rivals") + names(options.ours, OURS, "ours")
    problems = choose(options)
    log = measure.log_file()
    log.unlink(missing_ok=True)
    say(f"starting {', '.join(wanted)} with {options.threads} thread(s) each; their messages: {log}")
    value, method = peak.peak(options.threads)
    result: dict[str, Any] = {
        "operation": options.operation,
        "threads": options.threads,
        "rounds": options.rounds,
        "seconds": options.seconds,
        "machine": machine(),
        "peak": {"gflops": value, "method": method},
        "problems": [],
    }
    workers = measure.launch([n for n in MODULES if n in wanted], options.threads, log, say)
    workers = {n: w for n, w in workers.items() if options.operation in w.info["operations"]}
    result["versions"] = {n: w.info["version"] for n, w in workers.items()}
    try:
        with tempfile.TemporaryDirectory() as folder:
            for number, problem in enumerate(problems, 1):
                rows = measure.one_problem(
                    problem,
                    options.operation,
                    workers,
                    options.rounds,
                    options.seconds,
                    Path(folder) / "reference.npy",
                )
                record = {
                    **problem.record(),
                    "text": problem.describe(),
                    "flops": problem.flops,
                    "bytes": {n: 4 * prod(s) for n, s in problem.shapes.items()},
                    "results": rows,
                }
                result["problems"].append(record)
                say(f"[{number}/{len(problems)}] {report.line(record)}")
        if not options.no_memory:
            fresh = measure.launch(
                list(workers),
                options.threads,
                log,
                say,
                MALLOC_MMAP_THRESHOLD_="65536",
                MALLOC_TRIM_THRESHOLD_="65536",
                MALLOC_ARENA_MAX="1",
            )
            workers |= {f"{n} memory": w for n, w in fresh.items()}
            measure.memory(result["problems"], options.operation, fresh, say)
    except KeyboardInterrupt:
        say("stopped; reporting what has been measured")
    finally:
        for worker in workers.values():
            worker.stop()
    report.write(result, options.json, options.markdown, options.chart)


if __name__ == "__main__":
    main()
