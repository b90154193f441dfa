"""MinIO, the object store of the data lake."""

from __future__ import annotations

from stack.server import Server, http_ok
from stack.settings import Settings


def minio(settings: Settings) -> Server:
    """Describe the server: one folder of data, API and console on loopback."""
    folder = settings.data("minio")
    address = settings.address("MINIO_PORT")
    console = settings.address("MINIO_CONSOLE_PORT")
    return Server(
        name="minio",
        command=[
            *(str(settings.dist / "minio" / "minio"), "server", "--quiet"),
            *("--address", address, "--console-address", console, str(folder)),
        ],
        env={
            "MINIO_ROOT_USER": settings.minio_user,
            "MINIO_ROOT_PASSWORD": settings.minio_password,
            "MINIO_UPDATE": "off",
            "MINIO_CALLHOME_ENABLE": "off",
            # By default, Go returns memory to the system late and lets garbage grow as large as
            # the memory in use.
            "GOMEMLIMIT": "512MiB",
            "GOGC": "50",
        },
        ports=("MINIO_PORT", "MINIO_CONSOLE_PORT"),
        ready=lambda: http_ok(f"http://{address}/minio/health/ready"),
        address=f"http://{address}, console http://{console}",
        prepare=lambda: folder.mkdir(parents=True, exist_ok=True),
    )
