"""The shell scripts on machines that are faked: Codespaces, WSL, a taken port."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from tests.support import ROOT

COPIED = ("configure-ports.sh", "setup-environment.sh", "scripts", "stack/jvm.py", ".env.example")


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """The scripts in a folder of their own, with a folder of fake programs in front of the PATH."""
    for name in COPIED:
        source, target = ROOT / name, tmp_path / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            shutil.copy(source, target)
    fake(tmp_path, "taken", "exit 1")
    # Whether there is an engine on the machine of the tests is not what they are about.
    fake(tmp_path, "docker", "exit 1")
    return tmp_path


def fake(clone: Path, name: str, body: str) -> Path:
    program = clone / "fake" / name
    program.parent.mkdir(exist_ok=True)
    program.write_text(f"#!/bin/sh\n{body}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    return program


def run(clone: Path, *command: str, path: str | None = None, **environ: str) -> subprocess.CompletedProcess[str]:
    inherited = {name: os.environ[name] for name in ("HOME", "PATH") if name in os.environ}
    env = {**inherited, "PORT_PROBE": str(clone / "fake" / "taken"), **environ}
    env["PATH"] = path or f"{clone / 'fake'}:{env['PATH']}"
    return subprocess.run(command, cwd=clone, env=env, capture_output=True, text=True, timeout=60)


def uname(clone: Path, kernel: str, release: str) -> None:
    fake(clone, "uname", f"case $1 in -s) echo {kernel} ;; -r) echo {release} ;; esac")


def platform(clone: Path, **environ: str) -> str:
    return run(clone, "bash", "-c", "source scripts/lib/platform.sh; detect_platform", **environ).stdout.strip()


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


def test_usual_ports_are_taken_where_they_are_free(clone: Path) -> None:
    done = run(clone, "./configure-ports.sh")
    assert done.returncode == 0
    assert env_file(clone)["ELASTICSEARCH_PORT"] == "9200"
    assert stat.S_IMODE((clone / ".env").stat().st_mode) == 0o600


def test_a_taken_port_is_replaced_and_said(clone: Path) -> None:
    fake(clone, "taken", '[ "$1" = 9200 ] || [ "$1" = 9201 ]')
    done = run(clone, "./configure-ports.sh")
    assert "port 9200 is taken: ELASTICSEARCH_PORT=9202 in .env" in done.stdout
    assert env_file(clone)["ELASTICSEARCH_PORT"] == "9202"


def test_no_port_is_given_twice(clone: Path) -> None:
    fake(clone, "taken", '[ "$1" = 9000 ]')
    run(clone, "./configure-ports.sh")
    ports = env_file(clone)
    assert (ports["MINIO_PORT"], ports["MINIO_CONSOLE_PORT"]) == ("9001", "9002")
    assert len(set(ports.values())) == len(ports)


def test_a_value_that_somebody_set_is_kept_even_where_it_is_taken(clone: Path) -> None:
    (clone / ".env").write_text("# mine\nELASTICSEARCH_PORT=9876\nOTHER='kept as it is'\n")
    fake(clone, "taken", '[ "$1" = 9876 ]')
    run(clone, "./configure-ports.sh")
    text = (clone / ".env").read_text()
    assert text.startswith("# mine\nELASTICSEARCH_PORT=9876\nOTHER='kept as it is'\n")


def test_a_port_from_the_environment_is_left_alone(clone: Path) -> None:
    run(clone, "./configure-ports.sh", KAFKA_PORT="19092")
    assert "KAFKA_PORT" not in env_file(clone)


def test_running_again_changes_nothing(clone: Path) -> None:
    run(clone, "./configure-ports.sh")
    before = (clone / ".env").read_text()
    fake(clone, "taken", "exit 0")
    again = run(clone, "./configure-ports.sh")
    assert again.returncode == 0
    assert (clone / ".env").read_text() == before


def test_ports_are_chosen_again_only_when_asked_and_only_where_taken(clone: Path) -> None:
    run(clone, "./configure-ports.sh")
    fake(clone, "taken", '[ "$1" = 9200 ]')
    done = run(clone, "./configure-ports.sh", "--repick")
    assert "port 9200 is taken now: ELASTICSEARCH_PORT=9201" in done.stdout
    assert env_file(clone)["KAFKA_PORT"] == "9092"


def test_ports_are_not_chosen_again_while_the_stack_runs(clone: Path) -> None:
    (clone / ".stack" / "run").mkdir(parents=True)
    (clone / ".stack" / "run" / "kafka.json").write_text("{}")
    done = run(clone, "./configure-ports.sh", "--repick")
    assert done.returncode == 1
    assert "make down" in done.stderr


def test_a_codespace_is_told_its_forwarded_addresses(clone: Path) -> None:
    done = run(clone, "./configure-ports.sh", CODESPACES="true", CODESPACE_NAME="happy-fox")
    assert "https://happy-fox-9200.app.github.dev" in done.stdout


def test_secrets_are_generated_and_never_printed_nor_changed(clone: Path) -> None:
    script = 'source scripts/lib/env_file.sh; env_create; env_default MINIO_ROOT_PASSWORD "$(new_secret)"'
    done = run(clone, "bash", "-c", script)
    secret = env_file(clone)["MINIO_ROOT_PASSWORD"]
    assert len(secret) == 32
    assert secret not in done.stdout + done.stderr
    run(clone, "bash", "-c", script)
    assert env_file(clone)["MINIO_ROOT_PASSWORD"] == secret


@pytest.mark.parametrize(
    ("release", "memory_kb", "words"),
    [
        ("4.4.0-19041-Microsoft", 16_000_000, "wsl --set-version"),
        ("5.15.90.1-microsoft-standard-WSL2", 4_000_000, ".wslconfig"),
        ("6.1.0-13-amd64", 2_000_000, "are little"),
    ],
)
def test_set_up_hints_at_what_the_platform_needs(clone: Path, release: str, memory_kb: int, words: str) -> None:
    uname(clone, "Linux", release)
    (clone / "meminfo").write_text(f"MemTotal:       {memory_kb} kB\n")
    done = run(clone, "./setup-environment.sh", "--check", MEMINFO=str(clone / "meminfo"))
    assert words in done.stderr


def test_a_full_disk_is_said_before_anything_is_written(clone: Path) -> None:
    fake(clone, "df", "printf 'Filesystem 1024-blocks Used Available\\ntmpfs 9 9 102400\\n'")
    done = run(clone, "./setup-environment.sh")
    assert done.returncode == 1
    assert "100 MB free and 6000 MB are needed" in done.stderr
    assert not (clone / ".env").exists()


def bare_path(clone: Path, *programs: str) -> str:
    """A PATH with nothing but these programs and what every system has."""
    folder = clone / "bare"
    folder.mkdir()
    basic = ("bash", "sh", "awk", "sed", "grep", "cat", "dirname", "uname", "id", "head", "tr", "tail", "chmod", "mv")
    for name in (*basic, *programs):
        found = shutil.which(name)
        assert found, name
        (folder / name).symlink_to(found)
    return str(folder)


def test_what_is_missing_is_said_in_one_line_where_nothing_can_be_installed(clone: Path) -> None:
    done = run(clone, "bash", "./setup-environment.sh", path=bare_path(clone), JAVA_HOME="/")
    assert done.returncode == 1
    (line,) = [line for line in done.stderr.splitlines() if line.startswith("error:")]
    assert "Python 3.11 or newer with venv, Maven" in line
    assert "apt-get install python3 python3-venv maven" in line
    assert not (clone / ".env").exists()


def test_check_changes_nothing(clone: Path) -> None:
    done = run(clone, "bash", "./setup-environment.sh", "--check", path=bare_path(clone), JAVA_HOME="/")
    assert done.returncode == 1
    assert "missing: Maven" in done.stdout
    assert not (clone / ".env").exists()


def test_missing_tools_are_installed_with_apt_in_one_go(clone: Path) -> None:
    path = bare_path(clone, "env")
    for name in ("apt-get", "apt-cache"):
        fake(clone, name, f'echo "{name} $*" >> "{clone}/calls"')
    fake(clone, "id", "echo 0")
    done = run(clone, "bash", "./setup-environment.sh", path=f"{clone / 'fake'}:{path}", JAVA_HOME="/")
    calls = (clone / "calls").read_text()
    assert "install -y -qq --no-install-recommends python3 python3-venv maven" in calls
    assert "still missing after the installation" in done.stderr


@pytest.mark.parametrize("script", ["./setup-environment.sh", "./configure-ports.sh"])
def test_help_and_unknown_words(clone: Path, script: str) -> None:
    assert run(clone, script, "--help").stdout.startswith("usage:")
    assert run(clone, script, "--nonsense").returncode == 2


def kind(clone: Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return run(clone, "./scripts/stack-kind.sh", **environ)


def test_an_engine_that_answers_is_used_and_another_is_not(clone: Path) -> None:
    assert kind(clone).stdout == "native\n"
    fake(clone, "docker", '[ "$1" != version ]')
    assert kind(clone).stdout == "native\n"
    fake(clone, "docker", "exit 0")
    assert kind(clone).stdout == "docker\n"
    assert kind(clone, STACK="native").stdout == "native\n"
    (clone / ".env").write_text("STACK=native\n")
    assert kind(clone).stdout == "native\n"
    wrong = kind(clone, STACK="podman")
    assert wrong.returncode == 1
    assert "STACK=podman is neither docker nor native" in wrong.stderr


def test_with_an_engine_set_up_writes_the_settings_and_every_secret(clone: Path) -> None:
    fake(clone, "docker", "exit 0")
    done = run(clone, "./setup-environment.sh")
    assert done.returncode == 0, done.stderr
    assert "everything runs in containers" in done.stdout
    settings = env_file(clone)
    secrets = {settings[name] for name in settings if name.endswith(("PASSWORD", "KEY"))}
    assert len(secrets) == 6
    assert {len(secret) for secret in secrets} == {32}
    assert not any(secret in done.stdout + done.stderr for secret in secrets)
    assert not (clone / ".venv").exists()
    before = (clone / ".env").read_text()
    run(clone, "./setup-environment.sh")
    assert (clone / ".env").read_text() == before


def test_a_dead_engine_is_told_with_the_other_way(clone: Path) -> None:
    fake(clone, "docker", '[ "$1" != version ]')
    done = run(clone, "./setup-environment.sh", STACK="docker")
    assert done.returncode == 1
    assert "the Docker engine does not answer" in done.stderr
    assert "STACK=native in .env, then make setup" in done.stderr
    fake(clone, "docker", "exit 1")
    assert "docker has no Compose" in run(clone, "./setup-environment.sh", STACK="docker").stderr


def test_little_memory_and_few_maps_are_warned_of(clone: Path) -> None:
    fake(clone, "docker", '[ "$1" = info ] && echo 2000000000; exit 0')
    (clone / "maps").write_text("65530\n")
    done = run(clone, "./setup-environment.sh", MAX_MAP_COUNT=str(clone / "maps"))
    assert "the Docker engine has 2000 MB of memory" in done.stderr
    assert "sudo sysctl -w vm.max_map_count" in done.stderr
    assert done.returncode == 0
