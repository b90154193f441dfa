"""Prometheus' text format 0.0.4: the samples of a process, written and read again.

The format is that of https://prometheus.io/docs/instrumenting/exposition_formats/. Only files that
this module wrote are read, to go on with their counters.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

Labels = tuple[tuple[str, str], ...]
"""Label names and values, sorted by name."""

_SAMPLE = re.compile(r"([a-z_:][a-z0-9_:]*)(?:\{(.*)\})? (\S+)")
_LABEL = re.compile(r'([a-z_]+)="((?:[^"\\]|\\.)*)"')
_ESCAPED = {"\\": r"\\", '"': r"\"", "\n": r"\n"}
_UNESCAPED = {r"\\": "\\", r"\"": '"', r"\n": "\n"}


class Family(NamedTuple):
    """A metric: its name, its kind, its meaning and its samples."""

    name: str
    kind: str
    """`counter`, `gauge` or `histogram`."""
    help: str
    samples: Mapping[tuple[str, Labels], float]
    """Values by the sample's name, such as `…_bucket`, and its labels."""


def labels_of(values: Mapping[str, str]) -> Labels:
    """Return labels in the order in which they are written."""
    return tuple(sorted(values.items()))


def render(families: Iterable[Family]) -> str:
    """Write metrics in the text format. A metric without samples is left out."""
    lines: list[str] = []
    for family in families:
        if not family.samples:
            continue
        meaning = family.help.replace("\\", r"\\").replace("\n", r"\n")
        lines += [f"# HELP {family.name} {meaning}", f"# TYPE {family.name} {family.kind}"]
        lines += [
            f"{name}{_labels_text(labels)} {_number_text(value)}"
            for (name, labels), value in family.samples.items()
        ]
    return "".join(f"{line}\n" for line in lines)


def read_samples(text: str) -> dict[tuple[str, Labels], float]:
    """Read the samples that `render` wrote. Lines that are none are left out."""
    samples: dict[tuple[str, Labels], float] = {}
    # Not splitlines: a label may hold other line separators.
    for line in text.split("\n"):
        match = _SAMPLE.fullmatch(line)
        if match is None:
            continue
        pairs = {name: _unescape(value) for name, value in _LABEL.findall(match[2] or "")}
        try:
            samples[match[1], labels_of(pairs)] = float(match[3])
        except ValueError:
            continue
    return samples


def _labels_text(labels: Labels) -> str:
    if not labels:
        return ""
    pairs = (f'{name}="{_escape(value)}"' for name, value in labels)
    return "{" + ",".join(pairs) + "}"


def _escape(value: str) -> str:
    return "".join(_ESCAPED.get(character, character) for character in value)


def _unescape(value: str) -> str:
    return re.sub(r"\\.", lambda found: _UNESCAPED.get(found[0], found[0]), value)


def _number_text(value: float) -> str:
    if math.isinf(value) or math.isnan(value):
        return {math.inf: "+Inf", -math.inf: "-Inf"}.get(value, "NaN")
    return str(int(value)) if value == int(value) else repr(value)
