"""The page: a small server on loopback that answers from Elasticsearch and the lake."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from functools import partial
from importlib.resources import files
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from customer_profiles.common.errors import PipelineError
from customer_profiles.dashboards.filters import Filters, InvalidFilterError
from customer_profiles.dashboards.queries import Dashboard
from customer_profiles.dashboards.vega import javascript_bundle

ALLOWED_HOSTS = ["127.0.0.1", "localhost", "*.app.github.dev"]
"""Host names of the page. Another site whose name leads to this address must not read profiles."""


def create_app(dashboard: Dashboard) -> Starlette:
    """Create the page as an ASGI application."""
    endpoints = _Endpoints(dashboard)
    routes = [
        Route("/", endpoints.file),
        Route("/panels", endpoints.panels),
        Route("/choices", endpoints.choices),
        Route("/data/{name}", endpoints.data),
        Route("/customers/{user_id:str}", endpoints.customer),
        Route("/{name}", endpoints.file),
    ]
    middleware = [
        Middleware(TrustedHostMiddleware, allowed_hosts=ALLOWED_HOSTS),
        Middleware(GZipMiddleware, minimum_size=1_000),
    ]
    handlers: dict[Any, Callable[[Request, Exception], Awaitable[Response]]] = {
        InvalidFilterError: _bad_request,
        PipelineError: _unavailable,
    }
    return Starlette(routes=routes, middleware=middleware, exception_handlers=handlers)


class _Endpoints:
    """The answers to the page's requests."""

    def __init__(self, dashboard: Dashboard) -> None:
        self._dashboard = dashboard
        self._files = _static_files()

    async def file(self, request: Request) -> Response:
        file = self._files.get(request.path_params.get("name", ""))
        if file is None:
            return Response("There is nothing here.", 404)
        media_type, content = file
        return Response(
            content,
            media_type=f"{media_type}; charset=utf-8",
            headers={"cache-control": "no-cache"},
        )

    async def panels(self, _: Request) -> Response:
        return JSONResponse(self._dashboard.panels())

    async def choices(self, _: Request) -> Response:
        return await _answer(self._dashboard.choices)

    async def data(self, request: Request) -> Response:
        panel = self._dashboard.panel(request.path_params["name"])
        if panel is None:
            return _error("There is no such panel.", 404)
        filters = Filters.from_query(dict(request.query_params))
        return await _answer(partial(self._dashboard.rows, panel, filters))

    async def customer(self, request: Request) -> Response:
        user_id = request.path_params["user_id"]
        response = await _answer(partial(self._dashboard.customer, user_id))
        if response.body == b"null":
            return _error(f"There is no customer {user_id}.", 404)
        return response


def _static_files() -> dict[str, tuple[str, bytes]]:
    """Return the media type and the content of each file of the page."""
    page = files(__package__).joinpath("page")
    return {
        "": ("text/html", page.joinpath("index.html").read_bytes()),
        "app.js": ("text/javascript", page.joinpath("app.js").read_bytes()),
        "style.css": ("text/css", page.joinpath("style.css").read_bytes()),
        "vega.js": ("text/javascript", javascript_bundle().encode()),
    }


async def _answer(query: Callable[[], Any]) -> Response:
    """Run a blocking query on another thread and return its result as JSON."""
    return Response(json.dumps(await run_in_threadpool(query)), media_type="application/json")


def _error(message: str, status: int) -> Response:
    return JSONResponse({"error": message}, status)


async def _bad_request(_: Request, error: Exception) -> Response:
    return _error(str(error), 400)


async def _unavailable(_: Request, error: Exception) -> Response:
    return _error(str(error), 503)
