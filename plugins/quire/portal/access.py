"""Who asks, and what they may: by Airflow's auth manager, with the report's name from the path and nowhere else."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Annotated, Any

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
from quire.portal.lazy_app import HOST
from quire.report.catalog import find_definition
from quire.report.definition import ReportDefinition
from quire.settings import include_folder

logger = logging.getLogger(__name__)

TOKEN_FIELD, TOKEN_HEADER = "quire-token", "X-Quire-Token"
MAX_FORM_AGE = 24 * 3600  # seconds that a page may lie open before its form is sent
SECONDS_OF_A_CALL = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """Who asks.

    Args:
        user: as the auth manager knows them.
        api: Airflow's own, as this user.
        is_program: whether the request carries its credential itself; else a browser added the session's cookie.
    """

    user: BaseUser = field(repr=False)
    api: AirflowApi = field(repr=False)
    is_program: bool

    @property
    def token(self) -> str:
        """What a form of ours carries, so that no other site's form is taken for one."""
        return _signer().dumps(self.user.get_id())


def _caller(request: Request, user: GetUserDep) -> Caller:
    token = get_auth_manager().generate_jwt(user, expiration_time_in_seconds=SECONDS_OF_A_CALL)
    is_program = request.headers.get("authorization", "").lower().startswith("bearer ")
    return Caller(user=user, api=AirflowApi(InProcessTransport(request.scope[HOST], token)), is_program=is_program)


CallerDep = Annotated[Caller, Depends(_caller)]


async def _checked_caller(request: Request, caller: CallerDep) -> Caller:
    """Refuses what another site's page may have sent in the name of somebody who is signed in."""
    if not caller.is_program:
        given = request.headers.get(TOKEN_HEADER)
        if given is None and "form" in request.headers.get("content-type", ""):
            given = str((await request.form()).get(TOKEN_FIELD, ""))
        try:
            if _signer().loads(given or "", max_age=MAX_FORM_AGE) != caller.user.get_id():
                raise BadSignature("another's")
        except BadSignature as error:
            raise HTTPException(
                status.HTTP_403_FORBIDDEN, "this page is too old, or the request is not its own: load it again"
            ) from error
    return caller


CheckedCallerDep = Annotated[Caller, Depends(_checked_caller)]


def _check_run_id(run_id: str) -> str:
    if not is_run_id(run_id):
        raise ValueError("no run has such an id")
    return run_id


RunId = Annotated[str, Path(max_length=250, description="The run's id."), AfterValidator(_check_run_id)]
ReportName = Annotated[str, Path(pattern="^[a-z][a-z0-9_]*$", description="The report's name.")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Named:
    """A report's name, and somebody who may read it, whether its definition can be read or not."""

    caller: Caller
    report: str

    @property
    def may_ask(self) -> bool:
        """Whether they may start runs of it."""
        return may(self.caller, self.report, "POST", DagAccessEntity.RUN)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """A report, and somebody who may read it."""

    caller: Caller
    definition: ReportDefinition

    @property
    def may_ask(self) -> bool:
        """Whether they may start runs of it."""
        return may(self.caller, self.definition.name, "POST", DagAccessEntity.RUN)

    @property
    def may_cancel(self) -> bool:
        """Whether they may end its runs."""
        return may(self.caller, self.definition.name, "PUT", DagAccessEntity.RUN)


def _named(report: ReportName, caller: CallerDep) -> Named:
    _refuse(report, caller, "GET", None)
    return Named(caller=caller, report=report)


def _reading(report: ReportName, caller: CallerDep) -> Reading:
    return _open(report, caller, "GET", None)


def _estimating(report: ReportName, caller: CheckedCallerDep) -> Reading:
    return _open(report, caller, "GET", None)


def _asking(report: ReportName, caller: CheckedCallerDep) -> Reading:
    return _open(report, caller, "POST", DagAccessEntity.RUN)


def _cancelling(report: ReportName, caller: CheckedCallerDep) -> Reading:
    return _open(report, caller, "PUT", DagAccessEntity.RUN)


NamedDep = Annotated[Named, Depends(_named)]
ReadingDep = Annotated[Reading, Depends(_reading)]
EstimatingDep = Annotated[Reading, Depends(_estimating)]
AskingDep = Annotated[Reading, Depends(_asking)]
CancellingDep = Annotated[Reading, Depends(_cancelling)]


def _open(report: str, caller: Caller, method: Any, entity: DagAccessEntity | None) -> Reading:
    """Returns the report where the caller may; whether there is such a report is told to nobody else."""
    _refuse(report, caller, method, entity)
    try:
        return Reading(caller=caller, definition=find_definition(include_folder(), report))
    except DefinitionError as error:  # which may name other reports
        logger.info("a report was asked for that cannot be read: %s", error)
        raise _unusable(report, caller, error) from error


def _unusable(report: str, caller: Caller, error: DefinitionError) -> HTTPException:
    """Returns why a report cannot be used: the reason itself only to who may edit it."""
    is_there = any(path.stem == report for path in (include_folder() / "reports").glob("*.y*ml"))
    if not is_there:
        return HTTPException(status.HTTP_404_NOT_FOUND, f"There is no report {report}.")
    if may(caller, report, "PUT", None):
        return HTTPException(status.HTTP_409_CONFLICT, f"The definition of this report has a mistake: {error.message}")
    reason = "This report cannot be used: its definition has a mistake. Contact your Airflow administrator."
    return HTTPException(status.HTTP_409_CONFLICT, reason)


def _refuse(report: str, caller: Caller, method: Any, entity: DagAccessEntity | None) -> None:
    needed = {("GET", None), (method, entity)}  # one question where it is only read
    if not all(may(caller, report, *right) for right in needed):
        raise HTTPException(status.HTTP_403_FORBIDDEN, f"you may not do this with the report {report}")


def may(caller: Caller, report: str, method: Any, entity: DagAccessEntity | None) -> bool:
    """Whether the auth manager lets a caller do something with a report's DAG, or with a part of it."""
    details = DagDetails(id=report, team_name=DagModel.get_team_name(report))
    return get_auth_manager().is_authorized_dag(method=method, access_entity=entity, details=details, user=caller.user)


def _signer() -> URLSafeTimedSerializer:
    # What all API servers share; [api] secret_key is another one in each process unless it is set.
    secret = conf.get("api_auth", "jwt_secret", fallback="") or conf.get("api", "secret_key")
    return URLSafeTimedSerializer(secret, salt="quire.portal")
