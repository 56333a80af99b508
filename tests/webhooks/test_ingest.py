"""Events in every order against a real table, and what PostgreSQL's types make of JSON."""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from quire.errors import DefinitionError
from quire.webhooks.delivery_tables import install_tables
from quire.webhooks.ingest import DeliveryOutcome, ingest
from quire.webhooks.rejections import BodyRejected
from quire.webhooks.webhook_definition import WebhookDefinition

from tests.postgres.tracking.tables import ask, run_sql
from tests.webhooks.shop import body_of, event_of, write_source

INSERT = body_of(1, 1, customer="Ann", status="new", amount=1)
UPDATE = body_of(1, 2, status="paid", note=None)
DELETE = body_of(1, 3, kind="order.deleted")
REOPEN = body_of(1, 4, status="again")
RENEW = body_of(1, 5, customer="Bob")


def take(definition: WebhookDefinition, url: str, body: bytes, *, event_id: str | None = None) -> DeliveryOutcome:
    event = event_of(definition, body, event_id=event_id)
    return ingest(definition, event, body_sha256=event_id.encode() if event_id else uuid.uuid4().bytes, url=url)


def rows(url: str) -> list[tuple[Any, ...]]:
    return ask(url, "SELECT id, customer, status, amount::int, note FROM orders ORDER BY id")


@pytest.mark.parametrize(
    ("bodies", "left"),
    [
        ([INSERT, UPDATE], [(1, "Ann", "paid", 1, None)]),
        ([INSERT, UPDATE, DELETE], []),
        ([INSERT, UPDATE, DELETE, REOPEN], []),  # the customer is not known any more
        ([INSERT, DELETE, REOPEN, RENEW], [(1, "Bob", "again", None, "none")]),
        ([UPDATE, REOPEN, RENEW], [(1, "Bob", "again", None, None)]),
    ],
)
def test_events_in_every_order_end_the_same(
    orders: WebhookDefinition, fresh_database: str, bodies: Sequence[bytes], left: list[tuple[Any, ...]]
) -> None:
    for order in itertools.permutations(bodies):
        for body in order:
            take(orders, fresh_database, body)
        assert rows(fresh_database) == left
        run_sql(fresh_database, "TRUNCATE orders, quire.webhook_event, quire.webhook_record")


def test_update_before_its_insert_is_kept_until_the_rest_arrives(
    orders: WebhookDefinition, fresh_database: str
) -> None:
    assert take(orders, fresh_database, UPDATE) == DeliveryOutcome.KEPT
    assert rows(fresh_database) == []
    assert ask(fresh_database, "SELECT key FROM quire.webhook_record WHERE NOT applied") == [(["1"],)]
    assert take(orders, fresh_database, body_of(1, 2.5, amount=3)) == DeliveryOutcome.KEPT
    assert take(orders, fresh_database, INSERT) == DeliveryOutcome.APPLIED
    assert rows(fresh_database) == [(1, "Ann", "paid", 3, None)]


def test_update_of_a_row_that_others_made_changes_that_row(orders: WebhookDefinition, fresh_database: str) -> None:
    run_sql(fresh_database, "INSERT INTO orders (id, customer, amount) VALUES (1, 'Zoe', 9), (2, 'Eve', 8)")
    assert take(orders, fresh_database, UPDATE) == DeliveryOutcome.APPLIED
    assert rows(fresh_database) == [(1, "Zoe", "paid", 9, None), (2, "Eve", None, 8, "none")]
    assert take(orders, fresh_database, DELETE) == DeliveryOutcome.APPLIED
    assert rows(fresh_database) == [(2, "Eve", None, 8, "none")]


def test_deletion_that_comes_after_what_made_the_row_again_leaves_the_row_and_what_refers_to_it(
    orders: WebhookDefinition, fresh_database: str
) -> None:
    run_sql(fresh_database, "CREATE TABLE parcels (order_id bigint REFERENCES orders ON DELETE CASCADE)")
    take(orders, fresh_database, RENEW)
    run_sql(fresh_database, "INSERT INTO parcels VALUES (1)")
    assert take(orders, fresh_database, DELETE) == DeliveryOutcome.APPLIED
    assert rows(fresh_database) == [(1, "Bob", None, None, "none")]
    assert ask(fresh_database, "SELECT order_id FROM parcels") == [(1,)]


def test_event_that_is_older_in_everything_does_not_write(orders: WebhookDefinition, fresh_database: str) -> None:
    take(orders, fresh_database, body_of(1, 9, customer="New", status="new", note="new", amount=0))
    before = ask(fresh_database, "SELECT xmin::text FROM orders")
    assert take(orders, fresh_database, body_of(1, 1, customer="Old", status="old")) == DeliveryOutcome.APPLIED
    assert ask(fresh_database, "SELECT xmin::text FROM orders") == before


def test_events_of_one_time_are_ordered_by_their_ids(orders: WebhookDefinition, fresh_database: str) -> None:
    for name in ("msg_b", "msg_c", "msg_a"):
        take(orders, fresh_database, body_of(1, customer=name), event_id=name)
    assert [row[1] for row in rows(fresh_database)] == ["msg_c"]


def test_key_written_in_another_way_is_the_same_key(orders: WebhookDefinition, fresh_database: str) -> None:
    for second, key in enumerate([1, "1", " 01 "]):
        take(orders, fresh_database, body_of(key, second, customer=f"c{second}"))
    assert [row[:2] for row in rows(fresh_database)] == [(1, "c2")]
    assert ask(fresh_database, "SELECT key FROM quire.webhook_record") == [(["1"],)]


