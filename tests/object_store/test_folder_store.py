"""Tests the store in a local folder: files, errors, concurrent processes and crashes."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from urllib.request import url2pathname

import pytest
from quire.errors import StoreRefusedError
from quire.object_store.folder_store import FolderStore

PROCESSES = 4


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "out"


def fork(work: Callable[[], int]) -> int:
    """Runs ``work`` in a child process, and returns the child's process ID. ``work``'s result is the exit status."""
    child = os.fork()
    if child == 0:
        status = 99
        try:
            status = work()
        finally:
            os._exit(status)
    return child


def exit_status(child: int) -> int:
    """Returns a child's exit status, or the negated number of the signal that killed it."""
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def test_objects_are_files_at_their_keys(folder: Path) -> None:
    store = FolderStore(folder)
    store.put("reports/flights/März 1.xlsx", b"body")
    assert (folder / "reports" / "flights" / "März 1.xlsx").read_bytes() == b"body"
    store.delete(["reports/flights/März 1.xlsx"])
    assert [path.name for path in folder.iterdir()] == [".quire"]
    assert list(store.folders("")) == []


def test_folder_without_objects_is_not_listed(folder: Path) -> None:
    store = FolderStore(folder)
    store.put("a/b/c", b"")
    (folder / "a" / "empty" / "below").mkdir(parents=True)
    assert list(store.folders("a/")) == ["a/b/"]


def test_link_is_the_url_of_the_file(folder: Path) -> None:
    store = FolderStore(folder)
    store.put("reports/a b%20#?.xlsx", b"body")
    link = store.presign("reports/a b%20#?.xlsx", seconds=60, filename="a.xlsx")
    assert link.startswith("file:///")
    assert Path(url2pathname(link.removeprefix("file://"))).read_bytes() == b"body"


@pytest.mark.parametrize(
    "key", ["", "/etc/passwd", "../a", "a/../../b", "a//b", "a/", ".quire/lock", "a\0b", "a\ud800"]
)
def test_key_outside_the_folder_is_rejected(folder: Path, key: str) -> None:
    store = FolderStore(folder)
    (folder.parent / "b").write_text("outside")
    uses: tuple[Callable[[], object], ...] = (
        lambda: store.read(key),
        lambda: store.delete([key]),
        lambda: store.put(key, b""),
        lambda: store.put_once(key, b""),
    )
    for use in uses:
        with pytest.raises(StoreRefusedError, match="is not a valid object key in a local folder"):
            use()
    assert list(store.list(key)) == []
    assert store.abort_uploads(key, before=store.now()) == 0


def test_listing_ignores_links_and_the_reserved_folder(folder: Path) -> None:
    store = FolderStore(folder)
    store.put("a/b", b"")
    (folder / "loop").symlink_to(folder)
    (folder / "a" / "link").symlink_to(folder / "a" / "b")
    assert [entry.key for entry in store.list("")] == ["a/b"]
    assert list(store.folders("")) == ["a/"]
    assert list(store.list(".quire/")) == []


def test_folder_that_is_a_file_is_rejected_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    store = FolderStore(tmp_path / "file")
    with pytest.raises(StoreRefusedError, match=r"file failed for its files: .*; check its path and permissions"):
        store.check()
    with pytest.raises(StoreRefusedError, match="file failed for a: "):
        store.put("a", b"")


def test_key_below_an_object_is_rejected(folder: Path) -> None:
    store = FolderStore(folder)
    store.put("a", b"")
    with pytest.raises(StoreRefusedError, match="failed for a/b: "):
        store.put("a/b", b"")


def test_name_that_is_too_long_for_the_disk_is_rejected(folder: Path) -> None:
    with pytest.raises(StoreRefusedError, match="File name too long"):
        FolderStore(folder).put("x" * 300, b"")


def test_put_once_by_several_processes_has_one_winner(folder: Path) -> None:
    store = FolderStore(folder)
    ready, start = os.pipe()

    def write(number: int) -> int:
        os.close(start)
        os.read(ready, 1)  # all children start when the parent closes its end of the pipe
        return int(store.put_once("a/record", f"{number}".encode()))

    children = [fork(lambda number=number: write(number)) for number in range(PROCESSES)]  # type: ignore[misc]
    os.close(start)
    winners = [number for number, child in enumerate(children) if exit_status(child)]
    os.close(ready)
    assert len(winners) == 1
    assert store.read("a/record") == f"{winners[0]}".encode()


def test_killed_upload_leaves_a_temporary_file_that_is_aborted(folder: Path) -> None:
    store = FolderStore(folder)

    def write_and_die() -> int:
        with store.open_upload("a/b") as upload:
            upload.write(b"x" * 100_000)
            os.kill(os.getpid(), signal.SIGKILL)
        return 0

    assert exit_status(fork(write_and_die)) == -signal.SIGKILL
    assert store.read("a/b") is None
    assert list(store.list("")) == []
    assert store.abort_uploads("a/", before=store.now() - timedelta(hours=1)) == 0
    assert store.abort_uploads("a/", before=store.now() + timedelta(hours=1)) == 1
    assert not [path for path in folder.rglob("*") if path.is_file() and path.name != "lock"]


def test_process_killed_with_the_lock_does_not_block_the_others(folder: Path) -> None:
    store = FolderStore(folder)

    def lock_and_die() -> int:
        with store._lock_files():
            os.kill(os.getpid(), signal.SIGKILL)
        return 0

    assert exit_status(fork(lock_and_die)) == -signal.SIGKILL
    assert store.put_once("a", b"x")
