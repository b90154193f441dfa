"""Where the lake is, and the account to use."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol, Self

from customer_profiles.lake.layout import S3_BUCKET


class _Secret(Protocol):
    def get_secret_value(self) -> str: ...


class LakeSettings(Protocol):
    """The settings that describe a lake, with the password as pydantic's `SecretStr`."""

    @property
    def minio_address(self) -> str:
        """`host:port` of MinIO."""
        ...

    @property
    def minio_user(self) -> str:
        """The access key."""
        ...

    @property
    def minio_password(self) -> _Secret:
        """The secret key."""
        ...


@dataclass(frozen=True, slots=True)
class S3Config:
    """The connection to a lake. Small and picklable: Spark sends it with every task."""

    address: str
    """`host:port` of MinIO, which answers over http with path-style addresses."""
    access_key: str
    secret_key: str = field(repr=False)
    bucket: str = S3_BUCKET

    @classmethod
    def from_settings(cls, settings: LakeSettings) -> Self:
        """Take the connection from an application's settings."""
        password = settings.minio_password.get_secret_value()
        return cls(settings.minio_address, settings.minio_user, password)
