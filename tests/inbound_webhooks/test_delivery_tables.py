"""``quire hooks install`` is idempotent; ``quire hooks check`` and ``quire check`` report each problem on one line."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from quire.dev_stack.postgres_server import PostgresServer
from quire.errors import DefinitionError, QueryError
from quire.inbound_webhooks.delivery_tables import install_tables, validate_webhook
from quire.inbound_webhooks.ingest import DeliveryOutcome, ingest
from quire.postgres.tracking.installation import track, untrack

from tests.cli.command import error_line, quire
from tests.inbound_webhooks.shop import TABLE, body_of, event_of, write_webhook
from tests.postgres.tracking.tables import ask, objects, run_sql, tracked_report


@pytest.fixture
def database(fresh_database: str) -> str:
    run_sql(fresh_database, TABLE)
    return fresh_database


@pytest.fixture
def writer(postgres_server: PostgresServer, database: str) -> Iterator[str]:
    """The URL for a role that can write to the table but cannot create objects."""
    run_sql(
        database,
        "CREATE ROLE shop_writer LOGIN PASSWORD 'writer'",
        "GRANT SELECT, INSERT, UPDATE, DELETE ON orders TO shop_writer",
    )
    yield postgres_server.url(database.rpartition("/")[2], user="shop_writer", password="writer")
    run_sql(database, "DROP OWNED BY shop_writer", "DROP ROLE shop_writer")


def test_hooks_install_and_check_commands(tmp_path: Path, database: str) -> None:
    write_webhook(tmp_path)
    environment = {"QUIRE_INCLUDE": str(tmp_path), "AIRFLOW_CONN_SHOP_WRITER": database}
    (tmp_path / "reports").mkdir()
    status, line = error_line(environment, "check")
    assert (status, "Run `quire hooks install orders`" in line) == (2, True)
    assert quire(environment, "hooks", "install").stdout == "orders: installed\n"
    before = objects(database)
    assert quire(environment, "hooks", "install", "orders").stdout == "orders: already installed\n"
    assert objects(database) == before
    valid = "webhooks/orders: the definition and its table are valid\n"
    assert quire(environment, "check").stdout == valid
    assert quire(environment, "hooks", "check", "orders").stdout == valid
    del environment["AIRFLOW_CONN_SHOP_WRITER"]
    assert "its table was not checked: AIRFLOW_CONN_SHOP_WRITER is not set" in quire(environment, "check").stdout


def test_check_invalid_file_or_unknown_webhook_prints_one_line(tmp_path: Path) -> None:
    write_webhook(tmp_path)
    (tmp_path / "reports").mkdir()
    environment = {"QUIRE_INCLUDE": str(tmp_path)}
    status, line = error_line(environment, "hooks", "install", "order")
    assert (status, "did you mean orders?" in line) == (2, True)
    file = tmp_path / "webhooks" / "orders.yaml"
    file.write_text(file.read_text().replace("table:", "tabel:"))
    status, line = error_line(environment, "check")
    assert (status, "orders.yaml:1: tabel: unknown key; did you mean table?" in line) == (2, True)


def test_check_shared_signing_connection_prints_warning(tmp_path: Path) -> None:
    for name, signing in (("orders", "shop_signing"), ("returns", "Shop_Signing"), ("parcels", "parcel_signing")):
        write_webhook(tmp_path, name, signing=signing)
    (tmp_path / "webhooks" / "invalid.yaml").write_text("signing: shop_signing\n")
    environment = {"QUIRE_INCLUDE": str(tmp_path)}
    shared = ". Warning: it shares its signing connection with {}, so a delivery signed for one is accepted by all"
    assert shared.format("returns") in quire(environment, "hooks", "check", "orders").stdout
    assert shared.format("orders") in quire(environment, "hooks", "check", "returns").stdout
    assert "shares" not in quire(environment, "hooks", "check", "parcels").stdout


@pytest.mark.parametrize(
    ("statement", "changes", "reason"),
    [
        ("DROP TABLE orders", {}, r"table public\.orders does not exist"),
        ("ALTER TABLE orders RENAME status TO state", {}, "has no column status; did you mean state"),
        ("ALTER TABLE orders DROP CONSTRAINT orders_pkey", {}, "has no unique constraint on id"),
        (
            "SELECT",
            {"keys": {"customer": "data.order.id"}, "columns": {"note": "n"}},
            "no unique constraint on customer",
        ),
        (
            "CREATE UNIQUE INDEX ON orders (note) WHERE id > 0",
            {"keys": {"note": "n"}, "columns": {"id": "i"}},
            "unique",
        ),
        (
            "ALTER TABLE orders ADD twice int GENERATED ALWAYS AS (1) STORED",
            {"columns": {"twice": "n"}},
            "generates",
        ),
        (
            "ALTER TABLE orders ADD k float UNIQUE",
            {"keys": {"k": "n"}},
            "the key k has type double precision, whose equal values",
        ),
        ("ALTER TABLE orders RENAME TO others; CREATE VIEW orders AS SELECT * FROM others", {}, "does not exist"),
    ],
)
def test_check_unwritable_table_raises_definition_error(
    tmp_path: Path, database: str, statement: str, changes: dict[str, Any], reason: str
) -> None:
    definition = write_webhook(tmp_path, **changes)
    install_tables(definition, writer_url=database, owner_url=database)
    run_sql(database, statement)
    with pytest.raises(DefinitionError, match=reason):
        validate_webhook(definition, url=database)


def test_check_unwritten_required_columns_are_listed(tmp_path: Path, database: str) -> None:
    definition = write_webhook(tmp_path)
    install_tables(definition, writer_url=database, owner_url=database)
    run_sql(
        database,
        "CREATE DOMAIN places AS int DEFAULT 1; ALTER TABLE orders ADD shop text NOT NULL, ADD till text NOT NULL, "
        "ADD n int NOT NULL GENERATED ALWAYS AS IDENTITY, ADD at date NOT NULL DEFAULT now(), ADD p places NOT NULL",
    )
    environment = {"QUIRE_INCLUDE": str(tmp_path), "AIRFLOW_CONN_SHOP_WRITER": database}
    assert quire(environment, "hooks", "check", "orders").stdout == (
        "webhooks/orders: the definition and its table are valid; "
        "it cannot insert rows unless a trigger sets shop, till\n"
    )


def test_check_accepts_unique_constraint_in_any_column_order(tmp_path: Path, database: str) -> None:
    run_sql(database, "ALTER TABLE orders ADD shop text, ADD UNIQUE (shop, customer) INCLUDE (note)")
    definition = write_webhook(tmp_path, keys={"customer": "c", "shop": "s"}, columns={"note": "n"})
    install_tables(definition, writer_url=database, owner_url=database)
    validate_webhook(definition, url=database)


def test_install_by_owner_grants_access_to_restricted_writer(tmp_path: Path, database: str, writer: str) -> None:
    definition = write_webhook(tmp_path)
    with pytest.raises(QueryError, match="permission denied for database"):
        install_tables(definition, writer_url=writer, owner_url=writer)
    assert install_tables(definition, writer_url=writer, owner_url=database) == "orders: installed"
    assert install_tables(definition, writer_url=writer, owner_url=writer) == "orders: already installed"
    validate_webhook(definition, url=writer)
    event = event_of(definition, body_of(1, customer="Ann"))
    assert ingest(definition, event, body_sha256=b"", url=writer) == DeliveryOutcome.APPLIED
    run_sql(database, "REVOKE DELETE ON orders FROM shop_writer")
    with pytest.raises(DefinitionError, match=r"the shop_writer connection lacks DELETE on public\.orders"):
        validate_webhook(definition, url=writer)


def test_untrack_last_report_keeps_delivery_tables(tmp_path: Path, database: str) -> None:
    definition = write_webhook(tmp_path)
    install_tables(definition, writer_url=database, owner_url=database)
    before = objects(database)
    run_sql(database, "CREATE TABLE events (id integer, at timestamptz)")
    report = tracked_report(tmp_path)
    track(report, database)
    untrack(report.name, database)
    run_sql(database, "DROP TABLE events")
    validate_webhook(definition, url=database)
    assert [row for row in objects(database) if row[0] != "schema"] == [row for row in before if row[0] != "schema"]
    assert ask(database, "SELECT to_regclass('quire.change_log')") == [(None,)]
