"""The real docker-compose.yml on a real engine, driven by make and checked by other clients.

`make test-compose` provides an engine and images and runs these tests. They share one stack and
run in order.
"""

from __future__ import annotations

import base64
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient
from dotenv import dotenv_values
from kafka import KafkaConsumer
from minio import Minio
from minio.error import S3Error

from customer_profiles.contracts import RAW_EVENTS
from scripts.make_sample import make_events
from stack.isolated import isolated_environment
from tests.integration.conftest import Stack, check_profiles, ingest, process, running, search
from tests.support import ROOT, oracle

PROJECT = "customer-profiles-test"
ROWS = 20_000
BUCKETS = "4"
START_S = 60.0
SERVERS = ("kafka", "minio", "elasticsearch", "spark-master", "spark-worker")
READER = "profiles-reader"
JOBS = "profiles-jobs"


class Containers:
    """A copy of the project whose commands use separate containers."""

    def __init__(self, home: Path) -> None:
        self.home = home
        files = subprocess.run(
            ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for name in filter(None, files.split("\0")):
            if (ROOT / name).exists():
                (home / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, home / name)
        if os.environ.get("STAND_INS"):
            # A stand-in has the tag of an official image, but not its digest.
            for path in (home / "docker-compose.yml", *home.glob("*/**/*Dockerfile")):
                path.write_text(re.sub(r"@sha256:[0-9a-f]{64}", "", path.read_text()))
        # Free ports, as for every other stack of the tests.
        ports = {
            name: value
            for name, value in isolated_environment(home, {}).items()
            if name.endswith("_PORT")
        }
        inherited = {
            name: value
            for name, value in os.environ.items()
            if name not in ("MAKEFLAGS", "MAKELEVEL")
        }
        self.environ = {
            **inherited,
            **ports,
            "STACK": "docker",
            "BUCKETS": BUCKETS,
            "COMPOSE_PROJECT_NAME": PROJECT,
            "COMPOSE_FILE": "docker-compose.yml",
        }

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command, cwd=self.home, env=self.environ, capture_output=True, text=True, timeout=900
        )

    def make(self, *arguments: str) -> str:
        completed = self.run("make", *arguments)
        assert completed.returncode == 0, completed.stdout + completed.stderr
        return completed.stdout

    @property
    def secrets(self) -> dict[str, str]:
        return {name: value or "" for name, value in dotenv_values(self.home / ".env").items()}

    @property
    def host_stack(self) -> Stack:
        """The servers, with their addresses on this machine."""
        addresses = dict.fromkeys(("MINIO_ADDRESS", "ELASTICSEARCH_URL"), "")
        return Stack({**self.environ, **self.secrets, **addresses}, self.home / "reports")

    def kafka(self, **changes: Any) -> dict[str, Any]:
        return {
            "bootstrap.servers": f"127.0.0.1:{self.environ['KAFKA_PORT']}",
            "log_level": 0,
            "security.protocol": "SASL_PLAINTEXT",
            "sasl.mechanism": "PLAIN",
            "sasl.username": "profiles",
            "sasl.password": self.secrets["KAFKA_PASSWORD"],
            **changes,
        }

    def objects(self) -> dict[str, str | None]:
        """Return the entity tag of every object in the lake, by name."""
        settings = self.host_stack.processing
        client = Minio(
            settings.minio_address,
            settings.minio_user,
            settings.minio_password.get_secret_value(),
            secure=False,
        )
        return {
            item.object_name or "": item.etag
            for item in client.list_objects("data-lake", recursive=True)
        }

    def states(self) -> dict[str, str]:
        """Return the health of each container."""
        lines = self.run("docker", "compose", "ps", "--format", "json").stdout.splitlines()
        return {row["Name"]: row["Health"] for row in map(json.loads, lines)}


READS = ("GET", "customer_profiles/_count")
WRITES = (
    ("PUT", "intruder"),
    ("PUT", "customer_profiles/_doc/1", "{}"),
    ("POST", "_bulk", '{"delete":{"_index":"customer_profiles","_id":"1"}}\n'),
    ("DELETE", "customer_profiles-000001"),
    ("PUT", "_cluster/settings", '{"persistent":{"cluster.max_shards_per_node":1}}'),
    ("PUT", "_security/user/intruder", '{"password":"intruder","roles":["superuser"]}'),
)


