"""The charts as one HTML file that needs nothing else, and as PNGs."""

from __future__ import annotations

import html
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import vl_convert

from dashboards.filters import Filters
from dashboards.panels import Panel, read_panels
from dashboards.server import VL_VERSION, Dashboard, bundle

WIDTHS = {"full": 1100, "half": 540, "third": 360}
CONFIG: dict[str, Any] = {
    "background": "white",
    "view": {"stroke": None},
    "bar": {"color": "#9cc2e8"},
    "area": {"color": "#5b9bd5"},
    "line": {"color": "#2563a8"},
    "axis": {"labelLimit": 170, "titleFontWeight": "normal"},
}


def write_report(dashboard: Dashboard, folder: Path, filters: Filters | None = None) -> list[Path]:
    """Write `dashboard.html` and a PNG a panel below `dashboard/`; returns their paths.

    Raises:
        ProcessError: Elasticsearch does not answer.
    """
    pictures = folder / "dashboard"
    pictures.mkdir(parents=True, exist_ok=True)
    written = []
    cards: list[str] = []
    specs: list[dict[str, Any]] = []
    for panel in read_panels():
        rows = dashboard.rows(panel, filters or Filters())
        path = pictures / f"{panel.name}.png"
        path.write_bytes(vl_convert.vegalite_to_png(json.dumps(_fixed(panel, rows)), vl_version=VL_VERSION, scale=2))
        written.append(path)
        specs.append({**panel.specification({"values": rows}), "config": CONFIG})
        cards.append(
            f'<article class="{panel.width}"><h2>{html.escape(panel.title)}</h2><p>{html.escape(panel.about)}</p>'
            f'<div class="chart" id="chart-{len(cards)}"></div></article>'
        )
    path = folder / "dashboard.html"
    path.write_text(_page(cards, specs), "utf-8")
    return [path, *written]


def _fixed(panel: Panel, rows: list[Any]) -> dict[str, Any]:
    title = {"text": panel.title, "subtitle": panel.about, "anchor": "start"}
    sizes = {"width": WIDTHS[panel.width], "title": title, "config": CONFIG, "padding": 12}
    return {**panel.specification({"values": rows}), **sizes}


def _page(cards: list[str], specs: list[dict[str, Any]]) -> str:
    # In a script of HTML, "</" would end it, whatever it stands in.
    data = json.dumps(specs).replace("</", "<\\/")
    library = bundle().replace("</script", "<\\/script")
    made = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Customer profiles, {made}</title>
<style>
body {{ margin: 1rem auto; max-width: 1240px; padding: 0 1rem; font: 15px/1.4 system-ui, sans-serif; color: #1c2530; }}
main {{ display: grid; grid-template-columns: repeat(6, minmax(0, 1fr)); gap: 1rem; }}
article {{ border: 1px solid #d9dee5; border-radius: 10px; padding: .8rem 1rem; min-width: 0; }}
article.full {{ grid-column: span 6; }} article.half {{ grid-column: span 3; }} article.third {{ grid-column: span 2; }}
h1 {{ font-size: 1.3rem; }} h2 {{ font-size: 1rem; margin: 0; }}
p {{ margin: 0 0 .5rem; font-size: .8rem; color: #5b6775; }}
.chart {{ width: 100%; }}
@media (max-width: 900px) {{ article {{ grid-column: span 6 !important; }} }}
</style>
</head>
<body>
<h1>Customer profiles, {made}</h1>
<main>{"".join(cards)}</main>
<script>{library}</script>
<script>
for (const [place, spec] of {data}.entries())
  vegaEmbed("#chart-" + place, spec, {{ actions: false, renderer: "svg", ast: false }});
</script>
</body>
</html>
"""
