"""What people name on Make's command line reaches the commands as it is."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from scripts.with_words import command_line
from tests.support import ROOT

NAMES = (
    "events.csv",
    'a "quoted" name.csv',
    "it's $HOME and $(HOME).csv",
    "$(touch evaluated) `touch evaluated`; touch evaluated.csv",
    "one\ntwo.csv",
    "a#b \\ c$$d.csv",
    "-dash.csv",
    "*.csv",
    "été 100%.csv",
)


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """Copy the Makefile to a folder whose Python writes its arguments down."""
    shutil.copy(ROOT / "Makefile", tmp_path)
    program = f"#!{sys.executable} -SE\nimport json, os, sys\n"
    program += "json.dump([sys.argv[1:], dict(os.environ)], open('called.json', 'w'))\n"
    for path, content in (
        ("scripts/stack-kind.sh", "#!/bin/sh\necho native\n"),
        ("scripts/browser.sh", "#!/bin/sh\n"),
        ("scripts/demo.sh", '#!/bin/sh\nexec make ingest FILE="$FILE"\n'),
        ("scripts/experiment-demo.sh", "#!/bin/sh\n"),
        ("scripts/dataset.sh", program),
        ("scripts/scale.sh", program),
        ("scripts/release-notes.sh", program),
        (".venv/bin/python", program),
        ("requirements.lock", ""),
        ("pyproject.toml", ""),
        (".venv/.ready", ""),
    ):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content)
        file.chmod(0o755)
    return tmp_path


def make(clone: Path, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    env = {"PATH": os.environ["PATH"], "HOME": str(clone), **environ}
    return subprocess.run(
        ["make", *arguments], cwd=clone, env=env, capture_output=True, text=True, timeout=60
    )


def called(clone: Path, *arguments: str, **environ: str) -> list[str]:
    """Run Make and return the arguments of the last Python that it called."""
    completed = make(clone, *arguments, **environ)
    assert completed.returncode == 0, completed.stderr
    assert not (clone / "evaluated").exists()
    called_with: list[str] = json.loads((clone / "called.json").read_text())[0]
    return called_with


@pytest.mark.parametrize("name", NAMES)
def test_a_file_may_have_any_name(clone: Path, name: str) -> None:
    for arguments, environ in (([f"FILE={name}"], {}), ([], {"FILE": name})):
        assert called(clone, "ingest", *arguments, **environ)[-3:] == ["ingest", "--", name]
        assert called(clone, "sample", *arguments, **environ)[-1] == f"--out={name}"
        assert called(clone, "simulate", *arguments, **environ)[-2:] == ["--", name]
    assert called(clone, "redrive", f"CORRECTED={name}")[-1] == f"--corrected={name}"
    assert called(clone, "replay", f"MENDED={name}")[-1] == f"--corrected={name}"
    assert called(clone, "dead-letters", f"EXPORT={name}", f"SOURCE={name}")[-2:] == [
        f"--source={name}",
        f"--export={name}",
    ]
    assert called(clone, "profile", f"ID={name}", "FROM=lake")[-3:] == ["--from=lake", "--", name]
    assert called(clone, "expose", f"FILE={name}")[-3:] == ["expose", "--", name]
    assert called(clone, "assign", f"EXPERIMENT={name}", f"ID={name}")[-4:] == [
        "assign",
        f"--id={name}",
        "--",
        name,
    ]
    assert called(clone, "logs", f"SERVER={name}")[-1] == name
    assert called(clone, "release-notes", f"VERSION={name}") == [name]
    assert called(clone, "quality", f"CONTRACT={name}")[-1] == f"--contract={name}"


@pytest.mark.parametrize(("code", "evaluates"), [(0, True), (3, True), (1, False), (130, False)])
def test_a_run_evaluates_data_quality_and_keeps_its_exit_code(
    clone: Path, code: int, evaluates: bool
) -> None:
    (clone / "monitoring/src").mkdir(parents=True)
    script = '#!/bin/sh\necho "$@" >>calls\ncase "$*" in *"processing process"*) exit '
    script += f"{code};; esac\nexit 1\n"
    (clone / ".venv/bin/python").write_text(script)
    completed = make(clone, "process")
    # Make itself ends with 2, and names the code.
    assert completed.returncode == (2 if code else 0)
    assert not code or f"Error {code}" in completed.stderr
    calls = (clone / "calls").read_text()
    assert ("customer_profiles.monitoring quality --if-due" in calls) == evaluates


CODE = (
    "`touch evaluated`",
    "$(touch evaluated)",
    "$(shell touch evaluated)",
    "${shell touch evaluated}",
    "$(eval $(shell touch evaluated))",
    "x; touch evaluated",
    "x & touch evaluated #",
    "x\ntouch evaluated\n",
    "'; touch evaluated; '",
    '"; touch evaluated; "',
    '"$(touch evaluated)"',
    "\\$(shell touch evaluated)",
)
"""Values that would run a command if Make or the shell evaluated them."""
VARIABLES = tuple(
    re.findall(
        r"\S+",
        """
        FILE ROWS SEED REASON SOURCE SINCE EXPORT CORRECTED MENDED STREAM_INTERVAL SPEED RATE ID
        FROM FIELD THROUGH FORMAT WORKERS SERVER VERSION TESTS GROWTH YES FOLLOW FORCE APPLY BRIEF
        KEEP DEEP NEW_TOPIC ACCEPT_GAPS COVERAGE
        TEST WATCH SILENCE UNSILENCE FOR LIST MONITORING MONITOR SHOW CONTRACT CALENDAR
        ACCEPT EVALUATE EXPERIMENT PUBLISH DAYS
        STACK BUCKETS SEGMENTS MAX_REJECTED_PERCENT STRICT LOG_LEVEL REPORTS UNKNOWN
        PY READY LOCKED KIND SERVERS INGESTION PROCESSING SAMPLE DASHBOARD SELECTION WITH_JAVA
        EXPERIMENTATION EXPERIMENT_NAME
        WITH_WORDS_OF STACK_READY COVERAGE_FLOOR FULL_COVERAGE_FLOOR MEASURE_COVERAGE NAMED
        name .name
        """,
    )
)
"""What the Makefile reads, settings that commands take from the environment, and names that the
Makefile itself uses."""
TARGETS = tuple(
    re.findall(
        r"\S+",
        """
        help up down status logs clean scale spark-jars sample dataset ingest dead-letters redrive
        replay process stream simulate rebuild restore-index summary profile explain
        dashboard report quality
        bench-ingest bench-process bench-stream screenshots test test-fast coverage reference sbom
        release-notes demo assign expose exposures experiment experiment-plan
        experiment-demo bench-damages
        """,
    )
)


@pytest.mark.parametrize(
    ("code", "way"),
    [
        *((code, "command line") for code in CODE),
        # Make expands a value of the environment only where the Makefile names it.
        *itertools.product(CODE[1:4], ("environment", "environment that overrides")),
    ],
)
def test_no_value_of_a_variable_is_run(clone: Path, code: str, way: str) -> None:
    for path in (".venv/bin/python", *map(str, (clone / "scripts").glob("[drs]*.sh"))):
        if "demo" not in path and "stack-kind" not in path:
            # Quicker than Python; nobody reads the arguments here.
            (clone / path).write_text("#!/bin/sh\n")
    values = dict.fromkeys(VARIABLES, code)
    arguments = [f"{name}={value}" for name, value in values.items()]
    if way == "command line":
        completed = make(clone, *arguments, *TARGETS)
    elif way == "environment":
        completed = make(clone, *TARGETS, **values)
    else:
        completed = make(clone, "--environment-overrides", *TARGETS, **values)
    assert completed.returncode == 0, completed.stderr
    assert not (clone / "evaluated").exists()


def test_every_variable_of_the_makefile_is_tried() -> None:
    text = (ROOT / "Makefile").read_text()
    used = set(re.findall(r"\$\((\w+)\)", text)) | set(re.findall(r"\$\$([A-Z]+)\b", text))
    # Make's own.
    assert used - set(VARIABLES) <= {"MAKEFILE_LIST"}


@pytest.mark.parametrize("name", ["TESTS", "GROWTH"])
@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("tests/unit -x", ["tests/unit", "-x"]),
        ("tests -k 'a or b' \"c d\"", ["tests", "-k", "a or b", "c d"]),
        ("$(touch evaluated) `x`; $HOME *", ["$(touch", "evaluated)", "`x`;", "$HOME", "*"]),
        ("one\ntwo", ["one", "two"]),
    ],
)
def test_a_list_of_words_is_split_but_not_evaluated(
    clone: Path, name: str, value: str, words: list[str]
) -> None:
    target, end = {"TESTS": ("test", "--numprocesses=2"), "GROWTH": ("bench-process", "--growth")}[
        name
    ]
    _, _, variable, *command = called(clone, target, f"{name}={value}")
    assert variable == name
    assert command[-1] == end
    environ = json.loads((clone / "called.json").read_text())[1]
    assert command_line(name, command, environ) == [*command, *words]


def test_a_quote_without_an_end_is_an_error() -> None:
    script = [sys.executable, "-m", "scripts.with_words", "TESTS", "echo"]
    environ = {**os.environ, "TESTS": "tests -k 'a or b"}
    completed = subprocess.run(script, cwd=ROOT, env=environ, capture_output=True, text=True)
    assert completed.returncode == 2
    assert completed.stderr == "error: TESTS cannot be split into words: No closing quotation.\n"
    environ["TESTS"] = "'a b' c"
    completed = subprocess.run(script, cwd=ROOT, env=environ, capture_output=True, text=True)
    assert completed.stdout == "a b c\n"


def test_defaults_apply_where_nothing_is_named(clone: Path) -> None:
    assert called(clone, "ingest")[-1] == "data/events.csv"
    assert called(clone, "ingest", "FILE=-")[-1] == "-"
    assert called(clone, "sample")[1:] == ["--rows=885129", "--seed=1", "--out=data/events.csv"]
    assert called(clone, "simulate")[-3:] == ["--speed=60", "--", "data/events.csv"]
    assert called(clone, "redrive")[-1] == "redrive"
    assert called(clone, "logs") == ["-m", "stack", "logs"]


def test_only_what_is_named_is_in_the_environment(clone: Path) -> None:
    called(clone, "stream")
    environ = json.loads((clone / "called.json").read_text())[1]
    # An empty variable would hide the value in .env.
    assert not {"STREAM_INTERVAL", "ID", "SOURCE", "RATE"} & set(environ)
    called(clone, "stream", "STREAM_INTERVAL=3")
    assert json.loads((clone / "called.json").read_text())[1]["STREAM_INTERVAL"] == "3"


@pytest.mark.parametrize(("target", "message"), [("profile", "ID=…"), ("scale", "WORKERS=3")])
def test_a_missing_name_is_asked_for(clone: Path, target: str, message: str) -> None:
    completed = make(clone, target)
    assert completed.returncode == 2
    assert message in completed.stderr
