"""What a file of weights is, by its first bytes; its name is not asked."""

from __future__ import annotations

from pathlib import Path

from unifront.errors import FileFormatError
from unifront.saving.archives import opened
from unifront.saving.keras_files import CONFIG, MAGIC, WEIGHTS

UF, KERAS_ZIP, TORCH_ZIP = ".uf", ".keras", "torch zip"
HDF5, TORCH_PICKLES, SAFETENSORS = "hdf5", "torch pickles", ".safetensors"
_POINTER = b"version https://git-lfs"


def kind_of(path: Path) -> str:
    """Which of the kinds above the file at ``path`` is; one that begins like none may be safetensors.

    Raises `FileFormatError` for what is known not to be weights: a web page, a pointer of Git LFS, another zip.
    """
    with path.open("rb") as file:
        start = file.read(64)
    if start.startswith(MAGIC):
        return HDF5
    if start.startswith(b"PK"):
        return _kind_of_zip(path)
    if start[:1] == b"\x80" and start[1:2] in b"\x02\x03\x04\x05":
        return TORCH_PICKLES
    if start.lstrip()[:1] == b"<":
        raise FileFormatError("it is a web page, not weights: its download went wrong")
    if start.startswith(_POINTER):
        raise FileFormatError("it is a pointer of Git LFS, not weights: get the file that it stands for")
    return SAFETENSORS


def keras_kind(path: Path) -> str | None:
    """Whether the file at ``path`` is one of Keras's: `HDF5`, `KERAS_ZIP` or None."""
    with path.open("rb") as file:
        start = file.read(len(MAGIC))
    if start == MAGIC:
        return HDF5
    if not start.startswith(b"PK"):
        return None
    with opened(path) as archive:
        return KERAS_ZIP if {WEIGHTS, CONFIG} <= {info.filename for info in archive.infolist()} else None


def _kind_of_zip(path: Path) -> str:
    with opened(path) as archive:
        names = {info.filename for info in archive.infolist()}
    if "manifest.json" in names:
        return UF
    if WEIGHTS in names or CONFIG in names:
        return KERAS_ZIP
    if any(name.endswith("/data.pkl") for name in names):
        return TORCH_ZIP
    raise FileFormatError(f"it is a zip of {', '.join(sorted(names)[:5])[:300] or 'nothing'}, not of weights")
