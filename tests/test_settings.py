"""Settings come from the environment; connections are in Airflow's format."""

from __future__ import annotations

from pathlib import Path

import pytest
from quire.errors import SettingsError
from quire.settings import (
    CLONE,
    StoreSettings,
    bucket_name,
    default_include_folder,
    include_folder,
    max_active_runs,
    owner_url,
    source_url,
    validate_encoding,
)

STORE = "aws://KEY%2F1:s%40cret@/?endpoint_url=http%3A%2F%2F127.0.0.1%3A8333&region_name=eu-central-1"


def test_store_settings_are_parsed_from_an_aws_uri() -> None:
    settings = StoreSettings.from_environment({"AIRFLOW_CONN_QUIRE_STORE": STORE, "QUIRE_BUCKET": "reports"})
    assert (settings.bucket, settings.access_key, settings.secret_key) == ("reports", "KEY/1", "s@cret")
    assert (settings.endpoint_url, settings.region_name) == ("http://127.0.0.1:8333", "eu-central-1")
    assert "s@cret" not in repr(settings)


def test_store_without_a_key_uses_the_credentials_of_boto3() -> None:
    settings = StoreSettings.from_environment({"AIRFLOW_CONN_QUIRE_STORE": "aws://"})
    assert (settings.access_key, settings.secret_key, settings.endpoint_url) == (None, None, None)
    assert settings.bucket == "quire"


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({}, r"AIRFLOW_CONN_QUIRE_STORE is not set\. Set it to aws://KEY:SECRET@/"),
        ({"AIRFLOW_CONN_QUIRE_STORE": "s3://KEY:SECRET@host"}, "has the scheme 's3'"),
        ({"AIRFLOW_CONN_QUIRE_STORE": "KEY:SECRET"}, "write aws://KEY:SECRET@/"),
        ({"AIRFLOW_CONN_QUIRE_STORE": "aws://[SECRET"}, "is not a URI"),
        ({"AIRFLOW_CONN_QUIRE_STORE": "aws://KEY:SEC/SECRET@host/?region_name=x"}, "URL-encode special characters"),
        ({"AIRFLOW_CONN_QUIRE_STORE": "aws://KEY:SEC#SECRET@host"}, "URL-encode special characters"),
        ({"AIRFLOW_CONN_QUIRE_STORE": "aws://KEY:SECRET@host"}, "URL-encode special characters"),
        ({"AIRFLOW_CONN_QUIRE_STORE": "aws://KEY@/?region_name=x"}, "URL-encode special characters"),
    ],
)
def test_invalid_store_is_rejected_without_its_secret(environment: dict[str, str], reason: str) -> None:
    with pytest.raises(SettingsError, match=reason) as caught:
        StoreSettings.from_environment(environment)
    assert "SECRET@host" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
def test_source_is_a_libpq_url(scheme: str) -> None:
    url = source_url("warehouse", {"AIRFLOW_CONN_WAREHOUSE": f"{scheme}://u:p@h:1/d?sslmode=require"})
    assert url == "postgresql://u:p@h:1/d?sslmode=require"


@pytest.mark.parametrize("value", ["mysql://u:p@h/d", "host=h password=p"])
def test_source_of_another_type_is_rejected_without_its_password(value: str) -> None:
    with pytest.raises(SettingsError, match="write postgresql://USER:PASSWORD@HOST/DATABASE") as caught:
        source_url("warehouse", {"AIRFLOW_CONN_WAREHOUSE": value})
    assert "password=p" not in str(caught.value)


@pytest.mark.parametrize(
    "rest",
    [
        "u:p@h1:1,h2:2/d",
        "u:p@[::1]:5432/d",
        "u:p%2F%40@h/d?options=-c%20a%3Db",
        "/d",
        "u:p#s@h/d",
        "u:p@h/d?application_name=etl@x",
        "/d?sslrootcert=/etc/root.crt&application_name=etl@x&connect_timeout=5",
        "h?application_name=etl@x",
        "h?sslmode=require",
        "",
    ],
)
def test_source_may_be_any_uri_of_libpq(rest: str) -> None:
    assert source_url("warehouse", {"AIRFLOW_CONN_WAREHOUSE": f"postgresql://{rest}"}) == f"postgresql://{rest}"


