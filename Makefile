# Raw clickstream events in, customer profiles out. `make help` lists the commands.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

FILE ?= data/events.csv
ROWS ?= 885129
SEED ?= 1
TESTS ?= tests
# Percent of lines and branches that the tests without servers reach, and that all tests reach.
override COVERAGE_FLOOR := 70
override FULL_COVERAGE_FLOOR := 92
override MEASURE_COVERAGE := --cov --cov-report=term --cov-fail-under

# What people name reaches the shell through the environment, as "$$FILE", so that neither Make nor the
# shell evaluates it: a file may be called `a "b" $c.csv`. `value` keeps its $. This holds for every
# variable on the command line, because Make expands them all for the environment of each command, and
# for those of the environment that this file uses.
override NAMED := FILE ROWS SEED REASON SOURCE SINCE EXPORT CORRECTED MENDED STREAM_INTERVAL SPEED RATE ID FROM FIELD THROUGH FORMAT WORKERS SERVER VERSION TESTS GROWTH YES FOLLOW FORCE APPLY BRIEF KEEP DEEP NEW_TOPIC ACCEPT_GAPS COVERAGE TEST WATCH SILENCE UNSILENCE FOR LIST MONITORING SHOW CONTRACT CALENDAR ACCEPT EXPERIMENT PUBLISH DAYS
override NAMED += $(foreach .name,$(.VARIABLES),$(if $(filter command,$(origin $(.name))),$(.name)))
$(foreach .name,$(filter-out MAKE%,$(NAMED)),$(if $(filter undefined,$(origin $(.name))),,$(eval override $(.name) := $$(value $(.name)))$(eval export $(.name))))

