"""Reads complete HTTP/1.1 messages; implements only what a proxy in front of an S3 server needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import BinaryIO

MAX_LINE_LENGTH = 65_536


@dataclass(frozen=True, slots=True)
class Message:
    """A request or a response. A chunked body is decoded, and ``to_bytes`` adds a Content-Length."""

    first_line: str
    headers: tuple[tuple[str, str], ...]
    body: bytes

    def header(self, name: str) -> str | None:
        """Returns a header's value; ``name`` must be lowercase."""
        return next((value for other, value in self.headers if other.lower() == name), None)

    def to_bytes(self) -> bytes:
        """Returns the message as bytes."""
        lines = [self.first_line, *(f"{name}: {value}" for name, value in self.headers)]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + self.body


def read_request(stream: BinaryIO, *, reply_to_expect: BinaryIO) -> Message | None:
    """Returns the next request, or None if the client closed the connection.

    If a client waits for "100 Continue" before it sends the body, this function sends that response and drops the
    request's Expect header.
    """
    head = _read_head(stream)
    if head is None:
        return None
    first_line, headers = head
    remaining = [(name, value) for name, value in headers if name.lower() != "expect"]
    if len(remaining) < len(headers):
        reply_to_expect.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        reply_to_expect.flush()
    return _with_body(stream, first_line, remaining)


def read_response(stream: BinaryIO, *, method: str) -> Message:
    """Returns the response to a request with the given method.

    Raises:
        ConnectionError: the server closed the connection instead of responding.
    """
    head = _read_head(stream)
    if head is None:
        raise ConnectionError("the server sent no response")
    first_line, headers = head
    status = int(first_line.split()[1])
    if method == "HEAD" or status in (204, 304):
        return Message(first_line, tuple(headers), b"")
    return _with_body(stream, first_line, headers)


def _read_head(stream: BinaryIO) -> tuple[str, list[tuple[str, str]]] | None:
    first_line = stream.readline(MAX_LINE_LENGTH).decode("latin-1").rstrip("\r\n")
    if not first_line:
        return None
    headers = []
    while line := stream.readline(MAX_LINE_LENGTH).decode("latin-1").rstrip("\r\n"):
        name, _, value = line.partition(":")
        headers.append((name, value.strip()))
    return first_line, headers


def _with_body(stream: BinaryIO, first_line: str, headers: Sequence[tuple[str, str]]) -> Message:
    fields = {name.lower(): value for name, value in headers}
    if fields.get("transfer-encoding", "").lower() == "chunked":
        body = _read_chunks(stream)
        remaining = [(name, value) for name, value in headers if name.lower() != "transfer-encoding"]
        return Message(first_line, (*remaining, ("Content-Length", str(len(body)))), body)
    return Message(first_line, tuple(headers), stream.read(int(fields.get("content-length", 0))))


def _read_chunks(stream: BinaryIO) -> bytes:
    body = bytearray()
    while size := int(stream.readline(MAX_LINE_LENGTH).split(b";")[0], 16):
        body += stream.read(size)
        stream.readline(MAX_LINE_LENGTH)
    while stream.readline(MAX_LINE_LENGTH).strip():  # trailers
        pass
    return bytes(body)
