"""Serves published files at permanent URLs. Authorizes each request, then redirects it to a new presigned URL.

Checks that all files exist before it responds, so that readers never see the object store's error page.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Annotated

from anyio.to_thread import run_sync
from fastapi import APIRouter, HTTPException, Path, status
from fastapi.responses import RedirectResponse, StreamingResponse

from quire.errors import DefinitionError, IntegrityError
from quire.object_store import Store, attachment
from quire.portal.access import Caller, FileAccess, FileAccessDep, RequestAccessDep
from quire.portal.archives import archive_bytes, stream_archive
from quire.portal.dependencies import BaseDep, ResourcesDep, StoreDep
from quire.portal.request_checks import request_run, validate_request
from quire.portal.resources import PortalResources
from quire.portal.zip_transfers import Transfer, TransferSlot
from quire.portal_urls import run_path
from quire.record_types.manifest import RUN_KEY, Manifest
from quire.record_types.stage_records import RenderedFile
from quire.report.definition.delivery import Delivery
from quire.report.definition.workbook_options import FILE_FORMATS
from quire.runs.file_names import is_summary, range_name
from quire.runs.published_files import is_any_missing
from quire.settings import include_folder

router = APIRouter(prefix="/reports/{report}/published", tags=["files"])
RunKey = Annotated[str, Path(pattern=f"^{RUN_KEY}$", description="Key of the published run.")]


class FilesMissingError(IntegrityError):
    """Some of a published run's files are missing from the store or have a different size.

    Args:
        manifest: the run's manifest.
        caller: the caller, or None if the caller is not allowed to create the report again.
    """

    def __init__(self, message: str, *, manifest: Manifest, caller: Caller | None) -> None:
        super().__init__(message)
        self.manifest, self.caller = manifest, caller


@router.get(
    "/{run_key}.zip",
    summary="Download all of a run's files",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/zip": {}}, "description": "An uncompressed zip of the files."}},
)
async def get_archive(access: FileAccessDep, run_key: RunKey, resources: ResourcesDep, *, store: StoreDep) -> Transfer:
    """Streams a zip of all files. Closes the connection early if a file turns out to be damaged."""
    slot = resources.transfers.begin(access.caller.user.get_id())
    try:
        manifest = await run_sync(partial(_manifest, access, run_key, resources, store=store))
        return await run_sync(partial(_archive, access, manifest, store, slot=slot))
    except BaseException:
        slot.release()
        raise


def _archive(access: FileAccess, manifest: Manifest, store: Store, *, slot: TransferSlot) -> Transfer:
    ensure_files(access, manifest, manifest.files, store=store)
    name = f"{manifest.report}_{range_name(manifest.start, manifest.end)}.zip"
    made_at = datetime.fromisoformat(manifest.made_at)
    return Transfer(
        stream_archive(manifest.files, made_at, store=store),
        slot=slot,
        size=archive_bytes(manifest.files, made_at),
        media_type="application/zip",
        headers={"Content-Disposition": attachment(name)},
    )


@router.get(
    "/{run_key}/{name}",
    summary="Download a file",
    status_code=status.HTTP_302_FOUND,
    response_class=RedirectResponse,
    responses={302: {"description": "Redirects to a presigned URL, which is valid for `delivery.link_ttl`."}},
)
def get_file(
    access: FileAccessDep, run_key: RunKey, name: str, *, resources: ResourcesDep, store: StoreDep
) -> RedirectResponse:
    """Redirects to a file's stored object."""
    file = _find_file(_manifest(access, run_key, resources, store=store), name)
    if is_any_missing([file], store):  # the run may have been deleted and published again
        manifest = _manifest(access, run_key, resources, store=store, reread=True)
        file = _find_file(manifest, name)
        ensure_files(access, manifest, [file], store=store)
    link = store.presign(file.key, seconds=_link_seconds(access.report, resources), filename=file.name)
    return RedirectResponse(link, status.HTTP_302_FOUND)


@router.post("/{run_key}/again", include_in_schema=False)
async def post_again(
    access: RequestAccessDep, run_key: RunKey, resources: ResourcesDep, *, store: StoreDep, base: BaseDep
) -> RedirectResponse:
    """Repeats the request for a run whose files are missing, ignoring cached partitions."""
    definition = access.definition
    file_access = FileAccess(caller=access.caller, report=definition.name)
    manifest = await run_sync(partial(_manifest, file_access, run_key, resources, store=store))
    if not await run_sync(lambda: is_any_missing(manifest.files, store)):
        raise HTTPException(status.HTTP_409_CONFLICT, "None of this run's files are missing.")
    suffixes = {file.name.rpartition(".")[2] for file in manifest.files if not is_summary(file)}
    report_request = await validate_request(
        access,
        resources,
        start=manifest.start.isoformat(),
        end=manifest.end.isoformat(),
        parameters=manifest.parameters,
        formats=[name for name in FILE_FORMATS if name in suffixes] or None,
        force=True,
        limits=definition.limits,  # the command line may publish more days than readers may request
    )
    requested = await request_run(access, report_request, resources=resources, store=store)
    return RedirectResponse(f"{base}{run_path(definition.name, requested.run_id)}", status.HTTP_303_SEE_OTHER)


def ensure_files(access: FileAccess, manifest: Manifest, files: Sequence[RenderedFile], *, store: Store) -> None:
    """Checks that the given files exist in the store, with the sizes recorded in the manifest.

    Raises:
        FilesMissingError: a file is missing or has a different size.
        StoreRefusedError, StoreUnavailableError: the store cannot be queried.
    """
    if is_any_missing(files, store):
        raise FilesMissingError(
            "Some of this run's files are missing from the store. Create the report again.",
            manifest=manifest,
            caller=access.caller if access.may_request else None,
        )


def _link_seconds(report: str, resources: PortalResources) -> int:
    """Returns the link lifetime. If the definition is invalid, the default lifetime keeps files available."""
    try:
        delivery = resources.definitions.find(include_folder(), report).delivery
    except DefinitionError:
        delivery = Delivery()
    return int(delivery.link_ttl.total_seconds())


def _find_file(manifest: Manifest, name: str) -> RenderedFile:
    file = next((file for file in manifest.files if file.name == name), None)
    if file is None:
        raise HTTPException(status.HTTP_404_NOT_FOUND, "There is no such file.")
    return file


def _manifest(
    access: FileAccess, run_key: str, resources: PortalResources, *, store: Store, reread: bool = False
) -> Manifest:
    read = resources.manifests.reread if reread else resources.manifests.read
    try:
        return read(store, access.report, run_key)
    except IntegrityError as error:
        raise HTTPException(
            status.HTTP_404_NOT_FOUND, "These files do not exist. They may have been deleted."
        ) from error
