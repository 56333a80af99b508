"""Values are quoted correctly even if other connections in the same process have different client encodings."""

from __future__ import annotations

import ast
import random
from collections.abc import Iterator
from pathlib import Path

import psycopg
import psycopg2
import pytest
from quire.errors import ParameterError
from quire.postgres import open_transaction
from quire.report.sql_literal import text_literal
from quire.report.sql_template import bind

from tests.events import session_of
from tests.syntax_nodes import syntax_nodes

PLUGINS = Path(__file__).resolve().parents[2] / "plugins"
ENCODINGS = ["GBK", "BIG5", "SJIS", "UHC"]  # in these encodings, a character's second byte can be ASCII
COUNT, BATCH = 10_000, 500
# Most of these have three bytes in UTF-8, so decoding byte pairs would combine the third with the next character.
LETTERS = "あ你誠表能ソ한글ｱ\uffee€\u3000éß¿½\U0001f600\u2019\u02bc\uff07"
ATTACKS = [
    "'; SELECT 1 --",
    "' || (SELECT current_user) || '",
    "\\'; COMMIT; --",
    "\\",
    "''",
    "\\\\'",
    "E'\\'",
    "$$",
    "%(y)s",
    "\n--\n'",
    '"',
]


@pytest.fixture(params=ENCODINGS)
def other_connections(request: pytest.FixtureRequest, fresh_database: str) -> Iterator[None]:
    """Opens a connection with each driver and a different client encoding.

    libpq's global state comes from the most recent connection.
    """
    with psycopg.connect(fresh_database, client_encoding=request.param) as first:
        second = psycopg2.connect(fresh_database)
        second.set_client_encoding(request.param)
        first.execute("SELECT 1")
        yield
        second.close()


def hostile_texts(count: int) -> list[str]:
    rng = random.Random(16)  # noqa: S311 - a fixed sequence
    parts = [*LETTERS, *ATTACKS, "'", "\\"]
    texts = {"".join(rng.choices(parts, k=rng.randint(1, 8))) for _ in range(2 * count)}
    return sorted(texts)[:count]


@pytest.mark.usefixtures("other_connections")
def test_hostile_values_round_trip_despite_other_encodings(fresh_database: str) -> None:
    texts = hostile_texts(COUNT)
    assert len(texts) == COUNT
    received: list[str] = []
    with open_transaction(session_of(fresh_database)) as transaction:
        for first in range(0, COUNT, BATCH):
            binds = {f"v{number}": text for number, text in enumerate(texts[first : first + BATCH])}
            places = ", ".join(f"%({name})s" for name in binds)
            statement = bind(f"SELECT unnest(ARRAY[{places}]::text[]) AS value", binds)
            columns = transaction.columns(statement)
            for batch in transaction.stream(statement, columns):
                received += batch["value"].to_pylist()
    assert received == texts


@pytest.mark.usefixtures("other_connections")
def test_literal_does_not_depend_on_other_encodings() -> None:
    assert text_literal("あ' OR 1=1 --") == "'あ'' OR 1=1 --'"
    assert text_literal("誠\\'") == " E'誠\\\\'''"


@pytest.mark.parametrize("setting", ["on", "off"])
def test_literal_round_trips_with_either_string_setting(fresh_database: str, setting: str) -> None:
    with psycopg.connect(fresh_database, client_encoding="UTF8") as connection:
        connection.execute(f"SET standard_conforming_strings = {setting}")
        for text in (*ATTACKS, "あ\\'é", ""):
            assert connection.execute(f"SELECT {text_literal(text)}").fetchone() == (text,)


@pytest.mark.parametrize("encoding", ["GBK", "LATIN1", "SQL_ASCII"])
def test_transaction_uses_utf8_despite_url_and_environment(
    fresh_database: str, encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PGCLIENTENCODING", encoding)
    url = f"{fresh_database}{'&' if '?' in fresh_database else '?'}client_encoding={encoding}"
    with open_transaction(session_of(url)) as transaction:
        (row,) = transaction.fetch("SELECT current_setting('client_encoding') AS encoding, 'é誠' AS text")
    assert row == {"encoding": "UTF8", "text": "é誠"}


@pytest.mark.parametrize("text", ["a\0b", "\ud800"])
def test_bind_text_that_postgresql_cannot_store_raises(text: str) -> None:
    with pytest.raises(ParameterError, match="parameter x cannot be sent to PostgreSQL"):
        bind("SELECT %(x)s", {"x": text})


def test_every_connect_call_sets_utf8() -> None:
    opened = 0
    for path in PLUGINS.rglob("*.py"):
        for node in syntax_nodes(path.read_text()):
            if not isinstance(node, ast.Call):
                continue
            function = ast.unparse(node.func)
            if function in ("psycopg.connect", "psycopg2.connect"):
                arguments = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
                assert arguments.get("client_encoding") == "CLIENT_ENCODING", f"{path.name}:{node.lineno}"
                opened += 1
            elif function.endswith(".as_string"):
                assert [ast.unparse(argument) for argument in node.args] != ["None"], f"{path.name}:{node.lineno}"
    assert opened >= 8
