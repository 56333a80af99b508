"""A sealed record opens only for its own run, report and version, and all tasks share one key."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from quire.airflow_dag.sealing import SEALING_KEY, Sealer, unverified_count
from quire.errors import DefinitionError, IntegrityError
from quire.object_store.s3_store import S3Store

from tests.events import events_report


def test_unverified_count_does_not_parse_the_record(tmp_path: Path, bucket: S3Store) -> None:
    sealed = Sealer(events_report(tmp_path), "events:r1", store=bucket).seal(
        "groups", [{"key": "a"}, {"key": '"key": '}]
    )
    assert unverified_count(sealed, "key") == 2
    assert unverified_count({"record": "[" * 10_000_000}, "key") == 0
    values: list[Any] = [None, 5, [], {}, {"record": 5}]
    assert [unverified_count(value, "key") for value in values] == [None] * 5


def test_record_opens_only_for_its_own_run_report_and_version(tmp_path: Path, bucket: S3Store) -> None:
    definition = events_report(tmp_path)
    sealer = Sealer(definition, "events:r1", store=bucket)
    sealed = sealer.seal("plan", ["ä\u0000", 1e20, 0.1])
    assert Sealer(definition, "events:r1", store=bucket).open("plan", list[Any], sealed) == ["ä\u0000", 1e20, 0.1]
    for other in (Sealer(definition, "events:r2", store=bucket), Sealer(definition, "other:r1", store=bucket)):
        with pytest.raises(IntegrityError, match=r"an XCom in this run \(plan\) is not what its task wrote"):
            other.open("plan", list[Any], sealed)
    changed = definition.model_copy(update={"title": "Changed"})
    with pytest.raises(DefinitionError, match="changed during the run"):
        Sealer(changed, "events:r1", store=bucket).open("plan", list[Any], sealed)


def test_concurrent_tasks_agree_on_one_key(tmp_path: Path, bucket: S3Store) -> None:
    definition = events_report(tmp_path)
    sealers = [Sealer(definition, "events:r1", store=bucket) for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        sealed = list(pool.map(lambda sealer: sealer.seal("plan", [1]), sealers))
    assert [sealers[0].open("plan", list[int], item) for item in sealed] == [[1]] * 8


def test_damaged_key_is_replaced(tmp_path: Path, bucket: S3Store) -> None:
    definition = events_report(tmp_path)
    sealed = Sealer(definition, "events:r1", store=bucket).seal("plan", [1])
    bucket.put(SEALING_KEY, b"{}garbage")
    sealer = Sealer(definition, "events:r1", store=bucket)
    assert sealer.open("plan", list[int], sealer.seal("plan", [2])) == [2]
    with pytest.raises(IntegrityError, match="start the run again"):
        sealer.open("plan", list[int], sealed)
