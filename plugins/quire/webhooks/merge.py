"""What is known of a key, and what an event adds to it: in every column, the newest event wins.

Events may come in any order, and what comes out is the same for all orders. Each column remembers the stamp of the
event that wrote it; a deletion remembers its own, and ends whatever is older.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from quire.webhooks.event import Event, Stamp
from quire.webhooks.exact_json import read_json, write_json

NEVER: Stamp = ("", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """All that is known of a key.

    Args:
        seen: the newest event that did not delete.
        deleted: the newest that did.
        columns: by name, the stamp and the value, newer than the deletion.
    """

    seen: Stamp = NEVER
    deleted: Stamp = NEVER
    columns: Mapping[str, tuple[Stamp, object]] = field(default_factory=dict)

    @property
    def exists(self) -> bool:
        """Whether there is such a row, now."""
        return self.seen > self.deleted

    @property
    def values(self) -> dict[str, object]:
        """The newest value of every column that is known."""
        return {column: value for column, (_, value) in self.columns.items()}

    def merged(self, event: Event) -> Known:
        """Returns what is known with one event more."""
        deleted = max(self.deleted, event.stamp) if event.deletes else self.deleted
        seen = self.seen if event.deletes else max(self.seen, event.stamp)
        columns = dict(self.columns)
        for column, value in event.values.items():
            if event.stamp > columns.get(column, (NEVER, None))[0]:
                columns[column] = (event.stamp, value)
        live = {column: known for column, known in columns.items() if known[0] > deleted}
        return Known(seen=seen, deleted=deleted, columns=live)

    def to_json(self) -> str:
        """Returns it as it is stored."""
        columns = {column: [*stamp, value] for column, (stamp, value) in self.columns.items()}
        return write_json({"seen": self.seen, "deleted": self.deleted, "columns": columns})

    @classmethod
    def from_json(cls, text: str | None) -> Known:
        """Reads what ``to_json`` wrote; nothing is known of None."""
        if text is None:
            return cls()
        stored = cast("dict[str, Any]", read_json(text))
        columns = {column: ((at, event_id), value) for column, (at, event_id, value) in stored["columns"].items()}
        return cls(seen=_stamp(stored["seen"]), deleted=_stamp(stored["deleted"]), columns=columns)


def _stamp(pair: list[str]) -> Stamp:
    at, event_id = pair
    return at, event_id
