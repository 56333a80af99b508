"""Signatures: ours and the specification's own library agree, and nothing else passes."""

from __future__ import annotations

import base64
import hmac
import time
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from quire.errors import SettingsError
from quire.webhooks.rejections import UnsignedDelivery
from quire.webhooks.signature import SignatureHeaders, parse_secrets, parse_signature_headers, verify_signature

from tests.webhooks.shop import SECRET, sign

OTHER = "whsec_b3RoZXIgc2VjcmV0IG9mIHRoZSBzaG9w"
FIVE_MINUTES = timedelta(minutes=5)


def verify(headers: dict[str, str], body: bytes, secrets: str = SECRET, *, now: float | None = None) -> None:
    signed = parse_signature_headers(headers, now=time.time() if now is None else now, tolerance=FIVE_MINUTES)
    verify_signature(signed, body, secrets=parse_secrets(secrets, connection="signing"))


@given(st.text())
def test_signature_of_the_specifications_library_is_right(text: str) -> None:
    body = text.encode("utf-8", "replace")
    verify(sign(body), body)
    with pytest.raises(UnsignedDelivery, match="no signature matches"):
        verify(sign(body), body + b" ")


@pytest.mark.parametrize(
    ("signers", "secrets", "right"),
    [
        ([SECRET], f"{OTHER} {SECRET}", True),
        ([OTHER], f"{OTHER}\n{SECRET}", True),
        ([OTHER, SECRET], SECRET, True),
        ([SECRET], OTHER, False),
        ([SECRET], SECRET.rstrip("="), True),
    ],
)
def test_any_signature_by_any_secret_is_right(signers: list[str], secrets: str, right: bool) -> None:
    headers = sign(b"{}", secrets=signers)
    if right:
        verify(headers, b"{}", secrets)
    else:
        with pytest.raises(UnsignedDelivery):
            verify(headers, b"{}", secrets)


def test_body_that_is_no_text_can_be_signed() -> None:
    key, now = base64.b64decode(SECRET.removeprefix("whsec_")), str(int(time.time()))
    made = base64.b64encode(hmac.digest(key, f"id.{now}.".encode() + b"\xff\x00", "sha256")).decode()
    verify_signature(SignatureHeaders("id", now, (made,)), b"\xff\x00", secrets=[key])


@pytest.mark.parametrize(
    ("offset", "right"), [(-300, True), (-301, False), (300, True), (301, False), (0, True), (1e9, False)]
)
def test_time_may_be_off_by_the_tolerance_both_ways(offset: float, right: bool) -> None:
    headers = {"webhook-id": "m", "webhook-timestamp": "1362139200", "webhook-signature": "v1,AAAA"}
    if right:
        parse_signature_headers(headers, now=1362139200 + offset, tolerance=FIVE_MINUTES)
    else:
        with pytest.raises(UnsignedDelivery, match="too far from now"):
            parse_signature_headers(headers, now=1362139200 + offset, tolerance=FIVE_MINUTES)


@pytest.mark.parametrize(
    "text", [None, "", "  ", "hunter2", "whsec_", "whsec_!!", f"{SECRET} hunter2", "whsec_a", "whsec_YQ=="]
)
def test_secret_that_is_none_is_told_without_it(text: str | None) -> None:
    with pytest.raises(SettingsError, match=r"of the connection signing|the connection signing has no") as caught:
        parse_secrets(text, connection="signing")
    assert "hunter2" not in str(caught.value)
