"""The reader's side: reports and their runs as pages and as a JSON API, inside Airflow's API server."""
