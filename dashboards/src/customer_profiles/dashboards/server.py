"""The page: a small server on loopback that answers from Elasticsearch and the lake."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from importlib.resources import files
from typing import Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from customer_profiles.common.errors import PipelineError
from customer_profiles.contracts.rules import PLAIN_INTEGER
from customer_profiles.dashboards.filters import Filters, InvalidFilterError, shorten
from customer_profiles.dashboards.headers import SecurityHeaders, add_headers
from customer_profiles.dashboards.health import CountRequests, health_routes
from customer_profiles.dashboards.queries import Dashboard
from customer_profiles.dashboards.vega import javascript_bundle

ALLOWED_HOSTS = ["127.0.0.1", "localhost", "*.app.github.dev"]
"""Host names of the page. Another site whose name leads to this address must not read profiles."""


def create_app(dashboard: Dashboard, more_routes: Sequence[Route] = ()) -> Starlette:
    """Create the page as an ASGI application.

    Args:
        dashboard: the data of the page.
        more_routes: what the server answers beside the page.
    """
    endpoints = _Endpoints(dashboard)
    routes = [
        *health_routes(dashboard.choices),
        Route("/", endpoints.file),
        Route("/panels", endpoints.panels),
        Route("/choices", endpoints.choices),
        Route("/summary", endpoints.summary),
        Route("/data/{name}", endpoints.data),
        Route("/customers/{user_id:str}", endpoints.customer),
        # The address of one customer, for links from elsewhere; the page reads the id from it.
        Route("/customer/{user_id:str}", endpoints.customer_page),
        *more_routes,
        Route("/{name}", endpoints.file),
    ]
    middleware = [
        Middleware(CountRequests),
        Middleware(SecurityHeaders),
        Middleware(TrustedHostMiddleware, allowed_hosts=ALLOWED_HOSTS),
        Middleware(GZipMiddleware, minimum_size=1_000),
    ]
    handlers: dict[Any, Callable[[Request, Exception], Awaitable[Response]]] = {
        InvalidFilterError: _bad_request,
        PipelineError: _unavailable,
        HTTPException: _refused,
        Exception: _failed,
    }
    return Starlette(routes=routes, middleware=middleware, exception_handlers=handlers)


class _Endpoints:
    """The answers to the page's requests."""

    def __init__(self, dashboard: Dashboard) -> None:
        self._dashboard = dashboard
        self._files = _static_files()

    async def file(self, request: Request) -> Response:
        return self._file(request.path_params.get("name", ""))

    async def customer_page(self, _: Request) -> Response:
        return self._file("")

    def _file(self, name: str) -> Response:
        file = self._files.get(name)
        if file is None:
            return _error("There is nothing here.", 404)
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

    async def summary(self, request: Request) -> Response:
        filters = Filters.from_query(request.query_params.multi_items())
        return await _answer(partial(self._dashboard.summary, filters))

    async def data(self, request: Request) -> Response:
        panel = self._dashboard.panel(request.path_params["name"])
        if panel is None:
            return _error("There is no such panel.", 404)
        filters = Filters.from_query(request.query_params.multi_items())
        return await _answer(partial(self._dashboard.rows, panel, filters))

    async def customer(self, request: Request) -> Response:
        user_id = request.path_params["user_id"]
        # No other id is ever accepted, and Elasticsearch refuses long ones.
        if re.fullmatch(PLAIN_INTEGER, user_id):
            response = await _answer(partial(self._dashboard.customer, user_id))
            if response.body != b"null":
                return response
        return _error(f"There is no customer {shorten(user_id)}.", 404)


def _static_files() -> dict[str, tuple[str, bytes]]:
    """Return the media type and the content of each file of the page."""
    page = files(__package__).joinpath("page")
    return {
        "": ("text/html", page.joinpath("index.html").read_bytes()),
        **{
            name: ("text/javascript", page.joinpath(name).read_bytes())
            for name in ("app.js", "summary.js", "customer.js")
        },
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


async def _refused(request: Request, error: Exception) -> Response:
    """Answer a request for an unknown path, or with a method other than GET."""
    if not isinstance(error, HTTPException):
        raise error
    messages = {
        404: "There is nothing here.",
        405: f"The page only reads: send GET instead of {shorten(request.method)}.",
    }
    response = _error(messages.get(error.status_code, error.detail), error.status_code)
    response.headers.update(error.headers or {})
    return response


async def _failed(_: Request, __: Exception) -> Response:
    """Answer a request that met a fault of the page, which Starlette then raises for the log."""
    response = _error("The page has a fault. The terminal of `make dashboard` shows it.", 500)
    # This response passes no middleware.
    add_headers(response.headers)
    return response
