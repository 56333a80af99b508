"""What a local user who has none of the stack's secrets tries against the ports of SeaweedFS; run as a program.

Reads ``{"ports": {option: port}, "bucket": …, "key": …, "fid": …, "uid": …}`` from standard input, becomes that user
where ``uid`` is set, and prints what each attempt got: ``{attempt: answer}``.
"""

from __future__ import annotations

import encodings.idna  # noqa: F401 - whatever is imported later may lie where only root reads
import http.client
import json
import os
import socket
import ssl
import sys
import tempfile
from pathlib import Path
from typing import Any

import grpc
from quire.local_stack.certificates import Certificates, write_certificates

HTTP_2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
SECONDS = 5
EVIL_KEY, EVIL_SECRET = "EVILKEY", "evil-secret"


def message(*fields: tuple[int, bytes]) -> bytes:
    """Returns a protobuf message of short length-delimited fields."""
    return b"".join(bytes([number << 3 | 2, len(content)]) + content for number, content in fields)


def grpc_calls(bucket: str, key: str) -> dict[str, list[tuple[str, bytes]]]:
    """Returns calls that read, delete or give rights, by the option that names their port."""
    credential = message((1, EVIL_KEY.encode()), (2, EVIL_SECRET.encode()), (3, b"Active"))
    identity = message((1, b"evil"), (2, credential), (3, b"Admin"))
    entry = message((1, f"/buckets/{bucket}".encode()), (2, key.encode()))
    upload = message((1, bucket.encode()), (2, b".uploads/x")) + bytes([5 << 3, 5])  # ABORT_MPU
    return {
        "s3.port.grpc": [
            ("/messaging_pb.SeaweedS3IamCache/PutIdentity", message((1, identity))),
            ("/messaging_pb.SeaweedS3IamCache/ListPolicies", b""),
            ("/s3_lifecycle_pb.SeaweedS3LifecycleInternal/LifecycleDelete", upload),
        ],
        "filer.port.grpc": [
            ("/filer_pb.SeaweedFiler/LookupDirectoryEntry", entry),
            ("/filer_pb.SeaweedFiler/DeleteEntry", entry + bytes([4 << 3, 1])),
            ("/iam_pb.SeaweedIdentityAccessManagement/GetConfiguration", b""),
        ],
        "master.port.grpc": [
            ("/master_pb.Seaweed/Assign", bytes([1 << 3, 1])),
            ("/master_pb.Seaweed/CollectionDelete", message((1, bucket.encode()))),
        ],
        "volume.port.grpc": [
            ("/volume_server_pb.VolumeServer/VolumeServerStatus", b""),
            ("/volume_server_pb.VolumeServer/DeleteCollection", message((1, bucket.encode()))),
        ],
    }


def http_requests(bucket: str, key: str, fid: str) -> dict[str, list[tuple[str, str]]]:
    """Returns requests that read, delete or hand out tokens, by the option that names their port."""
    return {
        "master.port": [
            ("GET", "/dir/status"),
            ("GET", f"/dir/lookup?fileId={fid}"),
            ("GET", f"/dir/assign?collection={bucket}"),
            ("GET", f"/{fid}"),
            ("POST", f"/col/delete?collection={bucket}"),
        ],
        "volume.port": [("GET", f"/{fid}"), ("DELETE", f"/{fid}"), ("DELETE", f"/{fid}?type=replicate")],
        "filer.port": [
            ("GET", f"/buckets/{bucket}/"),
            ("GET", f"/buckets/{bucket}/{key}"),
            ("DELETE", f"/buckets/{bucket}/{key}"),
            ("POST", "/.tus/x"),
        ],
        "s3.port": [("GET", f"/{bucket}/{key}"), ("DELETE", f"/{bucket}/{key}"), ("GET", f"/{bucket}")],
    }


def call(channel: grpc.Channel, method: str, body: bytes) -> bytes:
    """Makes one gRPC call with a message that is encoded already."""
    made = channel.unary_unary(method, request_serializer=bytes, response_deserializer=bytes)
    return bytes(made(body, timeout=SECONDS))


def over_grpc(port: int, method: str, body: bytes, *, host: str = "127.0.0.1") -> str:
    """Returns ``answered`` or the status that a call over plain gRPC ended with."""
    with grpc.insecure_channel(f"{host}:{port}") as channel:
        try:
            call(channel, method, body)
        except grpc.RpcError as error:
            return str(error.code().name)
    return "answered"


def over_http(port: int, method: str, path: str) -> str:
    """Returns the status of a plain request."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        connection.request(method, path, headers={"Tus-Resumable": "1.0.0", "Upload-Length": "1"})
        return str(connection.getresponse().status)
    except ConnectionError:
        return "disconnected"
    finally:
        connection.close()


def over_tls(port: int, first: bytes, identity: Certificates | None) -> str:
    """Returns ``answered``, or ``refused`` where a server ends the connection of a client with such a certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if identity:
        context.load_cert_chain(identity.certificate, identity.key)
    context.set_alpn_protocols(["h2"] if first is HTTP_2 else ["http/1.1"])
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=SECONDS) as plain,
            context.wrap_socket(plain) as connection,
        ):
            connection.sendall(first)
            return "answered" if connection.recv(1) else "refused"
    except (ssl.SSLError, ConnectionError):
        return "refused"


def main(told: dict[str, Any]) -> dict[str, str]:
    """Makes every attempt."""
    ports, bucket, key, fid = told["ports"], told["bucket"], told["key"], told["fid"]
    answers: dict[str, str] = {}
    for option, calls in grpc_calls(bucket, key).items():
        for method, body in calls:
            answers[f"grpc {option} {method}"] = over_grpc(ports[option], method, body)
    for option, requests in http_requests(bucket, key, fid).items():
        for method, path in requests:
            answers[f"http {option} {method} {path}"] = over_http(ports[option], method, path)
    with tempfile.TemporaryDirectory() as folder:
        own = write_certificates(Path(folder))
        for option in [*grpc_calls("", ""), "master.port", "filer.port"]:
            first = HTTP_2 if option.endswith("grpc") else b"GET /dir/status HTTP/1.1\r\nHost: x\r\n\r\n"
            answers[f"tls {option} without a certificate"] = over_tls(ports[option], first, None)
            answers[f"tls {option} with a certificate of its own"] = over_tls(ports[option], first, own)
    return answers


if __name__ == "__main__":
    told = json.load(sys.stdin)
    if told["uid"]:
        os.setgroups([])
        os.setgid(told["uid"])
        os.setuid(told["uid"])
    print(json.dumps(main(told)))
