from __future__ import annotations

from pathlib import Path

import pytest

from customer_profiles.contracts import Reason
from scripts import generate_reference
from scripts.generate_reference import main, render_reasons
from scripts.settings_reference import read_settings, render_settings


def test_the_pages_are_current(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 0, capsys.readouterr().err


def test_a_missing_or_outdated_page_fails_the_check(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(generate_reference, "FOLDER", tmp_path / "reference")
    assert main(["--check"]) == 1
    assert "make reference" in capsys.readouterr().err
    assert main([]) == 0
    assert main(["--check"]) == 0
    (tmp_path / "reference" / "reasons.md").write_text("edited\n")
    assert main(["--check"]) == 1


@pytest.mark.parametrize("reason", list(Reason), ids=str)
def test_the_page_explains_every_reason(reason: Reason) -> None:
    assert f"\n## {reason}\n" in render_reasons()


def test_the_page_has_every_setting_with_a_meaning_and_a_user() -> None:
    page = render_settings()
    for setting in read_settings().values():
        assert f"| `{setting.name}` |" in page
        assert setting.meaning.endswith("."), setting.name
        assert setting.used_by, setting.name


def test_no_secret_has_a_default() -> None:
    for name, setting in read_settings().items():
        if name.endswith(("PASSWORD", "KEY")):
            assert setting.default in ("", "required")
