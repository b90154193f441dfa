# Raw clickstream events in, customer profiles out. `make help` lists the commands.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

FILE ?= data/events.csv
ROWS ?= 885129
SEED ?= 1
TESTS ?= tests

PY := .venv/bin/python
READY := .venv/.ready
LOCKED := requirements.lock pyproject.toml $(wildcard */pyproject.toml)
CHOSEN = $(if $(REASON),--reason "$(REASON)") $(if $(SOURCE),--source "$(SOURCE)") $(if $(SINCE),--since "$(SINCE)")
# Spark's driver needs the Java that suits Spark, which need not be the one on the PATH.
WITH_JAVA = JAVA_HOME="$$($(PY) stack/jvm.py --home spark)"

.PHONY: help demo setup up down status logs clean spark-jars sample dataset ingest dead-letters replay process rebuild restore-index profile bench-ingest bench-process test lint format lock

help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} \
	  /^##@ / {printf "\n\033[1m%s\033[0m\n", substr($$0, 5)} \
	  /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo

##@ Start here
demo: ## Everything from nothing to profiles on the screen
	@./scripts/demo.sh

setup: ## Find or install what is missing, write .env with free ports and generated secrets
	@./setup-environment.sh

##@ The stack
up: $(READY) ## Start Kafka, Spark, MinIO and Elasticsearch; returns when each answers
	@$(PY) -m stack up

down: $(READY) ## Stop everything; data are kept
	@$(PY) -m stack down

status: $(READY) ## What runs, since when, with how much memory and where
	@$(PY) -m stack status

logs: $(READY) ## The end of the servers' logs [SERVER=kafka FOLLOW=1]
	@$(PY) -m stack logs $(SERVER) $(if $(FOLLOW),--follow)

clean: $(READY) ## Remove all data after asking [YES=1]; the built servers are kept
	@$(PY) -m stack clean $(if $(YES),--yes)

spark-jars: $(READY) ## Fetch the jars with which Spark itself reads the lake (23 MB, once)
	@$(PY) -m stack spark-jars

##@ From events to profiles
sample: $(READY) ## Make a synthetic file of events [ROWS=885129 SEED=1 FILE=data/events.csv]
	@$(PY) scripts/make_sample.py --rows "$(ROWS)" --seed "$(SEED)" --out "$(FILE)" $(if $(FORCE),--force)

dataset: $(READY) ## The real file of events by Kaggle's client; needs an account there [FILE=data/events.csv]
	@./scripts/dataset.sh "$(FILE)"

ingest: $(READY) ## CSV to Kafka, every row exactly once [FILE=data/events.csv REINGEST=1; FILE=- reads a pipe]
	@$(PY) -m ingestion ingest "$(FILE)"

dead-letters: $(READY) ## Rejected rows by reason, source and day [REASON= SOURCE= SINCE= EXPORT=letters.csv]
	@$(PY) -m ingestion dead-letters $(CHOSEN) $(if $(EXPORT),--export "$(EXPORT)")

replay: $(READY) ## Send mended rows again: MENDED=letters.csv or REASON=… [APPLY=1; else it only says what it would do]
	@$(PY) -m ingestion replay $(CHOSEN) $(if $(MENDED),--mended "$(MENDED)") $(if $(APPLY),--apply)

process: $(READY) ## Kafka to lake, profiles and index: everything that is new
	@$(WITH_JAVA) $(PY) -m processing process $(if $(BRIEF),--brief)

rebuild: $(READY) ## All profiles anew, into a new index that replaces the old one at once
	@$(WITH_JAVA) $(PY) -m processing rebuild $(if $(BRIEF),--brief)

restore-index: $(READY) ## Show the index again that was shown before the last rebuild
	@$(PY) -m processing restore-index

profile: $(READY) ## One customer's profile: ID=1515915625519388267 [FROM=lake]; says so if lake and index differ
	@$(PY) -m processing profile "$(or $(ID),$(error Name a customer: make profile ID=…))" $(if $(FROM),--from "$(FROM)")

##@ Development
test: $(READY) ## All tests, on servers of their own [TESTS=tests/unit]
	@$(WITH_JAVA) $(PY) -m pytest $(TESTS)

bench-ingest: $(READY) ## Ours, a row-by-row producer and kcat, on the running broker [FILE=data/events.csv KEEP=1]
	@$(PY) -m scripts.bench_ingest "$(FILE)" $(if $(KEEP),--keep docs/benchmarks.md)

bench-process: $(READY) ## Ours, a plain Spark job and DuckDB, and how ours grows, on servers of its own [GROWTH="3 10" KEEP=1]
	@$(WITH_JAVA) $(PY) -m scripts.bench_process $(if $(GROWTH),--growth $(GROWTH)) $(if $(KEEP),--keep docs/benchmarks.md)

lint: $(READY) ## Format, lint, types and shell scripts; changes nothing
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .
	@$(PY) -m mypy
	@command -v shellcheck >/dev/null || { echo "error: shellcheck is missing: apt-get install shellcheck, or brew install shellcheck" >&2; exit 1; }
	@shellcheck --external-sources $$(git ls-files '*.sh') .ci/run
	@echo "lint: nothing to mend"

format: $(READY) ## Format the code and mend what can be mended
	@$(PY) -m ruff format .
	@$(PY) -m ruff check --fix .

lock: $(READY) ## Renew the hashed locks from the pyproject.toml files
	@PYTHON=$(PY) ./scripts/lock.sh

$(READY): $(LOCKED)
	@./setup-environment.sh
