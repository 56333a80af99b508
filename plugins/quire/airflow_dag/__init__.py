"""All stages as Airflow tasks: a DAG for each report.

dag          how the tasks follow one another
tasks        the stages as tasks
own_task     @task, in a process that is configured for them
handover     what they hand on
sealing      seals on it, since users can write XComs too
notices      who is told of a run's end
notifiers    the notifiers that a definition names
params       the trigger form
connections  Airflow's connections -> the source's session and the object store
"""

from airflow import __version__

from quire.airflow_api.version import ensure_supported_airflow

ensure_supported_airflow(__version__)

from quire.airflow_dag.dag import (  # noqa: E402 - an older Airflow lacks what these import
    build_broken_dag,
    build_dag,
    build_housekeeping_dag,
    build_report_dags,
    build_store_dag,
)

__all__ = ["build_broken_dag", "build_dag", "build_housekeeping_dag", "build_report_dags", "build_store_dag"]
