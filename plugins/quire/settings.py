"""Reads settings from environment variables. No other module reads the environment.

AIRFLOW_CONN_<ID>           a report's source: postgresql://USER:PASSWORD@HOST:PORT/DATABASE
AIRFLOW_CONN_QUIRE_OWNER    a connection for the role that installs change tracking (default: the source connection)
AIRFLOW_CONN_QUIRE_STORE    aws://KEY:SECRET@/?endpoint_url=…&region_name=…
AIRFLOW_CONN_SMTP_DEFAULT   the connection that sends e-mail; Quire checks only whether it is set
QUIRE_BUCKET                default: quire
QUIRE_INCLUDE               default: include/ next to plugins/, or $AIRFLOW_HOME/include for an installed wheel
QUIRE_MAX_ACTIVE_RUNS       maximum active runs per portal user: default 10, at most 100
QUIRE_FAN_OUT               estimated work above which a run fans out into several tasks: default 5s, or always
QUIRE_POD_TEMPLATES         folder with a pod template per stage for the KubernetesExecutor
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from quire.errors import NoConnectionError, SettingsError

STORE_CONNECTION = "quire_store"
OWNER_CONNECTION = "quire_owner"
MAIL_CONNECTION = "smtp_default"
DEFAULT_BUCKET = "quire"
DEFAULT_ACTIVE_RUNS = 10
DEFAULT_FAN_OUT = "5s"
MAX_ACTIVE_RUNS = 100
MAX_LINK_LIFETIME = timedelta(days=7)  # S3's limit for presigned URLs (SigV4)
PACKAGE_PARENT = Path(__file__).resolve().parents[1]  # plugins/ in a clone or an image, site-packages for the wheel
CLONE = PACKAGE_PARENT.parent
SOURCE_FORM = "postgresql://USER:PASSWORD@HOST/DATABASE"
STORE_FORM = "aws://KEY:SECRET@/?endpoint_url=…&region_name=…"
ENCODING_HINT = (
    "URL-encode special characters in the user and password (%40 for @, %2F for /, %23 for #, %3F for ?, %25 for %)"
)
_HOSTS = re.compile(r"(?:(?:\[[0-9A-Fa-f:.%]++\]|[^\[\]:,@\s]*+)(?::\d*+)?(?:,|$))+")  # libpq accepts several hosts
_PARAMETERS = re.compile(r"(?:[a-z_]++=[^&@]*+(?:@[^&/@]*+)?(?:&|$))+")
_ENCODED = re.compile(r"(?:[^%\s]|%[0-9A-Fa-f]{2})*")


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    """The bucket, endpoint and credentials. Without a key, boto3 uses its credential chain (roles, profiles, IRSA).

    ``public_endpoint_url`` is the endpoint for readers' browsers if it differs from ``endpoint_url``. Presigned URLs
    must be signed for this endpoint, because a presigned URL is valid only for the host in its signature.
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
        """Creates settings from the extra fields of an ``aws`` Airflow connection (Amazon provider)."""

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
        """Parses ``aws://KEY:SECRET@/?endpoint_url=…&region_name=…``, in which each part must be URL-encoded.

        Raises:
            SettingsError: the URI is malformed. The message does not contain the secret.
        """
        try:
            parts = urlsplit(uri)
        except ValueError as error:
            raise SettingsError(f"{connection_variable(STORE_CONNECTION)} is not a URI: {error}") from error
        if parts.scheme != "aws":
            scheme = f"has the scheme {parts.scheme!r}" if parts.scheme else "is not a URI"
            raise SettingsError(f"{connection_variable(STORE_CONNECTION)} {scheme}: write {STORE_FORM}")
        if _is_split_key(parts):  # without this error, the key would be ignored, and boto3 would use another identity
            raise SettingsError(f"{connection_variable(STORE_CONNECTION)} is not aws://KEY:SECRET@/?…: {ENCODING_HINT}")
        return cls.from_extra(
            dict(parse_qsl(parts.query)),
            bucket=bucket,
            access_key=unquote(parts.username) if parts.username else None,
            secret_key=unquote(parts.password) if parts.password else None,
        )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> StoreSettings:
        """Reads the store's connection and the bucket name.

        Raises:
            SettingsError: the connection is not set, or is malformed.
        """
        return cls.from_uri(_connection_url(environment, STORE_CONNECTION), bucket=bucket_name(environment))


