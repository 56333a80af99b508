"""Serves the orders webhook in a separate process: ``python -m tests.inbound_webhooks.own_process INCLUDE DATABASE``.

The process prints the server's address, and exits when its standard input is closed.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from quire.settings import CLONE

from tests.inbound_webhooks.serving import serving_orders
from tests.inbound_webhooks.shop import SECRET


@contextmanager
def own_process(include: Path, database: str) -> Iterator[str]:
    """Starts the process, and yields the server's address."""
    process = subprocess.Popen(
        [sys.executable, "-m", "tests.inbound_webhooks.own_process", str(include), database],
        cwd=CLONE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        assert process.stdout
        yield process.stdout.readline().strip()
        process.communicate()  # closes the process's input


if __name__ == "__main__":
    with serving_orders(Path(sys.argv[1]), sys.argv[2], {"shop_signing": SECRET}) as address:
        print(address, flush=True)
        sys.stdin.read()
