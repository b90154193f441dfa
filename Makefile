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

# Containers where a Docker engine answers, else the native stack; STACK=docker|native decides by hand.
KIND := $(shell ./scripts/stack-kind.sh)
ifeq ($(KIND),)
$(error No stack is chosen: see the line above)
else ifeq ($(KIND),docker)
STACK_READY := .env
SERVERS := ./scripts/compose.sh
INGESTION := ./scripts/compose.sh run ingestion
PROCESSING := ./scripts/compose.sh run processing
SAMPLE := ./scripts/compose.sh sample
DASHBOARD := ./scripts/compose.sh dashboard
else
STACK_READY := $(READY)
SERVERS := $(PY) -m stack
INGESTION := $(PY) -m ingestion
PROCESSING = $(WITH_JAVA) $(PY) -m processing
SAMPLE := $(PY) scripts/make_sample.py
DASHBOARD := $(PY) -m dashboards serve
endif
# Spark's driver needs the Java that suits Spark, which need not be the one on the PATH.
WITH_JAVA = JAVA_HOME="$$($(PY) stack/jvm.py --home spark)"

.PHONY: help demo setup up down status logs clean scale spark-jars sample dataset ingest dead-letters replay process stream replay-live rebuild restore-index summary profile dashboard report bench-ingest bench-process bench-stream screenshots test test-compose lint format lock

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
up: $(STACK_READY) ## Start Kafka, Spark, MinIO and Elasticsearch; returns when each answers
	@$(SERVERS) up

down: $(STACK_READY) ## Stop everything; data are kept
	@$(SERVERS) down

status: $(STACK_READY) ## What runs, since when, with how much memory and where
	@$(SERVERS) status

logs: $(STACK_READY) ## The end of the servers' logs [SERVER=kafka FOLLOW=1]
	@$(SERVERS) logs $(SERVER) $(if $(FOLLOW),--follow)

clean: $(STACK_READY) ## Remove all data after asking [YES=1]; the built servers are kept
	@$(SERVERS) clean $(if $(YES),--yes)

spark-jars: $(READY) ## Fetch the jars with which Spark itself reads the lake (23 MB, once)
	@$(PY) -m stack spark-jars

scale: $(STACK_READY) ## So many Spark workers: WORKERS=3
	@./scripts/scale.sh "$(or $(WORKERS),$(error Say how many: make scale WORKERS=3))"
	@$(SERVERS) up

##@ From events to profiles
sample: $(STACK_READY) ## Make a synthetic file of events [ROWS=885129 SEED=1 FILE=data/events.csv]
	@$(SAMPLE) --rows "$(ROWS)" --seed "$(SEED)" --out "$(FILE)" $(if $(FORCE),--force)

dataset: $(READY) ## The real file of events by Kaggle's client; needs an account there [FILE=data/events.csv]
	@./scripts/dataset.sh "$(FILE)"

ingest: $(STACK_READY) ## CSV to Kafka, every row exactly once [FILE=data/events.csv REINGEST=1; FILE=- reads a pipe]
	@$(INGESTION) ingest "$(FILE)"

dead-letters: $(STACK_READY) ## Rejected rows by reason, source and day [REASON= SOURCE= SINCE= EXPORT=letters.csv]
	@$(INGESTION) dead-letters $(CHOSEN) $(if $(EXPORT),--export "$(EXPORT)")

replay: $(STACK_READY) ## Send mended rows again: MENDED=letters.csv or REASON=… [APPLY=1; else it only says what it would do]
	@$(INGESTION) replay $(CHOSEN) $(if $(MENDED),--mended "$(MENDED)") $(if $(APPLY),--apply)

process: $(STACK_READY) ## Kafka to lake, profiles and index: everything that is new
	@$(PROCESSING) process $(if $(BRIEF),--brief)

stream: $(STACK_READY) ## The same, kept running until Ctrl-C: profiles within seconds [STREAM_INTERVAL=2]
	@$(if $(STREAM_INTERVAL),STREAM_INTERVAL="$(STREAM_INTERVAL)") $(PROCESSING) stream

