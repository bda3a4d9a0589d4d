"""Files of the internet, kept in a folder."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import tempfile
import urllib.error
import urllib.parse
import urllib.request
import zipfile
from pathlib import Path
from typing import Any

from unifront.errors import ArgumentError, DataError
from unifront.utils.progbar import Progbar

BLOCK = 2**16


def cache_folder() -> Path:
    """Where files are kept: ``KERAS_HOME``, or ``~/.keras``: the same as Keras's, so that nothing is fetched twice."""
    return Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras").expanduser()


def get_file(
    fname: Any = None,
    origin: str | None = None,
    untar: bool = False,
    md5_hash: str | None = None,
    file_hash: str | None = None,
    cache_subdir: str = "datasets",
    hash_algorithm: str = "auto",
    extract: bool = False,
    archive_format: Any = "auto",
    cache_dir: Any = None,
    force_download: bool = False,
) -> str:
    """The path of a file, which is fetched unless it is in the cache folder.

    Args:
        fname: what it is called there; as in ``origin`` unless given.
        origin: its URL.
        untar, md5_hash: Keras's older names of ``extract`` and ``file_hash``.
        file_hash: the SHA-256 or MD5 sum that it must have, in hexadecimal.
        cache_subdir: the folder in the cache folder.
        hash_algorithm: ``"sha256"``, ``"md5"``, or ``"auto"``: by the length of the sum.
        extract: whether it is an archive to unpack; the path is then that of the folder.
        archive_format: ``"tar"``, ``"zip"``, ``"auto"`` for either, a list of these, or None.
        cache_dir: the cache folder; ``KERAS_HOME`` or ``~/.keras`` unless given.
        force_download: whether it is fetched anyway.

    It is written beside and renamed, so that half of a file is never taken for one. What an archive holds stays in its
    folder. Raises `ArgumentError` for arguments that are none, `DataError` for what cannot be fetched, or is not what
    its sum says. Source: ``keras.utils.get_file``.
    """
    if not origin:
        raise ArgumentError('Please specify the "origin" argument (URL of the file to download).')
    if md5_hash is not None and file_hash is None:
        file_hash, hash_algorithm = md5_hash, "md5"
    name = os.fsdecode(fname) if fname else Path(urllib.parse.urlsplit(origin).path).name
    if not name:
        raise ArgumentError(
            f"Can't parse the file name from the origin provided: {origin!r}. Please specify the `fname` argument."
        )
    if name != Path(name).name or name in (".", ".."):
        raise ArgumentError(
            "Paths are no longer accepted as the `fname` argument. To specify the file's parent directory, use the "
            f"`cache_dir` argument. Received: fname={name}"
        )
    folder = Path(cache_folder() if cache_dir is None else cache_dir).expanduser() / cache_subdir
    unpacks = extract or untar
    has_suffix = bool(fname) and "." in name
    file = folder / (name if not unpacks or has_suffix else f"{name}_archive")
    is_there = file.exists() and not force_download
    if is_there and file_hash is not None and not _has_sum(file, file_hash, hash_algorithm):
        is_there = False
    if not is_there:
        _fetch(origin, file, file_hash, hash_algorithm)
    if not unpacks:
        return str(file)
    target = folder / (f"{name.partition('.')[0]}_extracted" if has_suffix else name)
    if not is_there or not target.exists():
        _unpack(file, target, ["tar"] if untar else archive_format)
    return str(target)


def _sum(file: Path, algorithm: str) -> str:
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()


def _has_sum(file: Path, wanted: str, algorithm: str) -> bool:
    known = {"auto": "sha256" if len(wanted) == 64 else "md5", "sha256": "sha256", "md5": "md5"}
    if algorithm not in known:
        raise ArgumentError(f"hash_algorithm is 'auto', 'sha256' or 'md5', not {algorithm!r}.")
    return _sum(file, known[algorithm]) == wanted.lower()


def _fetch(origin: str, file: Path, wanted: str | None, algorithm: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    print(f"Downloading data from {origin}")  # noqa: T201  # as Keras does: this may take long
    handle, beside = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    try:
        with os.fdopen(handle, "wb") as target:
            try:
                with urllib.request.urlopen(origin) as source:  # the user's own URL
                    _copy(source, target)
            except urllib.error.HTTPError as error:
                raise DataError(f"URL fetch failure on {origin}: {error.code} -- {error.msg}") from error
            except (urllib.error.URLError, OSError, ValueError) as error:
                raise DataError(
                    f"URL fetch failure on {origin}: {getattr(error, 'reason', error)}. Without a network, put the "
                    f"file at {file}."
                ) from error
        if wanted is not None and not _has_sum(Path(beside), wanted, algorithm):
            raise DataError(
                f"Incomplete or corrupted file detected at {origin}: its {algorithm} file hash does not match the "
                f"provided value of {wanted}."
            )
        os.replace(beside, file)
    finally:
        Path(beside).unlink(missing_ok=True)


def _copy(source: Any, target: Any) -> None:
    length = source.headers.get("Content-Length") if source.headers else None
    total = int(length) if length else None
    bar, done = Progbar(total, unit_name="byte"), 0
    while block := source.read(BLOCK):
        target.write(block)
        done += len(block)
        bar.update(done, finalize=False if total is None else None)


def _unpack(file: Path, target: Path, formats: Any) -> None:
    kinds = (
        ["tar", "zip"]
        if formats == "auto"
        else [formats]
        if isinstance(formats, str)
        else list(formats or ())
    )
    beside = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    try:
        if "tar" in kinds and tarfile.is_tarfile(file):
            with tarfile.open(file) as archive:
                archive.extractall(
                    beside, filter="data"
                )  # refuses what leaves the folder, links out, devices
        elif "zip" in kinds and zipfile.is_zipfile(file):
            with zipfile.ZipFile(file) as packed:
                packed.extractall(beside)  # ZipFile takes drives, roots and ".." out of names
        else:
            raise DataError(f"{file} is no archive of the formats {list(kinds)}.")
        if target.is_dir():
            shutil.rmtree(target)
        os.replace(beside, target)
    except (tarfile.TarError, zipfile.BadZipFile) as error:
        raise DataError(f"{file} cannot be unpacked: {error}.") from error
    finally:
        shutil.rmtree(beside, ignore_errors=True)
