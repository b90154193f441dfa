from __future__ import annotations

import logging
from pathlib import Path

import pytest
from pydantic import AliasChoices, Field, SecretStr, ValidationError

from customer_profiles.common import defaults
from customer_profiles.common.errors import SettingsError
from customer_profiles.common.setting_types import Percentage, WholeNumber
from customer_profiles.common.settings import (
    KafkaSettings,
    LakeSettings,
    LogSettings,
    PipelineSettings,
    ReportSettings,
    SearchSettings,
    environment_names,
)

REQUIRED = {"MINIO_ROOT_USER": "user", "MINIO_ROOT_PASSWORD": "geheim"}
MIXINS = (KafkaSettings, LakeSettings, SearchSettings, ReportSettings, LogSettings)


class Settings(KafkaSettings, LakeSettings, SearchSettings, ReportSettings, LogSettings):
    workers: WholeNumber = Field(1, validation_alias="WORKERS", description="Workers.")
    max_rejected: Percentage = Field(
        5.0,
        validation_alias=AliasChoices("MAX_REJECTED_PERCENT", "MAX_REJECTED"),
        description="Share.",
    )


def read(**environ: str) -> Settings:
    return Settings.from_env({**REQUIRED, **environ})


def test_every_address_has_a_default() -> None:
    settings = read()
    assert settings.kafka_bootstrap_servers == "127.0.0.1:9092"
    assert settings.minio_address == "127.0.0.1:9000"
    assert settings.elasticsearch_url == "http://127.0.0.1:9200"
    assert settings.reports == Path("reports")
    assert settings.elasticsearch_password.get_secret_value() == ""


def test_an_address_follows_its_port_unless_it_is_set() -> None:
    settings = read(KAFKA_PORT="19092", MINIO_PORT="19000", MINIO_ADDRESS="minio:9000")
    assert settings.kafka_bootstrap_servers == "127.0.0.1:19092"
    assert settings.minio_address == "minio:9000"


def test_only_the_mapping_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KAFKA_PORT", "1")
    monkeypatch.setenv("MINIO_ADDRESS", "elsewhere:1")
    monkeypatch.setenv("kafka_bootstrap_servers", "elsewhere:1")
    settings = read()
    assert settings.kafka_bootstrap_servers == "127.0.0.1:9092"
    assert settings.minio_address == "127.0.0.1:9000"
    assert KafkaSettings().kafka_port == 9092


def test_names_in_lower_case_are_not_settings() -> None:
    assert read(reports="elsewhere").reports == Path("reports")


def test_an_empty_value_counts_as_unset() -> None:
    assert read(KAFKA_PORT="", REPORTS="", WORKERS="").kafka_port == 9092
    with pytest.raises(SettingsError, match="MINIO_ROOT_USER is not set"):
        read(MINIO_ROOT_USER="")


def test_all_missing_and_malformed_settings_are_named_at_once() -> None:
    environ = {
        "WORKERS": "many",
        "KAFKA_PORT": "70000",
        "MINIO_ROOT_USER": "u",
        "LOG_LEVEL": "LOUD",
    }
    with pytest.raises(SettingsError) as failure:
        Settings.from_env(environ)
    message = str(failure.value)
    for problem in (
        "The settings are not usable: ",
        "WORKERS=many is not a whole number above 0",
        "KAFKA_PORT=70000 is not a whole number from 1 to 65535",
        "MINIO_ROOT_PASSWORD is not set",
        "LOG_LEVEL=LOUD is none of DEBUG, INFO, WARNING, ERROR",
        ".\nRun `make setup`, or correct .env.",
    ):
        assert problem in message
    # A malformed port leaves its address without a default; only the port is reported.
    assert "bootstrap" not in message.lower()
    assert "MINIO_ROOT_USER" not in message


def test_a_secret_is_never_shown(caplog: pytest.LogCaptureFixture) -> None:
    settings = read(ELASTIC_PASSWORD="sesame")
    assert settings.minio_password.get_secret_value() == "geheim"
    for text in (repr(settings), str(settings), f"{settings}", settings.model_dump_json()):
        assert "geheim" not in text
        assert "sesame" not in text


