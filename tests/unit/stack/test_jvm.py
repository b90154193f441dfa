"""Java runtimes, and which one each server gets."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from stack import jvm
from tests.support import ROOT


def java_home(folder: Path, version: str, modules: str) -> Path:
    (folder / "bin").mkdir(parents=True)
    java = folder / "bin" / "java"
    java.write_text("#!/bin/sh\nexit 1\n")
    java.chmod(0o755)
    (folder / "release").write_text(f'JAVA_VERSION="{version}"\nMODULES="java.base {modules}"\n')
    return folder


@pytest.mark.parametrize(
    ("runtimes", "spark", "elasticsearch"),
    [
        ([], None, None),
        ([("17.0.15", jvm.VECTOR_MODULE)], 17, None),
        ([("17.0.15", jvm.VECTOR_MODULE), ("25.0.3", jvm.VECTOR_MODULE)], 25, 25),
        ([("17.0.15", jvm.VECTOR_MODULE), ("25.0.2", "")], 17, 25),
        ([("21.0.1", ""), ("11.0.2", jvm.VECTOR_MODULE), ("26", jvm.VECTOR_MODULE)], None, 21),
    ],
)
def test_each_server_gets_a_suitable_java(
    tmp_path: Path,
    runtimes: list[tuple[str, str]],
    spark: int | None,
    elasticsearch: int | None,
) -> None:
    homes = [
        java_home(tmp_path / str(n), *version_and_modules)
        for n, version_and_modules in enumerate(runtimes)
    ]
    jvms = [runtime for home in homes if (runtime := jvm.describe(home))]
    chosen = jvm.for_spark(jvms), jvm.for_elasticsearch(jvms)
    assert [runtime and runtime.version for runtime in chosen] == [spark, elasticsearch]


def test_java_home_comes_first(tmp_path: Path) -> None:
    home = java_home(tmp_path / "mine", "21.0.1", jvm.VECTOR_MODULE)
    assert jvm.find({"JAVA_HOME": str(home), "PATH": ""}, tmp_path)[0].home == home


def test_setup_can_run_the_module_before_any_package_is_installed() -> None:
    # -I and -S leave only the standard library on the path.
    command = [sys.executable, "-I", "-S", str(ROOT / "stack" / "jvm.py")]
    completed = subprocess.run(command, capture_output=True, text=True)
    assert completed.returncode == 0, completed.stderr
