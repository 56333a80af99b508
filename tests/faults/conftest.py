"""Provides the fault matrix and its servers."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from quire.dev_stack.postgres_server import PostgresServer
from quire.dev_stack.s3_server import S3Server

from tests.faults.matrix import Matrix
from tests.faults.world import World


@pytest.fixture(scope="session")
def matrix(
    tmp_path_factory: pytest.TempPathFactory, postgres_server: PostgresServer, s3_server: S3Server
) -> Iterator[Matrix]:
    """The fault matrix with separate buckets and databases."""
    world = World(tmp_path_factory.mktemp("faults"), postgres_server, s3_server)
    try:
        yield Matrix(world)
    finally:
        world.close()
