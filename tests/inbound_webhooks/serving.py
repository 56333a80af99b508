"""Runs a real server that receives deliveries on the loopback interface."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import uvicorn
from quire.inbound_webhooks.delivery_app import DEFAULT_LIMITS, DeliveryLimits, create_webhook_app
from starlette.applications import Starlette
from starlette.routing import Mount


@contextmanager
def serving_orders(
    include: Path, database: str, passwords: Mapping[str, str | None], *, limits: DeliveryLimits = DEFAULT_LIMITS
) -> Iterator[str]:
    """Serves a folder's webhooks, all of which write to one database, and yields the server's address."""
    urls = {"shop_writer": database}
    app = create_webhook_app(include, url=urls.__getitem__, password=passwords.__getitem__, limits=limits)
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
