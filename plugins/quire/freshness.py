"""Tokens: is a stored partition still true? A stored partition counts under the token of the rows it holds."""

from __future__ import annotations

from quire.artifacts import RunRequest, digest


def run_token(request: RunRequest) -> str:
    """Returns the token of rows that only this run may use again: that of ``freshness: always`` and ``--force``.

    A task that is tried again finds what its earlier attempt stored; a run that is planned again reads anew.
    """
    return digest("always", request.run_id, request.made_at)
