"""Events are applied to a real table in every order, and JSON values are converted to PostgreSQL types."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from quire.errors import DefinitionError
from quire.inbound_webhooks.delivery_tables import install_tables
from quire.inbound_webhooks.ingest import DeliveryOutcome, ingest
from quire.inbound_webhooks.rejections import RejectedBodyError
from quire.inbound_webhooks.webhook_definition import WebhookDefinition

from tests.inbound_webhooks.shop import body_of, event_of, write_webhook
from tests.postgres.tracking.tables import ask, run_sql

pytestmark = pytest.mark.server

INSERT = body_of(1, 1, customer="Ann", status="new", amount=1)
UPDATE = body_of(1, 2, status="paid", note=None)
DELETE = body_of(1, 3, kind="order.deleted")
REOPEN = body_of(1, 4, status="again")
RENEW = body_of(1, 5, customer="Bob")


def apply_body(definition: WebhookDefinition, url: str, body: bytes, *, event_id: str | None = None) -> DeliveryOutcome:
    event = event_of(definition, body, event_id=event_id)
    return ingest(definition, event, body_sha256=event_id.encode() if event_id else uuid.uuid4().bytes, url=url)


def rows(url: str) -> list[tuple[Any, ...]]:
    return ask(url, "SELECT id, customer, status, amount::int, note FROM orders ORDER BY id")


@pytest.mark.parametrize(
    ("bodies", "left"),
    [
        ([INSERT, UPDATE], [(1, "Ann", "paid", 1, None)]),
        ([INSERT, UPDATE, DELETE], []),
        ([INSERT, UPDATE, DELETE, REOPEN], []),  # the deletion also removed the customer, which is required
        ([INSERT, DELETE, REOPEN, RENEW], [(1, "Bob", "again", None, "none")]),
        ([UPDATE, REOPEN, RENEW], [(1, "Bob", "again", None, None)]),
    ],
)
def test_ingest_events_in_every_order_has_the_same_result(
    orders: WebhookDefinition, fresh_database: str, bodies: Sequence[bytes], left: list[tuple[Any, ...]]
) -> None:
    for order in itertools.permutations(bodies):
        for body in order:
            apply_body(orders, fresh_database, body)
        assert rows(fresh_database) == left
        run_sql(fresh_database, "TRUNCATE orders, quire.webhook_event, quire.webhook_record")


def test_ingest_update_before_insert_is_kept_until_complete(orders: WebhookDefinition, fresh_database: str) -> None:
    assert apply_body(orders, fresh_database, UPDATE) == DeliveryOutcome.KEPT
    assert rows(fresh_database) == []
    assert ask(fresh_database, "SELECT key FROM quire.webhook_record WHERE NOT applied") == [(["1"],)]
    assert apply_body(orders, fresh_database, body_of(1, 2.5, amount=3)) == DeliveryOutcome.KEPT
    assert apply_body(orders, fresh_database, INSERT) == DeliveryOutcome.APPLIED
    assert rows(fresh_database) == [(1, "Ann", "paid", 3, None)]


def test_ingest_update_of_existing_row_changes_it(orders: WebhookDefinition, fresh_database: str) -> None:
    run_sql(fresh_database, "INSERT INTO orders (id, customer, amount) VALUES (1, 'Zoe', 9), (2, 'Eve', 8)")
    assert apply_body(orders, fresh_database, UPDATE) == DeliveryOutcome.APPLIED
    assert rows(fresh_database) == [(1, "Zoe", "paid", 9, None), (2, "Eve", None, 8, "none")]
    assert apply_body(orders, fresh_database, DELETE) == DeliveryOutcome.APPLIED
    assert rows(fresh_database) == [(2, "Eve", None, 8, "none")]


def test_ingest_late_deletion_keeps_recreated_row_and_references(
    orders: WebhookDefinition, fresh_database: str
) -> None:
    run_sql(fresh_database, "CREATE TABLE parcels (order_id bigint REFERENCES orders ON DELETE CASCADE)")
    apply_body(orders, fresh_database, RENEW)
    run_sql(fresh_database, "INSERT INTO parcels VALUES (1)")
    assert apply_body(orders, fresh_database, DELETE) == DeliveryOutcome.APPLIED
    assert rows(fresh_database) == [(1, "Bob", None, None, "none")]
    assert ask(fresh_database, "SELECT order_id FROM parcels") == [(1,)]


def test_ingest_event_older_in_every_column_does_not_write(orders: WebhookDefinition, fresh_database: str) -> None:
    apply_body(orders, fresh_database, body_of(1, 9, customer="New", status="new", note="new", amount=0))
    before = ask(fresh_database, "SELECT xmin::text FROM orders")
    assert apply_body(orders, fresh_database, body_of(1, 1, customer="Old", status="old")) == DeliveryOutcome.APPLIED
    assert ask(fresh_database, "SELECT xmin::text FROM orders") == before


def test_ingest_events_with_equal_time_are_ordered_by_id(orders: WebhookDefinition, fresh_database: str) -> None:
    for name in ("msg_b", "msg_c", "msg_a"):
        apply_body(orders, fresh_database, body_of(1, customer=name), event_id=name)
    assert [row[1] for row in rows(fresh_database)] == ["msg_c"]


def test_ingest_equal_keys_in_different_notation_write_one_row(orders: WebhookDefinition, fresh_database: str) -> None:
    for second, key in enumerate([1, "1", " 01 "]):
        apply_body(orders, fresh_database, body_of(key, second, customer=f"c{second}"))
    assert [row[:2] for row in rows(fresh_database)] == [(1, "c2")]
    assert ask(fresh_database, "SELECT key FROM quire.webhook_record") == [(["1"],)]


def test_ingest_prunes_events_older_than_retention(orders: WebhookDefinition, fresh_database: str) -> None:
    run_sql(
        fresh_database,
        "INSERT INTO quire.webhook_event SELECT 'orders', 'old_' || n, '', now() - interval '31 days' "
        "FROM generate_series(1, 20) n",
        "INSERT INTO quire.webhook_event VALUES ('orders', 'young', '', now() - interval '29 days')",
    )
    left = []
    for n in range(3):
        apply_body(orders, fresh_database, body_of(n, customer="Ann"), event_id=f"new_{n}")
        left += ask(fresh_database, "SELECT count(*) FROM quire.webhook_event WHERE event_id LIKE 'old%'")
    assert left == [(12,), (4,), (0,)]
    assert ask(fresh_database, "SELECT count(*) FROM quire.webhook_event") == [(4,)]


UNUSUAL_NAME = 'odd "100%" {name}'
UNUSUAL_TABLE = """
CREATE SCHEMA "My%s";
CREATE TYPE "My%s".mood AS ENUM ('glad', 'sad');
CREATE TABLE "My%s"."all" ("odd ""100%"" {name}" numeric, at timestamptz, mood "My%s".mood, words text[], flag boolean,
    doc jsonb, n numeric, d date, t text, UNIQUE (at, "odd ""100%"" {name}"));
