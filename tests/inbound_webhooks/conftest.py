"""Fixtures for the orders webhook with an empty table, and for a real server that receives its deliveries."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from quire.inbound_webhooks.delivery_app import DEFAULT_LIMITS, DeliveryLimits
from quire.inbound_webhooks.delivery_tables import install_tables
from quire.inbound_webhooks.webhook_definition import WebhookDefinition

from tests.inbound_webhooks.serving import serving_orders
from tests.inbound_webhooks.shop import SECRET, TABLE, Shop, write_webhook
from tests.postgres.tracking.tables import run_sql


@contextmanager
def open_shop(database: str, include: Path, *, limits: DeliveryLimits = DEFAULT_LIMITS) -> Iterator[Shop]:
    """Creates the table and the webhook, and runs a server for the webhook."""
    definition = write_webhook(include)
    run_sql(database, TABLE)
    install_tables(definition, writer_url=database, owner_url=database)
    passwords: dict[str, str | None] = {"shop_signing": SECRET}
    with serving_orders(include, database, passwords, limits=limits) as address:
        yield Shop(address=address, database=database, include=include, passwords=passwords)


@pytest.fixture
def limits() -> DeliveryLimits:
    """The server's limits, which a test can replace with ``parametrize``."""
    return DEFAULT_LIMITS


@pytest.fixture
def shop(fresh_database: str, tmp_path: Path, limits: DeliveryLimits) -> Iterator[Shop]:
    with open_shop(fresh_database, tmp_path, limits=limits) as shop:
        yield shop


@pytest.fixture
def orders(fresh_database: str, tmp_path: Path) -> WebhookDefinition:
    """The orders webhook, installed in a new database with an empty table."""
    definition = write_webhook(tmp_path)
    run_sql(fresh_database, TABLE)
    install_tables(definition, writer_url=fresh_database, owner_url=fresh_database)
    return definition
