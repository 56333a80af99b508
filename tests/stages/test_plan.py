"""Plan computes partitions and groups, and rejects invalid definitions before any rows are read."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import psycopg
import pytest
from quire.errors import DefinitionError
from quire.object_store.s3_store import S3Store
from quire.record_types.serialization import from_json, to_json
from quire.record_types.stage_records import PlannedRun
from quire.settings import StoreSettings
from quire.stages.plan import plan_partitions

from tests.events import SQL, events_report, fill_events, request_of, session_of

pytestmark = pytest.mark.server

# Planning a report without reusable partitions needs no store.
UNREACHABLE_STORE = S3Store(StoreSettings.from_uri("aws://key:secret@/?endpoint_url=http://127.0.0.1:1", bucket="none"))


@pytest.fixture
def database(fresh_database: str) -> str:
    fill_events(fresh_database)
    return fresh_database


def plan(
    include: Path, database: str, *, start: str = "2013-01-01", end: str = "2013-03-31", **changes: Any
) -> PlannedRun:
    definition = events_report(include, **changes)
    return plan_partitions(
        definition, request_of(definition, start, end), session=session_of(database), store=UNREACHABLE_STORE
    )


def test_plan_contains_the_partitions_and_columns(tmp_path: Path, database: str) -> None:
    planned = plan(tmp_path, database, end="2013-03-10")
    assert [partition.key for group in planned.groups for partition in group] == [
        "2013-01",
        "2013-02",
        "2013-03-01_2013-03-10",
    ]
    assert [(column.name, column.pg_type) for column in planned.plan.columns] == [
        ("id", "int4"),
        ("at", "timestamptz"),
        ("kind", "text"),
        ("amount", "numeric(12,2)"),
        ("weight", "numeric"),
        ("note", "text"),
    ]
    assert from_json(PlannedRun, to_json(planned)) == planned


def test_plan_of_many_partitions_has_at_most_64_groups_in_order(tmp_path: Path, database: str) -> None:
    planned = plan(tmp_path, database, start="2004-01-01", end="2013-12-31", partition="day")
    days = [partition.key for group in planned.groups for partition in group]
    assert len(planned.groups) <= 64
    assert len(days) == 3653
    assert days == sorted(days)


def test_source_digest_depends_on_query_time_zone_and_column_types(tmp_path: Path, database: str) -> None:
    first = plan(tmp_path, database).plan.source_digest
    assert plan(tmp_path, database, title="Another", end="2013-02-01").plan.source_digest == first
    changed = {
        plan(tmp_path, database, sql=SQL.replace("ORDER BY at, id", "ORDER BY id")).plan.source_digest,
        plan(tmp_path, database, timezone="UTC").plan.source_digest,
    }
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("ALTER TABLE events ALTER amount TYPE numeric(14,3)")
    changed.add(plan(tmp_path, database).plan.source_digest)
    assert first not in changed
    assert len(changed) == 3


def test_source_digest_depends_on_the_parameters(tmp_path: Path, database: str) -> None:
    definition = events_report(
        tmp_path,
        sql=SQL.replace("ORDER BY", "AND (%(kind)s::text IS NULL OR kind = %(kind)s) ORDER BY"),
        parameters={"kind": {"type": "string", "default": None}},
    )
    requests = [replace(request_of(definition), parameters={"kind": kind}) for kind in ("a", "b", None, "a")]
    a, b, every, again = (
        plan_partitions(definition, request, session=session_of(database), store=UNREACHABLE_STORE).plan.source_digest
        for request in requests
    )
    assert len({a, b, every}) == 3
    assert again == a


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        (
            {"source": {"time_column": "att"}},
            r"source\.time_column: the query returns no column 'att'; did you mean at\?",
        ),
        ({"source": {"time_column": "note"}}, r"source\.time_column: note is of type text"),
        ({"columns": [{"name": "amuont"}]}, r"columns\[0\]\.name: .*'amuont'; did you mean amount\?"),
        ({"sql": SQL.replace("note", "id AS note, id AS kind")}, r"two columns called kind"),
        (
            {"summaries": [{"name": "S", "by": ["kin"], "measures": {"n": {"agg": "count"}}}]},
            r"summaries\[0\]\.by.*'kin'",
        ),
        (
            {"summaries": [{"name": "S", "by": ["kind"], "measures": {"n": {"agg": "sum", "of": "amount +"}}}]},
            r"summaries\[0\]\.measures\.n\.of: 'amount \+' is not an expression",
        ),
        (
            {"summaries": [{"name": "S", "by": ["kind"], "measures": {"n": {"agg": "sum", "of": "amuont"}}}]},
            r"measures\.n\.of: .*amuont",
        ),
        (
            {"summaries": [{"name": "S", "by": ["kind"], "measures": {"n": {"agg": "sum", "of": "2 * 3"}}}]},
            r"measures\.n\.of: .*a value for each row",
        ),
        (
            {"summaries": [{"name": "S", "by": ["kind"], "measures": {"n": {"agg": "mean", "of": "note"}}}]},
            r"mean requires a number: 'note' is of type String",
        ),
        (
            {
                "summaries": [
                    {"name": "S", "by": [{"column": "kind", "every": "month"}], "measures": {"n": {"agg": "count"}}}
                ]
            },
            r"every requires a date or timestamp: kind is of type text",
        ),
        (
            {"columns": [{"name": "kind", "total": "sum"}]},
            r"columns\[0\]\.total: kind is of type text and has no sum",
        ),
        (
            {"columns": [{"name": "at", "total": "sum"}]},
            r"columns\[0\]\.total: at is of type timestamptz and has no sum",
        ),
    ],
)
def test_definition_that_contradicts_the_query_is_rejected_with_the_field(
    tmp_path: Path, database: str, changes: dict[str, Any], reason: str
) -> None:
    with pytest.raises(DefinitionError, match=reason) as caught:
        plan(tmp_path, database, **changes)
    assert caught.value.report == "events"
    assert "\n" not in str(caught.value)


def test_query_that_postgresql_rejects_raises_the_reason(tmp_path: Path, database: str) -> None:
    with pytest.raises(DefinitionError, match=r'^events: sql/events/extract\.sql:1: .*column "nott" does not exist'):
        plan(tmp_path, database, sql=SQL.replace("note", "nott"))


def test_role_without_access_to_the_cluster_id_can_plan(tmp_path: Path, database: str) -> None:
    with psycopg.connect(database, autocommit=True) as connection:
        connection.execute("CREATE ROLE plain LOGIN PASSWORD 'p'; GRANT SELECT ON ALL TABLES IN SCHEMA public TO plain")
        connection.execute("REVOKE EXECUTE ON FUNCTION pg_control_system() FROM PUBLIC")
    try:
        reader = f"postgresql://plain:p@{database.rpartition('@')[2]}"
        digest = plan(tmp_path, reader).plan.source_digest
        assert digest == plan(tmp_path, reader).plan.source_digest
        assert digest != plan(tmp_path, database).plan.source_digest
    finally:
        with psycopg.connect(database, autocommit=True) as connection:
            connection.execute("DROP OWNED BY plain; DROP ROLE plain")
