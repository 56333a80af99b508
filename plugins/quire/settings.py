"""The only reader of the environment: connections as Airflow writes them, the bucket, the include folder.

AIRFLOW_CONN_<ID>   postgresql://USER:PASSWORD@HOST:PORT/DATABASE        a report's source
AIRFLOW_CONN_QUIRE_OWNER   the same, of who may make triggers: change tracking; default the source's
AIRFLOW_CONN_QUIRE_STORE   aws://KEY:SECRET@/?endpoint_url=…&region_name=…
AIRFLOW_CONN_SMTP_DEFAULT   what e-mails are sent by; only whether it is set counts here
QUIRE_BUCKET        default quire
QUIRE_INCLUDE       default the clone's include/
QUIRE_MAX_ACTIVE_RUNS   of one user of the portal, default 10, at most 100
QUIRE_POD_TEMPLATES   a folder of pod templates, one for each stage: for the KubernetesExecutor
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from quire.errors import NoConnectionError, SettingsError

STORE_CONNECTION = "quire_store"
OWNER_CONNECTION = "quire_owner"
MAIL_CONNECTION = "smtp_default"
DEFAULT_BUCKET = "quire"
DEFAULT_ACTIVE_RUNS = 10
MAX_ACTIVE_RUNS = 100
CLONE = Path(__file__).resolve().parents[2]
ENCODING_HINT = "encode what is special in user and password (%40 for @, %2F for /, %23 for #, %3F for ?, %25 for %)"
_HOSTS = re.compile(r"(?:(?:\[[0-9A-Fa-f:.%]++\]|[^\[\]:,@\s]*+)(?::\d*+)?(?:,|$))+")  # libpq takes several
_PARAMETERS = re.compile(r"(?:[a-z_]++=[^&@]*+(?:@[^&/@]*+)?(?:&|$))+")
_ENCODED = re.compile(r"(?:[^%\s]|%[0-9A-Fa-f]{2})*")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    """How to reach the bucket. Without a key, boto3's own chain applies (roles, profiles, IRSA).

    ``public_endpoint_url`` is the address that readers' browsers use, where it differs from ``endpoint_url``: a
    presigned link is only valid for the host it was signed for.
    """

    bucket: str
    access_key: str | None = None
    secret_key: str | None = field(default=None, repr=False)
    session_token: str | None = field(default=None, repr=False)
    endpoint_url: str | None = None
    public_endpoint_url: str | None = None
    region_name: str | None = None

    @classmethod
    def from_extra(
        cls, extra: Mapping[str, object], *, bucket: str, access_key: str | None, secret_key: str | None
    ) -> StoreSettings:
        """Takes an Airflow connection's login, password and extras (those of the amazon provider's aws type)."""

        def text(name: str) -> str | None:
            return str(extra[name]) if extra.get(name) else None

        return cls(
            bucket=bucket,
            access_key=access_key or text("aws_access_key_id"),
            secret_key=secret_key or text("aws_secret_access_key"),
            session_token=text("aws_session_token"),
            endpoint_url=text("endpoint_url"),
            public_endpoint_url=text("public_endpoint_url"),
            region_name=text("region_name"),
        )

    @classmethod
    def from_uri(cls, uri: str, *, bucket: str) -> StoreSettings:
        """Reads ``aws://KEY:SECRET@/?endpoint_url=…&region_name=…``, each part URL-encoded.

        Raises:
            SettingsError: it is no such address. The message holds no secret.
        """
        try:
            parts = urlsplit(uri)
        except ValueError as error:
            raise SettingsError(f"{connection_variable(STORE_CONNECTION)} is not a URI: {error}") from error
        if parts.scheme != "aws":
            raise SettingsError(
                f"{connection_variable(STORE_CONNECTION)} begins with {parts.scheme or 'nothing'!r}: "
                "write aws://KEY:SECRET@/?endpoint_url=…&region_name=…"
            )
        if _is_torn(parts):  # its key would be lost without a word, and another identity be taken
            raise SettingsError(f"{connection_variable(STORE_CONNECTION)} is not aws://KEY:SECRET@/?…: {ENCODING_HINT}")
        return cls.from_extra(
            dict(parse_qsl(parts.query)),
            bucket=bucket,
            access_key=unquote(parts.username) if parts.username else None,
            secret_key=unquote(parts.password) if parts.password else None,
        )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> StoreSettings:
        """Reads the store's connection and the bucket.

        Raises:
            SettingsError: the connection is missing or malformed.
        """
        return cls.from_uri(_required(environment, STORE_CONNECTION), bucket=bucket_name(environment))


def process_environment() -> dict[str, str]:
    """Returns a copy of this process's environment."""
    return dict(os.environ)


def replace_environment(environment: Mapping[str, str]) -> None:
    """Makes this process, and what it starts, see these variables only."""
    os.environ.clear()
    os.environ.update(environment)


def set_defaults(variables: Mapping[str, str]) -> None:
    """Sets variables of this process that are not set yet."""
    for name, value in variables.items():
        os.environ.setdefault(name, value)


def bucket_name(environment: Mapping[str, str] = os.environ) -> str:
    """Returns the bucket that everything is stored in."""
    return environment.get("QUIRE_BUCKET") or DEFAULT_BUCKET


