"""Import the saved objects into Kibana: `python -m customer_profiles.dashboards.kibana URL`.

Compose runs this module in a container without this package's dependencies. So it and the modules
that it imports use only the standard library.
"""

from __future__ import annotations

import base64
import json
import os
import sys
import urllib.error
import urllib.request
import uuid

from customer_profiles.dashboards.saved_objects import to_ndjson

TIMEOUT_S = 60
ACCOUNT = "elastic"


class KibanaError(RuntimeError):
    """Kibana did not take the objects."""


def import_objects(url: str, password: str) -> int:
    """Import the saved objects, over those of an earlier version.

    Args:
        url: the address of Kibana.
        password: of the account `elastic`; empty if Kibana asks for none.

    Returns:
        How many objects were imported.

    Raises:
        KibanaError: Kibana does not answer, or refuses an object.
    """
    request = _request(url, password)
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S) as response:
            result = json.load(response)
    except urllib.error.HTTPError as error:
        detail = error.read()[:300].decode(errors="replace")
        raise KibanaError(f"Kibana refuses: {error.code} {detail}") from error
    except OSError as error:
        raise KibanaError(
            f"Kibana does not answer on {url}: {error}. Run `make status` to see if it runs."
        ) from error
    if not result.get("success"):
        raise KibanaError(
            f"Kibana took {result.get('successCount', 0)} objects and refused the others: "
            f"{result.get('errors')}"
        )
    return int(result["successCount"])


def _request(url: str, password: str) -> urllib.request.Request:
    boundary = uuid.uuid4().hex
    body = (
        f"--{boundary}\r\n"
        'Content-Disposition: form-data; name="file"; filename="dashboards.ndjson"\r\n'
        f"Content-Type: application/ndjson\r\n\r\n{to_ndjson()}\r\n--{boundary}--\r\n"
    )
    headers = {"kbn-xsrf": "true", "content-type": f"multipart/form-data; boundary={boundary}"}
    if password:
        credentials = base64.b64encode(f"{ACCOUNT}:{password}".encode()).decode()
        headers["authorization"] = f"Basic {credentials}"
    endpoint = f"{url.rstrip('/')}/api/saved_objects/_import?overwrite=true"
    return urllib.request.Request(endpoint, body.encode(), headers)


def main(arguments: list[str]) -> int:
    """Import the saved objects into the Kibana at the given address. Returns the exit code."""
    if len(arguments) != 1:
        print(
            "usage: python -m customer_profiles.dashboards.kibana URL (password: ELASTIC_PASSWORD)",
            file=sys.stderr,
        )
        return 2
    try:
        count = import_objects(arguments[0], os.environ.get("ELASTIC_PASSWORD", ""))
    except KibanaError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{count} saved objects are in Kibana")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
