"""An ASGI app that is created on its first request.

Airflow loads plugins in every process, including tasks, but only the API server should import FastAPI and templates.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, cast

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
HOST = "quire.host"  # the parent app's key in a request's scope


class LazyApp:
    """Delegates to an app that a factory creates.

    Args:
        module: the factory's module, imported on the first request.
        function: the factory's name; the factory takes no arguments and returns an ASGI app.
        freezes: whether the garbage collector then ignores all existing objects: the modules of Airflow and the app.
            Otherwise, while many readers wait for runs, each full collection stops the API server for up to 0.7 s.
    """

    def __init__(self, module: str, function: str = "create_app", *, freezes: bool = False) -> None:
        self._module, self._function, self._freezes = module, function, freezes
        self._app: App | None = None
        self._lock = threading.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Adds the parent app to a request's scope, then forwards the request."""
        app = self._app if self._app is not None else await asyncio.to_thread(self._create)
        await app({**scope, HOST: scope.get("app")}, receive, send)

    def _create(self) -> App:
        with self._lock:
            if self._app is None:
                self._app = getattr(importlib.import_module(self._module), self._function)()
                if self._freezes:
                    gc.collect()  # otherwise, existing garbage would never be freed
                    gc.freeze()
        return cast("App", self._app)