@pytest.mark.parametrize(
    "rest",
    [
        "u:s3cr/et@h:1/d",
        "u:s3cr?et@h:1/d",
        "u:s3cr%zzet@h/d",
        "u:s3cr et@h/d",
        "u:s3cr@et@[h/d",
        "u:p@s3cr/w#rd@h:5432/d",
        "u:p@s3cr@h/d",
        "u:p@s3cr?w@h/d",
        "u:12/s3cr@h/d",
        "u:12?s3cr@h/d",
        "u:12?k=s3cr@h/d",
        "u:12/x?s3cr@h:5432/d",
    ],
)
def test_source_with_an_unencoded_password_is_rejected_without_it(rest: str) -> None:
    with pytest.raises(SettingsError, match="URL-encode special characters in the user and password") as caught:
        source_url("warehouse", {"AIRFLOW_CONN_WAREHOUSE": f"postgresql://{rest}"})
    assert "s3cr" not in str(caught.value)


@pytest.mark.parametrize(
    "rest", ["u:p@s3cr/w#rd@h:5432/d", "u:12#s3cr@h/d", "u:p@s3cr@h/d", "u:12/s3cr@h/d", "u:12#x?k=s3cr@h/d"]
)
def test_validate_encoding_rejects_a_truncated_password_without_it(rest: str) -> None:
    with pytest.raises(SettingsError, match="URL-encode special characters in the user and password") as caught:
        validate_encoding("warehouse", {"AIRFLOW_CONN_WAREHOUSE": f"postgres://{rest}"})
    assert "s3cr" not in str(caught.value)


@pytest.mark.parametrize(
    "value",
    [
        "postgresql://u:p%40ss%2Fw%23rd@h:5432/d?options=a%40b",
        "postgresql://u:p@h/d?application_name=etl@x",
        '{"conn_type": "postgres", "password": "p@s/@"}',
        "",
    ],
)
def test_validate_encoding_accepts_passwords_that_airflow_decodes(value: str) -> None:
    validate_encoding("warehouse", {"AIRFLOW_CONN_WAREHOUSE": value})
    validate_encoding("warehouse", {})


def test_defaults_are_those_of_the_clone() -> None:
    assert bucket_name({}) == "quire"
    assert include_folder({}) == CLONE / "include"


def test_default_include_folder_of_the_wheel_is_in_airflow_home(monkeypatch: pytest.MonkeyPatch) -> None:
    site_packages = Path("/venv/lib/python3.12/site-packages")
    monkeypatch.setenv("HOME", "/home/ann")
    home = {"AIRFLOW_HOME": "/opt/airflow"}
    assert default_include_folder(home, package_parent=site_packages) == Path("/opt/airflow/include")
    assert default_include_folder({}, package_parent=site_packages) == Path("/home/ann/airflow/include")
    assert default_include_folder(home, package_parent=Path("/app/plugins")) == Path("/app/include")


def test_owner_defaults_to_the_source() -> None:
    source, owner = "postgresql://reader@db/shop", "postgresql://owner@db/shop"
    assert owner_url("quire_source", {"AIRFLOW_CONN_QUIRE_SOURCE": source}) == source
    both = {"AIRFLOW_CONN_QUIRE_SOURCE": source, "AIRFLOW_CONN_QUIRE_OWNER": owner}
    assert owner_url("quire_source", both) == owner
    with pytest.raises(
        SettingsError,
        match=r"AIRFLOW_CONN_QUIRE_SOURCE is not set\. Set it to postgresql://USER:PASSWORD@HOST/DATABASE",
    ):
        owner_url("quire_source", {})


@pytest.mark.parametrize(("environment", "runs"), [({}, 10), ({"QUIRE_MAX_ACTIVE_RUNS": "3"}, 3)])
def test_max_active_runs_has_a_default_and_can_be_set(environment: dict[str, str], runs: int) -> None:
    assert max_active_runs(environment) == runs


@pytest.mark.parametrize("text", ["0", "101", "ten", "1" * 5_000, "٣"])
def test_max_active_runs_out_of_bounds_is_rejected(text: str) -> None:
    with pytest.raises(SettingsError, match="set it to a number from 1 to 100"):
        max_active_runs({"QUIRE_MAX_ACTIVE_RUNS": text})
