"""A DAG for each report under include/reports, and one that stores ahead. A broken definition breaks its own only."""

from quire.airflow_dag import build_report_dags
from quire.report.catalog import load_catalog
from quire.settings import include_folder

catalog = load_catalog(include_folder())
globals().update({f"dag_{dag_id}": dag for dag_id, dag in build_report_dags(catalog).items()})
