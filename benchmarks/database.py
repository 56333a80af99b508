"""The benchmarks' servers: PostgreSQL with TPC-H lineitem, and S3; both keep their data between runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from quire.dev_stack.postgres_server import PostgresServer
from quire.dev_stack.s3_server import S3Server

from benchmarks.lineitem import load_lineitem
from benchmarks.places import FOLDER

BUCKET = "bench"


@dataclass(frozen=True, slots=True, kw_only=True)
class Servers:
    """Running servers.

    Args:
        url: the URL of the ``lineitem_<scale>`` database.
        store: the S3 server's Airflow connection.
    """

    url: str
    store: str


@contextmanager
def lineitem_servers(scale: float) -> Iterator[Servers]:
    """Starts both servers and loads lineitem at a scale factor; stops the servers when the context exits."""
    postgres = PostgresServer(FOLDER / "postgresql", password="bench", fast=True)  # noqa: S106 - loopback only
    s3 = S3Server(FOLDER / "s3", secret_key="bench-secret")  # noqa: S106 - loopback only
    try:
        postgres.start()
        s3.start()
        s3.create_bucket(BUCKET)
        name = f"lineitem_{scale:g}".replace(".", "_")
        postgres.create_database(name)
        load_lineitem(postgres.url(name), scale)
        yield Servers(url=postgres.url(name), store=s3.connection)
    finally:
        s3.stop()
        postgres.stop()
