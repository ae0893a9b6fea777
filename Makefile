# How a fresh machine gets from a clone to a running service and to green tests. `make` alone prints the targets.
# Variables are set on the command line (make serve PORT=8081); the environment sets only LLAMA_WHEEL.

SHELL := /bin/bash

## MODEL=NAME         catalog name, or path of a GGUF file           [smollm2-135m-instruct]
MODEL := smollm2-135m-instruct
## PYTHON=PROGRAM     the Python (3.11 or newer) that makes .venv    [python3]
PYTHON := python3
## LLAMA_WHEEL=PATH   a prebuilt llama-cpp-python wheel, or a folder of wheels: nothing is compiled then
LLAMA_WHEEL ?=
## HOST=ADDRESS       address that `serve` listens on, `monitoring` asks [127.0.0.1]
HOST :=
## PORT=NUMBER        port that `serve` listens on, `monitoring` asks    [8080]
PORT :=
## EXTRAS=...         what a fleet needs beyond the basics: gpio, nvidia, or both with a comma between
EXTRAS :=
## WHEELHOUSE=FOLDER  where `wheelhouse` puts its wheels             [dist/wheelhouse/this machine's architecture]
WHEELHOUSE := dist/wheelhouse/$(shell uname -m)
## ARGS=...           further arguments for edge-agent serve, for pytest, or for bench (--help)
ARGS :=

BIN := .venv/bin
# Written last, inside what they vouch for: an interrupted or removed .venv has no stamp.
INSTALLED := .venv/.installed
INSTALLED_DEV := .venv/.installed-dev
RULE_FILES := $(wildcard dashboards/rules/*.yml)

.PHONY: help serve monitoring test check bench format dashboards wheelhouse wheel clean
.DEFAULT_GOAL := help

help: ## Print this list.
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@printf '\nVariables:\n'
	@sed -n 's/^## /  /p' $(MAKEFILE_LIST)

serve: $(INSTALLED) ## Set up this machine, fetch MODEL when it is not here yet, and serve it.
	$(if $(findstring /,$(MODEL))$(filter %.gguf,$(MODEL)),,$(BIN)/edge-agent models pull "$(MODEL)")
	$(BIN)/edge-agent serve --model "$(MODEL)" $(if $(HOST),--host "$(HOST)") $(if $(PORT),--port "$(PORT)") $(ARGS)

monitoring: ## Run Debian's Prometheus and Alertmanager with dashboards/'s rules against the agent at HOST:PORT.
	@AGENT="$(or $(AGENT),$(or $(HOST),127.0.0.1):$(or $(PORT),8080))" tools/monitoring.sh

test: $(INSTALLED_DEV) ## Set up this machine for development and run all tests.
	@tools/system_packages.sh test
	$(BIN)/edge-agent models pull smollm2-135m-instruct
	$(BIN)/edge-agent models pull gemma-3-270m
	@tools/run_tests.sh $(ARGS)

check: $(INSTALLED_DEV) ## Check format, lint, types, layers and rule files.
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	$(BIN)/lint-imports
	promtool check rules $(RULE_FILES)
	promtool test rules $(wildcard dashboards/rules/tests/*.yml)
	cd ansible && $(abspath $(BIN))/ansible-lint --offline

bench: $(INSTALLED_DEV) ## Compare with llama-server and others into docs/bench (builds them first, once; ARGS='--suite small').
	$(BIN)/python -m tests.bench $(ARGS)

format: $(INSTALLED_DEV) ## Format the code, and mend what the linter can mend.
	$(BIN)/ruff format
	$(BIN)/ruff check --fix

dashboards: $(INSTALLED_DEV) ## Rewrite dashboards/*.json from their source.
	$(BIN)/python -m dashboards.source

# pip's cache does not know with which CMAKE_ARGS a wheel was built.
wheelhouse: $(INSTALLED) ## Build all wheels that a fleet of machines like this one needs, into WHEELHOUSE.
	mkdir -p "$(WHEELHOUSE)"
	rm -f "$(WHEELHOUSE)"/*.whl
	$(BIN)/pip wheel --quiet $(if $(CMAKE_ARGS),--no-cache-dir) $(if $(LLAMA_WHEEL),--find-links "$(LLAMA_WHEEL)") --wheel-dir "$(WHEELHOUSE)" ".$(if $(EXTRAS),[$(EXTRAS)])"
	@echo "$$(ls "$(WHEELHOUSE)" | wc -l) wheels in $(WHEELHOUSE)"

wheel: $(INSTALLED) ## Build dist/*.whl.
	$(BIN)/pip wheel --quiet --no-deps --wheel-dir dist .
	@ls dist/*.whl

clean: ## Remove all that make made in this folder; models and state stay.
	rm -rf .venv .cache dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find edge_agent tests -name __pycache__ -type d -prune -exec rm -rf {} +

# The version in __init__.py is part of what is installed.
$(INSTALLED): pyproject.toml edge_agent/__init__.py
	@PYTHON="$(PYTHON)" LLAMA_WHEEL="$(LLAMA_WHEEL)" tools/system_packages.sh serve
	@PYTHON="$(PYTHON)" LLAMA_WHEEL="$(LLAMA_WHEEL)" tools/install.sh
	@touch $@

$(INSTALLED_DEV): $(INSTALLED)
	@echo "Installing the development tools ..."
	@$(BIN)/pip install --quiet --group dev
	@touch $@
