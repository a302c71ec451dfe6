"""convtranspose on NumPy alone: the worker of this file runs with ``CONVTRANSPOSE_NATIVE=0``."""

from rivals.own_plan import FORMATS, OPERATIONS, prepare, setup

__all__ = ["FORMATS", "OPERATIONS", "prepare", "setup"]
