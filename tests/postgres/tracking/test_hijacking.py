"""No role runs code from an attacker who can create objects in ``public`` or write to a tracked table."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest
from quire.cli.check import validate_query as check_report
from quire.dev_stack.flights import READER, reader_role_statements
from quire.dev_stack.postgres_server import PostgresServer
from quire.inbound_webhooks.delivery_tables import install_tables, validate_webhook
from quire.inbound_webhooks.ingest import DeliveryOutcome, ingest
from quire.object_store.s3_store import S3Store
from quire.pipeline import run_report
from quire.postgres.tracking.installation import compact, track, untrack

from tests.events import events_report, fill_events, request_of, session_of
from tests.inbound_webhooks.shop import body_of, event_of, write_webhook
from tests.planted import attacker_url, plant, was_hijacked
from tests.postgres.tracking.tables import EVENTS, ask, run_sql, tokens, tracked_report
from tests.postgres.tracking.test_privileges import login

pytestmark = pytest.mark.server

ORDERS = """
CREATE TABLE orders (
    id varchar(10) PRIMARY KEY, customer text NOT NULL, status text, amount numeric, lines jsonb, note text,
    seen_at timestamptz
)
"""


@pytest.fixture
def urls(postgres_server: PostgresServer, fresh_database: str) -> dict[str, str]:
    """The URLs for an owner who is not a superuser, a reader, a writer, and an attacker who has planted code."""
    fill_events(fresh_database)
    run_sql(
        fresh_database,
        "CREATE TABLE kinds (kind text, name text)",
        ORDERS,
        reader_role_statements(),
    )
    urls_by_role = {"admin": fresh_database} | {
        role: login(postgres_server, fresh_database, f"test_{role}") for role in ("owner", "writer")
    }
    urls_by_role["reader"] = login(postgres_server, fresh_database, READER)
    run_sql(
        fresh_database,
        f"GRANT CREATE ON DATABASE {fresh_database.rpartition('/')[2]} TO test_owner",
        "GRANT ALL ON SCHEMA public TO test_owner",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON orders TO test_writer",
        *(f"ALTER TABLE {table} OWNER TO test_owner" for table in ("events", "kinds", "orders")),
    )
    urls_by_role["attacker"] = attacker_url(postgres_server, fresh_database)
    plant(urls_by_role["attacker"])
    return urls_by_role


@pytest.mark.parametrize("owner", ["owner", "admin"])
def test_planted_functions_never_run_during_reporting_and_tracking(
    tmp_path: Path, urls: dict[str, str], bucket: S3Store, owner: str
) -> None:
    tracked = tracked_report(tmp_path, tables=[EVENTS, "kinds"])
    session = session_of(urls["reader"])
    track(tracked, urls[owner])
    run_sql(
        urls["owner"], "INSERT INTO events (id, at) VALUES (9, '2013-02-02')", "TRUNCATE kinds", "DELETE FROM events"
    )
    check_report(tracked, session=session)
    run_report(tracked, request_of(tracked), session=session, store=bucket)
    probed = events_report(tmp_path, source={"freshness": {"probe": "id"}})
    run_report(probed, request_of(probed), session=session, store=bucket)
    timed = events_report(tmp_path, source={"freshness": {"probe": "at"}})
    run_report(timed, request_of(timed), session=session, store=bucket)
    assert compact(urls[owner]) >= 0
    track(tracked, urls[owner])
    assert not was_hijacked(urls["admin"])
    untrack(tracked.name, urls[owner])
    assert not was_hijacked(urls["admin"])


def test_planted_functions_never_run_as_webhook_writer(tmp_path: Path, urls: dict[str, str]) -> None:
    source = write_webhook(tmp_path, delete_when={"path": "type", "equals": "order.deleted"})
    install_tables(source, writer_url=urls["writer"], owner_url=urls["owner"])
    validate_webhook(source, url=urls["writer"])
    for number, body in enumerate(
        (
            body_of("a", 0, customer="Ann"),
            body_of("b", 0, status="late"),  # the webhook stores this event until another event sets the customer
            body_of("b", 1, customer="Bob"),
            body_of("a", 2, kind="order.deleted"),
        )
    ):
        event = event_of(source, body, event_id=f"msg_{number}")
        assert ingest(source, event, body_sha256=b"", url=urls["writer"]) in DeliveryOutcome
    assert ask(urls["owner"], "SELECT id, customer, status FROM orders") == [("b", "Bob", "late")]
    assert not was_hijacked(urls["admin"])


def test_writer_cannot_make_trigger_run_its_code(tmp_path: Path, urls: dict[str, str]) -> None:
    definition = tracked_report(tmp_path)
    track(definition, urls["owner"])
    run_sql(urls["owner"], "GRANT SELECT, INSERT, UPDATE, DELETE, TRUNCATE ON events TO PUBLIC")
    before = tokens(definition, urls["reader"])
    with psycopg.connect(urls["attacker"], autocommit=True) as attacker:
        attacker.execute("SET search_path = public, pg_temp, pg_catalog")
        for table in ("new_rows", "old_rows", "pg_attribute", "change_log"):
            attacker.execute(f"CREATE TEMPORARY TABLE {table} (at timestamptz, attrelid oid, relation oid)")
        for statement in (
            "INSERT INTO public.events (id, at) VALUES (9, '2013-02-02'), (10, NULL)",
            "UPDATE public.events SET note = 'x'",
            "DELETE FROM public.events",
            "TRUNCATE public.events",
        ):
            attacker.execute(statement)
    run_sql(
        urls["admin"],  # the administrator applies rows like a subscription
        "SET session_replication_role = replica; SET search_path = public, pg_catalog; "
        "INSERT INTO public.events (id, at) VALUES (11, '2013-03-03')",
    )
    assert not was_hijacked(urls["admin"])
    assert set(before.values()).isdisjoint(tokens(definition, urls["reader"]).values())
