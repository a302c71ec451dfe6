"""Pictures as arrays: reading and writing files, luma and chroma, bicubic resizing.

Samples are float32 between 0 and 1 in arrays of axes (h, w, c). Pillow does everything that
concerns files and resampling; without it :class:`MissingDependencyError` says how to get it.
"""

from __future__ import annotations

import struct
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from convtranspose._files import replacing
from convtranspose.errors import MissingDependencyError

__all__ = ["SUFFIXES", "Picture", "bicubic", "from_luma_and_chroma", "luma_and_chroma", "read", "write"]

Array = np.ndarray[Any, np.dtype[Any]]

SUFFIXES = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG"}
"""File name endings and Pillow's name of the format."""

_WEIGHTS = np.array([0.299, 0.587, 0.114], np.float32)  # of R, G, B in the luma: ITU-R BT.601, as in JFIF
_SPANS = np.array([1.402, 1.772], np.float32)  # of R - Y and B - Y: scaled to [-1/2, 1/2]


@dataclass(frozen=True)
class Picture:
    """A picture in memory.

    Attributes
    ----------
    samples : ndarray, shape (h, w, 1) or (h, w, 3)
        Grey, or red, green, blue; float32 between 0 and 1.
    alpha : ndarray, shape (h, w, 1), or None
        Opacity.
    bits : {8, 16}
        Bits per sample in the file.
    extras : dict
        What else the file says and a copy should keep: the colour profile.
    """

    samples: Array
    alpha: Array | None = None
    bits: int = 8
    extras: dict[str, Any] = field(default_factory=dict)


def _pillow() -> ModuleType:
    try:
        import PIL.Image
    except ImportError:
        raise MissingDependencyError("Pillow", "cli", "to read and write pictures") from None
    return PIL.Image


def read(path: Path) -> Picture:
    """Read a PNG or JPEG file, turned upright as its camera noted.

    Raises
    ------
    ValueError
        If it is no such file, is damaged, or is larger than Pillow thinks safe.
    """
    image_module = _pillow()
    from PIL import ImageOps

    try:
        with warnings.catch_warnings():
            # Pillow also warns, of large pictures and of damage that it can read around.
            warnings.simplefilter("ignore")
            with image_module.open(path, formats=("PNG", "JPEG")) as image:
                image.load()
                profile = image.info.get("icc_profile")
                upright = ImageOps.exif_transpose(image)
    except image_module.UnidentifiedImageError:
        raise ValueError(f"{path} is neither a PNG nor a JPEG picture.") from None
    except image_module.DecompressionBombError as error:
        raise ValueError(f"{path} is too large a picture: {error}") from None
    except (OSError, SyntaxError, TypeError, ValueError, struct.error) as error:  # all tell of damage
        if isinstance(error, OSError) and error.errno is not None:  # no damage: absent, not allowed ...
            raise
        raise ValueError(f"{path} is a damaged picture: {error}") from None
    extras = {"icc_profile": profile} if profile else {}
    if upright.mode.startswith("I"):  # grey, 16 bits
        grey = np.asarray(upright).astype(np.float32)[..., None] / 65535
        return Picture(grey, None, 16, extras)
    transparent = "A" in upright.getbands() or "transparency" in upright.info
    coloured = upright.mode not in ("1", "L", "LA")
    samples = np.asarray(upright.convert("RGB" if coloured else "L"), np.float32) / 255
    samples = samples.reshape(*samples.shape[:2], -1)
    if not transparent:
        return Picture(samples, None, 8, extras)
    alpha = np.asarray(upright.convert("RGBA").getchannel("A"), np.float32)[..., None] / 255
    return Picture(samples, alpha, 8, extras)


def write(picture: Picture, path: Path) -> None:
    """Write a PNG or JPEG file, as ``path`` ends; samples are clipped to 0 and 1 and rounded.

    Raises
    ------
    ValueError
        If a JPEG file is asked for a picture with transparency.
    """
    image_module = _pillow()
    kind = SUFFIXES[path.suffix.lower()]
    samples = picture.samples
    if picture.alpha is not None:
        if kind == "JPEG":
            raise ValueError(
                f"JPEG files have no transparency, but this picture has: write a PNG, not {path}."
            )
        samples = np.concatenate([samples, picture.alpha], axis=-1)
    deep = picture.bits == 16 and kind == "PNG" and samples.shape[-1] == 1
    top, integer = (65535, np.uint16) if deep else (255, np.uint8)
    rounded = np.empty(samples.shape, integer)
    for row, values in enumerate(samples):  # one by one: large pictures are large enough once
        rounded[row] = np.rint(np.clip(np.nan_to_num(values), 0, 1) * top)
    image = image_module.fromarray(rounded[..., 0] if rounded.shape[-1] == 1 else rounded)
    options = dict(picture.extras)
    if kind == "JPEG":
        options |= {"quality": 95, "subsampling": 0}  # subsampled chroma would undo the enlargement
    with replacing(path) as file:
        image.save(file, kind, **options)


def bicubic(samples: Array, height: int, width: int) -> Array:
    """Resize every channel of an array (h, w, c) by Pillow's bicubic filter, in float32."""
    image_module = _pillow()
    planes = [
        np.asarray(
            image_module.fromarray(np.ascontiguousarray(samples[..., n])).resize(
                (width, height), image_module.Resampling.BICUBIC
            )
        )
        for n in range(samples.shape[-1])
    ]
    return np.stack(planes, axis=-1)


def luma_and_chroma(rgb: Array) -> tuple[Array, Array]:
    """Luma (h, w, 1) and the two chroma channels (h, w, 2) of RGB samples.

    Notes
    -----
    ``y = 0.299 r + 0.587 g + 0.114 b``, ``cr = (r - y) / 1.402``, ``cb = (b - y) / 1.772``: the colour
    space of JPEG files (ITU-T T.871), without its offset of one half.

    Examples
    --------
    >>> y, chroma = luma_and_chroma(np.ones((1, 1, 3), np.float32))
    >>> float(y[0, 0, 0].round(6)), bool(abs(chroma).max() < 1e-6)
    (1.0, True)
    """
    y = rgb @ _WEIGHTS[:, None]
    return y, (rgb[..., [0, 2]] - y) / _SPANS


def from_luma_and_chroma(y: Array, chroma: Array) -> Array:
    """RGB samples (h, w, 3): the inverse of :func:`luma_and_chroma`.

    >>> rgb = np.array([[[0.25, 0.5, 1.0]]], np.float32)
    >>> from_luma_and_chroma(*luma_and_chroma(rgb)).round(5)
    array([[[0.25, 0.5 , 1.  ]]], dtype=float32)
    """
    rgb = np.empty((*y.shape[:2], 3), y.dtype)
    np.multiply(chroma, _SPANS, out=rgb[..., ::2])
    rgb[..., ::2] += y
    # y = wr r + wg g + wb b, and with r and b from above: g = y - (wr sr cr + wb sb cb) / wg
    shares = _WEIGHTS[::2] * _SPANS / _WEIGHTS[1]
    rgb[..., 1] = y[..., 0] - chroma[..., 0] * shares[0] - chroma[..., 1] * shares[1]
    return rgb
