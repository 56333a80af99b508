"""The error tree is complete; errors can be pickled and have the documented exit statuses."""

from __future__ import annotations

import inspect
import pickle

import pytest
from quire import errors
from quire.errors import DefinitionError, ParameterError, RangeError, ReportError, TerminalError, TransientError


def descendants(kind: type[ReportError]) -> list[type[ReportError]]:
    """Returns an error class and its subclasses, except any that other modules define."""
    children = [child for child in kind.__subclasses__() if child.__module__ == errors.__name__]
    return [kind, *(descendant for child in children for descendant in descendants(child))]


TREE = descendants(ReportError)


@pytest.mark.parametrize("kind", TREE)
def test_error_pickled_and_back_is_the_same(kind: type[ReportError]) -> None:
    """Airflow passes errors from one process to another."""
    error = kind("no such column", report="flights", partition="2013-01")
    again = pickle.loads(pickle.dumps(error))  # noqa: S301 - trusted bytes
    assert type(again) is kind
    assert (again.message, again.report, again.partition) == ("no such column", "flights", "2013-01")
    assert str(again) == str(error) == "flights 2013-01: no such column"


@pytest.mark.parametrize("kind", TREE)
def test_error_is_named_in_the_tree_at_the_top_of_its_module(kind: type[ReportError]) -> None:
    assert kind.__name__ in (errors.__doc__ or "")


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


def test_every_exception_of_the_module_is_in_the_tree() -> None:
    classes = {kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, BaseException)}
    assert classes == set(TREE)
