"""Interfaces of older programs: ``convtranspose.compat.v1`` is that of ``tf.compat.v1``."""

from __future__ import annotations

from convtranspose.compat import v1

__all__ = ["v1"]
