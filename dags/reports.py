"""A DAG for each report under include/reports. A broken definition breaks its own DAG only."""

from quire.airflow_dag import build_broken_dag, build_dag
from quire.catalog import load_catalog
from quire.settings import include_folder

catalog = load_catalog(include_folder())
for name, definition in catalog.definitions.items():
    globals()[f"dag_{name}"] = build_dag(definition)
for name, error in catalog.errors.items():
    globals()[f"dag_{name}"] = build_broken_dag(name, error)
