"""Two charts as SVG: intervals side by side, and an effect with its interval over time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from html import escape

WIDTH, LEFT, RIGHT = 760, 230, 50
ROW = 28
HEIGHT = 220
_TICKS = 5


@dataclass(frozen=True, slots=True)
class Bar:
    """One interval. None where an end does not exist."""

    label: str
    value: float | None
    low: float | None
    high: float | None


@dataclass(frozen=True, slots=True)
class Line:
    """An effect over time: label, value, low and high of each point."""

    label: str
    points: Sequence[tuple[str, float | None, float | None, float | None]]
    share: bool = True
    """Whether the values are shares, shown as percentages."""


def interval_chart(bars: Sequence[Bar], title: str) -> str:
    """Draw intervals below each other, with a line at no effect."""
    low, high = _range([value for bar in bars for value in (bar.low, bar.value, bar.high)])
    height = ROW * len(bars) + 50

    def x(value: float) -> float:
        return LEFT + (value - low) / (high - low) * (WIDTH - LEFT - RIGHT)

    parts = [_axis_x(low, high, x, height - 40)]
    for number, bar in enumerate(bars):
        y = ROW * number + ROW / 2
        parts.append(
            f'<text x="{LEFT - 10}" y="{y + 4:.0f}" text-anchor="end">{_cut(bar.label)}</text>'
        )
        ends = (low if bar.low is None else bar.low, high if bar.high is None else bar.high)
        parts.append(
            f'<line x1="{x(ends[0]):.1f}" x2="{x(ends[1]):.1f}" y1="{y:.0f}" y2="{y:.0f}" '
            'stroke="#4269d0" stroke-width="3"/>'
        )
        if bar.value is not None:
            parts.append(f'<circle cx="{x(bar.value):.1f}" cy="{y:.0f}" r="5" fill="#4269d0"/>')
    parts.append(_text(LEFT, height - 5, title))
    return _svg(height, title, parts)


def line_chart(line: Line, title: str) -> str:
    """Draw an effect with its interval over time; nothing if no point has a value."""
    points = [point for point in line.points if point[1] is not None]
    if not points:
        return ""
    low, high = _range([value for point in points for value in point[1:]])
    step = (WIDTH - 90 - RIGHT) / max(1, len(points) - 1)

    def y(value: float | None, otherwise: float) -> float:
        share = ((otherwise if value is None else value) - low) / (high - low)
        return HEIGHT - 40 - share * (HEIGHT - 60)

    def x(number: int) -> float:
        return 90 + number * step

    upper = [f"{x(n):.1f},{y(point[3], high):.1f}" for n, point in enumerate(points)]
    lower = [f"{x(n):.1f},{y(point[2], low):.1f}" for n, point in enumerate(points)]
    middle = [f"{x(n):.1f},{y(point[1], low):.1f}" for n, point in enumerate(points)]
    parts = [
        f'<line x1="90" x2="{WIDTH - RIGHT}" y1="{y(0, 0):.1f}" y2="{y(0, 0):.1f}" '
        'stroke="currentColor" stroke-dasharray="4"/>',
        f'<polygon points="{" ".join(upper + lower[::-1])}" fill="#4269d0" fill-opacity="0.2"/>',
        f'<polyline points="{" ".join(middle)}" fill="none" stroke="#4269d0" stroke-width="2"/>',
    ]
    for tick in range(_TICKS):
        value = low + (high - low) * tick / (_TICKS - 1)
        parts.append(_text(80, y(value, 0) + 4, _shown(value, line.share), "end"))
    every = max(1, len(points) // 6)
    parts += [
        _text(x(number), HEIGHT - 20, points[number][0], "middle")
        for number in range(0, len(points), every)
    ]
    parts.append(_text(90, HEIGHT - 5, f"{line.label}: {title}"))
    return _svg(HEIGHT, f"{line.label}: {title}", parts)


def _range(values: Sequence[float | None]) -> tuple[float, float]:
    """Return the bounds of an axis: all values and 0, and some room."""
    known = [value for value in values if value is not None] + [0.0]
    low, high = min(known), max(known)
    room = (high - low) * 0.08 or 1.0
    return low - room, high + room


def _axis_x(low: float, high: float, place: Callable[[float], float], bottom: float) -> str:
    zero = place(0.0)
    parts = [
        f'<line x1="{zero:.1f}" x2="{zero:.1f}" y1="0" y2="{bottom:.0f}" stroke="currentColor" '
        'stroke-dasharray="4"/>'
    ]
    for tick in range(_TICKS):
        value = low + (high - low) * tick / (_TICKS - 1)
        parts.append(_text(place(value), bottom + 14, _shown(value, share=True), "middle"))
    return "".join(parts)


def _shown(value: float, share: bool) -> str:
    return f"{100 * value:+.1f} %" if share else f"{value:+.3g}"


def _cut(text: str, length: int = 34) -> str:
    return escape(text if len(text) <= length else text[: length - 1] + "…")


def _text(x: float, y: float, text: str, anchor: str = "start") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(height: float, title: str, parts: Sequence[str]) -> str:
    return (
        f'<svg viewBox="0 0 {WIDTH} {height:.0f}" role="img" aria-label="{escape(title)}">'
        + "".join(parts)
        + "</svg>"
    )
