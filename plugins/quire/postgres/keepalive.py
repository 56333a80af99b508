"""Defines keepalive settings, so that each end of a connection soon detects that the other end is gone.

A network failure or power loss does not close a connection. By default, Linux sends the first keepalive probe after two
hours (tcp(7), tcp_keepalive_time), and retransmits unacknowledged data for 15 minutes (tcp_retries2).
"""

from __future__ import annotations

from urllib.parse import urlencode

from psycopg2.extensions import parse_dsn

# With libpq's parameters (PostgreSQL manual, 34.1.2), the client detects a dead server within 30 s.
CLIENT = {
    "connect_timeout": "30",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "4",
    "tcp_user_timeout": "30000",
}
# With these settings (PostgreSQL manual, 20.3.2), the server detects a dead client.
SERVER = {
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "4",
    # This limit also affects a client that reads nothing while it waits for the object store or for a retry.
    "tcp_user_timeout": "10min",
}


def with_defaults(url: str, **defaults: str) -> str:
    """Adds libpq parameters to a URL, except for those that the URL already sets.

    Raises:
        psycopg2.ProgrammingError: libpq cannot parse the URL.
    """
    parameters = parse_dsn(url)
    missing = urlencode({name: value for name, value in defaults.items() if name not in parameters})
    separator = "" if url.endswith("?") or not missing else "&" if "?" in url else "?"
    return f"{url}{separator}{missing}"
