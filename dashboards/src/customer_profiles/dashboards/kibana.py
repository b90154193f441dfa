"""Import the saved objects into Kibana: `python -m customer_profiles.dashboards.kibana URL`.

Compose runs this module in a container without this package's dependencies. So it and the modules
that it imports use only the standard library.
"""

from __future__ import annotations

import json
import os
import sys
import urllib.error
import urllib.request
import uuid
from datetime import UTC, datetime

from customer_profiles.common.console import printable
from customer_profiles.dashboards.data_range import ask_time_range, authorization
from customer_profiles.dashboards.saved_objects import TimeRange, to_ndjson

TIMEOUT_S = 60
PAGE_PORT = 8050
"""The default port of the page that shows one customer."""
SHOWN_LENGTH = 300
"""Characters of a reply of Kibana in a message."""


class KibanaError(RuntimeError):
    """Kibana did not take the objects."""


def import_objects(url: str, password: str, ndjson: str) -> int:
    """Import saved objects, over those of an earlier version.

    Args:
        url: the address of Kibana.
        password: of the account `elastic`; empty if Kibana asks for none.
        ndjson: the objects, as `to_ndjson` writes them.

    Returns:
        How many objects were imported.

    Raises:
        KibanaError: Kibana does not answer, or refuses an object. Its replies are escaped.
    """
    request = _request(url, password, ndjson)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
            result = json.load(response)
    except urllib.error.HTTPError as error:
        raise KibanaError(f"Kibana refuses: {error.code} {_reply(error)}") from error
    except (OSError, ValueError) as error:
        raise KibanaError(
            f"Kibana does not answer on {url}: {printable(str(error), SHOWN_LENGTH)}. "
            "Run `make status` to see if it runs."
        ) from error
    if not result.get("success"):
        errors = printable(json.dumps(result.get("errors"), ensure_ascii=False), SHOWN_LENGTH)
        raise KibanaError(
            f"Kibana took {int(result.get('successCount', 0))} objects and refused the others: "
            f"{errors}"
        )
    return int(result["successCount"])


def _reply(error: urllib.error.HTTPError) -> str:
    """Return the beginning of a refusal for a terminal: another program wrote it."""
    return printable(error.read()[:SHOWN_LENGTH].decode(errors="replace"))


def data_range(url: str | None, password: str) -> TimeRange | None:
    """Return the time range of the data.

    Args:
        url: the address of Elasticsearch; None if it is not known.
        password: of the account `elastic`.

    Raises:
        KibanaError: Elasticsearch does not answer.
    """
    if not url:
        return None
    try:
        return ask_time_range(url, password, datetime.now(UTC))
    except (OSError, ValueError, KeyError) as error:
        raise KibanaError(
            f"Elasticsearch does not say which time range it has ({url}): "
            f"{printable(str(error), SHOWN_LENGTH)}. Run `make status` to see if it runs."
        ) from error


def _request(url: str, password: str, ndjson: str) -> urllib.request.Request:
    boundary = uuid.uuid4().hex
    body = (
        f"--{boundary}\r\n"
        'Content-Disposition: form-data; name="file"; filename="dashboards.ndjson"\r\n'
        f"Content-Type: application/ndjson\r\n\r\n{ndjson}\r\n--{boundary}--\r\n"
    )
    headers = {
        "kbn-xsrf": "true",
        "content-type": f"multipart/form-data; boundary={boundary}",
        **authorization(password),
    }
    endpoint = f"{url.rstrip('/')}/api/saved_objects/_import?overwrite=true"
    return urllib.request.Request(endpoint, body.encode(), headers)


def main(arguments: list[str]) -> int:
    """Import the saved objects into the Kibana at the given address. Returns the exit code.

    `ELASTICSEARCH_URL` names the Elasticsearch whose time range the dashboards open on,
    `ELASTIC_PASSWORD` its password, and `DASHBOARD_PORT` the port of the page.
    """
    if len(arguments) != 1:
        print(
            "usage: python -m customer_profiles.dashboards.kibana URL (password: ELASTIC_PASSWORD)",
            file=sys.stderr,
        )
        return 2
    password = os.environ.get("ELASTIC_PASSWORD", "")
    try:
        time_range = data_range(os.environ.get("ELASTICSEARCH_URL"), password)
        port = int(os.environ.get("DASHBOARD_PORT") or PAGE_PORT)
        count = import_objects(arguments[0], password, to_ndjson(time_range, port))
    except KibanaError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(said(count, time_range))
    return 0


def said(count: int, time_range: TimeRange | None) -> str:
    """Return what a person reads after an import."""
    if time_range is None:
        return f"{count} saved objects are in Kibana; there are no events yet"
    return (
        f"{count} saved objects are in Kibana; "
        f"the dashboards open on {time_range.since} to {time_range.until}"
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
