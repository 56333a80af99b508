"""Defines the DAGs of every report in include/reports."""

from quire.airflow_dag import build_report_dags

globals().update(build_report_dags())
