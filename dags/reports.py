"""Defines the DAGs for every report in include/reports."""

from quire.airflow_dag import build_report_dags

globals().update(build_report_dags())