def test_a_malformed_secret_is_not_shown_in_the_error() -> None:
    class Strict(PipelineSettings):
        key: SecretStr = Field(validation_alias="KEY", description="Key.", min_length=32)

    with pytest.raises(SettingsError, match="KEY ") as failure:
        Strict.from_env({"KEY": "geheim"})
    assert "geheim" not in str(failure.value)
    assert failure.value.__cause__ is None
    with pytest.raises(ValidationError) as direct_failure:
        Strict(key=SecretStr("geheim"))
    assert "geheim" not in str(direct_failure.value)


def test_an_old_name_is_read_with_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    assert read(MAX_REJECTED="7%").max_rejected == 7
    assert "MAX_REJECTED is the old name of MAX_REJECTED_PERCENT" in caplog.text


def test_the_new_name_wins_without_a_warning(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    assert read(MAX_REJECTED="7", MAX_REJECTED_PERCENT="8").max_rejected == 8
    assert not caplog.records


def test_an_error_names_the_variable_that_was_set() -> None:
    with pytest.raises(SettingsError, match="MAX_REJECTED=lots is not a percentage from 0 to 100"):
        read(MAX_REJECTED="lots")


def test_settings_are_frozen() -> None:
    with pytest.raises(ValidationError):
        read().workers = 2  # type: ignore[misc]


def test_settings_can_be_created_by_field_name() -> None:
    settings = Settings(minio_user="u", minio_password=SecretStr("p"), kafka_port=1)
    assert settings.kafka_bootstrap_servers == "127.0.0.1:1"


@pytest.mark.parametrize("mixin", MIXINS, ids=lambda mixin: mixin.__name__)
def test_every_field_is_documented(mixin: type[PipelineSettings]) -> None:
    for name, info in mixin.model_fields.items():
        assert info.description
        assert environment_names(mixin, name)
        if info.default_factory:
            assert info.examples, f"{name} derives its default and needs an example of it"


def test_ports_come_from_the_defaults() -> None:
    settings = read()
    assert settings.kafka_port == defaults.PORTS["KAFKA_PORT"]
    assert settings.minio_port == defaults.PORTS["MINIO_PORT"]
    assert settings.elasticsearch_port == defaults.PORTS["ELASTICSEARCH_PORT"]


@pytest.mark.parametrize(
    ("environ", "protocol"),
    [
        ({}, "PLAINTEXT"),
        ({"KAFKA_PASSWORD": "only-for-tests"}, "SASL_PLAINTEXT"),
        # A broker of somebody's own, beside a generated password.
        (
            {"KAFKA_PASSWORD": "only-for-tests", "KAFKA_SECURITY_PROTOCOL": "PLAINTEXT"},
            "PLAINTEXT",
        ),
    ],
)
def test_a_password_decides_how_clients_talk_to_kafka(
    environ: dict[str, str], protocol: str
) -> None:
    assert KafkaSettings.from_env(environ).kafka_security_protocol == protocol


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({}, "id_of-this-stack"),
        ({"KAFKA_PORT": "19092"}, "id_of-this-stack"),
        ({"KAFKA_BOOTSTRAP_SERVERS": "kafka:29092"}, ""),
        ({"STACK_HOME": "elsewhere"}, ""),
    ],
)
def test_the_cluster_is_known_where_kafka_is_the_one_of_this_folder(
    tmp_path: Path, environ: dict[str, str], expected: str
) -> None:
    identity = tmp_path / "data" / "kafka" / "meta.properties"
    identity.parent.mkdir(parents=True)
    identity.write_text("#\n#Thu Sep 24\ncluster.id=id_of-this-stack\nversion=1\n")
    environ = {"STACK_HOME": str(tmp_path), **environ}
    assert KafkaSettings.from_env(environ).kafka_cluster_id == expected
