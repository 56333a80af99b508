"""Loads TPC-H lineitem, a standard benchmark table that tpchgen-cli generates at any scale, into PostgreSQL."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psycopg

COPY_BYTES = 1024 * 1024
# TPC-H specification, 1.4.1; its decimals are numeric(15,2) here.
TABLE = """
CREATE TABLE lineitem (
    l_orderkey bigint NOT NULL, l_partkey bigint NOT NULL, l_suppkey bigint NOT NULL, l_linenumber integer NOT NULL,
    l_quantity numeric(15,2) NOT NULL, l_extendedprice numeric(15,2) NOT NULL,
    l_discount numeric(15,2) NOT NULL, l_tax numeric(15,2) NOT NULL,
    l_returnflag char(1) NOT NULL, l_linestatus char(1) NOT NULL,
    l_shipdate date NOT NULL, l_commitdate date NOT NULL, l_receiptdate date NOT NULL,
    l_shipinstruct char(25) NOT NULL, l_shipmode char(10) NOT NULL, l_comment varchar(44) NOT NULL
)
"""


def load_lineitem(url: str, scale: float) -> None:
    """If the table is missing, creates and fills it in one transaction; scale factor 1 has 6,001,215 rows.

    Args:
        url: the database's URL.
        scale: TPC-H's scale factor.

    Raises:
        RuntimeError: the generator failed.
    """
    with psycopg.connect(url) as connection:
        if connection.execute("SELECT to_regclass('lineitem')").fetchone() != (None,):
            return
        connection.execute(TABLE)
        tool = Path(sys.executable).with_name("tpchgen-cli")
        command: list[str | Path] = [tool, "csv", "-s", f"{scale:g}", "--tables=lineitem", "--stdout"]
        with (
            subprocess.Popen(command, stdout=subprocess.PIPE) as generator,
            connection.cursor().copy("COPY lineitem FROM STDIN (FORMAT csv, HEADER true, FREEZE true)") as copy,
        ):
            assert generator.stdout is not None  # noqa: S101 - it is a pipe
            while block := generator.stdout.read(COPY_BYTES):
                copy.write(block)
        if generator.returncode:
            raise RuntimeError(f"tpchgen-cli ended with {generator.returncode}")
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE INDEX ON lineitem (l_shipdate)")
        connection.execute("VACUUM ANALYZE lineitem")
