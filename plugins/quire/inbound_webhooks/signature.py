"""Verifies Standard Webhooks signatures (https://www.standardwebhooks.com).

The reference library supports only one secret, a fixed tolerance and UTF-8, and raises ValueError and other errors for
malformed headers. Only the tests use that library, to sign deliveries.
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
from quire.inbound_webhooks.rejections import UnsignedDeliveryError

PREFIX = "whsec_"
VERSION = "v1,"
_ID = re.compile(r"[!-\-/-~]{1,256}")  # printable characters except the dot, which separates the ID from the time
MIN_KEY_BYTES = 24  # the specification's minimum
_SECONDS = re.compile(r"\d{1,12}", re.ASCII)


@dataclass(frozen=True, slots=True)
class SignatureHeaders:
    """The three signature headers, parsed but not yet verified."""

    event_id: str
    seconds: str
    signatures: tuple[str, ...]


def parse_signature_headers(headers: Mapping[str, str], *, now: float, tolerance: timedelta) -> SignatureHeaders:
    """Parses the signature headers, so that a delivery can be rejected before its body is read.

    Raises:
        UnsignedDeliveryError: a header is missing or malformed, or the timestamp is too far from ``now`` (seconds since
            1970).
    """
    event_id, seconds = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    signatures = tuple(
        word.removeprefix(VERSION) for word in headers.get("webhook-signature", "").split() if word.startswith(VERSION)
    )
    if not _ID.fullmatch(event_id):
        raise UnsignedDeliveryError("the webhook-id header must contain 1 to 256 printable characters without a dot")
    if not _SECONDS.fullmatch(seconds):
        raise UnsignedDeliveryError("the webhook-timestamp header must contain whole seconds since 1970")
    if not signatures:
        raise UnsignedDeliveryError("the webhook-signature header must contain a v1 signature")
    if abs(now - int(seconds)) > tolerance.total_seconds():
        raise UnsignedDeliveryError(
            "webhook-timestamp is too far from the current time. Sign each attempt again, and check the sender's clock"
        )
    return SignatureHeaders(event_id, seconds, signatures)


def verify_signature(signed: SignatureHeaders, body: bytes | bytearray, *, secrets: Sequence[bytes]) -> None:
    """Checks in constant time that a signature is valid for the body and one of the secrets.

    Raises:
        UnsignedDeliveryError: no signature matches.
    """
    content = f"{signed.event_id}.{signed.seconds}.".encode() + body
    expected = [base64.b64encode(hmac.new(secret, content, hashlib.sha256).digest()) for secret in secrets]
    received = [signature.encode("utf-8", "replace") for signature in signed.signatures]
    matches = [hmac.compare_digest(left, right) for left in expected for right in received]  # all pairs: constant time
    if not any(matches):
        raise UnsignedDeliveryError("no signature matches this body")


def parse_secrets(text: str | None, *, connection: str) -> tuple[bytes, ...]:
    """Decodes the keys from ``whsec_…`` secrets that are separated by spaces.

    Raises:
        SettingsError: there are no secrets, or a secret is invalid. The message never contains a secret.
    """
    words = (text or "").split()
    if not words:
        raise SettingsError(f"the {connection} connection has no password. Set it to {PREFIX}… (base64)")
    return tuple(_decode_key(word, position, connection) for position, word in enumerate(words, start=1))


def _decode_key(word: str, position: int, connection: str) -> bytes:
    encoded = word.removeprefix(PREFIX)
    try:
        key = base64.b64decode(encoded + "=" * (-len(encoded) % 4), validate=True)
    except binascii.Error:
        key = b""
    if len(key) < MIN_KEY_BYTES or encoded == word:
        raise SettingsError(
            f"secret {position} in the {connection} connection is not {PREFIX}… (base64, {MIN_KEY_BYTES} bytes or more)"
        )
    return key
