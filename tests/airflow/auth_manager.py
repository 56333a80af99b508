"""Airflow's simple auth manager, with one user whom it keeps from one report: by itself it knows no rights per DAG."""

from __future__ import annotations

from typing import Any

from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

from tests.airflow.portal import HIDDEN, OUTSIDER


class PartialAuthManager(SimpleAuthManager):
    """Lets ``outsider`` do with other reports what users do, and nothing with ``flights``."""

    def is_authorized_dag(self, *, method: Any, user: Any, access_entity: Any = None, details: Any = None) -> bool:
        """Whether a user may do something with a DAG."""
        if user.get_name() == OUTSIDER and details is not None and details.id == HIDDEN:
            return False
        return bool(super().is_authorized_dag(method=method, user=user, access_entity=access_entity, details=details))
