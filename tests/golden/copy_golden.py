"""Copy a folder of recorded results into the archives beside this file.

    python tests/golden/copy_golden.py FOLDER

FOLDER holds one pair of files per source, ``<source>.json`` and ``<source>.npz``. Sources that share
inputs go into one xz-compressed tar archive, so that the shared numbers are stored once; the
``.npz`` files are stored uncompressed inside it for the same reason. Every run gives the same bytes.
"""

from __future__ import annotations

import io
import lzma
import sys
import tarfile
from fnmatch import fnmatch
from pathlib import Path

import numpy as np

HERE = Path(__file__).parent

ARCHIVES = {
    "keras3_ops": ("keras3_ops_*", "keras_3.*_ops_*"),
    "keras3_layers": ("keras3_layers_*",),
    "keras2_layers": ("tf24_*_layers", "tf29_*_layers", "tfkeras221_*_layers"),
    "tfjs": ("tfjs", "tfjs_load"),
    "misc": ("misc_*",),
    "files": ("files_*",),
    "neighbours": ("torch", "onnx*", "jax_lax*", "tf_nn"),
}
"""Archive -> patterns of the sources in it."""

NOTE = """
## The copies here

Each archive `*.tar.xz` holds several of the pairs of files described above (`tar tf keras3_ops.tar.xz`
lists them). `copy_golden.py` made them; `tests/golden_cases.py` reads them. `deviations/` lists where we
differ from a program on purpose, and why.
"""

_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9 | lzma.PRESET_EXTREME, "dict_size": 16 << 20}]


def archive_of(source: str) -> str:
    """Name of the archive that holds a source."""
    for name, patterns in ARCHIVES.items():
        if any(fnmatch(source, pattern) for pattern in patterns):
            return name
    raise KeyError(f"{source} belongs to no archive; add it to ARCHIVES.")


def _member(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    info = tarfile.TarInfo(name)  # no date, no owner: the same bytes from every run
    info.size = len(data)
    archive.addfile(info, io.BytesIO(data))


def copy(folder: Path, target: Path = HERE) -> None:
    """Write the archives and the README of ``folder`` into ``target``."""
    sources: dict[str, list[str]] = {}
    for path in sorted(folder.glob("*.json")):
        sources.setdefault(archive_of(path.stem), []).append(path.stem)
    for name, members in sources.items():
        with (
            lzma.open(target / f"{name}.tar.xz", "wb", filters=_FILTERS) as packed,
            tarfile.open(fileobj=packed, mode="w", format=tarfile.USTAR_FORMAT) as archive,
        ):
            for source in members:
                _member(archive, f"{source}.json", (folder / f"{source}.json").read_bytes())
            for source in members:
                numbers = io.BytesIO()
                with np.load(folder / f"{source}.npz") as arrays:
                    np.savez(numbers, **arrays)
                _member(archive, f"{source}.npz", numbers.getvalue())
    text = (folder / "README.md").read_text(encoding="utf-8")
    (target / "README.md").write_text(text.rstrip() + "\n" + NOTE, encoding="utf-8")


if __name__ == "__main__":
    if len(sys.argv) != 2 or not Path(sys.argv[1], "README.md").is_file():
        sys.exit(__doc__)
    copy(Path(sys.argv[1]))
