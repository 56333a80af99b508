"""The ``quire`` command. Exit status: 0 done, 2 the user's input is wrong, 1 anything else; each in one line."""

from __future__ import annotations

import logging
import sys
import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated

import typer
from typer.exceptions import TyperException

from quire.errors import DefinitionError, NoConnectionError, ParameterError, ReportError, UsageError
from quire.memory import configure_process
from quire.report.catalog import find_definition, load_catalog
from quire.report.definition import Notifier
from quire.report.definition.source import SOURCE_CONNECTION
from quire.report.request import last_window, request_from_dates
from quire.settings import (
    StoreSettings,
    has_mail_connection,
    include_folder,
    mail_variable,
    owner_url,
    source_url,
)
from quire.webhooks.commands import app as hooks_app
from quire.webhooks.commands import check_sources, tell_errors

if TYPE_CHECKING:
    from quire.object_store.s3_store import S3Store
    from quire.postgres import SourceSession
    from quire.report.definition import ReportDefinition

logger = logging.getLogger(__name__)

INTERRUPTED = 130  # 128 + SIGINT, as shells have it

Report = Annotated[str, typer.Argument(help="The report's name: its file's, without .yaml.")]
FIRST_DAY = typer.Option("--start", help="First day, YYYY-MM-DD.", metavar="DAY")
LAST_DAY = typer.Option("--end", help="Last day, included, YYYY-MM-DD.", metavar="DAY")
Parameters = Annotated[
    list[str] | None, typer.Option("--param", help="A parameter of the report; may be repeated.", metavar="NAME=VALUE")
]

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
)
app.add_typer(hooks_app, name="hooks")


@app.callback()
def options(
    debug: Annotated[bool, typer.Option("--debug", help="Log every step, and errors in full.")] = False,
) -> None:
    """Any date range of PostgreSQL rows as Excel workbooks in S3-compatible storage."""
    if debug:
        logging.getLogger().setLevel(logging.DEBUG)


@app.command()
def run(
    report: Report,
    start: Annotated[str | None, FIRST_DAY] = None,
    end: Annotated[str | None, LAST_DAY] = None,
    param: Parameters = None,
    force: Annotated[bool, typer.Option("--force", help="Read every row again, whatever is stored.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object, and nothing else.")] = False,
) -> None:
    """Run a report from database to download links, in this process: without days, the last complete window."""
    definition = find_definition(include_folder(), report)
    start, end = _days(definition, start, end)
    request = request_from_dates(
        definition, start=start, end=end, parameters=_parameters(param), force=force, run_id=f"cli__{uuid.uuid4().hex}"
    )
    from quire.cli.output import print_files, print_json
    from quire.cli.progress_bars import show_progress
    from quire.pipeline import run_report  # only now: it takes seconds to load

    session, store = _session(definition), _store()
    with show_progress(definition.title) as progress:
        outcome = run_report(definition, request, session=session, store=store, progress=progress)
    (print_json if as_json else print_files)(outcome, definition, store)


@app.command()
def check(report: Annotated[str | None, typer.Argument(help="One report; all of them by default.")] = None) -> None:
    """Validate definitions; try their queries, and the object store, where a connection is set."""
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
        errors.update(check_sources())
    try:
        from quire.object_store.probe import check_store  # only now: it loads boto3

        for line in check_store():
            typer.echo(line)
    except ReportError as error:
        errors["quire_store"] = error
    tell_errors(errors)


def _check(definition: ReportDefinition) -> None:
    from quire.cli.check import check_query

    told = definition.delivery.notify
    if any(isinstance(recipient, Notifier) for recipient in (*told.success, *told.failure)):
        from quire.airflow_dag.notifiers import ensure_usable_notifiers  # only now: it loads Airflow

        ensure_usable_notifiers(definition)
    _warn_of_mail(definition)
    try:
        session = _session(definition)
    except NoConnectionError as error:
        typer.echo(f"{definition.name}: the definition is right; its query was not tried: {error.message}")
        return
    advice = check_query(definition, session=session)
    typer.echo(f"{definition.name}: the definition and its query are right")
    for line in advice:
        typer.echo(f"{definition.name}: advice: {line}")


def _warn_of_mail(definition: ReportDefinition) -> None:
    told = definition.delivery.notify
    if any(isinstance(recipient, str) for recipient in (*told.success, *told.failure)) and not has_mail_connection():
        typer.echo(
            f"{definition.name}: warning: delivery.notify names e-mail addresses, but {mail_variable()} is not set: "
            "nobody is notified unless Airflow has that connection (docs/how-to/send-notifications.md)"
        )


