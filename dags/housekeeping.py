"""A DAG that deletes each day what nobody needs any more."""

from quire.airflow_dag import build_housekeeping_dag

housekeeping = build_housekeeping_dag()
