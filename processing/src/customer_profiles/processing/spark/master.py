"""What the Spark master's page says about a run that got no worker."""

from __future__ import annotations

import json
import urllib.request
from collections.abc import Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_S = 2.0


def read_master(master: str, ports: Iterable[int]) -> dict[str, Any] | None:
    """Read the state of the master from its page.

    Args:
        master: the master's URL, such as `spark://127.0.0.1:7077`.
        ports: where its page may be, in the order of trying. In a container it is not the port
            that people use.

    Returns:
        The content of `/json/`; None if the page does not answer.
    """
    # The master is never behind a proxy.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    for port in dict.fromkeys(ports):
        url = f"http://{urlsplit(master).hostname}:{port}/json/"
        try:
            with opener.open(url, timeout=TIMEOUT_S) as answer:
                content = json.load(answer)
        except (OSError, ValueError):
            continue
        if isinstance(content, dict) and {"workers", "activeapps"} <= content.keys():
            return content
    return None


def missing_worker_cause(state: Mapping[str, Any], application: str) -> str | None:
    """Explain why an application has no worker, with the next action.

    Args:
        state: what `read_master` returns.
        application: the id of the application at the master.

    Returns:
        A sentence or two; None if the state does not explain it.
    """
    workers = [worker for worker in state["workers"] if worker["state"] == "ALIVE"]
    if not workers:
        return "No worker is connected to the master. `make up` starts one."
    apps = {app["id"]: app for app in state["activeapps"]}
    needed = apps.pop(application, {}).get("memoryperexecutor")
    if needed is None:
        return None
    largest = max(worker["memory"] for worker in workers)
    if largest < needed:
        return (
            f"Its largest worker has {largest:,} MB and this run asks for {needed:,} MB: raise "
            "SPARK_WORKER_MEMORY or lower SPARK_EXECUTOR_MEMORY in .env, then run `make up`."
        )
    others = [app for app in apps.values() if app["state"] == "RUNNING"]
    holders = ", ".join(f"{app['name']} ({app['id']}, since {app['submitdate']})" for app in others)
    with_cores = [worker for worker in workers if worker["coresfree"] > 0]
    if not with_cores and others:
        return f"Another run holds all cores: {holders}. Wait for its end, or stop it."
    free = max((worker["memoryfree"] for worker in with_cores), default=0)
    if with_cores and free < needed:
        holder = f" Another run holds the rest: {holders}." if others else ""
        return (
            f"The workers with free cores have {free:,} MB free and this run asks for "
            f"{needed:,} MB (SPARK_EXECUTOR_MEMORY).{holder}"
        )
    return None