replay-live: $(STACK_READY) ## Play a file into the topic as if it happened now [FILE=data/events.csv SPEED=60, or RATE=100]
	@$(INGESTION) replay-live "$(FILE)" --speed "$(or $(SPEED),60)" $(if $(RATE),--rate "$(RATE)")

rebuild: $(STACK_READY) ## All profiles anew, into a new index that replaces the old one at once
	@$(PROCESSING) rebuild $(if $(BRIEF),--brief)

restore-index: $(STACK_READY) ## Show the index again that was shown before the last rebuild
	@$(PROCESSING) restore-index

summary: $(STACK_READY) ## What all profiles add up to, the best customers and where to look next
	@$(PROCESSING) summary

profile: $(STACK_READY) ## One customer's profile: ID=1515915625519388267 [FROM=lake]; says so if lake and index differ
	@$(PROCESSING) profile "$(or $(ID),$(error Name a customer: make profile ID=…))" $(if $(FROM),--from "$(FROM)")

##@ Dashboards
dashboard: $(STACK_READY) ## The page with all charts on http://127.0.0.1:8050 until Ctrl-C; in containers, where Kibana is
	@$(DASHBOARD)

report: $(READY) ## The charts as one HTML file and as PNGs, in reports/
	@$(PY) -m dashboards report

##@ Development
test: $(READY) ## All tests, on servers of their own [TESTS=tests/unit]
	@$(if $(filter tests,$(TESTS))$(findstring integration,$(TESTS)),./scripts/browser.sh)
	@$(WITH_JAVA) $(PY) -m pytest $(TESTS)

test-compose: $(READY) ## The containers: on this machine's engine, or on one brought up for the test [root on Debian]
	@$(WITH_JAVA) ./tests/compose/run.sh

bench-ingest: $(READY) ## Ours, a row-by-row producer and kcat, on the running broker [FILE=data/events.csv KEEP=1]
	@$(PY) -m scripts.bench_ingest "$(FILE)" $(if $(KEEP),--keep docs/benchmarks.md)

bench-process: $(READY) ## Ours, a plain Spark job and DuckDB, and how ours grows, on servers of its own [GROWTH="3 10" KEEP=1]
	@$(WITH_JAVA) $(PY) -m scripts.bench_process $(if $(GROWTH),--growth $(GROWTH)) $(if $(KEEP),--keep docs/benchmarks.md)

bench-stream: $(READY) ## From an event to its profile, at 1,000 events/s for ten minutes and 10,000 for one, on servers of its own [KEEP=1]
	@$(WITH_JAVA) $(PY) -m scripts.bench_stream $(if $(KEEP),--keep docs/benchmarks.md)

screenshots: $(READY) ## The pictures of the page in docs/images, from the one that is shown
	@$(PY) -m scripts.screenshots

lint: $(READY) ## Format, lint, types, shell scripts and Dockerfiles; changes nothing
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .
	@$(PY) -m mypy
	@command -v shellcheck >/dev/null || { echo "error: shellcheck is missing: apt-get install shellcheck, or brew install shellcheck" >&2; exit 1; }
	@shellcheck --external-sources $$(git ls-files '*.sh') .ci/run
	@# Debian removes old versions of its packages, so they cannot be pinned (DL3008).
	@[ ! -x .venv/bin/hadolint ] || .venv/bin/hadolint --ignore DL3008 $$(git ls-files '*Dockerfile' ':!tests')
	@echo "lint: nothing to mend"

format: $(READY) ## Format the code and mend what can be mended
	@$(PY) -m ruff format .
	@$(PY) -m ruff check --fix .

lock: $(READY) ## Renew the hashed locks from the pyproject.toml files
	@PYTHON=$(PY) ./scripts/lock.sh

$(READY): $(LOCKED)
	@./setup-environment.sh --native

.env:
	@./setup-environment.sh
