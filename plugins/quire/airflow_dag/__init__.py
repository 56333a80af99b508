"""Runs the stages as Airflow tasks: one DAG for each report.

dag              builds the DAGs
tasks            the stages as tasks
task_decorator   @task in a configured process
xcom             passes records between tasks
sealing          authenticates these records, because users can write XComs
repair           repeats a run that read damaged objects
lease_release    the last task of a DAG that only stores partitions
notifications    sends notifications after a run
notifiers, mail  the notifiers that a definition names
params           the trigger form
operator_links   links and failure reasons on Airflow's pages
connections      builds sessions and stores from Airflow's connections
"""

from airflow import __version__

from quire.airflow_client.version import ensure_supported_airflow

ensure_supported_airflow(__version__)

from quire.airflow_dag.dag import (  # noqa: E402 - an older Airflow lacks what these import
    build_broken_dag,
    build_dag,
    build_housekeeping_dag,
    build_report_dags,
    build_store_dag,
)

__all__ = ["build_broken_dag", "build_dag", "build_housekeeping_dag", "build_report_dags", "build_store_dag"]
