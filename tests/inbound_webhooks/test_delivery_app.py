"""Tests every response from a real server to ``POST /<webhook>``, and each delivery's effect on the database."""

from __future__ import annotations

import http.client
import json
import re
import subprocess
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import httpx
import pytest
from quire.inbound_webhooks.connection_cache import LookupLimits
from quire.inbound_webhooks.delivery_app import DeliveryLimits
from quire.settings import CLONE

from tests.inbound_webhooks.shop import (
    CLIENT_OPTIONS,
    ORDER_BODY,
    SECRET,
    START,
    Shop,
    body_of,
    error_of,
    has_no_records,
    rows,
    sign,
    write_webhook,
)
from tests.postgres.tracking.tables import ask, run_sql

pytestmark = pytest.mark.server

OTHER_SECRET = "whsec_b3RoZXIgc2VjcmV0IG9mIHRoZSBzaG9w"


def test_delivery_writes_a_row_with_every_value(shop: Shop) -> None:
    answer = shop.post(ORDER_BODY)
    assert (answer.status_code, answer.json()) == (200, {"status": "applied"})
    assert rows(shop) == [(1, "Ann", "new", "12.50", [{"sku": "A", "n": 2}], None, START)]


def test_delivery_missing_value_keeps_column_and_null_overwrites_it(shop: Shop) -> None:
    shop.post(body_of(1, 0, customer="Ann", status="new", amount=1))
    shop.post(body_of(1, 1, status=None))
    assert [row[:6] for row in rows(shop)] == [(1, "Ann", None, "1.00", None, "none")]


def test_delivery_repeated_is_applied_once(shop: Shop) -> None:
    headers = sign(ORDER_BODY)
    assert shop.post(ORDER_BODY, headers=headers).json() == {"status": "applied"}
    run_sql(shop.database, "UPDATE orders SET note = 'by hand'")
    again = shop.post(ORDER_BODY, headers=headers)
    assert (again.status_code, again.json()) == (200, {"status": "repeated"})
    assert [row[5] for row in rows(shop)] == ["by hand"]


def test_delivery_with_used_id_and_other_body_returns_409(shop: Shop) -> None:
    shop.post(ORDER_BODY, headers=sign(ORDER_BODY, event_id="msg_1"))
    other = body_of(2, customer="Bob")
    status, reason = error_of(shop.post(other, headers=sign(other, event_id="msg_1")))
    assert (status, "different body" in reason) == (409, True)
    assert [row[0] for row in rows(shop)] == [1]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"webhook-signature": "v1,AAAA"}, "no signature matches"),
        ({"webhook-signature": "v1,\xff"}, "no signature matches"),
        ({"webhook-signature": "v2,AAAA"}, "must contain a v1 signature"),
        ({"webhook-signature": ""}, "webhook-signature header must contain"),
        ({"webhook-id": "msg_other"}, "no signature matches"),
        ({"webhook-id": ""}, "webhook-id header must contain"),
        ({"webhook-id": "x" * 257}, "webhook-id header must contain 1 to 256"),
        ({"webhook-timestamp": "now"}, "webhook-timestamp header must contain whole seconds"),
        ({"webhook-timestamp": "1362139200"}, "webhook-timestamp is too far from the current time"),
    ],
)
def test_delivery_with_invalid_signature_headers_returns_401(shop: Shop, changes: dict[str, str], reason: str) -> None:
    headers = {**sign(ORDER_BODY), **changes}
    wire = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
    answer = httpx.post(f"{shop.address}/orders", content=ORDER_BODY, headers=wire, **CLIENT_OPTIONS)
    status, message = error_of(answer)
    assert (status, reason in message) == (401, True), message
    assert has_no_records(shop)


@pytest.mark.parametrize(("seconds", "status"), [(-310, 401), (-200, 200), (200, 200), (310, 401)])
def test_delivery_signed_outside_tolerance_returns_401(shop: Shop, seconds: int, status: int) -> None:
    assert shop.post(ORDER_BODY, headers=sign(ORDER_BODY, seconds=seconds)).status_code == status
    assert has_no_records(shop) == (status == 401)


def test_delivery_signed_for_another_body_returns_401(shop: Shop) -> None:
    assert shop.post(body_of(2, customer="Eve"), headers=sign(ORDER_BODY)).status_code == 401
    assert has_no_records(shop)


