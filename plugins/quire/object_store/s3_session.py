"""Creates boto3 sessions. All sessions in a process, and in the processes that it forks, share botocore's descriptions.

Without sharing, each session reads and parses the descriptions of S3 and of its endpoints, which takes 0.06 s.
"""

from __future__ import annotations

from functools import cache

import boto3
import botocore.session
from botocore.loaders import Loader

from quire.settings import StoreSettings

ANY_REGION = "us-east-1"  # signatures need a region; servers other than AWS accept any region


class SharedLoader(Loader):
    """Caches the descriptions that it has loaded. boto3 appends a path to ``search_paths`` for each new session."""

    @property
    def search_paths(self) -> list[str]:
        """A copy of the paths, so that they do not grow; boto3's own path has no descriptions of clients."""
        return list(super().search_paths)


@cache
def _shared_loader() -> SharedLoader:
    return SharedLoader()


def new_session(settings: StoreSettings) -> boto3.session.Session:
    """Returns a session with the credentials in ``settings``, or with those that boto3 finds if there are none."""
    session = botocore.session.get_session()
    session.register_component("data_loader", _shared_loader())
    region = settings.region_name or session.get_config_variable("region")
    return boto3.session.Session(
        aws_access_key_id=settings.access_key,
        aws_secret_access_key=settings.secret_key,
        aws_session_token=settings.session_token,
        region_name=region or (ANY_REGION if settings.endpoint_url else None),
        botocore_session=session,
    )


def load_descriptions() -> None:
    """Loads the descriptions in advance. Sends no request and looks up no credentials."""
    settings = StoreSettings(bucket="", access_key="none", secret_key="none", region_name=ANY_REGION)  # noqa: S106
    new_session(settings).client("s3")
