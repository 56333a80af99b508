"""Records in the store: small JSON objects, each written once, that decide which of the large ones count.

Whoever may write to the bucket decides what a reader has to parse. JSON takes up to some 100 bytes of memory for each
list, object and item, so that a record's length alone bounds no memory: its structural characters are counted first.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from quire.errors import DamagedObjectError, IntegrityError, first_line
from quire.object_store import Store
from quire.object_store.store import MAX_RECORD_BYTES
from quire.records.serialization import field_names, from_json, to_json

logger = logging.getLogger(__name__)

LOOKUPS = 16  # at once: as many connections as a store keeps
READ_ATTEMPTS = 3
COMMIT_ATTEMPTS = 3
STRUCTURES = (b"[", b"{", b",")
CHECKSUM = "checksum"  # SHA-256 of all other fields, as JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordLimits:
    """How large a record may be to be read: its bytes, and the ``[``, ``{`` and ``,`` in it."""

    max_bytes: int
    max_structures: int


# 20,000 partitions and as many files have 12 MB and 400,000 structures; a million take some 100 MB once parsed.
MANIFEST_LIMITS = RecordLimits(max_bytes=MAX_RECORD_BYTES, max_structures=1_000_000)
# Most of a partition's record are eight digits for each 256 kB of its rows: 2.6 MB for the largest object of an upload.
PARTITION_LIMITS = RecordLimits(max_bytes=4 * 1024 * 1024, max_structures=100_000)

Item = TypeVar("Item")
Record = TypeVar("Record")


def read_record(
    store: Store, kind: type[Record], key: str, *, limits: RecordLimits = PARTITION_LIMITS
) -> Record | None:
    """Returns a record, or None where there is none.

    Raises:
        DamagedObjectError: its bytes are not those that were written.
        IntegrityError: it is undamaged, but not a record that this version of Quire understands.
    """
    return _read(store, kind, key, limits)[0]


def find_record(
    store: Store,
    kind: type[Record],
    key: str,
    *,
    ensure: Callable[[Record], None] = lambda record: None,
    limits: RecordLimits = PARTITION_LIMITS,
) -> Record | None:
    """Returns a record, or None where there is none; deletes one that is damaged, or that names damaged objects.

    A record that another run has replaced meanwhile stays, and so does one of another version of Quire.

    Args:
        store: where it may be.
        kind: of record.
        key: of the record.
        ensure: raises DamagedObjectError where an object that the record names is missing or damaged.
        limits: of the record.

    Raises:
        IntegrityError: it is undamaged, but not a record that this version of Quire understands.
    """
    body = b""
    try:
        record, body = _read(store, kind, key, limits)
        if record is not None:
            ensure(record)
    except DamagedRecordError as error:
        _discard(store, key, error.body, error)
    except DamagedObjectError as error:
        _discard(store, key, body, error)
    else:
        return record
    return None


class DamagedRecordError(DamagedObjectError):
    """The bytes of a record, which it carries, are not those that were written."""

    def __init__(self, message: str, *, body: bytes = b"", **place: str | None) -> None:
        super().__init__(message, **place)
        self.body = body


class UnverifiedRecordError(IntegrityError):
    """A record without a checksum, which another version of Quire wrote, unless the connection has damaged it."""


def _read(store: Store, kind: type[Record], key: str, limits: RecordLimits) -> tuple[Record | None, bytes]:
    """Returns a record and its bytes; reads it again where it is damaged, since the connection may have damaged it."""
    for _ in range(READ_ATTEMPTS - 1):
        try:
            return _read_once(store, kind, key, limits)
        except (DamagedObjectError, UnverifiedRecordError):
            continue
    return _read_once(store, kind, key, limits)


def _read_once(store: Store, kind: type[Record], key: str, limits: RecordLimits) -> tuple[Record | None, bytes]:
    body = store.read(key, max_bytes=limits.max_bytes)
    if body is None:
        return None, b""
    if sum(map(body.count, STRUCTURES)) > limits.max_structures:
        raise DamagedRecordError(f"{key} is damaged: it has more lists, objects and items than a record may", body=body)
    try:
        return _parse(body, kind, key), body
    except RecursionError as error:  # of the parser, the checksum or the validation
        raise DamagedRecordError(f"{key} is damaged: its JSON is nested too deeply", body=body) from error


def _parse(body: bytes, kind: type[Record], key: str) -> Record:
    try:
        value = json.loads(body)
    except ValueError as error:
        raise DamagedRecordError(f"{key} is damaged: {first_line(error)}", body=body) from error
    checksum = value.pop(CHECKSUM, None) if isinstance(value, dict) else None
    if checksum is not None and checksum != _checksum(value):
        raise DamagedRecordError(f"{key} is damaged: it does not match its checksum", body=body)
    try:
        if checksum is None:
            _validate_fields(value, kind)
        return from_json(kind, value, source="it")
    except IntegrityError as error:
        other = UnverifiedRecordError if checksum is None else IntegrityError
        raise other(f"{key} is of another version of Quire: {error.message}") from error


def _validate_fields(value: Any, kind: Any) -> None:
    """Refuses fields that a record without a checksum cannot have; records of earlier versions have no checksum."""
    if not isinstance(value, dict):
        raise IntegrityError("it is not a record")
    unknown = sorted(set(value) - field_names(kind))
    if unknown:
        raise IntegrityError(f"it has a field {unknown[0]!r} and no checksum")


def _checksum(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _discard(store: Store, key: str, body: bytes, error: DamagedObjectError) -> None:
    """Deletes a record with these bytes, so that it is a cache miss. Retention finds what it named."""
    if store.delete_unchanged(key, body):
        logger.warning("%s; deleted %s, so that it is made again", error.message, key)
    else:
        logger.warning("%s; kept %s, which was replaced or deleted meanwhile", error.message, key)


def write_once(store: Store, key: str, record: Any) -> bool:
    """Writes a record with its checksum unless there is one; of several writers at once, one gets True."""
    value = to_json(record)
    return store.put_json_once(key, {**value, CHECKSUM: _checksum(value)})


def commit_once(
    store: Store, key: str, record: Any, *, objects: Iterable[str], find: Callable[[], Record | None]
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


def side_by_side(find: Callable[[Item], Record], items: Sequence[Item], *, max_lookups: int = LOOKUPS) -> list[Record]:
    """Returns what ``find`` gives for each item, in their order; calls it for ``max_lookups`` items at a time."""
    if not items:
        return []
    with ThreadPoolExecutor(min(max_lookups, len(items)), thread_name_prefix="lookup") as pool:
        return list(pool.map(find, items))


def folder_of(key: str) -> str:
    """Returns the folder that an object lies in."""
    return key.rpartition("/")[0]
