"""The floor: ISA-L deflating the XML of the workbook that ours wrote: ``deflate_only.py TABLE.parquet OUT.xlsx ROWS``.

Prints the seconds that the deflating took, without the reading of the workbook.
"""

from __future__ import annotations

import sys
import time
import zipfile
from pathlib import Path

from isal import isal_zlib

BLOCK = 4 * 1024 * 1024


def main(book: Path, out: Path) -> None:
    seconds = 0.0
    with zipfile.ZipFile(book) as package, out.open("wb") as sink:
        for entry in package.infolist():
            compressor = isal_zlib.compressobj(1, isal_zlib.DEFLATED, -15)
            with package.open(entry) as part:
                while block := part.read(BLOCK):
                    began = time.perf_counter()
                    deflated = compressor.compress(block)
                    seconds += time.perf_counter() - began
                    sink.write(deflated)
            began = time.perf_counter()
            sink.write(compressor.flush())
            seconds += time.perf_counter() - began
    print("seconds", seconds)


if __name__ == "__main__":
    main(Path(sys.argv[2]).with_name("ours.xlsx"), Path(sys.argv[2]))
