"""Records in the store: small JSON objects, each written once, that decide which of the large ones count."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from quire.errors import IntegrityError
from quire.object_store import ObjectStore
from quire.serialization import from_json, to_json

LOOKUPS = 16  # at once: as many connections as a store keeps

Item = TypeVar("Item")
Record = TypeVar("Record")


def read_record(store: ObjectStore, kind: type[Record], key: str) -> Record | None:
    """Returns a record, or None where there is none.

    Raises:
        IntegrityError: what is there is no such record.
    """
    value = store.read_json(key)
    return None if value is None else from_json(kind, value, source=key)


def keep_first(
    store: ObjectStore, key: str, record: Any, *, objects: Iterable[str], find: Callable[[], Record | None]
) -> Record | None:
    """Writes a record once; returns None where it counts.

    Where another writer was first, this one's objects are deleted, and the winner's record is returned.

    Args:
        store: where the record goes.
        key: of the record.
        record: of this writer.
        objects: keys of what it names.
        find: reads the record that counts.

    Raises:
        IntegrityError: the winner's record is gone, or not what it should be.
    """
    if store.put_json_once(key, to_json(record)):
        return None
    store.delete(objects)
    winner = find()
    if winner is None:
        raise IntegrityError(f"{key} was there and is gone: run it again")
    return winner


def side_by_side(find: Callable[[Item], Record], items: Sequence[Item]) -> list[Record]:
    """Returns what ``find`` gives for each item, in their order; the store is asked for several at a time."""
    if not items:
        return []
    with ThreadPoolExecutor(min(LOOKUPS, len(items)), thread_name_prefix="lookup") as pool:
        return list(pool.map(find, items))


def folder_of(key: str) -> str:
    """Returns the folder that an object lies in."""
    return key.rpartition("/")[0]
