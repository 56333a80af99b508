"""FastAPI dependencies shared by many routes: the app's resources, the object store and the base path."""

from __future__ import annotations

from typing import Annotated

from fastapi import Depends, Request

from quire.object_store import Store
from quire.portal.resources import PortalResources
from quire.portal_urls import PREFIX


def portal_resources(request: Request) -> PortalResources:
    """Returns the resources for the app that serves a request."""
    resources: PortalResources = request.app.state.resources
    return resources


ResourcesDep = Annotated[PortalResources, Depends(portal_resources)]


def _store(resources: ResourcesDep) -> Store:
    return resources.open_store()


def base_path(request: Request) -> str:
    """Returns Airflow's URL path prefix, such as ``/airflow`` behind a proxy; usually empty."""
    return str(request.scope.get("root_path", "")).removesuffix(PREFIX)


StoreDep = Annotated[Store, Depends(_store)]
BaseDep = Annotated[str, Depends(base_path)]
