"""The connection to Elasticsearch, and what its errors mean."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol, Self

from elasticsearch import ApiError, ConnectionTimeout, Elasticsearch
from elasticsearch import ConnectionError as NoAnswerError

from customer_profiles.common.defaults import ELASTIC_USER
from customer_profiles.search.errors import IndexRefusedError, IndexUnavailableError

REQUEST_TIMEOUT_S = 60
RETRIES = 3
"""How often the client repeats a request that got no answer."""


class _Secret(Protocol):
    def get_secret_value(self) -> str: ...


class ElasticsearchSettings(Protocol):
    """The settings that describe a connection, with the password as pydantic's `SecretStr`."""

    @property
    def elasticsearch_url(self) -> str:
        """Where Elasticsearch answers, such as `http://127.0.0.1:9200`."""
        ...

    @property
    def elasticsearch_user(self) -> str:
        """The account to use."""
        ...

    @property
    def elasticsearch_password(self) -> _Secret:
        """The password of that account; empty if Elasticsearch has no accounts."""
        ...


@dataclass(frozen=True, slots=True)
class ElasticsearchConfig:
    """Where Elasticsearch answers, and the account to use.

    The password is empty if Elasticsearch has no accounts.
    """

    url: str
    password: str = field(default="", repr=False)
    user: str = ELASTIC_USER

    @classmethod
    def from_settings(cls, settings: ElasticsearchSettings) -> Self:
        """Take the connection out of an application's settings."""
        password = settings.elasticsearch_password.get_secret_value()
        return cls(settings.elasticsearch_url, password, settings.elasticsearch_user)


def connect(config: ElasticsearchConfig) -> Elasticsearch:
    """Create a client. It connects with its first request."""
    return Elasticsearch(
        config.url,
        basic_auth=(config.user, config.password) if config.password else None,
        request_timeout=REQUEST_TIMEOUT_S,
        retry_on_timeout=True,
        max_retries=RETRIES,
    )


@contextmanager
def translate_errors(url: str) -> Iterator[None]:
    """Turn errors of the Elasticsearch client into errors that name the next action.

    Args:
        url: where Elasticsearch should answer; part of the message.

    Raises:
        IndexUnavailableError: Elasticsearch does not answer.
        IndexRefusedError: Elasticsearch refuses the request.
    """
    try:
        yield
    # A timeout is no kind of the client's ConnectionError.
    except (NoAnswerError, ConnectionTimeout) as error:
        raise IndexUnavailableError(
            f"Elasticsearch does not answer on {url}; what is in the lake is safe.\n"
            "Run `make up` to start the stack, or `make status`; then run the command again: "
            "it catches up."
        ) from error
    except ApiError as error:
        raise IndexRefusedError(f"Elasticsearch on {url} refuses: {error}") from error
