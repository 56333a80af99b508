"""Prints the description and tags of each DAG that Airflow collects from dags/reports.py, as JSON keyed by DAG ID."""

from __future__ import annotations

import json

from airflow.dag_processing.dagbag import DagBag
from quire.settings import CLONE

bag = DagBag(dag_folder=str(CLONE / "dags" / "reports.py"), collect_dags=True)
dags = {dag.dag_id: [dag.description, sorted(dag.tags), list(dag.task_ids)] for dag in bag.dags.values()}
print(json.dumps({"dags": dags, "errors": bag.import_errors}))
