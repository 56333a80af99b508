"""The environment that servers are started in: the user's own, without what would make them somebody else's."""

from __future__ import annotations

from collections.abc import Mapping

from quire.local_stack.ports import LOOPBACK

# Settings of another Airflow, PostgreSQL, S3 or SeaweedFS that the shell may have; AIRFLOW_CONN_… and AIRFLOW_VAR_…
# stay, since a report may have a connection of its own.
FOREIGN = ("AIRFLOW__", "AIRFLOW_CONFIG", "AIRFLOW_HOME", "PG", "AWS_", "WEED_")
PROXIES = ("http_proxy", "https_proxy", "all_proxy")
DIRECT = ("no_proxy", "NO_PROXY")  # some programs read one, some the other


def own_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Returns the environment without foreign settings, and with loopback reached directly."""
    kept = {name: value for name, value in environment.items() if not name.startswith(FOREIGN)}
    return {**kept, **direct_environment(environment)}


def direct_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Returns what keeps calls to loopback away from a proxy: nothing, where there is no proxy."""
    if not any(environment.get(name) or environment.get(name.upper()) for name in PROXIES):
        return {}
    named = ",".join(environment.get(name, "") for name in DIRECT).split(",")
    hosts = dict.fromkeys(filter(None, [*map(str.strip, named), LOOPBACK, "localhost"]))
    return dict.fromkeys(DIRECT, ",".join(hosts))
