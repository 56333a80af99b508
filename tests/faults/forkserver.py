"""Processes that run Quire's commands: each is forked from one that has loaded the code, and may be killed.

``python -m tests.faults.forkserver SOCKET`` serves a Unix socket. A connection is one process: the client sends its
environment and its command as a line of JSON; it receives the process id, and then the result. Where the process is
killed, the connection ends without one.
"""

from __future__ import annotations

import functools
import gc
import importlib
import io
import json
import os
import signal
import socketserver
import sys
import threading
from contextlib import redirect_stderr, redirect_stdout
from datetime import UTC, datetime, timedelta
from typing import Any

LOADED = (
    "quire.cli.app",
    "quire.pipeline",
    "quire.runs.retention",
    "quire.cli.output",
    "quire.cli.progress_bars",
    "quire.stages.plan",
    "quire.stages.extract",
    "quire.stages.layout",
    "quire.stages.aggregate",
    "quire.stages.render",
    "quire.stages.publish",
    "boto3.s3.inject",
    "pyarrow.dataset",
    "rich.progress",
)


def run_command(arguments: list[str]) -> int:
    """Runs ``quire`` and returns its exit status; ``gc DAYS`` sweeps as if it were so many days later."""
    from quire.cli import app as cli

    if arguments[0] == "gc":
        return collect(later=timedelta(days=float(arguments[1])))
    sys.argv = ["quire", *arguments]
    try:
        cli.main()
    except SystemExit as ended:
        return int(ended.code or 0)
    return 0


def collect(*, later: timedelta) -> int:
    """Does what ``quire gc`` does in the bucket, at another time."""
    from quire.errors import ReportError
    from quire.object_store.s3_store import S3Store
    from quire.report.catalog import load_catalog
    from quire.runs.retention import collect_garbage
    from quire.settings import StoreSettings, include_folder

    store = S3Store(StoreSettings.from_environment())
    try:
        collect_garbage(load_catalog(include_folder()).definitions, store=store, now=datetime.now(UTC) + later)
    except ReportError as error:
        print(f"quire: {error}", file=sys.stderr)
        return error.exit_status
    return 0


class Child(socketserver.StreamRequestHandler):
    """Runs in a process of its own, which ForkingMixIn has forked."""

    def handle(self) -> None:
        """Runs one command and sends its result."""
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        wanted = json.loads(self.rfile.readline())
        self._send({"pid": os.getpid()})
        os.environ.update(wanted["environment"])
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            status = run_command(wanted["arguments"])
        self._send({"status": status, "stdout": out.getvalue(), "stderr": err.getvalue()})

    def _send(self, value: dict[str, Any]) -> None:
        self.wfile.write(json.dumps(value).encode() + b"\n")
        self.wfile.flush()


class ForkServer(socketserver.ForkingMixIn, socketserver.UnixStreamServer):
    """Forks a process for each connection."""

    max_children = 100
    block_on_close = False
    request_queue_size = 100


def warm_up() -> None:
    """Loads what every command loads, without starting a thread: processes are forked from here."""
    for module in LOADED:
        importlib.import_module(module)
    from botocore import session
    from quire.object_store.s3_store import S3Store
    from quire.report.catalog import load_catalog
    from quire.settings import StoreSettings, include_folder

    # What it reads is the same for every client, and is most of what a short command takes.
    session.create_loader = functools.cache(session.create_loader)
    connection = "aws://key:secret@/?endpoint_url=http%3A%2F%2F127.0.0.1&region_name=us-east-1"
    S3Store(StoreSettings.from_uri(connection, bucket="none")).client.meta  # noqa: B018 - made when it is asked for
    load_catalog(include_folder())
    assert threading.active_count() == 1
    gc.freeze()


def main() -> None:
    """Serves until it is ended."""
    warm_up()
    with ForkServer(sys.argv[1], Child) as server:
        print("ready", flush=True)
        server.serve_forever(poll_interval=0.2)


if __name__ == "__main__":
    main()