def status_of(
    containers: Containers, account: tuple[str, str] | None, method: str, path: str, body: str = ""
) -> int:
    """Return the status of Elasticsearch's response, or of the only item of a bulk request."""
    url = f"{containers.host_stack.processing.elasticsearch_url}/{path}"
    request = urllib.request.Request(
        url, body.encode() or None, {"content-type": "application/json"}, method=method
    )
    if account:
        request.add_header(
            "authorization", "Basic " + base64.b64encode(":".join(account).encode()).decode()
        )
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            content = json.load(response)
            return int(
                content["items"][0]["delete"]["status"] if "items" in content else response.status
            )
    except urllib.error.HTTPError as error:
        return error.code


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + START_S
    while not condition():
        assert time.monotonic() < deadline, "the condition did not become true in time"
        time.sleep(0.2)


@pytest.fixture(scope="module")
def containers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Containers]:
    containers = Containers(tmp_path_factory.mktemp("project"))
    try:
        yield containers
    finally:
        containers.run("make", "clean", "YES=1")


@pytest.fixture(scope="module")
def events(containers: Containers) -> Path:
    path = containers.home / "data" / "events.csv"
    path.parent.mkdir(exist_ok=True)
    make_events(ROWS, 5).write_csv(path)
    return path


def test_up_returns_once_every_server_is_healthy(containers: Containers) -> None:
    assert "the stack is up" in containers.make("up")
    states = containers.states()
    assert sorted(states) == sorted(f"{PROJECT}-{name}-1" for name in SERVERS)
    assert set(states.values()) == {"healthy"}
    # Running it again changes nothing.
    containers.make("up")


def test_a_server_has_no_more_than_it_needs(containers: Containers) -> None:
    for server in SERVERS:
        shown = containers.run("docker", "inspect", f"{PROJECT}-{server}-1")
        ((host, environ),) = (
            (c["HostConfig"], c["Config"]["Env"]) for c in json.loads(shown.stdout)
        )
        assert host["PidsLimit"] == (2048 if server in ("elasticsearch", "spark-worker") else 1024)
        assert host["CapDrop"] == ["ALL"]
        assert host["SecurityOpt"] == ["no-new-privileges:true"]
        assert host["Memory"]
        # The images of Kafka and Elasticsearch write their configuration at every start.
        assert host["ReadonlyRootfs"] == (server not in ("kafka", "elasticsearch"))
        if server.startswith("spark"):
            # Those who compute know only their own secret; the accounts come with each task.
            assert not [name for name in environ if "PASSWORD" in name]


def test_compose_accepts_the_codespaces_file(containers: Containers) -> None:
    files = ("--file", "docker-compose.yml", "--file", "docker-compose.codespaces.yml")
    command = (
        "env",
        "CODESPACE_NAME=test",
        "docker",
        "compose",
        *files,
        "--profile",
        "*",
        "config",
        "--quiet",
    )
    completed = containers.run(*command)
    assert completed.returncode == 0, completed.stderr


def test_profiles_are_exact_to_the_cent(containers: Containers, events: Path) -> None:
    containers.make("ingest", "FILE=data/events.csv")
    assert f"{ROWS:,} rows read" not in containers.make("dead-letters")
    containers.make("process")
    assert (containers.home / "reports" / "process-latest.json").stat().st_uid == os.getuid()
    check_profiles(containers.host_stack, events)
    assert "Nothing new" in containers.make("process")


def test_events_in_the_lake_equal_those_of_the_native_stack_byte_for_byte(
    containers: Containers, events: Path, tmp_path: Path
) -> None:
    with running(tmp_path / "stack", BUCKETS=BUCKETS) as native:
        ingest(native, events)
        process(native)
        settings = native.processing
        client = Minio(
            settings.minio_address,
            settings.minio_user,
            settings.minio_password.get_secret_value(),
            secure=False,
        )
        listed = client.list_objects("data-lake", prefix="events/bucket=", recursive=True)
        expected = {item.object_name or "": item.etag for item in listed}
    actual = {
        name: etag
        for name, etag in containers.objects().items()
        if name.startswith("events/bucket=")
    }
    assert len(actual) == int(BUCKETS)
    assert actual == expected


