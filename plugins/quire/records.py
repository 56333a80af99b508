"""Records in the store: small JSON objects, each written once, that decide which of the large ones count."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from typing import Any, TypeVar

from quire.errors import DamagedObjectError, IntegrityError, first_line
from quire.object_store import ObjectStore
from quire.serialization import from_json, to_json

logger = logging.getLogger(__name__)

LOOKUPS = 16  # at once: as many connections as a store keeps
READ_ATTEMPTS = 3
COMMIT_ATTEMPTS = 3
CHECKSUM = "checksum"  # SHA-256 of all other fields, as JSON

Item = TypeVar("Item")
Record = TypeVar("Record")


def read_record(store: ObjectStore, kind: type[Record], key: str) -> Record | None:
    """Returns a record, or None where there is none; reads it again where its checksum does not match.

    Raises:
        DamagedObjectError: its checksum never matches, or it is no such record.
    """
    for _ in range(READ_ATTEMPTS - 1):
        try:
            return _read_once(store, kind, key)
        except DamagedObjectError:  # on its way, if the next answer is another
            continue
    return _read_once(store, kind, key)


def _read_once(store: ObjectStore, kind: type[Record], key: str) -> Record | None:
    body = store.read(key)
    if body is None:
        return None
    try:
        value = json.loads(body)
        _validate_checksum(value, kind)
        return from_json(kind, value, source="it")
    except (ValueError, IntegrityError) as error:
        raise DamagedObjectError(f"{key} is damaged: {first_line(error)}") from error


def _validate_checksum(value: Any, kind: Any) -> None:
    """Takes the checksum out of a record's value, and compares it with the rest.

    Records of earlier versions have none. What has neither a checksum nor exactly the fields of the record is damaged:
    the name of its checksum may be.
    """
    if not isinstance(value, dict):
        raise IntegrityError("it is no record")
    checksum = value.pop(CHECKSUM, None)
    if checksum is None:
        unknown = sorted(set(value) - {field.name for field in fields(kind)})
        if unknown:
            raise IntegrityError(f"it is no {kind.__name__}, with a field {unknown[0]!r} and no checksum")
    elif checksum != _checksum(value):
        raise IntegrityError("it does not match its checksum")


def _checksum(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def discard_record(store: ObjectStore, key: str, error: DamagedObjectError) -> None:
    """Deletes a record that is damaged, or names what is: a cache miss is left. Retention finds what it named."""
    logger.warning("%s; %s is deleted, so that it is made again", error.message, key)
    store.delete([key])


def write_once(store: ObjectStore, key: str, record: Any) -> bool:
    """Writes a record with its checksum unless there is one; of several writers at once, one gets True."""
    value = to_json(record)
    return store.put_json_once(key, {**value, CHECKSUM: _checksum(value)})


def commit_once(
    store: ObjectStore, key: str, record: Any, *, objects: Iterable[str], find: Callable[[], Record | None]
) -> Record | None:
    """Writes a record once; returns None where it counts.

    Where another writer was first, this one's objects are deleted, and the winner's record is returned.

    Args:
        store: where the record goes.
        key: of the record.
        record: of this writer.
        objects: keys of what it names.
        find: reads the record that counts, and deletes one that is damaged.

    Raises:
        IntegrityError: the winner's record is gone each time.
    """
    for _ in range(COMMIT_ATTEMPTS):
        if write_once(store, key, record):
            return None
        winner = find()
        if winner == record:  # our own, whose answer was lost
            return None
        if winner is not None:
            store.delete(objects)
            return winner
    raise IntegrityError(f"{key} was there and is gone: run it again")


def side_by_side(find: Callable[[Item], Record], items: Sequence[Item]) -> list[Record]:
    """Returns what ``find`` gives for each item, in their order; the store is asked for several at a time."""
    if not items:
        return []
    with ThreadPoolExecutor(min(LOOKUPS, len(items)), thread_name_prefix="lookup") as pool:
        return list(pool.map(find, items))


def folder_of(key: str) -> str:
    """Returns the folder that an object lies in."""
    return key.rpartition("/")[0]
