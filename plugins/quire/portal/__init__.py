"""The portal: pages and a JSON API for reports and their runs, served by Airflow's API server."""
