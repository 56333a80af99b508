"""The portal rereads a report's files only if they have changed."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from quire.report.catalog import DefinitionCache, load_catalog
from quire.report.catalog.definition_cache import MIN_AGE_NS

from tests.events import events_report


@pytest.fixture
def include(tmp_path: Path) -> Path:
    """A folder with a report whose files are old enough to be cached."""
    include = tmp_path / "include"
    events_report(include)
    time.sleep(1.2 * MIN_AGE_NS / 1e9)
    return include


@pytest.fixture
def include_of_two(tmp_path: Path) -> Path:
    """A folder with two reports whose files are old enough to be cached."""
    include = tmp_path / "include"
    events_report(include)
    shutil.copytree(include / "sql" / "events", include / "sql" / "other")
    definition = (include / "reports" / "events.yaml").read_text()
    (include / "reports" / "other.yaml").write_text(definition.replace("events/extract", "other/extract"))
    time.sleep(1.2 * MIN_AGE_NS / 1e9)
    return include


def replace_keeping_times(file: Path, old: str = "events", new: str = "evenst") -> None:
    """Replaces a file with one that has the same size and modification time, like ``rsync --times``."""
    status = file.stat()
    copy = file.with_suffix(".new")
    copy.write_text(file.read_text().replace(old, new))
    os.utime(copy, ns=(status.st_atime_ns, status.st_mtime_ns))
    copy.rename(file)


def touch_title(file: Path) -> None:
    file.write_text(file.read_text() + "\n")


@pytest.mark.parametrize("name", ["reports/events.yaml", "sql/events/extract.sql"])
@pytest.mark.parametrize("change", [replace_keeping_times, touch_title, Path.unlink])
def test_cache_rereads_a_changed_report_and_keeps_others(
    include_of_two: Path, name: str, change: Callable[[Path], None]
) -> None:
    include, cache = include_of_two, DefinitionCache()
    first, second = cache(include), cache(include)
    assert all(first.definitions[report] is second.definitions[report] for report in ("events", "other"))

    change(include / name)

    third, fresh = cache(include), load_catalog(include)
    assert third.definitions == fresh.definitions
    assert {report: str(error) for report, error in third.errors.items()} == {
        report: str(error) for report, error in fresh.errors.items()
    }
    assert third.definitions.get("events") is not first.definitions["events"]
    assert third.definitions["other"] is first.definitions["other"]


def test_cache_keeps_no_file_that_changed_just_before(include: Path) -> None:
    cache = DefinitionCache()
    query = include / "sql" / "events" / "extract.sql"
    query.write_text(query.read_text() + "-- a comment\n")
    first = cache(include).definitions["events"]
    assert cache(include).definitions["events"] is not first


def test_cache_forgets_deleted_reports(include: Path) -> None:
    cache = DefinitionCache()
    assert set(cache(include).definitions) == {"events"}
    (include / "reports" / "events.yaml").unlink()
    assert cache(include).definitions == {}
    assert cache._entries == {}