# `override`: the commands themselves come from this file alone.
override PY := .venv/bin/python
override READY := .venv/.ready
override LOCKED := requirements.lock pyproject.toml $(wildcard */pyproject.toml libs/*/pyproject.toml)
# TESTS and GROWTH are lists of words, in which quotes keep spaces together, as in a shell.
override WITH_WORDS_OF := $(PY) -m scripts.with_words
override SELECTION = $(if $(REASON),--reason="$$REASON") $(if $(SOURCE),--source="$$SOURCE") $(if $(SINCE),--since="$$SINCE")

# Containers where a Docker engine answers, otherwise the native stack. STACK=docker|native overrides that.
override KIND := $(shell ./scripts/stack-kind.sh)
ifeq ($(KIND),)
$(error No stack could be chosen; the line above says why)
else ifeq ($(KIND),docker)
override STACK_READY := .env
override SERVERS := ./deploy/compose/compose.sh
override INGESTION := ./deploy/compose/compose.sh run ingestion
override PROCESSING := ./deploy/compose/compose.sh run processing
override SAMPLE := ./deploy/compose/compose.sh sample
override DASHBOARD := ./deploy/compose/compose.sh dashboard
override MONITOR := ./deploy/compose/compose.sh run monitoring
# Here the monitoring service evaluates by itself; a container more would double a short run.
override EVALUATE := :
else
override STACK_READY := $(READY)
override SERVERS := $(PY) -m stack
override INGESTION := $(PY) -m customer_profiles.ingestion
override PROCESSING = $(WITH_JAVA) $(PY) -m customer_profiles.processing
override SAMPLE := $(PY) scripts/make_sample.py
override DASHBOARD := $(PY) -m customer_profiles.dashboards serve
override MONITOR := $(PY) -m customer_profiles.monitoring
# Monitoring may be left out, and no run fails because of it.
override EVALUATE := $(if $(wildcard monitoring/src),$(MONITOR) quality --if-due || echo "The checks of data quality were not evaluated; see above" >&2,:)
endif
# Experiments run beside the servers in either case: these listen on loopback.
override EXPERIMENTATION := $(PY) -m customer_profiles.experimentation
override EXPERIMENT_NAME = -- "$(if $(EXPERIMENT),$$EXPERIMENT,$(error Name an experiment: make $@ EXPERIMENT=…))"
# Spark's driver needs a Java version that Spark supports, which may not be the one on the PATH.
override WITH_JAVA = JAVA_HOME="$$($(PY) stack/jvm.py --home spark)"

.PHONY: help demo setup up down status logs clean scale spark-jars sample dataset ingest dead-letters redrive process stream simulate rebuild restore-index summary verify repair profile explain dashboard report bench-ingest bench-process bench-stream screenshots test test-fast coverage test-compose lint format reference sbom release-notes lock alerts health quality bench-quality assign expose exposures experiment experiment-plan experiment-demo bench-experiments bench-damages bench-dashboard

# Old names, which `make help` does not list.
.PHONY: replay replay-live

help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} \
	  /^##@ / {printf "\n\033[1m%s\033[0m\n", substr($$0, 5)} \
	  /^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo

##@ Start here
demo: ## Do everything: from an empty machine to profiles on the screen
	@./scripts/demo.sh

setup: ## Install what is missing, write .env with free ports and generated secrets
	@./setup-environment.sh

##@ The stack
up: $(STACK_READY) ## Start Kafka, Spark, MinIO and Elasticsearch, and wait until each answers
	@$(SERVERS) up

down: $(STACK_READY) ## Stop everything; data are kept
	@$(SERVERS) down

status: $(STACK_READY) ## Show what runs, since when, with how much memory and where
	@for note in gaps quarantine; do [[ ! -f "$${REPORTS:-reports}/$$note.txt" ]] || cat "$${REPORTS:-reports}/$$note.txt"; done
	@$(SERVERS) status

logs: $(STACK_READY) ## Show the end of the servers' logs [SERVER=kafka FOLLOW=1]
	@$(SERVERS) logs $(if $(SERVER),"$$SERVER") $(if $(FOLLOW),--follow)

clean: $(STACK_READY) ## Remove all data after a question [YES=1]; the built servers are kept
	@$(SERVERS) clean $(if $(YES),--yes)

spark-jars: $(READY) ## Fetch the jars that let Spark itself read the lake (23 MB, once)
	@$(PY) -m stack spark-jars

scale: $(STACK_READY) ## Change the number of Spark workers: WORKERS=3
	@./scripts/scale.sh "$(if $(WORKERS),$$WORKERS,$(error Name a number of workers: make scale WORKERS=3))"
	@$(SERVERS) up

##@ From events to profiles
sample: $(STACK_READY) ## Write a synthetic file of events [ROWS=885129 SEED=1 FILE=data/events.csv]
	@$(SAMPLE) --rows="$$ROWS" --seed="$$SEED" --out="$$FILE" $(if $(FORCE),--force)

dataset: $(READY) ## Download the real file of events from Kaggle; needs an account there [FILE=data/events.csv]
	@./scripts/dataset.sh "$$FILE"

ingest: $(STACK_READY) ## Send a CSV file to Kafka, every row exactly once [FILE=data/events.csv REINGEST=1; FILE=- reads a pipe]
	@$(INGESTION) ingest -- "$$FILE"

dead-letters: $(STACK_READY) ## Show rejected rows by reason, source and day [REASON= SOURCE= SINCE= EXPORT=letters.csv]
	@$(INGESTION) dead-letters $(SELECTION) $(if $(EXPORT),--export="$$EXPORT")

redrive: $(STACK_READY) ## Send corrected dead letters again: CORRECTED=letters.csv or REASON=… [APPLY=1; without it, a dry run]
	@$(INGESTION) redrive $(SELECTION) $(if $(CORRECTED),--corrected="$$CORRECTED",$(if $(MENDED),--corrected="$$MENDED")) $(if $(APPLY),--apply)

# The name of `redrive` until 0.1; kept for one release.
replay: redrive
	@echo "warning: 'make replay' is 'make redrive' since 0.2; the next release drops the old name" >&2

process: $(STACK_READY) ## Turn everything new in Kafka into profiles, in the lake and the index
	@code=0; $(PROCESSING) process $(if $(BRIEF),--brief) $(if $(NEW_TOPIC),--new-topic) $(if $(ACCEPT_GAPS),--accept-gaps) || code=$$?; \
	case $$code in 0 | 3) $(EVALUATE) ;; esac; exit $$code

stream: $(STACK_READY) ## Keep processing until Ctrl-C: profiles follow events within seconds [STREAM_INTERVAL=2]
	@$(PROCESSING) stream

simulate: $(STACK_READY) ## Simulate live traffic from a file [FILE=data/events.csv SPEED=60, or RATE=100 events/s]
	@$(INGESTION) simulate --speed="$(if $(SPEED),$$SPEED,60)" $(if $(RATE),--rate="$$RATE") -- "$$FILE"

# The name of `simulate` until 0.1; kept for one release.
replay-live: simulate
	@echo "warning: 'make replay-live' is 'make simulate' since 0.2; the next release drops the old name" >&2

rebuild: $(STACK_READY) ## Compute all profiles again, into a new index that replaces the old one at once
	@$(PROCESSING) rebuild $(if $(BRIEF),--brief)

restore-index: $(STACK_READY) ## Go back to the index from before the last rebuild
	@$(PROCESSING) restore-index

summary: $(STACK_READY) ## Show what all profiles add up to, the best customers and where to look next
	@$(PROCESSING) summary

verify: $(STACK_READY) ## Check that lake, index and topic have everything that they should [DEEP=1 reads all contents]
	@$(PROCESSING) verify $(if $(DEEP),--deep)

repair: $(STACK_READY) ## Rebuild what can be rebuilt, and say what is lost [APPLY=1; without it, a dry run]
	@$(PROCESSING) repair $(if $(APPLY),--apply)

quality: $(STACK_READY) ## Check the data of every closed day against what is normal [SHOW=null_share/brand@2021-01-05 ACCEPT=12 CONTRACT=my.odcs.yaml CALENDAR=days.yaml]
	@$(MONITOR) quality $(if $(CONTRACT),--contract="$$CONTRACT") $(if $(CALENDAR),--calendar="$$CALENDAR") $(if $(SHOW),--show="$$SHOW") $(if $(ACCEPT),--accept="$$ACCEPT")

profile: $(STACK_READY) ## Show one customer's profile: ID=1515915625519388267 [FROM=lake]; warns if lake and index differ
	@$(PROCESSING) profile $(if $(FROM),--from="$$FROM") -- "$(if $(ID),$$ID,$(error Name a customer: make profile ID=…))"

explain: $(READY) ## Show the events behind a customer's profile: ID=… [FIELD=total_revenue THROUGH=12 FORMAT=json]
	@$(PY) -m customer_profiles.governance explain $(if $(FIELD),--field="$$FIELD") $(if $(THROUGH),--through="$$THROUGH") $(if $(filter json,$(FORMAT)),--json) -- "$(if $(ID),$$ID,$(error Name a customer: make explain ID=…))"

##@ Dashboards
dashboard: $(STACK_READY) ## Serve the page with all charts on http://127.0.0.1:8050 until Ctrl-C; in containers, name Kibana's address
	@$(DASHBOARD)

report: $(READY) ## Write the charts as one HTML file and as PNGs, in reports/
	@$(PY) -m customer_profiles.dashboards report

##@ Watching over it
alerts: $(STACK_READY) ## List what is wrong, and tell people of what is new [TEST=1 WATCH=1 LIST=1 SILENCE=… FOR=24h UNSILENCE=…]
	@$(MONITOR) alerts $(if $(TEST),--test) $(if $(WATCH),--watch) $(if $(LIST),--list) $(if $(SILENCE),--silence="$$SILENCE") $(if $(UNSILENCE),--unsilence="$$UNSILENCE") $(if $(FOR),--for="$$FOR")

health: $(STACK_READY) ## Show how healthy each server, the lag, the runs and the disk are; fails unless all is ok [FORMAT=json]
	@$(MONITOR) health $(if $(FORMAT),--format="$$FORMAT")

##@ Experiments
assign: $(READY) ## Say which variant a customer gets, or all: EXPERIMENT=free-shipping [ID=… or PUBLISH=1, which writes them into the profiles]
	@$(EXPERIMENTATION) assign $(if $(ID),--id="$$ID") $(if $(PUBLISH),--publish) $(EXPERIMENT_NAME)

expose: $(READY) ## Send exposures to Kafka, out of CSV or JSON lines: FILE=exposures.csv
	@$(EXPERIMENTATION) expose -- "$$FILE"

exposures: $(READY) ## Land new exposures in the lake, each exactly once
	@$(EXPERIMENTATION) exposures

experiment: $(READY) ## Land exposures, analyse an experiment and say whether it worked: EXPERIMENT=free-shipping
	@$(EXPERIMENTATION) analyse $(EXPERIMENT_NAME)

experiment-plan: $(READY) ## Say how many customers and days a test needs: EXPERIMENT=free-shipping [DAYS=14]
	@$(EXPERIMENTATION) plan $(if $(DAYS),--days="$$DAYS") $(EXPERIMENT_NAME)

experiment-demo: ## Run an experiment with a planted effect, from assignment to verdict; starts the stack if need be
	@./scripts/experiment-demo.sh

##@ Development
test: $(READY) ## Run all tests, on servers of their own [TESTS=tests/unit COVERAGE=1]
	@$(if $(filter tests,$(TESTS))$(findstring integration,$(TESTS)),./scripts/browser.sh)
	@$(WITH_JAVA) $(WITH_WORDS_OF) TESTS $(PY) -m pytest --numprocesses=2 $(if $(COVERAGE),$(MEASURE_COVERAGE)=$(FULL_COVERAGE_FLOOR))

test-fast: $(READY) ## Run the tests that need no server: unit, contract and shell, in a minute or two
	@$(PY) -m pytest --numprocesses=logical tests/unit tests/contract tests/shell

coverage: $(READY) ## Measure which lines and branches the tests without servers reach; fails below the floor
	@$(PY) -m pytest --numprocesses=logical tests/unit tests/contract $(MEASURE_COVERAGE)=$(COVERAGE_FLOOR)

test-compose: $(READY) ## Test the containers, on this machine's engine or on one brought up for the test [root on Debian]
	@$(WITH_JAVA) ./tests/compose/run.sh

bench-ingest: $(READY) ## Compare ingestion with a row-by-row producer and kcat, on the running broker [FILE=data/events.csv KEEP=1]
	@$(PY) -m benchmarks.bench_ingest $(if $(KEEP),--keep docs/benchmarks.md) -- "$$FILE"

bench-process: $(READY) ## Compare processing with a plain Spark job and DuckDB, and measure its growth [GROWTH="3 10" KEEP=1]
	@$(WITH_JAVA) $(if $(GROWTH),$(WITH_WORDS_OF) GROWTH) $(PY) -m benchmarks.bench_process $(if $(KEEP),--keep docs/benchmarks.md) $(if $(GROWTH),--growth)

bench-quality: $(READY) ## Measure which injected faults the checks of data quality find, and false alerts [KEEP=1]
	@$(PY) -m benchmarks.bench_quality $(if $(KEEP),--keep docs/quality.md)

bench-stream: $(READY) ## Measure the time from an event to its profile, at 1,000 and 10,000 events/s [KEEP=1]
	@$(WITH_JAVA) $(PY) -m benchmarks.bench_stream $(if $(KEEP),--keep docs/benchmarks.md)

bench-experiments: $(READY) ## Check the statistics of experiments by simulation, and analyse a million customers [KEEP=1]
	@$(PY) -m benchmarks.bench_experiments $(if $(KEEP),--keep docs/experiments.md)

bench-damages: $(READY) ## Damage a lake, an index and topics in every way, and show what finds and mends each [KEEP=1]
	@$(WITH_JAVA) $(PY) -m benchmarks.bench_damages $(if $(KEEP),--keep docs/integrity.md)

bench-dashboard: $(READY) ## Measure how long the page takes with 400,000 profiles, in a browser [KEEP=1]
	@./scripts/browser.sh
	@$(WITH_JAVA) $(PY) -m benchmarks.bench_dashboard $(if $(KEEP),--keep docs/dashboards.md)

screenshots: $(READY) ## Take the pictures in docs/images from the page that make dashboard serves
	@$(PY) -m scripts.screenshots

lint: $(READY) ## Check format, lint, types, imports, spelling, shell scripts and Dockerfiles; changes nothing
	@$(PY) -m ruff format --check .
	@$(PY) -m ruff check .
	@$(PY) -m mypy
	@.venv/bin/lint-imports --no-cache >.venv/lint-imports.log || { cat .venv/lint-imports.log >&2; exit 1; }
	@.venv/bin/codespell
	@command -v shellcheck >/dev/null || { echo "error: shellcheck is missing: apt-get install shellcheck, or brew install shellcheck" >&2; exit 1; }
	@shellcheck --external-sources $$(git ls-files '*.sh') .ci/run
	@# Debian removes old versions of its packages, so nothing can pin them (DL3008).
	@[ ! -x .venv/bin/hadolint ] || .venv/bin/hadolint --ignore DL3008 $$(git ls-files '*Dockerfile' ':!tests')
	@echo "lint: no problems found"

format: $(READY) ## Format the code and apply automatic fixes
	@$(PY) -m ruff format .
	@$(PY) -m ruff check --fix .

reference: $(READY) ## Write the reference pages in docs/reference from the code
	@$(PY) -m scripts.generate_reference

sbom: $(READY) ## Write the software bill of materials, reports/sbom.json: packages, jars and images
	@$(PY) scripts/sbom.py

release-notes: ## Print a version's section of the changelog [VERSION=0.2.0]
	@./scripts/release-notes.sh $(if $(VERSION),"$$VERSION")

lock: $(READY) ## Renew the hashed locks from the pyproject.toml files
	@PYTHON=$(PY) ./scripts/lock.sh

$(READY): $(LOCKED)
	@./setup-environment.sh --native

.env:
	@./setup-environment.sh
