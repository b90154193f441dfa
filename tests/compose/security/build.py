"""Lay out Elastic's security for the stand-in of its image: the published jars, and what they miss."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

from dotenv import dotenv_values

from stack.install import Component, bring, compile_java, fetch_jars, write_descriptor, write_jar
from stack.settings import Settings

HERE = Path(__file__).resolve().parent
NAME = "elasticsearch-security"
CORE_JARS = (
    *("x-pack-core-", "elasticsearch-ssl-config-", "httpc", "httpasync", "icu4j-", "commons-", "log4j-"),
    *("unboundid-", "slf4j-"),
)
"""The jars of the module that others build on; each jar belongs to one module."""
SAML = ("core.xml.XMLObject", "saml.saml2.core.RequestAbstractType", "saml.saml2.core.StatusResponseType")
"""Types that methods mention which nobody calls."""


def build(target: Path, settings: Settings, environ: dict[str, str]) -> None:
    """Modules for `modules/` and a jar for `lib/`."""
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
    core, security, email = (target / "modules" / name for name in ("x-pack-core", "x-pack-security", "email-analysis"))
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
    for rest in (compiler, *missing):
        rest.unlink()
    for folder in (jars, classes, saml):
        shutil.rmtree(folder)


def main() -> int:
    environ = {key: value or "" for key, value in {**dotenv_values(".env"), **os.environ}.items()}
    settings = Settings.from_env(environ)
    recipe = sorted(path for path in HERE.iterdir() if path.suffix in (".py", ".java", ".xml"))
    component = Component(NAME, tuple(recipe), lambda to: build(to, settings, environ))
    bring([component], settings, lambda line: print(f"  {line}", file=sys.stderr))
    return 0


if __name__ == "__main__":
    sys.exit(main())
