"""Merges events into a row's state. For each column, the newest event wins.

The result does not depend on the order in which events arrive. The state keeps the stamp of the event that wrote each
column, and the stamp of the newest deletion, which removes all older values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from quire.inbound_webhooks.event import Event, Stamp
from quire.inbound_webhooks.exact_json import read_json, write_json

NEVER: Stamp = ("", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class RowState:
    """A row's state, merged from its events.

    Args:
        seen: the stamp of the newest event that did not delete the row.
        deleted: the stamp of the newest event that deleted the row.
        columns: the stamp and value of each column that was written after the deletion.
    """

    seen: Stamp = NEVER
    deleted: Stamp = NEVER
    columns: Mapping[str, tuple[Stamp, object]] = field(default_factory=dict)

    @property
    def exists(self) -> bool:
        """Whether the row exists now."""
        return self.seen > self.deleted

    @property
    def values(self) -> dict[str, object]:
        """The newest value for each column."""
        return {column: value for column, (_, value) in self.columns.items()}

    def merge(self, event: Event) -> RowState:
        """Returns the state after merging another event."""
        deleted = max(self.deleted, event.stamp) if event.deletes else self.deleted
        seen = self.seen if event.deletes else max(self.seen, event.stamp)
        columns = dict(self.columns)
        for column, value in event.values.items():
            if event.stamp > columns.get(column, (NEVER, None))[0]:
                columns[column] = (event.stamp, value)
        live = {column: stamped for column, stamped in columns.items() if stamped[0] > deleted}
        return RowState(seen=seen, deleted=deleted, columns=live)

    def to_json(self) -> str:
        """Returns the JSON text that is stored in PostgreSQL."""
        columns = {column: [*stamp, value] for column, (stamp, value) in self.columns.items()}
        return write_json({"seen": self.seen, "deleted": self.deleted, "columns": columns})

    @classmethod
    def from_json(cls, text: str | None) -> RowState:
        """Parses a result of ``to_json``. None represents a row without events."""
        if text is None:
            return cls()
        stored = cast("dict[str, Any]", read_json(text))
        columns = {column: ((at, event_id), value) for column, (at, event_id, value) in stored["columns"].items()}
        return cls(seen=_stamp(stored["seen"]), deleted=_stamp(stored["deleted"]), columns=columns)


def _stamp(pair: list[str]) -> Stamp:
    at, event_id = pair
    return at, event_id
