"""Vega, from the package that also draws the report's pictures. So the page works offline."""

from __future__ import annotations

import vl_convert

VL_VERSION = "6.4"
"""The version of Vega-Lite."""


def javascript_bundle() -> str:
    """Return Vega, Vega-Lite and Vega-Embed as one script, which defines `vegaEmbed` and `vega`."""
    script: str = vl_convert.javascript_bundle(vl_version=VL_VERSION)  # type: ignore[call-arg]
    return script
