"""The error tree is complete; errors can be pickled and have the documented exit statuses."""

from __future__ import annotations

import importlib
import inspect
import pickle
import pkgutil
import re

import pytest
import quire
from quire import errors
from quire.airflow_api.client import RefusedError
from quire.errors import DefinitionError, ParameterError, RangeError, ReportError, TerminalError, TransientError
from quire.inbound_webhooks import rejections
from quire.inbound_webhooks.rejections import DeliveryRejectedError


def exceptions() -> list[type[BaseException]]:
    """Returns the exceptions that the package's modules define."""
    names = [module.name for module in pkgutil.walk_packages(quire.__path__, "quire.") if "__main__" not in module.name]
    classes = {kind for name in names for _, kind in inspect.getmembers(importlib.import_module(name), inspect.isclass)}
    own = {kind for kind in classes if issubclass(kind, BaseException) and kind.__module__.startswith("quire.")}
    return sorted(own, key=lambda kind: kind.__qualname__)


EXCEPTIONS = exceptions()
TREE = [kind for kind in EXCEPTIONS if issubclass(kind, ReportError)]
PUBLIC = [kind for kind in EXCEPTIONS if not kind.__name__.startswith("_")]


@pytest.mark.parametrize("kind", EXCEPTIONS)
def test_name_of_every_exception_ends_in_error(kind: type[BaseException]) -> None:
    assert kind.__name__.endswith("Error")


@pytest.mark.parametrize("kind", PUBLIC)
def test_exception_that_leaves_its_module_is_in_the_tree(kind: type[BaseException]) -> None:
    assert issubclass(kind, ReportError)


@pytest.mark.parametrize("kind", [kind for kind in TREE if kind.__module__ == errors.__name__])
def test_error_pickled_and_back_is_the_same(kind: type[ReportError]) -> None:
    """Airflow passes errors from one process to another."""
    error = kind("no such column", report="flights", partition="2013-01")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - trusted bytes
    assert type(again) is kind
    assert (again.message, again.report, again.partition) == ("no such column", "flights", "2013-01")
    assert str(again) == str(error) == "flights 2013-01: no such column"


def test_error_pickled_and_back_keeps_the_fields_of_its_class() -> None:
    error = RefusedError("no", status=409)
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - trusted bytes
    assert (type(again), again.message, again.status) == (RefusedError, "no", 409)


@pytest.mark.parametrize("kind", TREE)
def test_error_is_named_in_the_docstring_of_the_error_module(kind: type[ReportError]) -> None:
    names = re.findall(r"\w+", errors.__doc__ or "")
    is_rejection = issubclass(kind, DeliveryRejectedError)
    assert kind.__name__ in names or (is_rejection and kind.__name__ in (rejections.__doc__ or ""))


@pytest.mark.parametrize("kind", TREE)
def test_error_below_the_root_is_either_terminal_or_transient(kind: type[ReportError]) -> None:
    assert kind is ReportError or issubclass(kind, TerminalError) != issubclass(kind, TransientError)


def test_exit_status_is_two_for_input_and_settings_and_one_for_other_errors() -> None:
    of_two = {kind for kind in TREE if kind.exit_status == 2}
    assert of_two == {
        errors.UsageError,
        DefinitionError,
        ParameterError,
        RangeError,
        errors.SettingsError,
        errors.NoConnectionError,
    }
    assert {kind.exit_status for kind in set(TREE) - of_two} == {1}


def test_error_with_several_lines_is_shown_in_one() -> None:
    assert str(ReportError("first\n  second\tthird ")) == "first second third"


def test_error_without_a_place_is_its_message_alone() -> None:
    assert str(ReportError("away", partition="2013-01")) == "2013-01: away"
    assert str(ReportError("away")) == "away"
