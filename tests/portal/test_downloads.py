"""Tests downloads of complete, missing and damaged files; a damaged download never appears complete."""

from __future__ import annotations

import hashlib
import io
import re
import zipfile
from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import Request
from quire.object_store.memory_store import MemoryStore
from quire.object_store.s3_store import S3Store
from quire.pipeline import run_report
from quire.portal.archives import archive_bytes, stream_archive
from quire.record_types.manifest import Manifest
from quire.record_types.stage_records import RenderedFile

from tests.events import events_report, fill_events, request_of, session_of
from tests.portal.in_process import CLIENT, READ, Portal, mounted, open_portal, serve
from tests.portal.published_runs import publish_run

PAGE = {"Accept": "text/html"}


@pytest.fixture
def manifest(store: MemoryStore) -> Manifest:
    """A published run with four files."""
    names = ("events_2013-01.xlsx", "events_2013-02.xlsx", "events_2013-03.xlsx", "summary.xlsx")
    return publish_run(store, files={name: name.encode() * 5_000 for name in names})


@pytest.fixture
def portal(tmp_path: Path, store: MemoryStore, monkeypatch: pytest.MonkeyPatch) -> Portal:
    events_report(tmp_path)
    monkeypatch.setenv("QUIRE_INCLUDE", str(tmp_path))
    return open_portal(lambda: store)


@pytest.fixture
def server(portal: Portal) -> Iterator[str]:
    with serve(mounted(portal)) as url:
        yield f"{url}/quire/reports/events/published"


def test_download_of_a_run_returns_all_files(
    portal: Portal, server: str, tmp_path: Path, fresh_database: str, bucket: S3Store
) -> None:
    fill_events(fresh_database)
    definition = events_report(tmp_path)
    run = run_report(definition, request_of(definition), session=session_of(fresh_database), store=bucket)
    manifest = run.published.manifest
    portal.use(open_store=lambda: bucket)
    response = CLIENT.get(f"{server}/{manifest.run}.zip")
    with zipfile.ZipFile(io.BytesIO(response.content)) as archive:
        assert archive.testzip() is None
        assert archive.namelist() == [file.name for file in manifest.files]
    assert response.headers["content-length"] == str(len(response.content))
    link = CLIENT.get(f"{server}/{manifest.run}/{manifest.files[0].name}")
    assert (link.status_code, CLIENT.get(link.headers["location"]).status_code) == (302, 200)


def test_download_of_a_missing_file_returns_410(server: str, manifest: Manifest, store: MemoryStore) -> None:
    store.delete([manifest.files[-1].key])
    for name in (f"{manifest.run}.zip", f"{manifest.run}/{manifest.files[-1].name}"):
        response = CLIENT.get(f"{server}/{name}")
        assert response.status_code == 410
        detail = "Some of this run's files are missing from the store. Create the report again."
        assert response.json()["detail"] == detail
        assert "<?xml" not in CLIENT.get(f"{server}/{name}", headers=PAGE, follow_redirects=True).text
    assert CLIENT.get(f"{server}/{manifest.run}/{manifest.files[0].name}").status_code == 302


def test_download_of_a_file_that_was_published_again_is_found(
    server: str, manifest: Manifest, store: MemoryStore
) -> None:
    url = f"{server}/{manifest.run}/summary.xlsx"
    assert CLIENT.get(url).status_code == 302  # the portal caches the manifest
    store.delete([entry.key for entry in store.list("reports/")])
    again = publish_run(store, files={"summary.xlsx": b"again"})
    response = CLIENT.get(url)
    assert (again.run, response.status_code) == (manifest.run, 302)


def test_download_of_a_truncated_file_returns_410(server: str, manifest: Manifest, store: MemoryStore) -> None:
    file = manifest.files[0]
    store.put(file.key, (store.read(file.key) or b"")[:-1])
    assert CLIENT.get(f"{server}/{manifest.run}.zip").status_code == 410
    assert CLIENT.get(f"{server}/{manifest.run}/{file.name}").status_code == 410


