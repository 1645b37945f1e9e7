# Play-Prediction Engine. `make help` lists what there is.
SHELL := /bin/bash
.DEFAULT_GOAL := help
# Where it is set, each of the hundreds of processes that the tests start would compile every module again.
unexport PYTHONDONTWRITEBYTECODE
VENV := .venv
PYTHON := $(VENV)/bin/python
# What the virtual environment is made with, once. One built with optimisations (Debian's, python.org's) is half as quick again.
PYTHON3 ?= python3
PROTOS := $(shell find proto/predmarket -name '*.proto' 2>/dev/null | sort)
CODE := $(sort $(dir $(wildcard */*.py client/*/*.py)))

PORT ?= 8080
DATA ?= .data
SCALE ?=
DEMO ?= 1
TRADERS ?= 0
KAFKA ?= 0
SHARDS ?= 0
SEED ?= 1
COUNT ?= 1000000
KILLS ?= 200
TRADES ?= 1000000
RATE ?= 100
EXAMPLES ?= 200
TESTS ?= tests
# Test processes side by side. Most tests wait for servers, so one more than there are cores keeps those busy.
WORKERS ?= 3
ARGS ?=
# Outside the data folder, which `make reset` deletes.
EXPORT ?= export

.PHONY: help setup proto run status logs stop reset topics rebuild-buses verify reconcile rebuild-analytics export fuzz test simulate soak-kill soak-sockets soak-analytics soak-clickhouse quotes hostile limits side-by-side check format docs bench clean

help: ## Show this list
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-17s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo '  Options of run: PORT=8080 DATA=.data SCALE="ws_service=2 order_service=2" DEMO=0 TRADERS=5 KAFKA=1 SHARDS=4'
	@echo '  Option of setup: PYTHON3=/usr/bin/python3, the interpreter that .venv is made with (make clean first)'
	@echo '  Options of test: TESTS=tests/engine WORKERS=0 ARGS="-k pool -x"'

setup: $(VENV)/.packages proto/gen/.stamp ## Make the virtual environment and the generated code (quick the second time)

# Two installers side by side: unpacking keeps a core busy. The lock names everything, so neither looks for more, and the check
# afterwards would tell. Some packages bring templates that do not compile.
$(VENV)/.packages: requirements.lock Makefile
	@$(PYTHON3) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
	  { echo "Python 3.11 or newer is needed; '$(PYTHON3)' is $$($(PYTHON3) --version 2>&1 || echo missing)." >&2; exit 1; }
	@$(PYTHON3) -c 'import ensurepip, venv' 2>/dev/null || \
	  { echo "$(PYTHON3) lacks the venv module (on Debian and Ubuntu: apt install python3-venv)." >&2; exit 1; }
	@test -x $(PYTHON) || $(PYTHON3) -m venv $(VENV)
	@echo "Installing the pinned packages ..."
	@sed 's/#.*//' requirements.lock | xargs -P 2 -n 20 $(PYTHON) -m pip install --quiet --disable-pip-version-check --no-deps --no-compile
	@$(PYTHON) -m pip check
	@$(PYTHON) -m compileall -qq -j 0 $(VENV)/lib || true
	@$(PYTHON) -c 'import pathlib, sysconfig; pathlib.Path(sysconfig.get_path("purelib"), "play_prediction_engine.pth").write_text("$(CURDIR)\n$(CURDIR)/proto/gen\n$(CURDIR)/client\n")'
	@touch $@

# Generated beside its place and then moved, so that a running process never sees half of it.
proto/gen/.stamp: $(VENV)/.packages $(PROTOS)
	@rm -rf proto/.gen-new proto/.gen-old && mkdir -p proto/.gen-new proto/gen
	@if [ -n "$(PROTOS)" ]; then $(PYTHON) -m grpc_tools.protoc -I proto --python_out=proto/.gen-new \
	  --grpc_python_out=proto/.gen-new --pyi_out=proto/.gen-new $(PROTOS); fi
	@touch proto/.gen-new/.stamp
	@mv proto/gen proto/.gen-old && mv proto/.gen-new proto/gen && rm -rf proto/.gen-old

proto: ## Generate the gRPC code again
	@rm -f proto/gen/.stamp
	@$(MAKE) --no-print-directory proto/gen/.stamp

run: setup ## Start everything: PostgreSQL, NATS, Redis, all services, demo markets
	@$(PYTHON) -m launcher run --port "$(PORT)" --data "$(DATA)" --scale "$(SCALE)" --demo "$(DEMO)" --traders "$(TRADERS)" --kafka "$(KAFKA)" --shards "$(SHARDS)"

status: setup ## Show what runs
	@$(PYTHON) -m launcher status --data "$(DATA)"

logs: setup ## Follow the logs of every process (SERVICE=order_service-1 for one)
	@$(PYTHON) -m launcher logs --data "$(DATA)" $(SERVICE)

stop: setup ## Stop what `make run` started
	@$(PYTHON) -m launcher stop --data "$(DATA)"

reset: setup ## Stop, then delete all data of the data folder
	@$(PYTHON) -m launcher reset --data "$(DATA)"

# Files in their own order: by default those of few but long tests come last, and the other processes wait for them.
test: setup ## Run the tests
	@$(PYTHON) -m pytest -q -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(TESTS) $(ARGS)

