"""Calls Airflow's public REST API without importing Airflow.

client      calls Airflow in the same process (portal) or over HTTP (local stack)
transports  send the calls to Airflow
version     checks that Quire supports the installed Airflow version
"""
