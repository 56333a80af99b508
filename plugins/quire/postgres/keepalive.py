"""Connections whose other end is gone without a word: both ends notice, instead of waiting for hours.

A network that is cut, or a machine that loses its power, ends no connection. Linux asks after two hours of silence
whether the other end is there (tcp(7), tcp_keepalive_time), and sends what nobody acknowledges again for a quarter of
an hour (tcp_retries2).
"""

from __future__ import annotations

from urllib.parse import urlencode

from psycopg2.extensions import parse_dsn

# libpq's (PostgreSQL's manual, 34.1.2), in seconds: 30 in all
CLIENT = {
    "connect_timeout": "30",
    "keepalives_idle": "10",
    "keepalives_interval": "5",
    "keepalives_count": "4",
    "tcp_user_timeout": "30000",
}
# PostgreSQL's own (20.3.2), for the session's end of the connection
SERVER = {
    "tcp_keepalives_idle": "10",
    "tcp_keepalives_interval": "5",
    "tcp_keepalives_count": "4",
    # Of a client that is there but reads nothing, too: as long as a store may keep it waiting with all its attempts.
    "tcp_user_timeout": "10min",
}


def with_defaults(url: str, **wanted: str) -> str:
    """Returns an address for libpq with parameters of it that the address does not set itself.

    Raises:
        psycopg2.ProgrammingError: libpq cannot parse the URL.
    """
    parameters = parse_dsn(url)
    missing = urlencode({name: value for name, value in wanted.items() if name not in parameters})
    separator = "" if url.endswith("?") or not missing else "&" if "?" in url else "?"
    return f"{url}{separator}{missing}"
