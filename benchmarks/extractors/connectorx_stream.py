"""Streams Arrow batches with ConnectorX and discards them: ``connectorx_stream.py SQL URL``."""

from __future__ import annotations

import sys
import time

import connectorx


def main(sql: str, url: str) -> None:
    started = time.perf_counter()
    for _ in connectorx.read_sql(url, sql, return_type="arrow_stream", batch_size=65_536):
        pass
    print(f"seconds {time.perf_counter() - started:.3f}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
