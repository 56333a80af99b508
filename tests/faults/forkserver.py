"""Runs each Quire command in a forked process, which can be killed and does not have to load the code.

``python -m tests.faults.forkserver SOCKET`` serves a Unix socket. Each connection starts one process. The client sends
an environment and a command as a line of JSON, and receives the process ID and later the result. If the process is
killed, the server closes the connection without a result.
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
    """Runs ``quire`` and returns its exit status. ``gc DAYS`` collects garbage as if ``DAYS`` days had passed."""
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
    """Collects garbage in the bucket, as ``quire gc`` would at a later time."""
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
    """Handles a connection in the process that ForkingMixIn forked for that connection."""

    def handle(self) -> None:
        """Runs a command and sends its result."""
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        request = json.loads(self.rfile.readline())
        self._send({"pid": os.getpid()})
        os.environ.update(request["environment"])
        out, err = io.StringIO(), io.StringIO()
        with redirect_stdout(out), redirect_stderr(err):
            status = run_command(request["arguments"])
        self._send({"status": status, "stdout": out.getvalue(), "stderr": err.getvalue()})

    def _send(self, value: dict[str, Any]) -> None:
        self.wfile.write(json.dumps(value).encode() + b"\n")
        self.wfile.flush()


class ForkServer(socketserver.ForkingMixIn, socketserver.UnixStreamServer):
    """A server that forks a process for each connection."""

    max_children = 100
    block_on_close = False
    request_queue_size = 100


def warm_up() -> None:
    """Imports every command's modules but starts no threads, because this process will fork."""
    for module in LOADED:
        importlib.import_module(module)
    from botocore import session
    from quire.object_store.s3_store import S3Store
    from quire.report.catalog import load_catalog
    from quire.settings import StoreSettings, include_folder

    # The loader's data is the same for every client, and a short command would spend most of its time loading it
    session.create_loader = functools.cache(session.create_loader)
    connection = "aws://key:secret@/?endpoint_url=http%3A%2F%2F127.0.0.1&region_name=us-east-1"
    S3Store(StoreSettings.from_uri(connection, bucket="none")).client.meta  # noqa: B018 - created on access
    load_catalog(include_folder())
    assert threading.active_count() == 1
    gc.freeze()


def main() -> None:
    """Serves until the process is terminated."""
    warm_up()
    with ForkServer(sys.argv[1], Child) as server:
        print("ready", flush=True)
        server.serve_forever(poll_interval=0.2)


if __name__ == "__main__":
    main()
