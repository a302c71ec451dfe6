"""What ships with the package: trained models, and the photograph of the demonstration."""

from __future__ import annotations

from pathlib import Path

__all__ = ["names", "path", "photograph"]

_HERE = Path(__file__).parent


def names() -> list[str]:
    """Names of the packaged models.

    >>> names()
    ['upscale-x3']
    """
    return sorted(file.stem for file in _HERE.glob("*.npz"))


def path(name: str) -> Path:
    """The file of a packaged model, for ``convtranspose.formats.load``.

    Parameters
    ----------
    name : str
        One of :func:`names`.

    Raises
    ------
    ValueError
        If there is none of this name.

    Examples
    --------
    >>> path("upscale-x3").name
    'upscale-x3.npz'
    """
    if name not in names():
        raise ValueError(f"there is no packaged model {name!r}. There are: {', '.join(names())}.")
    return _HERE / f"{name}.npz"


def photograph() -> Path:
    """A cat named Chelsea, by Stefan van der Walt, who gave the picture to the public (CC0 1.0).

    It is the ``chelsea`` of scikit-image, as JPEG; no packaged model was trained on it.

    >>> photograph().name
    'chelsea.jpg'
    """
    return _HERE / "chelsea.jpg"
