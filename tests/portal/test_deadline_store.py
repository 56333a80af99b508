"""A store with a deadline sends no requests once the deadline has passed or nobody waits for the result."""

from __future__ import annotations

import pytest
from quire.object_store.s3_store import S3Store
from quire.portal.deadline_store import limit_store
from quire.portal.job_deadline import Deadline, WorkUnavailableError
from quire.settings import StoreSettings


def test_listing_after_the_deadline_sends_no_request() -> None:
    settings = StoreSettings(endpoint_url="http://127.0.0.1:9", bucket="quire", access_key="x", secret_key="x")
    with pytest.raises(WorkUnavailableError, match="timed out"):
        list(limit_store(S3Store(settings), Deadline(0)).list("reports/"))


def test_listing_stops_when_nobody_waits_for_it(bucket: S3Store) -> None:
    for name in ("first", "second"):
        bucket.put(f"reports/{name}", b"")
    deadline = Deadline(60)
    listing = limit_store(bucket, deadline).list("reports/")
    assert next(listing).key == "reports/first"
    deadline.cancelled.set()
    with pytest.raises(WorkUnavailableError):
        next(listing)
