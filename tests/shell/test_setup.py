"""The shell scripts on simulated machines: Codespaces, WSL, a taken port."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from customer_profiles.common.defaults import OPEN_FILES
from customer_profiles.common.environ import load_environ
from tests.support import ROOT

COPIED = ("configure-ports.sh", "setup-environment.sh", "scripts", "stack/jvm.py", ".env.example")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Copy the scripts to a folder that has fake programs, which come first on the PATH."""
    for name in COPIED:
        source, target = ROOT / name, tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy(source, target)
    fake(tmp_path, "taken", "exit 1")
    # These tests must not depend on a Docker engine of the test machine.
    fake(tmp_path, "docker", "exit 1")
    return tmp_path


def fake(clone: Path, name: str, body: str) -> Path:
    program = clone / "fake" / name
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program


def run(
    clone: Path, *command: str, path: str | None = None, **environ: str
) -> subprocess.CompletedProcess[str]:
    inherited = {name: os.environ[name] for name in ("HOME", "PATH") if name in os.environ}
    env = {**inherited, "PORT_PROBE": str(clone / "fake" / "taken"), **environ}
    env["PATH"] = path or f"{clone / 'fake'}:{env['PATH']}"
    return subprocess.run(command, cwd=clone, env=env, capture_output=True, text=True, timeout=60)


def uname(clone: Path, kernel: str, release: str) -> None:
    fake(clone, "uname", f"case $1 in -s) echo {kernel} ;; -r) echo {release} ;; esac")


def platform(clone: Path, **environ: str) -> str:
    script = "source scripts/lib/platform.sh; detect_platform"
    return run(clone, "bash", "-c", script, **environ).stdout.strip()


