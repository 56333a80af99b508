"""The error responses to deliveries that are not applied.

    DeliveryRejectedError         a retry would be rejected again
    ├── UnsignedDeliveryError     401: invalid signature or time
    ├── UsedIdError               409: the ID was used for a different body
    ├── SlowBodyError             408
    ├── OversizedBodyError        413
    └── RejectedBodyError         422: invalid content
    DeliveryDeferredError         503: the sender should retry

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


class DeliveryRejectedError(TerminalError):
    """The delivery changed nothing, and a retry would also be rejected."""

    status = 422


class UnsignedDeliveryError(DeliveryRejectedError):
    """The signature is missing, invalid or too old."""

    status = 401


class UsedIdError(DeliveryRejectedError):
    """A different event with the same ID was already applied."""

    status = 409


class SlowBodyError(DeliveryRejectedError):
    """The body did not arrive in time."""

    status = 408


class OversizedBodyError(DeliveryRejectedError):
    """The body is larger than the webhook allows."""

    status = 413


class RejectedBodyError(DeliveryRejectedError):
    """The body is not a valid event for this webhook."""


class DeliveryDeferredError(TransientError):
    """The delivery changed nothing, and a retry may succeed."""

    status = 503


@contextmanager
def answer_postgres_errors() -> Iterator[None]:
    """Translates psycopg errors into rejections or deferrals. Logs the details that the sender does not need.

    Raises:
        RejectedBodyError: PostgreSQL rejected a value.
        DeliveryDeferredError: PostgreSQL is unavailable or overloaded, the webhook is not set up, or a referenced row
            does not exist yet.
    """
    try:
        yield
    except psycopg.Error as error:
        raise _answer(error) from error


def _answer(error: psycopg.Error) -> ReportError:
    code, line = error.sqlstate or "", first_line(error)
    if code == _FOREIGN_KEY:
        return DeliveryDeferredError(f"a referenced row does not exist yet: {line}")
    if code in _UNIQUE_VIOLATIONS:
        return DeliveryDeferredError(f"another row still holds this value: {line}")
    if code.startswith(_CONTENT_ERRORS):
        return RejectedBodyError(line)
    logger.warning("deferred a delivery: %s (%s)", line, code or "no connection")
    return DeliveryDeferredError(NOT_NOW)
