"""An upload to S3, a local folder or memory creates either a complete object or none."""

from __future__ import annotations

import hashlib
import threading
from datetime import datetime, timedelta

import pytest
from quire.errors import DamagedObjectError, StoreUnavailableError
from quire.object_store import Store
from quire.object_store.block_checksums import BLOCK_BYTES
from quire.object_store.s3_upload import PART_BYTES

DAY = timedelta(days=1)


def abort_all(store: Store, *, prefix: str = "", before: datetime | None = None) -> int:
    """Aborts all uploads, or those that started before a given time, and returns how many were aborted."""
    return store.abort_uploads(prefix, before=before or store.now() + DAY)


@pytest.mark.parametrize("size", [0, 1, PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 3 * PART_BYTES + 5])
def test_upload_stores_every_byte_with_its_checksum(store: Store, size: int) -> None:
    body = (b"0123456789abcdef" * (size // 16 + 1))[:size]
    with store.open_upload("a/large") as upload:
        for start in range(0, size, 1_000_000):
            upload.write(memoryview(body)[start : start + 1_000_000])
    assert store.read("a/large") == body
    assert (upload.bytes, upload.sha256) == (size, hashlib.sha256(body).hexdigest())
    assert abort_all(store) == 0


@pytest.mark.parametrize("size", [10, 2 * PART_BYTES + 1])
def test_upload_that_fails_leaves_nothing(store: Store, size: int) -> None:
    def write_half() -> None:
        with store.open_upload("a/broken") as upload:
            upload.write(b"x" * size)
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        write_half()
    assert store.read("a/broken") is None
    assert list(store.list("")) == []
    assert abort_all(store) == 0
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("upload")]


def test_upload_appears_only_when_it_is_complete(store: Store) -> None:
    store.put("a", b"before")
    with store.open_upload("a") as upload:
        upload.write(b"x" * (PART_BYTES + 1))
        assert store.read("a") == b"before"
        assert [entry.key for entry in store.list("")] == ["a"]
    assert store.size("a") == PART_BYTES + 1


def test_aborted_upload_raises_and_leaves_nothing(store: Store) -> None:
    def write_and_abort() -> None:
        with store.open_upload("a/ended") as upload:
            upload.write(b"x" * (PART_BYTES + 1))
            assert abort_all(store, prefix="b/") == 0
            assert abort_all(store, before=store.now() - DAY) == 0
            assert abort_all(store, prefix="a/") == 1

    with pytest.raises(StoreUnavailableError, match=r"the upload of a/ended was (ended|aborted) by"):
        write_and_abort()
    assert store.size("a/ended") is None
    assert abort_all(store) == 0


def test_abort_uploads_aborts_every_upload_of_a_prefix(store: Store) -> None:
    uploads = [store.open_upload(f"a/{number}") for number in range(5)]
    for upload in uploads:
        upload.__enter__()
        upload.write(b"x" * PART_BYTES)
    assert abort_all(store, prefix="a/") == len(uploads)
    for upload in uploads:
        with pytest.raises(StoreUnavailableError):
            upload.__exit__(None, None, None)
    assert list(store.list("")) == []


def test_verified_reader_reads_any_range_and_finds_damage(store: Store) -> None:
    body = bytes(range(256)) * (3 * BLOCK_BYTES // 256) + b"tail"
    with store.open_upload("a") as upload:
        upload.write(body)
    with store.open_verified("a", upload.bytes, upload.checksums) as file:
        file.seek(BLOCK_BYTES - 2)
        assert file.read(4) == body[BLOCK_BYTES - 2 : BLOCK_BYTES + 2]
        file.seek(-2, 2)
        assert file.read() == body[-2:]
    store.put("a", body[:-1] + b"?")
    with store.open_verified("a", upload.bytes, upload.checksums) as file:
        assert file.read(4) == body[:4]
        file.seek(-1, 2)
        with pytest.raises(DamagedObjectError, match="a does not match its checksum"):
            file.read()
    with pytest.raises(DamagedObjectError, match="a was stored without a checksum"):
        store.open_verified("a", upload.bytes, upload.checksums[:-8])
