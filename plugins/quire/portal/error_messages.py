"""Why a request was not answered, in the reader's words: pydantic's own never leave the portal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import status
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException as StarletteError

from quire import errors
from quire.airflow_api.client import NotFoundError, RefusedError
from quire.errors import TransientError, UsageError
from quire.portal.run_requests import BusyError, QuotaError
from quire.portal.work_queue import SupersededError
from quire.report.definition import Owner

MAX_REASON_LENGTH = 500
MAX_FIELD_LENGTH = 60
NO_SUCH: Mapping[str, str] = {
    "report": "There is no such report.",
    "run_id": "There is no such run.",
    "run_key": "There is no such run.",
    "name": "There is no such file.",
}
WORDS: Mapping[str, str] = {
    "missing": "is missing",
    "extra_forbidden": "is not a field of this request",
    "string_type": "must be text",
    "int_parsing": "must be a whole number",
    "int_type": "must be a whole number",
    "dict_type": "must be an object with a value for each parameter",
    "list_type": "must be a list",
    "model_attributes_type": "must be a JSON object",
    "greater_than_equal": "is too small",
    "less_than_equal": "is too large",
}


ROUTING: Mapping[str, str] = {  # what Starlette says of addresses that no route takes
    "Not Found": "There is no such page.",
    "Method Not Allowed": "This address does not take such requests.",
}
FAILURES: Mapping[str, str] = {
    "DefinitionError": "The report's definition or its query has a mistake.",
    "QueryError": "The database refused the report's query.",
    "StatementError": "The database refused the report's query.",
    "SettingsError": "A connection that the report needs is not set up correctly.",
    "NoConnectionError": "A connection that the report needs is not set up.",
    "NotTrackedError": "The report's change tracking is not installed completely.",
    "MisplacedRowsError": "The report's query returned rows outside the date range.",
    "StoreRefusedError": "The file store refused the report's files.",
    "StoreUnavailableError": "The file store was not available.",
    "SourceUnavailableError": "The database was not available.",
    "IntegrityError": "Stored data of the report is missing or damaged.",
    "WorkbookError": "The rows do not fit into a workbook.",
}
OWN_INPUT = ("RangeError", "ParameterError")  # what the reader can correct alone
UNKNOWN_FAILURE = "The report failed unexpectedly."


def explain_failure(kind: str | None, cause: str, *, contact: str) -> str:
    """Returns why a run failed, for its readers.

    Args:
        kind: the name of the error's class; None where it is not known.
        cause: the error's own words.
        contact: whom readers contact.
    """
    if kind in OWN_INPUT:
        return cause
    classes = getattr(getattr(errors, kind or "", None), "__mro__", ())
    sentence = next((FAILURES[known.__name__] for known in classes if known.__name__ in FAILURES), UNKNOWN_FAILURE)
    return f"{sentence} Contact {contact}."


def contact_of(owner: Owner | None) -> str:
    """Returns whom a report's readers contact."""
    if owner is None:
        return "your Airflow administrator"
    return f"{owner.name} ({owner.email})" if owner.email else owner.name


def shorten(text: str, length: int) -> str:
    """Returns a text of at most ``length`` characters, the last of which says that there were more."""
    return text if len(text) <= length else f"{text[: length - 1]}…"


def explain(error: Exception) -> tuple[int, str]:
    """Returns the status and the sentence that answer an error."""
    status_code, reason = _status_of(error)
    return status_code, shorten(reason, MAX_REASON_LENGTH)


def _status_of(error: Exception) -> tuple[int, str]:
    if isinstance(error, RequestValidationError):
        return _of_validation(error.errors())
    if isinstance(error, StarletteError):
        return error.status_code, ROUTING.get(error.detail, str(error.detail))
    if isinstance(error, NotFoundError):
        return status.HTTP_404_NOT_FOUND, "There is no such run."
    if isinstance(error, RefusedError):
        refused = error.status < status.HTTP_500_INTERNAL_SERVER_ERROR
        return (error.status if refused else status.HTTP_503_SERVICE_UNAVAILABLE), str(error)
    if isinstance(error, QuotaError | SupersededError):
        return status.HTTP_429_TOO_MANY_REQUESTS, str(error)
    if isinstance(error, BusyError | TransientError):
        return status.HTTP_503_SERVICE_UNAVAILABLE, str(error)
    if isinstance(error, UsageError):
        return status.HTTP_422_UNPROCESSABLE_CONTENT, error.message
    return status.HTTP_409_CONFLICT, str(error)


def _of_validation(faults: Sequence[Mapping[str, Any]]) -> tuple[int, str]:
    """Returns the status and the sentence for the first of FastAPI's validation errors.

    What is wrong in a path is a thing that does not exist.
    """
    first = faults[0]
    source, *path = first["loc"]
    if source == "path":
        return 404, NO_SUCH.get(str(path[0]), "There is no such page.")
    if first["type"] == "json_invalid":
        return 422, "The body is not valid JSON."
    place = shorten(".".join(map(str, path)) or str(source), MAX_FIELD_LENGTH)
    return 422, f"{place} {WORDS.get(first['type'], 'is not valid')}"
