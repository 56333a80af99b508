"""TPC-H lineitem in a PostgreSQL of the benchmarks' own, beside an S3 server; both are kept from run to run."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from quire.local_stack.postgres import PostgresServer
from quire.local_stack.s3 import S3Server

from benchmarks.places import FOLDER, PEERS

BUCKET = "bench"
COPY_BYTES = 1024 * 1024
# TPC-H specification, 1.4.1; decimals as numeric(15,2).
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """Running servers: ``url`` of the database ``lineitem_<scale>``, ``store`` as Airflow writes a connection."""

    url: str
    store: str


@contextmanager
def lineitem_servers(scale: int) -> Iterator[Servers]:
    """Starts both servers, with lineitem of a scale factor loaded, and stops them at the end."""
    postgres = PostgresServer(FOLDER / "postgresql", password="bench", fast=True)  # noqa: S106 - loopback only
    s3 = S3Server(FOLDER / "s3", secret_key="bench-secret")  # noqa: S106 - loopback only
    try:
        postgres.start()
        s3.start()
        s3.create_bucket(BUCKET)
        name = f"lineitem_{scale}"
        postgres.create_database(name)
        _load(postgres.url(name), scale)
        yield Servers(url=postgres.url(name), store=s3.connection)
    finally:
        s3.stop()
        postgres.stop()


def _load(url: str, scale: int) -> None:
    """Fills the table in one transaction, so that it is there whole or not at all."""
    with psycopg.connect(url) as connection:
        if connection.execute("SELECT to_regclass('lineitem')").fetchone() != (None,):
            return
        print(f"loading lineitem of scale factor {scale}", flush=True)
        connection.execute(TABLE)
        command: list[str | Path] = [
            PEERS.with_name("tpchgen-cli"),
            "csv",
            "-s",
            str(scale),
            "--tables=lineitem",
            "--stdout",
        ]
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
