"""The connection to Elasticsearch, and what its errors mean."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import pytest
from elastic_transport import TlsError
from elasticsearch import ConnectionError as NoAnswerError
from elasticsearch import ConnectionTimeout, TransportError

from customer_profiles.common.errors import PipelineError
from customer_profiles.search.client import ElasticsearchConfig, connect, translate_errors
from customer_profiles.search.errors import IndexRefusedError, IndexUnavailableError
from tests.unit.search.support import api_error

# Nothing listens on port 9.
UNREACHABLE = ElasticsearchConfig("http://127.0.0.1:9", "hidden")


def test_an_unreachable_elasticsearch_is_reported_with_the_next_action() -> None:
    expected = (
        r"(?s)Elasticsearch does not answer on http://127\.0\.0\.1:9; .*`make up`.*catches up"
    )
    with pytest.raises(IndexUnavailableError, match=expected), translate_errors(UNREACHABLE.url):
        connect(UNREACHABLE).info()


@pytest.mark.parametrize("error", [NoAnswerError, ConnectionTimeout, TlsError])
def test_no_answer_after_all_retries_is_reported_whatever_its_kind(
    error: type[TransportError],
) -> None:
    expected = "Elasticsearch does not answer"
    with pytest.raises(IndexUnavailableError, match=expected), translate_errors(UNREACHABLE.url):
        raise error("no answer")


def test_a_refusal_is_reported() -> None:
    expected = r"Elasticsearch on http://127\.0\.0\.1:9 refuses: .*security_exception"
    with pytest.raises(IndexRefusedError, match=expected), translate_errors(UNREACHABLE.url):
        raise api_error(403, "security_exception")


def test_other_errors_pass_unchanged() -> None:
    with pytest.raises(PipelineError, match=r"^unchanged$"), translate_errors(UNREACHABLE.url):
        raise PipelineError("unchanged")


def test_a_connection_comes_from_settings_and_hides_its_password() -> None:
    password = SimpleNamespace(get_secret_value=lambda: "hidden")
    settings = SimpleNamespace(
        elasticsearch_url=UNREACHABLE.url,
        elasticsearch_user="elastic",
        elasticsearch_password=password,
    )
    config = ElasticsearchConfig.from_settings(settings)
    assert config == UNREACHABLE
    assert "hidden" not in repr(config)


@pytest.mark.parametrize(
    ("modules", "absent"),
    [
        ("profiles.aggregate, profiles.event_counts, profiles.totals", "elasticsearch"),
        ("search.documents, search.mapping", "elasticsearch"),
        ("search.profile_index, search.metrics_indices", "tenacity"),
        ("search.profile_index, search.metrics_indices", "pydantic"),
    ],
)
def test_a_module_does_not_import_heavy_packages_at_start_up(modules: str, absent: str) -> None:
    names = ", ".join(f"customer_profiles.{name}" for name in modules.split(", "))
    code = f"import sys, {names}; sys.exit({absent!r} in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
