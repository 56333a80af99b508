"""Tests whether an object store has the features that Quire requires; used by ``quire check``."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from quire.errors import NoConnectionError, ReportError, StoreRefusedError
from quire.object_store.s3_errors import translate_s3_errors
from quire.object_store.s3_store import S3Store
from quire.settings import StoreSettings

logger = logging.getLogger(__name__)

PROBES = "probes/"
WRITERS = 4  # concurrent
PART_BYTES = 5 * 1024 * 1024  # minimum size in S3 for every part except the last
MAX_SKEW = timedelta(minutes=5)  # S3 rejects requests at a skew of 15 minutes


def probe_configured_store() -> tuple[str, ...]:
    """Probes the store that the environment configures. Returns lines for the user; empty if no store is configured.

    Raises:
        StoreRefusedError, StoreUnavailableError: see ``probe_store``.
    """
    try:
        store = S3Store(StoreSettings.from_environment())
    except NoConnectionError:
        return ()
    probe_store(store)
    return (f"bucket {store.bucket}: conditional writes, range reads and multipart uploads work",)


def probe_store(store: S3Store) -> None:
    """Tests conditional writes, range reads and multipart uploads, and compares clocks.

    Deletes its test objects before it returns. If the process is killed, ``quire gc`` deletes them.

    Raises:
        StoreRefusedError: the store lacks one of these features, or its clock differs too much from this machine's.
        StoreUnavailableError: the store is unreachable.
    """
    store.check()
    folder = f"{PROBES}{uuid.uuid4().hex}/"
    with _temporary_folder(store, folder):
        _ensure_clocks_agree(store)
        _ensure_condition_holds(store, f"{folder}condition")
        _ensure_one_winner(store, f"{folder}race")
        _ensure_ranges(store, f"{folder}range")
        _ensure_multipart(store, f"{folder}multipart")


@contextmanager
def _temporary_folder(store: S3Store, folder: str) -> Iterator[None]:
    """Runs the block, then deletes the objects and uploads in a folder.

    If the block raises an error, errors during the deletion are only logged.
    """
    try:
        yield
    except BaseException:
        try:
            _clean(store, folder)
        except ReportError as error:
            logger.warning("%s was not deleted: %s", folder, error)
        raise
    _clean(store, folder)


def _clean(store: S3Store, folder: str) -> None:
    store.delete([entry.key for entry in store.list(folder)])
    store.abort_uploads(folder, before=datetime.now(UTC) + timedelta(days=1))


def _ensure_clocks_agree(store: S3Store) -> None:
    skew = datetime.now(UTC) - store.now()
    if abs(skew) > MAX_SKEW:
        direction = "ahead of" if skew > timedelta() else "behind"
        raise StoreRefusedError(
            f"this machine's clock is {abs(skew).total_seconds():.0f} s {direction} the object store's: "
            "synchronize both, because links and signatures depend on them"
        )


def _ensure_condition_holds(store: S3Store, key: str) -> None:
    if not store.put_json_once(key, "first"):
        raise _unsuitable(store, "rejects a conditional write of a new object")
    if store.put_json_once(key, "second") or store.read_json(key) != "first":
        raise _ignores_condition(store)


def _ensure_one_winner(store: S3Store, key: str) -> None:
    with ThreadPoolExecutor(WRITERS, thread_name_prefix="probe") as pool:
        won = list(pool.map(lambda writer: store.put_json_once(key, writer), range(WRITERS)))
    if won.count(True) != 1 or store.read_json(key) != won.index(True):
        raise _ignores_condition(store)


def _ensure_ranges(store: S3Store, key: str) -> None:
    store.put(key, bytes(range(256)))
    with translate_s3_errors(key):
        answer = store.client.get_object(Bucket=store.bucket, Key=key, Range="bytes=100-103")
        body = answer["Body"].read()
    if body != bytes(range(100, 104)):
        raise _unsuitable(store, "ignores the range in a read request")


def _ensure_multipart(store: S3Store, key: str) -> None:
    first, second = b"a" * PART_BYTES, b"b"
    with translate_s3_errors(key):
        upload = store.client.create_multipart_upload(Bucket=store.bucket, Key=key)["UploadId"]
        parts = [
            {
                "PartNumber": number,
                "ETag": store.client.upload_part(
                    Bucket=store.bucket, Key=key, UploadId=upload, PartNumber=number, Body=part
                )["ETag"],
            }
            for number, part in ((1, first), (2, second))
        ]
        if store.size(key) is not None:
            raise _unsuitable(store, "lists an upload before it is complete")
        store.client.complete_multipart_upload(
            Bucket=store.bucket,
            Key=key,
            UploadId=upload,
            MultipartUpload={"Parts": parts},  # type: ignore[typeddict-item]
        )
    if store.size(key) != PART_BYTES + 1 or store.read_range(key, PART_BYTES - 1, 2) != b"ab":
        raise _unsuitable(store, "does not assemble an upload's parts")


def _ignores_condition(store: S3Store) -> StoreRefusedError:
    return _unsuitable(
        store, "ignores the condition on a write (If-None-Match: *): two concurrent writers would both succeed"
    )


def _unsuitable(store: S3Store, defect: str) -> StoreRefusedError:
    return StoreRefusedError(f"the object store that holds bucket {store.bucket} {defect}: use another object store")
