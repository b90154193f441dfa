"""A second stack beside the usual one, for tests and benchmarks."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path

from customer_profiles.common.defaults import HOST, STACK_HOME
from stack.settings import PORT_NAMES, ROOT


def isolated_environment(home: Path, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment in which every command works on a stack of its own.

    The stack has its own ports, data, logs and reports. It shares the built servers.

    Args:
        home: the folder of the stack.
        environ: the environment to start from.
    """
    with ExitStack() as sockets:
        # Keep every socket open until all ports are known, so that no port is chosen twice.
        probes = {name: sockets.enter_context(socket.socket()) for name in PORT_NAMES}
        for probe in probes.values():
            probe.bind((HOST, 0))
        ports = {name: str(probe.getsockname()[1]) for name, probe in probes.items()}
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
