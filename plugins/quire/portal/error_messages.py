"""Error messages for readers. Pydantic's original messages are never shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import status
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException as StarletteError

from quire import errors
from quire.airflow_api.client import NotFoundError, RefusedError
from quire.errors import TransientError, UsageError
from quire.human_readable import truncate
from quire.portal.job_deadline import SupersededError
from quire.portal.run_requests import QuotaError
from quire.report.definition import Owner

MAX_MESSAGE_LENGTH = 500
MAX_FIELD_LENGTH = 60
NOT_FOUND_MESSAGES: Mapping[str, str] = {  # by path parameter
    "report": "There is no such report.",
    "run_id": "There is no such run.",
    "run_key": "There is no such run.",
    "name": "There is no such file.",
}
VALIDATION_MESSAGES: Mapping[str, str] = {  # by pydantic's error type
    "missing": "is required",
    "extra_forbidden": "is not a field in this request",
    "string_type": "must be a string",
    "int_parsing": "must be an integer",
    "int_type": "must be an integer",
    "dict_type": "must be an object with a value for each parameter",
    "list_type": "must be a list",
    "model_attributes_type": "must be a JSON object",
    "greater_than_equal": "is too small",
    "less_than_equal": "is too large",
}
ROUTING_MESSAGES: Mapping[str, str] = {  # by Starlette's message
    "Not Found": "There is no such page.",
    "Method Not Allowed": "This URL does not support this method.",
}
FAILURE_MESSAGES: Mapping[str, str] = {  # by error class
    "DefinitionError": "This report's definition or query is invalid.",
    "QueryError": "The database rejected this report's query.",
    "StatementError": "The database rejected this report's query.",
    "SettingsError": "A connection that this report needs is configured incorrectly.",
    "NoConnectionError": "A connection that this report needs is not configured.",
    "NotTrackedError": "This report's change tracking is not fully installed.",
    "MisplacedRowsError": "The query returned rows outside the date range.",
    "StoreRefusedError": "The file store rejected this report's files.",
    "StoreUnavailableError": "The file store was unavailable.",
    "SourceUnavailableError": "The database was unavailable.",
    "IntegrityError": "Some of this report's stored data is missing or damaged.",
    "WorkbookError": "The rows do not fit into a workbook.",
}
USER_ERRORS = ("RangeError", "ParameterError")  # readers can correct these errors themselves
UNEXPECTED_FAILURE = "The report failed unexpectedly."


def explain_failure(kind: str | None, cause: str, *, contact: str) -> str:
    """Returns a message that explains to readers why a run failed.

    Args:
        kind: the error's class name; None if unknown.
        cause: the error message.
        contact: the person or team to contact.
    """
    if kind in USER_ERRORS:
        return cause
    classes = getattr(getattr(errors, kind or "", None), "__mro__", ())
    names = [error_class.__name__ for error_class in classes]
    message = next((FAILURE_MESSAGES[name] for name in names if name in FAILURE_MESSAGES), UNEXPECTED_FAILURE)
    return f"{message} Contact {contact}."


def contact_text(owner: Owner | None) -> str:
    """Returns the contact for a report's readers."""
    if owner is None:
        return "your Airflow administrator"
    return f"{owner.name} ({owner.email})" if owner.email else owner.name


def explain(error: Exception) -> tuple[int, str]:
    """Returns the HTTP status and the message for an error."""
    status_code, message = _explain(error)
    return status_code, truncate(message, MAX_MESSAGE_LENGTH)


def _explain(error: Exception) -> tuple[int, str]:
    if isinstance(error, RequestValidationError):
        return _explain_validation(error.errors())
    if isinstance(error, StarletteError):
        return error.status_code, ROUTING_MESSAGES.get(error.detail, str(error.detail))
    if isinstance(error, NotFoundError):
        return status.HTTP_404_NOT_FOUND, "There is no such run."
    if isinstance(error, RefusedError):
        return error.status, str(error)
    if isinstance(error, QuotaError | SupersededError):
        return status.HTTP_429_TOO_MANY_REQUESTS, str(error)
    if isinstance(error, TransientError):
        return status.HTTP_503_SERVICE_UNAVAILABLE, str(error)
    if isinstance(error, UsageError):
        return status.HTTP_422_UNPROCESSABLE_CONTENT, error.message
    return status.HTTP_409_CONFLICT, str(error)


def _explain_validation(validation_errors: Sequence[Mapping[str, Any]]) -> tuple[int, str]:
    """Returns the HTTP status and the message for the first validation error. An invalid path results in a 404."""
    first = validation_errors[0]
    source, *path = first["loc"]
    if source == "path":
        return 404, NOT_FOUND_MESSAGES.get(str(path[0]), "There is no such page.")
    if first["type"] == "json_invalid":
        return 422, "The body is not valid JSON."
    field = truncate(".".join(map(str, path)) or str(source), MAX_FIELD_LENGTH)
    return 422, f"{field} {VALIDATION_MESSAGES.get(first['type'], 'is invalid')}"
