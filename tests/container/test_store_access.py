"""On the containers' network, SeaweedFS accepts only authenticated S3 requests."""

from __future__ import annotations

import errno
import socket

import pytest
from quire.errors import StoreRefusedError
from quire.object_store.s3_store import S3Store
from quire.settings import StoreSettings

from tests.container.stack import ContainerStack
from tests.dev_stack import strangers

pytestmark = pytest.mark.container
S3, S3_GRPC = 8333, 18333
INNER_PORTS = (8080, 8888, 9333, 18080, 18888, 19333)  # the ports of the volume server, the filer and the master


@pytest.fixture
def host(stack: ContainerStack) -> str:
    """The address at which this host and the containers on the network reach SeaweedFS."""
    (container,) = stack.project.containers("seaweedfs")
    return str(stack.project.state(container)["NetworkSettings"]["Networks"][stack.project.network]["IPAddress"])


def test_inner_servers_are_unreachable(host: str) -> None:
    socket.create_connection((host, S3), timeout=5).close()
    for port in INNER_PORTS:
        with socket.socket() as caller:
            caller.settimeout(5)
            assert caller.connect_ex((host, port)) == errno.ECONNREFUSED, port


def test_s3_cannot_be_administered_without_credentials(stack: ContainerStack, host: str) -> None:
    calls = strangers.grpc_calls("quire", "manifest.json")["s3.port.grpc"]
    assert {strangers.over_grpc(S3_GRPC, method, body, host=host) for method, body in calls} == {"UNAUTHENTICATED"}
    evil = StoreSettings(
        bucket="quire",
        access_key=strangers.EVIL_KEY,
        secret_key=strangers.EVIL_SECRET,
        endpoint_url=stack.store_url,
        region_name="us-east-1",
    )
    with pytest.raises(StoreRefusedError):
        list(S3Store(evil).list(""))


def test_owner_connection_exists_only_in_workers(stack: ContainerStack) -> None:
    named = {
        service
        for service in stack.project.compose("ps", "--services").split()
        for container in stack.project.containers(service)
        if any(line.startswith("AIRFLOW_CONN_QUIRE_OWNER=") for line in stack.project.state(container)["Config"]["Env"])
    }
    assert named == {"airflow-worker"}
