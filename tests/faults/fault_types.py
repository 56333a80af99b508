"""The faults that can affect a request, and the result that Quire promises for each fault."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from tests.faults.http_messages import Message
from tests.faults.postgres_proxy import Delivery
from tests.faults.s3_proxy import Exchange, SeenRequest

Promise = Literal["survives", "ends well", "dies", "sleeps"]
"""The promised result of the process: it publishes; it publishes, or fails with one error line and without partial
results; it is killed; it waits until another process has finished."""

REFUSED_SECONDS = 0.3
SLOW_PIECES, SLOW_SECONDS = 10, 0.02
ERROR_BODY = '<?xml version="1.0" encoding="UTF-8"?><Error><Code>{code}</Code><Message>injected</Message></Error>'


@dataclass(frozen=True, slots=True, kw_only=True)
class Fault:
    """A fault that a proxy injects into a request.

    Attributes:
        name: the fault's name in reports.
        inject: a function that handles the request and injects the fault.
        promise: the result that the process promises.
        applies: a function that returns whether the fault can affect a request.
    """

    name: str
    inject: Callable[[Any], None]
    promise: Promise
    applies: Callable[[SeenRequest], bool] = lambda request: True


def _is_of_object(request: SeenRequest) -> bool:
    """Returns whether the response contains an object's bytes. Other responses are XML and have no checksum."""
    return request.name.startswith("GET ") and "(bucket)" not in request.name


def _refuse(exchange: Exchange) -> None:
    exchange.proxy.refuse_connections(REFUSED_SECONDS)
    exchange.reset()


def _lose_answer(exchange: Exchange) -> None:
    exchange.forward()
    exchange.reset()


def _truncate(exchange: Exchange) -> None:
    response = exchange.forward()
    sent = response.to_bytes()
    head = len(sent) - len(response.body)
    exchange.client.sendall(sent[: head + len(response.body) // 2 if response.body else head // 2])
    exchange.hang_up()


def _answer(status: str, code: str) -> Callable[[Exchange], None]:
    def inject(exchange: Exchange) -> None:
        body = b"" if exchange.method == "HEAD" else ERROR_BODY.format(code=code).encode()
        headers = (("Content-Type", "application/xml"), ("Content-Length", str(len(body))))
        exchange.answer(Message(f"HTTP/1.1 {status}", headers, body))

    return inject


def flipped(body: bytes, seed: str) -> bytes:
    """Returns a body with one bit flipped; the seed and the size determine which bit."""
    choice = random.Random(f"{seed} {len(body)}")  # noqa: S311 - reproducible, not secret
    place = choice.randrange(len(body))
    return body[:place] + bytes([body[place] ^ 1 << choice.randrange(8)]) + body[place + 1 :]


def _flip_answer(exchange: Exchange) -> None:
    answer = exchange.forward()
    exchange.answer(Message(answer.first_line, answer.headers, flipped(answer.body, exchange.request.first_line)))


def _flip_upload(exchange: Exchange) -> None:
    exchange.answer(exchange.forward(flipped(exchange.request.body, exchange.request.first_line)))


def _slow_down(exchange: Exchange) -> None:
    sent = exchange.forward().to_bytes()
    size = len(sent) // SLOW_PIECES + 1
    for start in range(0, len(sent), size):
        time.sleep(SLOW_SECONDS)
        exchange.client.sendall(sent[start : start + size])


def _kill_before(exchange: Exchange) -> None:
    exchange.proxy.kill()
    exchange.hang_up()


def _kill_after(exchange: Exchange) -> None:
    exchange.forward()
    exchange.proxy.kill()
    exchange.hang_up()


def _hold_before(exchange: Exchange) -> None:
    exchange.proxy.released.wait()
    exchange.answer(exchange.forward())


def _hold_after(exchange: Exchange) -> None:
    answer = exchange.forward()
    exchange.proxy.released.wait()
    exchange.answer(answer)


FAULTS = {
    fault.name: fault
    for fault in (
        Fault(name="refused", inject=_refuse, promise="survives"),
        Fault(name="reset before", inject=Exchange.reset, promise="survives"),
        Fault(name="lost response", inject=_lose_answer, promise="survives"),
        Fault(name="truncated", inject=_truncate, promise="survives"),
        Fault(name="500", inject=_answer("500 Internal Server Error", "InternalError"), promise="survives"),
        Fault(name="503", inject=_answer("503 Service Unavailable", "SlowDown"), promise="survives"),
        Fault(name="200 with an error", inject=_answer("200 OK", "InternalError"), promise="ends well"),
        Fault(name="403", inject=_answer("403 Forbidden", "AccessDenied"), promise="ends well"),
        Fault(name="409", inject=_answer("409 Conflict", "ConditionalRequestConflict"), promise="ends well"),
        Fault(name="412", inject=_answer("412 Precondition Failed", "PreconditionFailed"), promise="ends well"),
        Fault(
            name="flipped bit in the response",
            inject=_flip_answer,
            promise="survives",
            applies=lambda request: request.received > 0 and _is_of_object(request),
        ),
        Fault(
            name="flipped bit in an XML response",
            inject=_flip_answer,
            promise="ends well",
            applies=lambda request: request.received > 0 and not _is_of_object(request),
        ),
        Fault(
            name="flipped bit in the upload",
            inject=_flip_upload,
            promise="survives",
            applies=lambda request: request.sent > 0 and request.name.startswith("PUT"),
        ),
        Fault(
            name="flipped bit in a command",
            inject=_flip_upload,
            promise="ends well",
            applies=lambda request: request.sent > 0 and request.name.startswith("POST"),
        ),
        Fault(name="slow", inject=_slow_down, promise="survives"),
        Fault(name="SIGKILL before", inject=_kill_before, promise="dies"),
        Fault(name="SIGKILL after", inject=_kill_after, promise="dies"),
    )
}
ZOMBIES = {
    fault.name: fault
    for fault in (
        Fault(name="asleep before", inject=_hold_before, promise="sleeps"),
        Fault(name="asleep after", inject=_hold_after, promise="sleeps"),
    )
}
# A command that loses its connection to the source fails. The next command reuses the stored partitions.
SOURCE_FAULTS = {
    fault.name: fault
    for fault in (
        Fault(name="reset by the server", inject=Delivery.reset, promise="ends well"),
        Fault(name="message truncated", inject=Delivery.truncate, promise="ends well"),
        Fault(name="server falls silent", inject=Delivery.fall_silent, promise="ends well"),
        Fault(name="slow server", inject=Delivery.slow_down, promise="survives"),
    )
}
