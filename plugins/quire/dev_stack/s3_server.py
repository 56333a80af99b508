"""Runs SeaweedFS, an S3 server that supports signatures, multipart uploads and conditional writes."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import sys
import tempfile
from pathlib import Path
from urllib.parse import quote, urlencode

import httpx

from quire.dev_stack.certificates import write_certificates
from quire.dev_stack.ports import LOOPBACK, free_port, free_ports
from quire.dev_stack.processes import Server
from quire.errors import ReportError, StackError
from quire.object_store.s3_errors import translate_s3_errors
from quire.object_store.s3_store import S3Store
from quire.settings import DEFAULT_BUCKET, StoreSettings

DEFAULT_PORT = 8333
START_ATTEMPTS = 3
REGION = "us-east-1"
ACCESS_KEY = "quire"
ROLES = ("master", "volume", "filer")
GRPC_ROLES = (*ROLES, "s3")
HTTPS_ROLES = ("master", "filer")  # the volume server uses HTTP but requires a token for each request
OPTIONS = {
    "GOMEMLIMIT": "400MiB",  # SeaweedFS caches objects in memory; a limit of 300 MiB causes 50% more garbage collection
    "WEED_MASTER_VOLUME_GROWTH_COPY_1": "1",  # initial volumes per bucket; the default is 7
}
# Without these keys, any local user can read and write objects through the volume server's port (version 4.48).
SIGNING_KEYS = ("SIGNING", "SIGNING_READ", "FILER_SIGNING", "FILER_SIGNING_READ")
TEMPORARY = Path("/tmp")  # noqa: S108 - SeaweedFS creates sockets here, regardless of TMPDIR


class S3Server:
    """An S3 server that stores its files in ``folder`` and listens on loopback.

    Args:
        folder: holds the data, the log and the process record; created if missing.
        secret_key: the secret key for the access key ``quire``.
        port: defaults to a free port.
    """

    def __init__(self, folder: Path, *, secret_key: str, port: int | None = None) -> None:
        self.folder, self.port = folder, port or free_port()
        self._secret_key = secret_key
        self._server = Server("seaweedfs", folder)
        self._sockets = folder / "sockets.json"

    @property
    def running(self) -> bool:
        """Whether the server is running."""
        return self._server.running

    @property
    def endpoint_url(self) -> str:
        """The S3 API's base URL."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def connection(self) -> str:
        """The value of AIRFLOW_CONN_QUIRE_STORE."""
        extras = urlencode({"endpoint_url": self.endpoint_url, "region_name": REGION})
        return f"aws://{ACCESS_KEY}:{quote(self._secret_key, safe='')}@/?{extras}"

    def start(self) -> None:
        """Starts the server and waits until it accepts objects.

        Raises:
            StackError: the server does not start.
        """
        for attempt in range(START_ATTEMPTS):
            if not self.running:
                self._launch()
            try:
                self._server.wait(self._accepts_objects, seconds=60)
                return
            except StackError:
                if not self._lost_internal_port() or attempt == START_ATTEMPTS - 1:
                    raise
                self.stop()

    def _lost_internal_port(self) -> bool:
        """Returns whether another process took an internal port before the server bound it.

        Restarting chooses different ports, so it may succeed. The port error is not always the log's last line, because
        other parts of the server keep logging until it exits.
        """
        refusals = [line for line in self._server.log_lines() if "address already in use" in line]
        return bool(refusals) and not any(f":{self.port}:" in line for line in refusals)

    def _launch(self) -> None:
        data = self.folder / "data"
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
        data.chmod(0o700)  # earlier versions created this folder with wider permissions
        self._remove_sockets()
        environment = {"HOME": str(self.folder), **OPTIONS, **_signing_keys(), **self._mutual_tls()}
        self._server.start(self._command(), environment=environment)

    def stop(self) -> None:
        """Stops the server, and kills it if it is still running after 2 s.

        Objects are already on disk, so no data is lost. A graceful shutdown waits 10 s for open connections (version
        4.48).
        """
        self._server.stop(seconds=2)
        self._remove_sockets()

    def store(self, bucket: str = DEFAULT_BUCKET) -> S3Store:
        """Returns the object store for a bucket."""
        return S3Store(StoreSettings.from_uri(self.connection, bucket=bucket))

    def create_bucket(self, bucket: str) -> S3Store:
        """Creates a bucket if it does not already exist."""
        store = self.store(bucket)
        ensure_bucket(store)
        return store

    def _command(self) -> list[str]:
        free = free_ports(*[None] * (len(ROLES) + len(GRPC_ROLES)))
        inner, grpc = dict(zip(ROLES, free, strict=False)), dict(zip(GRPC_ROLES, free[len(ROLES) :], strict=True))
        sockets = self._choose_sockets(grpc)
        ports = [f"-{role}.port={port}" for role, port in inner.items()]
        ports += [f"-{role}.port.grpc={port}" for role, port in grpc.items()]
        return [
            _binary(),
            "-logtostderr=true",
            "server",
            "-disableHttp",  # for master and filer
            f"-dir={self.folder / 'data'}",
            f"-ip={LOOPBACK}",
            f"-ip.bind={LOOPBACK}",
            "-filer",
            f"-filer.localSocket={sockets / 'filer'}",
            "-s3",
            f"-s3.port={self.port}",
            f"-s3.localSocket={sockets / 's3'}",
            *ports,
            f"-s3.config={self._write_identities()}",
            "-s3.autoCreateBucket=false",
            "-s3.port.iceberg=0",
            "-s3.port.lance=0",
            "-s3.cacheCapacityMB=16",
            "-s3.readerCacheSizeMB=64",
            "-master.peers=none",
            "-master.telemetry=false",
            "-master.volumeSizeLimitMB=256",
            "-volume.max=0",
            "-volume.preStopSeconds=0",
        ]

    def _mutual_tls(self) -> dict[str, str]:
        """Returns the environment variables that make the internal servers accept connections only from each other."""
        files = write_certificates(self.folder / "tls")
        pair = {"CERT": str(files.certificate), "KEY": str(files.key)}
        authority = str(files.authority)
        grpc = {
            f"WEED_GRPC_{end.upper()}_{name}": path for end in (*GRPC_ROLES, "client") for name, path in pair.items()
        }
        https = {
            f"WEED_HTTPS_{role.upper()}_{name}": path
            for role in HTTPS_ROLES
            for name, path in {**pair, "CA": authority}.items()
        }
        return {"WEED_GRPC_CA": authority, **grpc, **https}

    def _write_identities(self) -> Path:
        path = self.folder / "s3.json"
        credentials = [{"accessKey": ACCESS_KEY, "secretKey": self._secret_key}]
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        path.touch(mode=0o600)
        path.write_text(json.dumps({"identities": [{"name": "quire", "credentials": credentials, "actions": actions}]}))
        return path

    def _choose_sockets(self, grpc_ports: dict[str, int]) -> Path:
        """Creates and returns a folder for the sockets. Records every socket, so that ``stop`` can remove it.

        The folder's path is short, because socket paths are limited to about 100 characters. The folder is private,
        because the server does not start if another user left a socket with the same name in /tmp (version 4.48).
        """
        folder = Path(tempfile.mkdtemp(prefix="quire-", dir=TEMPORARY))
        grpc = [f"seaweedfs-{role}-grpc-{port}.sock" for role, port in grpc_ports.items()]  # not configurable
        self._sockets.write_text(json.dumps({"folder": str(folder), "grpc": grpc}))
        return folder

    def _remove_sockets(self) -> None:
        try:
            record = json.loads(self._sockets.read_text())
        except (FileNotFoundError, ValueError):
            return
        for name in record["grpc"]:
            path = TEMPORARY / name
            if path.is_socket() and path.stat().st_uid == os.geteuid():
                path.unlink()
        shutil.rmtree(record["folder"], ignore_errors=True)
        self._sockets.unlink()

    def _accepts_objects(self) -> bool:
        try:
            # If another server uses the port and never responds, boto3 waits for minutes.
            httpx.get(self.endpoint_url, timeout=2, trust_env=False)
            self.create_bucket(DEFAULT_BUCKET).put(".ready", b"")
        except (ReportError, httpx.HTTPError):  # not listening yet, or without a writable volume
            return False
        return True


def ensure_bucket(store: S3Store) -> None:
    """Creates a store's bucket if it does not already exist."""
    with translate_s3_errors(f"bucket {store.bucket}"):
        if store.bucket not in {entry["Name"] for entry in store.client.list_buckets()["Buckets"]}:
            store.client.create_bucket(Bucket=store.bucket)


def _signing_keys() -> dict[str, str]:
    return {f"WEED_JWT_{name}_KEY": secrets.token_urlsafe(48) for name in SIGNING_KEYS}


def _binary() -> str:
    installed = Path(sys.executable).with_name("weed")
    program = str(installed) if installed.exists() else shutil.which("weed")
    if not program:
        raise StackError("the program weed is not installed: run make setup")
    return program