@app.command()
def backfill(
    report: Report, start: Annotated[str, FIRST_DAY], end: Annotated[str, LAST_DAY], param: Parameters = None
) -> None:
    """Store what is new or stale of a range, with its pre-calculated summaries; write no workbooks."""
    definition = find_definition(include_folder(), report)
    request = request_from_dates(
        definition, start=start, end=end, parameters=_parameters(param), run_id=f"cli__{uuid.uuid4().hex}"
    )
    from quire.cli.progress_bars import show_progress
    from quire.pipeline import store_partitions  # only now: it takes seconds to load

    with show_progress(definition.title) as progress:
        found = store_partitions(definition, request, session=_session(definition), store=_store(), progress=progress)
    new = [part for part in found if not part.cache_hit]
    typer.echo(
        f"{report}: {len(new)} of {len(found)} partitions stored now, with {sum(part.rows for part in new):,} rows; "
        "the others were stored and fresh"
    )


@app.command()
def gc() -> None:
    """Delete runs past their time, superseded partitions and what killed runs left; compact the change log."""
    from quire.runs.retention import collect_garbage

    catalog = load_catalog(include_folder())
    try:
        store = _store()
        now = store.now()
        done = collect_garbage(catalog.definitions, store=store, now=now)
        typer.echo(
            f"deleted {done.runs} runs, {done.partitions} superseded partitions, {done.objects} objects of "
            f"{done.bytes:,} bytes, and {done.uploads} abandoned uploads"
        )
        for report, run in done.active.items():
            typer.echo(f"{report}: skipped: {run.describe(now)}")
    finally:  # one has nothing to do with the other
        tracked = [found for found in catalog.definitions.values() if found.source.freshness == "tracked"]
        if tracked:
            from quire.postgres.tracking.installation import compact_logs

            shrunk = compact_logs({owner_url(definition.source.connection) for definition in tracked})
            typer.echo(f"replaced {shrunk} records of the change log by their sums")


@app.command()
def track(report: Annotated[str, typer.Argument(help="A report with freshness: tracked.")]) -> None:
    """Install change tracking on a report's tables, by the connection quire_owner."""
    from quire.postgres.tracking.installation import track as install

    definition = find_definition(include_folder(), report)
    if definition.source.freshness != "tracked":
        raise DefinitionError("source.freshness is not tracked: nothing to install", report=report)
    for line in install(definition, owner_url(definition.source.connection)):
        typer.echo(line)


@app.command()
def untrack(report: Report) -> None:
    """Remove every trace of a report's change tracking, but for tables that another report tracks too."""
    from quire.postgres.tracking.installation import untrack as remove

    try:
        connection = find_definition(include_folder(), report).source.connection
    except DefinitionError as error:  # its files may be gone, and writers pay still
        typer.echo(f"quire: {error.message}; its triggers are looked for by quire_owner", err=True)
        connection = SOURCE_CONNECTION
    for line in remove(report, owner_url(connection)) or ("nothing of it was tracked",):
        typer.echo(line)


@app.command()
def verify(run: Annotated[str, typer.Argument(help="A run's key.")]) -> None:
    """Read a published run's objects again: sizes, checksums and row counts."""
    from quire.runs.verify import verify_run

    found = verify_run(run, store=_store())
    for fault in found.problems:
        typer.echo(f"quire: {fault}", err=True)
    if found.problems:
        raise typer.Exit(1)
    manifest = found.manifest
    typer.echo(
        f"{manifest.report} {manifest.run}: {found.objects} objects, {found.bytes} bytes and {manifest.rows} rows "
        "are as the manifest says"
    )


def _days(definition: ReportDefinition, start: str | None, end: str | None) -> tuple[str, str]:
    """Returns the days that were given, or those of the last complete window."""
    if start and end:
        return start, end
    if start or end:
        raise ParameterError("give --start and --end, or neither for the last complete window", report=definition.name)
    window = last_window(definition, before=datetime.now(UTC))
    return window.start.isoformat(), window.end.isoformat()


def _parameters(given: list[str] | None) -> dict[str, object]:
    found: dict[str, object] = {}
    for entry in given or ():
        name, equals, value = entry.partition("=")
        if not equals:
            raise ParameterError(f"--param {entry!r}: write NAME=VALUE")
        if name in found:
            raise ParameterError(f"--param {name} is given twice")
        found[name] = value
    return found


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
    """Runs the command and exits."""
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
    except BaseException as error:  # a panic in Polars is not an Exception
        logger.debug("unexpected", exc_info=True)
        status = _fail(
            f"unexpected {type(error).__name__}: {error}; `quire --debug …` tells more", ReportError.exit_status
        )
    if status == INTERRUPTED:  # typer's word for a KeyboardInterrupt
        _fail("interrupted", INTERRUPTED)
    sys.exit(status)


def _fail(line: str, status: int) -> int:
    typer.echo(f"quire: {' '.join(line.split())}", err=True)
    return status
