"""Defines the ``quire`` command, which exits with 0 for success, 2 for invalid input and 1 for any other error."""

from __future__ import annotations

import logging
import sys
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from typer.exceptions import TyperException

from quire.allocator_settings import configure_process
from quire.errors import DefinitionError, NoConnectionError, ParameterError, ReportError, UsageError
from quire.human_readable import format_count, format_size
from quire.inbound_webhooks.commands import app as hooks_app
from quire.inbound_webhooks.commands import check_webhooks, exit_on_errors
from quire.report.catalog import find_definition, load_catalog
from quire.report.definition import Notifier
from quire.report.definition.source import SOURCE_CONNECTION
from quire.report.request import last_window, request_from_dates
from quire.settings import (
    StoreSettings,
    include_folder,
    owner_url,
    source_url,
)

if TYPE_CHECKING:
    from quire.object_store.s3_store import S3Store
    from quire.postgres import SourceSession
    from quire.report.definition import ReportDefinition

logger = logging.getLogger(__name__)

INTERRUPTED = 130  # 128 + SIGINT, as shells report it

Report = Annotated[str, typer.Argument(help="Report name: the file name without .yaml.")]
FIRST_DAY = typer.Option("--start", help="First day, YYYY-MM-DD.", metavar="DAY")
LAST_DAY = typer.Option("--end", help="Last day (inclusive), YYYY-MM-DD.", metavar="DAY")
Parameters = Annotated[
    list[str] | None, typer.Option("--param", help="Report parameter. Can be repeated.", metavar="NAME=VALUE")
]

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
)
app.add_typer(hooks_app, name="hooks")


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Log every step and print full tracebacks.")] = False,
) -> None:
    """Export PostgreSQL rows for any date range to Excel workbooks in S3-compatible storage."""
    if debug:
        logging.getLogger().setLevel(logging.DEBUG)


@app.command()
def run(
    report: Report,
    start: Annotated[str | None, FIRST_DAY] = None,
    end: Annotated[str | None, LAST_DAY] = None,
    *,
    param: Parameters = None,
    force: Annotated[bool, typer.Option("--force", help="Ignore cached partitions and read all rows again.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print a single JSON object.")] = False,
) -> None:
    """Run a report in this process and print download links. Without dates, the run covers the last complete window."""
    definition = find_definition(include_folder(), report)
    start, end = _resolve_dates(definition, start, end)
    request = request_from_dates(
        definition, start=start, end=end, parameters=_parameters(param), force=force, run_id=f"cli__{uuid.uuid4().hex}"
    )
    from quire.cli.output import print_files, print_json
    from quire.cli.progress_bars import show_progress
    from quire.pipeline import run_report  # takes seconds to import

    session, store = _session(definition), _store()
    with show_progress(definition.title) as progress:
        outcome = run_report(definition, request, session=session, store=store, progress=progress)
    (print_json if as_json else print_files)(outcome, definition, store)


@app.command()
def check(report: Annotated[str | None, typer.Argument(help="Report to check. Default: all reports.")] = None) -> None:
    """Validate definitions. Also test queries and the object store if their connections are set."""
    include = include_folder()
    if report:
        definitions, errors = {report: find_definition(include, report)}, {}
    else:
        catalog = load_catalog(include)
        definitions, errors = catalog.definitions, dict[str, ReportError](catalog.errors)
    for name, definition in definitions.items():
        try:
            _check(definition)
        except ReportError as error:
            errors[name] = error
    if not report:
        errors.update(check_webhooks())
    try:
        from quire.object_store.probe import probe_configured_store  # imports boto3

        for line in probe_configured_store():
            typer.echo(line)
    except ReportError as error:
        errors["quire_store"] = error
    exit_on_errors(errors)


def _check(definition: ReportDefinition) -> None:
    from quire.cli.check import mail_warnings, validate_query

    if any(isinstance(recipient, Notifier) for recipient in definition.delivery.notify.recipients):
        from quire.airflow_dag.notifiers import ensure_usable_notifiers  # imports Airflow

        ensure_usable_notifiers(definition)
    for warning in mail_warnings(definition):
        typer.echo(f"{definition.name}: warning: {warning}")
    try:
        session = _session(definition)
    except NoConnectionError as error:
        typer.echo(f"{definition.name}: the definition is valid; the query was not tested: {error.message}")
        return
    advice = validate_query(definition, session=session)
    typer.echo(f"{definition.name}: the definition and its query are valid")
    for line in advice:
        typer.echo(f"{definition.name}: advice: {line}")


@app.command()
def backfill(
    report: Report, start: Annotated[str, FIRST_DAY], end: Annotated[str, LAST_DAY], *, param: Parameters = None
) -> None:
    """Store new and stale partitions and their partial summaries. Write no workbooks."""
    definition = find_definition(include_folder(), report)
    request = request_from_dates(
        definition, start=start, end=end, parameters=_parameters(param), run_id=f"cli__{uuid.uuid4().hex}"
    )
    from quire.cli.progress_bars import show_progress
    from quire.pipeline import store_partitions  # takes seconds to import

    with show_progress(definition.title) as progress:
        partitions = store_partitions(
            definition, request, session=_session(definition), store=_store(), progress=progress
        )
    new = [part for part in partitions if not part.cache_hit]
    rows = format_count(sum(part.rows for part in new), "row")
    hits = format_count(len(partitions) - len(new), "cache hit")
    typer.echo(f"{report}: stored {len(new):,} of {format_count(len(partitions), 'partition')} with {rows}; {hits}")


