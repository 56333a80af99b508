"""Rows that webhooks write make stored partitions stale, so the report's next run reads the new rows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from quire.object_store.s3_store import S3Store
from quire.pipeline import run_report
from quire.postgres.tracking.installation import track

from tests.events import fill_events, request_of, session_of
from tests.inbound_webhooks.conftest import open_shop
from tests.inbound_webhooks.shop import Shop, body_of, write_webhook
from tests.postgres.tracking.tables import tracked_report

pytestmark = pytest.mark.server

EVENTS = {
    "table": "public.events",
    "keys": {"id": "data.order.id"},
    "event_time": "timestamp",
    "columns": {"at": "data.order.at", "kind": "data.order.kind", "amount": "data.order.amount"},
}


@pytest.fixture
def shop(fresh_database: str, tmp_path: Path) -> Iterator[Shop]:
    fill_events(fresh_database)
    with open_shop(fresh_database, tmp_path) as shop:
        write_webhook(tmp_path, "events", **EVENTS)
        yield shop


def test_delivery_makes_partitions_of_tracked_report_stale(shop: Shop, tmp_path: Path, bucket: S3Store) -> None:
    report = tracked_report(tmp_path)
    track(report, shop.database)

    def run() -> tuple[list[str], int]:
        outcome = run_report(report, request_of(report), session=session_of(shop.database), store=bucket)
        keys = [part.key for part in outcome.partitions if not part.cache_hit]
        return keys, sum(part.rows for part in outcome.partitions)

    assert run() == (["2013-01", "2013-02", "2013-03"], 6)
    assert run() == ([], 6)
    arrived = body_of(7, at="2013-02-10T12:00:00Z", kind="a", amount=1)
    assert shop.post(arrived, webhook="events").json() == {"status": "applied"}
    assert run() == (["2013-02"], 7)
    moved = body_of(7, 1, at="2013-03-10T12:00:00Z")
    assert shop.post(moved, webhook="events").json() == {"status": "applied"}
    assert run() == (["2013-02", "2013-03"], 7)
    assert run() == ([], 7)
