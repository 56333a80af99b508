"""Tests the servers' environment, their ports, and deferred signals."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading

import pytest
from quire.dev_stack.environment import direct_environment, own_environment
from quire.dev_stack.ports import free_port, free_ports
from quire.dev_stack.signals import defer_stop_signals


def test_own_environment_drops_settings_of_other_installations() -> None:
    retained = {"PATH": "/bin", "AIRFLOW_CONN_SHOP": "postgresql://shop", "AIRFLOW_VAR_X": "1", "QUIRE_INCLUDE": "/srv"}
    foreign = {
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW_HOME": "/opt/airflow",
        "AIRFLOW_CONFIG": "/etc/airflow.cfg",
        "PGSSLMODE": "verify-full",
        "AWS_PROFILE": "work",
        "WEED_MASTER_PEERS": "elsewhere",
    }
    assert own_environment({**retained, **foreign}) == retained


@pytest.mark.parametrize("variable", ["http_proxy", "HTTPS_PROXY", "all_proxy"])
def test_own_environment_bypasses_the_proxy_for_loopback(variable: str) -> None:
    environment = own_environment({variable: "http://proxy:3128", "NO_PROXY": "example.org, 127.0.0.1"})
    assert environment["NO_PROXY"] == environment["no_proxy"] == "example.org,127.0.0.1,localhost"
    assert environment[variable] == "http://proxy:3128"
    assert own_environment(environment) == environment


def test_direct_environment_without_a_proxy_is_empty() -> None:
    assert direct_environment({"PATH": "/bin"}) == {}


def test_free_port_skips_a_port_in_use() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert free_port(port) != port
    assert free_port(port) == port


def test_free_port_skips_a_port_in_use_on_every_interface() -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("0.0.0.0", 0))  # noqa: S104 - for a moment, like a server of another user
        taken.listen()
        port = taken.getsockname()[1]
        assert free_port(port) != port


def test_free_ports_are_all_different() -> None:
    for _ in range(20):
        ports = free_ports(*[None] * 200)
        assert len(set(ports)) == 200


def test_defer_stop_signals_delays_signals_to_the_end_of_the_block() -> None:
    done = []

    def work() -> None:
        with defer_stop_signals():
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            done.append(True)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == [True]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


SIMULTANEOUS_SIGNALS = """
import os, signal
from quire.dev_stack.signals import STOP_SIGNALS, interrupt_on_stop_signals

interrupt_on_stop_signals()
try:
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        for number in STOP_SIGNALS:
            os.kill(os.getpid(), number)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)  # now all of them are pending
    except KeyboardInterrupt:
        print("cleaned", sum(range(1000)))  # a second exception would be raised here
        raise
except KeyboardInterrupt:
    print("interrupted")
"""


def test_simultaneous_signals_interrupt_once() -> None:
    """Runs in a separate single-threaded process, because another thread would receive the blocked signals."""
    done = subprocess.run([sys.executable, "-c", SIMULTANEOUS_SIGNALS], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "cleaned 499500\ninterrupted\n"), done.stderr


def test_defer_stop_signals_in_a_thread_does_nothing() -> None:
    completed: list[str] = []

    def work() -> None:
        with defer_stop_signals():
            completed.append("done")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert completed == ["done"]
