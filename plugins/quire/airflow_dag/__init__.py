"""Runs the stages as Airflow tasks, in one DAG per report.

dag              builds the DAGs
tasks            defines a task for each stage
fan_out          chooses the number of tasks for a run
housekeeping     defines the housekeeping tasks
placement        chooses queues, pools and pod templates
assets           defines assets and adds their events
task_decorator   configures a task's process before the task runs
xcom             passes records between tasks
sealing          authenticates records, because users can write XComs
progress         shows a small run's progress in the portal
skipped_stages   skips the tasks for stages that plan has run
repair           repeats a run if one of its objects is damaged
lease_release    defines the last task in a DAG that only stores partitions
notifications    sends notifications after a run
notifiers, mail  builds the notifiers that a definition names
params           builds the trigger form
operator_links   adds links to Airflow's pages and records failure reasons
connections      builds sessions and stores from Airflow's connections
"""

from airflow import __version__

from quire.airflow_api.version import ensure_supported_airflow
from quire.allocator_settings import JEMALLOC_VARIABLES
from quire.settings import temporary_defaults

ensure_supported_airflow(__version__)

with temporary_defaults(JEMALLOC_VARIABLES):
    from quire.airflow_dag.dag import (  # an older Airflow lacks what these import
        build_broken_dag,
        build_dag,
        build_housekeeping_dag,
        build_report_dags,
        build_store_dag,
    )

__all__ = ["build_broken_dag", "build_dag", "build_housekeeping_dag", "build_report_dags", "build_store_dag"]