def process_environment() -> dict[str, str]:
    """Returns a copy of this process's environment."""
    return dict(os.environ)


def replace_environment(environment: Mapping[str, str]) -> None:
    """Replaces the environment of this process and its future child processes."""
    os.environ.clear()
    os.environ.update(environment)


def set_defaults(variables: Mapping[str, str]) -> None:
    """Sets the given environment variables in this process, except for any that are already set."""
    for name, value in variables.items():
        os.environ.setdefault(name, value)


@contextmanager
def temporary_defaults(variables: Mapping[str, str]) -> Iterator[None]:
    """Sets the given environment variables, except for any that are already set, until the block ends."""
    added = {name: value for name, value in variables.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            os.environ.pop(name, None)


def bucket_name(environment: Mapping[str, str] = os.environ) -> str:
    """Returns the bucket name."""
    return environment.get("QUIRE_BUCKET") or DEFAULT_BUCKET


def mail_variable() -> str:
    """Returns the name of the environment variable for the e-mail connection (Airflow's ``[email] email_conn_id``)."""
    return f"AIRFLOW_CONN_{(os.environ.get('AIRFLOW__EMAIL__EMAIL_CONN_ID') or MAIL_CONNECTION).upper()}"


def has_mail_connection() -> bool:
    """Returns whether an environment variable defines the e-mail connection."""
    return bool(os.environ.get(mail_variable()))


def include_folder(environment: Mapping[str, str] = os.environ) -> Path:
    """Returns the folder that contains reports/ and sql/."""
    return Path(environment.get("QUIRE_INCLUDE") or default_include_folder(environment, package_parent=PACKAGE_PARENT))


def default_include_folder(environment: Mapping[str, str], *, package_parent: Path) -> Path:
    """Returns the folder include/ next to plugins/ if plugins/ contains Quire, otherwise include/ in Airflow's home."""
    if package_parent.name == "plugins":
        return package_parent.parent / "include"
    return Path(environment.get("AIRFLOW_HOME") or "~/airflow").expanduser() / "include"


def pod_template(stage: str, environment: Mapping[str, str] = os.environ) -> str | None:
    """Returns the path to a stage's pod template for the KubernetesExecutor, or None for Airflow's default template."""
    folder = environment.get("QUIRE_POD_TEMPLATES")
    return str(Path(folder) / f"{stage}.yaml") if folder else None


def max_active_runs(environment: Mapping[str, str] = os.environ) -> int:
    """Returns the maximum number of active portal runs per user.

    Raises:
        SettingsError: the value is not a number from 1 to ``MAX_ACTIVE_RUNS``.
    """
    text = environment.get("QUIRE_MAX_ACTIVE_RUNS") or str(DEFAULT_ACTIVE_RUNS)
    if text.isascii() and text.isdigit() and len(text) <= 3 and 1 <= int(text) <= MAX_ACTIVE_RUNS:
        return int(text)
    raise SettingsError(f"QUIRE_MAX_ACTIVE_RUNS is {text[:20]!r}: set it to a number from 1 to {MAX_ACTIVE_RUNS}")


def fan_out_setting(environment: Mapping[str, str] = os.environ) -> str:
    """Returns when runs fan out into several tasks, as text: a duration of estimated work, or ``always``."""
    return environment.get("QUIRE_FAN_OUT") or DEFAULT_FAN_OUT


def source_url(connection_id: str, environment: Mapping[str, str] = os.environ) -> str:
    """Returns the libpq URL for an Airflow connection.

    Raises:
        SettingsError: the connection is not set, or is not a PostgreSQL URL.
    """
    url = _connection_url(environment, connection_id)
    scheme, separator, rest = url.partition("://")
    if scheme not in ("postgresql", "postgres"):
        defect = f"has the scheme {scheme!r}" if separator else "is not a URI"  # omits the value, which may be secret
        raise SettingsError(f"{connection_variable(connection_id)} {defect}: write {SOURCE_FORM}")
    authority = re.split(r"[/?]", rest, maxsplit=1)[0]
    _, _, hosts = authority.rpartition("@")
    if _has_stray_at(rest, authority) or not (_HOSTS.fullmatch(hosts) and _ENCODED.fullmatch(rest)):
        raise _encoding_error(connection_id)
    return f"postgresql://{rest}"


def validate_encoding(connection_id: str, environment: Mapping[str, str] = os.environ) -> None:
    """Checks that Airflow does not mistake part of a password for the host when it parses a connection variable.

    Unlike libpq, Airflow's parser also ends the user and password at ``#``.

    Raises:
        SettingsError: the user or password is not URL-encoded. The message contains neither of them.
    """
    uri = environment.get(connection_variable(connection_id), "")
    scheme, _, rest = uri.partition("://")
    if scheme == "aws":
        StoreSettings.from_uri(uri, bucket=DEFAULT_BUCKET)
    elif scheme in ("postgresql", "postgres") and _has_stray_at(rest, re.split(r"[/?#]", rest, maxsplit=1)[0]):
        raise _encoding_error(connection_id)


def _has_stray_at(rest: str, authority: str) -> bool:
    """Returns whether libpq would truncate the password; libpq ends a password at the first ``@`` or slash.

    A query parameter's value may contain ``@``, but not a slash after the ``@``. A slash there means that the question
    mark is part of the password, and that the host and database follow the password.
    """
    path, _, query = rest[len(authority) :].partition("?")
    return authority.count("@") > 1 or "@" in path or ("@" in query and not _PARAMETERS.fullmatch(query))


def _encoding_error(connection_id: str) -> SettingsError:
    return SettingsError(
        f"{connection_variable(connection_id)} is not postgresql://USER:PASSWORD@HOST:PORT/DATABASE: {ENCODING_HINT}"
    )


def owner_url(source_connection: str, environment: Mapping[str, str] = os.environ) -> str:
    """Returns the libpq URL for installing change tracking.

    Uses the ``quire_owner`` connection if it is set, otherwise the source connection.

    Raises:
        SettingsError: neither connection is set, or the value is not a PostgreSQL URL.
    """
    has_owner = connection_variable(OWNER_CONNECTION) in environment
    return source_url(OWNER_CONNECTION if has_owner else source_connection, environment)


def _is_split_key(parts: SplitResult) -> bool:
    """Returns whether the store's URI was split at an unencoded slash, question mark or hash in the key or secret."""
    return (
        bool(parts.netloc and not parts.netloc.endswith("@"))
        or parts.path not in ("", "/")
        or bool(parts.fragment)
        or bool(parts.username) != bool(parts.password)
    )


def connection_variable(connection_id: str) -> str:
    """Returns the name of the environment variable that defines an Airflow connection."""
    return f"AIRFLOW_CONN_{connection_id.upper()}"


def connection_form(connection_id: str) -> str:
    """Returns the form of a connection's URL for error messages."""
    return STORE_FORM if connection_id == STORE_CONNECTION else SOURCE_FORM


def _connection_url(environment: Mapping[str, str], connection_id: str) -> str:
    try:
        return environment[connection_variable(connection_id)]
    except KeyError as error:
        raise NoConnectionError(
            f"{connection_variable(connection_id)} is not set. Set it to {connection_form(connection_id)}"
        ) from error
