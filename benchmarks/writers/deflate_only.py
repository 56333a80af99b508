"""Compresses the XML in Quire's workbook to measure the lower bound: ``deflate_only.py TABLE.parquet OUT.xlsx ROWS``.

Prints the time that ISA-L takes to compress the XML, excluding the time to read the workbook.
"""

from __future__ import annotations

import sys
import time
import zipfile
from pathlib import Path
from typing import BinaryIO

from isal import isal_zlib

BLOCK = 4 * 1024 * 1024


def main(folder: Path, out: Path) -> None:
    with out.open("wb") as sink:
        seconds = sum(deflate(book, sink) for book in sorted(folder.glob("ours*.xlsx")))
    print("seconds", seconds)


def deflate(book: Path, sink: BinaryIO) -> float:
    seconds = 0.0
    with zipfile.ZipFile(book) as package:
        for entry in package.infolist():
            compressor = isal_zlib.compressobj(1, isal_zlib.DEFLATED, -15)
            with package.open(entry) as part:
                while block := part.read(BLOCK):
                    started = time.perf_counter()
                    deflated = compressor.compress(block)
                    seconds += time.perf_counter() - started
                    sink.write(deflated)
            started = time.perf_counter()
            rest = compressor.flush()
            seconds += time.perf_counter() - started
            sink.write(rest)
    return seconds


if __name__ == "__main__":
    main(Path(sys.argv[2]).parent, Path(sys.argv[2]))
