"""The portal app is created once, and the garbage collector then ignores it."""

from __future__ import annotations

import asyncio
import gc
import sys
from types import ModuleType
from typing import Any

import pytest
from quire.portal.lazy_app import LazyApp

MODULE = "app_for_test_lazy_app"


@pytest.fixture
def created(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The scopes of the requests to the app that ``MODULE`` creates, the first of which is ``{}``."""
    scopes: list[dict[str, Any]] = []

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
        scopes.append(scope)

    def create_app() -> Any:
        scopes.append({})
        return app

    module: Any = ModuleType(MODULE)
    module.create_app = create_app
    monkeypatch.setitem(sys.modules, MODULE, module)
    return scopes


def test_concurrent_first_requests_create_one_app_which_the_collector_ignores(created: list[dict[str, Any]]) -> None:
    lazy: Any = LazyApp(MODULE, freezes=True)

    async def request_twice() -> None:
        await asyncio.gather(*(lazy({"app": name}, None, None) for name in ("a", "b")))

    frozen = gc.get_freeze_count()
    asyncio.run(request_twice())
    assert created[0] == {}
    assert sorted(scope["quire.host"] for scope in created[1:]) == ["a", "b"]
    assert gc.get_freeze_count() > frozen
    assert not any(item is created for item in gc.get_objects())
