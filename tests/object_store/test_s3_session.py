"""Sessions share botocore's descriptions of S3, which a process reads only once."""

from __future__ import annotations

import subprocess
import sys

from quire.object_store.s3_session import new_session
from quire.object_store.s3_store import S3Store
from quire.settings import StoreSettings

PROGRAM = """
import sys
opened = []
sys.addaudithook(lambda event, args: opened.append(str(args[0])) if event == "open" else None)
from quire.object_store.s3_session import load_descriptions
from quire.object_store.s3_store import S3Store
from quire.settings import StoreSettings

def read(work):
    opened.clear()
    work()
    return sum("service-2.json" in path or "endpoint-rule-set" in path for path in opened)

settings = StoreSettings(bucket="b", endpoint_url="http://127.0.0.1:9", access_key="a", secret_key="s")
print(read(load_descriptions), read(lambda: S3Store(settings).client), read(lambda: S3Store(settings).client))
"""


def test_descriptions_are_read_once() -> None:
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=True)
    first, *later = map(int, done.stdout.split())
    assert (first > 0, later) == (True, [0, 0])


def test_sessions_have_their_own_credentials_and_regions() -> None:
    settings = [
        StoreSettings(bucket="b", endpoint_url="http://127.0.0.1:9", access_key=key, secret_key="s", region_name=region)
        for key, region in (("one", "eu-central-1"), ("two", None))
    ]
    one, two = map(new_session, settings)
    assert (one.region_name, two.region_name) == ("eu-central-1", "us-east-1")
    links = [S3Store(each).presign("k", seconds=60, filename="k") for each in settings]
    assert ["Credential=one%2F" in links[0], "Credential=two%2F" in links[1]] == [True, True]
