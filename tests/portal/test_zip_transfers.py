"""The portal limits how long ZIP downloads take, and how many each user and each process may have."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import date
from functools import cache
from pathlib import Path

import httpx
import pytest
from quire.portal.zip_transfers import TransferPace, Transfers
from quire.record_types.manifest import Manifest, manifest_key
from quire.record_types.serialization import to_json
from quire.record_types.stage_records import RenderedFile

from tests.events import MADE_AT, ZONE, events_report
from tests.polling import wait_until
from tests.portal.in_process import CLIENT, Portal, mounted, open_portal_of_many, serve
from tests.portal.unreliable_stores import StreamingStore

LONG = 60.0
RUN = "a" * 32
FILE_BYTES = 48 * 1024 * 1024  # more than the sockets and the middleware can buffer
BLOCK_BYTES = 64 * 1024


@cache
def file_body() -> tuple[bytes, str]:
    """Returns a large file's content and SHA-256."""
    body = os.urandom(1024 * 1024) * (FILE_BYTES // (1024 * 1024))
    return body, hashlib.sha256(body).hexdigest()


@pytest.fixture
def store() -> StreamingStore:
    return StreamingStore()


@pytest.fixture
def file(store: StreamingStore) -> RenderedFile:
    """A published run's only file."""
    body, digest = file_body()
    key, day = f"reports/events/{RUN}/events.xlsx", date(2013, 1, 1)
    store.put(key, body)
    file = RenderedFile(name="events.xlsx", key=key, rows=1, bytes=len(body), sha256=digest, start=day, end=day)
    manifest = Manifest(
        report="events", run=RUN, run_id="r", title="Events", made_at=MADE_AT, start=day, end=day, timezone=ZONE,
        parameters={}, rows=1, partitions=(), summaries=(), files=(file,),
    )  # fmt: skip
    store.put_json_once(manifest_key("events", RUN), to_json(manifest))
    return file


@pytest.fixture
def portal(tmp_path: Path, store: StreamingStore, file: RenderedFile, monkeypatch: pytest.MonkeyPatch) -> Portal:
    events_report(tmp_path)
    monkeypatch.setenv("QUIRE_INCLUDE", str(tmp_path))
    return open_portal_of_many(lambda: store, transfers=Transfers(slots=3, per_user=2))


@pytest.fixture
def archive(portal: Portal) -> Iterator[str]:
    """The run's ZIP file URL on a real server with Airflow's middleware; the X-User header names the caller."""
    with serve(mounted(portal)) as address:
        yield f"{address}/quire/reports/events/published/{RUN}.zip"


def begin(stack: ExitStack, archive: str, user: str = "ann") -> httpx.Response:
    """Starts a download without reading the body."""
    return stack.enter_context(CLIENT.stream("GET", archive, headers={"X-User": user}, timeout=LONG))


def test_transfers_are_limited_per_user_and_per_process(archive: str, store: StreamingStore) -> None:
    with ExitStack() as stack:
        assert [begin(stack, archive).status_code for _ in range(2)] == [200, 200]
        refused = begin(stack, archive)
        assert (refused.status_code, refused.headers["retry-after"]) == (429, "30")
        assert (
            refused.read()
            == b'{"detail":"You are already downloading 2 zips. Try again when one of them has finished."}'
        )
        assert begin(stack, archive, "bob").status_code == 200
        full = begin(stack, archive, "carl")
        assert (full.status_code, full.headers["retry-after"]) == (503, "5")
        assert full.read() == b'{"detail":"Too many zips are being downloaded. Try again in a few seconds."}'
        assert len(store.streams) <= 3
    wait_until(lambda: not store.streams)
    with ExitStack() as stack:
        wait_until(lambda: begin(stack, archive).status_code == 200)


def test_transfer_that_fails_to_start_releases_its_slot(
    archive: str, file: RenderedFile, store: StreamingStore
) -> None:
    store.delete([file.key])
    assert [CLIENT.get(archive, timeout=LONG).status_code for _ in range(4)] == [410] * 4


def test_transfer_of_an_idle_reader_ends(
    portal: Portal, archive: str, store: StreamingStore, caplog: pytest.LogCaptureFixture
) -> None:
    portal.use(transfers=Transfers(slots=1, pace=TransferPace(idle_seconds=0.3)))
    with ExitStack() as stack:
        response = begin(stack, archive)
        assert response.status_code == 200
        wait_until(lambda: "the reader was too slow" in caplog.text and not store.streams)
        with pytest.raises(httpx.RemoteProtocolError):
            response.read()
    assert CLIENT.get(archive, timeout=LONG).status_code == 200  # the only slot is free again


def test_transfer_of_a_slow_reader_ends(portal: Portal, archive: str, store: StreamingStore) -> None:
    pace = TransferPace(min_seconds=0.5, min_bytes_per_second=float("inf"))
    portal.use(transfers=Transfers(pace=pace))
    with ExitStack() as stack:
        blocks = begin(stack, archive).iter_raw(BLOCK_BYTES)
        wait_until(lambda: next(blocks) and not store.streams)
        with pytest.raises(httpx.RemoteProtocolError):
            for _ in blocks:
                pass


def test_transfer_of_a_disconnected_reader_ends(archive: str, store: StreamingStore) -> None:
    with ExitStack() as stack:
        next(begin(stack, archive).iter_raw(BLOCK_BYTES))
        assert store.streams
    wait_until(lambda: not store.streams)


def test_transfer_slot_is_released_once() -> None:
    transfers = Transfers(slots=2, per_user=2)
    first, _ = transfers.begin("ann"), transfers.begin("ann")
    first.release()
    first.release()
    transfers.begin("ann")
    with pytest.raises(Exception, match="already downloading 2 zips"):
        transfers.begin("ann")


def test_transfers_forget_users_without_active_transfers() -> None:
    transfers = Transfers()
    for number in range(100):
        transfers.begin(f"user {number}").release()
    assert not transfers._active
