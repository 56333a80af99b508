"""Fixtures for shared servers: in each process, PostgreSQL and S3 start once, and stop after the last test."""

from __future__ import annotations

import gc
import signal
import uuid
from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.databases import new_database
from tests.fast_mode import (
    REASON,
    begin_fast_run,
    ensure_server_modules_use_servers,
    is_server_module,
    select_fast_tests,
)
from tests.faults.counts import pytest_terminal_summary  # noqa: F401 - a hook

if TYPE_CHECKING:  # only the fixtures import these modules, because pytest-xdist's controller does not need them
    import boto3
    from quire.dev_stack.postgres_server import PostgresServer
    from quire.dev_stack.s3_server import S3Server
    from quire.object_store.s3_store import S3Store


@pytest.fixture(scope="session")
def servers(request: pytest.FixtureRequest) -> None:
    """Marks a test as ``server``, and allows it to start servers and desktop programs.

    Every fixture or test that starts a server or a desktop program must use this fixture.
    """
    if request.config.getoption("--fast"):
        pytest.fail(REASON, pytrace=False)


@pytest.fixture(scope="session")
def postgres_server(servers: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """A PostgreSQL server that does not flush data to disk."""
    from quire.dev_stack.postgres_server import PostgresServer

    server = PostgresServer(tmp_path_factory.mktemp("postgresql"), password="s3cret/ pass", fast=True)
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture
def fresh_database(postgres_server: PostgresServer) -> Iterator[str]:
    """The owner's URL for an empty database."""
    with new_database(postgres_server) as url:
        yield url


@pytest.fixture(scope="session")
def flights_owner_url(postgres_server: PostgresServer) -> str:
    """The owner's URL for a database with the 2013 flights."""
    from quire.dev_stack.flights import load_flights

    postgres_server.create_database("flights")
    url = postgres_server.url("flights")
    load_flights(url, reader_password="reader")
    return url


@pytest.fixture(scope="session")
def flights_url(postgres_server: PostgresServer, flights_owner_url: str) -> str:
    """The URL for a role that can only read the flights."""
    from quire.dev_stack.flights import READER

    return postgres_server.url("flights", user=READER, password="reader")


@pytest.fixture(scope="session")
def s3_server(servers: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An S3 server."""
    from quire.dev_stack.s3_server import S3Server

    server = S3Server(tmp_path_factory.mktemp("s3"), secret_key="s3cret/+ key")
    try:
        server.start()
        yield server
    finally:
        server.stop()


@pytest.fixture(scope="session")
def s3_session(s3_server: S3Server) -> boto3.session.Session:
    """A boto3 session that tests share, because loading the S3 service description takes 0.15 s of CPU time."""
    import boto3

    settings = s3_server.store().settings
    return boto3.session.Session(
        aws_access_key_id=settings.access_key,
        aws_secret_access_key=settings.secret_key,
        region_name=settings.region_name or "us-east-1",
    )


@pytest.fixture(scope="session")
def free_buckets() -> list[str]:
    """The names of empty buckets. Tests reuse buckets, because the first object in a bucket takes a second to store."""
    return []


@pytest.fixture
def bucket(s3_server: S3Server, s3_session: boto3.session.Session, free_buckets: list[str]) -> Iterator[S3Store]:
    """An empty bucket, accessed by a separate client."""
    from quire.dev_stack.s3_server import ensure_bucket
    from quire.object_store.s3_store import S3Store

    def open_bucket(name: str) -> S3Store:
        return S3Store(replace(s3_server.store().settings, bucket=name), session=s3_session)

    store = open_bucket(free_buckets.pop() if free_buckets else f"test-{uuid.uuid4().hex}")
    ensure_bucket(store)
    if list(store.folders("")):  # a process of an earlier test has written an object after its test ended
        store = open_bucket(f"test-{uuid.uuid4().hex}")
        ensure_bucket(store)
    yield store
    cleaner = open_bucket(store.bucket)  # without the faults that the test may have injected
    cleaner.delete([entry.key for entry in cleaner.list("")])
    cleaner.abort_uploads("", before=cleaner.now() + timedelta(days=1))
    _delete_empty_folders(cleaner, "")
    free_buckets.append(store.bucket)


def _delete_empty_folders(store: S3Store, prefix: str) -> None:
    """Deletes the folders that SeaweedFS keeps after their last object; they would block objects of the same name."""
    for folder in store.folders(prefix):
        _delete_empty_folders(store, folder)
        store.client.delete_object(Bucket=store.bucket, Key=folder)


@pytest.fixture
def store_connection(s3_server: S3Server) -> str:
    """The S3 server's Airflow connection URI."""
    return s3_server.connection


@pytest.fixture
def quire_environment(flights_url: str, s3_server: S3Server, bucket: S3Store) -> dict[str, str]:
    """The environment for a ``quire`` command that reads the flights and writes to an empty bucket."""
    return {
        "AIRFLOW_CONN_QUIRE_SOURCE": flights_url,
        "AIRFLOW_CONN_QUIRE_STORE": s3_server.connection,
        "QUIRE_BUCKET": bucket.bucket,
    }


def pytest_addoption(parser: pytest.Parser) -> None:
    """Adds ``--fast``."""
    parser.addoption("--fast", action="store_true", help="run only the tests that need no server, with fewer examples")


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Disables the garbage collector while tests are collected; it would scan the imported modules dozens of times."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def pytest_configure(config: pytest.Config) -> None:
    """Configures a fast run, and makes Ctrl-C interrupt tests even if the shell ignores it in background jobs."""
    if config.getoption("--fast"):
        begin_fast_run()
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Makes a fast run skip the modules that contain only tests with servers, and so their imports."""
    if config.getoption("--fast") and collection_path.suffix == ".py" and is_server_module(collection_path):
        return True
    return None


@pytest.hookimpl(tryfirst=True)  # so that pytest-xdist sees the groups
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks tests that need servers, and groups tests that share an Airflow instance, according to their fixtures."""
    ensure_server_modules_use_servers(items)
    for item in items:
        fixtures = getattr(item, "fixturenames", ())
        if "servers" in fixtures:
            item.add_marker(pytest.mark.server)
        if "running_stack" in fixtures:
            item.add_marker(pytest.mark.xdist_group("airflow"))
    items.sort(
        key=lambda item: "running_stack" not in getattr(item, "fixturenames", ())
    )  # consecutive: see its teardown
    if config.getoption("--fast"):
        select_fast_tests(config, items)
