"""A second stack beside the usual one, for tests and benchmarks."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path

from customer_profiles.common.defaults import STACK_HOME
from stack.ports import is_free
from stack.settings import MONITORING_PORT_NAMES, PORT_NAMES, ROOT

PORTS = range(15_000, 32_000)
"""Systems give ports above this range to outgoing connections, at any moment."""


def isolated_environment(home: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment in which every command works on a stack of its own.

    The stack has its own ports, data, logs and reports. It shares the built servers.

    Args:
        home: the folder of the stack.
        environ: the environment to start from.
    """
    # At random, because other processes may choose ports at the same time.
    candidates = random.sample(PORTS, len(PORTS))
    free = (port for port in candidates if is_free(port))
    names = (*PORT_NAMES, *MONITORING_PORT_NAMES)
    ports = {name: str(port) for name, port in zip(names, free, strict=False)}
    addresses = (
        "KAFKA_BOOTSTRAP_SERVERS",
        "SPARK_MASTER_URL",
        "MINIO_ADDRESS",
        "ELASTICSEARCH_URL",
    )
    usual_home = ROOT / (environ.get("STACK_HOME") or STACK_HOME)
    return {
        **environ,
        **ports,
        # Empty addresses are derived from the ports.
        **dict.fromkeys(addresses, ""),
        "STACK": "native",
        "STACK_HOME": str(home),
        "STACK_DIST": environ.get("STACK_DIST") or str(usual_home / "dist"),
        "REPORTS": str(home / "reports"),
    }
