"""On every port, SeaweedFS rejects local users who do not have the stack's secrets."""

from __future__ import annotations

import json
import os
import re
import stat
import subprocess
import sys
from pathlib import Path

import grpc
import pytest
from quire.dev_stack.certificates import Certificates
from quire.dev_stack.s3_server import S3Server
from quire.errors import StoreRefusedError
from quire.object_store.s3_store import S3Store
from quire.settings import CLONE, StoreSettings

from tests.dev_stack import strangers
from tests.dev_stack.commands import listening, session_processes

NOBODY = 65534
CONTENT = b"x" * 100_000
KEY = "folder/secret"
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def pid_of(server: S3Server) -> int:
    return int(json.loads((server.folder / "seaweedfs.pid.json").read_text())["pid"])


def ports_of(server: S3Server) -> dict[str, int]:
    """Returns a running server's ports, keyed by the option that sets each."""
    command = Path(f"/proc/{pid_of(server)}/cmdline").read_text().split("\0")
    options = dict(argument[1:].split("=", 1) for argument in command if re.match(r"-\w+\.port[.\w]*=[1-9]", argument))
    return {option: int(port) for option, port in options.items()}


def files_of(server: S3Server) -> Certificates:
    folder = server.folder / "tls"
    return Certificates(authority=folder / "ca.pem", certificate=folder / "cert.pem", key=folder / "key.pem")


def file_id(server: S3Server, bucket: S3Store) -> str:
    """Returns an object's ID on the volume server, using the servers' own certificate for the request."""
    files = files_of(server)
    credentials = grpc.ssl_channel_credentials(
        *(path.read_bytes() for path in (files.authority, files.key, files.certificate))
    )
    folder, _, name = KEY.rpartition("/")
    entry = strangers.message((1, f"/buckets/{bucket.bucket}/{folder}".encode()), (2, name.encode()))
    with grpc.secure_channel(f"127.0.0.1:{ports_of(server)['filer.port.grpc']}", credentials) as channel:
        answer = strangers.call(channel, "/filer_pb.SeaweedFiler/LookupDirectoryEntry", entry)
    (fid,) = set(re.findall(rb"\d+,[0-9a-f]{10,}", answer))
    return str(fid, "ascii")


def attempts_of_a_stranger(server: S3Server, bucket: S3Store, fid: str) -> dict[str, str]:
    """Makes the attempts as nobody or, unless the tests run as root, as the current user. Returns the responses."""
    uid = NOBODY if os.geteuid() == 0 else 0
    arguments = {"ports": ports_of(server), "bucket": bucket.bucket, "key": KEY, "fid": fid, "uid": uid}
    done = subprocess.run(
        [sys.executable, "-m", "tests.dev_stack.strangers"],
        input=json.dumps(arguments),
        env={**os.environ, "PYTHONPATH": f"{CLONE / 'plugins'}:{CLONE}"},
        capture_output=True,
        text=True,
        check=False,
        cwd=CLONE,
    )
    assert done.returncode == 0, done.stderr
    answers: dict[str, str] = json.loads(done.stdout)
    return answers


def test_ports_reject_a_stranger_and_data_remain(s3_server: S3Server, bucket: S3Store) -> None:
    bucket.put(KEY, CONTENT)

    answers = attempts_of_a_stranger(s3_server, bucket, file_id(s3_server, bucket))

    refusals = {"grpc": {"UNAVAILABLE"}, "http": {"400", "401", "403", "disconnected"}, "tls": {"refused"}}
    assert {attempt: got for attempt, got in answers.items() if got not in refusals[attempt.split()[0]]} == {}
    assert len(answers) == 37
    assert bucket.read(KEY) == CONTENT
    evil = s3_server.connection.replace("aws://quire:", f"aws://{strangers.EVIL_KEY}:", 1)
    with pytest.raises(StoreRefusedError):
        S3Store(StoreSettings.from_uri(evil, bucket=bucket.bucket)).read(KEY)


def test_grpc_ports_accept_the_servers_own_certificate(s3_server: S3Server) -> None:
    for option, port in ports_of(s3_server).items():
        if option.endswith("grpc"):
            assert strangers.over_tls(port, strangers.HTTP_2, files_of(s3_server)) == "answered", option


def test_server_listens_only_on_loopback_and_tested_ports(s3_server: S3Server) -> None:
    sockets = listening(session_processes({pid_of(s3_server)}))
    tested = set(ports_of(s3_server).values())
    assert {port for _, port in sockets} == tested
    assert {address for address, _ in sockets} == {"0100007F"}
    named = {*strangers.grpc_calls("", ""), *strangers.http_requests("", "", "")}
    assert set(ports_of(s3_server)) == named


def test_keys_and_data_are_readable_only_by_their_owner(s3_server: S3Server) -> None:
    private = [s3_server.folder / name for name in ("tls", "data", "s3.json")]
    assert {stat.S_IMODE(path.stat().st_mode) & 0o077 for path in [*private, *private[0].iterdir()]} == {0}
