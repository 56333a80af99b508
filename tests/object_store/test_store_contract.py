"""The contract that every store fulfills: S3, a local folder and memory."""

from __future__ import annotations

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from quire.errors import DamagedObjectError, IntegrityError
from quire.object_store import Store
from quire.object_store.folder_store import FolderStore
from quire.object_store.memory_store import MemoryStore
from quire.object_store.s3_store import S3Store
from quire.object_store.store import STREAM_BYTES, NoSuchKeyError

WRITERS = 8
KEYS = ("a-b", "a.json", "a/1/x", "a/1/y/z", "a/2/x", "ab/x", "b/ä ö+%20#?&.xlsx", "b/\U00010348", "b/￮")


def test_put_stores_the_bytes_and_replaces_an_object(store: Store) -> None:
    store.put("folder/key", b"first")
    store.put("folder/key", b"second")
    assert store.read("folder/key") == b"second"
    assert (store.size("folder/key"), store.size("folder/other"), store.size("folder")) == (6, None, None)
    assert store.has_size("folder/key", 6)
    assert not store.has_size("folder/key", 5)


def test_read_of_a_missing_or_large_object_returns_none_or_raises(store: Store) -> None:
    store.put("key", b"12345")
    assert store.read("key", max_bytes=5) == b"12345"
    assert store.read("other") is None
    assert store.read("key/below") is None
    with pytest.raises(IntegrityError, match="key has 5 bytes, more than the limit of 4"):
        store.read("key", max_bytes=4)


def test_put_once_keeps_the_first_bytes(store: Store) -> None:
    assert store.put_once("a/record", b"first")
    assert not store.put_once("a/record", b"second")
    assert store.read("a/record") == b"first"


def test_put_once_after_a_lost_response_returns_true(store: Store) -> None:
    assert store.put_json_once("record", {"a": 1})
    assert store.put_json_once("record", {"a": 1})
    assert not store.put_json_once("record", {"a": 2})


def test_put_once_by_concurrent_writers_has_one_winner(store: Store) -> None:
    barrier = threading.Barrier(WRITERS)

    def write(number: int) -> bool:
        barrier.wait()
        return store.put_json_once("a/record.json", {"writer": number})

    with ThreadPoolExecutor(WRITERS) as pool:
        results = list(pool.map(write, range(WRITERS)))
    assert results.count(True) == 1
    assert store.read_json("a/record.json") == {"writer": results.index(True)}
    assert [entry.key for entry in store.list("")] == ["a/record.json"]


def test_read_json_of_other_bytes_raises_with_the_key(store: Store) -> None:
    store.put("torn.json", b"{")
    with pytest.raises(IntegrityError, match=r"torn\.json is not JSON"):
        store.read_json("torn.json")
    assert store.read_json("none.json") is None


def test_delete_unchanged_deletes_only_the_same_bytes(store: Store) -> None:
    store.put("a/record", b"current")
    for other in (b"earlier", b"cur", b"current and more"):
        assert not store.delete_unchanged("a/record", other)
    assert store.read("a/record") == b"current"
    assert store.delete_unchanged("a/record", b"current")
    assert store.read("a/record") is None
    assert not store.delete_unchanged("a/record", b"current")


def test_delete_unchanged_by_concurrent_deleters_never_deletes_a_new_record(store: Store) -> None:
    """Every process has read only the damaged bytes, so the record that replaces them must survive."""
    store.put("record", b"damaged")
    barrier = threading.Barrier(WRITERS)

    def discard_and_write(number: int) -> bool:
        barrier.wait()
        store.delete_unchanged("record", b"damaged")
        return store.put_once("record", f"{number}".encode())

    with ThreadPoolExecutor(WRITERS) as pool:
        results = list(pool.map(discard_and_write, range(WRITERS)))
    assert results.count(True) == 1
    assert store.read("record") == f"{results.index(True)}".encode()


def test_read_range_returns_exactly_the_range_or_raises(store: Store) -> None:
    body = bytes(range(256)) * 4
    store.put("a", body)
    assert store.read_range("a", 100, 300) == body[100:400]
    assert store.read_range("a", len(body) - 1, 1) == body[-1:]
    with pytest.raises(DamagedObjectError, match="a is 5 bytes too short"):
        store.read_range("a", len(body) - 5, 10)
    with pytest.raises(NoSuchKeyError, match="b is not in the store"):
        store.read_range("b", 0, 10)


