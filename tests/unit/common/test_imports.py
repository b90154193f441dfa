from __future__ import annotations

import subprocess
import sys

import pytest

LIGHT = ("errors", "defaults", "reports", "clock", "environ", "logs", "cli", "console", "progress")


@pytest.mark.parametrize("module", LIGHT)
def test_a_light_module_imports_neither_pydantic_nor_rich(module: str) -> None:
    program = (
        f"import customer_profiles.common.{module}, sys; "
        "sys.exit(str({'pydantic', 'pydantic_settings', 'rich'} & set(sys.modules) or 0))"
    )
    completed = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert completed.stderr.strip() == "0"


def test_settings_do_not_import_rich() -> None:
    program = "import customer_profiles.common.settings, sys; sys.exit('rich' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program]).returncode == 0
