"""Builds the notifiers that a definition names.

A definition's author chooses each notifier's module. Importing a module runs its code in the DAG processor, which
parses one file for all reports. Quire therefore never imports standard library modules or private modules, and an
exception in an import or a constructor affects only one report.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from inspect import signature
from typing import Any

from airflow.sdk import BaseNotifier
from airflow.sdk.definitions._internal.contextmanager import DagContext
from airflow.sdk.exceptions import AirflowTaskTimeout

from quire.airflow_dag.mail import MAIL_NOTIFIER
from quire.errors import DefinitionError, first_line, short_repr
from quire.report.definition import Notifier, ReportDefinition
from quire.report.definition.name_checks import suggestion

# A notifier receives values through template variables, so that it does not render titles and reasons as templates.
MAIL = {
    "subject": "{{ quire_subject }}",
    "html_content": "{{ quire_html }}",
    "text_content": "{{ quire_text }}",
}
# Matches argument names that providers use for files that a notifier reads on the worker.
FILE_ARGUMENT = re.compile(r"attach|(?<!pro)file|template|(?:^|_)(?:path|dir|directory|folder)s?$", re.IGNORECASE)
# Python's `test` package runs tests on import, and sys.stdlib_module_names does not list it.
STANDARD_LIBRARY = sys.stdlib_module_names | {"test"}
OUTCOMES = ("success", "failure")


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifierCall:
    """A notifier to build: its field in the definition, its recipient, its class's path and its arguments."""

    field: str
    recipient: str
    path: str
    arguments: dict[str, Any]

    @property
    def is_slack(self) -> bool:
        """Whether the notifier sends Slack markup."""
        return "slack" in self.path.casefold()


def ensure_usable_notifiers(definition: ReportDefinition) -> None:
    """Checks that every notifier in a definition can be built.

    Raises:
        DefinitionError: a class cannot be imported, is not a notifier, or does not accept its arguments.
    """
    try:
        for outcome in OUTCOMES:
            for call in notifier_calls(definition, outcome):
                make_notifier(call)
    except DefinitionError as error:
        raise DefinitionError(error.message, report=definition.name) from error


def notifier_calls(definition: ReportDefinition, outcome: str) -> Iterator[NotifierCall]:
    """Yields one call for each recipient, so that a rejected e-mail address does not affect the others."""
    for index, recipient in enumerate(getattr(definition.delivery.notify, outcome)):
        field = f"delivery.notify.{outcome}[{index}]"
        if isinstance(recipient, Notifier):
            name = recipient.notifier.rpartition(".")[2]
            yield NotifierCall(field=field, recipient=name, path=recipient.notifier, arguments=recipient.arguments)
        else:
            arguments = {"to": [recipient], **MAIL}
            yield NotifierCall(field=field, recipient=recipient, path=MAIL_NOTIFIER, arguments=arguments)


def make_notifier(call: NotifierCall) -> BaseNotifier:
    """Builds the notifier that a call describes.

    Raises:
        DefinitionError: the class cannot be imported, is not a notifier, or does not accept the arguments.
    """
    with _pause_dag_collection():
        return _make(call)


@contextmanager
def _pause_dag_collection() -> Iterator[None]:
    """Prevents Airflow from assigning an imported module's DAGs, such as example DAGs, to the DAG file."""
    collecting = DagContext.current_autoregister_module_name
    DagContext.current_autoregister_module_name = None
    try:
        yield
    finally:
        DagContext.current_autoregister_module_name = collecting


def _make(call: NotifierCall) -> BaseNotifier:
    kind = _notifier_class(call)
    if file_arguments := [name for name in call.arguments if FILE_ARGUMENT.search(name)]:
        raise DefinitionError(
            f"{call.field}.{file_arguments[0]}: remove this field: notifications cannot include files from the worker"
        )
    try:
        return kind(**call.arguments)
    except (KeyboardInterrupt, AirflowTaskTimeout):
        raise
    except BaseException as error:  # a constructor can raise any exception, even SystemExit
        accepted = [name for name in signature(kind).parameters if _is_accepted(name)]
        unknown = [name for name in call.arguments if name not in accepted]
        if not isinstance(error, TypeError) or not unknown:
            reason = _reason(error)
            message = reason if kind.__name__ in reason else f"{kind.__name__}: {reason}"
            raise DefinitionError(f"{call.field}: {message}") from error
        hint = suggestion(unknown[0], accepted) or f"; it accepts {', '.join(accepted)}"
        raise DefinitionError(f"{call.field}: {kind.__name__} does not accept {unknown[0]}{hint}") from error


def _notifier_class(call: NotifierCall) -> type[BaseNotifier]:
    module, _, name = call.path.rpartition(".")
    _ensure_importable(call)
    try:
        kind = getattr(import_module(module), name)
    except (KeyboardInterrupt, AirflowTaskTimeout):
        raise
    except BaseException as error:  # an import can raise any exception, even SystemExit
        raise DefinitionError(f"{call.field}.notifier: {call.path} cannot be imported: {_reason(error)}") from error
    if not (isinstance(kind, type) and issubclass(kind, BaseNotifier)):
        raise DefinitionError(f"{call.field}.notifier: {call.path} is not a subclass of airflow.sdk.BaseNotifier")
    return kind


def _ensure_importable(call: NotifierCall) -> None:
    """Checks that a module is safe to import. Importing ``unittest.__main__``, for example, runs tests and exits.

    Raises:
        DefinitionError: the module is private or belongs to the standard library.
    """
    segments = call.path.split(".")
    notifier = f"{call.field}.notifier: {short_repr(call.path)}"
    if segments[0] in STANDARD_LIBRARY:
        raise DefinitionError(f"{notifier} belongs to Python's standard library, which has no notifiers")
    if private := [segment for segment in segments if segment.startswith("_")]:
        raise DefinitionError(f"{notifier} is private: {short_repr(private[0])} starts with an underscore")


def _is_accepted(name: str) -> bool:
    return name not in {"kwargs", "context"} and not FILE_ARGUMENT.search(name)


def _reason(error: BaseException) -> str:
    """Returns an error's message, preceded by its type if the message alone is unclear, as it is for a SystemExit."""
    text = first_line(error)
    return text if text and isinstance(error, Exception) else f"{type(error).__name__}: {text}".rstrip(": ")
