"""Workers and turns: who is measured when.

All programs stand ready in their processes; for every problem they take turns, round by round, so
that whatever else the machine does hits all of them alike. Only one works at a time.
"""

from __future__ import annotations

import json
import os
import random
import select
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from problem import Problem
from rivals import OURS

HERE = Path(__file__).parent
LAGGING = 8.0
"""A rival whose second call takes this many times the fastest one's is not called again."""
PATIENCE = 120.0
"""Seconds after which a program that does not answer is given up for this problem."""

SLOW = 1.0
"""Seconds of a call from which on it is not repeated for the sake of memory."""
TINY = Problem.make(
    {
        "name": "tiny",
        "input": [4],
        "c_in": 2,
        "c_out": 2,
        "kernel": 3,
        "strides": 2,
        "padding": "same",
        "batch": 1,
    }
)


class Gone(Exception):  # noqa: N818 - a fact about a process
    """The worker died or did not answer in time."""


class Process:
    """A worker process and the pipes to it."""

    def __init__(self, name: str, threads: int, log: Path, environment: dict[str, str] | None = None) -> None:
        self.name, self.threads, self.log = name, threads, log
        self.environment = environment or {}
        self.info: dict[str, Any] = {}
        self.start()

    def start(self) -> None:
        """Start without waiting."""
        cpus = sorted(os.sched_getaffinity(0))[: self.threads]
        environment = {
            **os.environ,
            **dict.fromkeys(
                ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), str(self.threads)
            ),
            "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
            "CONVTRANSPOSE_NATIVE": "0" if self.name == "numpy" else "1",
            **self.environment,
        }
        command = [sys.executable, str(HERE / "worker.py"), self.name, str(self.threads)]
        with self.log.open("ab") as log:
            self.child = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment,
                start_new_session=True,  # Ctrl-C is for the parent alone
                preexec_fn=lambda: os.sched_setaffinity(0, cpus),
            )

    def receive(self, patience: float = PATIENCE) -> dict[str, Any]:
        """The next answer."""
        assert self.child.stdout is not None
        if not select.select([self.child.stdout], [], [], patience)[0]:
            self.stop()
            raise Gone(f"no answer within {patience:.0f} s")
        line = self.child.stdout.readline()
        if not line:
            raise Gone(f"the process ended with status {self.child.wait()}")
        return json.loads(line)

    def ask(self, **request: Any) -> dict[str, Any]:
        """Send a request and wait; a process that went away is started again."""
        if self.child.poll() is not None:
            self.start()
            self.receive()
        assert self.child.stdin is not None
        self.child.stdin.write(json.dumps(request) + "\n")
        self.child.stdin.flush()
        return self.receive()

    def stop(self) -> None:
        """End the process."""
        self.child.kill()
        self.child.wait()


def launch(
    names: Sequence[str], threads: int, log: Path, say: Callable[[str], None], **environment: str
) -> dict[str, Process]:
    """Start all workers; those that are not installed are named and left out."""
    started = [Process(name, threads, log, environment) for name in names]
    ready = {}
    for process in started:
        try:
            answer = process.receive()
        except Gone as reason:
            answer = {"missing": str(reason)}
        if "missing" in answer or "failed" in answer:
            say(f"skipped: {process.name} ({answer.get('missing', answer.get('failed'))})")
            process.stop()
            continue
        process.info = answer["ok"]
        ready[process.name] = process
    return ready


def reference(problem: Problem, operation: str, path: Path) -> None:
    """Record what the NumPy path computes, as the truth of the check."""
    from convtranspose import conv, conv_transpose, conv_transpose_kernel_gradient

    options = problem.arguments()
    if operation == "forward":
        result = conv_transpose(problem.array("x"), problem.array("w"), **options)
    elif operation == "adjoint":
        result = conv(problem.array("y"), problem.array("w"), **options)
    else:
        result = conv_transpose_kernel_gradient(
            problem.array("x"), problem.array("y"), problem.kernel, **options
        )
    np.save(path, result)


def one_problem(
    problem: Problem, operation: str, workers: dict[str, Process], rounds: int, seconds: float, truth: Path
) -> dict[str, dict[str, Any]]:
    """Measure one problem on all workers, in turn."""
    reference(problem, operation, truth)
    results: dict[str, dict[str, Any]] = {}
    live: dict[str, tuple[Process, str]] = {}
    for name, worker in workers.items():
        for layout in worker.info["formats"]:
            key = f"{name}/{layout}"
            results[key] = _asked(
                worker,
                do="prepare",
                key=key,
                problem=problem.record(),
                operation=operation,
                layout=layout,
                reference=str(truth),
            )
            if "warm" in results[key] and not results[key]["wrong"]:
                live[key] = (worker, layout)
    _turns(live, results, rounds, seconds, problem.name)
    for worker in workers.values():
        _asked(worker, do="drop")
    return results


def _asked(worker: Process, **request: Any) -> dict[str, Any]:
    try:
        answer = worker.ask(**request)
    except Gone as reason:
        return {"failed": str(reason)}
    return answer if set(answer) != {"ok"} else answer["ok"]


def _turns(
    live: dict[str, tuple[Process, str]],
    results: dict[str, dict[str, Any]],
    rounds: int,
    seconds: float,
    seed: str,
) -> None:
    fastest = min((results[key]["warm"] for key in live), default=0.0)
    for key in list(live):
        slow = results[key]["warm"] > max(LAGGING * fastest, 0.002)
        if slow and key.partition("/")[0] not in OURS:
            results[key] |= {"median": results[key]["warm"], "best": results[key]["warm"], "calls": 1}
            del live[key]
    series: dict[str, list[list[float]]] = {key: [] for key in live}
    for turn in range(rounds):
        # Another order each time: a virtual machine's processors move, for tenths of a second, between cores
        # with and without a common cache, often when they have idled, and the next in turn pays for it.
        # Another one for each problem too, or who follows whom would be the same in all of them.
        for key in random.Random(f"{seed} {turn}").sample(list(live), len(live)):
            answer = _asked(live[key][0], do="time", key=key, seconds=seconds)
            if isinstance(answer, list):
                series[key].append(answer)
    for key, rows in series.items():
        if rows:
            results[key] |= {
                "median": median(median(row) for row in rows),
                "best": min(min(row) for row in rows),
                "calls": sum(len(row) for row in rows),
            }


def memory(
    records: Sequence[dict[str, Any]], operation: str, workers: dict[str, Process], say: Callable[[str], None]
) -> None:
    """Add the extra memory of every measured variant that takes less than ``SLOW`` seconds a call."""
    for process in workers.values():  # a tiny problem starts thread pools and the like
        _asked(
            process,
            do="memory",
            problem=TINY.record(),
            operation=operation,
            layout=process.info["formats"][0],
        )
    for number, record in enumerate(records, 1):
        say(f"memory [{number}/{len(records)}] {record['name']}")
        problem = Problem.make({field: record[field] for field in Problem.__dataclass_fields__})
        for key, row in record["results"].items():
            name, _, layout = key.partition("/")
            if name in workers and row.get("median", SLOW) < SLOW:
                row["memory"] = _asked(
                    workers[name], do="memory", problem=problem.record(), operation=operation, layout=layout
                )


def log_file() -> Path:
    """Where the workers' own messages go."""
    return Path(tempfile.gettempdir()) / "convtranspose-benchmark.log"
