"""One delivery in one transaction: noted, merged with what is known of its key, and written; or nothing of all that.

Locks are taken in one order (the event, the key, the row), so that two deliveries never wait for each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

import psycopg
from psycopg import IsolationLevel
from psycopg.errors import NotNullViolation
from psycopg.sql import SQL, Composed

from quire.postgres.session_settings import SAFE_SEARCH_PATH
from quire.report.sql_literal import CLIENT_ENCODING
from quire.webhooks import statements
from quire.webhooks.definition import WebhookDefinition
from quire.webhooks.event import Event
from quire.webhooks.merge import Known
from quire.webhooks.rejections import NOT_NOW, BodyRefused, DeliveryDeferred, UsedIdRefused, answering_for_postgresql
from quire.webhooks.target import Connection, TargetColumn, ensure_trusted_schema, read_target

# Seconds, and milliseconds: a connection that falls silent must not keep its turn for ever.
_PATIENCE: dict[str, Any] = {
    "connect_timeout": 5, "tcp_user_timeout": 20_000,
    "keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3,
}  # fmt: skip
DAYS_TO_REMEMBER = 30  # senders give up after some days
PRUNED_AT_ONCE = 8  # more than one, so that a backlog shrinks
_SETTINGS = (
    f"SET LOCAL search_path TO {SAFE_SEARCH_PATH}; "
    "SET LOCAL timezone = 'UTC'; SET LOCAL datestyle = 'ISO'; "
    "SET LOCAL lock_timeout = '10s'; SET LOCAL statement_timeout = '20s'"
)
_NOTE = """
INSERT INTO quire.webhook_event (source, event_id, body_sha256) VALUES (%s::text, %s::text, %s::bytea)
ON CONFLICT (source, event_id) DO NOTHING
"""
# Others prune at the same time: none waits for them.
_PRUNE = """
DELETE FROM quire.webhook_event WHERE (source, event_id) IN (
    SELECT source, event_id FROM quire.webhook_event
     WHERE received_at < now() - make_interval(days => %s::integer)
     ORDER BY received_at LIMIT %s::bigint FOR UPDATE SKIP LOCKED)
"""
# An update that changes nothing, for its lock: in whatever order two come, the second sees what the first left.
_LOCK = """
INSERT INTO quire.webhook_record AS known (source, key) VALUES (%s::text, %s::text[])
ON CONFLICT (source, key) DO UPDATE SET source = excluded.source RETURNING state::text, applied
"""
_REMEMBER = """
UPDATE quire.webhook_record SET state = %s::jsonb, applied = %s::boolean, changed_at = now()
 WHERE source = %s::text AND key = %s::text[]
"""


class Outcome(StrEnum):
    """What became of a delivery."""

    APPLIED = "applied"
    KEPT = "kept"
    REPEATED = "repeated"


def ingest(definition: WebhookDefinition, event: Event, *, body_sha256: bytes, url: str) -> Outcome:
    """Takes an event, once.

    Args:
        definition: of its source.
        event: as read from the body.
        body_sha256: of the body, for telling a repetition from another event of the same id.
        url: libpq address of the database.

    Raises:
        BodyRefused: a value is not of its column's type, or breaks a constraint.
        UsedIdRefused: another body came under this id.
        DeliveryDeferred: PostgreSQL is away, or not ready for it.
        DefinitionError: the table is not as the definition says.
        UntrustedSchemaError: the schema ``quire`` is owned by another role.
    """
    with answering_for_postgresql(), psycopg.connect(url, **_PATIENCE, client_encoding=CLIENT_ENCODING) as connection:
        connection.isolation_level = IsolationLevel.READ_COMMITTED  # who waited for a lock sees what was committed
        connection.execute(_SETTINGS)
        ensure_trusted_schema(definition, connection)
        if not _is_new(definition.name, event.stamp[1], body_sha256, connection):
            return Outcome.REPEATED
        columns = read_target(definition, connection)
        _ensure_not_null(event, columns)
        applied = _Row(definition, columns, event, connection).take()
        connection.execute(_PRUNE, [DAYS_TO_REMEMBER, PRUNED_AT_ONCE])
    return Outcome.APPLIED if applied else Outcome.KEPT


def _is_new(source: str, event_id: str, body_sha256: bytes, connection: Connection) -> bool:
    if connection.execute(_NOTE, [source, event_id, body_sha256]).rowcount:
        return True
    known = connection.execute(
        "SELECT body_sha256 FROM quire.webhook_event WHERE source = %s::text AND event_id = %s::text",
        [source, event_id],
    ).fetchone()
    if known is None:  # pruned between the two statements
        raise DeliveryDeferred(NOT_NOW)
    if known != (body_sha256,):
        raise UsedIdRefused("an event of this webhook-id was taken already, and its body was another")
    return False


def _ensure_not_null(event: Event, columns: Mapping[str, TargetColumn]) -> None:
    """Refuses what the table could not take, whether or not this event is the newest: the order must not matter."""
    for name, value in event.values.items():
        if value is None and columns[name].not_null:
            raise BodyRefused(f"the column {name} takes no null")


class _Row:
    """The row that an event speaks of."""

    def __init__(
        self,
        definition: WebhookDefinition,
        columns: Mapping[str, TargetColumn],
        event: Event,
        connection: Connection,
    ) -> None:
        self._definition, self._columns, self._event, self._connection = definition, columns, event, connection

    def take(self) -> bool:
        """Merges the event with what is known; returns whether the table has it, or false where the row waits."""
        source, key = self._definition.name, self._key()
        state, applied = self._one(_LOCK, [source, key])
        before = Known.from_json(state)
        after = before.merged(self._event)
        if after == before and applied:
            return True
        if after.deleted != before.deleted and not (after.exists and after.columns.keys() == before.columns.keys()):
            self._execute(statements.delete(self._definition, self._columns, self._event.keys))
        applied = self._write(after) if after.exists else True
        self._connection.execute(_REMEMBER, [after.to_json(), applied, source, key])
        return applied

    def _key(self) -> list[str]:
        given = {**self._event.keys, **self._event.values}
        (key,) = self._one(statements.canonical_key(self._definition, self._columns, given))
        return list(key)

    def _write(self, known: Known) -> bool:
        written = self._definition.written  # what was taken out of the definition since is remembered, and not written
        row = {**self._event.keys, **{name: value for name, value in known.values.items() if name in written}}
        try:
            with self._connection.transaction():
                self._execute(statements.upsert(self._definition, self._columns, row))
        except NotNullViolation as error:
            if error.diag.column_name in row:
                raise
            return bool(self._execute(statements.update(self._definition, self._columns, row)))
        return True

    def _execute(self, statement: Composed) -> int:
        """Writes to the table under the writer's own search_path, which its triggers may rely on."""
        there, back = SQL("SET LOCAL search_path TO DEFAULT; "), SQL(f"; SET LOCAL search_path TO {SAFE_SEARCH_PATH}")
        cursor = self._connection.execute(there + statement + back)
        cursor.nextset()
        return cursor.rowcount

    def _one(self, query: Any, binds: list[Any] | None = None) -> tuple[Any, ...]:
        row = self._connection.execute(query, binds).fetchone()
        if row is None:
            raise DeliveryDeferred(NOT_NOW)
        return row