def mail_variable() -> str:
    """Returns the variable of the connection that e-mails are sent by: Airflow's ``[email] email_conn_id``."""
    return f"AIRFLOW_CONN_{(os.environ.get('AIRFLOW__EMAIL__EMAIL_CONN_ID') or MAIL_CONNECTION).upper()}"


def has_mail_connection() -> bool:
    """Returns whether that variable is set."""
    return bool(os.environ.get(mail_variable()))


def include_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Returns the folder of reports/ and sql/."""
    return Path(environment.get("QUIRE_INCLUDE") or CLONE / "include")


def pod_template(stage: str, environment: Mapping[str, str] = os.environ) -> str | None:
    """Returns the file that the KubernetesExecutor makes a stage's pods from; nothing where Airflow's own is used."""
    folder = environment.get("QUIRE_POD_TEMPLATES")
    return str(Path(folder) / f"{stage}.yaml") if folder else None


def max_active_runs(environment: Mapping[str, str] = os.environ) -> int:
    """Returns how many runs that a user has requested in the portal may be active at once.

    Raises:
        SettingsError: it is no number from 1 to ``MAX_ACTIVE_RUNS``.
    """
    text = environment.get("QUIRE_MAX_ACTIVE_RUNS") or str(DEFAULT_ACTIVE_RUNS)
    if text.isascii() and text.isdigit() and len(text) <= 3 and 1 <= int(text) <= MAX_ACTIVE_RUNS:
        return int(text)
    raise SettingsError(f"QUIRE_MAX_ACTIVE_RUNS is {text[:20]!r}: write a number from 1 to {MAX_ACTIVE_RUNS}")


def source_url(connection_id: str, environment: Mapping[str, str] = os.environ) -> str:
    """Returns the libpq address of an Airflow connection.

    Raises:
        SettingsError: it is not set, or is not a PostgreSQL address.
    """
    url = _required(environment, connection_id)
    scheme, separator, rest = url.partition("://")
    if scheme not in ("postgresql", "postgres"):
        seen = f"begins with {scheme!r}" if separator else "is no URI"  # what is no URI may be a secret
        raise SettingsError(
            f"{connection_variable(connection_id)} {seen}: write postgresql://USER:PASSWORD@HOST/DATABASE"
        )
    authority = re.split(r"[/?]", rest, maxsplit=1)[0]
    _, _, hosts = authority.rpartition("@")
    if _has_stray_at(rest, authority) or not (_HOSTS.fullmatch(hosts) and _ENCODED.fullmatch(rest)):
        raise _unencoded(connection_id)
    return f"postgresql://{rest}"


def validate_encoding(connection_id: str, environment: Mapping[str, str] = os.environ) -> None:
    """Checks that no part of a password is taken for a host when Airflow reads a connection from its variable.

    Airflow's own reader ends user and password at ``#`` as well, which libpq does not.

    Raises:
        SettingsError: a user or password is not URL-encoded. The message holds nothing of it.
    """
    uri = environment.get(connection_variable(connection_id), "")
    scheme, _, rest = uri.partition("://")
    if scheme == "aws":
        StoreSettings.from_uri(uri, bucket=DEFAULT_BUCKET)
    elif scheme in ("postgresql", "postgres") and _has_stray_at(rest, re.split(r"[/?#]", rest, maxsplit=1)[0]):
        raise _unencoded(connection_id)


def _has_stray_at(rest: str, authority: str) -> bool:
    """Whether a password is cut off: libpq ends it at its first ``@``, and an authority at the first slash.

    A parameter's value may hold an ``@``, but no slash behind it: that is where the host and database of a password
    with a question mark would stand.
    """
    path, _, query = rest[len(authority) :].partition("?")
    return authority.count("@") > 1 or "@" in path or ("@" in query and not _PARAMETERS.fullmatch(query))


def _unencoded(connection_id: str) -> SettingsError:
    return SettingsError(
        f"{connection_variable(connection_id)} is not postgresql://USER:PASSWORD@HOST:PORT/DATABASE: {ENCODING_HINT}"
    )


def owner_url(source_connection: str, environment: Mapping[str, str] = os.environ) -> str:
    """Returns the libpq address of who installs change tracking: the source's own where ``quire_owner`` is not set.

    Raises:
        SettingsError: neither is set, or it is not a PostgreSQL address.
    """
    known = connection_variable(OWNER_CONNECTION) in environment
    return source_url(OWNER_CONNECTION if known else source_connection, environment)


def _is_torn(parts: SplitResult) -> bool:
    """Whether an address of the store ended early: at a slash, a question mark or a hash inside its key."""
    return (
        bool(parts.netloc and not parts.netloc.endswith("@"))
        or parts.path not in ("", "/")
        or bool(parts.fragment)
        or bool(parts.username) != bool(parts.password)
    )


def connection_variable(connection_id: str) -> str:
    """Returns the environment variable that Airflow reads a connection from."""
    return f"AIRFLOW_CONN_{connection_id.upper()}"


def _required(environment: Mapping[str, str], connection_id: str) -> str:
    try:
        return environment[connection_variable(connection_id)]
    except KeyError as error:
        raise NoConnectionError(
            f"{connection_variable(connection_id)} is not set: the connection {connection_id} is needed"
        ) from error
