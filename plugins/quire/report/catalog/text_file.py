"""Reads report authors' text files up to a maximum size, and detects changes to the files."""

from __future__ import annotations

import io
from pathlib import Path

MAX_FILE_BYTES = 1_000_000
MAX_QUERY_BYTES = 256_000  # each time Airflow parses the DAGs, Quire searches the file for placeholders

FileSignature = tuple[int, int, int, int, int]
"""A file's device, inode, size, modification time and change time; both times are in nanoseconds."""


def read_text_file(path: Path, *, folder: Path, max_bytes: int = MAX_FILE_BYTES) -> str:
    """Returns a UTF-8 file's text, with line endings converted to newlines.

    A symbolic link must point to a file inside the folder, as the links in a mounted ConfigMap do.

    Raises:
        OSError: the file cannot be read.
        ValueError: the file is not a regular file inside the folder, is too large, or is not UTF-8.
    """
    if not path.is_file():
        raise ValueError("not a regular file")
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"links to a file outside {folder.name}/: move the file into that folder")
    with path.open("rb") as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise ValueError(f"larger than {max_bytes // 1_000} kB")
    return io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig").read()


def file_signature(path: Path) -> FileSignature:
    """Returns a file's signature, which changes if the file is modified or replaced; follows symbolic links.

    Raises:
        OSError: the file does not exist, or its folder cannot be searched.
    """
    status = path.stat()
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns


def find_signature(path: Path) -> FileSignature | None:
    """Returns a file's signature, or None if the file cannot be found."""
    try:
        return file_signature(path)
    except OSError:
        return None
