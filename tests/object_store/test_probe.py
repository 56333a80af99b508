"""The probe checks the store features that Quire needs, reports failures on one line, and leaves no objects behind."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from quire.errors import StoreRefusedError, StoreUnavailableError
from quire.object_store.probe import probe_store
from quire.object_store.s3_store import S3Store
from quire.runs.retention import collect_garbage

pytestmark = pytest.mark.server


def assert_clean(store: S3Store) -> None:
    assert list(store.list("")) == []
    assert store.client.list_multipart_uploads(Bucket=store.bucket).get("Uploads", []) == []


def alter(store: S3Store, operation: str, **changes: Any) -> None:
    """Changes an operation's parameters before it is signed, as if the store ignored them."""

    def change(params: dict[str, Any], **_: Any) -> None:
        for name, value in changes.items():
            if value is None:
                params.pop(name, None)
            else:
                params[name] = value

    store.client.meta.events.register(f"provide-client-params.s3.{operation}", change)


def test_probe_of_a_suitable_store_passes_and_leaves_nothing(bucket: S3Store) -> None:
    probe_store(bucket)
    assert_clean(bucket)


def test_probe_of_a_store_that_ignores_conditions_fails(bucket: S3Store) -> None:
    alter(bucket, "PutObject", IfNoneMatch=None)
    with pytest.raises(
        StoreRefusedError, match=r"ignores the condition .* two concurrent writers would both succeed"
    ) as raised:
        probe_store(bucket)
    assert "\n" not in str(raised.value)
    assert_clean(bucket)


def test_probe_of_a_store_with_racy_conditions_fails(bucket: S3Store) -> None:
    """The store checks the condition first and writes the object later, like a gateway without locks."""

    def change(params: dict[str, Any], **_: Any) -> None:
        if params["Key"].endswith("/race"):
            params.pop("IfNoneMatch", None)

    bucket.client.meta.events.register("provide-client-params.s3.PutObject", change)
    with pytest.raises(StoreRefusedError, match="ignores the condition"):
        probe_store(bucket)
    assert_clean(bucket)


def test_probe_of_a_store_that_ignores_ranges_fails(bucket: S3Store) -> None:
    alter(bucket, "GetObject", Range=None)
    with pytest.raises(StoreRefusedError, match="ignores the range in a read request"):
        probe_store(bucket)
    assert_clean(bucket)


def test_probe_of_a_store_without_multipart_leaves_nothing(bucket: S3Store) -> None:
    def refuse(**_: Any) -> None:
        raise StoreUnavailableError("no UploadPart")

    bucket.client.meta.events.register("before-call.s3.UploadPart", refuse)
    with pytest.raises(StoreUnavailableError, match="no UploadPart"):
        probe_store(bucket)
    assert_clean(bucket)


@pytest.mark.parametrize(("minutes", "direction"), [(6, "360 s behind"), (-6, "360 s ahead of")])
def test_probe_of_a_store_with_a_different_clock_fails(bucket: S3Store, minutes: int, direction: str) -> None:
    class OtherTime(S3Store):
        def now(self) -> datetime:
            return datetime.now(UTC) + timedelta(minutes=minutes, seconds=0.4 * (1 if minutes > 0 else -1))

    with pytest.raises(StoreRefusedError, match=f"this machine's clock is {direction} the object store's"):
        probe_store(OtherTime(bucket.settings))
    assert_clean(bucket)


def test_now_returns_the_clock_of_the_store(bucket: S3Store) -> None:
    def date(parsed: dict[str, Any], **_: Any) -> None:
        parsed["ResponseMetadata"]["HTTPHeaders"]["date"] = "Sat, 01 Feb 2025 03:04:05 GMT"

    bucket.client.meta.events.register("after-call.s3.HeadBucket", date)
    assert bucket.now() == datetime(2025, 2, 1, 3, 4, 5, tzinfo=UTC)


def test_probe_that_cannot_delete_reports_the_first_error(bucket: S3Store) -> None:
    def refuse(**_: Any) -> None:
        raise StoreUnavailableError("no deletion")

    store = S3Store(bucket.settings)
    alter(store, "GetObject", Range=None)
    store.client.meta.events.register("before-parameter-build.s3.DeleteObjects", refuse)
    with pytest.raises(StoreRefusedError, match="ignores the range in a read request"):
        probe_store(store)


def test_garbage_collection_deletes_the_objects_of_a_killed_probe(bucket: S3Store) -> None:
    bucket.put("probes/killed/range", b"x")
    bucket.client.create_multipart_upload(Bucket=bucket.bucket, Key="probes/killed/multipart")
    now = datetime.now(UTC)
    collect_garbage({}, store=bucket, now=now)
    assert bucket.size("probes/killed/range") == 1  # the probe that created this object may still be active
    done = collect_garbage({}, store=bucket, now=now + timedelta(days=2))
    assert (done.objects, done.uploads) == (1, 1)
    assert_clean(bucket)
