"""Reading an object that exceeds the size limit fails early, even if the store does not return a length."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import boto3
import pytest
from quire.errors import DamagedObjectError, IntegrityError
from quire.object_store.s3_store import S3Store
from quire.settings import StoreSettings

BLOCK = b"x" * 65_536
BLOCKS = 400  # far more than socket buffers can hold
SMALL = b"x" * 1_000


class ChunkedStore(ThreadingHTTPServer):
    """A store that responds in chunks without a length, and counts the chunks that it sends.

    Args:
        blocks: the blocks that each response contains.
    """

    def __init__(self, blocks: list[bytes]) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.blocks, self.sent = blocks, 0


class Answer(BaseHTTPRequestHandler):
    """Responds with the store's blocks."""

    protocol_version = "HTTP/1.1"
    server: ChunkedStore

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.send_header("ETag", '"1"')
        self.end_headers()
        with suppress(OSError):  # the reader may close the connection
            for block in (*self.server.blocks, b""):
                self.wfile.write(f"{len(block):x}\r\n".encode() + block + b"\r\n")
                self.server.sent += 1

    def log_message(self, *args: object) -> None:
        """Logs nothing."""


@cache
def shared_session() -> boto3.session.Session:
    """Returns a session that all stores share, because loading the S3 service description takes 0.15 s."""
    return boto3.session.Session(aws_access_key_id="a", aws_secret_access_key="s", region_name="us-east-1")


@contextmanager
def chunked(blocks: list[bytes]) -> Iterator[tuple[ChunkedStore, S3Store]]:
    with ChunkedStore(blocks) as server:
        thread = Thread(target=server.serve_forever, args=[0.01])
        thread.start()
        try:
            address = f"http://127.0.0.1:{server.server_port}"
            settings = StoreSettings(bucket="b", endpoint_url=address, access_key="a", secret_key="s")
            yield server, S3Store(settings, session=shared_session())
        finally:
            server.shutdown()
            thread.join()


def test_object_without_a_length_is_read_only_up_to_the_limit() -> None:
    with chunked([BLOCK] * BLOCKS) as (server, store):
        with pytest.raises(IntegrityError, match="over 1000 bytes, more than the limit of 1000"):
            store.read("k", max_bytes=len(SMALL))
        assert server.sent < BLOCKS / 2
    with chunked([SMALL]) as (_, store):
        assert store.read("k", max_bytes=len(SMALL)) == SMALL


@contextmanager
def wrong_lengths(count: int) -> Iterator[S3Store]:
    """Yields a store whose first responses have the wrong length, as if they had been damaged in transit."""

    class MeasuredAnswer(Answer):
        remaining = count

        def do_GET(self) -> None:
            extra = 10**9 if MeasuredAnswer.remaining > 0 else 0
            MeasuredAnswer.remaining -= 1
            self.send_response(200)
            self.send_header("Content-Length", str(len(SMALL) + extra))
            self.send_header("ETag", '"1"')
            self.end_headers()
            with suppress(OSError):
                self.wfile.write(SMALL)

    with chunked([]) as (server, store):
        server.RequestHandlerClass = MeasuredAnswer
        yield store


@pytest.mark.parametrize("count", [1, 2])
def test_length_over_the_limit_is_requested_again(count: int) -> None:
    with wrong_lengths(count) as store:
        assert store.read("k", max_bytes=len(SMALL)) == SMALL


def test_length_repeatedly_over_the_limit_is_rejected() -> None:
    with wrong_lengths(3) as store, pytest.raises(IntegrityError, match="more than the limit of 1000"):
        store.read("k", max_bytes=len(SMALL))


def test_range_read_does_not_download_the_complete_object() -> None:
    with chunked([BLOCK] * BLOCKS) as (server, store):
        with pytest.raises(DamagedObjectError, match="more bytes than were requested"):
            store.read_range("k", 0, len(SMALL))
        assert server.sent < BLOCKS / 2


def test_delete_unchanged_does_not_read_a_replacement(bucket: S3Store) -> None:
    with chunked([BLOCK] * BLOCKS) as (server, store):
        assert not store.delete_unchanged("k", SMALL)
        assert server.sent < BLOCKS / 2
    bucket.put("k", BLOCK)
    assert not bucket.delete_unchanged("k", BLOCK[1:])
    assert bucket.delete_unchanged("k", BLOCK)