def test_open_object_reads_like_a_file(store: Store) -> None:
    body = bytes(range(256)) * 100
    store.put("a", body)
    with store.open_object("a", len(body)) as file:
        file.seek(1000)
        assert file.read(5) == body[1000:1005]
        assert file.tell() == 1005
        file.seek(-3, 2)
        assert file.read() == body[-3:]


def test_stream_yields_every_byte_in_pieces(store: Store) -> None:
    body = bytes(range(256)) * (STREAM_BYTES // 256) + b"end"
    store.put("a", body)
    pieces = list(store.stream("a"))
    assert b"".join(pieces) == body
    assert max(map(len, pieces)) <= STREAM_BYTES
    with pytest.raises(NoSuchKeyError, match="b is not in the store"):
        next(store.stream("b"))


def test_read_verified_rejects_other_bytes(store: Store) -> None:
    store.put("a", b"rows")
    digest = hashlib.sha256(b"rows").hexdigest()
    assert store.read_verified("a", sha256=digest, size=4) == b"rows"
    store.put("a", b"Rows")
    with pytest.raises(DamagedObjectError, match="a does not match its checksum"):
        store.read_verified("a", sha256=digest, size=4)
    with pytest.raises(NoSuchKeyError, match="b is not in the store"):
        store.read_verified("b", sha256=digest, size=4)


def test_list_yields_objects_by_prefix_with_size_and_time(store: Store) -> None:
    for key in KEYS:
        store.put(key, key.encode())
    entries = list(store.list(""))
    assert sorted((entry.key, entry.bytes) for entry in entries) == sorted((key, len(key.encode())) for key in KEYS)
    assert all(abs(store.now() - entry.modified) < timedelta(minutes=1) for entry in entries)
    for prefix in ("a", "a/", "a/1", "a/1/", "a/1/x", "ab/", "b/ä", "none", "none/", "a/1/x/", "../", "/"):
        assert {entry.key for entry in store.list(prefix)} == {key for key in KEYS if key.startswith(prefix)}, prefix


def test_list_yields_the_objects_of_a_folder_in_byte_order(store: Store) -> None:
    for key in KEYS:
        store.put(key, b"")
    for folder in ("a/1/", "b/"):
        expected = sorted((key for key in KEYS if key.startswith(folder)), key=str.encode)
        assert [entry.key for entry in store.list(folder)] == expected


def test_folders_yields_each_folder_with_objects_once(store: Store) -> None:
    for key in ("a/1/x", "a/1/y/z", "a/2/x", "a/3/x", "a/file", "ab/x", "c"):
        store.put(key, b"")
    assert list(store.folders("")) == ["a/", "ab/"]
    assert list(store.folders("a/")) == ["a/1/", "a/2/", "a/3/"]
    assert list(store.folders("a/1/")) == ["a/1/y/"]
    assert list(store.folders("none/")) == []


def test_delete_ignores_missing_objects(store: Store) -> None:
    for key in ("a/1", "a/2", "b"):
        store.put(key, b"x")
    store.delete(key for key in ("a/1", "a", "never/there", "b"))
    assert [entry.key for entry in store.list("")] == ["a/2"]


def test_age_counts_from_the_last_write(store: Store) -> None:
    store.put("a", b"")
    age = store.age("a")
    assert age is not None
    assert timedelta(seconds=-1) <= age < timedelta(minutes=1)
    assert store.age("b") is None


def test_concurrent_writes_and_deletes_in_a_folder_lose_nothing(store: Store) -> None:
    def work(number: int) -> None:
        for turn in range(10):
            key = f"a/b/c{turn % 2}/{number}"
            store.put(key, b"x")
            assert store.read(key) == b"x"
            store.delete([key])

    with ThreadPoolExecutor(WRITERS) as pool:
        list(pool.map(work, range(WRITERS)))
    assert list(store.list("")) == []


def test_check_accepts_the_store(store: Store) -> None:
    store.check()


def test_location_of_a_store_with_other_objects_differs(store: Store, tmp_path: Path) -> None:
    others: list[Store] = [MemoryStore(), FolderStore(tmp_path / "other")]
    if isinstance(store, S3Store):
        others.append(S3Store(replace(store.settings, bucket="other")))
        others.append(S3Store(replace(store.settings, endpoint_url="https://s3.example.org")))
    assert store.location not in {other.location for other in others}
