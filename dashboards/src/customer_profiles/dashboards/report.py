"""The charts as one self-contained HTML file, and as PNGs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import vl_convert

from customer_profiles.common.clock import now_utc
from customer_profiles.dashboards.drawing import specification
from customer_profiles.dashboards.embedding import Place, embed, for_picture
from customer_profiles.dashboards.filters import Filters
from customer_profiles.dashboards.headers import report_policy
from customer_profiles.dashboards.hints import empty_hint
from customer_profiles.dashboards.panels import Panel, read_panels
from customer_profiles.dashboards.queries import Dashboard
from customer_profiles.dashboards.vega import VL_VERSION, javascript_bundle

WIDTHS = {"full": 1100, "half": 540, "third": 360, "figure": 200}
"""Pixels of a picture, by the width of its panel."""
CONFIG: dict[str, Any] = {
    "background": "white",
    "view": {"stroke": None},
    "bar": {"color": "#9cc2e8"},
    "area": {"color": "#5b9bd5"},
    "line": {"color": "#2563a8"},
    "axis": {"labelLimit": 170, "titleFontWeight": "normal"},
}
STYLE = """\
body { margin: 1rem auto; max-width: 1240px; padding: 0 1rem; color: #1c2530;
  font: 15px/1.4 system-ui, sans-serif; }
main { display: grid; grid-template-columns: repeat(6, minmax(0, 1fr)); gap: 1rem; }
article { border: 1px solid #d9dee5; border-radius: 10px; padding: .8rem 1rem; min-width: 0; }
article.full { grid-column: span 6; }
article.half { grid-column: span 3; }
article.third { grid-column: span 2; }
h1 { font-size: 1.3rem; }
h2 { font-size: 1rem; margin: 0; }
p { margin: 0 0 .5rem; font-size: .8rem; color: #5b6775; }
.chart { width: 100%; }
.vega-embed { position: relative; display: inline-block; }
.chart-wrapper.fit-x { width: 100%; }
#vg-tooltip-element { visibility: hidden; position: fixed; z-index: 1000; padding: 8px;
  font: 12px system-ui, sans-serif; background: white; border: 1px solid #d9dee5; }
#vg-tooltip-element.visible { visibility: visible; }
@media (max-width: 900px) { article { grid-column: span 6 !important; } }"""

DRAWING = """
const options = {
  actions: false, renderer: "svg", ast: true, defaultStyle: false,
  tooltip: { disableDefaultStyle: true },
};
for (const [number, spec] of %s.entries())
  vegaEmbed("#chart-" + number, spec, options);
"""
"""The report's own script. Vega interprets expressions, because the policy lets it compile none."""


def write_report(dashboard: Dashboard, folder: Path, filters: Filters | None = None) -> list[Path]:
    """Write `dashboard.html`, and one PNG per panel in `dashboard/`.

    Args:
        dashboard: the source of the data.
        folder: the folder of the reports. It is created if it is missing.
        filters: what to show; everything if None.

    Returns:
        The path of the HTML file, then those of the PNGs.

    Raises:
        IndexUnavailableError: Elasticsearch does not answer.
    """
    picture_folder = folder / "dashboard"
    picture_folder.mkdir(parents=True, exist_ok=True)
    pictures = []
    cards: list[str] = []
    specs: list[dict[str, Any]] = []
    for panel in read_panels():
        rows = dashboard.rows(panel, filters or Filters())
        picture = picture_folder / f"{panel.name}.png"
        picture.write_bytes(_png(panel, rows))
        pictures.append(picture)
        if rows:
            content = f'<div class="chart" id="chart-{len(specs)}"></div>'
            specs.append({**specification(panel, {"values": rows}), "config": CONFIG})
        else:
            content = f'<p class="empty">{embed(empty_hint(panel), Place.MARKUP)}</p>'
        cards.append(
            f'<article class="{embed(panel.width, Place.MARKUP)}">'
            f"<h2>{embed(panel.title, Place.MARKUP)}</h2>"
            f"<p>{embed(panel.about, Place.MARKUP)}</p>{content}</article>"
        )
    page = folder / "dashboard.html"
    page.write_text(_html(cards, specs), "utf-8")
    return [page, *pictures]


def _png(panel: Panel, rows: list[Any]) -> bytes:
    title = {"text": panel.title, "subtitle": panel.about, "anchor": "start"}
    layout = {"width": WIDTHS[panel.width], "title": title, "config": CONFIG, "padding": 12}
    chart = specification(panel, {"values": for_picture(rows)}) if rows else _hint(panel)
    spec = json.dumps({**chart, **layout})
    png: bytes = vl_convert.vegalite_to_png(spec, vl_version=VL_VERSION, scale=2)
    return png


def _hint(panel: Panel) -> dict[str, Any]:
    """Return a picture of what fills an empty panel. Vega cannot scale a chart without values."""
    mark = {"type": "text", "text": empty_hint(panel), "fontSize": 12}
    return {"data": {"values": [{}]}, "mark": mark, "height": 60}


def _html(cards: list[str], specs: list[dict[str, Any]]) -> str:
    title = embed(f"Customer profiles, {now_utc():%Y-%m-%d %H:%M} UTC", Place.MARKUP)
    # A browser normalises the ends of lines before it compares a script with its digest.
    library = javascript_bundle().replace("\r\n", "\n").replace("\r", "\n")
    drawing = DRAWING % embed(specs, Place.SCRIPT)
    style = f"\n{STYLE}\n"
    policy = embed(report_policy([library, drawing], [style]), Place.MARKUP)
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<h1>{title}</h1>
<main>{"".join(cards)}</main>
<script>{library}</script>
<script>{drawing}</script>
</body>
</html>
"""
