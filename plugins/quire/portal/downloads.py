"""Stable addresses of published files: who follows one is checked, and gets a link that was signed that moment.

Before anything is sent, the store is asked whether all of it is there: a reader never meets the store's own answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, HTTPException, Path, status
from fastapi.responses import RedirectResponse, StreamingResponse

from quire.errors import DefinitionError, IntegrityError
from quire.object_store import Store, attachment
from quire.object_store.commit_records import side_by_side
from quire.portal.access import AskingDep, Caller, Named, NamedDep
from quire.portal.archives import archive_bytes, stream_archive
from quire.portal.manifest_cache import cached_manifest
from quire.portal.request_checks import check_question, request_run
from quire.portal.services import BaseDep, StoreDep
from quire.portal.zip_transfers import Place, Transfer, Transfers
from quire.records.manifest import RUN_KEY, Manifest
from quire.records.stage_records import RenderedFile
from quire.report.catalog import find_definition
from quire.report.definition.delivery import Delivery
from quire.report.definition.workbook import FILE_FORMATS
from quire.runs.file_names import is_summary, range_name
from quire.settings import include_folder
from quire.urls import run_path

router = APIRouter(prefix="/reports/{report}/published", tags=["files"])
_TRANSFERS = Transfers()
RunKey = Annotated[str, Path(pattern=f"^{RUN_KEY}$", description="The published run's key.")]


class FilesMissingError(Exception):
    """Files of a published run are not in the store, or not what was stored.

    Args:
        manifest: of the run.
        caller: who may create it again; None where they may not.
    """

    def __init__(self, manifest: Manifest, caller: Caller | None) -> None:
        super().__init__("Files of this run are missing from the store. Create the report again.")
        self.manifest, self.caller = manifest, caller


@router.get(
    "/{run_key}.zip",
    summary="All files of a published run",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/zip": {}}, "description": "The files as they are, not deflated again."}},
)
async def get_archive(reading: NamedDep, run_key: RunKey, store: StoreDep) -> Transfer:
    """Made while it is sent: nothing is kept, whatever its size. Where a file fails meanwhile, the connection ends."""
    place = _TRANSFERS.begin(reading.caller.user.get_id())
    try:
        return await run_sync(_archive, reading, run_key, store, place)
    except BaseException:
        place.release()
        raise


def _archive(reading: Named, run_key: str, store: Store, place: Place) -> Transfer:
    manifest = _manifest(reading, run_key, store)
    ensure_files(reading, manifest, manifest.files, store=store)
    name = f"{manifest.report}_{range_name(manifest.start, manifest.end)}.zip"
    made_at = datetime.fromisoformat(manifest.made_at)
    return Transfer(
        stream_archive(manifest.files, made_at, store=store),
        place=place,
        size=archive_bytes(manifest.files, made_at),
        media_type="application/zip",
        headers={"Content-Disposition": attachment(name)},
    )


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
        raise HTTPException(status.HTTP_404_NOT_FOUND, "There is no such file.")
    ensure_files(reading, manifest, [file], store=store)
    link = store.presign(file.key, seconds=_link_seconds(reading.report), filename=file.name)
    return RedirectResponse(link, status.HTTP_302_FOUND)


@router.post("/{run_key}/again", include_in_schema=False)
async def post_again(asking: AskingDep, run_key: RunKey, store: StoreDep, base: BaseDep) -> RedirectResponse:
    """Starts a run of what a run with missing files was asked for, which reads every row again."""
    definition = asking.definition
    manifest = await run_sync(_manifest, Named(caller=asking.caller, report=definition.name), run_key, store)
    if not await run_sync(lambda: _missing(manifest.files, store)):
        raise HTTPException(status.HTTP_409_CONFLICT, "All files of this run are in the store.")
    suffixes = {file.name.rpartition(".")[2] for file in manifest.files if not is_summary(file)}
    question = await check_question(
        asking,
        start=manifest.start.isoformat(),
        end=manifest.end.isoformat(),
        parameters=manifest.parameters,
        formats=[name for name in FILE_FORMATS if name in suffixes] or None,
        force=True,
        limits=definition.limits,  # the command line may have published more days than readers may request
    )
    run_id, _ = await request_run(asking, question, store)
    return RedirectResponse(f"{base}{run_path(definition.name, run_id)}", status.HTTP_303_SEE_OTHER)


def ensure_files(reading: Named, manifest: Manifest, files: Sequence[RenderedFile], *, store: Store) -> None:
    """Checks that files of a run are in the store, with the size that they were stored with.

    Raises:
        FilesMissingError: one is not.
        StoreRefusedError, StoreUnavailableError: the object store cannot be asked.
    """
    if _missing(files, store):
        raise FilesMissingError(manifest, reading.caller if reading.may_ask else None)


def _missing(files: Sequence[RenderedFile], store: Store) -> bool:
    sizes = side_by_side(store.size, [file.key for file in files])
    return any(size != file.bytes for size, file in zip(sizes, files, strict=True))


def _link_seconds(report: str) -> int:
    """Returns how long links live; a mistake in the report's files does not keep anybody from what is published."""
    try:
        delivery = find_definition(include_folder(), report).delivery
    except DefinitionError:
        delivery = Delivery()
    return int(delivery.link_ttl.total_seconds())


def _manifest(reading: Named, run_key: str, store: Store) -> Manifest:
    try:
        return cached_manifest(store, reading.report, run_key)
    except IntegrityError as error:
        raise HTTPException(
            status.HTTP_404_NOT_FOUND, "These files do not exist: they were deleted, or never published."
        ) from error
