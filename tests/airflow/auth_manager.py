"""Airflow's simple auth manager has no DAG-level permissions; this subclass denies one user access to one report."""

from __future__ import annotations

from typing import Any

from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager

from tests.airflow.portal import HIDDEN, OUTSIDER


class PartialAuthManager(SimpleAuthManager):
    """Denies ``outsider`` all access to ``flights``; for other reports, the user's role applies."""

    def is_authorized_dag(self, *, method: Any, user: Any, access_entity: Any = None, details: Any = None) -> bool:
        if user.get_name() == OUTSIDER and details is not None and details.id == HIDDEN:
            return False
        return bool(super().is_authorized_dag(method=method, user=user, access_entity=access_entity, details=details))
