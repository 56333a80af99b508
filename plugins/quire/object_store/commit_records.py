"""Commit records are small write-once JSON objects that make larger objects valid.

Anyone with write access to the bucket can store a record that Quire will parse. Parsed JSON takes about 100 bytes of
memory for each list, object and item, so limiting a record's length is not enough. Quire therefore also counts a
record's structural characters before parsing it.
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
from quire.object_store.range_reader import READ_ATTEMPTS
from quire.object_store.store import MAX_RECORD_BYTES
from quire.record_types.serialization import field_names, from_json, to_json

logger = logging.getLogger(__name__)

MAX_LOOKUPS = 16  # equals the S3 client's connection pool size
COMMIT_ATTEMPTS = 3
STRUCTURAL_CHARACTERS = (b"[", b"{", b",")
CHECKSUM = "checksum"  # SHA-256 of all other fields, as JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordLimits:
    """A record's maximum size in bytes, and its maximum number of ``[``, ``{`` and ``,`` characters."""

    max_bytes: int
    max_structures: int


# A manifest with 20,000 partitions and 20,000 files is 12 MB long and has 400,000 structures. Parsing a million
# structures takes 100 MB.
MANIFEST_LIMITS = RecordLimits(max_bytes=MAX_RECORD_BYTES, max_structures=1_000_000)
# A partition's record consists mostly of checksums, which take eight digits for each 256 kB of rows: 2.6 MB for the
# largest possible object.
PARTITION_LIMITS = RecordLimits(max_bytes=4 * 1024 * 1024, max_structures=100_000)

Item = TypeVar("Item")
Record = TypeVar("Record")


def read_record(
    store: Store, kind: type[Record], key: str, *, limits: RecordLimits = PARTITION_LIMITS
) -> Record | None:
    """Returns a record, or None if it does not exist.

    Raises:
        DamagedObjectError: the record does not contain the bytes that were written.
        IntegrityError: the record is intact, but a different version of Quire wrote it.
    """
    return _read(store, kind, key, limits=limits)[0]


def find_record(
    store: Store,
    kind: type[Record],
    key: str,
    *,
    ensure: Callable[[Record], None] = lambda record: None,
    limits: RecordLimits = PARTITION_LIMITS,
) -> Record | None:
    """Returns a record, or None if it does not exist. Deletes a record that is damaged or references damaged objects.

    A damaged record is kept if another run has replaced it in the meantime or a different version of Quire wrote it.

    Args:
        store: the object store.
        kind: the record type.
        key: the record's key.
        ensure: raises DamagedObjectError if an object that the record references is missing or damaged.
        limits: the record's limits.

    Raises:
        IntegrityError: the record is intact, but a different version of Quire wrote it.
    """
    body = b""
    try:
        record, body = _read(store, kind, key, limits=limits)
        if record is not None:
            ensure(record)
    except DamagedRecordError as error:
        _discard(store, key, error.body, error=error)
    except DamagedObjectError as error:
        _discard(store, key, body, error=error)
    else:
        return record
    return None


class DamagedRecordError(DamagedObjectError):
    """A record does not contain the bytes that were written. The error includes the bytes that were read."""

    def __init__(self, message: str, *, body: bytes = b"", **place: str | None) -> None:
        super().__init__(message, **place)
        self.body = body


class UnverifiedRecordError(IntegrityError):
    """A record has no checksum: a different version of Quire wrote it, or it was damaged in transit."""


def _read(store: Store, kind: type[Record], key: str, *, limits: RecordLimits) -> tuple[Record | None, bytes]:
    """Returns a record and its bytes. Rereads a damaged record, because it may have been damaged in transit."""
    for _ in range(READ_ATTEMPTS - 1):
        try:
            return _read_once(store, kind, key, limits=limits)
        except (DamagedObjectError, UnverifiedRecordError):
            continue
    return _read_once(store, kind, key, limits=limits)


def _read_once(store: Store, kind: type[Record], key: str, *, limits: RecordLimits) -> tuple[Record | None, bytes]:
    body = store.read(key, max_bytes=limits.max_bytes)
    if body is None:
        return None, b""
    if sum(map(body.count, STRUCTURAL_CHARACTERS)) > limits.max_structures:
        raise DamagedRecordError(f"{key} is damaged: it has too many lists, objects and items", body=body)
    try:
        return _parse(body, kind, key), body
    except RecursionError as error:  # raised by the parser, the checksum or the validation
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
        error_type = UnverifiedRecordError if checksum is None else IntegrityError
        raise error_type(f"{key} was written by another version of Quire: {error.message}") from error


def _validate_fields(value: Any, kind: Any) -> None:
    """Rejects unknown fields in records without a checksum; only early versions of Quire wrote such records."""
    if not isinstance(value, dict):
        raise IntegrityError("it is not a record")
    unknown = sorted(set(value) - field_names(kind))
    if unknown:
        raise IntegrityError(f"it has a field {unknown[0]!r} and no checksum")


def _checksum(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def _discard(store: Store, key: str, body: bytes, *, error: DamagedObjectError) -> None:
    """Deletes a record if its bytes still equal ``body``. The next lookup is then a cache miss.

    Retention deletes the objects that the record referenced.
    """
    if store.delete_unchanged(key, body):
        logger.warning("%s; deleted %s, which the next run will recreate", error.message, key)
    else:
        logger.warning("%s; did not delete %s, which has since been replaced or deleted", error.message, key)


def write_once(store: Store, key: str, record: Any) -> bool:
    """Writes a record with its checksum unless one exists. Of several concurrent writers, exactly one gets True."""
    value = to_json(record)
    return store.put_json_once(key, {**value, CHECKSUM: _checksum(value)})


def commit_once(
    store: Store, key: str, record: Any, *, objects: Iterable[str], find: Callable[[], Record | None]
) -> Record | None:
    """Commits a record and returns None, or returns the record from the writer that committed first.

    If another writer was first, deletes this writer's objects.

    Args:
        store: the object store.
        key: the record's key.
        record: this writer's record.
        objects: keys of the objects that the record references.
        find: returns the committed record; deletes it if it is damaged.

    Raises:
        IntegrityError: on every attempt, another writer's record existed and was then deleted.
    """
    for _ in range(COMMIT_ATTEMPTS):
        if write_once(store, key, record):
            return None
        winner = find()
        if winner == record:  # this writer's own record; the response to an earlier attempt was lost
            return None
        if winner is not None:
            store.delete(objects)
            return winner
    raise IntegrityError(f"{key} was written and deleted by other processes: run the report again")


def map_concurrently(
    find: Callable[[Item], Record], items: Sequence[Item], *, max_lookups: int = MAX_LOOKUPS
) -> list[Record]:
    """Returns ``find(item)`` for each item, in order. Makes up to ``max_lookups`` calls concurrently."""
    if not items:
        return []
    with ThreadPoolExecutor(min(max_lookups, len(items)), thread_name_prefix="lookup") as pool:
        return list(pool.map(find, items))


def folder_of(key: str) -> str:
    """Returns an object's folder."""
    return key.rpartition("/")[0]
