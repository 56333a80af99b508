"""Airflow's public REST API, without importing Airflow.

client      one client: the portal calls it in process, the local stack over HTTP
transports  how a call reaches Airflow
version     the versions of Airflow that Quire supports
"""
