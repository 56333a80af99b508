"""Defines the daily DAG that compacts change logs and deletes objects that no report needs."""

from quire.airflow_dag import build_housekeeping_dag

housekeeping = build_housekeeping_dag()