def test_access_without_a_valid_password_is_refused(containers: Containers) -> None:
    for changes in ({"security.protocol": "PLAINTEXT"}, {"sasl.password": "guessed"}):
        with pytest.raises(KafkaException):
            AdminClient(containers.kafka(**changes)).list_topics(timeout=5)
    address = containers.host_stack.processing.minio_address
    with pytest.raises(S3Error, match="AccessDenied"):
        list(Minio(address, secure=False, region="us-east-1").list_objects("data-lake"))
    with pytest.raises(S3Error, match="AccessDenied"):
        Minio(address, secure=False, region="us-east-1").put_object(
            "data-lake", "intruder", io.BytesIO(b"x"), 1
        )
    for account in (None, ("elastic", "guessed"), (READER, "guessed")):
        assert {status_of(containers, account, *request) for request in (READS, *WRITES)} == {401}


def test_a_reader_can_read_but_not_write(containers: Containers) -> None:
    reader = (READER, containers.secrets["ELASTIC_READER_PASSWORD"])
    assert status_of(containers, reader, *READS) == 200
    assert {status_of(containers, reader, *request) for request in WRITES} == {403}
    kibana = ("kibana_system", containers.secrets["KIBANA_PASSWORD"])
    assert status_of(containers, kibana, "GET", "_security/_authenticate") == 200


def test_a_job_can_use_the_lake_and_the_indices_and_nothing_else(containers: Containers) -> None:
    secrets = containers.secrets
    jobs = (JOBS, secrets["ELASTIC_JOBS_PASSWORD"])
    assert status_of(containers, jobs, *READS) == 200
    others = [WRITES[0], *WRITES[4:], ("GET", "_security/user"), ("GET", ".security/_search")]
    assert {status_of(containers, jobs, *request) for request in others} == {403}
    lake = Minio(
        containers.host_stack.processing.minio_address,
        JOBS,
        secrets["MINIO_JOBS_PASSWORD"],
        secure=False,
    )
    assert next(iter(lake.list_objects("data-lake")), None)
    with pytest.raises(S3Error, match="AccessDenied"):
        lake.make_bucket("intruder")
    assert [bucket.name for bucket in lake.list_buckets()] == ["data-lake"]


PROBE = """
import json, os, socket, sys
def reaches(name, port):
    try:
        socket.create_connection((name, port), 3).close()
    except OSError:
        return False
    return True
def writes(path):
    try:
        open(path, "w").close()
    except OSError:
        return False
    return True
addresses = {"kafka": 29092, "minio": 9000, "elasticsearch": 9200, "spark-master": 7077}
print(json.dumps({
    "files": sorted(os.listdir("/project")),
    "writes": [path for path in ("data/x", "reports/.x", "x", "/x", "/app/x") if writes(path)],
    "reaches": [name for name, port in addresses.items() if reaches(name, port)],
    "submits": reaches("spark-master", 6066),
    "outside": reaches("1.1.1.1", 53),
    "secrets": sorted(name for name in os.environ if "PASSWORD" in name or "SECRET" in name),
}))
"""


@pytest.mark.parametrize(
    ("service", "servers", "secrets"),
    [
        ("ingestion", ["kafka"], ["KAFKA_PASSWORD"]),
        (
            "processing",
            ["kafka", "minio", "elasticsearch", "spark-master"],
            ["ELASTIC_PASSWORD", "KAFKA_PASSWORD", "MINIO_ROOT_PASSWORD", "SPARK_AUTH_SECRET"],
        ),
    ],
)
def test_a_job_sees_what_it_needs_alone(
    containers: Containers, service: str, servers: list[str], secrets: list[str]
) -> None:
    command = ("docker", "compose", "run", "--rm", "-T", "--entrypoint", "python")
    completed = containers.run(
        "env", f"PIPELINE_USER={os.getuid()}", *command, service, "-c", PROBE
    )
    assert completed.returncode == 0, completed.stderr
    assert json.loads(completed.stdout) == {
        "files": ["data", "reports"],
        "writes": ["reports/.x"],
        "reaches": servers,
        "submits": False,
        "outside": False,
        "secrets": secrets,
    }
    # These passwords are not those of the accounts that may do anything.
    root = {containers.secrets["ELASTIC_PASSWORD"], containers.secrets["MINIO_ROOT_PASSWORD"]}
    config = containers.run("docker", "compose", "--profile", "jobs", "config", "--format", "json")
    environ = json.loads(config.stdout)["services"][service]["environment"]
    assert not root & set(environ.values())


