"""Assemble Elastic's security for its stand-in image from published jars and added classes."""

from __future__ import annotations

import logging
import shutil
import sys
from pathlib import Path

from customer_profiles.common.environ import load_environ
from stack.components import Component, install_components
from stack.downloads import fetch_jars
from stack.elasticsearch_build import compile_java, write_descriptor, write_jar
from stack.settings import Settings

HERE = Path(__file__).resolve().parent
NAME = "elasticsearch-security"
CORE_JARS = (
    *(
        "x-pack-core-",
        "elasticsearch-ssl-config-",
        "httpc",
        "httpasync",
        "icu4j-",
        "commons-",
        "log4j-",
    ),
    *("unboundid-", "slf4j-"),
)
"""Jars of the core module, which other modules extend. Each jar belongs to one module."""
SAML = (
    "core.xml.XMLObject",
    "saml.saml2.core.RequestAbstractType",
    "saml.saml2.core.StatusResponseType",
)
"""Types in the signatures of methods that nothing calls."""


def build(target: Path, settings: Settings, environ: dict[str, str]) -> None:
    """Build the modules for `modules/` and the jars for `lib/`."""
    jars, server = target / "jars", settings.dist / "elasticsearch" / "lib"
    fetch_jars(HERE / "pom.xml", jars, environ)
    (compiler,) = jars.glob("ecj-*.jar")
    compiler = compiler.rename(target / compiler.name)
    missing = []
    for name in SAML:
        package, _, kind = f"org.opensaml.{name}".rpartition(".")
        missing.append(target / f"{kind}.java")
        missing[-1].write_text(f"package {package}; public interface {kind} {{}}")
    sources = list(HERE.glob("*.java"))
    classes = compile_java(compiler, server, sources, target / "classes", settings, environ)
    saml = compile_java(compiler, server, missing, target / "saml", settings, environ)
    core, security, email = (
        target / "modules" / name for name in ("x-pack-core", "x-pack-security", "email-analysis")
    )
    for module in (core, security, email, target / "lib"):
        module.mkdir(parents=True)
    for jar in sorted(jars.glob("*.jar")):
        if not (server / jar.name).exists():
            jar.rename((core if jar.name.startswith(CORE_JARS) else security) / jar.name)
    write_jar(classes, "Secrets", target / "lib" / "secrets.jar")
    write_jar(classes, "EmailAnalysis", email / "email-analysis.jar")
    write_jar(saml, "", security / "saml.jar")
    write_descriptor(core, "org.elasticsearch.xpack.core.XPackPlugin")
    write_descriptor(security, "org.elasticsearch.xpack.security.Security", extends="x-pack-core")
    write_descriptor(email, "standin.EmailAnalysis")
    for leftover in (compiler, *missing):
        leftover.unlink()
    for folder in (jars, classes, saml):
        shutil.rmtree(folder)


def main() -> int:
    # The caller evaluates standard output, so log to standard error.
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="  %(message)s")
    environ = load_environ()
    settings = Settings.from_env(environ)
    recipe = sorted(path for path in HERE.iterdir() if path.suffix in (".py", ".java", ".xml"))
    component = Component(NAME, tuple(recipe), lambda to: build(to, settings, environ))
    install_components([component], settings)
    return 0


if __name__ == "__main__":
    sys.exit(main())
