"""Authenticates and authorizes requests through Airflow's auth manager.

The report name comes only from the path, so query parameters cannot affect a request's authorization.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import datetime
from typing import Annotated, Any, Protocol

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.base_user import BaseUser
from airflow.api_fastapi.auth.managers.models.resource_details import DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.configuration import conf
from airflow.models.dag import DagModel
from fastapi import Depends, HTTPException, Path, Request, status
from itsdangerous import BadSignature, URLSafeTimedSerializer
from pydantic import AfterValidator

from quire.airflow_api.client import AirflowApi, is_run_id
from quire.airflow_api.transports import InProcessTransport
from quire.errors import DefinitionError
from quire.portal.dependencies import ResourcesDep
from quire.portal.lazy_app import HOST
from quire.portal.resources import PortalResources
from quire.record_types.manifest import Manifest
from quire.report.definition import ReportDefinition
from quire.settings import include_folder

logger = logging.getLogger(__name__)

TOKEN_FIELD, TOKEN_HEADER = "quire-token", "X-Quire-Token"
MAX_FORM_AGE_SECONDS = 24 * 3600  # maximum time between loading a page and submitting its form
API_TOKEN_SECONDS = 120


class Authorizer(Protocol):
    """Decides what a user may do with reports' DAGs."""

    def is_authorized(self, user: BaseUser, report: str, method: Any, entity: DagAccessEntity | None) -> bool:
        """Returns whether a user may apply a method to a report's DAG, or to one of the DAG's entities."""

    def readable_dags(self, user: BaseUser) -> set[str]:
        """Returns the IDs of the DAGs that a user may read."""


class AirflowAuthorizer:
    """Asks Airflow's auth manager."""

    def is_authorized(self, user: BaseUser, report: str, method: Any, entity: DagAccessEntity | None) -> bool:
        """Returns whether the auth manager permits a method on a report's DAG, or on one of the DAG's entities."""
        has_teams = conf.getboolean("core", "multi_team")  # without teams, a query for each report would be wasted
        details = DagDetails(id=report, team_name=DagModel.get_team_name(report) if has_teams else None)
        return get_auth_manager().is_authorized_dag(method=method, access_entity=entity, details=details, user=user)

    def readable_dags(self, user: BaseUser) -> set[str]:
        """Returns the IDs of all DAGs that the auth manager lets a user read, which takes one query."""
        return get_auth_manager().get_authorized_dag_ids(user=user)


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The user who sent a request.

    Args:
        user: the user authenticated by the auth manager.
        api: Airflow API client that acts on behalf of this user.
        is_program: whether the request has its own credential, rather than a session cookie that the browser added.
        authorizer: decides what the user may do with a report's DAG.
    """

    user: BaseUser = field(repr=False)
    api: AirflowApi = field(repr=False)
    is_program: bool
    authorizer: Authorizer = field(default_factory=AirflowAuthorizer, repr=False)

    def may(self, method: Any, report: str, entity: DagAccessEntity | None = None) -> bool:
        """Returns whether the user may apply a method to a report's DAG, or to one of the DAG's entities."""
        return self.authorizer.is_authorized(self.user, report, method, entity)

    def readable_dags(self) -> set[str]:
        """Returns the IDs of the DAGs that the user may read."""
        return self.authorizer.readable_dags(self.user)

    @property
    def token(self) -> str:
        """The CSRF token for this user's forms."""
        return _signer().dumps(self.user.get_id())


def _caller(request: Request, user: GetUserDep) -> Caller:
    token = get_auth_manager().generate_jwt(user, expiration_time_in_seconds=API_TOKEN_SECONDS)
    is_program = request.headers.get("authorization", "").lower().startswith("bearer ")
    return Caller(user=user, api=AirflowApi(InProcessTransport(request.scope[HOST], token)), is_program=is_program)


CallerDep = Annotated[Caller, Depends(_caller)]


async def _verified_caller(request: Request, caller: CallerDep) -> Caller:
    """Rejects browser requests that have no valid CSRF token, because another site may have triggered them."""
    if not caller.is_program:
        token = request.headers.get(TOKEN_HEADER)
        if token is None and "form" in request.headers.get("content-type", ""):
            token = str((await request.form()).get(TOKEN_FIELD, ""))
        try:
            if _signer().loads(token or "", max_age=MAX_FORM_AGE_SECONDS) != caller.user.get_id():
                raise BadSignature("the token belongs to another user")
        except BadSignature as error:
            raise HTTPException(status.HTTP_403_FORBIDDEN, "This page has expired. Reload it and try again.") from error
    return caller


VerifiedCallerDep = Annotated[Caller, Depends(_verified_caller)]


def _check_run_id(run_id: str) -> str:
    if not is_run_id(run_id):
        raise ValueError("not a valid run id")
    return run_id


