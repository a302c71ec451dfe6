"""The FMA peak of this machine, measured: the most that any kernel could reach.

``python benchmarks/peak.py`` prints it for one thread and for all processors of the process. The native
module has a loop that does nothing but fused multiply-adds on registers; where it is absent, a large
matrix product of NumPy stands in, which stays a tenth or so below.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time

N = 1536


def _product(milliseconds: float) -> float:
    import numpy as np

    a = np.ones((N, N), np.float32)
    out = np.empty_like(a)
    best, end = float("inf"), time.perf_counter() + milliseconds / 1000
    np.matmul(a, a, out=out)
    while time.perf_counter() < end:
        start = time.perf_counter()
        np.matmul(a, a, out=out)
        best = min(best, time.perf_counter() - start)
    return 2 * N**3 / best / 1e9


def peak(threads: int, milliseconds: int = 300) -> tuple[float, str]:
    """GFLOP/s in float32 with so many threads, and how it was measured."""
    try:
        from convtranspose import _core

        return _core.fma_peak(threads, milliseconds / 1000) / 1e9, "register FMA loop"
    except (ImportError, AttributeError):
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": str(threads), "OMP_NUM_THREADS": str(threads)}
        command = [sys.executable, __file__, "--product", str(milliseconds)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return float(done.stdout), "NumPy matrix product, a stand-in"


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the float32 FMA peak.")
    parser.add_argument("--threads", type=int, help="only for so many threads")
    parser.add_argument("--milliseconds", type=int, default=300)
    parser.add_argument("--product", type=float, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.product:
        print(_product(options.product))
        return
    every = sorted({1, len(os.sched_getaffinity(0))})
    for threads in [options.threads] if options.threads else every:
        value, method = peak(threads, options.milliseconds)
        print(f"{threads} thread{'s' * (threads > 1)}: {value:.0f} GFLOP/s ({method})")


if __name__ == "__main__":
    main()
