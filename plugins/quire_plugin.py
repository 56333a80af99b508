"""Airflow's plugin: the portal and the webhooks, mounted so that nothing is loaded before somebody asks."""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin
from quire.portal.addresses import PREFIX
from quire.portal.lazy import LazyApp
from quire.portal.request_limits import RequestLimits
from quire.portal.webhook_mount import webhook_apps


class QuirePlugin(AirflowPlugin):
    """Reports in Airflow's navigation, and by themselves at /quire/."""

    name = "quire"
    fastapi_apps: list[Any] = [  # noqa: RUF012 - Airflow's own way
        {"app": RequestLimits(LazyApp("quire.portal.app")), "url_prefix": PREFIX, "name": "Quire's reports"},
        *webhook_apps(),
    ]
    external_views: list[Any] = [  # noqa: RUF012
        {
            "name": "Reports",
            "href": f"{PREFIX}/".removeprefix("/"),  # below the path that Airflow is served under
            "destination": "nav",
            "url_route": "quire-reports",
            "icon": f"{PREFIX}/static/nav.svg".removeprefix("/"),
        },
    ]
