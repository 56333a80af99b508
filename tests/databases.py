"""Creates databases that only one test or module uses."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from quire.dev_stack.postgres_server import PostgresServer


@contextmanager
def new_database(server: PostgresServer) -> Iterator[str]:
    """Yields the owner's URL for an empty database, and then drops the database."""
    name = f"test_{uuid.uuid4().hex}"
    server.create_database(name)
    yield server.url(name)
    server.drop_database(name)
