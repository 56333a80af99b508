"""The API server withstands large unauthenticated bodies, forged Host headers and missing files."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
from quire.dev_stack.process_table import session_members
from quire.dev_stack.stack import LocalStack
from quire.object_store.s3_store import S3Store
from quire.record_types.manifest import Manifest, manifest_key
from quire.record_types.serialization import from_json
from quire.settings import StoreSettings

from tests.airflow.portal import ask, program, wait

MEGABYTE = 1_000_000
BODY = b'{"start": "2013-01-01", "end": "2013-01-31", "parameters": {"carrier": "' + b"A" * 30 * MEGABYTE + b'"}}'
AT_ONCE = 4


def api_server_pids(stack: LocalStack) -> list[int]:
    record = json.loads((stack.airflow.folder / "api-server.pid.json").read_text())
    return session_members(int(record["pid"]))


def peak_bytes(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))


def reset_peak(pid: int) -> None:
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def test_anonymous_bodies_do_not_grow_the_api_server(running_stack: LocalStack) -> None:
    url = f"{running_stack.airflow.url}/quire/api/reports/flights"

    def send(number: int) -> int:
        headers = {"Content-Type": "application/json"}
        place = ("estimate", "runs")[number % 2]
        content: Any = BODY if number % 3 else iter([BODY[:MEGABYTE], BODY[MEGABYTE:]])  # chunked, without a length
        return httpx.post(f"{url}/{place}", content=content, headers=headers, timeout=120).status_code

    assert httpx.post(f"{url}/runs", json={}).status_code == 401  # loads the app
    pids = api_server_pids(running_stack)
    for pid in pids:
        reset_peak(pid)
    before = {pid: peak_bytes(pid) for pid in pids}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        assert set(pool.map(send, range(3 * AT_ONCE))) == {413}
    grown = {pid: peak_bytes(pid) - before[pid] for pid in pids}
    assert max(grown.values()) < len(BODY), grown  # although twelve bodies were sent, four at a time


def test_redirect_ignores_the_host_header(running_stack: LocalStack) -> None:
    with program(running_stack) as client:
        for path in ("/docs/", "/reports/flights/", "/api/reports/", "/static/portal.css/"):
            answer = client.get(path, headers={"Host": "evil.example"})
            assert "evil.example" not in answer.headers.get("location", ""), path


@pytest.fixture
def published(running_stack: LocalStack) -> tuple[httpx.URL, Manifest, S3Store]:
    """The ZIP file URL and manifest of a run, and the store."""
    store = S3Store(StoreSettings.from_uri(running_stack.s3.connection, bucket="quire"))
    with program(running_stack) as client:
        run = wait(client, "daily", ask(client, "daily", "2013-02-07", "2013-02-07"))
        manifest = from_json(Manifest, store.read_json(manifest_key("daily", run["run"])))
        return httpx.URL(f"{running_stack.airflow.url}{run['archive']}"), manifest, store


def test_downloads_of_damaged_and_missing_files_fail(
    running_stack: LocalStack, published: tuple[httpx.URL, Manifest, S3Store]
) -> None:
    archive, manifest, store = published
    file = manifest.files[-1]
    body = bytearray(store.read(file.key) or b"")
    body[len(body) // 2] ^= 1
    store.put(file.key, bytes(body))
    with program(running_stack) as client:
        with pytest.raises(httpx.RemoteProtocolError):
            client.get(archive)
        store.delete([file.key])
        assert client.get(archive).status_code == 410
        name = f"/reports/daily/published/{manifest.run}/{file.name}"
        page = client.get(name, headers={"Accept": "text/html"})
        assert (page.status_code, "Create report again" in page.text, "<?xml" in page.text) == (410, True, False)