def env_file(clone: Path) -> dict[str, str]:
    lines = (clone / ".env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line and not line.startswith("#"))


@pytest.mark.parametrize(
    ("kernel", "release", "environ", "expected"),
    [
        ("Linux", "6.1.0-13-amd64", {}, "linux"),
        ("Linux", "6.5.0-1025-azure", {"CODESPACES": "true"}, "codespaces"),
        ("Linux", "4.4.0-19041-Microsoft", {}, "wsl1"),
        ("Linux", "5.15.90.1-microsoft-standard-WSL2", {}, "wsl2"),
        ("Linux", "6.6.1-my-own-kernel", {"WSL_DISTRO_NAME": "Ubuntu"}, "wsl2"),
        ("Darwin", "23.1.0", {}, "macos"),
        ("FreeBSD", "14.0", {}, "unknown"),
    ],
)
def test_the_platform_is_recognised(
    clone: Path, kernel: str, release: str, environ: dict[str, str], expected: str
) -> None:
    uname(clone, kernel, release)
    assert platform(clone, **environ) == expected


def test_default_ports_are_used_if_they_are_free(clone: Path) -> None:
    completed = run(clone, "./configure-ports.sh")
    assert completed.returncode == 0
    assert env_file(clone)["ELASTICSEARCH_PORT"] == "9200"
    assert stat.S_IMODE((clone / ".env").stat().st_mode) == 0o600


def test_a_taken_port_is_replaced_and_reported(clone: Path) -> None:
    fake(clone, "taken", '[ "$1" = 9200 ] || [ "$1" = 9201 ]')
    completed = run(clone, "./configure-ports.sh")
    assert "port 9200 is taken: ELASTICSEARCH_PORT=9202 in .env" in completed.stdout
    assert env_file(clone)["ELASTICSEARCH_PORT"] == "9202"


def test_no_port_is_used_twice(clone: Path) -> None:
    fake(clone, "taken", '[ "$1" = 9000 ]')
    run(clone, "./configure-ports.sh")
    ports = env_file(clone)
    assert (ports["MINIO_PORT"], ports["MINIO_CONSOLE_PORT"]) == ("9001", "9002")
    assert len(set(ports.values())) == len(ports)


def test_a_configured_port_is_kept_even_if_it_is_taken(clone: Path) -> None:
    (clone / ".env").write_text("# mine\nELASTICSEARCH_PORT=9876\nOTHER='kept as it is'\n")
    fake(clone, "taken", '[ "$1" = 9876 ]')
    run(clone, "./configure-ports.sh")
    text = (clone / ".env").read_text()
    assert text.startswith("# mine\nELASTICSEARCH_PORT=9876\nOTHER='kept as it is'\n")


def test_a_port_from_the_environment_is_left_alone(clone: Path) -> None:
    run(clone, "./configure-ports.sh", KAFKA_PORT="19092")
    assert "KAFKA_PORT" not in env_file(clone)


def test_two_settings_with_one_port_are_named_and_repaired_on_request(clone: Path) -> None:
    settings = "KAFKA_PORT=9092\nMINIO_PORT=9092\nSPARK_UI_PORT=9092\n"
    (clone / ".env").write_text(settings)
    refused = run(clone, "./configure-ports.sh")
    assert refused.returncode == 1
    assert "KAFKA_PORT and SPARK_UI_PORT are both 9092" in refused.stderr
    assert "./configure-ports.sh --repick" in refused.stderr
    assert (clone / ".env").read_text() == settings
    repaired = run(clone, "./configure-ports.sh", "--repick")
    assert repaired.returncode == 0, repaired.stderr
    assert "port 9092 is the one of KAFKA_PORT, too: MINIO_PORT=9000 in .env" in repaired.stdout
    ports = env_file(clone)
    assert (ports["KAFKA_PORT"], ports["SPARK_UI_PORT"]) == ("9092", "8080")
    assert len(set(ports.values())) == len(ports)
    assert run(clone, "./configure-ports.sh").returncode == 0


def test_a_shared_port_of_the_environment_is_refused(clone: Path) -> None:
    (clone / ".env").write_text("KAFKA_PORT=9092\n")
    refused = run(clone, "./configure-ports.sh", "--repick", MINIO_PORT="9092")
    assert refused.returncode == 1
    assert "KAFKA_PORT and MINIO_PORT are both 9092" in refused.stderr
    assert "unset MINIO_PORT" in refused.stderr


def test_running_again_changes_nothing(clone: Path) -> None:
    run(clone, "./configure-ports.sh")
    before = (clone / ".env").read_text()
    fake(clone, "taken", "exit 0")
    again = run(clone, "./configure-ports.sh")
    assert again.returncode == 0
    assert (clone / ".env").read_text() == before


def test_repick_replaces_only_taken_ports(clone: Path) -> None:
    run(clone, "./configure-ports.sh")
    fake(clone, "taken", '[ "$1" = 9200 ]')
    completed = run(clone, "./configure-ports.sh", "--repick")
    assert "port 9200 is taken now: ELASTICSEARCH_PORT=9201" in completed.stdout
    assert env_file(clone)["KAFKA_PORT"] == "9092"


def test_repick_is_refused_while_the_stack_runs(clone: Path) -> None:
    for home, environ in ((".stack", {}), ("elsewhere", {"STACK_HOME": "elsewhere"})):
        (clone / home / "run").mkdir(parents=True)
        (clone / home / "run" / "kafka.json").write_text("{}")
        completed = run(clone, "./configure-ports.sh", "--repick", **environ)
        assert completed.returncode == 1
        assert "make down" in completed.stderr
        shutil.rmtree(clone / home)


def test_a_codespace_prints_its_forwarded_addresses(clone: Path) -> None:
    completed = run(clone, "./configure-ports.sh", CODESPACES="true", CODESPACE_NAME="happy-fox")
    assert "https://happy-fox-9200.app.github.dev" in completed.stdout


def test_a_codespace_prints_ports_of_the_environment(clone: Path) -> None:
    codespace = {"CODESPACES": "true", "CODESPACE_NAME": "x"}
    completed = run(clone, "./configure-ports.sh", **codespace, ELASTICSEARCH_PORT="9333")
    for port in (9333, 9001, 8080):
        assert f"https://x-{port}.app.github.dev" in completed.stdout


ENV_LINES = (
    "STACK=native",
    "export STACK=native",
    "  STACK = native",
    "STACK='native'",
    'STACK="native"  ',
    "STACK=native # as a comment",
    "STACK='na # tive' # as a comment",
    'STACK="it\'s # native"',
    "STACK=na#tive",
    "STACK=docker\nSTACK=native",
    "STACK=native\nSTACK_HOME=x",
    "STACK=",
    "NOT_STACK=native",
    "#STACK=native",
)


@pytest.mark.parametrize("text", ENV_LINES)
@pytest.mark.parametrize("end", ["\n", "\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize("mark", ["", "\ufeff"], ids=["plain", "byte-order-mark"])
def test_shell_and_python_read_the_same_settings(
    clone: Path, text: str, end: str, mark: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("STACK", raising=False)
    content = f"{mark}{text}\nOTHER=1\n".replace("\n", end)
    (clone / ".env").write_bytes(content.encode())
    script = "source scripts/lib/env_file.sh; env_get STACK"
    completed = run(clone, "bash", "-c", script)
    expected = load_environ(clone / ".env").get("STACK", "")
    assert completed.stdout.removesuffix("\n") == expected
    assert completed.stderr == ""


def test_setup_keeps_the_settings_of_a_file_from_windows(clone: Path) -> None:
    before = b"STACK=native\r\nKAFKA_PORT=19092\r\nMINIO_ROOT_PASSWORD='of mine'\r\n"
    (clone / ".env").write_bytes(before)
    assert stack_kind(clone).stdout == "native\n"
    fake(clone, "taken", '[ "$1" = 19092 ] || [ "$1" = 9093 ]')
    completed = run(clone, "./configure-ports.sh")
    assert completed.returncode == 0, completed.stderr
    assert (clone / ".env").read_bytes().startswith(before)
    environ = load_environ(clone / ".env")
    assert environ["KAFKA_PORT"] == "19092"
    assert environ["KAFKA_CONTROLLER_PORT"] == "9094"
    assert environ["MINIO_ROOT_PASSWORD"] == "of mine"


def test_secrets_are_generated_once_and_never_printed(clone: Path) -> None:
    script = (
        "source scripts/lib/env_file.sh; env_create; "
        'env_default MINIO_ROOT_PASSWORD "$(new_secret)"'
    )
    completed = run(clone, "bash", "-c", script)
    secret = env_file(clone)["MINIO_ROOT_PASSWORD"]
    assert len(secret) == 32
    assert secret not in completed.stdout + completed.stderr
    run(clone, "bash", "-c", script)
    assert env_file(clone)["MINIO_ROOT_PASSWORD"] == secret


@pytest.mark.parametrize(
    ("release", "memory_kb", "message"),
    [
        ("4.4.0-19041-Microsoft", 16_000_000, "wsl --set-version"),
        ("5.15.90.1-microsoft-standard-WSL2", 4_000_000, ".wslconfig"),
        ("6.1.0-13-amd64", 2_000_000, "are little"),
    ],
)
def test_setup_warns_about_the_limits_of_the_platform(
    clone: Path, release: str, memory_kb: int, message: str
) -> None:
    uname(clone, "Linux", release)
    (clone / "meminfo").write_text(f"MemTotal:       {memory_kb} kB\n")
    completed = run(clone, "./setup-environment.sh", "--check", MEMINFO=str(clone / "meminfo"))
    assert message in completed.stderr


def test_a_full_disk_is_reported_before_anything_is_written(clone: Path) -> None:
    fake(clone, "df", "printf 'Filesystem 1024-blocks Used Available\\ntmpfs 9 9 102400\\n'")
    completed = run(clone, "./setup-environment.sh")
    assert completed.returncode == 1
    assert "100 MB free and 6000 MB are needed" in completed.stderr
    assert not (clone / ".env").exists()


COMMON_PROGRAMS = (
    *("awk", "bash", "cat", "chmod", "dirname", "grep", "head", "id", "mv", "sed", "sh"),
    *("tail", "tr", "uname"),
)


def bare_path(clone: Path, *programs: str) -> str:
    """Return a PATH with only these programs and those that every system has."""
    folder = clone / "bare"
    folder.mkdir()
    for name in (*COMMON_PROGRAMS, *programs):
        program = shutil.which(name)
        assert program, name
        (folder / name).symlink_to(program)
    return str(folder)


def test_missing_tools_are_named_in_one_line_if_nothing_can_install_them(clone: Path) -> None:
    completed = run(clone, "bash", "./setup-environment.sh", path=bare_path(clone), JAVA_HOME="/")
    assert completed.returncode == 1
    (line,) = [line for line in completed.stderr.splitlines() if line.startswith("error:")]
    assert "Python 3.11 or newer with venv, Maven" in line
    assert "apt-get install python3 python3-venv maven" in line
    assert not (clone / ".env").exists()


def test_check_changes_nothing(clone: Path) -> None:
    command = ("bash", "./setup-environment.sh", "--check")
    completed = run(clone, *command, path=bare_path(clone), JAVA_HOME="/")
    assert completed.returncode == 1
    assert "missing: Maven" in completed.stdout
    assert not (clone / ".env").exists()


def test_missing_tools_are_installed_by_one_apt_command(clone: Path) -> None:
    search_path = bare_path(clone, "env")
    for name in ("apt-get", "apt-cache"):
        fake(clone, name, f'echo "{name} $*" >> "{clone}/calls"')
    fake(clone, "id", "echo 0")
    search_path = f"{clone / 'fake'}:{search_path}"
    completed = run(clone, "bash", "./setup-environment.sh", path=search_path, JAVA_HOME="/")
    calls = (clone / "calls").read_text()
    assert "install -y -qq --no-install-recommends python3 python3-venv maven" in calls
    assert "still missing after the installation" in completed.stderr


@pytest.mark.parametrize("script", ["./setup-environment.sh", "./configure-ports.sh"])
def test_a_script_explains_itself_and_refuses_unknown_options(clone: Path, script: str) -> None:
    assert run(clone, script, "--help").stdout.startswith("usage:")
    assert run(clone, script, "--nonsense").returncode == 2


def stack_kind(clone: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return run(clone, "./scripts/stack-kind.sh", **environ)


def test_an_engine_is_used_only_if_it_answers(clone: Path) -> None:
    assert stack_kind(clone).stdout == "native\n"
    fake(clone, "docker", '[ "$1" != version ]')
    assert stack_kind(clone).stdout == "native\n"
    fake(clone, "docker", "exit 0")
    assert stack_kind(clone).stdout == "docker\n"
    assert stack_kind(clone, STACK="native").stdout == "native\n"
    (clone / ".env").write_text("STACK=native\n")
    assert stack_kind(clone).stdout == "native\n"
    wrong = stack_kind(clone, STACK="podman")
    assert wrong.returncode == 1
    assert "STACK=podman is neither docker nor native" in wrong.stderr


def test_setup_with_an_engine_writes_the_settings_and_every_secret(clone: Path) -> None:
    fake(clone, "docker", "exit 0")
    completed = run(clone, "./setup-environment.sh")
    assert completed.returncode == 0, completed.stderr
    assert "everything runs in containers" in completed.stdout
    settings = env_file(clone)
    secrets = {settings[name] for name in settings if name.endswith(("PASSWORD", "KEY", "SECRET"))}
    assert len(secrets) == 10
    assert {len(secret) for secret in secrets} == {32}
    assert not any(secret in completed.stdout + completed.stderr for secret in secrets)
    assert not (clone / ".venv").exists()
    before = (clone / ".env").read_text()
    run(clone, "./setup-environment.sh")
    assert (clone / ".env").read_text() == before


def test_an_engine_that_does_not_answer_is_reported_with_the_alternative(clone: Path) -> None:
    fake(clone, "docker", '[ "$1" != version ]')
    completed = run(clone, "./setup-environment.sh", STACK="docker")
    assert completed.returncode == 1
    assert "the Docker engine does not answer" in completed.stderr
    assert "STACK=native in .env, then make setup" in completed.stderr
    fake(clone, "docker", "exit 1")
    assert "docker has no Compose" in run(clone, "./setup-environment.sh", STACK="docker").stderr


def test_setup_warns_about_little_memory_and_few_memory_maps(clone: Path) -> None:
    fake(clone, "docker", '[ "$1" = info ] && echo 2000000000; exit 0')
    (clone / "maps").write_text("65530\n")
    completed = run(clone, "./setup-environment.sh", MAX_MAP_COUNT=str(clone / "maps"))
    assert "the Docker engine has 2000 MB of memory" in completed.stderr
    assert "sudo sysctl -w vm.max_map_count" in completed.stderr
    assert completed.returncode == 0


def test_a_limit_on_open_files_that_is_too_low_is_named_before_anything_is_done(
    clone: Path,
) -> None:
    script = "ulimit -n 256; ./setup-environment.sh --native"
    completed = run(clone, "bash", "-c", script)
    assert completed.returncode == 1
    assert "may have 256 open files here" in completed.stderr
    assert f"need {OPEN_FILES}" in completed.stderr
    assert not (clone / ".env").exists()
    assert not (clone / ".venv").exists()


def test_an_environment_behind_a_link_is_not_emptied(
    clone: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    shared = tmp_path_factory.mktemp("environment")
    (shared / "theirs").touch()
    (clone / ".venv").symlink_to(shared)
    # A Python that makes no environment: what matters is what happens before.
    fake(clone, "python3", 'echo "$*" >>"$PWD/calls"; exit 0')
    script = "source scripts/lib/log.sh; source scripts/lib/tools.sh; touch requirements.lock; "
    script += "PACKAGES=(); find_python() { echo python3; }; ensure_venv"
    run(clone, "bash", "-c", script)
    assert "-m venv --clear .venv" in (clone / "calls").read_text()
    assert (shared / "theirs").exists()
    assert not (clone / ".venv").is_symlink()


@pytest.mark.parametrize("name", ["scripts/lib/tools.sh", "setup-kaggle.sh"])
def test_pip_installs_what_the_lock_lists_and_looks_nothing_else_up(name: str) -> None:
    text = (ROOT / name).read_text().replace("\\\n", " ")
    installs = [line.split() for line in text.splitlines() if "pip install" in line]
    assert installs
    assert all("--no-deps" in words for words in installs)
    from_locks = [words for words in installs if any(word.endswith(".lock") for word in words)]
    assert len(from_locks) == 1
    assert "--require-hashes" in from_locks[0]
