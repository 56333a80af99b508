"""All stages as Airflow tasks: a DAG for each report.

dag          how the tasks follow one another
tasks        the stages as tasks
own_task     @task, in a process that is configured for them
handover     what they hand on
notices      who is told of a run's end
params       the trigger form
connections  Airflow's connections -> the source's session and the object store
"""

from quire.airflow_dag.dag import build_broken_dag, build_dag, build_housekeeping_dag, build_store_dag

__all__ = ["build_broken_dag", "build_dag", "build_housekeeping_dag", "build_store_dag"]
