"""Stable addresses of published files: who follows one is checked, and gets a link that was signed that moment."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from datetime import datetime
from stat import S_IFREG
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Path, status
from fastapi.responses import RedirectResponse, StreamingResponse
from stream_zip import ZIP_64, stream_zip

from quire.artifacts import Manifest
from quire.catalog import find_definition
from quire.definition.presentation import Delivery
from quire.errors import DefinitionError, IntegrityError
from quire.file_names import days_name
from quire.object_store import ObjectStore, attachment
from quire.portal.access import Named, NamedDep
from quire.portal.services import StoreDep
from quire.run_key import read_manifest
from quire.settings import include_folder

router = APIRouter(prefix="/reports/{report}/published", tags=["files"])
RunKey = Annotated[str, Path(pattern="^[0-9a-f]{32}$", description="The published run's key.")]


@router.get(
    "/{run_key}.zip",
    summary="All files of a published run",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/zip": {}}, "description": "The files as they are, not deflated again."}},
)
def get_archive(reading: NamedDep, run_key: RunKey, store: StoreDep) -> StreamingResponse:
    """Made while it is sent: nothing is kept, whatever its size."""
    manifest = _manifest(reading, run_key, store)
    name = f"{manifest.report}_{days_name(manifest.start, manifest.end)}.zip"
    headers = {"Content-Disposition": attachment(name)}
    return StreamingResponse(_zipped(manifest, store), media_type="application/zip", headers=headers)


@router.get(
    "/{run_key}/{name}",
    summary="A published file",
    status_code=status.HTTP_302_FOUND,
    response_class=RedirectResponse,
    responses={302: {"description": "To a link that works for as long as the report's definition says."}},
)
def get_file(reading: NamedDep, run_key: RunKey, name: str, store: StoreDep) -> RedirectResponse:
    """The object's key is the manifest's: nothing of the address reaches the store."""
    manifest = _manifest(reading, run_key, store)
    file = next((file for file in manifest.files if file.name == name), None)
    if file is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, f"this run has no file {name}")
    link = store.presign(file.key, seconds=_link_seconds(reading.report), filename=file.name)
    return RedirectResponse(link, status.HTTP_302_FOUND)


def _link_seconds(report: str) -> int:
    """Returns how long links live; a mistake in the report's files does not keep anybody from what is published."""
    try:
        delivery = find_definition(include_folder(), report).delivery
    except DefinitionError:
        delivery = Delivery()
    return int(delivery.link_ttl.total_seconds())


def _manifest(reading: Named, run_key: str, store: ObjectStore) -> Manifest:
    try:
        return read_manifest(store, reading.report, run_key)
    except IntegrityError as error:
        raise HTTPException(
            status.HTTP_404_NOT_FOUND, "there are no such files: they were deleted, or never published"
        ) from error


def _zipped(manifest: Manifest, store: ObjectStore) -> Iterator[bytes]:
    """Gives a zip of the files in blocks of deflate that only store: what is deflated already gets no smaller."""
    made_at = datetime.fromisoformat(manifest.made_at)

    def members() -> Iterator[tuple[Any, ...]]:
        for file in manifest.files:
            yield file.name, made_at, S_IFREG | 0o644, ZIP_64, store.stream(file.key)

    yield from stream_zip(members(), get_compressobj=lambda: zlib.compressobj(level=0, wbits=-zlib.MAX_WBITS))
