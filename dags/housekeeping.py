"""Defines the daily DAG that deletes objects no report needs and compacts change logs."""

from quire.airflow_dag import build_housekeeping_dag

housekeeping = build_housekeeping_dag()
