"""What a browser may do with the page, as headers of every response, and with the report."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Mapping

from starlette.datastructures import MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PAGE_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        # The empty icon of the page.
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
"""The Content-Security-Policy of the page: its own files and its own data, and nothing inline."""
SECURITY_HEADERS: Mapping[str, str] = {
    "content-security-policy": PAGE_POLICY,
    "x-content-type-options": "nosniff",
    # For browsers that do not know frame-ancestors.
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    # Another site in the same browser may neither embed a response nor hold on to the window.
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}
"""The headers of every response."""


def report_policy(scripts: Iterable[str], styles: Iterable[str]) -> str:
    """Return the policy of a report, which is one file: exactly its own scripts and styles.

    Args:
        scripts: the content of each script element.
        styles: the content of each style element.
    """
    return "; ".join(
        (
            "default-src 'none'",
            f"script-src {' '.join(map(_source_of, scripts))}",
            f"style-src {' '.join(map(_source_of, styles))}",
            "base-uri 'none'",
            "form-action 'none'",
        )
    )


def _source_of(content: str) -> str:
    digest = hashlib.sha256(content.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"


class SecurityHeaders:
    """Middleware that adds `SECURITY_HEADERS` to every response.

    A response that does not say otherwise is not stored: profiles are personal data.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Handle one connection."""

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                add_headers(MutableHeaders(scope=message))
            await send(message)

        await self._app(scope, receive, send_with_headers)


def add_headers(headers: MutableHeaders) -> None:
    """Add the headers of every response to those of one."""
    headers.setdefault("cache-control", "no-store")
    headers.update(SECURITY_HEADERS)
