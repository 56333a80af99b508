"""What the servers inherit, which ports they get, and which signals wait."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading

import pytest
from quire.local_stack.environment import direct_environment, own_environment
from quire.local_stack.ports import free_port, free_ports
from quire.local_stack.signals import uninterrupted


def test_settings_of_other_installations_are_left_behind() -> None:
    kept = {"PATH": "/bin", "AIRFLOW_CONN_SHOP": "postgresql://shop", "AIRFLOW_VAR_X": "1", "QUIRE_INCLUDE": "/srv"}
    foreign = {
        "AIRFLOW__CORE__EXECUTOR": "CeleryExecutor",
        "AIRFLOW_HOME": "/opt/airflow",
        "AIRFLOW_CONFIG": "/etc/airflow.cfg",
        "PGSSLMODE": "verify-full",
        "AWS_PROFILE": "work",
        "WEED_MASTER_PEERS": "elsewhere",
    }
    assert own_environment({**kept, **foreign}) == kept


@pytest.mark.parametrize("variable", ["http_proxy", "HTTPS_PROXY", "all_proxy"])
def test_proxy_is_passed_by_on_the_way_to_loopback(variable: str) -> None:
    found = own_environment({variable: "http://proxy:3128", "NO_PROXY": "example.org, 127.0.0.1"})
    assert found["NO_PROXY"] == found["no_proxy"] == "example.org,127.0.0.1,localhost"
    assert found[variable] == "http://proxy:3128"
    assert own_environment(found) == found


def test_without_a_proxy_nothing_is_said_of_one() -> None:
    assert direct_environment({"PATH": "/bin"}) == {}


def test_taken_port_is_passed_over() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert free_port(port) != port
    assert free_port(port) == port


def test_port_of_a_server_on_every_interface_is_passed_over() -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("0.0.0.0", 0))  # noqa: S104 - somebody else's, for an instant
        taken.listen()
        port = taken.getsockname()[1]
        assert free_port(port) != port


def test_ports_found_together_are_all_different() -> None:
    for _ in range(20):
        found = free_ports(*[None] * 200)
        assert len(set(found)) == 200


def test_signal_waits_for_the_end_of_the_block_and_then_comes() -> None:
    done = []

    def work() -> None:
        with uninterrupted():
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            done.append(True)

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == [True]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


TOGETHER = """
import os, signal
from quire.local_stack.signals import STOP_SIGNALS, interrupt_on_stop_signals

interrupt_on_stop_signals()
try:
    try:
        signal.pthread_sigmask(signal.SIG_BLOCK, STOP_SIGNALS)
        for number in STOP_SIGNALS:
            os.kill(os.getpid(), number)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOP_SIGNALS)  # now all of them are there at once
    except KeyboardInterrupt:
        print("cleaned", sum(range(1000)))  # a second exception would come here
        raise
except KeyboardInterrupt:
    print("interrupted")
"""


def test_signals_that_come_together_interrupt_once() -> None:
    """In a process of one thread: in others a signal that one blocks comes to another."""
    done = subprocess.run([sys.executable, "-c", TOGETHER], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "cleaned 499500\ninterrupted\n"), done.stderr


def test_uninterrupted_in_a_thread_does_nothing() -> None:
    found: list[str] = []

    def work() -> None:
        with uninterrupted():
            found.append("done")

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found == ["done"]