@pytest.mark.parametrize("limits", [DeliveryLimits(lookups=LookupLimits(cache_seconds=0.0))])
def test_secrets_in_rotation_are_accepted_until_removed(shop: Shop) -> None:
    by_other = sign(ORDER_BODY, secrets=[OTHER_SECRET])
    assert shop.post(ORDER_BODY, headers=by_other).status_code == 401
    shop.passwords["shop_signing"] = f"{SECRET}  {OTHER_SECRET}"
    assert shop.post(ORDER_BODY, headers=by_other).status_code == 200
    assert shop.post(ORDER_BODY, headers=sign(ORDER_BODY)).status_code == 200
    assert shop.post(ORDER_BODY, headers=sign(ORDER_BODY, secrets=[SECRET, OTHER_SECRET])).status_code == 200
    shop.passwords["shop_signing"] = OTHER_SECRET
    assert shop.post(ORDER_BODY, headers=sign(ORDER_BODY)).status_code == 401
    assert shop.post(ORDER_BODY, headers=sign(ORDER_BODY, secrets=[SECRET, OTHER_SECRET])).status_code == 200


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"{", "the body is not JSON"),
        (b"[]", "not a JSON object"),
        (b"[" * 100_000, "nested too deeply"),
        (b'{"timestamp": NaN}', "NaN is not JSON"),
        (body_of(None), "data.order.id is null: the key id needs a value"),
        (b'{"timestamp": 1, "data": {"order": {}}}', "data.order.id is missing: the key id needs a value"),
        (b'{"data": {"order": {"id": 1}}}', "timestamp is missing: the event needs a time"),
        (b'{"timestamp": "2013-03-01T12:00:00", "data": {"order": {"id": 1}}}', "neither an ISO 8601 time with a zone"),
        (b'{"timestamp": 1362139200000, "data": {"order": {"id": 1}}}', "nor seconds since 1970"),
        (b'{"timestamp": true, "data": {"order": {"id": 1}}}', "neither an ISO 8601 time with a zone"),
        (body_of("abc", customer="Ann"), "invalid input syntax for type bigint"),
        (body_of(1.5, customer="Ann"), "invalid input syntax for type bigint"),
        (body_of(1, customer="Ann", amount="much"), "invalid input syntax for type numeric"),
        (body_of(1, customer="Ann", amount=1e10), "numeric field overflow"),
        (body_of(1, customer="Ann", status="longer than ten"), "value too long for type character varying(10)"),
        (body_of(1, customer="Ann", note="\0"), "unsupported Unicode escape sequence"),
        (body_of(1, customer="Ann", note="\ud800"), "invalid input syntax for type json"),
        (body_of(1, customer=None), "the customer column does not accept null"),
    ],
)
def test_body_invalid_event_returns_422_with_one_line(shop: Shop, body: bytes, reason: str) -> None:
    status, message = error_of(shop.post(body))
    assert (status, reason in message) == (422, True), message
    assert has_no_records(shop)


def test_event_more_than_a_day_ahead_returns_422(shop: Shop) -> None:
    now = datetime.now(UTC) - START
    for ahead, status in ((timedelta(hours=23), 200), (timedelta(hours=25), 422), (timedelta(days=365 * 5000), 422)):
        answer = shop.post(body_of(1, (now + ahead).total_seconds(), customer="Ann"))
        assert answer.status_code == status
    assert error_of(answer)[1].startswith("timestamp is more than one day in the future: 7")
    assert ask(shop.database, "SELECT count(*) FROM quire.webhook_event") == [(1,)]


def test_rejected_delivery_can_be_resent_corrected_with_its_id(shop: Shop) -> None:
    wrong, right = body_of(1, customer="Ann", amount="much"), body_of(1, customer="Ann", amount=1)
    assert shop.post(wrong, headers=sign(wrong, event_id="msg_1")).status_code == 422
    assert shop.post(right, headers=sign(right, event_id="msg_1")).status_code == 200


def test_body_too_large_returns_413(shop: Shop) -> None:
    write_webhook(shop.include, max_bytes=1000)
    body = body_of(1, customer="A" * 1000)
    status, reason = error_of(shop.post(body))
    assert (status, reason) == (413, "the body is larger than 1000 bytes")
    fitting = body_of(1, customer="A" * (1000 - len(body_of(1, customer=""))))
    assert len(fitting) == 1000
    assert shop.post(fitting).status_code == 200


