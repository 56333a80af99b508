"""Airflow's plugin: the portal and the webhooks, mounted so that nothing is loaded before somebody asks."""

from __future__ import annotations

import logging
from typing import Any

from airflow import __version__
from airflow.plugins_manager import AirflowPlugin
from quire.airflow_api.version import unsupported_airflow
from quire.portal.lazy_app import LazyApp
from quire.portal.request_limits import RequestSizeLimits
from quire.portal.webhook_mount import webhook_apps
from quire.urls import PREFIX

logger = logging.getLogger(__name__)
UNSUPPORTED = unsupported_airflow(__version__)
if UNSUPPORTED:  # the plugin of an older Airflow would only fail once somebody opens a page
    logger.error("%s", UNSUPPORTED)


class QuirePlugin(AirflowPlugin):
    """Reports in Airflow's navigation, and by themselves at /quire/."""

    name = "quire"
    fastapi_apps: list[Any] = (
        []
        if UNSUPPORTED
        else [  # Airflow's own way
            {"app": RequestSizeLimits(LazyApp("quire.portal.app")), "url_prefix": PREFIX, "name": "Quire's reports"},
            *webhook_apps(),
        ]
    )
    external_views: list[Any] = (
        []
        if UNSUPPORTED
        else [
            {
                "name": "Reports",
                "href": f"{PREFIX}/".removeprefix("/"),  # below the path that Airflow is served under
                "destination": "nav",
                "url_route": "quire-reports",
                "icon": f"{PREFIX}/static/nav.svg".removeprefix("/"),
            },
        ]
    )
