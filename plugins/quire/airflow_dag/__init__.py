"""All stages as Airflow tasks: a DAG for each report.

dag          the tasks and how they follow one another
params       the trigger form
connections  Airflow's connections -> the source's session and the object store
"""

from quire.airflow_dag.dag import build_broken_dag, build_dag

__all__ = ["build_broken_dag", "build_dag"]
