"""Importing Quire must not change the process, because Airflow loads the plugin into each of its processes."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from quire.allocator_settings import ARROW_VARIABLES, POLARS_VARIABLES
from quire.settings import CLONE

from tests.syntax_nodes import syntax_nodes
from tests.test_architecture import identify, sources

READER = CLONE / "plugins" / "quire" / "settings.py"
OS_NAMES = {"environ", "environb", "getenv", "getenvb", "putenv", "unsetenv", "getlogin"}
OF_THE_USER = {"expanduser", "expandvars", "home"}  # functions that read HOME and other variables
ENTRY_POINTS = {"quire.__main__", "quire.dev_stack.__main__"}
PROGRAM = """
import decimal, gc, importlib, json, locale, logging, os, signal, socket, sys, threading, warnings
gc.set_threshold(10**6)  # halves the time that the imports take
others, own = json.load(sys.stdin)
looked_up = []
sys.addaudithook(lambda event, arguments: looked_up.append(arguments[1]) if event == "ctypes.dlsym" else None)

def state():
    root = logging.getLogger()
    return {
        "environment": dict(os.environ),
        "logging": [str(root.handlers), root.level, root.disabled, root.manager.disable, str(logging.lastResort)],
        "signals": [str(signal.getsignal(number)) for number in sorted(signal.valid_signals())],
        "timers": str(signal.getitimer(signal.ITIMER_REAL)),
        "threads": sorted(thread.name for thread in threading.enumerate()),
        "thread defaults": [threading.stack_size(), sys.getswitchinterval(), str(threading.excepthook)],
        "interpreter": [str(sys.excepthook), sys.getrecursionlimit(), gc.get_threshold(), gc.isenabled(), os.getcwd()],
        "sockets": socket.getdefaulttimeout(),
        "locale": [locale.setlocale(locale.LC_ALL), str(decimal.getcontext())],
        "native functions": sorted({name for name in looked_up if name in ("mallopt", "malloc_trim", "prctl")}),
    }

def changes(others, own):
    for name in others:
        importlib.import_module(name)
    before = state()
    for name in own:
        importlib.import_module(name)
    after = state()
    return {name: [str(before[name]), str(after[name])] for name in before if before[name] != after[name]}

pages = [name for name in own if name.startswith("quire.portal.pages")]
changed = changes([name for name in others if name.split(".")[0] != "polars"], pages)
import pyarrow as pa
from quire.tables_and_charts.page_tables import _table
from quire.xlsx.model import SheetColumn, TableSheet
table = pa.table({"t": pa.array([0], pa.timestamp("us", "UTC")), "x": ["a"]})
columns = tuple(SheetColumn(name=name, title=name) for name in ("t", "x"))
sheet = TableSheet(sheet_name="S", heading="S", columns=columns, table=table)
rows = _table(sheet, "Europe/Berlin", total_rows=1).rows
pages_use_polars = "polars" in sys.modules
changed |= changes(others, own)
print(json.dumps({"changed": changed, "rows": rows, "pages use Polars": pages_use_polars}))
"""


def environment_uses(source: str) -> list[str]:
    """Returns the names through which source code uses the environment, at any nesting depth."""
    return sorted(set(_environment_uses(source)))


def _environment_uses(source: str) -> Iterator[str]:
    for node in syntax_nodes(source):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ("os", "posix"):
            if node.attr in OS_NAMES:
                yield f"os.{node.attr}"
        elif isinstance(node, ast.ImportFrom) and node.module in ("os", "posix"):
            yield from (f"os.{alias.name}" for alias in node.names if alias.name in {*OS_NAMES, "*"})
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            yield from (name for name in names if name == "getpass")
        if isinstance(node, ast.Attribute) and node.attr in OF_THE_USER:
            yield node.attr


def module_name(path: Path) -> str:
    parts = path.relative_to(CLONE / "plugins").with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def test_only_settings_use_the_environment() -> None:
    uses = {path: environment_uses(path.read_text()) for path in sources("plugins", "dags")}
    assert uses[READER]
    assert {identify(path): names for path, names in uses.items() if names and path != READER} == {}


@pytest.mark.parametrize(
    ("source", "use"),
    [
        ("import os\ndef f(): return os.environ['A']", "os.environ"),
        ("import os\nos.getenv('A')", "os.getenv"),
        ("from os import environ as e", "os.environ"),
        ("from os import *", "os.*"),
        ("def f():\n    import getpass", "getpass"),
        ("from getpass import getuser", "getpass"),
        ("from pathlib import Path\nPath.home()", "home"),
        ("import os.path\nos.path.expandvars('$A')", "expandvars"),
    ],
)
def test_environment_uses_of_a_source_with_one_finds_it(source: str, use: str) -> None:
    assert environment_uses(source) == [use]


def test_importing_all_modules_changes_nothing_and_pages_load_no_polars(tmp_path: Path) -> None:
    paths = sources("plugins")
    own = sorted({module_name(path) for path in paths} - ENTRY_POINTS)
    assert {"quire", "quire.stages.extract", "quire.portal.portal_app", "quire_plugin"} <= set(own)
    others = sorted(_third_party_modules(paths))
    variables = [*POLARS_VARIABLES, *ARROW_VARIABLES]
    environment = {name: value for name, value in os.environ.items() if name not in variables}

    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        input=json.dumps([others, own]),
        env={**environment, "PYTHONPATH": str(CLONE / "plugins"), "AIRFLOW_HOME": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "changed": {},
        "rows": [["1970-01-01 01:00:00", "a"]],
        "pages use Polars": False,  # importing Polars takes a third of a second, and the API server rarely needs it
    }


def _third_party_modules(paths: list[Path]) -> Iterator[str]:
    """Yields the third-party modules that Quire's modules import; importing those may change the process."""
    names: set[str] = set()
    for path in paths:
        module, *_ = syntax_nodes(path.read_text())
        assert isinstance(module, ast.Module)
        top = [node for node in module.body if isinstance(node, ast.Import | ast.ImportFrom)]
        for node in top:
            names |= {alias.name for alias in node.names} if isinstance(node, ast.Import) else {node.module or ""}
    return iter(sorted(name for name in names if name.split(".")[0] not in ("quire", "__future__", "")))


def test_command_configures_its_own_process() -> None:
    code = (
        "import os; from quire.cli.app import app, main; "
        "app.command('environment')(lambda: print(dict(os.environ))); main()"
    )
    environment = {"PYTHONPATH": str(CLONE / "plugins"), "POLARS_ROW_GROUP_PREFETCH_SIZE": "7"}
    done = subprocess.run(
        [sys.executable, "-c", code, "environment"], env=environment, capture_output=True, text=True, check=True
    )
    expected = {**POLARS_VARIABLES, "POLARS_ROW_GROUP_PREFETCH_SIZE": "7"}
    if os.sysconf("SC_PAGE_SIZE") == 4096:
        expected |= ARROW_VARIABLES
    variables = {*POLARS_VARIABLES, *ARROW_VARIABLES}
    assert {name: value for name, value in ast.literal_eval(done.stdout).items() if name in variables} == expected
