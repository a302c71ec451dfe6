"""Transposed convolution ("deconvolution") in 1, 2 and 3 dimensions, on NumPy alone."""

from convtranspose.errors import FormatError, MissingDependencyError
from convtranspose.formats import load
from convtranspose.ops import (
    Gradients,
    conv,
    conv_transpose,
    conv_transpose_kernel_gradient,
    conv_transpose_vjp,
    plan,
)
from convtranspose.plans import Plan

__version__ = "0.1.0"

__all__ = [
    "FormatError",
    "Gradients",
    "MissingDependencyError",
    "Plan",
    "conv",
    "conv_transpose",
    "conv_transpose_kernel_gradient",
    "conv_transpose_vjp",
    "load",
    "plan",
]
