"""FastAPI dependencies that many routes share: the object store and the base path."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated

from fastapi import Depends, Request

from quire.airflow_dag.connections import open_store
from quire.object_store.s3_store import S3Store
from quire.portal_urls import PREFIX
from quire.settings import StoreSettings


@lru_cache(maxsize=4)
def _cached_store(settings: StoreSettings) -> S3Store:
    store = S3Store(settings)
    _ = store.client  # created once here rather than concurrently by several threads
    return store


def _store() -> S3Store:
    """Returns the store of Airflow's connection, cached because creating its client takes longer than a request."""
    return _cached_store(open_store().settings)


def base_path(request: Request) -> str:
    """Returns the path prefix under which Airflow is served: empty, or for example ``/airflow`` behind some proxies."""
    return str(request.scope.get("root_path", "")).removesuffix(PREFIX)


StoreDep = Annotated[S3Store, Depends(_store)]
BaseDep = Annotated[str, Depends(base_path)]
