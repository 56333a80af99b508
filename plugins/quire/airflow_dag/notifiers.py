"""Builds the notifiers that a definition names.

A definition is data of its author, and a module runs code when it is imported: in the DAG processor, whose parse of one
file serves every report. So modules of the standard library, and private ones, are never imported, and nothing that an
import or a constructor raises concerns another report.
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

# Values reach a notifier by templates: what stands in a title or a reason is never itself taken for one.
MAIL = {
    "subject": "{{ quire_subject }}",
    "html_content": "{{ quire_html }}",
    "text_content": "{{ quire_text }}",
}
# Names of arguments by which a notifier may read files of the worker, as providers name them.
FILE_ARGUMENT = re.compile(r"attach|(?<!pro)file|template|(?:^|_)(?:path|dir|directory|folder)s?$", re.IGNORECASE)
# `test` comes with Python and runs its tests on import, but sys.stdlib_module_names leaves it out.
STANDARD_LIBRARY = sys.stdlib_module_names | {"test"}
OUTCOMES = ("success", "failure")


@dataclass(frozen=True, slots=True, kw_only=True)
class NotifierCall:
    """A notifier to be made: the field of the definition that wants it, whom it reaches, its class, its arguments."""

    field: str
    recipient: str
    path: str
    arguments: dict[str, Any]

    @property
    def is_slack(self) -> bool:
        """Whether its texts may hold Slack's markup."""
        return "slack" in self.path.casefold()


def ensure_usable_notifiers(definition: ReportDefinition) -> None:
    """Makes every notifier of a definition once.

    Raises:
        DefinitionError: one cannot be imported, is no notifier, or is not to be called so.
    """
    try:
        for outcome in OUTCOMES:
            for call in notifier_calls(definition, outcome):
                make_notifier(call)
    except DefinitionError as error:
        raise DefinitionError(error.message, report=definition.name) from error


def notifier_calls(definition: ReportDefinition, outcome: str) -> Iterator[NotifierCall]:
    """Yields a call for each recipient: an address that a mail server refuses keeps the mail from nobody else."""
    for index, recipient in enumerate(getattr(definition.delivery.notify, outcome)):
        field = f"delivery.notify.{outcome}[{index}]"
        if isinstance(recipient, Notifier):
            name = recipient.notifier.rpartition(".")[2]
            yield NotifierCall(field=field, recipient=name, path=recipient.notifier, arguments=recipient.arguments)
        else:
            arguments = {"to": [recipient], **MAIL}
            yield NotifierCall(field=field, recipient=recipient, path=MAIL_NOTIFIER, arguments=arguments)


def make_notifier(call: NotifierCall) -> BaseNotifier:
    """Returns the notifier of a call.

    Raises:
        DefinitionError: it cannot be imported, is no notifier, or is not to be called so.
    """
    with _no_dags_collected():
        return _make(call)


@contextmanager
def _no_dags_collected() -> Iterator[None]:
    """Keeps Airflow from taking DAGs of an imported module, such as an example, for those of the file it parses."""
    collecting = DagContext.current_autoregister_module_name
    DagContext.current_autoregister_module_name = None
    try:
        yield
    finally:
        DagContext.current_autoregister_module_name = collecting


def _make(call: NotifierCall) -> BaseNotifier:
    kind = _notifier_class(call)
    if reading := [name for name in call.arguments if FILE_ARGUMENT.search(name)]:
        raise DefinitionError(f"{call.field}.{reading[0]}: a definition may not send files of the worker: remove it")
    try:
        return kind(**call.arguments)
    except (KeyboardInterrupt, AirflowTaskTimeout):
        raise
    except BaseException as error:  # its constructor may refuse in any way, also with SystemExit
        taken = [name for name in signature(kind).parameters if _is_own_argument(name)]
        unknown = [name for name in call.arguments if name not in taken]
        if not isinstance(error, TypeError) or not unknown:
            reason = _reason(error)
            named = reason if kind.__name__ in reason else f"{kind.__name__}: {reason}"
            raise DefinitionError(f"{call.field}: {named}") from error
        likely = suggestion(unknown[0], taken) or f"; it takes {', '.join(taken)}"
        raise DefinitionError(f"{call.field}: {kind.__name__} takes no {unknown[0]}{likely}") from error


def _notifier_class(call: NotifierCall) -> type[BaseNotifier]:
    module, _, name = call.path.rpartition(".")
    _ensure_importable(call)
    try:
        kind = getattr(import_module(module), name)
    except (KeyboardInterrupt, AirflowTaskTimeout):
        raise
    except BaseException as error:  # a module may raise anything when it is imported, also SystemExit
        raise DefinitionError(f"{call.field}.notifier: {call.path} cannot be imported: {_reason(error)}") from error
    if not (isinstance(kind, type) and issubclass(kind, BaseNotifier)):
        raise DefinitionError(f"{call.field}.notifier: {call.path} is no class derived from airflow.sdk.BaseNotifier")
    return kind


def _ensure_importable(call: NotifierCall) -> None:
    """Refuses paths that lead to no notifier and whose import may do anything: unittest.__main__ runs tests, and exits.

    Raises:
        DefinitionError: the path is of the standard library, or private.
    """
    segments = call.path.split(".")
    place = f"{call.field}.notifier: {short_repr(call.path)}"
    if segments[0] in STANDARD_LIBRARY:
        raise DefinitionError(f"{place} is of Python's standard library, which has no notifier")
    if private := [segment for segment in segments if segment.startswith("_")]:
        raise DefinitionError(f"{place} is private: {short_repr(private[0])} begins with an underscore")


def _is_own_argument(name: str) -> bool:
    return name not in {"kwargs", "context"} and not FILE_ARGUMENT.search(name)


def _reason(error: BaseException) -> str:
    """Returns what an error says, after its type where it says too little, as the status of a SystemExit does."""
    text = first_line(error)
    return text if text and isinstance(error, Exception) else f"{type(error).__name__}: {text}".rstrip(": ")
