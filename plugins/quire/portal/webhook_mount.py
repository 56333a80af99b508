"""Mounts the webhooks in Airflow's API server if any webhook is defined."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from quire.portal.lazy_app import LazyApp
from quire.settings import include_folder

if TYPE_CHECKING:
    from starlette.applications import Starlette

PREFIX = "/quire-hooks"


def webhook_apps() -> list[dict[str, Any]]:
    """Returns the ``fastapi_apps`` entry for the webhooks, if there are any, without importing large libraries."""
    if not any((include_folder() / "webhooks").glob("*.yaml")):
        return []
    return [{"app": LazyApp(__name__, "create_mounted_app"), "url_prefix": PREFIX, "name": "Quire's webhooks"}]


def create_mounted_app() -> Starlette:
    """Returns the webhook app, which reads target URLs and passwords from Airflow's connections."""
    from quire.airflow_dag.connections import connection_password, connection_url
    from quire.inbound_webhooks.delivery_app import create_webhook_app

    return create_webhook_app(include_folder(), url=connection_url, password=connection_password)
