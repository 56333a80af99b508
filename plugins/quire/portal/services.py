"""What routes work with besides the caller: the store, the source, and what stands before our addresses."""

from __future__ import annotations

from functools import lru_cache
from typing import Annotated

from fastapi import Depends, Request

from quire.airflow_dag.connections import open_store
from quire.object_store import S3Store
from quire.settings import StoreSettings
from quire.urls import PREFIX


@lru_cache(maxsize=4)
def _kept(settings: StoreSettings) -> S3Store:
    kept = S3Store(settings)
    _ = kept.client  # made once, and not by several threads at once
    return kept


def _store() -> S3Store:
    """Returns the store of Airflow's connection; its clients are kept, since making one takes longer than to ask it."""
    return _kept(open_store().settings)


def base_of(request: Request) -> str:
    """Returns the path that Airflow itself is served under: nothing, or ``/airflow`` behind some proxies."""
    return str(request.scope.get("root_path", "")).removesuffix(PREFIX)


StoreDep = Annotated[S3Store, Depends(_store)]
BaseDep = Annotated[str, Depends(base_of)]
