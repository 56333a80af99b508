"""Signatures as the Standard Webhooks specification has them (https://www.standardwebhooks.com).

The specification's own library takes one secret, one fixed tolerance and only UTF-8, and raises ValueError and the like
for headers that are torn; our tests sign with it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from quire.errors import SettingsError
from quire.webhooks.rejections import UnsignedDelivery

PREFIX = "whsec_"
VERSION = "v1,"
_ID = re.compile(r"[!-\-/-~]{1,256}")  # printable, but for the dot that stands between it and the time
MIN_KEY_BYTES = 24  # bytes, by the specification
_SECONDS = re.compile(r"\d{1,12}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Signed:
    """The three headers, read: not yet whether they are true."""

    event_id: str
    seconds: str
    signatures: tuple[str, ...]


def read_headers(headers: Mapping[str, str], *, now: float, tolerance: timedelta) -> Signed:
    """Reads the headers, before anything else of a delivery is.

    Raises:
        UnsignedDelivery: one is missing or torn, or the time is too far from ``now`` (seconds since 1970).
    """
    event_id, seconds = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    signatures = tuple(
        word.removeprefix(VERSION) for word in headers.get("webhook-signature", "").split() if word.startswith(VERSION)
    )
    if not _ID.fullmatch(event_id):
        raise UnsignedDelivery("the header webhook-id is missing, or not 1 to 256 printable characters without a dot")
    if not _SECONDS.fullmatch(seconds):
        raise UnsignedDelivery("the header webhook-timestamp is missing, or not in whole seconds since 1970")
    if not signatures:
        raise UnsignedDelivery("the header webhook-signature is missing, or has no signature of version v1")
    if abs(now - int(seconds)) > tolerance.total_seconds():
        raise UnsignedDelivery("webhook-timestamp is too far from now: sign each attempt anew, and set the clock")
    return Signed(event_id, seconds, signatures)


def verify_signature(signed: Signed, body: bytes | bytearray, *, secrets: Sequence[bytes]) -> None:
    """Compares every signature with what each secret gives, in constant time.

    Raises:
        UnsignedDelivery: none is right.
    """
    content = f"{signed.event_id}.{signed.seconds}.".encode() + body
    right = [base64.b64encode(hmac.new(secret, content, hashlib.sha256).digest()) for secret in secrets]
    given = [signature.encode("utf-8", "replace") for signature in signed.signatures]
    if not any([hmac.compare_digest(one, other) for one in right for other in given]):  # a list: all are compared
        raise UnsignedDelivery("no signature is right for this body")


def parse_secrets(text: str | None, *, connection: str) -> tuple[bytes, ...]:
    """Returns the keys of ``whsec_…`` secrets with blanks between.

    Raises:
        SettingsError: there is none, or one is not such a secret. The message holds none.
    """
    words = (text or "").split()
    if not words:
        raise SettingsError(f"the connection {connection} has no password: it must be {PREFIX}… (base64)")
    return tuple(_key(word, place, connection) for place, word in enumerate(words, start=1))


def _key(word: str, place: int, connection: str) -> bytes:
    encoded = word.removeprefix(PREFIX)
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except binascii.Error:
        key = b""
    if len(key) < MIN_KEY_BYTES or encoded == word:
        raise SettingsError(
            f"secret {place} of the connection {connection} is not {PREFIX}… (base64 of at least {MIN_KEY_BYTES} bytes)"
        )
    return key
