"""Reads objects, manifests and cells from a bucket without using the code under test."""

from __future__ import annotations

import hashlib
import io
import json
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from python_calamine import CalamineWorkbook
from quire.object_store.s3_store import S3Store

OF_A_RUN = ("About", "Files")  # sheets that contain the run's time and its files' sizes
_RANDOM = re.compile(r"[0-9a-f]{12,}")


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishedState:
    """A bucket's published contents.

    Attributes:
        manifests: each manifest's bytes, by its key.
        cells: the cells in each file that a manifest lists, by the manifest's key and the file's name.
        layout: how many objects each key has, after digests and random numbers are removed from the keys.
    """

    manifests: dict[str, bytes]
    cells: dict[tuple[str, str], Any]
    layout: Counter[str]


def keys_of(store: S3Store) -> list[str]:
    """Returns all keys."""
    pages = store.client.get_paginator("list_objects_v2").paginate(Bucket=store.bucket)
    return [entry["Key"] for page in pages for entry in page.get("Contents", ())]


def read_object(store: S3Store, key: str) -> bytes | None:
    """Returns an object's bytes, or None if the object does not exist."""
    try:
        return store.client.get_object(Bucket=store.bucket, Key=key)["Body"].read()
    except store.client.exceptions.NoSuchKey:
        return None


def empty(store: S3Store) -> None:
    """Deletes all objects and aborts all uploads."""
    if keys := keys_of(store):
        objects = [{"Key": key} for key in keys]
        store.client.delete_objects(Bucket=store.bucket, Delete={"Objects": objects, "Quiet": True})  # type: ignore[typeddict-item]
    for upload in store.client.list_multipart_uploads(Bucket=store.bucket).get("Uploads", ()):
        store.client.abort_multipart_upload(Bucket=store.bucket, Key=upload["Key"], UploadId=upload["UploadId"])


def read_state(store: S3Store) -> tuple[PublishedState, list[str]]:
    """Returns a bucket's state, and a list of the objects that are missing or do not match their manifest."""
    keys = keys_of(store)
    manifests: dict[str, bytes] = {}
    cells: dict[tuple[str, str], Any] = {}
    problems: list[str] = []
    for key in keys:
        if not key.endswith("/manifest.json"):
            continue
        manifests[key] = read_object(store, key) or b""
        manifest = json.loads(manifests[key])
        bodies = {}
        for named, size, sha256 in _named(manifest):
            body = bodies[named] = read_object(store, named)
            if body is None:
                problems.append(f"{named} is missing")
            elif (len(body), hashlib.sha256(body).hexdigest()) != (size, sha256):
                problems.append(f"{named} is not what its manifest says")
        for file in manifest["files"]:
            cells[key, file["name"]] = cells_of(file["name"], bodies[file["key"]] or b"")
    return PublishedState(manifests=manifests, cells=cells, layout=Counter(map(plain, keys))), problems


def plain(key: str) -> str:
    """Returns a key without digests and random numbers."""
    return _RANDOM.sub("*", key)


def cells_of(name: str, body: bytes) -> Any:
    """Returns a workbook's cells by sheet, or the bytes of any other kind of file."""
    if not name.endswith(".xlsx"):
        return body
    try:
        workbook = CalamineWorkbook.from_filelike(io.BytesIO(body))
    except Exception as error:  # calamine raises several types of errors
        return f"unreadable: {error}"
    return {
        sheet: workbook.get_sheet_by_name(sheet).to_python(skip_empty_area=False)
        for sheet in workbook.sheet_names
        if sheet not in OF_A_RUN
    }


def _named(manifest: dict[str, Any]) -> Iterator[tuple[str, int, str]]:
    for entry in (*manifest["partitions"], *manifest["summaries"], *manifest["files"]):
        yield entry.get("object_key") or entry["key"], entry["bytes"], entry["sha256"]
