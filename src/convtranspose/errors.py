"""The exceptions that are this package's own.

Bad arguments raise the built-in ``ValueError`` and ``TypeError``; only what a caller may want to
tell apart from those has a class here.
"""

from __future__ import annotations

__all__ = ["FormatError", "MissingDependencyError"]


class FormatError(ValueError):
    """A model or weights file is damaged, contradictory, too large or of an unknown kind."""


class MissingDependencyError(ImportError):
    """An optional package is needed for this call and is not installed.

    Parameters
    ----------
    package : str
        The name to import.
    extra : str
        The extra of this project that brings it.
    purpose : str
        What it is needed for, as the end of a sentence.
    """

    def __init__(self, package: str, extra: str, purpose: str) -> None:
        super().__init__(
            f"{package} is needed {purpose}, and it is not installed. "
            f"Install it with: pip install 'convtranspose[{extra}]'",
            name=package,
        )
        self._given = (package, extra, purpose)

    def __reduce__(self) -> tuple[type[MissingDependencyError], tuple[str, str, str]]:
        return type(self), self._given  # by the arguments, not by the message made of them
