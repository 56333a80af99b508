"""Lists files and folders by prefix, as an object store lists keys."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

Entry = tuple[str, "os.DirEntry[str]"]  # the relative path, which ends with a slash for a folder


def scan_files(root: Path, prefix: str) -> Iterator[Entry]:
    """Yields the files whose relative paths start with ``prefix``, ordered by the paths' UTF-8 bytes.

    Ignores symbolic links and special files.
    """
    for name, entry in _children(root, prefix):
        if name.endswith("/"):
            yield from scan_files(root, name)
        elif entry.is_file(follow_symlinks=False):
            yield name, entry


def scan_folders(root: Path, prefix: str) -> Iterator[str]:
    """Yields the folders directly under ``prefix`` that hold at least one file at any depth."""
    for name, _ in _children(root, prefix):
        if name.endswith("/") and next(scan_files(root, name), None):
            yield name


def _children(root: Path, prefix: str) -> list[Entry]:
    """Returns the sorted entries whose relative paths start with ``prefix``, without descending into folders."""
    base = prefix[: prefix.rfind("/") + 1]
    try:
        with os.scandir(root / base) as scanned:
            entries = [(_relative_path(base, entry), entry) for entry in scanned]
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(
        ((name, entry) for name, entry in entries if name.startswith(prefix)), key=lambda item: os.fsencode(item[0])
    )


def _relative_path(base: str, entry: os.DirEntry[str]) -> str:
    return f"{base}{entry.name}{'/' if entry.is_dir(follow_symlinks=False) else ''}"
