"""Lay out Elasticsearch from its published jars, with a launcher and plugins of our own."""

from __future__ import annotations

import os
import shutil
import zipfile
from collections.abc import Mapping
from pathlib import Path

from stack import jvm
from stack.downloads import fetch_jars, run_tool
from stack.errors import StackError
from stack.settings import Settings

ELASTICSEARCH_VERSION = "9.5.3"
ELASTICSEARCH_DESCRIPTOR = """\
description={name}
version={version}
name={name}
classname={classname}
java.version=21
elasticsearch.version={version}
has.native.controller=false
"""
"""The descriptor of a module: a folder of jars that the server loads with its own class loader."""
TRANSPORT_JARS = ("transport-netty4-", "netty-", "elasticsearch-ssl-config-")
SYSTEM_ZSTD = Path("/usr/lib/x86_64-linux-gnu/libzstd.so.1")


def build_elasticsearch(
    target: Path, pom: Path, sources: list[Path], settings: Settings, environ: Mapping[str, str]
) -> None:
    """Lay the jars out as the distribution does: `lib` for the server, `modules/NAME` for modules.

    Args:
        target: the folder for the layout.
        pom: names the published jars.
        sources: the Java sources of the launcher and the plugins.
        settings: locates the Java that compiles them.
        environ: the environment of the tools.

    Raises:
        StackError: Maven or Java is missing or fails.
    """
    lib = target / "lib"
    fetch_jars(pom, lib, environ)
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
    # Elasticsearch refuses a class that is in two jars ("jar hell"), so each jar has only its own.
    write_jar(classes, "Launcher", lib / "launcher.jar")
    write_jar(classes, "RootPlugin", root / "root.jar")
    write_jar(classes, "AccessPlugin", transport / "access.jar")
    shutil.rmtree(classes)
    write_descriptor(transport, "stack.elasticsearch.AccessPlugin")
    write_descriptor(root, "stack.elasticsearch.RootPlugin")
    if SYSTEM_ZSTD.exists():
        platform = lib / "platform" / "linux-x64"
        platform.mkdir(parents=True)
        shutil.copy(SYSTEM_ZSTD, platform / "libzstd.so")


def compile_java(
    compiler: Path,
    lib: Path,
    sources: list[Path],
    classes: Path,
    settings: Settings,
    environ: Mapping[str, str],
) -> Path:
    """Compile Java sources against the jars in `lib`.

    The compiler is a jar (ecj), because a Java runtime may come without javac.

    Returns:
        `classes`, the folder of the compiled classes.

    Raises:
        StackError: there is no suitable Java, or the sources do not compile.
    """
    runtime = jvm.for_elasticsearch(jvm.find(environ, settings.dist))
    if runtime is None:
        raise StackError(
            "No Java 21 or newer was found for Elasticsearch. Run `make setup`, or set JAVA_HOME."
        )
    classpath = os.pathsep.join(str(jar) for jar in sorted(lib.glob("*.jar")))
    options = ["-source", "21", "-target", "21", "-proc:none", "-nowarn", "-cp", classpath]
    command: list[str | Path] = [runtime.java, "-jar", compiler, *options, "-d", classes, *sources]
    run_tool(command, environ, "Compiling the launcher of Elasticsearch")
    return classes


def write_jar(classes: Path, name: str, jar: Path) -> None:
    """Put the compiled classes whose names start with `name` into a jar."""
    with zipfile.ZipFile(jar, "w") as archive:
        for file in sorted(classes.rglob(f"{name}*.class")):
            archive.write(file, file.relative_to(classes))


def write_descriptor(module: Path, classname: str, extends: str = "") -> None:
    """Declare a folder of jars as a module, under the name of the folder.

    Args:
        module: the folder.
        classname: the plugin class that the module offers.
        extends: the module that this one extends, if any.
    """
    text = ELASTICSEARCH_DESCRIPTOR.format(
        name=module.name, classname=classname, version=ELASTICSEARCH_VERSION
    )
    if extends:
        text += f"extended.plugins={extends}\n"
    (module / "plugin-descriptor.properties").write_text(text)
