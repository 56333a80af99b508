"""Calls Airflow's public REST API without importing Airflow.

client      a client that calls Airflow in the same process (portal) or over HTTP (local stack)
transports  how calls reach Airflow
version     the versions of Airflow that Quire supports
"""
