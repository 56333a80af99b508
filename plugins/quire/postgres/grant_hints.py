"""The GRANT that a role lacks, from the words of PostgreSQL's refusal."""

from __future__ import annotations

import re

_SIMPLE = re.compile(r"[a-z_][a-z0-9_$]*")
_REFUSED = re.compile(
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
    """Returns ``. `` and the command that the owner can run, or nothing where the message does not say for what.

    Args:
        message: of SQLSTATE 42501, in English.
        role: that was refused.
    """
    refused = _REFUSED.fullmatch(message)
    if not refused:
        return ""
    right = _GRANTS.get(refused[1], "SELECT ON")
    grantee = _quoted(role) if role else "the role"
    return f". The owner can run: GRANT {right} {_quoted(refused[2])} TO {grantee}"


def _quoted(name: str) -> str:
    return name if _SIMPLE.fullmatch(name) else '"' + name.replace('"', '""') + '"'