def test_a_job_reads_and_writes_the_files_that_are_named(containers: Containers) -> None:
    letters = containers.home / "letters.csv"
    containers.make("dead-letters", f"EXPORT={letters.name}")
    content = letters.read_text()
    assert content.startswith('"letter",')
    assert letters.stat().st_mode & 0o777 == 0o600
    assert letters.stat().st_uid == os.getuid()
    for name in (letters.name, str(letters)):
        assert "0 would be sent" in containers.make("redrive", f"CORRECTED={name}")
    assert letters.read_text() == content
    # The generator writes beside its file.
    containers.make("sample", "ROWS=100", "FILE=made/more.csv")
    assert (containers.home / "made" / "more.csv").read_text().startswith("event_time,")
    missing = containers.run("make", "dead-letters", "EXPORT=nowhere/letters.csv")
    assert missing.returncode
    assert "Name another file: EXPORT=…" in missing.stderr


def test_kafka_answers_inside_and_outside_the_containers(containers: Containers) -> None:
    consumer = KafkaConsumer(
        RAW_EVENTS.name,
        bootstrap_servers=f"127.0.0.1:{containers.environ['KAFKA_PORT']}",
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="PLAIN",
        sasl_plain_username="profiles",
        sasl_plain_password=containers.secrets["KAFKA_PASSWORD"],
        auto_offset_reset="earliest",
        consumer_timeout_ms=20_000,
    )
    try:
        assert json.loads(next(consumer).value)["schema_version"] == 1
    finally:
        consumer.close()
    # The applications use another listener, under the name of the broker.
    assert (
        "topics are there"
        in containers.run("docker", "compose", "run", "--rm", "-T", "setup-topics").stdout
    )


def test_ports_are_open_on_loopback_only(containers: Containers) -> None:
    lines = containers.run("docker", "compose", "ps", "--format", "json").stdout.splitlines()
    published = [
        port
        for row in map(json.loads, lines)
        for port in row["Publishers"] or ()
        if port["PublishedPort"]
    ]
    assert {port["URL"] for port in published} == {"127.0.0.1"}
    with socket.socket() as probe:
        probe.settimeout(2)
        assert probe.connect_ex(("127.0.0.1", int(containers.environ["SPARK_MASTER_PORT"])))


@pytest.mark.parametrize("server", SERVERS)
def test_a_restarted_server_keeps_its_data(
    containers: Containers, events: Path, server: str
) -> None:
    assert containers.run("docker", "compose", "restart", server).returncode == 0
    wait_until(lambda: containers.states().get(f"{PROJECT}-{server}-1") == "healthy")
    assert search(containers.host_stack, "customer_profiles/_count")["count"] > 0
    assert "Nothing new" in containers.make("process")


def test_data_outlive_the_containers_and_workers_can_be_added(
    containers: Containers, events: Path
) -> None:
    objects_before = containers.objects()
    containers.make("down")
    assert containers.states() == {}
    containers.make("scale", "WORKERS=2")
    assert set(containers.states()) >= {f"{PROJECT}-spark-worker-1", f"{PROJECT}-spark-worker-2"}
    assert containers.objects() == objects_before
    with events.open("a") as file:
        file.writelines(make_events(ROWS, 6).head(2_000).write_csv(include_header=False))
    containers.make("ingest", "FILE=data/events.csv")
    containers.make("process")
    check_profiles(containers.host_stack, events)


def test_a_stream_follows_the_topic_and_ends_with_ctrl_c(
    containers: Containers, events: Path
) -> None:
    log = containers.home / "stream.log"
    with log.open("w") as out:
        # A new session, so that Ctrl-C reaches all of its processes as on a terminal.
        child = subprocess.Popen(
            ["make", "stream"],
            cwd=containers.home,
            env=containers.environ,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            start_new_session=True,
        )
    try:
        wait_until(lambda: "following raw_events" in log.read_text() or child.poll() is not None)
        assert child.poll() is None, log.read_text()
        with events.open("a") as file:
            file.writelines(make_events(ROWS, 7).head(2_000).write_csv(include_header=False))
        containers.make("ingest", "FILE=data/events.csv")
        expected = int(oracle(events)["total_events"].sum())
        body = {"aggs": {"events": {"sum": {"field": "total_events"}}}}

        def indexed() -> int:
            response = search(containers.host_stack, "customer_profiles/_search?size=0", body)
            return int(response["aggregations"]["events"]["value"])

        wait_until(lambda: indexed() == expected)
        refused = containers.run("make", "process")
        assert refused.returncode
        assert "A stream runs on" in refused.stderr
        os.killpg(child.pid, signal.SIGINT)
        child.wait(START_S)
        assert "Ended." in log.read_text()
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
    check_profiles(containers.host_stack, events)
    assert "Nothing new" in containers.make("process")
