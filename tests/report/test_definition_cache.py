"""The portal rereads a report's files only if they have changed."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from quire.errors import DefinitionError
from quire.report.catalog import DefinitionCache, load_catalog
from quire.report.catalog.definition_cache import MIN_AGE_NS

from tests.events import events_report


@pytest.fixture
def include(tmp_path: Path) -> Path:
    """A folder with a report."""
    include = tmp_path / "include"
    events_report(include)
    return include


@pytest.fixture
def include_of_two(tmp_path: Path) -> Path:
    """A folder with two reports."""
    include = tmp_path / "include"
    events_report(include)
    shutil.copytree(include / "sql" / "events", include / "sql" / "other")
    definition = (include / "reports" / "events.yaml").read_text()
    (include / "reports" / "other.yaml").write_text(definition.replace("events/extract", "other/extract"))
    return include


def cache_after(nanoseconds: int) -> DefinitionCache:
    """Returns a cache whose clock is ahead, so that files changed just now look older."""
    return DefinitionCache(now_ns=lambda: time.time_ns() + nanoseconds)


def last_change(folder: Path) -> int:
    """Returns when a file in the folder last changed, in nanoseconds."""
    return max(file.stat().st_ctime_ns for file in folder.rglob("*.*"))


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
    include, cache = include_of_two, cache_after(MIN_AGE_NS)
    first, second = cache.load(include), cache.load(include)
    assert all(first.definitions[report] is second.definitions[report] for report in ("events", "other"))

    change(include / name)

    third, fresh = cache.load(include), load_catalog(include)
    assert third.definitions == fresh.definitions
    assert {report: str(error) for report, error in third.errors.items()} == {
        report: str(error) for report, error in fresh.errors.items()
    }
    assert third.definitions.get("events") is not first.definitions["events"]
    assert third.definitions["other"] is first.definitions["other"]


def test_cache_keeps_no_file_that_changed_just_before(include: Path) -> None:
    written = last_change(include)
    cache = DefinitionCache(now_ns=lambda: written + MIN_AGE_NS)
    first = cache.load(include).definitions["events"]
    assert cache.load(include).definitions["events"] is not first


def test_cache_keeps_a_file_that_is_old_enough(include: Path) -> None:
    written = last_change(include)
    cache = DefinitionCache(now_ns=lambda: written + MIN_AGE_NS + 1)
    first = cache.load(include).definitions["events"]
    assert cache.load(include).definitions["events"] is first


def test_cached_report_is_found_without_reading_it_again(include: Path) -> None:
    cache = cache_after(MIN_AGE_NS)
    first = cache.find(include, "events")
    assert cache.find(include, "events") is first
    assert cache.load(include).definitions["events"] is first
    touch_title(include / "reports" / "events.yaml")
    assert cache.find(include, "events") is not first
    with pytest.raises(DefinitionError, match="no report 'nothing'"):
        cache.find(include, "nothing")


def test_single_report_is_loaded_without_forgetting_the_others(include_of_two: Path) -> None:
    cache = cache_after(MIN_AGE_NS)
    other = cache.load(include_of_two).definitions["other"]
    assert set(cache.load(include_of_two, only="events").definitions) == {"events"}
    assert cache.load(include_of_two).definitions["other"] is other


def test_cache_forgets_deleted_reports(include: Path) -> None:
    cache = cache_after(MIN_AGE_NS)
    assert set(cache.load(include).definitions) == {"events"}
    (include / "reports" / "events.yaml").unlink()
    assert cache.load(include).definitions == {}
    assert cache._entries == {}
