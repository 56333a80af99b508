"""What a delivery is answered when it is not taken.

    DeliveryRefused            the same delivery will be refused again
    ├── UnsignedDelivery       401: signature or time
    ├── UsedIdRefused          409: its id was used for another body
    ├── SlowBody               408
    ├── OversizedBody          413
    └── BodyRefused            422: what it says
    DeliveryDeferred           503: the sender had better deliver again

Each text is one line for the sender's developer: of PostgreSQL's it is what names the value, table or constraint.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from quire.errors import ReportError, TerminalError, TransientError, first_line

logger = logging.getLogger(__name__)

_OF_THE_BODY = (
    "22",  # data exception: no such number, date, text
    "23",  # integrity constraint
    "54",  # a key that is too long for an index
    "P0001",  # raised by a trigger of the table
)
_FOREIGN_KEY = "23503"
_TAKEN = ("23505", "23P01")  # by another row, which an event that is still to come may change
NOT_NOW = "the source cannot take deliveries now: deliver again later"


class DeliveryRefused(TerminalError):
    """The delivery leaves nothing behind, and would not another time."""

    status = 422


class UnsignedDelivery(DeliveryRefused):
    """It cannot be told from whom it is."""

    status = 401


class UsedIdRefused(DeliveryRefused):
    """An event of this id was taken already, and it was another."""

    status = 409


class SlowBody(DeliveryRefused):
    """The body did not come in time."""

    status = 408


class OversizedBody(DeliveryRefused):
    """The body is longer than the source allows."""

    status = 413


class BodyRefused(DeliveryRefused):
    """The body is no event of this source."""


class DeliveryDeferred(TransientError):
    """The delivery leaves nothing behind; another time it may be taken."""

    status = 503


@contextmanager
def answering_for_postgresql() -> Iterator[None]:
    """Turns psycopg's errors into answers: of what the body says, or to deliver again; the log has the rest.

    Raises:
        BodyRefused: PostgreSQL does not take a value.
        DeliveryDeferred: it is away, too busy, or the source is not set up; or a row that this one refers to is
            still to come.
    """
    try:
        yield
    except psycopg.Error as error:
        raise _answer(error) from error


def _answer(error: psycopg.Error) -> ReportError:
    code, line = error.sqlstate or "", first_line(error)
    if code == _FOREIGN_KEY:
        return DeliveryDeferred(f"a row that this one refers to is not there yet: {line}")
    if code in _TAKEN:
        return DeliveryDeferred(f"another row has what this one would: {line}")
    if code.startswith(_OF_THE_BODY):
        return BodyRefused(line)
    logger.warning("a delivery is deferred: PostgreSQL says %s (%s)", line, code or "no connection")
    return DeliveryDeferred(NOT_NOW)
