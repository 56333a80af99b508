"""Builds the environment for the stack's servers from the user's environment, without other servers' settings."""

from __future__ import annotations

from collections.abc import Mapping

from quire.dev_stack.ports import LOOPBACK

# Prefixes of variables that configure another Airflow, PostgreSQL, S3 or SeaweedFS. AIRFLOW_CONN_… and AIRFLOW_VAR_…
# are not among them, because a report can use additional connections.
FOREIGN = ("AIRFLOW__", "AIRFLOW_CONFIG", "AIRFLOW_HOME", "PG", "AWS_", "WEED_")
PROXIES = ("http_proxy", "https_proxy", "all_proxy")
DIRECT = ("no_proxy", "NO_PROXY")  # programs differ in which of the two they read


def own_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Returns the environment without other servers' settings and without a proxy for loopback."""
    remaining = {name: value for name, value in environment.items() if not name.startswith(FOREIGN)}
    return {**remaining, **direct_environment(environment)}


def direct_environment(environment: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables that exempt loopback from the proxy, or an empty dict if no proxy is set."""
    if not any(environment.get(name) or environment.get(name.upper()) for name in PROXIES):
        return {}
    exempt = ",".join(environment.get(name, "") for name in DIRECT).split(",")
    hosts = dict.fromkeys(filter(None, [*map(str.strip, exempt), LOOPBACK, "localhost"]))
    return dict.fromkeys(DIRECT, ",".join(hosts))
