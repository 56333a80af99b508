"""Airflow's public REST API, without importing Airflow.

client      one client: the portal calls it in process, the local stack over HTTP
transports  how calls reach Airflow
version     the versions of Airflow that Quire supports
"""