def test_events_older_than_a_month_are_forgotten(orders: WebhookDefinition, fresh_database: str) -> None:
    run_sql(
        fresh_database,
        "INSERT INTO quire.webhook_event SELECT 'orders', 'old_' || n, '', now() - interval '31 days' "
        "FROM generate_series(1, 20) n",
        "INSERT INTO quire.webhook_event VALUES ('orders', 'young', '', now() - interval '29 days')",
    )
    left = []
    for n in range(3):
        take(orders, fresh_database, body_of(n, customer="Ann"), event_id=f"new_{n}")
        left += ask(fresh_database, "SELECT count(*) FROM quire.webhook_event WHERE event_id LIKE 'old%'")
    assert left == [(12,), (4,), (0,)]
    assert ask(fresh_database, "SELECT count(*) FROM quire.webhook_event") == [(4,)]


ODD = 'odd "100%" {name}'
ODD_TABLE = """
CREATE SCHEMA "My%s";
CREATE TYPE "My%s".mood AS ENUM ('glad', 'sad');
CREATE TABLE "My%s"."all" ("odd ""100%"" {name}" numeric, at timestamptz, mood "My%s".mood, words text[], flag boolean,
    doc jsonb, n numeric, d date, t text, UNIQUE (at, "odd ""100%"" {name}"));
"""


def test_odd_names_and_types_go_through_postgresqls_own_conversion(tmp_path: Path, fresh_database: str) -> None:
    run_sql(fresh_database, ODD_TABLE)
    columns = {name: f"data.order.{name}" for name in ("mood", "words", "flag", "doc", "n", "d", "t")}
    keys = {ODD: "data.order.id", "at": "timestamp"}
    definition = write_source(tmp_path, table="My%s.all", keys=keys, columns=columns, event_time="timestamp")
    install_tables(definition, writer_url=fresh_database, owner_url=fresh_database)
    values: dict[str, Any] = {"mood": "sad", "words": ["a", "b, c"], "flag": True, "d": "2013-03-01"}
    values["t"] = {"a": [1]}
    take(definition, fresh_database, body_of(1.10, **values, doc="text", n=1), event_id="msg_1")
    assert ask(fresh_database, 'SELECT mood::text, words, flag, doc, d::text, t FROM "My%s"."all"') == [
        ("sad", ["a", "b, c"], True, "text", "2013-03-01", '{"a": [1]}')
    ]
    huge = b"123456789012345678901234567890.10"
    take(definition, fresh_database, body_of("1.1", **values, n=12345).replace(b"12345", huge), event_id="msg_2")
    assert ask(fresh_database, 'SELECT n::text FROM "My%s"."all"') == [(huge.decode(),)]
    assert ask(fresh_database, "SELECT key[2] FROM quire.webhook_record") == [("2013-03-01 12:00:00+00",)]


def test_table_of_keys_alone_is_filled(tmp_path: Path, fresh_database: str) -> None:
    run_sql(fresh_database, "CREATE TABLE seen (id int PRIMARY KEY, at timestamptz)")
    definition = write_source(tmp_path, table="public.seen", columns={"at": "at"}, event_time="timestamp")
    install_tables(definition, writer_url=fresh_database, owner_url=fresh_database)
    for second in range(2):
        assert take(definition, fresh_database, body_of(1, second)) == DeliveryOutcome.APPLIED
    assert ask(fresh_database, "SELECT * FROM seen") == [(1, None)]


def test_null_that_a_column_does_not_take_is_refused_even_where_it_is_older(
    orders: WebhookDefinition, fresh_database: str
) -> None:
    """Else it would depend on the order whether the rest of the event counts."""
    take(orders, fresh_database, body_of(1, 2, customer="Ann"))
    with pytest.raises(BodyRejected, match="the column customer does not accept null"):
        take(orders, fresh_database, body_of(1, 1, customer=None, amount=5))
    with pytest.raises(BodyRejected, match="invalid input syntax for type numeric"):
        take(orders, fresh_database, body_of(1, 1, amount="five"))
    assert rows(fresh_database) == [(1, "Ann", None, None, "none")]


def test_constraint_that_a_row_breaks_refuses_the_event(orders: WebhookDefinition, fresh_database: str) -> None:
    run_sql(fresh_database, "ALTER TABLE orders ADD CHECK (amount > 0)")
    with pytest.raises(BodyRejected, match="violates check constraint"):
        take(orders, fresh_database, body_of(1, customer="Ann", amount=-1))
    assert ask(fresh_database, "SELECT count(*) FROM quire.webhook_record") == [(0,)]


def test_key_that_is_too_long_for_an_index_is_refused(tmp_path: Path, fresh_database: str) -> None:
    run_sql(fresh_database, "CREATE TABLE words (word text PRIMARY KEY, n int)")
    definition = write_source(
        tmp_path, table="public.words", keys={"word": "data.order.id"}, columns={"n": "n"}, event_time="timestamp"
    )
    install_tables(definition, writer_url=fresh_database, owner_url=fresh_database)
    with pytest.raises(BodyRejected, match="index row"):
        take(definition, fresh_database, body_of("".join(map(chr, range(0x4E00, 0x4E00 + 9000)))))


def test_table_that_is_not_as_defined_is_told(orders: WebhookDefinition, fresh_database: str) -> None:
    run_sql(fresh_database, "ALTER TABLE orders RENAME note TO notes")
    with pytest.raises(DefinitionError, match=r"public\.orders has no column note; did you mean notes\?"):
        take(orders, fresh_database, INSERT)
