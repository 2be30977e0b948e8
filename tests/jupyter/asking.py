"""Requests to the extension as a test makes them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

from tornado.httpclient import HTTPClientError

Fetch = Callable[..., Awaitable[Any]]
Ask = Callable[..., tuple[int, Any]]


def asking(jp_fetch: Fetch, loop: asyncio.AbstractEventLoop) -> Ask:
    """Return a function that sends a request and returns status and JSON (bytes, where it is none), also of errors."""

    async def send(method: str, path: str, body: Any = None, **options: Any) -> tuple[int, Any]:
        if body is not None:
            options["body"] = body if isinstance(body, (str, bytes)) else json.dumps(body)
        elif method == "POST":
            options["body"] = ""
        try:
            answer = await jp_fetch("workbench", "api", *path.split("/"), method=method, **options)
        except HTTPClientError as error:
            answer = error.response
            assert answer is not None
        is_json = "json" in answer.headers.get("Content-Type", "")
        return answer.code, None if not answer.body else json.loads(answer.body) if is_json else answer.body

    def run(method: str, path: str, body: Any = None, **options: Any) -> tuple[int, Any]:
        return loop.run_until_complete(send(method, path, body, **options))

    return run
