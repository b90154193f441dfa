"""The report draws whatever the data hold: what is written is read back as a browser does."""

from __future__ import annotations

import base64
import hashlib
import json
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from customer_profiles.dashboards import report
from customer_profiles.dashboards.embedding import (
    MAX_PICTURE_TEXT,
    Place,
    embed,
    for_picture,
    to_xml_text,
)
from customer_profiles.dashboards.filters import Filters
from customer_profiles.dashboards.hints import empty_hint
from customer_profiles.dashboards.panels import Panel, read_panels
from customer_profiles.dashboards.vega import javascript_bundle

SCRIPT_ENDS = ("<!--", "<script", "</script", "]]>", "-->")
"""What changes how a browser reads a script element."""
PIECES = st.sampled_from(
    [*SCRIPT_ENDS, "</SCRIPT\t>", "<", ">", "&", "&lt;", '"', "'", "\\", "`", "${1}", "\u2028"]
)
NASTY_TEXTS = st.lists(PIECES | st.text(), max_size=8).map("".join)
JSON_LIKE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | NASTY_TEXTS,
    lambda children: st.lists(children) | st.dictionaries(NASTY_TEXTS, children),
    max_leaves=10,
)


class PageReader(HTMLParser):
    """Collects scripts, texts of paragraphs and attributes. Knows no comments in scripts."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.scripts: list[str] = []
        self.styles: list[str] = []
        self.policy = ""
        self.texts: list[str] = []
        self.attributes: list[str | None] = []
        self._tag = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._tag = tag
        if tag == "meta" and ("http-equiv", "Content-Security-Policy") in attrs:
            self.policy = dict(attrs)["content"] or ""
        self.attributes += [value for _, value in attrs]
        if tag == "script":
            self.scripts.append("")
        elif tag == "style":
            self.styles.append("")
        elif tag == "p":
            self.texts.append("")

    def handle_endtag(self, _: str) -> None:
        self._tag = ""

    def handle_data(self, data: str) -> None:
        if self._tag == "script":
            self.scripts[-1] += data
        elif self._tag == "style":
            self.styles[-1] += data
        elif self._tag == "p":
            self.texts[-1] += data


@given(JSON_LIKE)
@example("<!--<script>")
@example({"</script>": ["&amp;", "\u2028\u2029", "\ud800"]})
def test_data_in_a_script_are_the_same_and_cannot_end_it(data: Any) -> None:
    text = embed(data, Place.SCRIPT)
    assert not set(text) & set("<>&\u2028\u2029")
    assert text.isascii()
    assert json.loads(text) == data
    assert PageReader(f"<script>{text}</script><p>after").scripts == [text]


@given(NASTY_TEXTS)
@example("<!--<script>")
@example("a\rb\r\nc")
def test_data_in_markup_are_the_same(text: str) -> None:
    written = embed(text, Place.MARKUP)
    page = PageReader(f'<p title="{written}">{written}</p>')
    assert page.texts == [to_xml_text(text)]
    assert page.attributes == [to_xml_text(text)]


@given(NASTY_TEXTS)
def test_only_characters_that_xml_does_not_allow_are_replaced(text: str) -> None:
    ((name, value),) = for_picture([{"brand": text}])[0].items()
    assert name == "brand"
    assert len(value) == len(text)
    for before, after in zip(text, value, strict=True):
        if before != after:
            assert after == "\ufffd"
            assert before in "\ufffe\uffff" or before < " " or "\ud800" <= before <= "\udfff"
    assert for_picture([text * 1_000, 1, None])[1:] == [1, None]
    assert len(for_picture("x" * 40_000)) == MAX_PICTURE_TEXT + 1


def test_the_library_itself_cannot_end_its_script() -> None:
    library = javascript_bundle().lower()
    assert not [end for end in ("<!--", "<script", "</script") if end in library]


def rows_named(name: str) -> dict[str, list[Any]]:
    """Return rows of every panel in which each text is `name`."""
    profile = {"user_id": name, "customer_segment": name, "total_revenue": 3.0}
    alert = {"severity": name, "name": name, "value": 3.0, "since": "2020-10-01T00:00:00Z"}
    run = {
        "time": "2020-10-01T00:00:00Z",
        "kind": name,
        "events": 1,
        "customers": 1,
        "seconds": 1.0,
    }
    rows = {
        "metric": [{"value": 3.0}],
        "bar": [{"key": name, "value": 3.0}],
        "documents": [profile],
    }
    days = [{"time": day * 86_400_000, "value": 3.0, "series": name} for day in (1, 9)]
    by_panel = {panel.name: rows.get(panel.chart, days) for panel in read_panels()}
    return {**by_panel, "lag": [], "runs": [run], "open-alerts": [alert]}


class FakeDashboard:
    """Has the same rows for every filter."""

    def __init__(self, rows: dict[str, list[Any]]) -> None:
        self._rows = rows

    def rows(self, panel: Panel, _: Filters) -> list[Any]:
        return self._rows[panel.name]


@cache
def panel_names() -> list[str]:
    return [panel.name for panel in read_panels()]


def specs_in(page: Path) -> list[dict[str, Any]]:
    """Return the charts of a report, as a browser finds them in its last script."""
    reader = PageReader(page.read_text("utf-8"))
    library, script = reader.scripts
    assert "vegaEmbed" in library
    specs: list[dict[str, Any]] = json.loads(
        script[script.index("of [") + 3 : script.index(".entries()")]
    )
    return specs


# It writes files, which takes long on a busy machine.
@settings(deadline=None)
@given(NASTY_TEXTS)
@example("<!--<script>")
def test_the_written_report_has_the_same_data(
    tmp_path_factory: pytest.TempPathFactory, name: str
) -> None:
    rows = rows_named(name)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(report, "_png", lambda *_: b"")
        patch.setattr(report, "javascript_bundle", lambda: "vegaEmbed")
        folder = tmp_path_factory.mktemp("report")
        page, *_ = report.write_report(FakeDashboard(rows), folder)  # type: ignore[arg-type]
    assert [spec["data"]["values"] for spec in specs_in(page)] == [
        rows[panel] for panel in panel_names() if rows[panel]
    ]
    hints = [
        embed(empty_hint(panel), Place.MARKUP) for panel in read_panels() if panel.name == "lag"
    ]
    assert all(f'<p class="empty">{hint}</p>' in page.read_text("utf-8") for hint in hints)


def test_the_report_allows_its_own_scripts_and_styles_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(report, "_png", lambda *_: b"")
    dashboard = FakeDashboard(rows_named("<!--<script>"))
    page, *_ = report.write_report(dashboard, tmp_path)  # type: ignore[arg-type]
    # `newline=""`: a browser counts the ends of lines, too.
    with page.open(encoding="utf-8", newline="") as file:
        text = file.read()
    assert "\r" not in text
    reader = PageReader(text)
    policy = dict(part.split(" ", 1) for part in reader.policy.split("; "))
    assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == "'none'"
    for directive, contents in (("script-src", reader.scripts), ("style-src", reader.styles)):
        digests = [hashlib.sha256(content.encode()).digest() for content in contents]
        assert policy[directive] == " ".join(
            f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests
        )
    # The policy stands before everything that it is about.
    assert text.index("Content-Security-Policy") < text.index("<style")
    assert "ast: true, defaultStyle: false" in reader.scripts[-1]


@pytest.mark.parametrize(
    "name",
    ["<!--<script>", "\ufffe & \uffff", "\x01\x0b\x1b[31m", "\ud800", "", "a\nb\r", "x" * 40_000],
)
def test_every_picture_is_drawn_whatever_the_texts_are(name: str) -> None:
    rows = rows_named(name)
    for panel in read_panels():
        if panel.name in ("brands", "events", "best", "runs", "open-alerts", "checks-over-time"):
            assert report._png(panel, rows[panel.name]).startswith(b"\x89PNG")
