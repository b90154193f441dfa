"""The documentation: links resolve, commands exist, workflow actions are pinned."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support import ROOT

PAGES = sorted(
    [
        *ROOT.glob("*.md"),
        *ROOT.glob("data/*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("examples/*.md"),
        *ROOT.glob(".github/*.md"),
    ]
)
WRITTEN = [page for page in PAGES if page.parent.name != "reference"]
"""Pages that people write. `scripts/generate_reference.py` writes the others."""
NAMES = [str(page.relative_to(ROOT)) for page in PAGES]


def prose(page: Path) -> list[str]:
    """Return the lines of a page outside code blocks, tables and benchmark results."""
    text = re.sub(r"^( *)```.*?^\1```", "", page.read_text(), flags=re.M | re.S)
    text = re.sub(r"^<!-- (\S+) -->.*?^<!-- /\1 -->", "", text, flags=re.M | re.S)
    return [
        line.strip()
        for line in text.splitlines()
        if not line.startswith("    ") or line.lstrip().startswith(("-", "*"))
        if not line.lstrip().startswith(("|", "#", "<!--"))
    ]


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", page.read_text(), re.M)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_link_resolves(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text())
    for link in links:
        if link.startswith(("http://", "https://")):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


@pytest.mark.parametrize("page", PAGES, ids=NAMES)
def test_every_command_exists(page: Path) -> None:
    lines = re.findall(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.M)
    targets = " ".join(lines).split()
    assert "help" in targets
    text = page.read_text()
    quoted = re.findall(r"`make ([a-z-]+)", text)
    typed = re.findall(r"^make ([a-z-]+)", text, re.M)
    assert {*quoted, *typed} - set(targets) == set()


@pytest.mark.parametrize("page", WRITTEN, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_line_holds_one_sentence(page: Path) -> None:
    # A full stop, a space and a capital letter: one sentence ends and another begins.
    ends = re.compile(r"[a-z0-9`)\]*][.!?]\)?(\*\*)? +[A-Z`*]")
    lines = [re.sub(r"^(\d+\.|[-*]) +", "", line) for line in prose(page)]
    assert [line for line in lines if ends.search(line)] == []


def test_architecture_names_files_and_functions_that_exist() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    roots = [*ROOT.glob("libs/*/src/customer_profiles"), *ROOT.glob("*/src/customer_profiles")]
    paths = re.findall(r"`((?:contracts|common|profiles|kafka|lake|search)/[\w/]+\.\w+)`", text)
    paths += re.findall(r"`((?:ingestion|processing|dashboards)/[\w/]+\.\w+)`", text)
    assert paths
    for path in paths:
        assert any((root / path).exists() for root in roots), path
    calls = re.findall(r"`([\w/]+\.py)` `(\w+)`", text)
    assert calls
    for path, name in calls:
        (file,) = (root / path for root in roots if (root / path).exists())
        assert re.search(rf"^ *def {name}\(", file.read_text(), re.M), (path, name)


def test_operations_quotes_messages_as_the_code_words_them() -> None:
    folders = ("libs", "ingestion", "processing", "dashboards", "stack", "scripts")
    files = [path for folder in folders for path in (ROOT / folder).glob("**/*.*")]
    files += [ROOT / "Makefile", *ROOT.glob("*.sh")]
    source = "\n".join(path.read_text() for path in files if path.suffix in ("", ".py", ".sh"))
    # A long message is written as several literals, one on each line: join them.
    source = re.sub(r'"\s*\n\s*f?"', "", source)
    rows = re.findall(r"^\| ([^|]+) \|", (ROOT / "docs" / "operations.md").read_text(), re.M)
    quotes = [quote for row in rows for quote in re.findall(r"`([^`]+)`", row)]
    assert quotes
    external_messages = {"required variable … is missing", "read-only", "no such index"}
    for quote in quotes:
        if quote not in external_messages and not quote.startswith("make "):
            for part in quote.split("…"):
                assert part.strip() in source, quote


def test_every_workflow_action_is_pinned_by_commit() -> None:
    for workflow in (ROOT / ".github" / "workflows").glob("*.yml"):
        used = re.findall(r"uses: *(\S+)(.*)", workflow.read_text())
        assert used
        for action, comment in used:
            assert re.fullmatch(r"[\w-]+/[\w/-]+@[0-9a-f]{40}", action), action
            assert re.fullmatch(r" # v\d+\.\d+\.\d+", comment), action
