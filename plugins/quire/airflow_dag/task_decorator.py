"""Provides Airflow's ``@task`` for functions that run stages."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from airflow.sdk import task

from quire.allocator_settings import configure_process
from quire.postgres.arrow_without_pandas import hide_pandas_from_arrow


def quire_task(**options: Any) -> Callable[[Callable[..., Any]], Any]:
    """Returns ``@task`` with these options. The task configures its process before it calls the decorated function."""

    def decorate(function: Callable[..., Any]) -> Any:
        @wraps(function)
        def configure_and_call(*arguments: Any, **keywords: Any) -> Any:
            configure_process()
            hide_pandas_from_arrow()
            return function(*arguments, **keywords)

        return task(**options)(configure_and_call)

    return decorate
