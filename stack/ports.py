"""Which ports of the loopback address are free, and which program holds a taken one."""

from __future__ import annotations

import socket

import psutil

from customer_profiles.common.defaults import HOST


def is_free(port: int) -> bool:
    """Return whether a server could listen on this port of the loopback address."""
    with socket.socket() as probe:
        # The servers set this option, too. Without it, closing connections would count as taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def describe_holder(port: int) -> str:
    """Return ` by NAME (pid PID)` for the program that listens on a port, or nothing if unknown."""
    try:
        connections = psutil.net_connections("tcp")
    except psutil.AccessDenied:
        return ""
    for connection in connections:
        if connection.status != psutil.CONN_LISTEN or not connection.pid or not connection.laddr:
            continue
        if connection.laddr.port == port:
            try:
                return f" by {psutil.Process(connection.pid).name()} (pid {connection.pid})"
            except psutil.NoSuchProcess:
                return ""
    return ""
