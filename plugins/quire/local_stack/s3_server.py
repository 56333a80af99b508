"""An S3 server on this machine: SeaweedFS, with signatures, multipart uploads and conditional writes."""

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

from quire.errors import ReportError, StackError
from quire.local_stack.certificates import write_certificates
from quire.local_stack.ports import LOOPBACK, free_port, free_ports
from quire.local_stack.processes import Server
from quire.object_store import S3Store
from quire.object_store.s3_errors import translate_s3_errors
from quire.settings import DEFAULT_BUCKET, StoreSettings

USUAL_PORT = 8333
REGION = "us-east-1"
ACCESS_KEY = "quire"
ROLES = ("master", "volume", "filer")
GRPC_ROLES = (*ROLES, "s3")
HTTPS_ROLES = ("master", "filer")  # the volume server carries all data over HTTP, and requires a token for each request
OPTIONS = {
    "GOMEMLIMIT": "400MiB",  # it keeps what passes through; with 300 it collects garbage for half as long again
    "WEED_MASTER_VOLUME_GROWTH_COPY_1": "1",  # each bucket begins with as many volumes, 7 by default
}
# Without these, anybody on this machine reads and writes at the volume server's port (seen in 4.48).
INNER_KEYS = ("SIGNING", "SIGNING_READ", "FILER_SIGNING", "FILER_SIGNING_READ")
TEMPORARY = Path("/tmp")  # noqa: S108 - where SeaweedFS puts its sockets, whatever TMPDIR says


class S3Server:
    """A server under ``folder``, listening on loopback.

    Args:
        folder: data, log and record; made where it is missing.
        secret_key: of the access key ``quire``.
        port: a free one by default.
    """

    def __init__(self, folder: Path, *, secret_key: str, port: int | None = None) -> None:
        self.folder, self.port = folder, port or free_port()
        self._secret_key = secret_key
        self._server = Server("seaweedfs", folder)
        self._sockets = folder / "sockets.json"

    @property
    def running(self) -> bool:
        """Whether it was started and not stopped."""
        return self._server.running

    @property
    def endpoint_url(self) -> str:
        """Its address."""
        return f"http://{LOOPBACK}:{self.port}"

    @property
    def connection(self) -> str:
        """Its address and key as AIRFLOW_CONN_QUIRE_STORE has them."""
        extras = urlencode({"endpoint_url": self.endpoint_url, "region_name": REGION})
        return f"aws://{ACCESS_KEY}:{quote(self._secret_key, safe='')}@/?{extras}"

    def start(self) -> None:
        """Starts it and waits until it stores objects.

        Raises:
            StackError: it cannot be started.
        """
        if not self.running:
            data = self.folder / "data"
            data.mkdir(mode=0o700, parents=True, exist_ok=True)
            data.chmod(0o700)  # one of an earlier version may be open to others
            self._remove_sockets()
            environment = {"HOME": str(self.folder), **OPTIONS, **_inner_keys(), **self._mutual_tls()}
            self._server.start(self._command(), environment=environment)
        self._server.wait(self._stores, seconds=60)

    def stop(self) -> None:
        """Stops it: what it was given is written already, and it would wait 10 s for its own connections (4.48)."""
        self._server.stop(seconds=2)
        self._remove_sockets()

    def store(self, bucket: str = DEFAULT_BUCKET) -> S3Store:
        """Returns one of its buckets."""
        return S3Store(StoreSettings.from_uri(self.connection, bucket=bucket))

    def create_bucket(self, bucket: str) -> S3Store:
        """Makes a bucket, unless it exists."""
        store = self.store(bucket)
        ensure_bucket(store)
        return store

    def _command(self) -> list[str]:
        found = free_ports(*[None] * (len(ROLES) + len(GRPC_ROLES)))
        inner, grpc = dict(zip(ROLES, found, strict=False)), dict(zip(GRPC_ROLES, found[len(ROLES) :], strict=True))
        sockets = self._choose_sockets(grpc)
        ports = [f"-{role}.port={port}" for role, port in inner.items()]
        ports += [f"-{role}.port.grpc={port}" for role, port in grpc.items()]
        return [
            _binary(),
            "-logtostderr=true",
            "server",
            "-disableHttp",  # of master and filer
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
        """Returns settings by which the inner servers accept connections from each other only."""
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
        """Returns a folder for its sockets, and notes all that it will leave behind.

        The folder is a short one, since a socket's path has about 100 characters at most; and it is ours alone: where
        another user's server has left one of the same name in /tmp, it does not start (seen in 4.48).
        """
        folder = Path(tempfile.mkdtemp(prefix="quire-", dir=TEMPORARY))
        grpc = [f"seaweedfs-{role}-grpc-{port}.sock" for role, port in grpc_ports.items()]  # no option moves these
        self._sockets.write_text(json.dumps({"folder": str(folder), "grpc": grpc}))
        return folder

    def _remove_sockets(self) -> None:
        try:
            noted = json.loads(self._sockets.read_text())
        except (FileNotFoundError, ValueError):
            return
        for name in noted["grpc"]:
            path = TEMPORARY / name
            if path.is_socket() and path.stat().st_uid == os.geteuid():
                path.unlink()
        shutil.rmtree(noted["folder"], ignore_errors=True)
        self._sockets.unlink()

    def _stores(self) -> bool:
        try:
            # boto3 would wait for minutes where somebody else has the port and says nothing.
            httpx.get(self.endpoint_url, timeout=2, trust_env=False)
            self.create_bucket(DEFAULT_BUCKET).put(".ready", b"")
        except (ReportError, httpx.HTTPError):  # it comes up in steps: no answer, no bucket, no volume to write to
            return False
        return True


def ensure_bucket(store: S3Store) -> None:
    """Makes a store's bucket, unless it exists."""
    with translate_s3_errors(f"bucket {store.bucket}"):
        if store.bucket not in {entry["Name"] for entry in store.client.list_buckets()["Buckets"]}:
            store.client.create_bucket(Bucket=store.bucket)


def _inner_keys() -> dict[str, str]:
    return {f"WEED_JWT_{name}_KEY": secrets.token_urlsafe(48) for name in INNER_KEYS}


def _binary() -> str:
    beside = Path(sys.executable).with_name("weed")
    found = str(beside) if beside.exists() else shutil.which("weed")
    if not found:
        raise StackError("there is no weed program: make setup installs it")
    return found
