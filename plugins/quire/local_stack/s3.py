"""An S3 server on this machine: SeaweedFS, with signatures, multipart uploads and conditional writes."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from urllib.parse import quote, urlencode

from quire.errors import ReportError, StackError
from quire.local_stack.processes import LOOPBACK, Server, free_port
from quire.object_store import ObjectStore
from quire.object_store.translation import translated
from quire.settings import DEFAULT_BUCKET, StoreSettings

USUAL_PORT = 8333
REGION = "us-east-1"
ACCESS_KEY = "quire"
ENVIRONMENT = {
    "GOMEMLIMIT": "300MiB",  # it keeps what passes through in memory
    "WEED_MASTER_VOLUME_GROWTH_COPY_1": "1",  # each bucket begins with as many volumes, 7 by default
}
ROLES = ("master", "volume", "filer")


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
        data = self.folder / "data"
        data.mkdir(parents=True, exist_ok=True)
        self._server.start(self._command(data), environment=ENVIRONMENT, cwd=data)
        self._server.wait(self._stores, seconds=60)

    def stop(self) -> None:
        """Stops it: it closes its volumes at once, and then would wait for itself without end (seen in 4.48)."""
        self._server.stop(seconds=3)

    def store(self, bucket: str = DEFAULT_BUCKET) -> ObjectStore:
        """Returns one of its buckets."""
        return ObjectStore(StoreSettings.from_uri(self.connection, bucket=bucket))

    def create_bucket(self, bucket: str) -> ObjectStore:
        """Makes a bucket, unless it exists."""
        store = self.store(bucket)
        with translated(f"bucket {bucket}"):
            if bucket not in {entry["Name"] for entry in store.client.list_buckets()["Buckets"]}:
                store.client.create_bucket(Bucket=bucket)
        return store

    def _command(self, data: Path) -> list[str]:
        identities = self.folder / "s3.json"
        identities.touch(mode=0o600)
        credentials = [{"accessKey": ACCESS_KEY, "secretKey": self._secret_key}]
        actions = ["Admin", "Read", "Write", "List", "Tagging"]
        identities.write_text(
            json.dumps({"identities": [{"name": "quire", "credentials": credentials, "actions": actions}]})
        )
        ports = [f"-{role}.port={free_port()}" for role in ROLES]
        ports += [f"-{role}.port.grpc={free_port()}" for role in (*ROLES, "s3")]
        return [
            _binary(),
            "-logtostderr=true",
            "server",
            f"-dir={data}",
            f"-ip={LOOPBACK}",
            f"-ip.bind={LOOPBACK}",
            "-filer",
            "-s3",
            f"-s3.port={self.port}",
            *ports,
            f"-s3.config={identities}",
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

    def _stores(self) -> bool:
        try:
            self.create_bucket(DEFAULT_BUCKET).put(".ready", b"")
        except ReportError:  # it comes up in steps: no answer, no bucket, no volume to write to
            return False
        return True


def _binary() -> str:
    beside = Path(sys.executable).with_name("weed")
    found = str(beside) if beside.exists() else shutil.which("weed")
    if not found:
        raise StackError("there is no weed program: make setup installs it")
    return found
