"""What this installation is and what it runs on: version, CPU, kernels chosen and why, threads."""

from __future__ import annotations

import os
import platform
import sys

import numpy as np

__all__ = ["cpu_name", "kernels", "report", "threads"]

_VARIABLES = ("CONVTRANSPOSE_NATIVE", "CONVTRANSPOSE_ISA", "CONVTRANSPOSE_NUM_THREADS", "OMP_NUM_THREADS")


def cpu_name() -> str:
    """Name of the CPU as the operating system knows it; the architecture where it knows none.

    >>> bool(cpu_name())
    True
    """
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as lines:
            for line in lines:
                key, _, value = line.partition(":")
                if key.strip() in ("model name", "Model") and value.strip():
                    return value.strip()
    except OSError:  # no Linux
        pass
    return platform.processor() or platform.machine() or "unknown"


def kernels() -> list[tuple[str, str]]:
    """What computes, why, and what else could.

    Returns
    -------
    list of (str, str)
        The name of a path and a remark on it; the one in use comes first.

    Examples
    --------
    >>> name, remark = kernels()[0]
    >>> name in ("x86_v4", "x86_v3", "baseline", "neon", "numpy")
    True
    """
    from convtranspose import plans

    if plans.native_module is None:
        return [("numpy", f"in use, because there are no native kernels: {plans.native_absence}")]
    names = list(plans.native_module.paths())
    active = plans.native_module.active_path()
    forced = os.environ.get("CONVTRANSPOSE_ISA")
    why = f"named by CONVTRANSPOSE_ISA={forced}" if forced else "the best that this CPU runs"
    if active != names[0] and not forced:
        why = "chosen by a call in this process"
    rows = []
    for name, text in zip(names, plans.native_module.descriptions(), strict=True):
        rows.append((name, f"{text}; in use: {why}" if name == active else text))
    return sorted(rows, key=lambda row: row[0] != active)


def threads() -> tuple[int, str]:
    """How many threads a call takes where it does not say, and where that number comes from.

    >>> threads()[0] >= 1
    True
    """
    from convtranspose import plans

    if plans.native_module is None:
        return _usable_cpus(), "at most: on the NumPy path its matrix library decides"
    count = plans.native_module.default_threads()
    for name in _VARIABLES[2:]:
        first = os.environ.get(name, "").split(",")[0].strip()
        if first.isdecimal() and int(first) >= 1:  # the native rule: anything else counts as unset
            return count, f"from {name}={os.environ[name]}"
    return count, "the CPUs that this process may use"


def _usable_cpus() -> int:
    if hasattr(os, "sched_getaffinity"):  # absent on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def report() -> list[tuple[str, str]]:
    """Everything a bug report wants to know.

    Returns
    -------
    list of (str, str)
        Label and value, in the order in which they are shown.

    Examples
    --------
    >>> import convtranspose
    >>> dict(report())["convtranspose"] == convtranspose.__version__
    True
    """
    import convtranspose

    (name, remark), *others = kernels()
    count, source = threads()
    rows = [
        ("convtranspose", convtranspose.__version__),
        ("Python", f"{platform.python_version()} ({sys.implementation.name})"),
        ("NumPy", np.__version__),
        ("system", f"{platform.system()} {platform.release()}, {platform.machine()}"),
        ("CPU", f"{cpu_name()}, {os.cpu_count()} logical CPUs"),
        ("kernels", f"{name} ({remark})"),
        *(("", f"{name} ({remark})") for name, remark in others),
        ("threads", f"{count} ({source})"),
    ]
    rows += [(variable, os.environ[variable]) for variable in _VARIABLES if variable in os.environ]
    return rows
