"""Whatever uses Arrow first hides pandas from it: a transaction or an Airflow task."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from quire.airflow_dag.task_decorator import quire_task
from quire.postgres import open_transaction
from quire.postgres.arrow_without_pandas import hide_pandas_from_arrow

from tests.events import session_of


@pytest.fixture
def hidden() -> Iterator[None]:
    """Makes the next call to ``hide_pandas_from_arrow`` count as the first one in this process."""
    hide_pandas_from_arrow.cache_clear()
    assert hide_pandas_from_arrow.cache_info().currsize == 0
    yield
    assert hide_pandas_from_arrow.cache_info().currsize == 1


@pytest.mark.usefixtures("hidden")
def test_transaction_hides_pandas_from_arrow(fresh_database: str) -> None:
    with open_transaction(session_of(fresh_database)):
        pass


@pytest.mark.usefixtures("hidden")
def test_task_hides_pandas_from_arrow() -> None:
    @quire_task(task_id="any")
    def call() -> None:
        pass

    call.function()
