"""The words of a message about alerts."""

from __future__ import annotations

from collections.abc import Sequence

from customer_profiles.common.console import printable_lines
from customer_profiles.monitoring.alerts.model import AlertState, Message

MAX_LISTED = 20
"""Alerts of one kind in a message; the others are counted."""
TEST_TITLE = "Customer profiles: test of the alerts"
TEST_BODY = "This message is a test: `make alerts TEST=1` sent it. Nothing is wrong."


def title_of(message: Message) -> str:
    """Return the title: how many alerts there are, or the one there is."""
    if len(message.new) + len(message.lasting) == 1 and not message.over:
        (known,) = (*message.new, *message.lasting)
        again = " (still)" if message.lasting else ""
        return f"Customer profiles: {known.alert.name}{again}"
    parts = [
        f"{len(states)} {word}"
        for states, word in (
            (message.new, "new"),
            (message.lasting, "lasting"),
            (message.over, "over"),
        )
        if states
    ]
    number = len(message.new) + len(message.lasting) + len(message.over)
    return f"Customer profiles: {', '.join(parts)} alert{'s' if number > 1 else ''}"


def body_of(message: Message) -> str:
    """Return the text: each alert in one paragraph, with the command that shows more."""
    sections = [
        *_section("New", message.new),
        *_section("Still firing", message.lasting),
        *_section("Over", message.over),
    ]
    return "\n\n".join(sections)


def _section(title: str, states: Sequence[AlertState]) -> list[str]:
    if not states:
        return []
    paragraphs = [f"{title}:"]
    for known in states[:MAX_LISTED]:
        alert = known.alert
        lines = [f"[{alert.severity.value}] {alert.name}: {printable_lines(alert.summary)}"]
        moment = known.since.strftime("%Y-%m-%d %H:%M UTC")
        if known.over is not None:
            lines.append(f"From {moment} to {known.over.strftime('%Y-%m-%d %H:%M UTC')}.")
        else:
            lines += [f"Since {moment}.", f"See: {printable_lines(alert.command)}"]
            lines.append(f"Silence it: make alerts SILENCE='{alert.fingerprint}' FOR=24h")
        paragraphs.append("\n".join(lines))
    if len(states) > MAX_LISTED:
        paragraphs.append(f"… and {len(states) - MAX_LISTED} more: make alerts")
    return paragraphs
