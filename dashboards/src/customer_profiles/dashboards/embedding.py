"""Escape data for the place in a page where they stand.

Everything that the report writes into HTML passes through `embed`.
"""

from __future__ import annotations

import html
import json
import re
from enum import Enum, auto
from typing import Any

_JSON_ESCAPES = str.maketrans(
    {character: f"\\u{ord(character):04x}" for character in "<>&\u2028\u2029"}
)
_NOT_XML = re.compile("[^\\t\\n\\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Every character that XML 1.0 does not allow, such as U+FFFE and lone surrogates."""
REPLACEMENT = "\ufffd"
MAX_PICTURE_TEXT = 1_000
"""Characters of a text in a picture. Labels show fewer than a hundred of them, and the time to draw
a picture grows with the square of their number."""


class Place(Enum):
    """Where in a page data can stand."""

    SCRIPT = auto()
    """In a `<script>` element, as a JavaScript literal."""
    MARKUP = auto()
    """As the text of an element, or as the value of an attribute in quotes."""


def embed(data: Any, place: Place) -> str:
    """Return data as text that means the same in a page, and that cannot end the place it is in.

    Args:
        data: JSON-like data for a script, or a text for markup. Characters that HTML has no way to
            write, such as U+0000, become U+FFFD in markup.
        place: where the text will stand.
    """
    if place is Place.SCRIPT:
        # "</script" and "<!--" change how a browser reads a script, even inside a string. JSON has
        # these characters in strings only, so their escapes mean the same.
        return json.dumps(data).translate(_JSON_ESCAPES)
    return html.escape(to_xml_text(str(data)), quote=True).replace("\r", "&#13;")


def to_xml_text(text: str) -> str:
    """Replace the characters that XML does not allow by U+FFFD."""
    return _NOT_XML.sub(REPLACEMENT, text)


def for_picture(data: Any) -> Any:
    """Return JSON-like data with texts that the library that draws pictures can take.

    It passes texts through SVG, which is XML. A character that XML does not allow ends its process.
    """
    if isinstance(data, str):
        text = to_xml_text(data)
        return text if len(text) <= MAX_PICTURE_TEXT else f"{text[:MAX_PICTURE_TEXT]}…"
    if isinstance(data, dict):
        return {name: for_picture(value) for name, value in data.items()}
    if isinstance(data, list):
        return [for_picture(value) for value in data]
    return data
