"""A DAG for each report under include/reports, and one that stores ahead. A broken definition breaks its own only."""

from quire.airflow_dag import build_broken_dag, build_dag, build_store_dag
from quire.catalog import load_catalog
from quire.settings import include_folder

catalog = load_catalog(include_folder())
for name, definition in catalog.definitions.items():
    globals()[f"dag_{name}"] = build_dag(definition)
    if definition.store_schedule:
        globals()[f"dag_{name}__store"] = build_store_dag(definition)
for name, error in catalog.errors.items():
    globals()[f"dag_{name}"] = build_broken_dag(name, error)
