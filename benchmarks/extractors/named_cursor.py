"""Reads rows as tuples with psycopg's server-side cursor and discards them: ``named_cursor.py SQL URL``."""

from __future__ import annotations

import sys
import time

import psycopg

ROWS_AT_ONCE = 10_000


def main(sql: str, url: str) -> None:
    started = time.perf_counter()
    with psycopg.connect(url) as connection, connection.cursor("rows") as cursor:
        cursor.itersize = ROWS_AT_ONCE
        cursor.execute(sql.encode())
        for _ in cursor:
            pass
    print(f"seconds {time.perf_counter() - started:.3f}")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
