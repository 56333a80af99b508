"""What tests run against: a real PostgreSQL, a real S3 server, a real Airflow, started once and stopped at the end."""

from __future__ import annotations

import signal
import uuid
from collections.abc import Iterator

import pytest
from quire.local_stack.flights import READER, load_flights
from quire.local_stack.postgres_server import PostgresServer
from quire.local_stack.s3_server import S3Server
from quire.object_store import ObjectStore

from tests.faults.counts import pytest_terminal_summary  # noqa: F401 - a hook


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A PostgreSQL that forgets quickly."""
    server = PostgresServer(tmp_path_factory.mktemp("postgresql"), password="s3cret/ pass", fast=True)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def fresh_database(postgres_server: PostgresServer) -> Iterator[str]:
    """The owner's address of an empty database."""
    name = f"test_{uuid.uuid4().hex}"
    postgres_server.create_database(name)
    yield postgres_server.url(name)
    postgres_server.drop_database(name)


@pytest.fixture(scope="session")
def flights_owner_url(postgres_server: PostgresServer) -> str:
    """The owner's address of the flights of 2013."""
    postgres_server.create_database("flights")
    url = postgres_server.url("flights")
    load_flights(url, reader_password="reader")
    return url


@pytest.fixture(scope="session")
def flights_url(postgres_server: PostgresServer, flights_owner_url: str) -> str:
    """The address by which the flights are read, and nothing else."""
    return postgres_server.url("flights", user=READER, password="reader")


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An S3 server."""
    server = S3Server(tmp_path_factory.mktemp("s3"), secret_key="s3cret/+ key")
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def bucket(s3_server: S3Server) -> Iterator[ObjectStore]:
    """An empty bucket."""
    store = s3_server.create_bucket(f"test-{uuid.uuid4().hex}")
    yield store
    store.delete([entry.key for entry in store.list("")])
    store.client.delete_bucket(Bucket=store.bucket)


@pytest.fixture
def store_connection(s3_server: S3Server) -> str:
    """The S3 server's address and key, as Airflow has them."""
    return s3_server.connection


@pytest.fixture
def quire_environment(flights_url: str, s3_server: S3Server, bucket: ObjectStore) -> dict[str, str]:
    """The environment of a ``quire`` command over the flights and an empty bucket."""
    return {
        "AIRFLOW_CONN_QUIRE_SOURCE": flights_url,
        "AIRFLOW_CONN_QUIRE_STORE": s3_server.connection,
        "QUIRE_BUCKET": bucket.bucket,
    }


def pytest_configure() -> None:
    """Lets Ctrl-C end what tests start and interrupt, where a shell had it ignored for its background jobs."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)  # before pytest-xdist looks for the marks
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keeps the tests of whole stacks in one process, since they compete for ports; the others run beside them."""
    for item in items:
        if item.path.parent.name in ("airflow", "local_stack"):
            item.add_marker(pytest.mark.xdist_group("stack"))
