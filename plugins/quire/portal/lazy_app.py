"""An ASGI app that is made when it is first asked.

Airflow loads its plugins in every process, each task's too: none of them may pay for FastAPI and its templates.
"""

from __future__ import annotations

import asyncio
import importlib
import threading
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, cast

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
HOST = "quire.host"  # where the app that it is mounted in stands in the scope of a request


class LazyApp:
    """Stands for the app that a function makes.

    Args:
        module: of the function, imported with the first request.
        function: takes nothing and returns an ASGI app.
    """

    def __init__(self, module: str, function: str = "create_app") -> None:
        self._module, self._function = module, function
        self._app: App | None = None
        self._making = threading.Lock()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hands a request on, with the app that this one is mounted in."""
        app = self._app if self._app is not None else await asyncio.to_thread(self._make)
        await app({**scope, HOST: scope.get("app")}, receive, send)

    def _make(self) -> App:
        with self._making:
            made = self._app or getattr(importlib.import_module(self._module), self._function)()
            self._app = made
        return cast("App", made)
