"""Installs Airflow without a clone, in a new virtual environment with separate folders for AIRFLOW_HOME and reports."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from quire.dev_stack.airflow_servers import AirflowServer
from quire.dev_stack.environment import own_environment
from quire.settings import CLONE

UV = str(Path(sys.executable).with_name("uv"))
DAG_FILES = {
    "reports.py": "from quire.airflow_dag import build_report_dags\nglobals().update(build_report_dags())\n",
    "housekeeping.py": "from quire.airflow_dag import build_housekeeping_dag\ndag = build_housekeeping_dag()\n",
}
PIN = re.compile(r"^([A-Za-z0-9._-]+(?:\[[^\]]*\])?==[^\\\n]+?)\s*\\?$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class OwnAirflow:
    """A virtual environment in which Airflow and the wheel are installed, and the folders that Airflow uses.

    Args:
        environment: the virtual environment.
        home: AIRFLOW_HOME.
        include: the reports folder.
        variables: environment variables for the connections and the bucket.
    """

    environment: Path
    home: Path
    include: Path
    variables: Mapping[str, str]

    def quire(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Runs the installed ``quire`` command in the file system's root folder."""
        return subprocess.run(
            [self.environment / "bin" / "quire", *arguments],
            env={**own_environment(os.environ), **self.variables, "QUIRE_INCLUDE": str(self.include)},
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )

    def server(self, database_url: str) -> AirflowServer:
        """Returns the installed Airflow, which loads the plugin by its entry point; the plugins folder is empty."""
        for name in ("dags", "plugins"):
            (self.home / name).mkdir(parents=True, exist_ok=True)
        for name, source in DAG_FILES.items():
            (self.home / "dags" / name).write_text(source)
        return AirflowServer(
            self.home,
            database_url=database_url,
            secrets={"password": "admin-password", "fernet_key": "A" * 43 + "=", "jwt_secret": "j" * 64},
            environment={
                **self.variables,
                "QUIRE_INCLUDE": str(self.include),
                "AIRFLOW__CORE__DAGS_FOLDER": str(self.home / "dags"),
                "AIRFLOW__CORE__PLUGINS_FOLDER": str(self.home / "plugins"),
            },
            python=str(self.environment / "bin" / "python"),
        )


def install(wheel: Path, folder: Path) -> Path:
    """Creates a virtual environment, and installs Airflow and then the wheel.

    The documentation tells users to install with the constraints file that Airflow publishes on GitHub. This function
    must also work offline, with only a package index, so requirements.txt constrains both installations instead. No
    test checks that the wheel's ranges allow the versions in Airflow's constraints file.
    """
    environment, constraints = folder / "environment", folder / "constraints.txt"
    pins = PIN.findall((CLONE / "requirements.txt").read_text())
    constraints.write_text("\n".join(pins))
    (airflow,) = (pin for pin in pins if pin.startswith("apache-airflow=="))
    _run(UV, "venv", "--quiet", "--python", sys.executable, str(environment))
    installer = [UV, "pip", "install", "--quiet", "--compile-bytecode", "--python", str(environment)]
    installer += ["--constraint", str(constraints)]
    _run(*installer, airflow)
    _run(*installer, str(wheel))
    _run(UV, "pip", "check", "--quiet", "--python", str(environment))
    return environment


def _run(*command: str) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
