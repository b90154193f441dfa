"""Health and metrics of the page: `/health/live`, `/health/ready` and `/metrics`."""

from __future__ import annotations

import time
from collections.abc import Callable

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from customer_profiles.common.errors import PipelineError, first_line
from customer_profiles.telemetry.exposition import CONTENT_TYPE
from customer_profiles.telemetry.registry import Registry

REQUESTS = Registry()
"""The metrics of this process's page."""
PATHS = ("/panels", "/choices", "/health/live", "/health/ready", "/metrics")
"""Paths that are a label of their own. All others are counted by their first part."""
FOLDERS = ("data", "customers", "customer")


def health_routes(probe: Callable[[], object]) -> list[Route]:
    """Return the routes.

    Args:
        probe: asks Elasticsearch for something that the page needs; raises a `PipelineError` if it
            does not answer or lacks its indices.
    """

    async def live(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def ready(_: Request) -> Response:
        try:
            await run_in_threadpool(probe)
        except PipelineError as error:
            return JSONResponse({"status": "down", "message": first_line(error)}, 503)
        return JSONResponse({"status": "ok"})

    async def metrics(_: Request) -> Response:
        return Response(REQUESTS.render(), headers={"content-type": CONTENT_TYPE})

    return [
        Route("/health/live", live),
        Route("/health/ready", ready),
        Route("/metrics", metrics),
    ]


class CountRequests:
    """Middleware that counts requests and their seconds, by route: never by customer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        code = 500

        async def send_and_look(message: Message) -> None:
            nonlocal code
            if message["type"] == "http.response.start":
                code = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_and_look)
        finally:
            route = route_of(scope["path"])
            REQUESTS.increase("page_requests_total", route=route, code=str(code))
            seconds = time.perf_counter() - began
            REQUESTS.increase("page_request_seconds_total", seconds, route=route)


def route_of(path: str) -> str:
    """Return a label for a path: one of few, whatever is asked for."""
    if path in PATHS:
        return path
    folder, _, rest = path.strip("/").partition("/")
    return f"/{folder}/" if folder in FOLDERS and rest else "/"
