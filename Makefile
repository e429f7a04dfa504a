# The only front door. `make serve` and `make test` do all of their own set-up; the rest is for those who work on Tenantry.
SHELL := /bin/bash
PYTHON ?=
VENV := .venv
BIN := $(VENV)/bin
export TENANTRY_HOME ?= $(CURDIR)/.tenantry
ifdef PORT
export PORT
endif

.PHONY: help serve test check fix clean venv
.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z-]+:.*?## ' Makefile | sed -E 's/:.*## /\t/' | expand -t 12

venv: ## the environment, made or brought up to date
	@PYTHON="$(PYTHON)" ./scripts/venv.sh "$(VENV)"

serve: venv ## embedded PostgreSQL, migrations, demo data, the API (PORT=4311 TENANTRY_HOME=/folder for a second one)
	@cd examples/notes && exec "$(CURDIR)/$(BIN)/tenantry" serve notes:app --demo

test: venv ## install what the tests need, then run them all
	@./scripts/test-needs.sh
	"$(BIN)/python" -m pytest -n 2 -q

check: venv ## format, lint, types, layers
	"$(BIN)/ruff" format --check src tests
	"$(BIN)/ruff" check src tests
	"$(BIN)/basedpyright" src
	"$(BIN)/lint-imports"

fix: venv ## format, and mend what lint can mend
	"$(BIN)/ruff" check --fix src tests
	"$(BIN)/ruff" format src tests

clean: ## remove what the build made; data under .tenantry stays
	rm -rf "$(VENV)" .pytest_cache .ruff_cache .hypothesis