def test_archive_bytes_equals_the_size_of_the_archive(store: MemoryStore) -> None:
    bodies = [b"", b"x", b"y" * 65_535, b"z" * 5_000_000]
    files = []
    for number, body in enumerate(bodies):
        store.put(f"{number}", body)
        digest = hashlib.sha256(body).hexdigest()
        day = date(2013, 1, 1)
        files.append(
            RenderedFile(
                name=f"Zürich {number}", key=f"{number}", rows=0, bytes=len(body), sha256=digest, start=day, end=day
            )
        )
    made_at = datetime(2026, 1, 1, tzinfo=UTC)
    content = b"".join(stream_archive(files, made_at, store=store))
    assert len(content) == archive_bytes(files, made_at)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        assert [archive.read(file.name) for file in files] == bodies


@pytest.mark.parametrize("encoding", ["identity", "gzip"])
def test_download_of_a_damaged_archive_closes_the_connection(
    server: str, manifest: Manifest, store: MemoryStore, encoding: str
) -> None:
    file = manifest.files[-1]
    body = bytearray(store.read(file.key) or b"")
    body[len(body) // 2] ^= 1
    store.put(file.key, bytes(body))
    with pytest.raises(httpx.RemoteProtocolError):
        CLIENT.get(f"{server}/{manifest.run}.zip", headers={"Accept-Encoding": encoding})


def triggered_runs(portal: Portal) -> list[Any]:
    """Returns a list that collects the conf for each run that the portal starts in Airflow."""
    triggered = list[Any]()
    airflow = portal.host

    @airflow.get("/api/v2/dags/{dag_id}")
    def show_dag(dag_id: str) -> dict[str, Any]:
        return {"is_paused": False}

    @airflow.get("/api/v2/dags/{dag_id}/dagRuns")
    def list_runs(dag_id: str) -> dict[str, Any]:
        return {"dag_runs": [], "total_entries": 0}

    @airflow.post("/api/v2/dags/{dag_id}/dagRuns")
    async def trigger(dag_id: str, request: Request) -> dict[str, Any]:
        triggered.append((await request.json())["conf"])
        return {}

    return triggered


def test_create_again_ignores_the_reader_limit(portal: Portal, store: MemoryStore) -> None:
    triggered = triggered_runs(portal)
    manifest = publish_run(store, start=date(2001, 1, 1))
    days = {"start": "2001-01-01", "end": "2013-03-31"}
    assert "at most 3,700" in portal.post("/api/reports/events/runs", json=days).json()["detail"]
    store.delete([manifest.files[0].key])
    assert portal.post(f"/reports/events/published/{manifest.run}/again").status_code == 303
    assert [(conf["start"], conf["end"]) for conf in triggered] == [(days["start"], days["end"])]


def test_missing_files_page_offers_to_create_it_again(portal: Portal, manifest: Manifest, store: MemoryStore) -> None:
    triggered = triggered_runs(portal)
    again = f"/reports/events/published/{manifest.run}/again"
    assert portal.post(again).status_code == 409  # no file is missing
    store.delete([manifest.files[0].key])
    response = portal.get(f"/reports/events/published/{manifest.run}.zip", headers=PAGE)
    assert response.status_code == 410
    assert re.search(rf'action="[^"]*{again}"', response.text)
    response = portal.post(again)
    assert (response.status_code, "/reports/events/runs/ask__" in response.headers["location"]) == (303, True)
    assert triggered == [{"start": "2013-01-01", "end": "2013-03-31", "formats": ["xlsx"], "force": True}]
    portal.rights = {READ}
    response = portal.get(f"/reports/events/published/{manifest.run}.zip", headers=PAGE)
    assert (response.status_code, "/again" in response.text) == (410, False)
    assert portal.post(again).status_code == 403
