"""A request whose published run is still current is answered without a new run, after the source has confirmed it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from threading import Event
from typing import Any
from zoneinfo import ZoneInfo

import psycopg
import pytest
from quire.errors import StoreUnavailableError
from quire.object_store.commit_records import write_once
from quire.object_store.memory_store import MemoryStore
from quire.pipeline import run_report
from quire.portal.work_queue import WorkQueue
from quire.postgres import SourceSession
from quire.record_types.manifest import Manifest, manifest_key
from quire.report.definition import ReportDefinition

from tests.events import events_report, fill_events, request_of, session_of
from tests.portal.in_process import Portal, open_portal
from tests.portal.published_runs import publish_run
from tests.portal.test_requesting import Airflow
from tests.portal.unreliable_stores import LONG, ObservedStore

RUN_ID = "ask__0123456789abcdef__1"
DAYS = {"start": "2013-01-01", "end": "2013-02-28"}
RUNS = "/api/reports/events/runs"
PROBED = {"freshness": {"probe": "id"}}


@pytest.fixture
def definition(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ReportDefinition:
    monkeypatch.setenv("QUIRE_INCLUDE", str(tmp_path))
    return events_report(tmp_path, source=PROBED)


@pytest.fixture
def store() -> ObservedStore:
    return ObservedStore()


@pytest.fixture
def published(definition: ReportDefinition, fresh_database: str, store: MemoryStore) -> Manifest:
    """A run that Airflow published."""
    fill_events(fresh_database)
    request = request_of(definition, DAYS["start"], DAYS["end"], run_id=f"events:{RUN_ID}")
    return run_report(definition, request, session=session_of(fresh_database), store=store).published.manifest


@pytest.fixture
def portal(published: Manifest, store: MemoryStore, fresh_database: str) -> Portal:
    return open_portal(lambda: store, open_session=lambda _: session_of(fresh_database))


@pytest.fixture
def airflow(portal: Portal, published: Manifest) -> Iterator[Airflow]:
    airflow = Airflow(portal)
    airflow.add(RUN_ID, "reader", state="success", dag_id="events", conf=DAYS)
    airflow.published[RUN_ID] = published.run
    yield airflow
    portal.host.router.routes.clear()


def started(airflow: Airflow) -> list[str]:
    return [run["dag_run_id"] for run in airflow.runs if run["dag_run_id"] != RUN_ID]


def test_unchanged_report_is_answered_with_its_published_run(
    portal: Portal, airflow: Airflow, published: Manifest
) -> None:
    response = portal.post(RUNS, json=DAYS)
    answer = response.json()
    assert (response.status_code, answer["run_id"], answer["started"]) == (200, RUN_ID, False)
    assert (answer["run"], answer["url"]) == (published.run, f"/quire/reports/events/runs/{RUN_ID}")
    assert [file["name"] for file in answer["files"]] == [file.name for file in published.files]
    assert answer["unchanged_since"] > published.made_at
    assert started(airflow) == []


def test_published_run_answers_even_if_its_partitions_are_no_longer_cached(
    portal: Portal, airflow: Airflow, published: Manifest, store: ObservedStore
) -> None:
    store.delete([entry.key for entry in store.list("partitions/")])
    response = portal.post(RUNS, json=DAYS)
    assert (response.status_code, response.json()["run_id"], started(airflow)) == (200, RUN_ID, [])


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO events VALUES (7, '2013-01-15', 'a', 1, 1, 'late')",
        "DELETE FROM events WHERE id = 3",
    ],
)
def test_changed_row_starts_a_run(portal: Portal, airflow: Airflow, fresh_database: str, statement: str) -> None:
    with psycopg.connect(fresh_database, autocommit=True) as connection:
        connection.execute(statement)
    response = portal.post(RUNS, json=DAYS)
    assert (response.status_code, response.json()["started"], len(started(airflow))) == (202, True, 1)


@pytest.mark.parametrize(
    "change",
    [{"end": "2013-03-31"}, {"formats": ["csv"]}, {"fan_out": True}],
    ids=["other days", "other formats", "fan-out"],
)
def test_other_request_starts_a_run(portal: Portal, airflow: Airflow, change: dict[str, Any]) -> None:
    assert portal.post(RUNS, json={**DAYS, **change}).status_code == 202
    assert len(started(airflow)) == 1


def test_report_without_freshness_starts_a_run(portal: Portal, airflow: Airflow, tmp_path: Path) -> None:
    events_report(tmp_path, source={"freshness": "always"})
    portal.use(open_session=None)  # the source is not even asked
    assert portal.post(RUNS, json=DAYS).status_code == 202


def test_unavailable_source_starts_a_run_which_will_report_it(portal: Portal, airflow: Airflow) -> None:
    portal.use(open_session=lambda _: session_of("postgresql://nobody@127.0.0.1:9/nowhere"))
    assert portal.post(RUNS, json=DAYS).status_code == 202
    assert len(started(airflow)) == 1


def test_check_that_takes_too_long_starts_a_run(portal: Portal, airflow: Airflow) -> None:
    portal.use(freshness_checks=WorkQueue("check", seconds=0.001, wait=0.001))
    assert portal.post(RUNS, json=DAYS).status_code == 202
    assert len(started(airflow)) == 1


def test_run_that_airflow_no_longer_knows_is_published_again_once(
    portal: Portal, airflow: Airflow, published: Manifest
) -> None:
    airflow.runs.clear()
    run_id = portal.post(RUNS, json=DAYS).json()["run_id"]
    airflow.runs[0]["state"] = "success"
    airflow.published[run_id] = published.run  # the run adopted the files
    again = portal.post(RUNS, json=DAYS)
    assert (again.status_code, again.json()["run_id"], again.json()["started"]) == (200, run_id, False)


def test_reader_without_access_to_xcoms_gets_a_new_run(portal: Portal, airflow: Airflow) -> None:
    airflow.may_read_xcoms = False
    response = portal.post(RUNS, json=DAYS)
    assert (response.status_code, response.json()["started"], len(started(airflow))) == (202, True, 1)


@pytest.fixture
def command_line_run(published: Manifest, airflow: Airflow, store: ObservedStore) -> str:
    """The ID of the run, which was published from the command line instead of by Airflow."""
    airflow.runs.clear()
    store.delete([manifest_key("events", published.run)])
    run_id = f"cli__{'a' * 32}"
    assert write_once(store, manifest_key("events", published.run), replace(published, run_id=run_id))
    return run_id


def test_unchanged_command_line_run_answers_a_request(portal: Portal, command_line_run: str) -> None:
    response = portal.post(RUNS, json=DAYS)
    assert (response.status_code, response.json()["run_id"]) == (200, command_line_run)


def test_store_that_cannot_list_runs_starts_a_run(
    portal: Portal, airflow: Airflow, store: ObservedStore, command_line_run: str
) -> None:
    def fail(prefix: str) -> None:
        raise StoreUnavailableError("the store is away")

    store.before_list = fail
    response = portal.post(RUNS, json=DAYS)
    assert (response.status_code, len(started(airflow))) == (202, 1)


def test_listing_that_takes_too_long_starts_a_run(
    portal: Portal, airflow: Airflow, store: ObservedStore, command_line_run: str
) -> None:
    released = Event()
    store.before_list = lambda prefix: released.wait(LONG)
    portal.use(freshness_checks=WorkQueue("check", seconds=1, wait=1))
    response = portal.post(RUNS, json=DAYS)
    released.set()
    assert (response.status_code, len(started(airflow))) == (202, 1)


def test_deleted_manifest_starts_a_run(
    portal: Portal, airflow: Airflow, store: MemoryStore, published: Manifest
) -> None:
    store.delete([f"reports/events/{published.run}/manifest.json"])
    assert portal.post(RUNS, json=DAYS).status_code == 202


def test_reader_who_may_not_request_runs_gets_no_answer(portal: Portal, airflow: Airflow) -> None:
    portal.rights.discard(("POST", "RUN"))
    assert portal.post(RUNS, json=DAYS).status_code == 403


def test_published_run_over_the_row_limit_is_rejected(portal: Portal, airflow: Airflow, tmp_path: Path) -> None:
    events_report(tmp_path, source=PROBED, limits={"rows": 2})
    refused = portal.post(RUNS, json=DAYS)
    assert (refused.status_code, "the limit is 2" in refused.json()["detail"]) == (422, True)


def test_hundred_identical_requests_start_at_most_one_run(
    portal: Portal, airflow: Airflow, fresh_database: str
) -> None:
    with psycopg.connect(fresh_database, autocommit=True) as connection:
        connection.execute("DELETE FROM events WHERE id = 3")

    async def ask_all() -> list[int]:
        requests = (portal._request("POST", RUNS, json=DAYS) for _ in range(100))
        return [response.status_code for response in await asyncio.gather(*requests)]

    assert set(asyncio.run(ask_all())) == {202}
    assert len(started(airflow)) == 1


def test_concurrent_identical_requests_for_unchanged_rows_start_no_run(portal: Portal, airflow: Airflow) -> None:
    async def ask_all() -> list[int]:
        requests = (portal._request("POST", RUNS, json=DAYS) for _ in range(5))
        return [response.status_code for response in await asyncio.gather(*requests)]

    portal.use(freshness_checks=WorkQueue("check", seconds=60, wait=60))
    assert asyncio.run(ask_all()) == [200] * 5
    assert started(airflow) == []


def test_form_shows_the_published_run_and_when_it_was_checked(
    portal: Portal, airflow: Airflow, published: Manifest
) -> None:
    response = portal.post("/reports/events", data={**DAYS, "formats": "xlsx"})
    location = response.headers["location"]
    assert (response.status_code, location.partition("?")[0]) == (303, f"/quire/reports/events/runs/{RUN_ID}")
    assert started(airflow) == []
    page = portal.get(location.removeprefix("/quire")).text
    since = published.unchanged_since.astimezone(ZoneInfo("America/New_York"))
    assert f"Rows unchanged since {since:%Y-%m-%d %H:%M %Z}, checked" in page
    assert "events_2013-01.xlsx" in page
    for forged in ("", "?checked=now", f"?{location.partition('?')[2][:-4]}AAAA"):
        page = portal.get(f"/reports/events/runs/{RUN_ID}{forged}").text
        assert ("events_2013-01.xlsx" in page, "Rows unchanged" in page) == (True, False)


def test_check_of_another_run_is_not_shown(portal: Portal, airflow: Airflow, store: MemoryStore) -> None:
    token = portal.post("/reports/events", data={**DAYS, "formats": "xlsx"}).headers["location"].partition("?")[2]
    airflow.add("ask__ffffffffffffffff__1", "reader", state="success", dag_id="events", conf=DAYS)
    airflow.published["ask__ffffffffffffffff__1"] = publish_run(store).run
    page = portal.get(f"/reports/events/runs/ask__ffffffffffffffff__1?{token}").text
    assert ("events_2013.csv" in page, "Rows unchanged" in page) == (True, False)


@pytest.mark.parametrize("state", ["failed", "running"])
def test_run_that_was_canceled_or_cleared_since_is_not_shown_again(
    portal: Portal, airflow: Airflow, state: str
) -> None:
    airflow.runs[0]["state"] = state
    response = portal.post(RUNS, json=DAYS)
    assert (response.status_code, len(started(airflow))) == (202, 1)


def test_run_that_has_published_other_rows_since_is_not_shown(portal: Portal, airflow: Airflow) -> None:
    airflow.published[RUN_ID] = "f" * 32
    assert portal.post(RUNS, json=DAYS).status_code == 202


def test_missing_file_starts_a_run(portal: Portal, airflow: Airflow, store: MemoryStore, published: Manifest) -> None:
    store.delete([published.files[0].key])
    assert portal.post(RUNS, json=DAYS).status_code == 202


def test_active_identical_run_answers_before_the_source_is_asked(portal: Portal, airflow: Airflow) -> None:
    run_id = portal.post(RUNS, json={**DAYS, "end": "2013-03-31"}).json()["run_id"]
    portal.use(open_session=None)
    again = portal.post(RUNS, json={**DAYS, "end": "2013-03-31"})
    assert (again.status_code, again.json()["run_id"], again.json()["started"]) == (202, run_id, False)


@pytest.mark.parametrize(("state", "expected"), [("success", (1, False)), ("failed", (2, True))])
def test_run_that_ends_during_the_check_answers_the_request_if_it_was_published(
    portal: Portal, airflow: Airflow, state: str, expected: tuple[int, bool]
) -> None:
    days = {**DAYS, "end": "2013-03-31"}
    run_id = portal.post(RUNS, json=days).json()["run_id"]
    conf = airflow.runs[-1]["conf"]
    airflow.runs.clear()

    def end_run(_: ReportDefinition) -> SourceSession:
        if not airflow.runs:
            airflow.add(run_id, "reader", state=state, dag_id="events", conf=conf)
        return session_of("postgresql://nobody@127.0.0.1:9/nowhere")

    portal.use(open_session=end_run)
    answer = portal.post(RUNS, json=days).json()
    assert (answer["run_id"], answer["started"]) == (f"{run_id[:-1]}{expected[0]}", expected[1])
