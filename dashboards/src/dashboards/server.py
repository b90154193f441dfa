"""The page: one small server on loopback, which asks Elasticsearch and the lake."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from functools import partial
from importlib.resources import files
from typing import Any

import polars as pl
import vl_convert
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from contracts import bucket_of
from dashboards.filters import CHOICES, BadFilter, Filters, choices, search
from dashboards.panels import Panel, read_panels
from processing.archive import Archive
from processing.errors import ProcessError
from processing.index import Index
from processing.lake import Lake
from processing.plan import Plans
from processing.profiles import drop_repeats
from processing.settings import Settings

VL_VERSION = "6.4"
HISTORY = 200
"""Events of a customer's history, the newest."""


class Dashboard:
    """What the page asks for."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._index = Index(settings)
        self._lake = Lake(settings)
        self._panels = {panel.name: panel for panel in read_panels()}

    def rows(self, panel: Panel, filters: Filters) -> list[Any]:
        """The data of one chart.

        Raises:
            ProcessError: Elasticsearch does not answer, or lacks the index.
        """
        with self._index.telling():
            answer = self._index.client.search(index=panel.index, body=search(panel, filters))
        return panel.pick(answer.body)

    def choices(self) -> dict[str, Any]:
        """What the filters can be set to."""
        with self._index.telling():
            return choices(self._index.client.search(index="event_metrics", body=CHOICES).body)

    def panels(self) -> list[dict[str, Any]]:
        """The charts without their data."""
        return [
            {
                "name": panel.name,
                "title": panel.title,
                "about": panel.about,
                "dashboard": panel.dashboard,
                "width": panel.width,
                "spec": panel.specification({"name": "rows"}),
            }
            for panel in self._panels.values()
        ]

    def panel(self, name: str) -> Panel | None:
        return self._panels.get(name)

    def customer(self, user_id: str) -> dict[str, Any] | None:
        """A customer's profile and the newest of their events; None where there is no such customer."""
        profile = self._index.find(user_id)
        if profile is None:
            return None
        plans = Plans(self._lake)
        archive = Archive(self._lake, bucket_of(user_id, plans.buckets() or self._settings.buckets))
        events = drop_repeats(archive.events_of(archive.pieces(plans.last_done), pl.Series("user_id", [user_id])))
        newest = events.sort("event_time", "event_id", descending=True).head(HISTORY)
        shown = newest.with_columns(
            pl.col("event_time").dt.strftime("%Y-%m-%d %H:%M:%S"), pl.col("price").cast(pl.Float64)
        ).drop("event_id", "user_id")
        return {"profile": profile, "events": shown.to_dicts(), "all_events": events.height}


def application(settings: Settings) -> Starlette:
    """The page as an ASGI application."""
    dashboard = Dashboard(settings)
    page = files(__package__).joinpath("page")
    static = {
        "": ("text/html", page.joinpath("index.html").read_bytes()),
        "app.js": ("text/javascript", page.joinpath("app.js").read_bytes()),
        "style.css": ("text/css", page.joinpath("style.css").read_bytes()),
        # Vega and all it needs in one file, out of the package that also draws the report: works offline.
        "vega.js": ("text/javascript", bundle().encode()),
    }

    async def file(request: Request) -> Response:
        found = static.get(request.path_params.get("name", ""))
        if found is None:
            return Response("There is nothing here.", 404)
        return Response(found[1], media_type=f"{found[0]}; charset=utf-8", headers={"cache-control": "no-cache"})

    async def data(request: Request) -> Response:
        panel = dashboard.panel(request.path_params["name"])
        if panel is None:
            return JSONResponse({"error": "There is no such panel."}, 404)
        return await _answer(partial(dashboard.rows, panel, Filters.from_query(dict(request.query_params))))

    async def customer(request: Request) -> Response:
        user_id = request.path_params["user_id"]
        found = await _answer(partial(dashboard.customer, user_id))
        if found.body == b"null":
            return JSONResponse({"error": f"There is no customer {user_id}."}, 404)
        return found

    async def bad(_: Request, error: Exception) -> Response:
        return JSONResponse({"error": str(error)}, 400)

    async def away(_: Request, error: Exception) -> Response:
        return JSONResponse({"error": str(error)}, 503)

    async def charts(_: Request) -> Response:
        return JSONResponse(dashboard.panels())

    async def settable(_: Request) -> Response:
        return await _answer(dashboard.choices)

    routes = [
        Route("/", file),
        Route("/panels", charts),
        Route("/choices", settable),
        Route("/data/{name}", data),
        Route("/customers/{user_id:str}", customer),
        Route("/{name}", file),
    ]
    middleware = [
        # Another site that resolves to this address is not to read the profiles.
        Middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost", "*.app.github.dev"]),
        Middleware(GZipMiddleware, minimum_size=1_000),
    ]
    handlers: dict[Any, Callable[[Request, Exception], Awaitable[Response]]] = {BadFilter: bad, ProcessError: away}
    return Starlette(routes=routes, middleware=middleware, exception_handlers=handlers)


def bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed as one script, which leaves `vegaEmbed` and `vega` to others."""
    script: str = vl_convert.javascript_bundle(vl_version=VL_VERSION)  # type: ignore[call-arg]
    return script


async def _answer(ask: Callable[[], Any]) -> Response:
    return Response(json.dumps(await run_in_threadpool(ask)), media_type="application/json")
