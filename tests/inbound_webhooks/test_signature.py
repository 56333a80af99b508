"""Only signatures that the specification's own library would create are valid."""

from __future__ import annotations

import base64
import hmac
import time
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from quire.errors import SettingsError
from quire.inbound_webhooks.rejections import UnsignedDeliveryError
from quire.inbound_webhooks.signature import SignatureHeaders, parse_secrets, parse_signature_headers, verify_signature

from tests.inbound_webhooks.shop import SECRET, sign

OTHER = "whsec_b3RoZXIgc2VjcmV0IG9mIHRoZSBzaG9w"
FIVE_MINUTES = timedelta(minutes=5)


def verify(headers: dict[str, str], body: bytes, secrets: str = SECRET, *, now: float | None = None) -> None:
    signed = parse_signature_headers(headers, now=time.time() if now is None else now, tolerance=FIVE_MINUTES)
    verify_signature(signed, body, secrets=parse_secrets(secrets, connection="signing"))


@given(st.text())
def test_verify_accepts_signature_of_reference_library(text: str) -> None:
    body = text.encode("utf-8", "replace")
    verify(sign(body), body)
    with pytest.raises(UnsignedDeliveryError, match="no signature matches"):
        verify(sign(body), body + b" ")


@pytest.mark.parametrize(
    ("signers", "secrets", "is_valid"),
    [
        ([SECRET], f"{OTHER} {SECRET}", True),
        ([OTHER], f"{OTHER}\n{SECRET}", True),
        ([OTHER, SECRET], SECRET, True),
        ([SECRET], OTHER, False),
        ([SECRET], SECRET.rstrip("="), True),
    ],
)
def test_verify_accepts_any_signature_by_any_secret(signers: list[str], secrets: str, is_valid: bool) -> None:
    headers = sign(b"{}", secrets=signers)
    if is_valid:
        verify(headers, b"{}", secrets)
    else:
        with pytest.raises(UnsignedDeliveryError):
            verify(headers, b"{}", secrets)


def test_verify_accepts_binary_body() -> None:
    key, now = base64.b64decode(SECRET.removeprefix("whsec_")), str(int(time.time()))
    signature = base64.b64encode(hmac.digest(key, f"id.{now}.".encode() + b"\xff\x00", "sha256")).decode()
    verify_signature(SignatureHeaders("id", now, (signature,)), b"\xff\x00", secrets=[key])


@pytest.mark.parametrize(
    ("offset", "is_valid"), [(-300, True), (-301, False), (300, True), (301, False), (0, True), (1e9, False)]
)
def test_signature_time_within_tolerance_is_accepted(offset: float, is_valid: bool) -> None:
    headers = {"webhook-id": "m", "webhook-timestamp": "1362139200", "webhook-signature": "v1,AAAA"}
    if is_valid:
        parse_signature_headers(headers, now=1362139200 + offset, tolerance=FIVE_MINUTES)
    else:
        with pytest.raises(UnsignedDeliveryError, match="too far from the current time"):
            parse_signature_headers(headers, now=1362139200 + offset, tolerance=FIVE_MINUTES)


@pytest.mark.parametrize(
    "text", [None, "", "  ", "hunter2", "whsec_", "whsec_!!", f"{SECRET} hunter2", "whsec_a", "whsec_YQ=="]
)
def test_parse_secrets_invalid_raises_without_secret(text: str | None) -> None:
    with pytest.raises(SettingsError, match=r"in the signing connection|the signing connection has no") as caught:
        parse_secrets(text, connection="signing")
    assert "hunter2" not in str(caught.value)