"""


def test_ingest_unusual_names_and_types_are_converted(tmp_path: Path, fresh_database: str) -> None:
    run_sql(fresh_database, UNUSUAL_TABLE)
    columns = {name: f"data.order.{name}" for name in ("mood", "words", "flag", "doc", "n", "d", "t")}
    keys = {UNUSUAL_NAME: "data.order.id", "at": "timestamp"}
    definition = write_webhook(tmp_path, table="My%s.all", keys=keys, columns=columns, event_time="timestamp")
    install_tables(definition, writer_url=fresh_database, owner_url=fresh_database)
    values: dict[str, Any] = {"mood": "sad", "words": ["a", "b, c"], "flag": True, "d": "2013-03-01"}
    values["t"] = {"a": [1]}
    apply_body(definition, fresh_database, body_of(1.10, **values, doc="text", n=1), event_id="msg_1")
    assert ask(fresh_database, 'SELECT mood::text, words, flag, doc, d::text, t FROM "My%s"."all"') == [
        ("sad", ["a", "b, c"], True, "text", "2013-03-01", '{"a": [1]}')
    ]
    huge = b"123456789012345678901234567890.10"
    apply_body(definition, fresh_database, body_of("1.1", **values, n=12345).replace(b"12345", huge), event_id="msg_2")
    assert ask(fresh_database, 'SELECT n::text FROM "My%s"."all"') == [(huge.decode(),)]
    assert ask(fresh_database, "SELECT key[2] FROM quire.webhook_record") == [("2013-03-01 12:00:00+00",)]


def test_ingest_table_with_only_key_columns_is_written(tmp_path: Path, fresh_database: str) -> None:
    run_sql(fresh_database, "CREATE TABLE seen (id int PRIMARY KEY, at timestamptz)")
    definition = write_webhook(tmp_path, table="public.seen", columns={"at": "at"}, event_time="timestamp")
    install_tables(definition, writer_url=fresh_database, owner_url=fresh_database)
    for second in range(2):
        assert apply_body(definition, fresh_database, body_of(1, second)) == DeliveryOutcome.APPLIED
    assert ask(fresh_database, "SELECT * FROM seen") == [(1, None)]


def test_ingest_null_for_not_null_column_is_rejected_even_if_older(
    orders: WebhookDefinition, fresh_database: str
) -> None:
    """If the null were ignored, whether the event's other fields are applied would depend on the order of events."""
    apply_body(orders, fresh_database, body_of(1, 2, customer="Ann"))
    with pytest.raises(RejectedBodyError, match="the customer column does not accept null"):
        apply_body(orders, fresh_database, body_of(1, 1, customer=None, amount=5))
    with pytest.raises(RejectedBodyError, match="invalid input syntax for type numeric"):
        apply_body(orders, fresh_database, body_of(1, 1, amount="five"))
    assert rows(fresh_database) == [(1, "Ann", None, None, "none")]


def test_ingest_check_violation_is_rejected(orders: WebhookDefinition, fresh_database: str) -> None:
    run_sql(fresh_database, "ALTER TABLE orders ADD CHECK (amount > 0)")
    with pytest.raises(RejectedBodyError, match="violates check constraint"):
        apply_body(orders, fresh_database, body_of(1, customer="Ann", amount=-1))
    assert ask(fresh_database, "SELECT count(*) FROM quire.webhook_record") == [(0,)]


def test_ingest_key_too_long_for_index_is_rejected(tmp_path: Path, fresh_database: str) -> None:
    run_sql(fresh_database, "CREATE TABLE words (word text PRIMARY KEY, n int)")
    definition = write_webhook(
        tmp_path, table="public.words", keys={"word": "data.order.id"}, columns={"n": "n"}, event_time="timestamp"
    )
    install_tables(definition, writer_url=fresh_database, owner_url=fresh_database)
    with pytest.raises(RejectedBodyError, match="index row"):
        apply_body(definition, fresh_database, body_of("".join(map(chr, range(0x4E00, 0x4E00 + 9000)))))


def test_ingest_missing_column_raises_definition_error(orders: WebhookDefinition, fresh_database: str) -> None:
    run_sql(fresh_database, "ALTER TABLE orders RENAME note TO notes")
    with pytest.raises(DefinitionError, match=r"public\.orders has no column note; did you mean notes\?"):
        apply_body(orders, fresh_database, INSERT)
