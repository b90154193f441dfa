"""A second stack beside the usual one, for tests and benchmarks: ports, data and reports of its own."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from stack.settings import PORT_DEFAULTS, ROOT


def apart(home: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """The environment in which every command works on a stack under `home`; the built servers are shared."""
    with ExitStack() as held:
        # All are held until all are known, so that none is given twice.
        probes = {name: held.enter_context(socket.socket()) for name in PORT_DEFAULTS}
        for probe in probes.values():
            probe.bind(("127.0.0.1", 0))
        ports = {name: str(probe.getsockname()[1]) for name, probe in probes.items()}
    addresses = ("KAFKA_BOOTSTRAP_SERVERS", "SPARK_MASTER_URL", "MINIO_ADDRESS", "ELASTICSEARCH_URL")
    return {
        **environ,
        **ports,
        # Derived from the ports where they are empty.
        **dict.fromkeys(addresses, ""),
        "STACK": "native",
        "STACK_HOME": str(home),
        "STACK_DIST": environ.get("STACK_DIST") or str(ROOT / (environ.get("STACK_HOME") or ".stack") / "dist"),
        "REPORTS": str(home / "reports"),
    }
