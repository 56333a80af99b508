"""Runs the ``quire`` command and checks its JSON output, one-line errors and exit status."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from quire.object_store.s3_store import S3Store
from quire.settings import CLONE

from tests.cli.command import QUIRE, error_line, only_error, quire, quire_process
from tests.events import SQL, events_report

FLIGHTS_OF_HAWAIIAN = ["--start", "2013-01-01", "--end", "2013-01-31", "--param", "carrier=HA"]
CHECKED = "flights: the definition and its query are valid\n"


def test_run_with_json_prints_only_the_json(quire_environment: dict[str, str]) -> None:
    done = quire_process(quire_environment, "run", "flights", "--start", "2013-03-01", "--end", "2013-03-31", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads(done.stdout)
    assert set(result) >= {
        "report", "run", "start", "end", "timezone", "reused", "rows", "partitions", "summaries", "files", "warnings",
        "seconds", "peak_rss_bytes",
    }  # fmt: skip
    assert (result["report"], result["start"], result["end"]) == ("flights", "2013-03-01", "2013-03-31")
    assert (result["timezone"], result["reused"], result["rows"]) == ("America/New_York", False, 28_834)
    (partition,) = result["partitions"]
    assert (partition["key"], partition["rows"], partition["stored"]) == ("2013-03", 28_834, False)
    assert set(partition) >= {"key", "rows", "bytes", "sha256", "stored"}
    assert {"name": "By airline", "rows": 15} in result["summaries"]
    assert [file["name"] for file in result["files"]] == ["flights_2013-03.xlsx", "flights_2013-03_summary.xlsx"]
    assert set(result["seconds"]) == {"plan", "extract", "aggregate", "layout", "render", "publish", "total"}
    assert result["peak_rss_bytes"] > 50_000_000
    (rows, summary) = result["files"]
    assert (rows["start"], rows["end"], rows["is_summary"]) == ("2013-03-01", "2013-03-31", False)
    assert rows["earliest"] == "2013-03-01T05:00:00-05:00"
    assert rows["latest"] == "2013-03-31T23:59:00-04:00"
    assert (summary["is_summary"], summary["earliest"], summary["latest"]) == (True, None, None)
    for file in result["files"]:
        answer = httpx.get(file["url"])
        assert len(answer.content) == file["bytes"]
        assert file["name"] in answer.headers["content-disposition"]


def test_run_without_json_lists_files_and_links(quire_environment: dict[str, str]) -> None:
    done = quire(quire_environment, "run", "flights", *FLIGHTS_OF_HAWAIIAN)
    assert (done.returncode, done.stderr) == (0, "")
    assert "31 rows" in done.stdout
    assert "\x1b" not in done.stdout
    links = [line for line in done.stdout.splitlines() if line.startswith("http")]
    assert [httpx.get(link).status_code for link in links] == [200, 200]


def test_run_on_a_terminal_shows_progress(quire_environment: dict[str, str]) -> None:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*QUIRE, "run", "flights", *FLIGHTS_OF_HAWAIIAN],
        env={**os.environ, "TERM": "xterm", "PYTHONPATH": str(CLONE / "plugins"), **quire_environment},
        stdout=subprocess.PIPE,
        stderr=theirs,
    )
    os.close(theirs)
    seen = b""
    while True:
        try:
            chunk = os.read(ours, 65536)
        except OSError:  # the command closed its end of the terminal
            break
        if not chunk:
            break
        seen += chunk
    process.communicate(timeout=60)
    os.close(ours)
    assert process.returncode == 0
    assert b"extract" in seen
    assert b"publish" in seen


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["flights", "--start", "2013-02-30", "--end", "2013-03-01"], "start is '2013-02-30': write a calendar date"),
        (["flights", "--start", "2013-03-02", "--end", "2013-03-01"], "start 2013-03-02 is after end 2013-03-01"),
        (["flihgts", "--start", "2013-03-01", "--end", "2013-03-01"], "no report 'flihgts'"),
        (["flights", "--start", "2013-03-01"], "set both --start and --end"),
        (["flights", *FLIGHTS_OF_HAWAIIAN[:4], "--param", "carrier=ZZ"], "parameter carrier is 'ZZ': use one of 9E"),
        (["flights", *FLIGHTS_OF_HAWAIIAN[:4], "--param", "carier=AA"], "unknown parameter 'carier'"),
        (["flights", *FLIGHTS_OF_HAWAIIAN[:4], "--param", "carrier"], "write NAME=VALUE"),
        (["flights", *FLIGHTS_OF_HAWAIIAN[:4], "--jsno"], "No such option"),
    ],
)
def test_invalid_input_fails_with_one_line_and_status_2(
    quire_environment: dict[str, str], bucket: S3Store, arguments: list[str], reason: str
) -> None:
    status, line = error_line(quire_environment, "run", *arguments)
    assert status == 2
    assert reason in line
    assert list(bucket.list("")) == []


@pytest.mark.parametrize(
    ("variable", "value", "status", "reason"),
    [
        ("AIRFLOW_CONN_QUIRE_SOURCE", "postgresql://u:s3cr3t@127.0.0.1:9/x", 1, "127.0.0.1:9 is not available"),
        ("AIRFLOW_CONN_QUIRE_SOURCE", "mysql://u:s3cr3t@127.0.0.1/x", 2, "has the scheme 'mysql'"),
        ("AIRFLOW_CONN_QUIRE_SOURCE", "", 2, "is not a URI"),
        ("AIRFLOW_CONN_QUIRE_STORE", "aws://k:s3cr3t@/?endpoint_url=http%3A%2F%2F127.0.0.1%3A9", 1, "did not respond"),
        ("QUIRE_BUCKET", "there-is-none", 1, "bucket there-is-none: the bucket does not exist"),
    ],
)
def test_run_without_usable_database_or_bucket_fails_with_one_line(
    quire_environment: dict[str, str], bucket: S3Store, variable: str, value: str, status: int, reason: str
) -> None:
    actual, line = error_line({**quire_environment, variable: value}, "run", "flights", *FLIGHTS_OF_HAWAIIAN)
    assert actual == status
    assert reason in line
    assert "s3cr3t" not in line
    assert list(bucket.list("")) == []


def test_missing_connection_names_the_variable(quire_environment: dict[str, str]) -> None:
    del quire_environment["AIRFLOW_CONN_QUIRE_STORE"]
    status, line = only_error(quire_process(quire_environment, "run", "flights", *FLIGHTS_OF_HAWAIIAN))
    assert status == 2
    assert "AIRFLOW_CONN_QUIRE_STORE is not set. Set it to aws://KEY:SECRET@/" in line


def test_check_without_a_database_validates_the_definitions(tmp_path: Path) -> None:
    events_report(tmp_path)
    done = quire({"QUIRE_INCLUDE": str(tmp_path)}, "check")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("events: the definition is valid; the query was not tested")


def test_check_with_a_database_runs_the_query(quire_environment: dict[str, str]) -> None:
    done = quire(quire_environment, "check", "flights")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (
        "flights: the definition and its query are valid\n"
        f"bucket {quire_environment['QUIRE_BUCKET']}: conditional writes, range reads and multipart uploads work\n"
    )


def test_check_of_a_missing_bucket_fails(quire_environment: dict[str, str]) -> None:
    status, line = error_line(
        {**quire_environment, "QUIRE_BUCKET": "there-is-none"}, "check", "flights", stdout=CHECKED
    )
    assert status == 1
    assert line == (
        "quire: bucket there-is-none: the bucket does not exist: create it, or set QUIRE_BUCKET to an existing bucket"
    )


def test_check_rejects_an_invalid_connection(quire_environment: dict[str, str]) -> None:
    wrong = {**quire_environment, "AIRFLOW_CONN_QUIRE_SOURCE": "mysql://u:p@127.0.0.1/x"}
    tried = "conditional writes, range reads and multipart uploads work"
    status, line = error_line(wrong, "check", "flights", stdout=f"bucket {wrong['QUIRE_BUCKET']}: {tried}\n")
    assert status == 2
    assert "has the scheme 'mysql'" in line


def test_check_prints_a_line_for_each_broken_report(quire_environment: dict[str, str], tmp_path: Path) -> None:
    events_report(tmp_path, sql=SQL.replace("public.events", "public.flights"))
    (tmp_path / "reports" / "torn.yaml").write_text("title: Torn\nsorce: {}\n")
    done = quire({**quire_environment, "QUIRE_INCLUDE": str(tmp_path)}, "check")
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert len(lines) == 2
    assert "reports/torn.yaml:2: sorce: unknown key; did you mean source?" in lines[0]
    assert lines[1].startswith("quire: events: sql/events/extract.sql:1: PostgreSQL rejected the query: column ")


def test_verify_reports_changed_objects(quire_environment: dict[str, str], bucket: S3Store) -> None:
    result = json.loads(quire(quire_environment, "run", "flights", *FLIGHTS_OF_HAWAIIAN, "--json").stdout)
    good = quire(quire_environment, "verify", result["run"])
    assert (good.returncode, good.stderr) == (0, "")
    assert "31 rows match the manifest" in good.stdout
    key = result["files"][0]["key"]
    body = bucket.read(key) or b""
    bucket.put(key, body[:-1] + bytes([body[-1] ^ 1]))
    bucket.delete([result["files"][1]["key"]])
    bad = quire(quire_environment, "verify", result["run"])
    assert bad.returncode == 1
    lines = bad.stderr.splitlines()
    assert [key in lines[0], "SHA-256" in lines[0], "is missing" in lines[1]] == [True, True, True]


@pytest.mark.parametrize(("kind", "change"), [("summaries", "rows"), ("partitions", "rows"), ("files", "bytes")])
def test_verify_compares_every_number_of_the_manifest(
    quire_environment: dict[str, str], bucket: S3Store, kind: str, change: str
) -> None:
    result = json.loads(quire(quire_environment, "run", "flights", *FLIGHTS_OF_HAWAIIAN, "--json").stdout)
    key = f"reports/flights/{result['run']}/manifest.json"
    manifest = bucket.read_json(key) or {}
    del manifest["checksum"]  # an older version wrote manifests without checksums
    manifest[kind][0][change] += 1
    bucket.put(key, json.dumps(manifest).encode())
    done = quire(quire_environment, "verify", result["run"])
    assert done.returncode == 1
    assert manifest[kind][0].get("object_key", manifest[kind][0].get("key")) in done.stderr


def test_verify_checks_the_summaries(quire_environment: dict[str, str], bucket: S3Store) -> None:
    result = json.loads(quire(quire_environment, "run", "flights", *FLIGHTS_OF_HAWAIIAN, "--json").stdout)
    (key, *_) = [entry.key for entry in bucket.list("summaries/")]
    bucket.put(key, b"junk")
    done = quire(quire_environment, "verify", result["run"])
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert f"{key} has 4 bytes; the manifest states" in done.stderr


def test_verify_of_an_invalid_manifest_fails_with_one_line(quire_environment: dict[str, str], bucket: S3Store) -> None:
    bucket.put(f"reports/flights/{'1' * 32}/manifest.json", b"{}")
    status, line = error_line(quire_environment, "verify", "1" * 32)
    assert status == 1
    assert (
        "manifest.json was written by another version of Quire: it is not a valid Manifest: report: Field required"
        in line
    )


def test_command_without_arguments_prints_help() -> None:
    done = quire_process({})
    assert (done.returncode, done.stderr) == (0, "")
    assert "run Run a report in this process and print download links" in " ".join(done.stdout.split())


def test_unexpected_error_is_one_line_and_a_traceback_with_debug(quire_environment: dict[str, str]) -> None:
    code = "from quire.cli.app import app, main; app.command('divide')(lambda: 1 / 0); main()"
    for option, lines in (([], 1), (["--debug"], 4)):
        done = subprocess.run(
            [sys.executable, "-c", code, *option, "divide"],
            env={**os.environ, "PYTHONPATH": str(CLONE / "plugins"), **quire_environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 1
        assert "quire: unexpected ZeroDivisionError: division by zero" in done.stderr
        assert (done.stderr.count("\n") == 1) if lines == 1 else ("Traceback" in done.stderr)


def test_verify_of_a_missing_run_fails(quire_environment: dict[str, str]) -> None:
    status, line = error_line(quire_environment, "verify", "0" * 32)
    assert status == 2
    assert "run '00000000000000000000000000000000' is not published" in line


def test_interrupted_run_fails_and_publishes_nothing(quire_environment: dict[str, str], bucket: S3Store) -> None:
    import signal
    import time

    process = subprocess.Popen(
        [*QUIRE, "run", "flights", "--start", "2013-01-01", "--end", "2013-12-31"],
        env={**os.environ, "PYTHONPATH": str(CLONE / "plugins"), **quire_environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 60
    while not any(True for _ in bucket.list("partitions/")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=60)
    assert (process.returncode, out, errors) == (130, "", "quire: interrupted\n")
    assert not [entry.key for entry in bucket.list("reports/")]
