"""Script: tries to use SeaweedFS's ports as a local user without the stack's secrets.

Reads ``{"ports": {option: port}, "bucket": …, "key": …, "fid": …, "uid": …}`` from standard input, changes to the user
``uid`` unless it is 0, and prints the response to each attempt: ``{attempt: answer}``.
"""

from __future__ import annotations

import encodings.idna  # noqa: F401 - only root may be able to read modules that are imported later
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
from quire.dev_stack.certificates import Certificates, write_certificates

HTTP_2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
SECONDS = 5
EVIL_KEY, EVIL_SECRET = "EVILKEY", "evil-secret"


def message(*fields: tuple[int, bytes]) -> bytes:
    """Returns a protobuf message with short length-delimited fields."""
    return b"".join(bytes([number << 3 | 2, len(content)]) + content for number, content in fields)


def grpc_calls(bucket: str, key: str) -> dict[str, list[tuple[str, bytes]]]:
    """Returns gRPC calls that read or delete objects or grant permissions, keyed by the option that sets the port."""
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
    """Returns requests that read or delete objects or issue tokens, keyed by the option that sets the port."""
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
    """Makes a gRPC call with an encoded message."""
    unary = channel.unary_unary(method, request_serializer=bytes, response_deserializer=bytes)
    return bytes(unary(body, timeout=SECONDS))


def over_grpc(port: int, method: str, body: bytes, *, host: str = "127.0.0.1") -> str:
    """Makes a gRPC call without TLS, and returns ``answered``, or the status if the call fails."""
    with grpc.insecure_channel(f"{host}:{port}") as channel:
        try:
            call(channel, method, body)
        except grpc.RpcError as error:
            return str(error.code().name)
    return "answered"


def over_http(port: int, method: str, path: str) -> str:
    """Sends a request over plain HTTP and returns the status."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        connection.request(method, path, headers={"Tus-Resumable": "1.0.0", "Upload-Length": "1"})
        return str(connection.getresponse().status)
    except ConnectionError:
        return "disconnected"
    finally:
        connection.close()


def over_tls(port: int, first: bytes, identity: Certificates | None) -> str:
    """Connects with a certificate. Returns ``refused`` if the server closes the connection, else ``answered``."""
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


def main(arguments: dict[str, Any]) -> dict[str, str]:
    """Makes all attempts and returns their results."""
    ports, bucket, key, fid = arguments["ports"], arguments["bucket"], arguments["key"], arguments["fid"]
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
    arguments = json.load(sys.stdin)
    if arguments["uid"]:
        os.setgroups([])
        os.setgid(arguments["uid"])
        os.setuid(arguments["uid"])
    print(json.dumps(main(arguments)))