topics: setup ## Make the topics of the running engine, or change their settings (KAFKA_..., TOPIC_...)
	@$(PYTHON) -m launcher topics --data "$(DATA)"

rebuild-buses: setup ## Wipe both buses of the running engine and publish everything again from PostgreSQL
	@$(PYTHON) -m launcher rebuild-buses --data "$(DATA)"

verify: setup ## Recompute every balance from the ledger of the data folder (ARGS for options)
	@$(PYTHON) -m launcher verify --data "$(DATA)" $(ARGS)

reconcile: setup ## Compare every count, volume and fee of ClickHouse with PostgreSQL
	@$(PYTHON) -m launcher analytics reconcile --data "$(DATA)"

export: setup ## Write Parquet files by day and a manifest (EXPORT=folder ARGS="--from 2026-01-01 --to 2026-02-01"; after make stop)
	@CLICKHOUSE_FOLDER="$${CLICKHOUSE_FOLDER:-$(DATA)/clickhouse}" $(PYTHON) -m analytics.analysts export "$(EXPORT)" $(ARGS)

rebuild-analytics: setup ## Make all tables of ClickHouse anew from PostgreSQL (the embedded engine: after make stop)
	@$(PYTHON) -m launcher analytics rebuild --data "$(DATA)"

simulate: setup ## Run random commands against the naive oracle (SEED=1 COUNT=1000000)
	@$(PYTHON) -m tests.simulate --seed "$(SEED)" --count "$(COUNT)"

soak-kill: setup ## Kill order_service at random under load, checking after each kill (KILLS=200 SEED=1)
	@SOAK_KILLS="$(KILLS)" SOAK_SEED="$(SEED)" $(PYTHON) -m pytest -q -s -o timeout=0 tests/order_service/test_soak.py

soak-sockets: setup ## Watch the memory of 2,000 sockets for five minutes, a tenth of which never read
	@$(PYTHON) -m bench.socket_soak $(ARGS)

soak-analytics: setup ## Copy a log of trades to ClickHouse through kills and restarts, then compare all (TRADES=1000000 KILLS=50 SEED=1)
	@$(PYTHON) -m tests.analytics_soak copy --trades "$(TRADES)" --kills "$(if $(filter command line,$(origin KILLS)),$(KILLS),50)" --seed "$(SEED)"

soak-clickhouse: setup ## Take ClickHouse away under load, and see who notices (SECONDS=120 RATE=100)
	@$(PYTHON) -m tests.analytics_soak away --seconds "$(if $(filter command line,$(origin SECONDS)),$(SECONDS),120)" --rate "$(RATE)"

quotes: setup ## Quote random orders, place them, and compare to the micro (COUNT=10000 SEED=1)
	@QUOTES_COUNT="$(if $(filter command line,$(origin COUNT)),$(COUNT),10000)" QUOTES_SEED="$(SEED)" \
	  $(PYTHON) -m pytest -q -s -o timeout=0 tests/market_service/test_quotes.py -k to_the_micro

hostile: setup ## Throw hostile inputs at REST, gRPC, gRPC-Web and WebSocket (COUNT=100000 SEED=1)
	@$(PYTHON) -m tests.hostile --count "$(if $(filter command line,$(origin COUNT)),$(COUNT),100000)" --seed "$(SEED)"

fuzz: setup ## Send many requests made from the OpenAPI document, and check each answer (EXAMPLES=200 SEED=1)
	@FUZZ_EXAMPLES="$(EXAMPLES)" FUZZ_SEED="$(SEED)" $(PYTHON) -m pytest -q -s -o timeout=0 tests/api_gateway/test_fuzz.py

limits: setup ## Ask four gateway processes for more than the rate limits admit, and check every window (COUNT=100000 SEED=1)
	@$(PYTHON) -m tests.limits --count "$(if $(filter command line,$(origin COUNT)),$(COUNT),100000)" --seed "$(SEED)"

side-by-side: setup ## Run the tests of the edge with two processes of api_gateway and of ws_service
	@SIDE_BY_SIDE=2 $(PYTHON) -m pytest -q tests/api_gateway tests/client tests/ws_service $(ARGS)

check: setup ## Formatter, linter and strict type checker
	@$(VENV)/bin/ruff format --check .
	@$(VENV)/bin/ruff check .
	@$(PYTHON) -m mypy $(CODE)

format: setup ## Let the formatter and the linter mend what they can
	@$(VENV)/bin/ruff format .
	@$(VENV)/bin/ruff check --fix .

docs: setup ## Write the pages that are made from code
	@mkdir -p docs && $(PYTHON) -c 'from runtime.error_codes import as_markdown; print(as_markdown(), end="")' > docs/errors.md

bench: setup ## Measure, each figure beside its rival (never part of the tests)
	@$(PYTHON) -m bench $(ARGS)

clean: ## Remove the virtual environment, generated code and caches (never the data)
	@rm -rf $(VENV) proto/gen proto/.gen-* .mypy_cache .ruff_cache .pytest_cache .hypothesis
	@find . -name __pycache__ -type d -prune -not -path './.data/*' -exec rm -rf {} +
