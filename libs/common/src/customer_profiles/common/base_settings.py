"""The base class of every settings class: reads a mapping and names all problems at once."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any, Self

from pydantic import AliasChoices, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from customer_profiles.common.errors import SettingsError

logger = logging.getLogger(__name__)


class PipelineSettings(BaseSettings):
    """Base of all settings classes: frozen, and read from a mapping by `from_env`."""

    model_config = SettingsConfigDict(
        frozen=True,
        # Tests and libraries construct settings by field name, from_env by environment variable.
        validate_by_name=True,
        validate_by_alias=True,
        # A message of pydantic's own must not show a secret.
        hide_input_in_errors=True,
        # The mixins are never instantiated: build a validator only for the class that is used.
        defer_build=True,
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 (the signature is pydantic-settings' own)
        init_settings: PydanticBaseSettingsSource,
        *_: PydanticBaseSettingsSource,
        **__: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Make the constructor use its arguments only. `from_env` reads the environment."""
        return (init_settings,)

    @classmethod
    def from_env(cls, environ: Mapping[str, str]) -> Self:
        """Read the settings from a mapping, usually the result of `load_environ`.

        Args:
            environ: Environment variables. Empty values count as unset, unknown names are ignored.

        Returns:
            The validated settings.

        Raises:
            SettingsError: Values are missing or malformed. The message names all of them.
        """
        source = EnvSettingsSource(cls, case_sensitive=True)
        names = [name for field in cls.model_fields for name in environment_names(cls, field)]
        # Replace the process environment, which the source has read, by the mapping.
        source.env_vars = {name: environ[name] for name in names if environ.get(name)}
        try:
            settings = cls.model_validate(source())
        except ValidationError as error:
            raise SettingsError(_describe(cls, error, environ)) from None
        _warn_of_old_names(cls, environ)
        return settings


def environment_names(settings: type[PipelineSettings], field: str) -> tuple[str, ...]:
    """Return the environment variables of a field: the current name, then old names still read."""
    alias = settings.model_fields[field].validation_alias
    match alias:
        case str():
            return (alias,)
        case AliasChoices():
            return tuple(str(choice) for choice in alias.choices)
        case _:
            raise TypeError(f"{settings.__name__}.{field} has no environment variable.")


def _describe(
    settings: type[PipelineSettings], error: ValidationError, environ: Mapping[str, str]
) -> str:
    problems = [
        _problem(settings, detail, environ)
        for detail in error.errors(include_url=False)
        # A derived default needs the other fields. What is wrong with them is listed already.
        if detail["type"] != "default_factory_not_called"
    ]
    return (
        "The settings are not usable: "
        + "; ".join(problems)
        + ".\nRun `make setup`, or correct .env."
    )


def _problem(
    settings: type[PipelineSettings], detail: Mapping[str, Any], environ: Mapping[str, str]
) -> str:
    """Say what is wrong with one setting: "NAME is not set" or "NAME=value is not …"."""
    cause = detail.get("ctx", {}).get("error")
    reason = str(cause) if cause else detail["msg"]
    if not detail["loc"]:
        return reason
    location = detail["loc"][0]
    for field in settings.model_fields:
        names = environment_names(settings, field)
        if location not in (field, *names):
            continue
        name = next((name for name in names if environ.get(name)), names[0])
        if detail["type"] == "missing":
            return f"{name} is not set"
        if settings.model_fields[field].annotation is SecretStr:
            return f"{name} {reason}"
        return f"{name}={environ.get(name, '')} {reason}"
    return f"{location} {reason}"


def _warn_of_old_names(settings: type[PipelineSettings], environ: Mapping[str, str]) -> None:
    for field in settings.model_fields:
        name, *old_names = environment_names(settings, field)
        for old_name in old_names:
            if environ.get(old_name) and not environ.get(name):
                logger.warning(
                    "%s is the old name of %s. Rename it in .env.",
                    old_name,
                    name,
                    extra={"event": "old_setting_name", "setting": name},
                )
