"""Applies a delivery in one transaction: records it, merges it into the row's state, and writes the row.

Locks are acquired in a fixed order (event, key, row), so two deliveries cannot deadlock.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import psycopg
from psycopg import IsolationLevel
from psycopg.errors import NotNullViolation
from psycopg.sql import SQL, Composed

from quire.inbound_webhooks import statements
from quire.inbound_webhooks.event import Event
from quire.inbound_webhooks.merge import RowState
from quire.inbound_webhooks.rejections import (
    NOT_NOW,
    DeliveryDeferredError,
    RejectedBodyError,
    UsedIdError,
    answer_postgres_errors,
)
from quire.inbound_webhooks.target import Connection, TargetColumn, ensure_trusted_schema, read_target
from quire.inbound_webhooks.webhook_definition import WebhookDefinition
from quire.postgres.session_settings import SAFE_SEARCH_PATH
from quire.report.sql_literal import CLIENT_ENCODING

# Seconds, except for tcp_user_timeout (milliseconds). A connection that hangs must not occupy its slot forever.
_TIMEOUTS: dict[str, Any] = {
    "connect_timeout": 5, "tcp_user_timeout": 20_000,
    "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3,
}  # fmt: skip
EVENT_RETENTION_DAYS = 30  # senders stop retrying after a few days
MAX_PRUNED_EVENTS = 8  # per delivery; greater than 1 so that a backlog shrinks
_SETTINGS = (
    f"SET LOCAL search_path TO {SAFE_SEARCH_PATH}; "
    "SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO'; "
    "SET LOCAL lock_timeout = '10s'; SET LOCAL statement_timeout = '20s'"
)
_RECORD_EVENT = """
INSERT INTO quire.webhook_event (source, event_id, body_sha256) VALUES (%s::text, %s::text, %s::bytea)
ON CONFLICT (source, event_id) DO NOTHING
"""
# Concurrent deliveries also prune events. SKIP LOCKED avoids waiting for them.
_PRUNE = """
DELETE FROM quire.webhook_event WHERE (source, event_id) IN (
    SELECT source, event_id FROM quire.webhook_event
     WHERE received_at < now() - make_interval(days => %s::integer)
     ORDER BY received_at LIMIT %s::bigint FOR UPDATE SKIP LOCKED)
"""
# The update changes nothing. It locks the row, so that a concurrent delivery sees the committed state.
_LOCK_STATE = """
INSERT INTO quire.webhook_record AS record (source, key) VALUES (%s::text, %s::text[])
ON CONFLICT (source, key) DO UPDATE SET source = excluded.source RETURNING state::text, applied
"""
_SAVE_STATE = """
UPDATE quire.webhook_record SET state = %s::jsonb, applied = %s::boolean, changed_at = now()
 WHERE source = %s::text AND key = %s::text[]
"""


class DeliveryOutcome(StrEnum):
    """A delivery's outcome."""

    APPLIED = "applied"
    KEPT = "kept"
    REPEATED = "repeated"


def ingest(definition: WebhookDefinition, event: Event, *, body_sha256: bytes, url: str) -> DeliveryOutcome:
    """Applies an event exactly once.

    Args:
        definition: the webhook.
        event: the event parsed from the body.
        body_sha256: digest of the body; distinguishes a repeated delivery from a different event with the same ID.
        url: the database's libpq URL.

    Raises:
        RejectedBodyError: a value does not fit its column's type or violates a constraint.
        UsedIdError: an event with the same ID but a different body was already applied.
        DeliveryDeferredError: PostgreSQL is unreachable or cannot apply the event yet.
        DefinitionError: the table does not match the definition.
        UntrustedSchemaError: another role owns the ``quire`` schema.
    """
    with answer_postgres_errors(), psycopg.connect(url, **_TIMEOUTS, client_encoding=CLIENT_ENCODING) as connection:
        connection.isolation_level = IsolationLevel.READ_COMMITTED  # sees rows committed during a lock wait
        connection.execute(_SETTINGS)
        ensure_trusted_schema(definition, connection)
        if not _is_new(definition.name, event.stamp[1], body_sha256, connection=connection):
            return DeliveryOutcome.REPEATED
        columns = read_target(definition, connection)
        _ensure_not_null(event, columns)
        applied = _RowWriter(definition, columns, event, connection=connection).apply()
        connection.execute(_PRUNE, [EVENT_RETENTION_DAYS, MAX_PRUNED_EVENTS])
    return DeliveryOutcome.APPLIED if applied else DeliveryOutcome.KEPT


