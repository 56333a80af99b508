"""The Airflow plugin, which mounts the portal and the webhooks, and makes tasks start faster.

The portal and the webhooks are loaded on the first request.
"""

from __future__ import annotations

import logging
from typing import Any

from airflow import __version__
from airflow.plugins_manager import AirflowPlugin

from quire.airflow_api.version import unsupported_airflow
from quire.portal.lazy_app import LazyApp
from quire.portal.request_limits import RequestSizeLimits
from quire.portal.webhook_mount import webhook_apps
from quire.portal_urls import PREFIX
from quire.scheduler_preload import PreloadListener

logger = logging.getLogger(__name__)
UNSUPPORTED = unsupported_airflow(__version__)
if UNSUPPORTED:  # an unsupported Airflow would otherwise fail only when a user opens a page
    logger.error("%s", UNSUPPORTED)


class QuirePlugin(AirflowPlugin):
    """Adds the portal at /quire/, and links to it from Airflow's navigation."""

    name = "quire"
    listeners: list[Any] = [] if UNSUPPORTED else [PreloadListener()]
    fastapi_apps: list[Any] = (
        []
        if UNSUPPORTED
        else [
            {
                "app": RequestSizeLimits(LazyApp("quire.portal.portal_app", freezes=True)),
                "url_prefix": PREFIX,
                "name": "Quire's reports",
            },
            *webhook_apps(),
        ]
    )
    external_views: list[Any] = (
        []
        if UNSUPPORTED
        else [
            {
                "name": "Reports",
                "href": f"{PREFIX}/".removeprefix("/"),  # relative to the path that serves Airflow
                "destination": "nav",
                "url_route": "quire-reports",
                "icon": f"{PREFIX}/static/nav.svg".removeprefix("/"),
            },
        ]
    )
