"""Sends webhook deliveries to a real Airflow API server, with connections that are stored in Airflow."""

from __future__ import annotations

from pathlib import Path

import httpx
from quire.dev_stack.stack import SOURCE_DATABASE, LocalStack
from quire.inbound_webhooks.delivery_tables import install_tables
from quire.inbound_webhooks.webhook_files import find_webhook

from tests.inbound_webhooks.shop import CLIENT_OPTIONS, SECRET, TABLE, body_of, sign
from tests.postgres.tracking.tables import ask, run_sql


def test_delivery_uses_airflow_connections_and_needs_no_sign_in(
    running_stack: LocalStack, client: httpx.Client, airflow_include: Path
) -> None:
    address, body = f"{running_stack.airflow.url}/quire-hooks/orders", body_of(1, customer="Ann")

    def deliver(headers: dict[str, str]) -> httpx.Response:
        return httpx.post(address, content=body, headers=headers, **CLIENT_OPTIONS)

    missing = deliver(sign(body))
    assert (missing.status_code, missing.headers["retry-after"]) == (503, "30")
    database = running_stack.postgres.url(SOURCE_DATABASE)
    run_sql(database, TABLE)
    place = httpx.URL(database)
    writer: dict[str, object] = {
        "conn_type": "postgres",
        "host": place.host,
        "port": place.port,
        "schema": SOURCE_DATABASE,
    }
    writer |= {"login": place.username, "password": place.password}
    signing: dict[str, object] = {
        "conn_type": "generic",
        "password": f"whsec_b3RoZXIgc2VjcmV0IG9mIHRoZSBzaG9w {SECRET}",
    }
    for name, fields in {"shop_writer": writer, "shop_signing": signing}.items():
        client.post("/connections", json={"connection_id": name, **fields}).raise_for_status()
    definition = find_webhook(airflow_include, "orders")
    install_tables(definition, writer_url=database, owner_url=database)
    assert deliver({}).status_code == 401
    answer = deliver(sign(body))
    assert (answer.status_code, answer.json()) == (200, {"status": "applied"})
    assert ask(database, "SELECT id, customer FROM orders") == [(1, "Ann")]
    logs = "\n".join(path.read_text(errors="replace") for path in running_stack.airflow.folder.rglob("*.log"))
    assert SECRET not in logs
    assert httpx.get(address, **CLIENT_OPTIONS).status_code == 405