def _is_new(webhook: str, event_id: str, body_sha256: bytes, *, connection: Connection) -> bool:
    if connection.execute(_RECORD_EVENT, [webhook, event_id, body_sha256]).rowcount:
        return True
    recorded = connection.execute(
        "SELECT body_sha256 FROM quire.webhook_event WHERE source = %s::text AND event_id = %s::text",
        [webhook, event_id],
    ).fetchone()
    if recorded is None:  # another delivery pruned the event between the two statements
        raise DeliveryDeferredError(NOT_NOW)
    if recorded != (body_sha256,):
        raise UsedIdError("an event with this webhook-id but a different body was already received")
    return False


def _ensure_not_null(event: Event, columns: Mapping[str, TargetColumn]) -> None:
    """Rejects null for a NOT NULL column, even in an outdated event, because the order of arrival must not matter."""
    for name, value in event.values.items():
        if value is None and columns[name].not_null:
            raise RejectedBodyError(f"the {name} column does not accept null")


class _RowWriter:
    """Writes the row that an event changes."""

    def __init__(
        self,
        definition: WebhookDefinition,
        columns: Mapping[str, TargetColumn],
        event: Event,
        *,
        connection: Connection,
    ) -> None:
        self._definition, self._columns, self._event, self._connection = definition, columns, event, connection

    def apply(self) -> bool:
        """Merges the event into the row's state. Returns False if the row is incomplete and was not written."""
        webhook, key = self._definition.name, self._key()
        state, applied = self._fetch_one(_LOCK_STATE, [webhook, key])
        before = RowState.from_json(state)
        after = before.merge(self._event)
        if after == before and applied:
            return True
        if after.deleted != before.deleted and not (after.exists and after.columns.keys() == before.columns.keys()):
            self._execute(statements.delete(self._definition, self._columns, self._event.keys))
        applied = self._write(after) if after.exists else True
        self._connection.execute(_SAVE_STATE, [after.to_json(), applied, webhook, key])
        return applied

    def _key(self) -> list[str]:
        row = {**self._event.keys, **self._event.values}
        (key,) = self._fetch_one(statements.canonical_key(self._definition, self._columns, row))
        return list(key)

    def _write(self, state: RowState) -> bool:
        written = self._definition.written  # the state may contain columns that the definition no longer has
        row = {**self._event.keys, **{name: value for name, value in state.values.items() if name in written}}
        try:
            with self._connection.transaction():
                self._execute(statements.upsert(self._definition, self._columns, row))
        except NotNullViolation as error:
            if error.diag.column_name in row:
                raise
            return bool(self._execute(statements.update(self._definition, self._columns, row)))
        return True

    def _execute(self, statement: Composed) -> int:
        """Executes a statement with the writer's own search_path, because the table's triggers may rely on it."""
        set_path, reset_path = (
            SQL("SET LOCAL search_path TO DEFAULT; "),
            SQL(f"; SET LOCAL search_path TO {SAFE_SEARCH_PATH}"),
        )
        cursor = self._connection.execute(set_path + statement + reset_path)
        cursor.nextset()
        return cursor.rowcount

    def _fetch_one(self, query: Any, binds: list[Any] | None = None) -> tuple[Any, ...]:
        row = self._connection.execute(query, binds).fetchone()
        if row is None:
            raise DeliveryDeferredError(NOT_NOW)
        return row
