"""The error responses to deliveries that are not applied.

    DeliveryRejected           a retry would be rejected again
    ├── UnsignedDelivery       401: invalid signature or time
    ├── UsedIdRejected         409: the ID was used for a different body
    ├── SlowBody               408
    ├── OversizedBody          413
    └── BodyRejected           422: invalid content
    DeliveryDeferred           503: the sender should retry

Each error message is a single line, written for the sending application's developer. For a PostgreSQL error, the
message is the first line of that error, which names the value, table or constraint.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from quire.errors import ReportError, TerminalError, TransientError, first_line

logger = logging.getLogger(__name__)

_CONTENT_ERRORS = (
    "22",  # data exception, such as an invalid number, date or string
    "23",  # integrity constraint
    "54",  # limit exceeded, such as a key that is too long for an index
    "P0001",  # raised by a trigger on the table
)
_FOREIGN_KEY = "23503"
_UNIQUE_VIOLATIONS = ("23505", "23P01")  # unique and exclusion violations; a later event may free the value
NOT_NOW = "the webhook cannot accept deliveries right now. Retry later"


class DeliveryRejected(TerminalError):
    """The delivery changed nothing, and a retry would also be rejected."""

    status = 422


class UnsignedDelivery(DeliveryRejected):
    """The signature is missing, invalid or too old."""

    status = 401


class UsedIdRejected(DeliveryRejected):
    """A different event with the same ID was already applied."""

    status = 409


class SlowBody(DeliveryRejected):
    """The body did not arrive in time."""

    status = 408


class OversizedBody(DeliveryRejected):
    """The body is larger than the webhook allows."""

    status = 413


class BodyRejected(DeliveryRejected):
    """The body is not a valid event for this webhook."""


class DeliveryDeferred(TransientError):
    """The delivery changed nothing, and a retry may succeed."""

    status = 503


@contextmanager
def answer_postgres_errors() -> Iterator[None]:
    """Translates psycopg errors into rejections or deferrals. Logs the details that the sender does not need.

    Raises:
        BodyRejected: PostgreSQL rejected a value.
        DeliveryDeferred: PostgreSQL is unavailable or overloaded, the webhook is not set up, or a referenced row does
            not exist yet.
    """
    try:
        yield
    except psycopg.Error as error:
        raise _answer(error) from error


def _answer(error: psycopg.Error) -> ReportError:
    code, line = error.sqlstate or "", first_line(error)
    if code == _FOREIGN_KEY:
        return DeliveryDeferred(f"a referenced row does not exist yet: {line}")
    if code in _UNIQUE_VIOLATIONS:
        return DeliveryDeferred(f"another row still holds this value: {line}")
    if code.startswith(_CONTENT_ERRORS):
        return BodyRejected(line)
    logger.warning("deferred a delivery: %s (%s)", line, code or "no connection")
    return DeliveryDeferred(NOT_NOW)
