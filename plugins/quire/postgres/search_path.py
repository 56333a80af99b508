"""Finds roles that can create objects in the schemas in which a report's query looks up unqualified names."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from quire.postgres.transaction import SourceTransaction
from quire.report.sql_literal import literal

NAME = re.compile(r'"(?P<quoted>(?:[^"]++|"")*)"(?!")|(?P<plain>[^\s,"]++)')
MAX_NAMES = 3
# Finds roles that can create objects in a schema on the path, or create a missing schema, except for the reader,
# superusers and the database's owner. A schema's owner is as trusted as the owner of its tables, with two exceptions:
# the path contains the schema only as "$user", or its objects can shadow another owner's tables in a later schema.
_CREATORS = """
WITH path AS (SELECT * FROM (VALUES {path}) AS p(position, name, is_user)),
held AS (
    SELECT p.name, n.oid IS NOT NULL AS is_there, false AS is_owner, acl.grantee
      FROM path AS p
      LEFT JOIN pg_namespace AS n ON n.nspname = p.name
      JOIN pg_database AS d ON d.datname = current_database()
     CROSS JOIN LATERAL aclexplode(CASE WHEN n.oid IS NULL THEN coalesce(d.datacl, acldefault('d', d.datdba))
                                        ELSE coalesce(n.nspacl, acldefault('n', n.nspowner)) END) AS acl
     WHERE acl.privilege_type = 'CREATE' AND (p.is_user OR acl.grantee IS DISTINCT FROM n.nspowner)
     UNION
    SELECT p.name, true, true, n.nspowner
      FROM path AS p
      JOIN pg_namespace AS n ON n.nspname = p.name
     WHERE p.is_user
        OR EXISTS (SELECT FROM path AS later
                     JOIN pg_namespace AS m ON m.nspname = later.name
                     JOIN pg_class AS c ON c.relnamespace = m.oid
                    WHERE later.position > p.position AND c.relowner <> n.nspowner
                      AND c.relkind IN ('r', 'p', 'v', 'm', 'f'))
)
SELECT held.name, held.is_there, held.is_owner, coalesce(quote_ident(r.rolname), 'PUBLIC') AS creator,
       quote_ident(held.name) AS quoted, quote_ident(current_user) AS reader
  FROM held
  LEFT JOIN pg_roles AS r ON r.oid = held.grantee
 WHERE held.grantee = 0
    OR NOT (r.rolsuper OR r.rolname IN (current_user, 'pg_database_owner')
            OR r.oid = (SELECT datdba FROM pg_database WHERE datname = current_database()))
 ORDER BY held.name, creator
"""


def search_path_advice(transaction: SourceTransaction) -> Iterator[str]:
    """Yields a warning for each schema on a report's search_path in which other roles can create objects.

    A table in such a schema can shadow the intended table. A function or operator in such a schema can match a call
    better than PostgreSQL's own, and then runs with the reader's privileges.
    """
    (row,) = transaction.fetch(
        "SELECT pg_catalog.current_setting('search_path') AS path, current_user::pg_catalog.text AS reader"
    )
    path = list(_schemas(row["path"], row["reader"]))
    if not path:
        return
    values = ", ".join(f"({place}, {literal(name)}, {is_user})" for place, (name, is_user) in enumerate(path))
    creators: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for creator in transaction.fetch_own(_CREATORS.format(path=values)):
        creators[creator["name"]].append(creator)
    for rows in creators.values():
        yield _advice(rows)


def _schemas(path: str, reader: str) -> Iterator[tuple[str, bool]]:
    """Yields each schema on a search_path, and whether the path contains it as ``"$user"``."""
    for match in NAME.finditer(path):
        name = match["plain"] or match["quoted"].replace('""', '"')
        if name == "$user":
            yield reader, True
        elif not name.startswith("pg_"):  # the prefix for system schemas and the temporary schema
            yield name, False


def _advice(rows: Sequence[dict[str, Any]]) -> str:
    schema, reader = rows[0]["quoted"], rows[0]["reader"]
    roles = [row["creator"] for row in rows]
    names = ", ".join("every role (PUBLIC)" if role == "PUBLIC" else role for role in roles[:MAX_NAMES])
    more = f" and {len(roles) - MAX_NAMES} more" if len(roles) > MAX_NAMES else ""
    danger = f"the query may use these objects with {reader}'s privileges"
    if rows[0]["is_there"] and any(row["is_owner"] for row in rows):
        # REVOKE does not help, because an owner could grant itself the privilege again.
        return (
            f"{names}{more} can create objects in schema {schema}, which is on {reader}'s search_path: {danger}. "
            "Remove the schema from the search_path, move it after the schemas with the tables, or change its owner"
        )
    if rows[0]["is_there"]:
        return (
            f"{names}{more} can create objects in schema {schema}, which is on {reader}'s search_path: {danger}. "
            f"REVOKE CREATE ON SCHEMA {schema} FROM {', '.join(roles)}, or remove the schema from the search_path"
        )
    return (
        f"{names}{more} can create schema {schema}, which does not exist but is on {reader}'s search_path: "
        f"{danger}. Set the search_path as reader_role.sql does"
    )
