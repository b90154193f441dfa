"""Components are built once, and only on a disk that has room for them."""

from __future__ import annotations

import logging
import os
import shutil
import stat
from pathlib import Path
from types import SimpleNamespace

import pytest

from stack.components import RUN_SPACE, Component, check_space, install_components
from stack.errors import StackError
from tests.unit.stack.helpers import settings


def test_a_full_disk_is_reported_before_anything_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10**8))
    with pytest.raises(StackError, match=r"0\.1 GB free.*needs 0\.5 GB") as failure:
        check_space(tmp_path / "not" / "there", RUN_SPACE)
    assert "STACK_HOME" in str(failure.value)


def test_a_component_is_built_again_only_if_its_recipe_changes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    builds: list[str] = []
    recipe = tmp_path / "recipe"

    def install(content: str) -> None:
        recipe.write_text(content)

        def build(target: Path) -> None:
            builds.append(content)
            (target / "program").write_text(content)

        install_components([Component("server", (recipe,), build)], settings(tmp_path))

    caplog.set_level(logging.INFO, "stack")
    for content in ("old", "old", "new"):
        install(content)
    assert builds == ["old", "new"]
    assert (tmp_path / "dist" / "server" / "program").read_text() == "new"
    assert caplog.messages[0] == "installing server …"


def test_others_may_read_what_is_installed(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        component = Component("server", ("x",), lambda target: (target / "jar").write_text(""))  # type: ignore[arg-type]
        install_components([component], settings(tmp_path))
        assert os.umask(0o077) == 0o077
    finally:
        os.umask(before)
    # Images are built from it, and their servers run under other accounts.
    assert stat.S_IMODE((tmp_path / "dist" / "server" / "jar").stat().st_mode) == 0o644


def test_an_interrupted_build_does_not_count_as_installed(tmp_path: Path) -> None:
    def interrupt(target: Path) -> None:
        (target / "half").write_text("")
        raise KeyboardInterrupt

    component = Component("server", ("recipe",), interrupt)
    with pytest.raises(KeyboardInterrupt):
        install_components([component], settings(tmp_path))
    assert not component.is_installed(tmp_path / "dist")
    assert not (tmp_path / "dist" / "server").exists()
