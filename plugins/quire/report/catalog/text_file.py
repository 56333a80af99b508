"""Text files that a report's author writes: regular files of a folder, of a bounded size."""

from __future__ import annotations

import io
from pathlib import Path

MAX_FILE_BYTES = 1_000_000
MAX_QUERY_BYTES = 256_000  # each parse of a DAG file searches it for placeholders


def read_text_file(path: Path, *, folder: Path, max_bytes: int = MAX_FILE_BYTES) -> str:
    """Returns the text of a file, with Python's line breaks.

    A symbolic link may lead to another file of the folder only, as the links of a mounted ConfigMap do.

    Raises:
        OSError: it cannot be read.
        ValueError: it is no regular file inside the folder, is too large, or is not UTF-8.
    """
    if not path.is_file():
        raise ValueError("is not a regular file")
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"leads out of {folder.name}/: put the file itself there, not a link")
    with path.open("rb") as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise ValueError(f"is larger than {max_bytes // 1_000} kB")
    return io.TextIOWrapper(io.BytesIO(content), encoding="utf-8-sig").read()
