"""The exceptions that are this package's own.

Bad arguments raise the built-in ``ValueError`` and ``TypeError``; only what a caller may want to
tell apart from those has a class here.
"""

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