@app.command()
def gc() -> None:
    """Delete expired and orphaned objects. Also delete superseded partitions and compact the change log."""
    from quire.runs.retention import collect_garbage

    catalog = load_catalog(include_folder())
    try:
        store = _store()
        now = store.now()
        result = collect_garbage(catalog.definitions, store=store, now=now)
        typer.echo(
            f"deleted {format_count(result.runs, 'run')}, {format_count(result.partitions, 'superseded partition')}, "
            f"{format_count(result.workbooks, 'shared workbook')}, "
            f"{format_count(result.objects, 'object')} ({format_size(result.bytes)}) "
            f"and {format_count(result.uploads, 'abandoned upload')}"
        )
        for report, run in result.active.items():
            typer.echo(f"{report}: skipped: {run.describe(now)}")
    finally:  # compaction does not need the store
        tracked = [
            definition for definition in catalog.definitions.values() if definition.source.freshness == "tracked"
        ]
        if tracked:
            from quire.postgres.tracking.installation import compact_logs

            compacted = compact_logs({owner_url(definition.source.connection) for definition in tracked})
            typer.echo(f"removed {format_count(compacted, 'record')} from the change log")


@app.command()
def track(report: Annotated[str, typer.Argument(help="Report with freshness: tracked.")]) -> None:
    """Install change tracking. Create triggers on a report's tables using the quire_owner connection."""
    from quire.postgres.tracking.installation import track as install

    definition = find_definition(include_folder(), report)
    if definition.source.freshness != "tracked":
        raise DefinitionError("set source.freshness to tracked before installing change tracking", report=report)
    for line in install(definition, owner_url(definition.source.connection)):
        typer.echo(line)


@app.command()
def untrack(report: Report) -> None:
    """Remove change tracking from a report's tables, except those that other reports track."""
    from quire.postgres.tracking.installation import untrack as remove

    try:
        connection = find_definition(include_folder(), report).source.connection
    except DefinitionError as error:  # a user can delete the files while the triggers still exist
        typer.echo(f"quire: {error.message}; looking up its triggers through quire_owner instead", err=True)
        connection = SOURCE_CONNECTION
    for line in remove(report, owner_url(connection)) or ("none of this report's tables was tracked",):
        typer.echo(line)


@app.command()
def verify(run: Annotated[str, typer.Argument(help="Run key.")]) -> None:
    """Verify a published run. Compare its objects' sizes, checksums and row counts with its manifest."""
    from quire.runs.verify import verify_run

    verification = verify_run(run, store=_store())
    for problem in verification.problems:
        typer.echo(f"quire: {problem}", err=True)
    if verification.problems:
        raise typer.Exit(1)
    manifest = verification.manifest
    objects, rows = format_count(verification.objects, "object"), format_count(manifest.rows, "row")
    size = format_size(verification.bytes)
    typer.echo(f"{manifest.report} {manifest.run}: {objects} ({size}) with {rows} match the manifest")


def _resolve_dates(definition: ReportDefinition, start: str | None, end: str | None) -> tuple[str, str]:
    """Returns the given dates or, if there are none, the dates of the last complete window."""
    if start and end:
        return start, end
    if start or end:
        raise ParameterError(
            "set both --start and --end, or omit both to use the last complete window", report=definition.name
        )
    window = last_window(definition, before=datetime.now(UTC))
    return window.start.isoformat(), window.end.isoformat()


def _parameters(entries: list[str] | None) -> dict[str, object]:
    parameters: dict[str, object] = {}
    for entry in entries or ():
        name, equals, value = entry.partition("=")
        if not equals:
            raise ParameterError(f"--param {entry!r} is invalid: write NAME=VALUE")
        if name in parameters:
            raise ParameterError(f"--param {name} is set twice: remove one")
        parameters[name] = value
    return parameters


def _session(definition: ReportDefinition) -> SourceSession:
    from quire.postgres import SourceSession

    return SourceSession(
        url=source_url(definition.source.connection),
        timezone=definition.timezone,
        timeout=definition.source.timeout,
    )


def _store() -> S3Store:
    from quire.object_store.s3_store import S3Store

    return S3Store(StoreSettings.from_environment())


def main() -> None:
    """Runs the command and exits with its status."""
    configure_process()
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s", stream=sys.stderr)
    try:
        status = app(args=sys.argv[1:] or ["--help"], standalone_mode=False)
    except ReportError as error:
        status = _fail(str(error), error.exit_status)
    except TyperException as error:
        status = _fail(error.format_message(), UsageError.exit_status)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # a panic in Polars is a BaseException
        logger.debug("unexpected", exc_info=True)
        status = _fail(
            f"unexpected {type(error).__name__}: {error}; run `quire --debug …` for details", ReportError.exit_status
        )
    if status == INTERRUPTED:  # Typer returns this status after a KeyboardInterrupt
        _fail("interrupted", INTERRUPTED)
    sys.exit(status)


def _fail(line: str, status: int) -> int:
    typer.echo(f"quire: {' '.join(line.split())}", err=True)
    return status
