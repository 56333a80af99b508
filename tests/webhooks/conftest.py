"""A source of orders over an empty table, and a real server that takes its deliveries."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import uvicorn
from quire.webhooks.app import create_app
from quire.webhooks.definition import WebhookDefinition
from quire.webhooks.installation import install
from starlette.applications import Starlette
from starlette.routing import Mount

from tests.tracking.tables import run_sql
from tests.webhooks.shop import SECRET, TABLE, Shop, write_source


@contextmanager
def serving(app: Starlette) -> Iterator[str]:
    """Serves an app under /quire-hooks of a server on loopback, and yields its address."""
    config = uvicorn.Config(
        Starlette(routes=[Mount("/quire-hooks", app)]), log_level="warning", lifespan="off", backlog=2048
    )
    server = uvicorn.Server(config)
    with socket.create_server(("127.0.0.1", 0), backlog=2048) as listener:
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]})
        thread.start()
        try:
            while not server.started and thread.is_alive():
                time.sleep(0.01)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/quire-hooks"
        finally:
            server.should_exit = True
            thread.join()


@contextmanager
def open_shop(database: str, include: Path) -> Iterator[Shop]:
    """Makes table and source, and serves it."""
    definition = write_source(include)
    run_sql(database, TABLE)
    install(definition, writer_url=database, owner_url=database)
    passwords: dict[str, str | None] = {"shop_signing": SECRET}
    addresses = {"shop_writer": database}
    with serving(create_app(include, address=addresses.__getitem__, password=passwords.__getitem__)) as address:
        yield Shop(address=address, database=database, include=include, passwords=passwords)


@pytest.fixture
def shop(fresh_database: str, tmp_path: Path) -> Iterator[Shop]:
    with open_shop(fresh_database, tmp_path) as shop:
        yield shop


@pytest.fixture
def orders(fresh_database: str, tmp_path: Path) -> WebhookDefinition:
    """The source of orders, its table empty and all installed in the fresh database."""
    definition = write_source(tmp_path)
    run_sql(fresh_database, TABLE)
    install(definition, writer_url=fresh_database, owner_url=fresh_database)
    return definition