RunId = Annotated[str, Path(max_length=250, description="Run id."), AfterValidator(_check_run_id)]
ReportNamePath = Annotated[str, Path(pattern="^[a-z][a-z0-9_]*$", description="Report name.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class FileAccess:
    """A caller's access to a report's published files. The report's definition may be invalid."""

    caller: Caller
    report: str

    @property
    def may_request(self) -> bool:
        """Whether the caller may start runs of the report."""
        return self.caller.may("POST", self.report, DagAccessEntity.RUN)


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportAccess:
    """A caller's access to a report."""

    caller: Caller
    definition: ReportDefinition

    @property
    def may_request(self) -> bool:
        """Whether the caller may start runs of the report."""
        return self.caller.may("POST", self.definition.name, DagAccessEntity.RUN)

    @property
    def may_cancel(self) -> bool:
        """Whether the caller may cancel runs of the report."""
        return self.caller.may("PUT", self.definition.name, DagAccessEntity.RUN)


def _file_access(report: ReportNamePath, caller: CallerDep) -> FileAccess:
    _ensure_authorized(report, caller, "GET", entity=None)
    return FileAccess(caller=caller, report=report)


def _read_access(report: ReportNamePath, caller: CallerDep, resources: ResourcesDep) -> ReportAccess:
    return _authorize(report, caller, "GET", entity=None, resources=resources)


def _estimate_access(report: ReportNamePath, caller: VerifiedCallerDep, resources: ResourcesDep) -> ReportAccess:
    return _authorize(report, caller, "GET", entity=None, resources=resources)


def _request_access(report: ReportNamePath, caller: VerifiedCallerDep, resources: ResourcesDep) -> ReportAccess:
    return _authorize(report, caller, "POST", entity=DagAccessEntity.RUN, resources=resources)


def _cancel_access(report: ReportNamePath, caller: VerifiedCallerDep, resources: ResourcesDep) -> ReportAccess:
    return _authorize(report, caller, "PUT", entity=DagAccessEntity.RUN, resources=resources)


FileAccessDep = Annotated[FileAccess, Depends(_file_access)]
ReadAccessDep = Annotated[ReportAccess, Depends(_read_access)]
EstimateAccessDep = Annotated[ReportAccess, Depends(_estimate_access)]
RequestAccessDep = Annotated[ReportAccess, Depends(_request_access)]
CancelAccessDep = Annotated[ReportAccess, Depends(_cancel_access)]


def _authorize(
    report: str, caller: Caller, method: Any, *, entity: DagAccessEntity | None, resources: PortalResources
) -> ReportAccess:
    """Returns an authorized caller's access. Unauthorized callers cannot find out whether the report exists."""
    _ensure_authorized(report, caller, method, entity=entity)
    try:
        return ReportAccess(caller=caller, definition=resources.definitions.find(include_folder(), report))
    except DefinitionError as error:  # the error message may name other reports
        logger.info("%s: the definition cannot be loaded: %s", report, error)
        raise _definition_error(report, caller, error) from error


def _definition_error(report: str, caller: Caller, error: DefinitionError) -> HTTPException:
    """Returns the error response for a report without a valid definition.

    The response includes the details only for users who may edit the report.
    """
    exists = any(path.stem == report for path in (include_folder() / "reports").glob("*.y*ml"))
    if not exists:
        return HTTPException(status.HTTP_404_NOT_FOUND, f"There is no report {report}.")
    if caller.may("PUT", report):
        return HTTPException(status.HTTP_409_CONFLICT, f"This report's definition is invalid: {error.message}")
    message = "This report is unavailable because its definition is invalid. Contact your Airflow administrator."
    return HTTPException(status.HTTP_409_CONFLICT, message)


def _ensure_authorized(report: str, caller: Caller, method: Any, *, entity: DagAccessEntity | None) -> None:
    permissions = {("GET", None), (method, entity)}  # a set, so that GET is not checked twice
    if not all(caller.may(needed, report, part) for needed, part in permissions):
        raise HTTPException(status.HTTP_403_FORBIDDEN, f"You don't have permission to do this with report {report}.")


def sign_check(manifest: Manifest) -> str:
    """Returns a token stating that a published run's rows are currently unchanged; nobody else can create one."""
    return _signer("quire.unchanged").dumps([manifest.report, manifest.run])


def read_check(manifest: Manifest, token: str) -> datetime | None:
    """Returns when a token from ``sign_check`` was created; None if it is invalid or belongs to another run."""
    try:
        signed, checked_at = _signer("quire.unchanged").loads(token, return_timestamp=True)
    except BadSignature:
        return None
    return checked_at if signed == [manifest.report, manifest.run] else None


def _signer(salt: str = "quire.portal") -> URLSafeTimedSerializer:
    # All API servers share jwt_secret. The fallback, [api] secret_key, differs between processes unless it is set.
    secret = conf.get("api_auth", "jwt_secret", fallback="") or conf.get("api", "secret_key")
    return URLSafeTimedSerializer(secret, salt=salt)
