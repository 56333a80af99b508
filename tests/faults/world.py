"""The environment in which the cases run: databases, an S3 server, and Quire's commands."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

import psycopg
from quire.dev_stack.postgres_server import PostgresServer
from quire.dev_stack.s3_server import S3Server
from quire.object_store.s3_store import S3Store

from tests.faults.buckets import empty, keys_of, read_object
from tests.faults.postgres_proxy import PostgresProxy
from tests.faults.processes import CommandResult, CommandRunner
from tests.faults.reports import fill_tables, write_reports
from tests.faults.s3_proxy import S3Proxy

CASES_AT_ONCE = 6  # cases spend most of their time waiting for retries and slow responses
DATABASES = ("faults", "faults_gc")
Behind = Literal["s3", "postgres"]
Proxy = S3Proxy | PostgresProxy


class World:
    """The servers and commands; several threads may run cases, each in a separate bucket."""

    def __init__(self, folder: Path, postgres: PostgresServer, s3: S3Server) -> None:
        self._s3, self._postgres = s3, postgres
        self._addresses: dict[Behind, tuple[str, int]] = {
            "s3": _address(s3.endpoint_url),
            "postgres": _address(postgres.url()),
        }
        for name in DATABASES:
            postgres.create_database(name)
        self.url, self.gc_url = (postgres.url(name) for name in DATABASES)
        write_reports(folder / "include")
        fill_tables(self.url, self.gc_url)
        environment = {
            "QUIRE_INCLUDE": str(folder / "include"),
            "AIRFLOW_CONN_QUIRE_SOURCE": self.url,
            "AIRFLOW_CONN_QUIRE_GC_SOURCE": self.gc_url,
        }
        self.runner = CommandRunner(folder, environment)
        self._stores: dict[str, S3Store] = {}
        self._prepared: dict[str, dict[str, bytes]] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        """Stops the commands and drops the databases."""
        self.runner.close()
        for name in DATABASES:
            self._postgres.drop_database(name)

    def store(self, bucket: str) -> S3Store:
        """Returns a store that accesses a bucket without a proxy."""
        return self._stores[bucket]

    @contextmanager
    def new_bucket(self) -> Iterator[str]:
        """Creates a bucket for one case, so that a killed process's late writes do not affect other cases."""
        store = self._s3.create_bucket(f"faults-{uuid.uuid4().hex}")
        self._stores[store.bucket] = store
        try:
            yield store.bucket
        finally:
            del self._stores[store.bucket]
        empty(store)
        store.client.delete_bucket(Bucket=store.bucket)

    def proxy(self, behind: Behind, *, target: str | None = None, inject: Callable[[Any], None] | None = None) -> Proxy:
        """Returns a proxy in front of one of the servers."""
        kind = S3Proxy if behind == "s3" else PostgresProxy
        return kind(self._addresses[behind], target=target, inject=inject)

    def environment(self, bucket: str, proxy: Proxy | None = None) -> dict[str, str]:
        """Returns the environment for a command that uses a bucket, with or without a proxy."""
        environment = {"QUIRE_BUCKET": bucket, "AIRFLOW_CONN_QUIRE_STORE": self._s3.connection}
        if isinstance(proxy, S3Proxy):
            environment["AIRFLOW_CONN_QUIRE_STORE"] = self._s3.connection.replace(
                f"%3A{self._s3.port}", f"%3A{proxy.port}"
            )
        elif proxy:
            behind = self.url.replace(f":{self._addresses['postgres'][1]}/", f":{proxy.port}/")
            environment["AIRFLOW_CONN_QUIRE_SOURCE"] = f"{behind}?sslmode=disable&gssencmode=disable"
        return environment

    def run(self, bucket: str, *arguments: str) -> CommandResult:
        """Runs a command without a fault."""
        return self.runner.run(arguments, self.environment(bucket))

    def prepared(self, make: Callable[[World, str], dict[str, bytes]]) -> dict[str, bytes]:
        """Returns the objects that ``make`` creates in a bucket; they are created only once."""
        with self._lock:
            if make.__name__ not in self._prepared:
                with self.new_bucket() as bucket:
                    self._prepared[make.__name__] = make(self, bucket)
            return self._prepared[make.__name__]

    def objects(self, bucket: str) -> dict[str, bytes]:
        """Returns a bucket's objects."""
        store = self.store(bucket)
        return {key: read_object(store, key) or b"" for key in keys_of(store)}

    def make_garbage(self, bucket: str) -> dict[str, bytes]:
        """Publishes a run to delete and a run to keep; each has a partition that newer rows have superseded."""
        days = ("--start", "2013-01-01", "--end", "2013-02-28")
        for report in ("old", "kept"):
            assert self.run(bucket, "run", report, *days).status == 0
        with psycopg.connect(self.gc_url, autocommit=True) as connection:
            connection.execute("UPDATE events SET amount = 5 WHERE id = 1")
        for report in ("old", "kept"):
            assert self.run(bucket, "backfill", report, *days).status == 0
        objects = self.objects(bucket)
        rows = next(key for key in objects if key.startswith("partitions/kept/") and key.endswith(".parquet"))
        workbook = next(key for key in objects if key.startswith("workbooks/kept/") and key.endswith(".json"))
        orphans = (
            f"{rows.rpartition('/')[0]}/loser.parquet",
            f"{rows.rsplit('/', 2)[0]}/othertoken/rows.parquet",
            "reports/kept/killed/uuid/events_2013-01.xlsx",
            "summaries/old/digest/loser.parquet",
            f"{workbook.removesuffix('.json')}/loser/events_2013-01.xlsx",
            f"workbooks/kept/{'0' * 32}/killed/events_2013-01.xlsx",
        )
        return {**objects, **dict.fromkeys(orphans, b"orphan")}

    def make_january(self, bucket: str) -> dict[str, bytes]:
        """Publishes a run over January."""
        assert self.run(bucket, "run", "events", "--start", "2013-01-01", "--end", "2013-01-31").status == 0
        return self.objects(bucket)


def _address(url: str) -> tuple[str, int]:
    place = urlsplit(url)
    return place.hostname or "", place.port or 0


def prepare_garbage(world: World, bucket: str) -> None:
    """Fills a bucket with objects that ``gc`` must delete and objects that it must keep."""
    _fill(world, bucket, World.make_garbage)
    world.store(bucket).client.create_multipart_upload(Bucket=bucket, Key="reports/kept/killed/uuid/torn.xlsx")


def prepare_january(world: World, bucket: str) -> None:
    """Fills a bucket with a published run over January, whose partition and workbooks a longer run can reuse."""
    _fill(world, bucket, World.make_january)


def _fill(world: World, bucket: str, make: Callable[[World, str], dict[str, bytes]]) -> None:
    store = world.store(bucket)
    for key, body in world.prepared(make).items():
        store.client.put_object(Bucket=bucket, Key=key, Body=body)