def test_body_without_length_returns_413_once_too_large(shop: Shop) -> None:
    """The chunked body never ends, so the server must respond without waiting for the end."""
    place = urlsplit(shop.address)
    connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=30)
    connection.putrequest("POST", f"{place.path}/orders")
    for name, value in {**sign(b""), "transfer-encoding": "chunked"}.items():
        connection.putheader(name, value)
    connection.endheaders()
    for _ in range(5):
        connection.send(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
    answer = connection.getresponse()
    assert (answer.status, b"larger than 262144 bytes" in answer.read()) == (413, True)
    connection.close()
    assert has_no_records(shop)


@pytest.mark.parametrize("limits", [DeliveryLimits(read_seconds=0.2)])
def test_body_that_never_arrives_returns_408(shop: Shop) -> None:
    place = urlsplit(shop.address)
    connection = http.client.HTTPConnection(str(place.hostname), place.port, timeout=30)
    connection.putrequest("POST", f"{place.path}/orders")
    for name, value in {**sign(b""), "content-length": "10"}.items():
        connection.putheader(name, value)
    connection.endheaders()
    assert connection.getresponse().status == 408
    connection.close()


@pytest.mark.parametrize("webhook", ["order", "orders.yaml", "ORDERS", "..%2Freports%2Fflights", "a" * 101])
def test_unknown_webhook_returns_404(shop: Shop, webhook: str) -> None:
    assert error_of(shop.post(ORDER_BODY, webhook=webhook))[0] == 404


@pytest.mark.parametrize("path", ["/", "/orders/", "/orders/more", "/docs", "/openapi.json"])
def test_other_paths_return_404_or_405(shop: Shop, path: str) -> None:
    answers = [
        httpx.request(method, f"{shop.address}{path}", headers=sign(b""), **CLIENT_OPTIONS)
        for method in ("GET", "POST")
    ]
    assert {answer.status_code for answer in answers} <= {404, 405}


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_other_methods_return_405(shop: Shop, method: str) -> None:
    assert httpx.request(method, f"{shop.address}/orders", **CLIENT_OPTIONS).status_code == 405


def test_webhook_added_or_changed_later_needs_no_restart(shop: Shop) -> None:
    assert shop.post(ORDER_BODY, webhook="more").status_code == 404
    write_webhook(shop.include, "more")
    assert shop.post(ORDER_BODY, webhook="more").json() == {"status": "applied"}
    write_webhook(shop.include, "more", columns={"customer": "data.order.status"})
    shop.post(body_of(2, status="new"), webhook="more")
    assert ask(shop.database, "SELECT customer FROM orders WHERE id = 2") == [("new",)]


@pytest.mark.parametrize("dropped", [False, True])
def test_column_removed_from_definition_is_no_longer_written(shop: Shop, dropped: bool) -> None:
    shop.post(ORDER_BODY)
    write_webhook(shop.include, columns={"amount": "data.order.amount"})
    run_sql(shop.database, "UPDATE orders SET customer = 'mine'")
    if dropped:
        run_sql(shop.database, "ALTER TABLE orders DROP COLUMN customer")
    answer = shop.post(body_of(1, 2, amount=13))
    assert (answer.status_code, answer.json()) == (200, {"status": "applied"})
    column = "amount::text" if dropped else "customer"
    assert ask(shop.database, f"SELECT {column} FROM orders") == [("13.00" if dropped else "mine",)]


def test_error_response_is_json(shop: Shop) -> None:
    answer = shop.post(b"{", headers={})
    assert answer.headers["content-type"] == "application/json"
    assert json.loads(answer.text)["error"]


def test_unexpected_exception_returns_500_as_json(shop: Shop) -> None:
    del shop.passwords["shop_signing"]
    answer = shop.post(ORDER_BODY)
    assert (answer.status_code, answer.json()) == (500, {"error": "Internal Server Error"})


def test_documented_curl_and_openssl_delivery_is_applied(shop: Shop) -> None:
    text = (CLONE / "docs" / "how-to" / "ingest-webhooks.md").read_text()
    (script,) = re.findall(r"## Send a delivery.*?```sh\n(.*?)```", text, re.DOTALL)
    script = script.replace("http://localhost:8080/quire-hooks", shop.address)
    done = subprocess.run(["bash", "-euc", script], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {"status": "applied"}
    assert [row[:2] for row in rows(shop)] == [(7, "Ann")]
