"""One program under test in a process of its own: answers requests, one JSON object per line.

Started by ``measure.py`` as ``python worker.py NAME THREADS``. Requests (``do``): ``prepare`` builds a
call, makes it for the first time and checks its result; ``time`` makes it again and again;
``memory`` builds and makes one call and says how far memory rose; ``drop`` forgets all calls.
"""

from __future__ import annotations

import ctypes
import gc
import importlib
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from problem import Problem, operands, to_layout
from rivals import MODULES, Call, Unsupported

TOLERANCE = 1e-3
"""Largest difference from the reference, relative to its largest value: finds wrong sizes and wrong
sums, and lets pass every order of summation and every fast algorithm in float32."""


STRETCH = 4.0
"""How much longer a turn may get so that its first call need not count."""
REST, MOST_RESTS = 0.01, 100
"""Seconds that a program must have rested before the next one works, and how often it is given them."""
PATIENT = 1.0
"""Seconds of a first call from which on a second one is not made: such a program is far behind."""


def bind(call: Call, problem: Problem, operation: str) -> Any:
    """The arrays of a problem as the program's own."""
    return call.bind(*(to_layout(problem.array(name), call.layout) for name in operands(operation)[0]))


def difference(call: Call, result: Any, operation: str, reference: str) -> float:
    """Largest difference from the recorded result, relative to its largest value."""
    wanted = np.load(reference)
    got = call.fetch(result)
    if operation != "kernel-gradient" and call.layout == "channels_first":
        got = np.moveaxis(got, 1, -1)
    if got.shape != wanted.shape:
        raise AssertionError(f"shape {got.shape}, but the reference has {wanted.shape}")
    return float(np.max(np.abs(got - wanted)) / max(np.max(np.abs(wanted)), 1e-30))


def status(field: str) -> int:
    """A memory figure of this process in bytes."""
    line = next(s for s in Path("/proc/self/status").read_text().splitlines() if s.startswith(field))
    return int(line.split()[1]) * 1024


def fall_asleep() -> None:
    """Wait until no thread of this process works.

    Some pools spin for a while after a call, on processors that the next program needs.
    """
    for _ in range(MOST_RESTS):
        before = time.process_time()
        time.sleep(REST)
        if time.process_time() - before < REST / 10:
            return


def settle_memory() -> None:
    """Give freed memory back to the system, and forget the highest mark."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")


class Worker:
    """The requests that a worker answers."""

    def __init__(self, name: str, threads: int) -> None:
        self.module = importlib.import_module(f"rivals.{MODULES[name]}")
        self.version = self.module.setup(threads)
        self.calls: dict[str, tuple[Call, Iterator[Problem], str, Any]] = {}

    def hello(self) -> dict[str, Any]:
        """What this is."""
        return {"version": self.version, "formats": self.module.FORMATS, "operations": self.module.OPERATIONS}

    def prepare(self, key: str, problem: dict[str, Any], operation: str, layout: str, reference: str) -> Any:
        """Build a call; time building, the first call and the second; check the result."""
        p = Problem.make(problem)
        w = p.array("w")
        start = time.perf_counter()
        call = self.module.prepare(p, operation, layout, w)
        built = time.perf_counter()
        bound = bind(call, p, operation)
        begin = time.perf_counter()
        result = call.run(bound)
        first = time.perf_counter()
        error = difference(call, result, operation, reference)
        warm = first - begin
        if warm < PATIENT:
            again = time.perf_counter()
            call.run(bound)
            warm = time.perf_counter() - again
        self.calls[key] = (call, p.calls(), operation, bound)
        return {
            "build": built - start,
            "first": first - begin,
            "warm": warm,
            "error": error,
            "wrong": not error < TOLERANCE,
            "workspace": call.workspace,
        }

    def time(self, key: str, seconds: float) -> list[float]:
        """Times of calls, in seconds; the first of a longer series warms up and does not count.

        Calls that fill the time alone are made three times, unless that takes ``STRETCH`` times as long.
        """
        call, upcoming, operation, bound = self.calls[key]
        now = time.perf_counter
        times: list[float] = []
        spent = 0.0
        while spent < seconds or not times or (len(times) < 3 and spent < STRETCH * seconds):
            p = next(upcoming)
            if p.changing:
                bound = bind(call, p, operation)
            start = now()
            call.run(bound)
            times.append(now() - start)
            spent += times[-1]
        return times[1:] if len(times) > 2 else times

    def memory(self, problem: dict[str, Any], operation: str, layout: str) -> dict[str, int]:
        """How far resident memory rises while building, and in the first call beyond its result."""
        p = Problem.make(problem)
        w = p.array("w")
        taken = operands(operation)[1]
        settle_memory()
        before = status("VmRSS")
        call = self.module.prepare(p, operation, layout, w)
        settle_memory()
        built = status("VmRSS")
        bound = bind(call, p, operation)
        settle_memory()
        bound_at = status("VmRSS")
        result = call.run(bound)
        high = status("VmHWM")
        del result
        size = 4 * int(np.prod(p.shapes[taken]))
        return {"build": max(built - before, 0), "call": max(high - bound_at - size, 0)}

    def drop(self) -> None:
        """Forget all calls."""
        self.calls.clear()
        gc.collect()


def main() -> None:
    """Answer until the pipe closes."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what programs print must not stand between answers

    def answer(**content: Any) -> None:
        fall_asleep()
        answers.write(json.dumps(content) + "\n")
        answers.flush()

    try:
        worker = Worker(sys.argv[1], int(sys.argv[2]))
    except ImportError as error:
        answer(missing=str(error))
        return
    answer(ok=worker.hello())
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer(ok=getattr(worker, request.pop("do"))(**request))
        except Unsupported as reason:
            answer(unsupported=str(reason))
        except Exception as error:
            text = str(error).strip().splitlines() or [""]
            answer(failed=f"{type(error).__name__}: {text[0][:200]}")


if __name__ == "__main__":
    main()
