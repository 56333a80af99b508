"""Suggests the missing GRANT if PostgreSQL denies permission."""

from __future__ import annotations

import re

_SIMPLE = re.compile(r"[a-z_][a-z0-9_$]*")
_PERMISSION_DENIED = re.compile(
    r"permission denied for (table|view|materialized view|foreign table|sequence|schema|function|type|foreign server) "
    r"(.{1,200})",
    re.DOTALL,
)
_GRANTS = {
    "schema": "USAGE ON SCHEMA",
    "function": "EXECUTE ON FUNCTION",
    "type": "USAGE ON TYPE",
    "sequence": "SELECT ON SEQUENCE",
    "foreign server": "USAGE ON FOREIGN SERVER",
}


def missing_grant(message: str, *, role: str) -> str:
    """Returns a sentence with the GRANT that the object's owner can run, or an empty string if no object is named.

    Args:
        message: PostgreSQL's English message for SQLSTATE 42501.
        role: the role that lacks the privilege.
    """
    match = _PERMISSION_DENIED.fullmatch(message)
    if not match:
        return ""
    privilege = _GRANTS.get(match[1], "SELECT ON")
    grantee = _quote(role) if role else "the role"
    return f". The owner can run: GRANT {privilege} {_quote(match[2])} TO {grantee}"


def _quote(name: str) -> str:
    return name if _SIMPLE.fullmatch(name) else '"' + name.replace('"', '""') + '"'
